"""A graph to a file, as its suffix says, and back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from spade.core.errors import SpadeError, given
from spade.core.files import write_bytes, write_json, write_text
from spade.core.paths import base_name, user_path
from spade.data.images import read_image
from spade.structures.panoptic_png import write_panoptic
from spade.structures.scene_graph import SceneGraph
from spade.structures.scene_graph_json import is_map_of, read_scene_graph

KNOWN = ".json, .html, .svg, .figure.png, .graphml, .gexf, .dot, .gv or .cypher"


def save(graph: SceneGraph, path: str | Path, format: str | None = None) -> Path:
    """Write a graph to ``path``; see ``SceneGraph.save``."""
    from spade.export.graph_files import FORMATS, graph_format

    if not isinstance(path, (str, Path)):
        raise SpadeError(f"path: {type(path).__name__} is none; give the name of a file, such as graph.html.")
    path = user_path(path)
    name = path.name.lower()
    if format is not None:
        chosen = graph_format(format)
        suffix = path.suffix.lower()
        if suffix not in chosen.suffixes:
            wanted = chosen.suffixes[0] or "a folder, without a suffix"
            raise SpadeError(f"{path}: {given('format', format)} is written as {wanted}; name it so.")
        return _written(graph, path, format)
    drawings: dict[str, Callable[[SceneGraph, Path], None]] = {
        ".json": _save_json,
        ".html": _save_page,
        ".svg": _save_svg,
        ".figure.png": _save_figure,
    }
    for suffix, write in drawings.items():
        if name.endswith(suffix) and name != suffix:
            write(graph, path)
            return path
    for known, kind in FORMATS.items():
        if path.suffix.lower() in kind.suffixes and path.suffix.lower() not in ("", ".json"):
            return _written(graph, path, known)
    if name.endswith(".png"):
        raise SpadeError(
            f"{path}: a png may be the figure or the map; name it {path.stem}.figure.png for the figure, or "
            f"{path.stem}.json for the graph with its map."
        )
    raise SpadeError(f"{path}: this suffix says no format; use {KNOWN}, or give {given('format')}.")


def _written(graph: SceneGraph, path: Path, name: str) -> Path:
    from spade.export.graph_files import FORMATS

    for ending, data in FORMATS[name].write([graph], False).items():
        write_bytes(path / ending.lstrip("/") if ending.startswith("/") else path, data)
    return path


def _save_json(graph: SceneGraph, path: Path) -> None:
    """The map first: a graph is there only with its map."""
    png = None
    if graph.panoptic is not None:
        png = path.with_suffix(".png")
        if png.exists() and not is_map_of(path, png):
            raise SpadeError(f"{png}: is there and is no map of {path.name}, which would replace it; use another name.")
        write_panoptic(png, graph.panoptic)
    write_json(path, graph.to_json(None if png is None else png.name))


def _save_page(graph: SceneGraph, path: Path) -> None:
    from spade.export.page import page

    write_text(path, page([graph]))


def _save_svg(graph: SceneGraph, path: Path) -> None:
    from spade.export.figure_svg import figure_svg

    write_text(path, figure_svg(None, graph))


def _save_figure(graph: SceneGraph, path: Path) -> None:
    from spade.export.figure import figure_png

    write_bytes(path, figure_png(None, graph))


def open_graph(path: str | Path) -> SceneGraph:
    """The graph of a scene graph json, with its map; and its image where that lies beside it and has its size."""
    from dataclasses import replace

    path = user_path(path)
    graph = read_scene_graph(path)
    beside = path.parent / base_name(graph.file_name) if graph.file_name else None
    if beside is None or not beside.is_file() or beside.name == path.with_suffix(".png").name:
        return graph
    try:
        image = read_image(beside)
    except SpadeError:
        return graph  # a graph can be read without its image
    return replace(graph, image=image) if image.size == (graph.width, graph.height) else graph
