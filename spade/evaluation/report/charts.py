"""Small drawings for the report: plain SVG, no scripts, every text escaped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

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


def percent(value: float | None, digits: int = 1) -> str:
    """A fraction as percent; a dash for what does not exist."""
    return "–" if value is None else f"{100 * value:.{digits}f}"


def shown(text: str, longest: int = 24) -> str:
    """A label on one line, escaped, without control characters, not longer than it has room for."""
    line = "".join(c if c.isprintable() else " " for c in text)
    return escape(line if len(line) <= longest else line[: longest - 1] + "…")


def bars(rows: Sequence[tuple[str, float | None, str]]) -> str:
    """Horizontal bars from 0 to 1: (label, value, note)."""
    out = []
    for label, value, note in rows:
        width = 0 if value is None else 100 * max(0.0, min(1.0, value))
        out.append(
            f'<div class="bar"><span class="name" title="{shown(label, 200)}">{shown(label)}</span>'
            f'<span class="track"><span style="width:{width:.1f}%"></span></span>'
            f'<span class="value">{percent(value)}</span><span class="note">{escape(note)}</span></div>'
        )
    return "\n".join(out)


def curve(labels: Sequence[str], series: Mapping[str, Sequence[float | None]], counts: Sequence[int]) -> str:
    """Lines over a few bins, values from 0 to 1, with the count of each bin under its label."""
    width, height, left, bottom = 560, 240, 40, 44
    inner, top = width - left - 70, height - bottom - 12
    x = [left + inner * (i + 0.5) / len(labels) for i in range(len(labels))]
    out = [f'<svg class="chart" viewBox="0 0 {width} {height}" role="img" aria-label="recall by distance">']
    for share in (0, 0.25, 0.5, 0.75, 1):
        y = 12 + top * (1 - share)
        out.append(f'<line x1="{left}" x2="{width - 60}" y1="{y:.1f}" y2="{y:.1f}" class="grid"/>')
        out.append(f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{100 * share:.0f}</text>')
    for place, label, count in zip(x, labels, counts, strict=True):
        out.append(f'<text x="{place:.1f}" y="{height - 26}" text-anchor="middle">{escape(label)}</text>')
        out.append(f'<text x="{place:.1f}" y="{height - 10}" text-anchor="middle" class="faint">n = {count}</text>')
    ends: list[float] = []
    together: dict[tuple[float | None, ...], str] = {}  # lines that are the same are drawn once
    for name, values in series.items():
        key = tuple(values)
        together[key] = f"{together[key]}, {name.partition('@')[2]}" if key in together else name
    for colour, (values, name) in zip(LINES * 3, together.items(), strict=False):
        points = [(px, 12 + top * (1 - v)) for px, v in zip(x, values, strict=True) if v is not None]
        if not points:
            continue
        out.append(
            f'<polyline points="{" ".join(f"{a:.1f},{b:.1f}" for a, b in points)}" fill="none" stroke="{colour}" '
            'stroke-width="2"/>'
        )
        out += [f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3" fill="{colour}"/>' for a, b in points]
        y = points[-1][1] + 4
        while any(abs(y - other) < 13 for other in ends):
            y += 13
        ends.append(y)
        out.append(f'<text x="{points[-1][0] + 8:.1f}" y="{y:.1f}" fill="{colour}">{escape(name)}</text>')
    return "\n".join([*out, "</svg>"])


def intervals_chart(rows: Sequence[tuple[str, float, Sequence[float] | None]]) -> str:
    """Differences as dots with their intervals around zero: (label, difference, interval), as fractions."""
    reach = max([0.01, *(abs(v) for _, value, span in rows for v in (value, *(span or ())))]) * 1.1
    width, line, left = 620, 24, 190
    inner = width - left - 20

    def at(value: float) -> float:
        return left + inner * (value + reach) / (2 * reach)

    height = line * len(rows) + 34
    out = [f'<svg class="chart" viewBox="0 0 {width} {height}" role="img" aria-label="differences">']
    out.append(f'<line x1="{at(0):.1f}" x2="{at(0):.1f}" y1="4" y2="{height - 26}" stroke="#888"/>')
    for value in (-reach / 1.1, 0.0, reach / 1.1):
        out.append(
            f'<text x="{at(value):.1f}" y="{height - 8}" text-anchor="middle" class="faint">{100 * value:+.1f}</text>'
        )
    for number, (label, value, span) in enumerate(rows):
        y = 16 + line * number
        sure = span is not None and (span[0] > 0 or span[1] < 0)
        colour = COLOURS["found" if value > 0 else "missed"] if sure else "#777"
        out.append(f'<text x="{left - 10}" y="{y + 4}" text-anchor="end">{shown(label, 30)}</text>')
        if span is not None:
            out.append(
                f'<line x1="{at(span[0]):.1f}" x2="{at(span[1]):.1f}" y1="{y}" y2="{y}" stroke="{colour}" '
                'stroke-width="2"/>'
            )
        out.append(f'<circle cx="{at(value):.1f}" cy="{y}" r="4" fill="{colour}"/>')
    return "\n".join([*out, "</svg>"])


def graph(size: tuple[int, int], nodes: Sequence[Node], edges: Sequence[Edge], image: str | None, title: str) -> str:
    """A graph over an image (a data URI) of ``size`` (width, height): pills at the nodes, bent arrows with their
    predicates.
    """
    width, height = size
    unit = max(width, 1.2 * height) / 460  # of the drawing, so that text has one size on every page
    font = 15 * unit
    out = [f'<svg class="graph" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title)}">']
    out.append(f'<rect width="{width}" height="{height}" fill="#e9e9ec"/>')
    if image is not None:
        out.append(f'<image href="{image}" width="{width}" height="{height}" preserveAspectRatio="none"/>')
        out.append(f'<rect width="{width}" height="{height}" fill="#fff" opacity="0.45"/>')
    where = _apart(nodes, size, font)
    labels = []
    for start, end, label, kind in _joined(edges):
        drawn, spots = _arrow(where[start], where[end], kind, unit)
        out.append(drawn)
        labels.append((spots, label, COLOURS[kind]))
    taken = [_box(place, node.label, font) for node, place in zip(nodes, where, strict=True)]
    for spots, label, colour in labels:
        # The first free spot along the arrow, else the one that hides least.
        spot = min(spots, key=lambda spot: sum(_meet(_box(spot, label, font), other) for other in taken))
        taken.append(_box(spot, label, font))
        out.append(_text(spot, label, 0.86 * font, colour, f' class="halo" stroke-width="{3.5 * unit:.1f}"'))
    for node, place in zip(nodes, where, strict=True):
        x1, y1, x2, y2 = _box(place, node.label, font)
        out.append(
            f'<rect x="{x1:.1f}" y="{y1:.1f}" width="{x2 - x1:.1f}" height="{y2 - y1:.1f}" rx="{0.6 * font:.1f}" '
            'fill="#26313f"/>'
        )
        out.append(_text(place, node.label, font, "#fff", ""))
    return "\n".join([*out, "</svg>"])


def _arrow(a: np.ndarray, b: np.ndarray, kind: str, unit: float) -> tuple[str, list[np.ndarray]]:
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
    dash = f' stroke-dasharray="{6 * unit:.1f} {4 * unit:.1f}"' if kind == "missed" else ""
    path = f"M{a[0]:.1f} {a[1]:.1f} Q{middle[0]:.1f} {middle[1]:.1f} {tip[0]:.1f} {tip[1]:.1f}"
    head = " ".join(f"{x:.1f},{y:.1f}" for x, y in (tip + side, tip - side + wing, tip - side - wing))
    line = f'<path d="{path}" fill="none" stroke="{COLOURS[kind]}" stroke-width="{2.2 * unit:.1f}"{dash}/>'
    shares = (0.5, 0.4, 0.6, 0.3, 0.7)
    curve_at = [(1 - t) ** 2 * a + 2 * t * (1 - t) * middle + t**2 * tip for t in shares]
    spots = curve_at + [
        point + np.array([0, shift * 15 * unit]) for shift in (1.2, -1.2, 2.4, -2.4) for point in curve_at
    ]
    return f'{line}<polygon points="{head}" fill="{COLOURS[kind]}"/>', spots


def _text(at: np.ndarray, label: str, size: float, colour: str, extra: str) -> str:
    place = f'x="{at[0]:.1f}" y="{at[1] + 0.35 * size:.1f}"'
    return f'<text {place} font-size="{size:.1f}" text-anchor="middle" fill="{colour}"{extra}>{shown(label)}</text>'


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
