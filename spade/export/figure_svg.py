"""A figure as svg: the geometry of the png, sharp at any size, the image within as jpeg."""

from __future__ import annotations

from PIL import Image

from spade.core.templates import jpeg_uri, render
from spade.core.text import one_line
from spade.export.figure import ARROW, FAINT, INK, TINTED, VEILED, backdrop
from spade.export.figure_layout import ARROW_FONT, LIST_FONT, NODE_FONT, layout
from spade.export.fonts import FAMILY, text_width
from spade.export.names import Colour
from spade.export.outlines import path_data
from spade.structures.scene_graph import SceneGraph

LONGEST = 1280  # pixels of the image within


def figure_svg(image: Image.Image | None, graph: SceneGraph) -> str:
    """The figure of a graph over its image (any size) as an svg document that needs no other file; see ``figure``."""
    plan = layout(graph)
    return render(
        "figure.svg",
        plan=plan,
        frames={mask.segment: hex_colour(mask.colour) for mask in plan.masks} if plan.boxes else {},
        photo=jpeg_uri(backdrop(image, graph), LONGEST),
        title=one_line(f"scene graph of {graph.file_name or 'an image'}", 200),
        family=FAMILY,
        ink=hex_colour(INK),
        arrow_ink=hex_colour(ARROW),
        faint=hex_colour(FAINT),
        veil=VEILED,
        tint=TINTED,
        node_size=NODE_FONT,
        arrow_size=ARROW_FONT,
        list_size=LIST_FONT,
        colour=hex_colour,
        path=path_data,
        width=text_width,
    )


def hex_colour(colour: Colour) -> str:
    """A colour as "#rrggbb"."""
    return "#{:02x}{:02x}{:02x}".format(*colour)
