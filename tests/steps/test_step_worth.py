"""What quickstart says its steps are worth, where that is known beforehand."""

from __future__ import annotations

import json

import numpy as np
import pytest

from spade.data.psg_reader import load_psg
from spade.data.samples import annotated_ids
from spade.evaluation.formats.exchange_writer import exchange_header
from spade.steps.config import QuickstartConfig
from spade.steps.step_worth import calibration_worth, heads_worth
from spade.structures.panoptic_png import write_panoptic


def predicted(dataset, records, folder, shift=0):
    """A file in which each record has its annotated segments, and its relations with the predicate that lies ``shift``
    places further in the list.
    """
    rows = [exchange_header(dataset.classes, dataset.predicates, {})]
    for record in records:
        write_panoptic(folder / f"{record.image_id}.png", annotated_ids(dataset, record))
        segments = [{"layer": 0, "id": s.id, "category_id": s.category, "score": 1.0} for s in record.segments]
        relations = []
        for subject, target, predicate in record.relations:
            scores = np.zeros(len(dataset.predicates))
            scores[(predicate + shift) % len(scores)] = 0.9
            relations.append({"subject": subject, "object": target, "scores": scores.tolist(), "no_relation": 0.1})
        names = {"pan_seg_file_names": [f"{record.image_id}.png"], "height": record.height, "width": record.width}
        rows.append({"image_id": record.image_id, "segments_info": segments, "relations": relations} | names)
    path = folder / "p.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def labels(record):
    return [segment.category for segment in record.segments]


def related(record):
    named = labels(record)
    return {(named[s], named[o]) for s, o, _ in record.relations}


@pytest.fixture(scope="module")
def known(world):
    """A data set, a record of distinct labels and one relation a pair, and one none of whose related label pairs it
    has.
    """
    dataset = load_psg(world)
    one = next(
        record
        for record in dataset.records
        if len(set(labels(record))) == len(record.segments)
        and len({(s, o) for s, o, _ in record.relations}) == len(record.relations)
    )
    return dataset, one, next(record for record in dataset.records if not related(record) & related(one))


def test_heads_that_are_right_beside_counts_of_the_same_and_of_other_pairs(known, tmp_path):
    dataset, one, other = known
    path = predicted(dataset, [one], tmp_path)
    same, apart = (heads_worth(dataset, [train], [one], path) for train in (one, other))
    told = len({p for _, _, p in one.relations}) / len(dataset.predicates)  # mR counts absent predicates as 0
    assert [(row.measure, row.without, row.value) for row in same] == [("R@20", 1, 1), ("mR@20", told, told)]
    assert [(row.without, row.value) for row in apart] == [(0, 1), (0, told)]


def test_heads_that_are_wrong_are_worth_nothing(known, tmp_path):
    dataset, one, _ = known
    wrong = heads_worth(dataset, [one], [one], predicted(dataset, [one], tmp_path, shift=1))
    assert wrong[0].without == 1
    assert [row.value for row in wrong] == [0, 0]


def test_calibration_is_judged_beside_the_raw_unet(pipeline, monkeypatch):
    """Each student's own figure stands on its side, of the same records."""
    run, records = pipeline["run"], load_psg(pipeline["calibrate"].result.data).split("test")
    asked = []

    def pointing(student, dataset, records):
        asked.append(records)
        return {"pointing": 0.25 if student.adapter is None else 0.75}

    monkeypatch.setattr("spade.training.pointing.pointing", pointing)
    dataset = load_psg(pipeline["calibrate"].result.data)
    told = calibration_worth(QuickstartConfig(), run.workspace.newest("calibrate"), dataset, records)
    assert (told.measure, told.without, told.value) == ("pointing", 0.25, 0.75)
    assert asked == [records, records]
