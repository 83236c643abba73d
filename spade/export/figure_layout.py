"""The geometry of a figure: the image under its masks, beside it the graph, below them all relations in words.

One geometry for every format: figure_png and figure_svg only draw it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spade.core.text import one_line
from spade.export.arrows import NODE_HEIGHT, Arrow, Box, placed
from spade.export.fonts import text_width
from spade.export.names import Colour, colours, display_names
from spade.export.outlines import Ring, outlines
from spade.structures.scene_graph import Relation, SceneGraph
from spade.structures.segment_map import anchors, numbered

DRAWN = 8  # relations with an arrow; all are listed
SPECK = 0.0008  # share of the image; a name would hide what is smaller
MOST_NODES = 16  # of a graph without relations
MARGIN, ROW = 16.0, 22.0
NODE_FONT, ARROW_FONT, LIST_FONT = 15, 13, 14
LARGEST = (640.0, 480.0)  # of the image's panel
SMALLEST = (430.0, 330.0)  # of the graph's
LISTED = 60  # lines; of more relations the last line says how many


@dataclass(frozen=True)
class Text:
    """A segment's name in a box, centred in it."""

    text: str
    box: Box
    segment: int


@dataclass(frozen=True)
class Node:
    """A segment's name in a box."""

    text: str
    box: Box
    colour: Colour


@dataclass(frozen=True)
class Mask:
    """A segment's polygons with holes, in the figure's pixels."""

    polygons: list[list[Ring]]
    colour: Colour
    area: int
    segment: int


@dataclass(frozen=True)
class Line:
    """A line of the list: text from a point on, its score in front."""

    text: str
    x: float
    y: float
    score: str = ""


@dataclass(frozen=True)
class FigureLayout:
    """All that a figure shows, in its pixels."""

    size: tuple[int, int]
    image: Box
    panel: Box
    masks: list[Mask]
    names: list[Text]
    nodes: list[Node]
    arrows: list[Arrow]
    predicates: list[str]
    lines: list[Line]
    boxes: bool = False  # segments are boxes, which are drawn as frames: filled, one would hide another


def layout(graph: SceneGraph, drawn: int = DRAWN) -> FigureLayout:
    """Where everything goes; at most ``drawn`` relations get an arrow, the best ones."""
    scale = min(LARGEST[0] / graph.width, LARGEST[1] / graph.height)
    width, height = max(1.0, round(graph.width * scale)), max(1.0, round(graph.height * scale))
    image: Box = (MARGIN, MARGIN, MARGIN + width, MARGIN + height)
    tall = max(height, SMALLEST[1])
    left = image[2] + MARGIN
    panel: Box = (left, MARGIN, left + max(width, SMALLEST[0]), MARGIN + tall)
    names, shades = display_names(graph), colours(graph)
    numbers = None if graph.panoptic is None else numbered(graph.panoptic, [s.id for s in graph.segments])
    places = name_places(graph, numbers)
    shift = np.array([MARGIN, MARGIN])
    masks = [
        Mask(
            [[ring * scale + shift for ring in polygon] for polygon in polygons],
            shades[segment.id],
            segment.area,
            segment.id,
        )
        for segment, polygons in zip(graph.segments, mask_polygons(graph, numbers), strict=True)
    ]
    nodes, arrows, predicates = _graph(graph, names, shades, places, panel, drawn)
    wide = panel[2] + MARGIN
    lines = _list(graph, names, wide, panel[3] + MARGIN)
    bottom = max((line.y for line in lines), default=panel[3]) + ROW
    return FigureLayout(
        (round(wide), round(bottom + MARGIN / 2)),
        image,
        panel,
        sorted(masks, key=lambda mask: -mask.area),
        _names(graph, names, _on_image(graph, places) * scale + shift, image, drawn),
        nodes,
        arrows,
        predicates,
        lines,
        graph.panoptic is None,
    )


def name_places(graph: SceneGraph, numbers: np.ndarray | None) -> np.ndarray:
    """Where names go (N, 2) in image pixels; a segment without a pixel has its box's middle."""
    boxes = np.array([segment.bbox for segment in graph.segments], float).reshape(-1, 4)
    middles = (boxes[:, :2] + boxes[:, 2:]) / 2
    if numbers is None:
        return middles
    return np.where(np.isnan(found := anchors(numbers, len(boxes))), middles, found)


def mask_polygons(graph: SceneGraph, numbers: np.ndarray | None) -> list[list[list[Ring]]]:
    """Polygons of each segment in image pixels: of its mask, or its box where there is no map."""
    if numbers is not None:
        return outlines(numbers, len(graph.segments))
    boxes = []
    for segment in graph.segments:
        x1, y1, x2, y2 = segment.bbox
        boxes.append([[np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2], [x1, y1]], float)]])
    return boxes


def _on_image(graph: SceneGraph, places: np.ndarray) -> np.ndarray:
    """Where names go on the image: in the middle of masks, on the upper edge of boxes, whose middles often meet."""
    if graph.panoptic is not None or not len(places):
        return places
    return np.array([[(s.bbox[0] + s.bbox[2]) / 2, s.bbox[1]] for s in graph.segments], float)


