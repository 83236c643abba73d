"""The files of a predicted graph: json, map, figure, and its part of the page."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from spade.core.artifact import ArtifactWriter
from spade.core.errors import SpadeError
from spade.core.files import read_json, write_bytes, write_json, write_text
from spade.steps.predictions import ImageItem

if TYPE_CHECKING:
    from PIL import Image

    from spade.structures.scene_graph import Prediction

PARTS = "page-parts"  # of a page that is being made
_LONGEST = 255 - len(".figure.png.1234567.partial")  # bytes of a name, so that all of its files can be written


@dataclass(frozen=True)
class Outputs:
    """How many relations a graph gets, and what is drawn of it."""

    top: int
    min_score: float
    figures: bool
    page: bool

    def files(self, name: str) -> list[str]:
        """Names of an image's files."""
        return [f"{name}.json", f"{name}.png", *([f"{name}.figure.png"] if self.figures else [])]

    def check_name(self, item: ImageItem) -> None:
        """Raise SpadeError where names of an image's files would be too long for a file system."""
        if len(os.fsencode(item.name)) > _LONGEST:
            raise SpadeError(f"{item.path}: this file name is too long for those of its results; shorten it.")

    def write(self, writer: ArtifactWriter, name: str, image: Image.Image, prediction: Prediction) -> None:
        """Write an image's files, the graph last: it is there when all of them are."""
        from spade.structures.panoptic_png import write_panoptic
        from spade.structures.scene_graph import best_relations

        graph = prediction.graph
        relations = best_relations(
            graph.segments, prediction.pairs, prediction.scores, graph.predicates, self.top, self.min_score
        )
        graph = replace(graph, relations=relations)
        png = f"{name}.png" if graph.panoptic is not None else None
        if png is not None:
            write_panoptic(writer.file(png), graph.ids)
        if self.figures:
            from spade.export.figure import figure_png

            write_bytes(writer.file(f"{name}.figure.png"), figure_png(image, graph))
        if self.page:
            from spade.export.page import entry

            write_text(writer.file(f"{PARTS}/{name}.html"), entry(graph, image))
        write_json(writer.file(f"{name}.json"), graph.to_json(png))

    def write_page(self, writer: ArtifactWriter, names: Sequence[str], note: str) -> str | None:
        """Put the page together of its parts; the name of the first page, where there is one."""
        if not self.page:
            return None
        from spade.export.page import Summary, write_pages

        def part(name: str) -> str:
            return writer.file(f"{PARTS}/{name}.html").read_text("utf-8")

        def summary(name: str) -> Summary:
            return Summary.of_json(read_json(writer.file(f"{name}.json"), "scene graph", "run it again with `force`."))

        title = names[0] if len(names) == 1 else f"{len(names)} scene graphs"
        pages = write_pages(writer.path, names, part, summary, title, note)
        shutil.rmtree(writer.file(PARTS))
        return pages[0]


def page_files(outputs: Outputs, count: int) -> list[str]:
    """Names of the pages of so many images, where there is one."""
    if not outputs.page:
        return []
    from spade.export.page import page_names

    return page_names(count)
