"""``spade export-graph``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from spade.steps.common import StepResult
from spade_cli.options import Common, add


def register(app: typer.Typer) -> None:
    """Add the command."""
    add(app, "export-graph", export_graph, "spade export-graph --format gexf --output graphs", ("force", "source"))


def export_graph(
    common: Common,
    graphs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[GRAPH]...", help="Scene graph files, folders or globs of them (default: the newest predictions)."
        ),
    ] = None,
    format: Annotated[
        str, typer.Option(help="graphml, gexf, node-link, dot, cypher, csv or coco (docs/formats.md).")
    ] = "graphml",
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Also write here: a file for one graph or --merge, else a folder."),
    ] = None,
    merge: Annotated[bool, typer.Option("--merge", help="All graphs in one file.")] = False,
) -> StepResult:
    """Scene graphs to graph files that other tools open."""
    from spade.steps.config import ExportConfig
    from spade.steps.export_graph import run

    return run(ExportConfig(graphs=tuple(graphs or ()), format=format, output=output, merge=merge), common.run())
