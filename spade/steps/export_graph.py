"""Step 6: scene graphs to graph files."""

from __future__ import annotations

from pathlib import Path

from spade.core.artifact import keyed
from spade.core.errors import SpadeError
from spade.core.files import canonical_hash, sha256_file, write_bytes
from spade.steps.common import Run, StepResult, cached_result, finished_result
from spade.steps.config import ExportConfig
from spade.steps.results import ExportGraphResult, PredictResult
from spade.structures.scene_graph import SceneGraph
from spade.structures.scene_graph_json import read_scene_graph

STEP, VERSION = "export-graph", 1


def run(config: ExportConfig, run: Run) -> StepResult[ExportGraphResult]:
    """Write the newest predictions, or the named graphs, as graph files."""
    paths = _graphs(config, run)
    prints = {"graphs": canonical_hash([[path.name, sha256_file(path)] for path in paths])}
    writer = run.workspace.writer(STEP, VERSION, keyed(config), fingerprints=prints, force=run.force)
    if writer.cached:
        done = cached_result(ExportGraphResult, writer)
    else:
        files = _files(config, [read_scene_graph(path) for path in paths], paths)
        writer.begin()
        try:
            for name, data in files.items():
                write_bytes(writer.file(name), data)
            done = finished_result(ExportGraphResult, writer.finish(ExportGraphResult(list(files)).to_json()))
        finally:
            writer.release()
    if config.output is not None:
        names = done.result.files
        single = len(names) == 1 and config.output.suffix != "" and not config.output.is_dir()
        for name in names:
            write_bytes(config.output if single else config.output / name, (done.path / name).read_bytes())
    return done


def _graphs(config: ExportConfig, run: Run) -> list[Path]:
    if config.graphs:
        for path in config.graphs:
            if not path.is_file():
                raise SpadeError(f"{path}: no such scene graph; write one with: spade predict")
        return list(config.graphs)
    newest = run.workspace.need("predict", "spade export-graph", run.source)
    return [newest.path / name for name in PredictResult.of(newest).graphs]


def _files(config: ExportConfig, graphs: list[SceneGraph], paths: list[Path]) -> dict[str, bytes]:
    """File name -> content."""
    from spade.export.graph_files import graphml, merged, to_networkx

    if config.merge:
        return {f"graphs.{config.format}": graphml(merged(graphs))}
    files: dict[str, bytes] = {}
    for graph, path in zip(graphs, paths, strict=True):
        name, number = f"{path.stem}.{config.format}", 1
        while name.casefold() in {other.casefold() for other in files}:
            number += 1
            name = f"{path.stem}-{number}.{config.format}"
        files[name] = graphml(to_networkx(graph))
    return files
