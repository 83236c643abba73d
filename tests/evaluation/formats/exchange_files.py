"""A small data set and prediction files of it, to be made wrong."""

from __future__ import annotations

import json

from spade.evaluation.formats.exchange_writer import exchange_header


def image(**changes):
    segments = [
        {"layer": 0, "id": 5, "category_id": 0, "isthing": 1, "score": 0.9},
        {"layer": 0, "id": 6, "category_id": 1, "score": 0.8},
    ]
    relations = [{"subject": 0, "object": 1, "scores": [0.7, 0.2], "no_relation": 0.1}]
    row = {
        "image_id": "1",
        "height": 4,
        "width": 8,
        "pan_seg_file_names": ["m.png"],
        "segments_info": segments,
        "relations": relations,
    }
    return row | changes


def lines(dataset, *rows, header=None):
    path = dataset.root / "p.jsonl"
    head = exchange_header(dataset.classes, dataset.predicates, {}) if header is None else header
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in (head, *rows)))
    return path
