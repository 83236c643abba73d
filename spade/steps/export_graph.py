"""Step 6: scene graphs to graph files."""

from __future__ import annotations

import glob
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from spade.core.artifact import keyed, verify
from spade.core.errors import SpadeError, given
from spade.core.files import canonical_hash, inside, read_json, sha256_file, write_bytes
from spade.core.paths import user_path
from spade.export.graph_files import FORMATS, GraphFormat, graph_format
from spade.steps.common import Run, StepResult, cached_result, finished_result, report_skipped
from spade.steps.config import ExportConfig
from spade.steps.results import ExportGraphResult, PredictResult
from spade.structures.scene_graph import SceneGraph
from spade.structures.scene_graph_json import graph_document, read_scene_graph
from spade.structures.segment_map import measured, numbered

STEP, VERSION = "export-graph", 2
MERGED = "graphs"  # the stem of a merged file


@dataclass(frozen=True)
class _Source:
    """A scene graph file, its panoptic png where that is read, and a hash of both."""

    path: Path
    png: Path | None
    digest: str

    @classmethod
    def of(cls, path: Path, kind: GraphFormat) -> _Source:
        """Maps are read for formats that hold masks, and for files of before graphs held centroids."""
        try:
            content = path.read_bytes()
        except OSError as error:
            raise SpadeError(f"{path}: this scene graph cannot be read ({error.strerror}); check the name.") from None
        digest, png = hashlib.sha256(content).hexdigest(), None
        if kind.needs_maps or b'"centroid"' not in content:
            document = read_json(path, "scene graph", "write it with: spade predict")
            name = document.get("panoptic") if isinstance(document, dict) else None
            png = inside(path.parent, name, path) if isinstance(name, str) else None
        if png is not None and png.is_file():
            digest += sha256_file(png)
        return cls(path, png, digest)

    def read(self) -> SceneGraph:
        graph = read_scene_graph(self.path, with_map=self.png is not None)
        if graph.panoptic is None or all(
            segment.centroid is not None or not segment.area for segment in graph.segments
        ):
            return graph
        numbers = numbered(graph.panoptic, [segment.id for segment in graph.segments])
        middles = [segment.centroid for segment in measured(graph.segments, numbers)]
        known = [replace(s, centroid=middle) for s, middle in zip(graph.segments, middles, strict=True)]
        return replace(graph, segments=tuple(known))


def run(config: ExportConfig, run: Run) -> StepResult[ExportGraphResult]:
    """Write the newest predictions, or the named graphs, as graph files."""
    kind = graph_format(config.format)
    paths, problems = _graphs(config, run)
    names = _names(config, paths, kind)
    _refuse_output(config, kind, paths, names)
    sources = [_Source.of(path, kind) for path in paths]
    prints = {"graphs": canonical_hash([[source.path.name, source.digest] for source in sources])}
    writer = run.workspace.writer(STEP, VERSION, keyed(config), fingerprints=prints, force=run.force)
    if writer.cached:
        done = cached_result(ExportGraphResult, writer)
    else:
        first = sources[0].read()  # what is wrong with it is said before anything is made
        writer.begin()
        try:
            written = []
            tracked = run.report.track(_files(config, kind, sources, names, first), "export", total=len(sources))
            for name, data in (part for parts in tracked for part in parts):
                write_bytes(writer.file(name), data)
                written.append(name)
            done = finished_result(ExportGraphResult, writer.finish(ExportGraphResult(written).to_json()))
        finally:
            writer.release()
    report_skipped(problems, "files", run.report, strict=False)
    if config.output is not None:
        for name in done.result.files:
            write_bytes(_target(config.output, kind, name, names), (done.path / name).read_bytes())
        done = replace(done, result=replace(done.result, output=str(config.output)))
    return done


