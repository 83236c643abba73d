"""What a drawing calls a segment, and in which colour it shows it."""

from __future__ import annotations

import colorsys
from collections import Counter

from spade.core.text import one_line
from spade.structures.scene_graph import SceneGraph
from spade.structures.vocabulary import plain_name

Colour = tuple[int, int, int]


def display_names(graph: SceneGraph, longest: int | None = 28) -> dict[int, str]:
    """A plain name for each segment id: "sky", not "sky-other-merged"; numbered where a name occurs twice ("person 1").

    longest: characters of a name before its number; None for all of them.
    """
    names = []
    for segment in graph.segments:
        name = plain_name(segment.label)
        names.append(one_line(name, max(len(name), 1) if longest is None else longest))
    often, seen = Counter(names), Counter[str]()
    shown: dict[int, str] = {}
    for segment, name in zip(graph.segments, names, strict=True):
        seen[name] += 1
        shown[segment.id] = f"{name} {seen[name]}" if often[name] > 1 else name
    return shown


def colours(graph: SceneGraph) -> dict[int, Colour]:
    """A colour for each segment id: the golden angle keeps neighbours in the list apart; stuff is paler than things."""
    chosen = {}
    for index, segment in enumerate(graph.segments):
        hue = (0.08 + index * 0.61803) % 1.0
        red, green, blue = colorsys.hls_to_rgb(hue, 0.5, 0.72 if segment.is_thing else 0.4)
        chosen[segment.id] = (int(255 * red), int(255 * green), int(255 * blue))
    return chosen
