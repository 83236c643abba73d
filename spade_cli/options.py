"""Options that several commands have: declared once, in groups, and taken off before a command's own function runs."""

from __future__ import annotations

import functools
import inspect
import json as json_module
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer

from spade.core.errors import SpadeError
from spade.core.paths import expanded, user_path
from spade.core.workspace import Workspace
from spade.steps.common import Run, StepResult
from spade.steps.results import PredictResult
from spade_cli.command import CURRENT, SpadeCommand, spelled_by
from spade_cli.console import Console, notes, printable
from spade_cli.tables import evaluation, prediction

GENERAL, COMPUTE, CACHE, METHOD = "General options", "Where it computes", "Results that are there", "Method"


class Dtype(StrEnum):
    """Number formats of the backbone."""

    auto = "auto"
    float32 = "float32"
    float16 = "float16"
    bfloat16 = "bfloat16"


class Preset(StrEnum):
    """Values of the method that go together."""

    default = "default"
    paper = "paper"


@dataclass(frozen=True)
class Common:
    """The common options of one call; those that a command does not have keep their defaults."""

    workspace: Path = Path("spade-workspace")
    verbose: bool = False
    quiet: bool = False
    json: bool = False
    device: str = "auto"
    dtype: Dtype = Dtype.auto
    seed: int = 0
    force: bool = False
    source: str | None = None
    preset: Preset = Preset.default
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def console(self) -> Console:
        """Where messages go."""
        return Console(self.quiet, self.verbose, spelled_by(CURRENT.get()))

    @property
    def compute(self) -> dict[str, Any]:
        """Where a step computes."""
        return {"device": self.device, "dtype": self.dtype.value}

    def method(self, **options: Any) -> dict[str, Any]:
        """Preset and settings for a config: those of ``--set``, and options that set the same by a flag of their own.

        Raises SpadeError for a value that is given twice.
        """
        flags = {name: value for name, value in options.items() if value is not None}
        for name in flags:
            if name in self.settings:
                raise SpadeError(f"`{name}`: is given twice, by --set as well; leave one of the two out.")
        return {"settings": {**self.settings, **flags}}

    def run(self) -> Run:
        """The surroundings that a step is called with."""
        return Run(Workspace(self.workspace), self.console, self.force, self.source)


def _workspace(value: Path | None) -> Path:
    return value or user_path(os.environ.get("SPADE_WORKSPACE") or "spade-workspace")


