"""Small drawings for the report, as plain svg: lines over bins, differences with intervals, a graph over its image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup

from spade.core.templates import render

LINES = ("#2563a8", "#b4572c", "#3c7d3a", "#7a4fa3", "#8a6d1b")
COLOURS = {"found": "#1f7a4d", "missed": "#c2413a", "said": "#2563a8"}


@dataclass(frozen=True)
class Node:
    """A label at a place (x, y) in image pixels."""

    label: str
    x: float
    y: float


@dataclass(frozen=True)
class Edge:
    """An arrow between two nodes, by their places in the list; ``kind`` is "found", "missed" or "said"."""

    start: int
    end: int
    label: str
    kind: str


def curve(labels: Sequence[str], series: Mapping[str, Sequence[float | None]], counts: Sequence[int]) -> Markup:
    """Lines over a few bins, values from 0 to 1, with the count of each bin under its label."""
    width, height, left, bottom = 560, 240, 40, 44
    inner, top = width - left - 70, height - bottom - 12
    x = [left + inner * (i + 0.5) / len(labels) for i in range(len(labels))]
    together: dict[tuple[float | None, ...], str] = {}  # lines that are the same are drawn once
    for name, values in series.items():
        key = tuple(values)
        together[key] = f"{together[key]}, {name.partition('@')[2]}" if key in together else name
    lines: list[dict[str, Any]] = []
    ends: list[float] = []
    for colour, (values, name) in zip(LINES * 3, together.items(), strict=False):
        points = [(px, 12 + top * (1 - v)) for px, v in zip(x, values, strict=True) if v is not None]
        if not points:
            continue
        y = points[-1][1] + 4
        while any(abs(y - other) < 13 for other in ends):
            y += 13
        ends.append(y)
        lines.append({"points": points, "colour": colour, "name": name, "y": y})
    grid = [(12 + top * (1 - share), f"{100 * share:.0f}") for share in (0, 0.25, 0.5, 0.75, 1)]
    bins = list(zip(x, labels, counts, strict=True))
    return render("chart_curve.svg", width=width, height=height, left=left, grid=grid, bins=bins, lines=lines)


def intervals_chart(rows: Sequence[tuple[str, float, Sequence[float] | None]]) -> Markup:
    """Differences as dots with their intervals around zero: (label, difference, interval), as fractions."""
    reach = max([0.01, *(abs(v) for _, value, span in rows for v in (value, *(span or ())))]) * 1.1
    width, line, left = 620, 24, 190
    inner = width - left - 20

    def at(value: float) -> float:
        return left + inner * (value + reach) / (2 * reach)

    drawn = []
    for number, (label, value, span) in enumerate(rows):
        sure = span is not None and (span[0] > 0 or span[1] < 0)
        colour = COLOURS["found" if value > 0 else "missed"] if sure else "#777"
        ends = None if span is None else (at(span[0]), at(span[1]))
        drawn.append({"y": 16 + line * number, "label": label, "x": at(value), "span": ends, "colour": colour})
    ticks = [(at(value), f"{100 * value:+.1f}") for value in (-reach / 1.1, 0.0, reach / 1.1)]
    height = line * len(rows) + 34
    return render("chart_intervals.svg", width=width, height=height, left=left, zero=at(0), ticks=ticks, rows=drawn)


def graph(size: tuple[int, int], nodes: Sequence[Node], edges: Sequence[Edge], image: str | None, title: str) -> Markup:
    """A graph over an image (a data URI) of ``size`` (width, height): pills at the nodes, bent arrows with their
    predicates.
    """
    width, height = size
    unit = max(width, 1.2 * height) / 460  # of the drawing, so that text has one size on every page
    font = 15 * unit
    where = _apart(nodes, size, font)
    boxes = [_box(place, node.label, font) for node, place in zip(nodes, where, strict=True)]
    arrows, labels, taken = [], [], list(boxes)
    for start, end, label, kind in _joined(edges):
        arrow, spots = _arrow(where[start], where[end], unit)
        arrows.append(arrow | {"colour": COLOURS[kind], "dashed": kind == "missed"})
        # The first free spot along the arrow, else the one that hides least.
        spot = min(spots, key=lambda spot: sum(_meet(_box(spot, label, font), other) for other in taken))
        taken.append(_box(spot, label, font))
        labels.append({"x": spot[0], "y": spot[1], "text": label, "colour": COLOURS[kind]})
    pills = [
        {"box": box, "x": place[0], "y": place[1], "label": node.label}
        for node, place, box in zip(nodes, where, boxes, strict=True)
    ]
    drawing = {"arrows": arrows, "labels": labels, "nodes": pills, "unit": unit, "font": font}
    return render("chart_graph.svg", width=width, height=height, image=image, title=title, **drawing)


def _arrow(a: np.ndarray, b: np.ndarray, unit: float) -> tuple[dict[str, Any], list[np.ndarray]]:
    """An arrow from a to b, bent to one side so that both directions can be seen, and the spots where its label may
    stand.
    """
    along = b - a
    length = float(np.hypot(*along))
    if length < 1e-6:  # a loop
        along, length = np.array([1.0, 0.0]), 1.0
        a, b = a - np.array([0, 8 * unit]), a + np.array([46 * unit, -8 * unit])
    middle = (a + b) / 2 + np.array([-along[1], along[0]]) / length * 20 * unit
    tip = b + (middle - b) / max(float(np.hypot(*(middle - b))), 1e-6) * 15 * unit
    side = (tip - middle) / max(float(np.hypot(*(tip - middle))), 1e-6) * 8 * unit
    wing = np.array([-side[1], side[0]]) * 0.6
    head = (tip + side, tip - side + wing, tip - side - wing)
    curve_at = [(1 - t) ** 2 * a + 2 * t * (1 - t) * middle + t**2 * tip for t in (0.5, 0.4, 0.6, 0.3, 0.7)]
    spots = curve_at + [
        point + np.array([0, shift * 15 * unit]) for shift in (1.2, -1.2, 2.4, -2.4) for point in curve_at
    ]
    return {"start": a, "middle": middle, "tip": tip, "head": head}, spots


def _joined(edges: Sequence[Edge]) -> list[tuple[int, int, str, str]]:
    """Arrows between the same nodes, of one kind, with their labels together."""
    found: dict[tuple[int, int, str], list[str]] = {}
    for edge in edges:
        found.setdefault((edge.start, edge.end, edge.kind), []).append(edge.label)
    return [(start, end, ", ".join(labels), kind) for (start, end, kind), labels in found.items()]


def _apart(nodes: Sequence[Node], size: tuple[int, int], font: float) -> list[np.ndarray]:
    """Places pushed apart until their pills do not touch, inside the image as far as they fit."""
    if not nodes:
        return []
    half = np.array([[_half(n.label, font), 0.85 * font] for n in nodes])
    low, high = half, np.maximum(np.array(size) - half, half)
    places = np.array([[n.x, n.y] for n in nodes], np.float64)
    places += 0.1 * np.stack([np.cos(np.arange(len(nodes))), np.sin(np.arange(len(nodes)))], 1)  # no two in one place
    room = half[:, None] + half[None] + np.array([0.6, 1.5]) * font  # an arrow and its label need some of it
    for _ in range(160):
        gap = (places[:, None] - places[None]) / room
        inside = np.maximum(1 - np.abs(gap).max(-1), 0)  # above 0 where two pills touch
        np.fill_diagonal(inside, 0)
        push = inside[..., None] * np.sign(gap) * np.array([0.25, 1.0]) * room
        places = np.clip(places + 0.35 * push.sum(1), low, high)
    return list(places)


def _half(label: str, font: float) -> float:
    """About half the width of a label."""
    return (0.29 * min(len(label), 24) + 0.6) * font


def _box(at: np.ndarray, label: str, font: float) -> tuple[float, float, float, float]:
    """About the room that a label takes."""
    half = _half(label, font)
    return float(at[0] - half), float(at[1] - 0.75 * font), float(at[0] + half), float(at[1] + 0.75 * font)


def _meet(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
