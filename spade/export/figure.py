"""One image that shows a result: the image, its masks, its graph."""

from __future__ import annotations

import colorsys
import io

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from spade.core.text import one_line
from spade.structures.scene_graph import SceneGraph

PANEL = 420  # height of a panel in pixels
MARGIN = 16
INK, FAINT, PAPER = (32, 34, 40), (120, 124, 134), (255, 255, 255)
Point = tuple[float, float]
Box = tuple[float, float, float, float]


def figure(image: Image.Image, graph: SceneGraph, relations: int = 12) -> Image.Image:
    """Image, masks and graph side by side, the ``relations`` best relations in words below."""
    scale = PANEL / image.height
    size = (max(1, min(round(image.width * scale), 3 * PANEL)), PANEL)
    resized = image.convert("RGB").resize(size, Image.Resampling.BICUBIC)
    shown = graph.relations[:relations]
    colours = _colours(graph)
    panels = [resized, _masks(resized, graph, colours), _graph(graph, colours, (max(PANEL, size[0]), PANEL), relations)]
    width = sum(panel.width for panel in panels) + MARGIN * (len(panels) + 1)
    columns = max(1, min(3, width // 400))
    rows = -(-len(shown) // columns)
    page = Image.new("RGB", (width, PANEL + 2 * MARGIN + 24 + 24 * max(rows, 1)), PAPER)
    x = MARGIN
    for panel in panels:
        page.paste(panel, (x, MARGIN))
        x += panel.width + MARGIN
    _words(page, graph, relations, columns, PANEL + 2 * MARGIN)
    return page


def figure_png(image: Image.Image, graph: SceneGraph) -> bytes:
    """The figure as the bytes of a png."""
    buffer = io.BytesIO()
    figure(image, graph).save(buffer, "PNG")
    return buffer.getvalue()


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _colours(graph: SceneGraph) -> dict[int, tuple[int, int, int]]:
    """A colour a segment: the golden angle keeps neighbours in the list apart."""
    colours = {}
    for index, segment in enumerate(graph.segments):
        rgb = colorsys.hls_to_rgb((0.08 + index * 0.61803) % 1.0, 0.52, 0.62 if segment.is_thing else 0.34)
        colours[segment.id] = (int(255 * rgb[0]), int(255 * rgb[1]), int(255 * rgb[2]))
    return colours


def _masks(image: Image.Image, graph: SceneGraph, colours: dict[int, tuple[int, int, int]]) -> Image.Image:
    """The image under coloured masks with outlines and labels."""
    ids = np.asarray(Image.fromarray(graph.panoptic.astype(np.int32)).resize(image.size, Image.Resampling.NEAREST))
    base = np.asarray(image, np.float32)
    grey = base.mean(-1, keepdims=True) * 0.55 + 70
    out = np.repeat(grey, 3, axis=-1)
    for identity, colour in colours.items():
        mask = ids == identity
        out[mask] = 0.45 * grey[mask] + 0.55 * np.array(colour, np.float32)
    edge = np.zeros(ids.shape, bool)
    edge[:, 1:] |= ids[:, 1:] != ids[:, :-1]
    edge[1:] |= ids[1:] != ids[:-1]
    out[edge] = 255
    shown = Image.fromarray(np.clip(out, 0, 255).astype(np.uint8))
    paint, font = ImageDraw.Draw(shown), _font(14)
    taken: list[Box] = []
    for segment in graph.segments:
        ys, xs = np.nonzero(ids == segment.id)
        if not len(xs):
            continue
        middle = int(np.argmin((xs - xs.mean()) ** 2 + (ys - ys.mean()) ** 2))
        box = _place(
            (float(xs[middle]), float(ys[middle])),
            paint.textbbox((0, 0), one_line(segment.label), font=font),
            shown.size,
            taken,
        )
        taken.append(box)
        paint.rounded_rectangle(box, 4, fill=(255, 255, 255))
        paint.text((box[0] + 4, box[1] + 1), one_line(segment.label), font=font, fill=INK)
    return shown


def _place(at: Point, text: Box, size: tuple[int, int], taken: list[Box]) -> Box:
    """A label's box near a point, inside the panel, moved down or up past boxes that are taken."""
    width, height = text[2] + 8, 20.0
    x = min(max(at[0] - width / 2, 0), max(0, size[0] - width))
    for shift in (0, 22, -22, 44, -44, 66, -66):
        y = min(max(at[1] - height / 2 + shift, 0), size[1] - height)
        if not any(_meet((x, y, x + width, y + height), other) for other in taken):
            break
    return x, y, x + width, y + height


def _meet(a: Box, b: Box) -> bool:
    """Whether two boxes overlap."""
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _graph(
    graph: SceneGraph, colours: dict[int, tuple[int, int, int]], size: tuple[int, int], relations: int
) -> Image.Image:
    """Nodes near where their segments lie, pushed apart; arrows with predicates."""
    panel = Image.new("RGB", size, (248, 248, 250))
    paint, font, small = ImageDraw.Draw(panel), _font(15), _font(13)
    where = _layout(graph, size)
    labels = []
    for relation in graph.relations[:relations]:
        labels.append((_arrow(paint, where[relation.subject], where[relation.object]), one_line(relation.predicate)))
    halves = []
    for segment in graph.segments:
        x, y = where[segment.id]
        half = paint.textlength(one_line(segment.label), font=font) / 2 + 9
        halves.append(half)
        paint.rounded_rectangle(
            (x - half, y - 13, x + half, y + 13), 13, fill=colours[segment.id], outline=(255, 255, 255), width=2
        )
        paint.text(
            (x, y),
            one_line(segment.label),
            font=font,
            fill=(255, 255, 255),
            anchor="mm",
            stroke_width=1,
            stroke_fill=(60, 60, 66),
        )
    taken: list[Box] = [
        (x - half, y - 13, x + half, y + 13) for (x, y), half in zip(where.values(), halves, strict=True)
    ]
    for (tail, head), predicate in labels:
        half = paint.textlength(predicate, font=small) / 2 + 3
        for share in (0.5, 0.4, 0.6, 0.3, 0.7, 0.22, 0.78):
            x, y = tail + (head - tail) * share
            x = min(max(x, half), size[0] - half)
            box = (x - half, y - 8, x + half, y + 8)
            if not any(_meet(box, other) for other in taken):
                break
        taken.append(box)
        paint.rectangle(box, fill=(248, 248, 250))
        paint.text((box[0] + 3, box[1]), predicate, font=small, fill=INK)
    return panel


def _layout(graph: SceneGraph, size: tuple[int, int]) -> dict[int, Point]:
    """Positions in the panel: where the segments lie in the image, pushed apart until labels and arrows have room."""
    low, high = np.array([70.0, 26.0]), np.array([size[0] - 70.0, size[1] - 26.0])
    centres = [
        ((s.bbox[0] + s.bbox[2]) / 2 / graph.width, (s.bbox[1] + s.bbox[3]) / 2 / graph.height) for s in graph.segments
    ]
    points = low + np.array(centres).reshape(-1, 2) * (high - low)
    points += 0.5 * np.stack(
        [np.cos(np.arange(len(points))), np.sin(np.arange(len(points)))], axis=1
    )  # no two in one place
    stretch, room = np.array([0.62, 1.0]), min(105.0, 1.05 * (np.prod(high - low) / max(len(points), 1)) ** 0.5)
    for _ in range(300):
        apart = (points[:, None] - points[None]) * stretch
        distance = np.linalg.norm(apart, axis=-1) + 1e-9
        push = np.where(distance < room, (room - distance) / distance, 0)[..., None] * apart
        points = np.clip(points + 0.12 * push.sum(1) / stretch, low, high)
    return {s.id: (float(x), float(y)) for s, (x, y) in zip(graph.segments, points, strict=True)}


def _arrow(paint: ImageDraw.ImageDraw, start: Point, end: Point) -> tuple[np.ndarray, np.ndarray]:
    """An arrow a little to one side of the straight line, so that both directions can be seen; returns its ends."""
    a, b = np.array(start), np.array(end)
    length = float(np.linalg.norm(b - a)) or 1.0
    along = (b - a) / length
    side = np.array([-along[1], along[0]]) * 7
    # Arrows stop where the node's pill begins: wide to the sides, low above and below.
    gap = min(48 / max(abs(float(along[0])), 1e-3), 17 / max(abs(float(along[1])), 1e-3))
    gap = min(gap, length / 2.5)
    tail, head = a + side + along * gap, b + side - along * gap
    paint.line([tuple(tail), tuple(head)], fill=FAINT, width=2)
    wing = np.array([-along[1], along[0]]) * 5
    paint.polygon([tuple(head), tuple(head - along * 11 + wing), tuple(head - along * 11 - wing)], fill=FAINT)
    return tail, head


def _words(page: Image.Image, graph: SceneGraph, relations: int, columns: int, top: int) -> None:
    """The best relations as sentences."""
    paint, font = ImageDraw.Draw(page), _font(15)
    shown = list(zip(graph.triples(), graph.relations, strict=True))[:relations]
    shown.sort(key=lambda pair: -pair[1].score)
    if not shown:
        paint.text((MARGIN, top), "no relation above the score threshold", font=font, fill=FAINT)
    rows = -(-len(shown) // columns)
    for index, ((subject, predicate, target), relation) in enumerate(shown):
        column, row = divmod(index, max(rows, 1))
        x = MARGIN + column * (page.width - 2 * MARGIN) / columns
        paint.text(
            (x, top + 24 * row),
            f"{relation.score:.2f}  {one_line(subject)} {one_line(predicate)} {one_line(target)}",
            font=font,
            fill=INK,
        )