def _graphs(config: ExportConfig, run: Run) -> tuple[list[Path], list[str]]:
    """The scene graphs that are asked for, and what of a folder is none. Raises SpadeError where nothing is left."""
    if not config.graphs:
        newest = run.workspace.need("predict", "spade export-graph", run.source)
        verify(newest, "run spade predict again")
        return [newest.path / name for name in PredictResult.of(newest).graphs], []
    found: list[Path] = []
    problems: list[str] = []
    for name in config.graphs:
        path = user_path(name)
        if path.is_dir():
            # Listed, not globbed: a folder that may not be read answers so.
            listed = sorted(p for p in path.iterdir() if p.match("*.json"))
            inside_it = [p for p in listed if p.name != "manifest.json"]
            graphs = [p for p in inside_it if graph_document(p) is not None]
            problems += [f"{p}: is no scene graph" for p in inside_it if p not in graphs]
        elif path.is_file():
            graphs = [path]
        else:
            graphs = sorted(Path(p) for p in glob.glob(str(path), recursive=True) if Path(p).is_file())
        if not graphs:
            raise SpadeError(f"{name}: no scene graph there; write one with: spade predict")
        found += graphs
    return list(dict.fromkeys(found)), problems


def _names(config: ExportConfig, paths: Sequence[Path], kind: GraphFormat) -> list[str]:
    """Stems of what is written, numbered where two would be one."""
    if config.merge:
        return [MERGED]
    used: set[str] = set()
    names = []
    for path in paths:
        name, number = path.stem, 1
        while name.casefold() in used:
            number += 1
            name = f"{path.stem}-{number}"
        used.add(name.casefold())
        names.append(name)
    return names


def _files(
    config: ExportConfig, kind: GraphFormat, sources: Sequence[_Source], names: Sequence[str], first: SceneGraph
) -> Iterator[list[tuple[str, bytes]]]:
    """For each graph the files that are written of it, one graph in memory at a time; merged, all with the last."""
    if not config.merge:
        for number, (source, name) in enumerate(zip(sources, names, strict=True)):
            graph = source.read() if number else first
            yield [(f"{name}{ending}", data) for ending, data in kind.write([graph], False).items()]
        return
    # One after the other: of their maps there is never more than one.
    graphs = (source.read() if number else first for number, source in enumerate(sources))
    yield [(f"{MERGED}{ending}", data) for ending, data in kind.write(graphs, True).items()]


def _target(output: Path, kind: GraphFormat, name: str, names: Sequence[str]) -> Path:
    """Where a file of the artifact goes."""
    if _is_file(output, kind):
        return output
    # One graph as csv: the folder is the one that was named.
    return output / (Path(name).name if len(names) == 1 and "/" in name else name)


def _is_file(output: Path, kind: GraphFormat) -> bool:
    return kind.suffixes[0] != "" and output.suffix != "" and not output.is_dir()


def _refuse_output(config: ExportConfig, kind: GraphFormat, paths: Iterable[Path], names: Sequence[str]) -> None:
    """Raise SpadeError for an output whose suffix is another format's, that names one file for several graphs, or that
    would replace a graph that is read.
    """
    output = config.output
    if output is None:
        return
    suffix = output.suffix.lower()
    if not kind.suffixes[0] and suffix == f".{config.format}":
        raise SpadeError(f"{given('output', output)}: csv is a folder with nodes.csv and edges.csv; name a folder.")
    if suffix and not output.is_dir() and suffix not in kind.suffixes:
        others = [name for name, other in FORMATS.items() if suffix in other.suffixes]
        if others or kind.suffixes[0]:
            remedy = f"use {given('format', others[0])}" if others else "name a folder, or a file so"
            wanted = kind.suffixes[0] or "a folder"
            raise SpadeError(f"{given('output', output)}: {config.format} is written as {wanted}; {remedy}.")
    if _is_file(output, kind) and len(names) > 1:
        raise SpadeError(
            f"{given('output', output)}: is one file for {len(names)} graphs; name a folder, or use {given('merge')}."
        )
    read = {path.resolve() for path in paths}
    endings = ["/nodes.csv", "/edges.csv"] if not kind.suffixes[0] else [kind.suffixes[0]]
    for name in names:
        for ending in endings:
            target = _target(output, kind, f"{name}{ending}", names)
            if target.resolve() in read:
                raise SpadeError(f"{target}: is a graph that is read, and would be replaced; choose another `output`.")
