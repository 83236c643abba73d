"""Small scenes for the tests of evaluation."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from spade.data.psg import Dataset, Record, SegmentRecord
from spade.evaluation.scoring.evaluator import Evaluator
from spade.evaluation.scoring.masks import Layers
from spade.evaluation.scoring.predicted_image import PredictedImage
from spade.evaluation.scoring.rows import ranked

TRUE = np.zeros((4, 8), np.uint32)
TRUE[:, :4], TRUE[:, 4:] = 5, 6


def dataset(records=(), things=("a", "b"), stuff=(), predicates=("p", "q", "r")):
    """A data set without files."""
    ids = frozenset(record.image_id for record in records)
    return Dataset(Path("here/psg.json"), Path("here"), things, stuff, predicates, tuple(records), ids, (), False)


def record(triples, image_id="1", crowd=False, ids=TRUE, classes=(0, 1)):
    """An annotated image with the segments of a map, in the order of their ids."""
    segments = []
    for identity, category in zip(sorted(set(ids.ravel().tolist()) - {0}), classes, strict=True):
        ys, xs = np.nonzero(ids == identity)
        box = (float(xs.min()), float(ys.min()), float(xs.max() + 1), float(ys.max() + 1))
        segments.append(SegmentRecord(identity, category, True, crowd and identity == 6, len(xs), box))
    return Record(image_id, image_id, "a.png", "a.png", ids.shape[1], ids.shape[0], tuple(segments), tuple(triples))


def predicted(rows, ids=TRUE, classes=(0, 1), strengths=None, image_id="1"):
    """rows: (subject, object, [score per predicate]); segments are those of a map, in the order of their ids."""
    names = np.array(sorted(set(ids.ravel().tolist()) - {0}), np.int64)
    scores = np.ones(len(names)) if strengths is None else np.array(strengths, float)
    pairs = np.array([row[:2] for row in rows], np.int64).reshape(-1, 2)
    values = np.array([row[2] for row in rows], float).reshape(len(rows), -1) if len(rows) else np.zeros((0, 3))
    layers = Layers((ids,), np.zeros(len(names), np.int64), names)
    return PredictedImage(image_id, np.array(classes, np.int64), scores, ranked(pairs, values, scores), layers)


def evaluate(*images, at=(1, 2), protocol="openpsg", true=TRUE, **lists):
    """The summary of (record, prediction) pairs on one true map."""
    evaluator = Evaluator(dataset([r for r, _ in images], **lists), protocol, at=at)
    for truth, prediction in images:
        evaluator.add(truth, true, prediction)
    return evaluator.summary()