_GENERAL: dict[str, tuple[Any, Any]] = {
    "workspace": (
        Annotated[
            Path | None,
            typer.Option(
                help="Folder of all results (default: spade-workspace, or SPADE_WORKSPACE).", rich_help_panel=GENERAL
            ),
        ],
        None,
    ),
    "verbose": (Annotated[bool, typer.Option("--verbose", "-v", help="Say more.", rich_help_panel=GENERAL)], False),
    "quiet": (
        Annotated[bool, typer.Option("--quiet", help="No messages, no progress bars.", rich_help_panel=GENERAL)],
        False,
    ),
    "json": (
        Annotated[bool, typer.Option("--json", help="Print one json object on stdout.", rich_help_panel=GENERAL)],
        False,
    ),
}
_MORE: dict[str, tuple[Any, Any]] = {
    "device": (Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.", rich_help_panel=COMPUTE)], "auto"),
    "dtype": (
        Annotated[
            Dtype,
            typer.Option(
                help="Number format of the backbone; auto: bfloat16 on GPUs that have it.", rich_help_panel=COMPUTE
            ),
        ],
        Dtype.auto,
    ),
    "seed": (Annotated[int, typer.Option(min=0, help="Seed of everything random.", rich_help_panel=COMPUTE)], 0),
    "force": (
        Annotated[
            bool, typer.Option("--force", help="Compute anew even if the result is there.", rich_help_panel=CACHE)
        ],
        False,
    ),
    "source": (
        Annotated[
            str | None,
            typer.Option(
                "--from", metavar="KEY", help="Use the input artifact with this key, not the newest.",
                rich_help_panel=CACHE,
            ),
        ],
        None,
    ),
    "preset": (
        Annotated[
            Preset, typer.Option(help="paper: SPADE as far as it is known (docs/method.md).", rich_help_panel=METHOD)
        ],
        Preset.default,
    ),
    "settings": (
        Annotated[
            list[str] | None,
            typer.Option(
                "--set", metavar="NAME=VALUE", help="A setting of the method; --set help lists them. Repeatable.",
                rich_help_panel=METHOD,
            ),
        ],
        None,
    ),
}  # fmt: skip


def add(
    app: typer.Typer,
    name: str,
    function: Callable[..., StepResult[Any] | None],
    example: str,
    groups: tuple[str, ...] = (),
    config: str | None = None,
) -> None:
    """Add a command with the general options and those of ``groups``; the StepResult it returns is printed.

    config: name of the class in spade.steps.config whose settings ``--set`` reaches.
    """
    added = _GENERAL | {option: _MORE[option] for option in groups}
    declared = [p for name, p in inspect.signature(function, eval_str=True).parameters.items() if name != "common"]
    extra = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=value, annotation=kind)
        for name, (kind, value) in added.items()
    ]

    for option in [*declared, *extra]:
        for info in getattr(option.annotation, "__metadata__", ()):
            info.readable = False  # whoever opens a path says in a sentence why it cannot be read

    @functools.wraps(function)
    def command(*args: Any, **kwargs: Any) -> None:
        kwargs = {option: expanded(value) for option, value in kwargs.items()}
        values = {option: kwargs.pop(option) for option in added}
        values["workspace"] = _workspace(values["workspace"])
        if config is not None:
            values["settings"] = _assignments(values["settings"] or [])
        common = Common(**values)
        with notes(common.console):
            result = function(common, *args, **kwargs)
        if result is not None:
            show(result, common)

    command.__signature__ = inspect.Signature([*declared, *extra])  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in [*declared, *extra]}
    command.settings = lambda: _settings_of(config)  # type: ignore[attr-defined]
    command.list_settings = None if config is None else lambda: list_settings(config)  # type: ignore[attr-defined]
    app.command(
        name,
        cls=SpadeCommand,
        epilog=f"Example: {example}",
        context_settings={"help_option_names": ["-h", "--help"]},
    )(command)


def _settings_of(config: str | None) -> frozenset[str]:
    """Names of a config's settings."""
    if config is None:
        return frozenset()
    from spade.core.settings import names_of

    return names_of(*getattr(import_module("spade.steps.config"), config).PARTS)


def list_settings(config: str) -> None:
    """Print the settings of a command's config with their defaults and meanings."""
    from spade.core.settings import listed

    rows = listed(*getattr(import_module("spade.steps.config"), config).parts())
    width = max(len(f"{row.name}={row.default}") for row in rows)
    for row in rows:
        print(f"{f'{row.name}={row.default}':{width}}  {row.meaning}")
    if config in ("InvertConfig", "CalibrateConfig", "TrainRelationsConfig"):
        print("Defaults are those of the tiny backbone; a larger one has its own.", file=sys.stderr)


def _assignments(texts: list[str]) -> dict[str, str]:
    """Texts "name=value" as values by name. Raises SpadeError for what is none."""
    found: dict[str, str] = {}
    for text in texts:
        name, sign, value = text.partition("=")
        name = name.strip().replace("-", "_")
        if not sign or not name:
            raise SpadeError(f"--set {text}: write NAME=VALUE; --set help lists the names.")
        if name in found:
            raise SpadeError(f"--set {name}: is given twice; leave one of the two out.")
        found[name] = value
    return found


def show(result: StepResult[Any], common: Common) -> None:
    """Print what a step made: one json object, or a few lines for people."""
    if os.environ.get("RANK", "0") != "0":
        return
    if common.json:
        print(json_module.dumps(result.to_json(), allow_nan=False))  # ascii: any pipe can carry it
        return
    if common.quiet:
        return
    how = "cached, nothing to do" if result.cached else f"done in {result.seconds:.1f} s"
    print(f"{result.step} {result.key}: {how}")
    if isinstance(result.result, PredictResult):
        lines = prediction(result.result, result.path, 0.0 if result.cached else result.seconds)
    else:
        lines = [*TABLES.get(result.step, _listed)(result.result.to_json()), f"in: {result.path}"]
    for line in lines:
        print(f"  {printable(line)}")
    if sys.stdout is not None:  # a pipe that was closed from the beginning
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
