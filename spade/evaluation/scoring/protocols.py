"""The field's protocols as four sets of rules, and the judgement of one image by them.

An image is judged once; every metric is a sum over judgements (recall.py and quality.py beside this file). Judgements
of parts of a data set, put together in image order, give the same digits as one pass over the whole.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from spade.data.checks import is_another_map
from spade.data.psg import Dataset, Record
from spade.evaluation.scoring.masks import IdMap, Runs, pixel_runs
from spade.evaluation.scoring.matching import MATCHINGS, box_iou
from spade.evaluation.scoring.predicted_image import ImageError, PredictedImage
from spade.evaluation.scoring.quality import ImageQuality, judge_quality
from spade.evaluation.scoring.rows import Rows, first_hits, first_pairs, on_true_pairs
from spade.evaluation.scoring.segment_ends import Ends, ends, proposed_segments


@dataclass(frozen=True)
class Rules:
    """What tells one protocol from another.

    matching: see matching.py; boxes: boxes of the masks instead of the masks; rows: which rows count towards K ("all",
    "distinct" ones, or the first "one a pair"); merge: overlapping masks are made disjoint first; copies: annotated
    copies of a triplet count again; plain_free: candidates without graph constraint go by the row's score alone,
    without those of its segments; skip: images without a prediction or without rows are left out (else they count 0);
    absent: what mR makes of predicates that never occur: "zero", or "undefined" (the whole metric is); plus_one: a box
    from x1 to x2 is x2 - x1 + 1 wide.
    """

    name: str
    matching: str
    boxes: bool
    rows: str
    merge: bool
    copies: bool
    plain_free: bool
    skip: bool
    absent: str
    plus_one: bool = False


PROTOCOLS = {
    rules.name: rules
    for rules in (
        Rules("openpsg", "any", False, "all", False, False, False, True, "zero"),
        Rules("single-mpo", "one to one", False, "one a pair", True, True, True, False, "undefined"),
        Rules("sgbench", "best", False, "distinct", False, False, False, False, "undefined"),
        Rules("vg", "any", True, "all", False, False, False, True, "zero", True),
    )
}


def own_protocol(dataset: Dataset) -> str:
    """The protocol of a data set's papers: boxes go by Visual Genome's."""
    return "openpsg" if dataset.has_masks else "vg"


def rules_for(dataset: Dataset, protocol: str) -> Rules:
    """A protocol's rules; on a data set of boxes with boxes in place of masks, which are never merged (as OpenPSG's own
    code has it with its method bbox).
    """
    rules = PROTOCOLS[protocol]
    return rules if dataset.has_masks else replace(rules, boxes=True, merge=False)


MODES = ("sgdet", "predcls")
NO_ROWS = Rows(np.zeros((0, 2), np.int64), np.zeros(0, np.int64))


@dataclass(frozen=True)
class Hits:
    """Annotated triplets (T, 3) of an image, and for each the rank from 0 of the first row that hits it, -1 for none.

    ``free`` is None where no list without graph constraint was given; ``given`` counts only rows on annotated pairs;
    ``pair`` is the rank of the first row about the triplet's pair.
    """

    triples: np.ndarray
    first: np.ndarray
    free: np.ndarray | None
    given: np.ndarray
    pair: np.ndarray


@dataclass(frozen=True)
class Judgement:
    """All that an image adds to the sums.

    ``record`` is what was annotated; ``predicted`` is False without a prediction, ``answered`` also without rows.
    ``hits`` by the protocol, ``corrected`` without its known defects (docs/evaluation.md), ``pairs`` (Q,) the rank of
    the first row on each annotated pair, repeated rows not counted, ``found`` of the M annotated segments (bool);
    ``ends``: what became of those, whatever they are called; ``without_pixel``: how many predicted and annotated
    segments have none in their maps; ``quality`` None where masks play no part.
    """

    record: Record
    predicted: bool
    answered: bool
    hits: Hits
    corrected: Hits
    pairs: np.ndarray
    found: np.ndarray
    ends: Ends
    without_pixel: tuple[int, int]
    quality: ImageQuality | None
    missed_quality: ImageQuality | None  # what a missing prediction would add: all segments missed


def judge(
    rules: Rules, mode: str, record: Record, true_ids: IdMap | None, predicted: PredictedImage | None
) -> Judgement:
    """One image. ``true_ids`` is its annotated panoptic map (H, W), or its planes; nothing where masks play no part."""
    classes = np.array([segment.category for segment in record.segments], np.int64)
    crowd = np.array([segment.is_crowd for segment in record.segments], bool)
    things = np.array([segment.is_thing for segment in record.segments], bool)
    with_masks = mode == "sgdet" and not rules.boxes
    every = np.array(record.relations, np.int64).reshape(-1, 3)
    once = np.array(record.distinct_triples(), np.int64).reshape(-1, 3)
    if predicted is None:
        missed = judge_quality(np.zeros(0, np.int64), classes, crowd, None) if with_masks else None
        nothing = np.zeros((0, len(classes)), bool)
        became = ends(nothing, None, None, things)
        return _judgement(rules, record, None, nothing, every, once, became, (0, 0), (None, missed))
    rows, quality, overlaps, proposed, without_pixel = predicted.rows, None, None, None, (0, 0)
    same = predicted.categories[:, None] == classes[None]
    if mode == "predcls":
        iou = np.eye(len(classes))  # segments stand for the annotated ones by their place
    elif rules.boxes:
        true = np.array([segment.bbox for segment in record.segments], np.float64).reshape(-1, 4)
        iou = box_iou(predicted_boxes(predicted, record), true, rules.plus_one)
    else:
        runs = _runs(predicted, record, true_ids)
        without_pixel = runs.without_pixel()
        if is_another_map(without_pixel[0], runs.count):
            raise ImageError(
                f"{without_pixel[0]} of {runs.count} segments have no pixel in their png; write ids as R + 256 G + "
                "65536 B, those of segments_info"
            )
        disjoint = runs
        if rules.merge or len(runs.cover) > 1:
            disjoint, keeper = runs.merged(predicted.scores)
            if rules.merge:
                runs, rows = disjoint, rows.moved(keeper)
        overlaps = runs.overlaps()
        apart = overlaps if disjoint is runs else disjoint.overlaps()
        quality = judge_quality(predicted.categories, classes, crowd, apart)
        iou = overlaps.iou()
        if predicted.proposals is not None and true_ids is not None:
            proposed = proposed_segments(record, true_ids, predicted.proposals)
    found = MATCHINGS[rules.matching](iou, np.asarray(same))
    became = ends(iou, overlaps, proposed, things)
    return _judgement(rules, record, rows, found, every, once, became, without_pixel, (quality, None))


def _judgement(
    rules: Rules,
    record: Record,
    predicted: Rows | None,
    found: np.ndarray,
    every: np.ndarray,
    once: np.ndarray,
    covered: Ends,
    without_pixel: tuple[int, int],
    quality: tuple[ImageQuality | None, ImageQuality | None],
) -> Judgement:
    rows = NO_ROWS if predicted is None else predicted
    triples = every if rules.copies else once
    one_a_pair = rules.rows == "one a pair"
    unrepeated = rows.one_a_pair() if one_a_pair else rows.distinct()
    counted = rows if rules.rows == "all" else unrepeated
    free = (counted if one_a_pair else rows).candidates(distinct=rules.rows == "distinct", plain=rules.plain_free)
    hits = _hits(counted, free, found, triples)
    corrected = hits
    if len(unrepeated) < len(counted):
        corrected = _hits(unrepeated, rows.candidates(distinct=True), found, once)
    elif len(triples) > len(once):
        corrected = _hits(counted, free, found, once)
    pairs = first_pairs(unrepeated.triples, found, np.unique(once[:, :2], axis=0))
    named = np.asarray(found.any(0))
    answered = predicted is not None, len(rows) > 0
    return Judgement(record, *answered, hits, corrected, pairs, named, covered, without_pixel, *quality)


def _hits(rows: Rows, free: np.ndarray | None, found: np.ndarray, triples: np.ndarray) -> Hits:
    ranked = rows.triples
    given = on_true_pairs(ranked, found, triples)
    hit = None if free is None else first_hits(free, found, triples)
    pair = first_pairs(ranked, found, triples)
    return Hits(triples, first_hits(ranked, found, triples), hit, first_hits(given, found, triples), pair)


def _runs(predicted: PredictedImage, record: Record, true_ids: IdMap | None) -> Runs:
    if predicted.layers is None:
        raise ImageError("has no masks; evaluate boxes with `protocol=vg`, or give pan_seg_file_names")
    return pixel_runs(
        true_ids, [segment.id for segment in record.segments], predicted.layers, (record.height, record.width)
    )


def predicted_boxes(predicted: PredictedImage, record: Record) -> np.ndarray:
    """Boxes (N, 4) xyxy as given, or those of the masks."""
    if predicted.boxes is not None:
        return predicted.boxes
    return _runs(predicted, record, None).boxes().astype(np.float64)
