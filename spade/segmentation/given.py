"""Segments from a file: masks and labels that somebody, or another system, has found already."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from spade.core.errors import SpadeError, SpadeWarning
from spade.core.file_kinds import kind_of
from spade.core.files import inside, read_json
from spade.core.paths import base_name, user_path
from spade.core.text import counted
from spade.data.checks import check_pixels, turned
from spade.data.psg_reader import load_psg
from spade.segmentation.given_coco import KINDS, Coded, Kind, Painted, read_coco
from spade.structures.panoptic_png import read_panoptic, spread_id
from spade.structures.run_lengths import paint
from spade.structures.scene_graph import SceneGraph, Segment
from spade.structures.scene_graph_json import graph_document, read_scene_graph
from spade.structures.segment_map import measured, numbered
from spade.structures.vocabulary import Label

MOST = 1000  # segments of an image; every ordered pair of them is looked at


@dataclass(frozen=True)
class _GraphFile:
    """A scene graph's json, and its panoptic png, where it names one."""

    path: Path
    png: Path | None

    @classmethod
    def of(cls, path: Path, document: dict[str, Any]) -> _GraphFile:
        name = document.get("panoptic")
        return cls(path, inside(path.parent, name, path) if isinstance(name, str) else None)


class GivenSegments:
    """The images of a segments file: scene graph json or a folder of them, PSG annotation or a record of it (also
    .gz), or COCO json, of panoptic pngs or with a mask an annotation (run lengths or polygons), with or without
    relations; relations in a file are left alone.

    Boxes and areas are those of the masks, whatever the file says of them. Raises SpadeError where the file is none of
    these.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = path = user_path(path)
        self._labels: tuple[Label, ...] = ()
        self._graphs: dict[str, _GraphFile | Coded | Painted] = {}
        self._sizes: dict[str, tuple[int, int]] = {}  # as far as the file says them
        self._problems: tuple[str, ...] = ()
        self.description = ""  # what the file says of itself
        if path.is_dir():
            self._read_folder()
            return
        kind = _kind(path)
        if kind == "graph":
            document = read_json(path, "scene graph", "")
            self._graphs[base_name(read_scene_graph(path).file_name)] = _GraphFile.of(path, document)
        elif kind == "psg":
            self._read_psg()
        else:
            self._read_coco()

    def of(self, image: str | Path, size: tuple[int, int]) -> SceneGraph:
        """An image's segments as a graph without relations. Raises SpadeError where it has none, or has them at
        another size.
        """
        image = Path(image)
        entry = self._graphs.get(image.name)
        if entry is None:
            names = ", ".join(list(self._graphs)[:3]) or "none"
            why = (
                f" ({len(self._problems)} of its records cannot be used; {self._problems[0]})" if self._problems else ""
            )
            more = " ..." * (len(self._graphs) > 3)
            raise SpadeError(
                f"{self.path}: has no segments of {image.name}{why}; its images "
                f"are {names}{more}; name a file that has them."
            )
        if (stated := self._sizes.get(image.name, size)) != size:
            sizes = (
                f"{image.name} is {size[0]} x {size[1]}, the file says {stated[0]} x {stated[1]}{turned(size, stated)}"
            )
            raise SpadeError(f"{self.path}: {sizes}; give the image for which its segments were made.")
        if isinstance(entry, Coded):
            return self._decoded(image.name, size, entry)
        if not isinstance(entry, _GraphFile):
            return self._painted(image.name, size, entry.png, entry.rows)
        graph = read_scene_graph(entry.path)
        if (graph.width, graph.height) != size:
            stated = (graph.width, graph.height)
            sizes = f"{image.name} is {size[0]} x {size[1]}, its segments are {stated[0]} x {stated[1]}"
            raise SpadeError(f"{self.path}: {sizes}{turned(size, stated)}; give the image for which they were made.")
        return self._masks(replace(graph, relations=(), file_name=image.name))

    def png_of(self, image: Path) -> Path | None:
        """The panoptic png that holds this image's masks; nothing for an image without segments here."""
        entry = self._graphs.get(image.name)
        if isinstance(entry, _GraphFile):
            return entry.png
        return entry.png if isinstance(entry, Painted) else None

    def files(self, images: Sequence[Path]) -> list[Path]:
        """The files that hold these images' segments, as far as they are there."""
        used = [] if self.path.is_dir() else [self.path]
        for image in images:
            entry = self._graphs.get(image.name)
            used += [entry.path] if isinstance(entry, _GraphFile) and entry.path != self.path else []
            used += [png] if (png := self.png_of(image)) is not None and png.is_file() else []
        return used

    def _read_folder(self) -> None:
        for path in sorted(self.path.glob("*.json")):
            document = graph_document(path)
            name = base_name(str(document["image"].get("file_name", ""))) if document is not None else ""
            if document is not None and name:
                self._keep(name, _GraphFile.of(path, document))
        if not self._graphs:
            raise SpadeError(f"{self.path}: holds no scene graph; name a folder that spade predict wrote, or {KINDS}.")

    def _read_psg(self) -> None:
        dataset = load_psg(self.path)
        self._labels, self._problems = dataset.vocabulary.objects, dataset.problems
        known = set()
        for record in dataset.records:
            if record.file_name not in known:  # PSG has annotated a few images twice; the first counts
                known.add(record.file_name)
                rows = [(segment.id, (segment.category, segment.is_thing)) for segment in record.segments]
                self._keep(base_name(record.file_name), Painted(dataset.panoptic_path(record), rows))

    def _read_coco(self) -> None:
        coco = read_coco(self.path)
        self._labels, self.description, self._problems = coco.labels, coco.description, coco.problems
        for name, found in coco.images.items():
            self._keep(base_name(name), found)
        self._sizes = {base_name(name): size for name, size in coco.sizes.items()}

    def _keep(self, name: str, found: _GraphFile | Coded | Painted) -> None:
        if name in self._graphs:
            raise SpadeError(f"{self.path}: two of its images are called {name}; give the images names of their own.")
        self._graphs[name] = found

    def _painted(self, name: str, size: tuple[int, int], png: Path, rows: Sequence[tuple[int, Kind]]) -> SceneGraph:
        segments = [self._segment(identity, kind) for identity, kind in rows]
        return self._masks(self._graph(name, size, segments, read_panoptic(png, size)))

    def _decoded(self, name: str, size: tuple[int, int], coded: Coded) -> SceneGraph:
        self._refuse_many(name, len(coded.masks))
        try:
            numbers = paint(coded.masks, size)
        except (ValueError, TypeError, OverflowError) as error:
            raise SpadeError(f"{self.path}: {name}: {error}; mend the file, or leave that annotation out.") from None
        ids = np.array([0, *(spread_id(n) for n in range(len(coded.masks)))], np.uint32)
        segments = [
            self._segment(identity, kind, mask.score)
            for identity, kind, mask in zip(ids[1:].tolist(), coded.kinds, coded.masks, strict=True)
        ]
        return self._masks(self._graph(name, size, segments, ids[numbers]))

    def _segment(self, identity: int, kind: Kind, score: float = 1.0) -> Segment:
        category, flag = kind
        label = self._labels[category]
        is_thing = label.is_thing if flag is None else flag
        return Segment(identity, label.name, category, is_thing, score, (0, 0, 0, 0), 0, label.supercategory)

    def _graph(self, name: str, size: tuple[int, int], segments: Sequence[Segment], ids: np.ndarray) -> SceneGraph:
        return SceneGraph(name, *size, tuple(segments), (), tuple(label.name for label in self._labels), (), ids)

    def _refuse_many(self, name: str, count: int) -> None:
        if count > MOST:
            raise SpadeError(
                f"{self.path}: {name} has {count} segments; at most {MOST} of an "
                "image can be related, so leave the smallest out."
            )

    def _masks(self, graph: SceneGraph) -> SceneGraph:
        """The graph with boxes and areas as its map has them; a segment without a pixel is none, nor is a pixel of no
        segment.
        """
        self._refuse_many(graph.file_name, len(graph.segments))
        png = self.png_of(Path(graph.file_name))
        numbers = numbered(graph.ids, [segment.id for segment in graph.segments])
        segments = tuple(segment for segment in measured(graph.segments, numbers) if segment.area)
        if graph.segments and not segments:
            if png is None:
                raise SpadeError(
                    f"{self.path}: no mask of {graph.file_name} has a pixel in the image; give polygons and run "
                    "lengths in its pixels."
                )
            raise SpadeError(
                f"{png}: has no pixel of any segment that {self.path} names, such as {graph.segments[0].id}; give the "
                "image its own png."
            )
        missing, count = len(graph.segments) - len(segments), len(graph.segments)
        if missing and png is not None:  # of masks, the smaller may cover others
            check_pixels(missing, count, png, graph.file_name)
            warnings.warn(
                f"{png}: {missing} of {counted(count, 'segment')} of {graph.file_name} have no pixel in it, and are "
                "left out.",
                SpadeWarning,
                stacklevel=3,
            )
        ids = np.where(numbers > 0, graph.ids, 0).astype(np.uint32)
        return replace(graph, segments=segments, panoptic=ids)


def _kind(path: Path) -> str:
    """What a file is, by its top-level names."""
    if path.suffix == ".gz":
        return "psg"  # whose reader says what is wrong with it
    try:
        keys = set(msgspec.json.decode(path.read_bytes().removeprefix(b"\xef\xbb\xbf"), type=dict[str, msgspec.Raw]))
    except OSError as error:
        raise SpadeError(f"{path}: cannot be read ({error.strerror}); name {KINDS}.") from None
    except (ValueError, RecursionError):
        found = kind_of(path)
        what = "is no json object" if found is None else f"is {found[0]}, and holds no segments; {found[1]}, or"
        raise SpadeError(f"{path}: {what}{';' * (found is None)} name {KINDS}.") from None
    if {"image", "segments"} <= keys:
        return "graph"
    if "data" in keys or {"segments_info", "pan_seg_file_name"} <= keys:
        return "psg"
    if {"images", "annotations", "categories"} <= keys:
        return "coco"
    raise SpadeError(f"{path}: is not {KINDS}; its top-level names are {', '.join(sorted(keys)[:6]) or 'none'}.")
