from __future__ import annotations

import json

import numpy as np
import pytest

from spade.data.psg_reader import load_psg
from spade.structures.panoptic_png import write_panoptic


@pytest.fixture
def data(tmp_path):
    """Two annotated images of 4 x 8 pixels with two segments, and a map for predictions."""
    ids = np.zeros((4, 8), np.uint32)
    ids[:, :4], ids[:, 4:] = 5, 6
    records = [
        {
            "image_id": str(number),
            "file_name": f"{number}.jpg",
            "pan_seg_file_name": f"{number}.png",
            "width": 8,
            "height": 4,
            "segments_info": [{"id": 5, "category_id": 0, "area": 16}, {"id": 6, "category_id": 1, "area": 16}],
            "annotations": [{"bbox": [0, 0, 4, 4]}, {"bbox": [4, 0, 8, 4]}],
            "relations": [[0, 1, 0]],
        }
        for number in (1, 2)
    ]
    document = {
        "data": records,
        "thing_classes": ["a", "b"],
        "stuff_classes": [],
        "predicate_classes": ["p", "q"],
        "test_image_ids": ["1", "2"],
    }
    (tmp_path / "psg.json").write_text(json.dumps(document))
    for name in ("1", "2", "m"):
        write_panoptic(tmp_path / f"{name}.png", ids)
    return load_psg(tmp_path)
