"""The newest page of a workspace."""

from __future__ import annotations

from spade.core.artifact import Artifact
from spade.core.errors import SpadeError, given
from spade.steps.common import Run, StepResult
from spade.steps.results import ViewResult

PAGES = {"predict": "page.html", "eval": "report.html"}


def run(run: Run) -> StepResult[ViewResult]:
    """Find the newest page that ``spade predict`` or ``spade eval`` wrote, or that of the named key."""

    def has_page(artifact: Artifact) -> bool:
        return (artifact.path / PAGES[artifact.step]).is_file()

    newest = run.workspace.newest(tuple(PAGES), run.source, has_page)
    if newest is None:
        remedy, begun = "write one with: spade predict photo.jpg", run.workspace.quickstart
        if begun.is_dir():
            remedy = f"see those of spade quickstart with: spade view {given('workspace', begun)}"
        raise SpadeError(f"{run.workspace.root}: holds no page; {remedy}")
    if not has_page(newest):
        raise SpadeError(f"{newest.path}: has no page; run the command that made it again with `page`.")
    page = (newest.path / PAGES[newest.step]).resolve()
    return StepResult("view", newest.key, newest.path, True, 0.0, ViewResult(str(page)))
