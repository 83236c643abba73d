"""Scene graphs as a page: one file that needs no network, for one image or a thousand."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from spade.core.files import write_chunks
from spade.core.templates import asset, jpeg_uri, render
from spade.core.text import one_line
from spade.export.figure import backdrop
from spade.export.figure_layout import mask_polygons, name_places, named_places
from spade.export.figure_svg import hex_colour
from spade.export.names import colours, display_names
from spade.export.outlines import path_data
from spade.structures.scene_graph import SceneGraph
from spade.structures.segment_map import numbered
from spade.structures.vocabulary import plain_name

PIXELS = 960  # longest side of an image in the page
FIRST = 8  # relations of an image that are shown at first
MOST = 1000  # images of a page; of more there are several


def page(graphs: Sequence[SceneGraph], title: str = "", note: str = "") -> str:
    """One page of some graphs, over their own images or over grey."""
    summaries = [Summary.of(graph) for graph in graphs]
    title = title or (one_line(graphs[0].file_name, 200) if len(graphs) == 1 else "") or "scene graphs"
    return "".join(_chunks([entry(graph) for graph in graphs], summaries, title, note, ["page.html"], 0))


def write_pages(
    folder: Path,
    images: Sequence[str],
    entry_of: Callable[[str], str],
    summary_of: Callable[[str], Summary],
    title: str,
    note: str,
) -> list[str]:
    """Pages of many images, ``MOST`` a page, each linking the others; entries are asked for one by one as they are
    written. Returns the pages' names.
    """
    names = page_names(len(images))
    for number, name in enumerate(names):
        block = images[number * MOST : (number + 1) * MOST]
        summaries = [summary_of(image) for image in block]
        chunks = _chunks(map(entry_of, block), summaries, title, note, names, number)
        write_chunks(folder / name, (chunk.encode("utf-8") for chunk in chunks))
    return names


def page_names(count: int) -> list[str]:
    """Names of the pages of so many images."""
    pages = max(1, -(-count // MOST))
    return ["page.html", *(f"page-{number}.html" for number in range(2, pages + 1))]


def notebook_html(graph: SceneGraph) -> str:
    """The page in a frame of its own, as notebooks show it."""
    return render("notebook.html", page=page([graph]))


class Summary:
    """What the controls of a page must know of an image: its predicates, its labels, how many relations it has."""

    def __init__(self, predicates: Iterable[str], labels: Iterable[str], relations: int) -> None:
        self.predicates = {one_line(name, 80) for name in predicates}
        self.labels, self.relations = {one_line(plain_name(name), 80) for name in labels}, relations

    @classmethod
    def of(cls, graph: SceneGraph) -> Summary:
        """Of one graph."""
        return cls((r.predicate for r in graph.relations), (s.label for s in graph.segments), len(graph.relations))

    @classmethod
    def of_json(cls, document: Mapping[str, Any]) -> Summary:
        """Of a scene graph's document."""
        relations = document["relations"]
        return cls((r["predicate"] for r in relations), (s["label"] for s in document["segments"]), len(relations))


def entry(graph: SceneGraph, image: Image.Image | None = None) -> str:
    """An image's part of a page: its segments' outlines and its relations as data, and the image itself."""
    return render("page_entry.html", entry=_facts(graph), photo=jpeg_uri(backdrop(image, graph), PIXELS, 76))


def _facts(graph: SceneGraph) -> dict[str, Any]:
    names, shades = display_names(graph, longest=40), colours(graph)
    numbers = None if graph.panoptic is None else numbered(graph.panoptic, [s.id for s in graph.segments])
    places, polygons = name_places(graph, numbers), mask_polygons(graph, numbers)
    shown = dict(named_places(graph, places))
    index = {segment.id: number for number, segment in enumerate(graph.segments)}
    digits = 1 if max(graph.width, graph.height) < 400 else 0
    return {
        "name": one_line(graph.file_name, 200) or "image",
        "width": graph.width,
        "height": graph.height,
        "boxes": graph.panoptic is None,
        "segments": [
            {
                "name": names[segment.id],
                "label": one_line(plain_name(segment.label), 80),
                "official": one_line(segment.label, 80),
                "at": shown.get(segment.id),
                "colour": hex_colour(shades[segment.id]),
                "area": segment.area,
                "x": round(float(x), 1),
                "y": round(float(y), 1),
                "d": path_data(rings, digits),
            }
            for segment, (x, y), rings in zip(graph.segments, places, polygons, strict=True)
        ],
        "relations": [
            {
                "s": index[r.subject],
                "o": index[r.object],
                "predicate": one_line(r.predicate, 80),
                "score": round(r.score, 4),
            }
            for r in graph.relations
        ],
    }


def _chunks(
    entries: Iterable[str], summaries: Sequence[Summary], title: str, note: str, pages: Sequence[str], number: int
) -> Iterator[str]:
    """A page piece by piece."""
    most = max([1, *(summary.relations for summary in summaries)])
    yield render(
        "page.html",
        title=title,
        note=note,
        pages=pages,
        this=pages[number],
        style=asset("page.css"),
        most=most,
        first=min(FIRST, most),
    )
    yield from entries
    facts = {
        "predicates": sorted(set().union(*(summary.predicates for summary in summaries))),
        "labels": sorted(set().union(*(summary.labels for summary in summaries))),
    }
    yield render(
        "page_end.html",
        facts=facts,
        library=asset("d3-force.min.js"),
        plot=asset("page_plot.js"),
        script=asset("page.js"),
    )
