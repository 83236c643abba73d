"""Where nodes, arrows and the words on them go in the drawing of a graph: nodes near their segments and apart, arrows
from rim to rim, no word on a node, on another word or on an arrow's end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

Box = tuple[float, float, float, float]  # x1, y1, x2, y2

NODE_HEIGHT, LABEL_HEIGHT = 26.0, 18.0
HEAD = 11.0  # length of an arrow's head
GAP = 3.0  # between an arrow's end and its node
_ROUNDS = 240
_SAMPLES = 40
_ALONG = np.array([0.5, 0.44, 0.56, 0.38, 0.62, 0.32, 0.68, 0.26, 0.74, 0.2, 0.8])
_BENDS, _BENDS_OF_TWO = (0.0, 22.0, -22.0, 46.0, -46.0, 80.0, -80.0, 120.0, -120.0), (18.0, 36.0, 60.0, 90.0, 130.0)


@dataclass(frozen=True)
class Arrow:
    """From one node to another: its line (K, 2) from rim to rim, and the box of the words on it."""

    line: np.ndarray
    label: Box

    @property
    def shaft(self) -> np.ndarray:
        """The line (K, 2) up to the head."""
        before = self.line[np.linalg.norm(self.line - self.line[-1], axis=1) >= HEAD]
        return np.concatenate([before if len(before) else self.line[:1], self.head[1:].mean(0, keepdims=True)])

    @property
    def head(self) -> np.ndarray:
        """The head's three corners (3, 2), its tip first."""
        tip = self.line[-1]
        before = self.line[np.linalg.norm(self.line - tip, axis=1) >= HEAD]
        start = before[-1] if len(before) else self.line[0]
        along = (tip - start) / (float(np.linalg.norm(tip - start)) or 1.0)
        root, side = tip - along * HEAD, 0.45 * HEAD * np.array([-along[1], along[0]])
        return np.stack([tip, root + side, root - side])


def placed(
    wanted: np.ndarray, widths: Sequence[float], links: Sequence[tuple[int, int, float]], area: Box
) -> tuple[np.ndarray, list[Arrow]]:
    """Centres (N, 2) of nodes, and the arrows between them, with more room between the nodes where an arrow would run
    under one, or under words.
    """
    best: tuple[float, np.ndarray, list[Arrow]] | None = None
    for spread in (1.0, 1.35, 1.8):
        centres = node_centres(wanted, widths, links, area, spread)
        arrows, cost = route(centres, widths, links, area)
        if best is None or cost < best[0] - 1:
            best = cost, centres, arrows
        if cost < 4 * max(len(links), 1):
            break
    assert best is not None
    return best[1], best[2]


def node_centres(
    wanted: np.ndarray,
    widths: Sequence[float],
    links: Sequence[tuple[int, int, float]],
    area: Box,
    spread: float = 1.0,
) -> np.ndarray:
    """Centres (N, 2) of nodes as near to where they are ``wanted`` (N, 2) as room for them and for the words between
    them allows.

    widths (N,) of the nodes in pixels; links: (node, node, width of the words between them); area: where nodes may lie;
    spread: how much more room than needed.
    """
    count = len(wanted)
    half = np.stack([np.asarray(widths, float) / 2, np.full(count, NODE_HEIGHT / 2)], axis=1).reshape(-1, 2)
    room = half[:, None] + half[None] + np.array([26.0, 22.0])
    for a, b, width in links:
        for pair in ((a, b), (b, a)):
            room[pair] = np.maximum(room[pair], half[a] + half[b] + np.array([width + 48.0, 64.0]))
    room *= spread
    low, high = np.array(area[:2]) + half, np.array(area[2:]) - half
    low, high = np.minimum(low, (low + high) / 2), np.maximum(high, (low + high) / 2)
    # No two in one place: they could not be pushed apart.
    turn = np.arange(count) * 2.4
    points = np.clip(wanted, low, high) + 0.5 * np.stack([np.cos(turn), np.sin(turn)], axis=1).reshape(-1, 2)
    for step in range(_ROUNDS):
        apart = points[:, None] - points[None]
        # Nodes and words are wide: whoever is apart by the height of both has room enough.
        near = np.linalg.norm(apart / room, axis=-1) + np.eye(count)
        push = np.where(near < 1, 1 / np.maximum(near, 0.05) - 1, 0.0)[..., None] * apart
        if step > 20 and not push.any():
            break
        points += 0.2 * push.sum(1) * np.array([0.6, 1.0]) + 0.01 * (wanted - points) * (step < 120)
        points = np.clip(points, low, high)
    return points