def _names(graph: SceneGraph, names: dict[int, str], places: np.ndarray, image: Box, drawn: int) -> list[Text]:
    """Names on the image, those of large segments first; one that finds no room is left out, as are those of specks
    that no drawn relation names.
    """
    chosen: list[Text] = []
    related = {identity for pair in by_pair(graph.relations, drawn) for identity in pair}
    least = SPECK * graph.width * graph.height
    large = [n for n, segment in enumerate(graph.segments) if segment.area >= least or segment.id in related]
    order = sorted(large, key=lambda n: -graph.segments[n].area)
    for number in order:
        text = one_line(names[graph.segments[number].id], 22)
        width, height = text_width(text, ARROW_FONT) + 10, 19.0
        if width > image[2] - image[0] or height > image[3] - image[1]:
            continue
        for shift in (0, 20, -20, 40, -40):
            x = min(max(places[number, 0] - width / 2, image[0]), image[2] - width)
            y = min(max(places[number, 1] - height / 2 + shift, image[1]), image[3] - height)
            box = (float(x), float(y), float(x + width), float(y + height))
            if not any(_meet(box, other.box) for other in chosen):
                chosen.append(Text(text, box, graph.segments[number].id))
                break
    return chosen


def named_places(graph: SceneGraph, places: np.ndarray) -> list[tuple[int, tuple[float, float]]]:
    """Segment ids whose names find room on the image at about 600 pixels, and where their middles go, in its pixels."""
    unit = max(graph.width / 600, graph.height / 450)
    area: Box = (0.0, 0.0, graph.width / unit, graph.height / unit)
    names = display_names(graph)
    chosen = []
    for text in _names(graph, names, _on_image(graph, places) / unit, area, DRAWN):
        x1, y1, x2, y2 = text.box
        chosen.append((text.segment, (round((x1 + x2) / 2 * unit, 1), round((y1 + y2) / 2 * unit, 1))))
    return chosen


def _meet(a: Box, b: Box) -> bool:
    return a[0] < b[2] + 2 and b[0] < a[2] + 2 and a[1] < b[3] + 2 and b[1] < a[3] + 2


def by_pair(relations: tuple[Relation, ...], most: int) -> dict[tuple[int, int], list[Relation]]:
    """The first ``most`` relations by their ordered pair."""
    pairs: dict[tuple[int, int], list[Relation]] = {}
    for relation in relations[:most]:
        pairs.setdefault((relation.subject, relation.object), []).append(relation)
    return pairs


def _graph(
    graph: SceneGraph, names: dict[int, str], shades: dict[int, Colour], places: np.ndarray, panel: Box, drawn: int
) -> tuple[list[Node], list[Arrow], list[str]]:
    """Nodes of the segments that the drawn relations name, or of the largest where there is none, and arrows."""
    pairs = by_pair(graph.relations, drawn)
    related = {identity for pair in pairs for identity in pair}
    if not related:
        largest = sorted(graph.segments, key=lambda segment: -segment.area)[:MOST_NODES]
        related = {segment.id for segment in largest}
    shown = [n for n, segment in enumerate(graph.segments) if segment.id in related]
    index = {graph.segments[n].id: at for at, n in enumerate(shown)}
    texts = [one_line(names[graph.segments[n].id], 26) for n in shown]
    widths = [text_width(text, NODE_FONT) + 24 for text in texts]
    words = [one_line(", ".join(dict.fromkeys(r.predicate for r in found)), 34) for found in pairs.values()]
    links = [(index[a], index[b], text_width(word, ARROW_FONT) + 8) for (a, b), word in zip(pairs, words, strict=True)]
    inner: Box = (panel[0] + 10, panel[1] + 10, panel[2] - 10, panel[3] - 10)
    share = places[shown].reshape(-1, 2) / np.array([graph.width, graph.height])
    wanted = np.array(inner[:2]) + share * (np.array(inner[2:]) - np.array(inner[:2]))
    centres, arrows = placed(wanted, widths, links, inner)
    nodes = []
    for number, text, width, (x, y) in zip(shown, texts, widths, centres.tolist(), strict=True):
        box = (x - width / 2, y - NODE_HEIGHT / 2, x + width / 2, y + NODE_HEIGHT / 2)
        nodes.append(Node(text, box, shades[graph.segments[number].id]))
    return nodes, arrows, words


def _list(graph: SceneGraph, names: dict[int, str], width: float, top: float) -> list[Line]:
    """All relations in words, surest first, in as many columns as there is room for."""
    if not graph.relations:
        return [Line("no relation above the score threshold", MARGIN, top)]
    texts = [
        (f"{r.score:.2f}", f"{names[r.subject]} {one_line(r.predicate)} {names[r.object]}")
        for r in sorted(graph.relations[:LISTED], key=lambda relation: -relation.score)
    ]
    if len(graph.relations) > LISTED:
        texts.append(("", f"and {len(graph.relations) - LISTED} more"))
    widest = max(text_width(text, LIST_FONT) for _, text in texts) + 70
    columns = max(1, min(4, int((width - 2 * MARGIN) // widest)))
    rows = -(-len(texts) // columns)
    return [
        Line(text, MARGIN + (n // rows) * (width - 2 * MARGIN) / columns, top + ROW * (n % rows), score)
        for n, (score, text) in enumerate(texts)
    ]
