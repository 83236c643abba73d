"""A figure as pixels: the image under its masks, beside it the graph, below them all relations in words."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageDraw

from spade.core.errors import SpadeError
from spade.data.images import open_image
from spade.export.arrows import Box
from spade.export.figure_layout import ARROW_FONT, LIST_FONT, NODE_FONT, FigureLayout, layout
from spade.export.fonts import text_width, typeset
from spade.structures.scene_graph import SceneGraph

INK, FAINT, PAPER, ARROW = (28, 30, 36), (118, 122, 132), (255, 255, 255), (74, 78, 90)
VEILED = 0.86  # share of white over the image behind the graph
TINTED = 0.36  # share of a mask's colour over the image
FINE = 2  # drawn so many times larger, then averaged: smooth edges


def figure(image: Image.Image | None, graph: SceneGraph) -> Image.Image:
    """The figure of a graph over its image (any size): RGB. Without an image, over the graph's own, or over grey."""
    return drawn(layout(graph), backdrop(image, graph))


def backdrop(image: Image.Image | None, graph: SceneGraph) -> Image.Image:
    """What is drawn below the masks: the image that is given, the graph's own, or grey."""
    if image is not None:
        opened = open_image(image)
        if opened.size != (graph.width, graph.height):
            sizes = f"is {opened.width} x {opened.height}, the graph's {graph.width} x {graph.height}"
            raise SpadeError(f"image: {sizes}; give the image that the graph is of.")
        return opened
    return graph.image or Image.new("RGB", (graph.width, graph.height), (208, 210, 214))


def figure_png(image: Image.Image | None, graph: SceneGraph) -> bytes:
    """The figure as the bytes of a png."""
    buffer = io.BytesIO()
    figure(image, graph).save(buffer, "PNG", compress_level=2)  # 6 takes three times as long, for a tenth less
    return buffer.getvalue()


def drawn(plan: FigureLayout, image: Image.Image) -> Image.Image:
    """A layout as an image."""
    size = plan.size
    page = Image.new("RGB", (size[0] * FINE, size[1] * FINE), PAPER)
    photo = image.convert("RGB").resize(_size(plan.image), Image.Resampling.BICUBIC)
    page.paste(photo if plan.boxes else _masked(plan, photo), _corner(plan.image))
    page.paste(Image.blend(photo, Image.new("RGB", photo.size, PAPER), VEILED), _corner(plan.panel))
    brush = ImageDraw.Draw(page)
    for mask in plan.masks:
        for polygon in mask.polygons:
            for ring in polygon:
                brush.line((ring * FINE).ravel().tolist(), fill=PAPER, width=9 if plan.boxes else 3, joint="curve")
                if plan.boxes:
                    brush.line((ring * FINE).ravel().tolist(), fill=mask.colour, width=5, joint="curve")
    _arrows(brush, plan)
    for node in plan.nodes:
        _pill(brush, node.box, node.colour, 2)
    frames = {mask.segment: mask.colour for mask in plan.masks} if plan.boxes else {}
    for name in plan.names:
        _pill(brush, name.box, frames.get(name.segment, FAINT), 2 if plan.boxes else 1)
    page = page.reduce(FINE)
    _words(ImageDraw.Draw(page), plan)
    return page


def _size(box: Box) -> tuple[int, int]:
    return round((box[2] - box[0]) * FINE), round((box[3] - box[1]) * FINE)


def _corner(box: Box) -> tuple[int, int]:
    return round(box[0] * FINE), round(box[1] * FINE)


def _masked(plan: FigureLayout, photo: Image.Image) -> Image.Image:
    """The image under its masks, large ones below."""
    shades, cover = Image.new("RGB", photo.size, PAPER), Image.new("L", photo.size, 0)
    colour, share = ImageDraw.Draw(shades), ImageDraw.Draw(cover)
    origin = np.array(plan.image[:2])
    for mask in plan.masks:
        for outer, *holes in mask.polygons:
            corners = ((outer - origin) * FINE).ravel().tolist()
            colour.polygon(corners, fill=mask.colour)
            share.polygon(corners, fill=round(255 * TINTED))
            for hole in holes:  # what lies in it is smaller and painted later
                corners = ((hole - origin) * FINE).ravel().tolist()
                colour.polygon(corners, fill=PAPER)
                share.polygon(corners, fill=0)
    return Image.composite(shades, photo, cover)


def _arrows(brush: ImageDraw.ImageDraw, plan: FigureLayout) -> None:
    """Lines with heads; words have a white ground, so that they break no line but their own."""
    for arrow in plan.arrows:
        brush.line((arrow.shaft * FINE).ravel().tolist(), fill=ARROW, width=3)
        brush.polygon((arrow.head * FINE).ravel().tolist(), fill=ARROW)
    for arrow in plan.arrows:
        brush.rounded_rectangle([v * FINE for v in arrow.label], 6, fill=(252, 252, 253))


def _pill(brush: ImageDraw.ImageDraw, box: Box, colour: tuple[int, int, int], width: int) -> None:
    corners = [v * FINE for v in box]
    brush.rounded_rectangle(corners, (box[3] - box[1]) / 2 * FINE, fill=PAPER, outline=colour, width=width * FINE)


def _words(brush: ImageDraw.ImageDraw, plan: FigureLayout) -> None:
    for boxes, size in (
        ([(name.text, name.box) for name in plan.names], ARROW_FONT),
        ([(node.text, node.box) for node in plan.nodes], NODE_FONT),
        ([(word, arrow.label) for word, arrow in zip(plan.predicates, plan.arrows, strict=True)], ARROW_FONT),
    ):
        for text, box in boxes:
            # By the baseline, so that names with and without descenders stand level.
            start = (box[0] + box[2] - text_width(text, size)) / 2
            _write(brush, (start, (box[1] + box[3]) / 2 + 0.36 * size), text, size, INK)
    for line in plan.lines:
        at = line.y + LIST_FONT
        _write(brush, (line.x, at), line.score, LIST_FONT, FAINT)
        _write(brush, (line.x + (42 if line.score else 0), at), line.text, LIST_FONT, INK)


def _write(
    brush: ImageDraw.ImageDraw, at: tuple[float, float], text: str, size: int, ink: tuple[int, int, int]
) -> None:
    """A line of text that begins at a point of its baseline."""
    x, y = at
    for piece, font in typeset(text, size):
        brush.text((x, y), piece, font=font, fill=ink, anchor="ls")
        x += font.getlength(piece)