def route(
    centres: np.ndarray, widths: Sequence[float], links: Sequence[tuple[int, int, float]], area: Box
) -> tuple[list[Arrow], float]:
    """The arrows of ``links`` (node, node, width of the words on it), the first with the best place. Of two between the
    same nodes each bends to its own left. With how bad it is in all.
    """
    half = np.stack([np.asarray(widths, float) / 2, np.full(len(centres), NODE_HEIGHT / 2)], axis=1).reshape(-1, 2)
    nodes = np.concatenate([centres - half, centres + half], axis=1)
    there = {(a, b) for a, b, _ in links}
    arrows: list[Arrow] = []
    total = 0.0
    for a, b, width in links:
        bends = _BENDS_OF_TWO if (b, a) in there else _BENDS
        others = np.delete(nodes, [a, b], axis=0)
        best: tuple[float, Arrow] | None = None
        for bend in bends:
            line = _between(centres[a], centres[b], nodes[a], nodes[b], bend)
            cost, label = _label(line, width, nodes, arrows, area)
            cost += 30.0 * float(_covered(line, others, 5.0).any(1).sum()) + 0.25 * abs(bend)
            cost += 20.0 * float((~_covered(line, np.array([area]), 4.0)[:, 0]).sum())
            if arrows:
                cost += 40.0 * float(_covered(line, np.array([arrow.label for arrow in arrows]), 2.0).any(1).sum())
            if best is None or cost < best[0]:
                best = cost, Arrow(line, label)
            if cost < 4:
                break
        assert best is not None
        arrows.append(best[1])
        total += best[0]
    return arrows, total


def _between(start: np.ndarray, end: np.ndarray, tail: np.ndarray, head: np.ndarray, bend: float) -> np.ndarray:
    """A line (K, 2) between two nodes' centres, bent to its left by ``bend`` pixels, from rim to rim."""
    along = end - start
    length = float(np.linalg.norm(along)) or 1.0
    middle = (start + end) / 2 + 2 * bend * np.array([along[1], -along[0]]) / length
    t = np.linspace(0, 1, 4 * _SAMPLES)[:, None]
    line = (1 - t) ** 2 * start + 2 * t * (1 - t) * middle + t**2 * end
    outside = ~(_covered(line, tail[None], GAP)[:, 0] | _covered(line, head[None], GAP)[:, 0])
    kept = np.flatnonzero(outside)
    if len(kept) < 2:  # nodes that touch: a short arrow from centre to centre
        return line[[0, -1]]
    whole = line[kept[0] : kept[-1] + 1]
    return whole[np.linspace(0, len(whole) - 1, min(_SAMPLES, len(whole))).round().astype(int)]


def _covered(points: np.ndarray, boxes: np.ndarray, margin: float) -> np.ndarray:
    """Which of points (K, 2) lie in which of boxes (N, 4), made larger by a margin: (K, N) bool."""
    if not len(boxes):
        return np.zeros((len(points), 0), bool)
    low, high = boxes[None, :, :2] - margin, boxes[None, :, 2:] + margin
    inside = (points[:, None] > low) & (points[:, None] < high)
    return np.all(inside, axis=-1)


def _label(line: np.ndarray, width: float, nodes: np.ndarray, arrows: Sequence[Arrow], area: Box) -> tuple[float, Box]:
    """The best place on a line for words of this width, and how bad it is."""
    places = line[(np.minimum(_ALONG, 1) * (len(line) - 1)).round().astype(int)]
    half = np.array([width / 2, LABEL_HEIGHT / 2])
    low, high = np.array(area[:2]) + half, np.array(area[2:]) - half
    middles = np.clip(places, np.minimum(low, high), np.maximum(low, high))
    boxes = np.concatenate([middles - half, middles + half], axis=1)
    taken = np.concatenate([nodes, np.array([arrow.label for arrow in arrows]).reshape(-1, 4)])
    overlap = np.minimum(boxes[:, None, 2:], taken[None, :, 2:] + 2) - np.maximum(
        boxes[:, None, :2], taken[None, :, :2] - 2
    )
    cost = overlap.clip(0).prod(-1).sum(1) * 0.5
    ends = line[np.linalg.norm(line - line[-1], axis=1) < HEAD + 5]
    cost += 60.0 * _covered(ends, boxes, 0.0).sum(0)
    cost += 25.0 * _covered(line[:3], boxes, 0.0).sum(0)
    if arrows:
        cost += 15.0 * _covered(np.concatenate([arrow.line for arrow in arrows]), boxes, 1.0).sum(0)
    cost += np.abs(middles - places).sum(1) + 6 * np.abs(_ALONG - 0.5)
    best = int(cost.argmin())
    x1, y1, x2, y2 = boxes[best].tolist()
    return float(cost[best]), (x1, y1, x2, y2)
