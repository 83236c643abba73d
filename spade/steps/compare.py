"""Several systems' predictions on the same images, side by side, with paired intervals of their differences."""

from __future__ import annotations

from typing import Any

from spade.core.artifact import keyed
from spade.core.errors import SpadeError, given
from spade.core.files import write_json, write_text
from spade.data.psg import Dataset, Record
from spade.evaluation.formats.sources import open_predictions
from spade.evaluation.report.page import comparison_page
from spade.evaluation.scoring.bootstrap import differences
from spade.steps.common import Run, StepResult, cached_result, finished_result
from spade.steps.config import EvalConfig
from spade.steps.judge import Lists, data_print, judge, open_vocabulary
from spade.steps.results import EvalResult


def run(
    config: EvalConfig, dataset: Dataset, records: list[Record], lists: Lists, run: Run, step: tuple[str, int]
) -> StepResult[EvalResult]:
    """Evaluate every file of ``config.compare``; differences are to the first. ``step`` names the artifact and its
    version.
    """
    systems = [open_predictions(path, dataset, config.mode == "predcls", config.lenient) for path in config.compare]
    prints = {f"predictions {n}": system.fingerprint() for n, system in enumerate(systems)}
    prints |= {"data": data_print(config, dataset, records, run), **lists.fingerprints(config)}
    writer = run.workspace.writer(
        *step, keyed(config) | {"compared": len(systems)}, fingerprints=prints, force=run.force
    )
    if writer.cached:
        return cached_result(EvalResult, writer, config.strict)
    names, rows, drawn = _names([str(path) for path in config.compare]), [], []
    skipped: set[str] = set()
    for name, system in zip(names, systems, strict=True):
        scored = judge(config, dataset, records, system, run)
        evaluator, unusable, problems = scored.evaluator, scored.skipped, scored.problems
        skipped |= set(unusable)
        drawn.append(evaluator.replicates(config.seed))
        summary = evaluator.summary(lists.split, lists.zero_shot, drawn=drawn[-1])
        if lists.split is not None:
            found = open_vocabulary(config, dataset, records, lists.split, system, summary, run)
            summary["open_vocabulary"] = found
        rows.append(
            {"name": name, "predictions": str(system.path.resolve()), **summary, "problems": system.problems + problems}
        )
    result: dict[str, Any] = {
        "data": str(dataset.source.resolve()),
        "protocol": config.protocol,
        "mode": config.mode,
        "boxes": not dataset.has_masks,
        "systems": rows,
        "differences": [
            {"name": row["name"], "to": names[0], **differences(drawn[0], other, (rows[0], row))}
            for row, other in zip(rows[1:], drawn[1:], strict=True)
        ],
        "skipped_images": sorted(skipped),
        "report": str(writer.file("report.html").resolve()),
    }
    writer.begin()
    try:
        write_json(writer.file("report.json"), result)
        write_text(writer.file("report.html"), comparison_page(result))
        return finished_result(EvalResult, writer.finish(result))
    finally:
        writer.release()


def _names(paths: list[str]) -> list[str]:
    """The shortest ends of the paths that tell them apart."""
    if len(set(paths)) < len(paths):
        raise SpadeError(
            f"{given('compare')}: {next(p for p in paths if paths.count(p) > 1)} is named twice; name different files."
        )
    parts = [path.replace("\\", "/").split("/") for path in paths]
    for depth in range(1, max(map(len, parts)) + 1):
        ends = ["/".join(part[-depth:]) for part in parts]
        if len(set(ends)) == len(ends):
            return ends
    return paths
