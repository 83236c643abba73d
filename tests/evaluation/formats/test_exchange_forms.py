"""Forms that an exchange file may have: marks at its begin, given segments, boxes, nothing at all."""

from __future__ import annotations

import json

import numpy as np
import pytest

from spade.core.errors import SpadeError
from spade.evaluation.formats.exchange import Exchange
from spade.evaluation.formats.sources import open_predictions
from spade.structures.panoptic_png import write_panoptic
from tests.evaluation.formats.exchange_files import image, lines


def test_files_that_begin_with_a_byte_order_mark(data):
    path = lines(data, image())
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert open_predictions(path, data).get(data.records[0]) is not None
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps({"predictions": [image()]}).encode())
    assert open_predictions(path, data).get(data.records[0]) is not None


def test_given_segments_are_not_opened_and_must_be_the_annotated_ones(data):
    path = lines(data, image(pan_seg_file_names=["gone.png"]))
    found = open_predictions(path, data, predcls=True).get(data.records[0])
    assert found.layers is None
    swapped = image(segments_info=[{"category_id": 1}, {"category_id": 0}])
    with pytest.raises(SpadeError, match=r"segments_info\[0\].category_id 1: the annotation says 0"):
        open_predictions(lines(data, swapped), data, predcls=True).get(data.records[0])
    with pytest.raises(SpadeError, match="has 1 segments, the annotation 2"):
        open_predictions(lines(data, image(segments_info=[{"category_id": 0}], relations=[])), data, predcls=True).get(
            data.records[0]
        )


def test_boxes_without_masks(data):
    segments = [{"category_id": 0, "bbox": [0, 0, 4, 4]}, {"category_id": 1, "bbox": [4, 0, 8, 4]}]
    found = open_predictions(lines(data, image(pan_seg_file_names=[], segments_info=segments)), data).get(
        data.records[0]
    )
    assert found.layers is None
    assert found.boxes.tolist() == [[0, 0, 4, 4], [4, 0, 8, 4]]


def test_no_segments_and_no_rows(data):
    found = open_predictions(lines(data, image(pan_seg_file_names=[], segments_info=[], relations=[])), data).get(
        data.records[0]
    )
    assert len(found.rows) == 0
    assert found.layers.maps == ()


def test_fingerprints_hold_the_pngs(data):
    path = lines(data, image())
    first = Exchange(path, data).fingerprint()
    write_panoptic(data.root / "m.png", np.ones((4, 8), np.uint32))
    assert Exchange(path, data).fingerprint() != first
    assert Exchange(path, data, predcls=True).fingerprint() == Exchange(path, data, predcls=True).fingerprint()
