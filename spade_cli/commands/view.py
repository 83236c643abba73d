"""``spade view``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from spade.steps.common import StepResult
from spade_cli.options import Common, add


def register(app: typer.Typer) -> None:
    """Add the command."""
    add(app, "view", view, "spade view", ("source",))


def view(
    common: Common,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open it in the browser, or only say where it lies.")
    ] = True,
) -> StepResult | None:
    """Open the newest html page of the workspace: graphs of spade predict, or a report of spade eval."""
    import webbrowser

    from spade.steps.view import run

    result = run(common.run())
    page = Path(result.result.page)
    if browser and not webbrowser.open(page.as_uri()):
        common.console.say("no browser could be opened here; open the page yourself")
    if common.json:
        return result
    print(page)
    return None
