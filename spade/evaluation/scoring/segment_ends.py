"""What became of annotated segments, whatever they are called: covered by a mask, or merged with a neighbour."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spade.data.psg import Record
from spade.evaluation.scoring.masks import IdMap, Overlaps, ids_at

LEAST = 0.5  # IoU at which a mask is that of a segment, and share of a segment that a mask of two has of both


@dataclass(frozen=True)
class Ends:
    """What became of an image's M annotated segments, whatever they are called.

    ``masked`` (M,): some predicted mask has IoU >= 0.5. ``proposed`` (M,): so has a mask from before the merging; None
    where those are not known. ``neighbour`` (M,): where a segment has no mask, the thing with which it lies in one
    predicted mask, most of both; -1 where there is none; None where masks play no part.
    """

    masked: np.ndarray
    proposed: np.ndarray | None = None
    neighbour: np.ndarray | None = None


def ends(iou: np.ndarray, found: Overlaps | None, proposed: np.ndarray | None, things: np.ndarray) -> Ends:
    """From IoUs (N, M), pixel counts where masks were compared, ``proposed_segments``, and which are things (M,)."""
    masked = np.asarray((iou >= LEAST).any(0))
    # What merging made better than each proposal was proposed, too.
    proposed = None if proposed is None else proposed | masked
    return Ends(masked, proposed, None if found is None else _neighbours(found, masked, things))


def _neighbours(found: Overlaps, masked: np.ndarray, things: np.ndarray) -> np.ndarray:
    count = len(masked)
    if not len(found.joint):
        return np.full(count, -1)
    mask = found.joint.argmax(0)  # (M,) the predicted mask that has most of each
    mostly = found.joint > LEAST * found.true_area[None]  # (N, M)
    others = np.where(mostly[mask] & ~np.eye(count, dtype=bool) & things, found.joint[mask], 0)  # (M, M)
    there = ~masked & mostly[mask, np.arange(count)] & others.any(1)
    return np.where(there, others.argmax(1), -1)


def proposed_segments(record: Record, true_ids: IdMap, proposals: np.ndarray) -> np.ndarray:
    """Which of a record's segments (M,) a proposal (Q, h, w) bool fits at IoU >= 0.5, on the proposals' own grid."""
    count, high, wide = proposals.shape
    rows = (np.arange(high) + 0.5) * record.height // high
    columns = (np.arange(wide) + 0.5) * record.width // wide
    ids = ids_at(true_ids, (rows[:, None] * record.width + columns).astype(np.int64).ravel())
    truth = (ids[:, None] == np.array([s.id for s in record.segments], np.int64)).astype(np.float32)  # (hw, M)
    masks = proposals.reshape(count, -1).astype(np.float32)
    joint = masks @ truth
    union = masks.sum(1)[:, None] + truth.sum(0)[None] - joint
    return np.asarray((joint >= LEAST * np.maximum(union, 1)).any(0))
