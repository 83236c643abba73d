"""Options that every command has, declared once and taken off before a command's own function runs."""

from __future__ import annotations

import functools
import inspect
import json as json_module
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from spade.core.workspace import Workspace
from spade.steps.common import Run, StepResult
from spade_cli.console import Console, printable
from spade_cli.tables import evaluation

GROUP = "Common options"


class Dtype(StrEnum):
    """Number formats of the backbone."""

    auto = "auto"
    float32 = "float32"
    float16 = "float16"
    bfloat16 = "bfloat16"


@dataclass(frozen=True)
class Common:
    """The common options of one call."""

    workspace: Path
    device: str
    dtype: Dtype
    seed: int
    force: bool
    source: str | None
    verbose: bool
    quiet: bool
    json: bool

    @property
    def console(self) -> Console:
        """Where messages go."""
        return Console(self.quiet, self.verbose)

    @property
    def numbers(self) -> dict[str, Any]:
        """What every config holds."""
        return {"device": self.device, "dtype": self.dtype.value, "seed": self.seed}

    def run(self) -> Run:
        """The surroundings that a step is called with."""
        return Run(Workspace(self.workspace), self.console, self.force, self.source)


def _workspace(value: Path | None) -> Path:
    return value or Path(os.environ.get("SPADE_WORKSPACE") or "spade-workspace")


_OPTIONS: dict[str, tuple[Any, Any]] = {
    "workspace": (
        Annotated[
            Path | None,
            typer.Option(
                help="Folder of all results (default: spade-workspace, or SPADE_WORKSPACE).", rich_help_panel=GROUP
            ),
        ],
        None,
    ),
    "device": (Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.", rich_help_panel=GROUP)], "auto"),
    "dtype": (
        Annotated[
            Dtype,
            typer.Option(
                help="Number format of the backbone; auto: bfloat16 on GPUs that have it.", rich_help_panel=GROUP
            ),
        ],
        Dtype.auto,
    ),
    "seed": (Annotated[int, typer.Option(min=0, help="Seed of everything random.", rich_help_panel=GROUP)], 0),
    "force": (
        Annotated[
            bool, typer.Option("--force", help="Compute anew even if the result is there.", rich_help_panel=GROUP)
        ],
        False,
    ),
    "source": (
        Annotated[
            str | None,
            typer.Option(
                "--from",
                metavar="KEY",
                help="Use the input artifact with this key, not the newest.",
                rich_help_panel=GROUP,
            ),
        ],
        None,
    ),
    "verbose": (Annotated[bool, typer.Option("--verbose", "-v", help="Say more.", rich_help_panel=GROUP)], False),
    "quiet": (
        Annotated[bool, typer.Option("--quiet", help="No messages, no progress bars.", rich_help_panel=GROUP)],
        False,
    ),
    "json": (
        Annotated[bool, typer.Option("--json", help="Print one json object on stdout.", rich_help_panel=GROUP)],
        False,
    ),
}


def common_options(function: Callable[..., StepResult | None]) -> Callable[..., None]:
    """Give a command the common options, as ``common``; the StepResult it returns is printed, None is not."""
    own = [p for name, p in inspect.signature(function, eval_str=True).parameters.items() if name != "common"]
    extra = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=value, annotation=kind)
        for name, (kind, value) in _OPTIONS.items()
    ]

    @functools.wraps(function)
    def command(*args: Any, **kwargs: Any) -> None:
        values = {name: kwargs.pop(name) for name in _OPTIONS}
        common = Common(**values | {"workspace": _workspace(values["workspace"])})
        result = function(common, *args, **kwargs)
        if result is not None:
            show(result, common)

    command.__signature__ = inspect.Signature([*own, *extra])  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in [*own, *extra]}
    return command


def show(result: StepResult, common: Common) -> None:
    """Print what a step made: one json object, or a few lines for people."""
    if os.environ.get("RANK", "0") != "0":
        return
    if common.json:
        print(json_module.dumps(result.to_json(), ensure_ascii=False, allow_nan=False))
        return
    if common.quiet:
        return
    how = "cached, nothing to do" if result.cached else f"done in {result.seconds:.1f} s"
    print(f"{result.step} {result.key}: {how}")
    for line in TABLES.get(result.step, _listed)(result.result):
        print(f"  {printable(line)}")
    print(f"  in: {result.path}")
    sys.stdout.flush()


def _listed(result: Mapping[str, Any]) -> list[str]:
    """A line for each short value."""
    return [
        f"{name.replace('_', ' ')}: {text}" for name, value in result.items() if (text := _short(value)) is not None
    ]


TABLES = {"eval": evaluation}  # results that are more than a few lines


def _short(value: Any) -> str | None:
    """A value for a line of text; None for what is empty, nested or too long for one."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, (list, tuple)) and 0 < len(value) <= 4 and all(isinstance(v, (str, int)) for v in value):
        return ", ".join(map(str, value))
    return str(value) if isinstance(value, (str, int)) else None


def numbers_list(text: str, option: str) -> tuple[int, ...]:
    """Turn "20,50,100" into numbers; a usage error names the option."""
    try:
        return tuple(int(part) for part in text.split(",") if part.strip())
    except ValueError:
        raise typer.BadParameter(
            f"{text!r}: write numbers with commas, for example 20,50,100.", param_hint=option
        ) from None
