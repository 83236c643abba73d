"""The command ``spade``: one module a command, one error boundary."""

from __future__ import annotations

import os
import sys
import warnings
from contextlib import suppress
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from spade.core.errors import SpadeError
from spade_cli.commands import (
    calibrate,
    evaluate,
    example,
    export_graph,
    invert,
    maps,
    predict,
    quickstart,
    status,
    train_boxes,
    train_relations,
    view,
    world,
)
from spade_cli.console import printable

# Threads that wait sleep instead of spinning: no slower alone, much faster where other work shares the cores.
# torch's OpenMP reads this once, when it is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# Pillow warns of images of 90 megapixels; what is too large is refused in a sentence of ours.
warnings.filterwarnings("ignore", message="Image size .* exceeds limit")


class SpadeGroup(TyperGroup):
    """Turns a user's mistake into one sentence and its exit code; anything else is our bug and keeps its traceback."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Parse options and run a command: both may meet what a user got wrong, or a full disk."""
        try:
            return super().main(*args, **kwargs)
        except SpadeError as error:
            complain(str(error))
            sys.exit(error.exit_code)
        except (OSError, UnicodeError) as error:  # but for a reader that has left, which typer answers itself
            complain(system_answer(error))
            sys.exit(2)
        except Exception as error:
            # torch's; importing it here would cost every --help a second.
            if type(error).__name__ != "OutOfMemoryError":
                raise
            complain(
                "the GPU has too little memory left; free it, lower --batch-size where there is one, or use "
                "--device cpu."
            )
            sys.exit(2)


def complain(sentence: str) -> None:
    """A sentence on stderr, and nowhere else; where that is closed or full, the exit code has to do."""
    if sys.stderr is not None:
        with suppress(OSError):
            print(printable(f"spade: {sentence}").replace("\n", " "), file=sys.stderr, flush=True)


def system_answer(error: OSError | UnicodeError) -> str:
    """What the system has answered, in a sentence with the path and the reason."""
    if isinstance(error, UnicodeError):
        text = getattr(error, "object", "")
        which = f"{text[:80]!a}" if text else "a name or a text"
        return f"{which}: cannot be read or written ({getattr(error, 'reason', error)}); use UTF-8."
    place = error.filename if error.filename is not None else "the output"
    place = os.fsdecode(place) if isinstance(place, bytes) else str(place)
    reason = error.strerror or str(error) or type(error).__name__
    return f"{place}: {reason[:1].lower()}{reason[1:]}; mend that, or choose another place."


def let_any_text_through() -> None:
    """What a pipe's encoding cannot carry is written as an escape, on both outputs."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


app = typer.Typer(
    cls=SpadeGroup,
    name="spade",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    add_completion=False,
    help="Open-vocabulary panoptic scene graphs with diffusion features, after SPADE (ICCV 2025).",
    epilog="Begin with: spade quickstart",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from spade import __version__

        print(f"spade {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    """Open-vocabulary panoptic scene graphs with diffusion features, after SPADE (ICCV 2025)."""
    let_any_text_through()


COMMANDS = (
    *(quickstart, example, world, invert, calibrate, maps, train_relations, train_boxes),
    *(predict, view, evaluate, export_graph, status),
)
for module in COMMANDS:
    module.register(app)
