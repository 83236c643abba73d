"""What each step of a quickstart is worth: beside the same without it, on scenes that no step has seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from spade.core.artifact import Artifact, keyed, verify
from spade.core.device import device_name, dtype_name
from spade.steps.common import Run, StepResult, cached_result, finished_result
from spade.steps.config import QuickstartConfig
from spade.steps.results import CalibrateResult, StepWorth, WorthResult

if TYPE_CHECKING:
    from spade.data.psg import Dataset, Record

STEP, VERSION = "worth", 1
AT = 20


def worth(
    config: QuickstartConfig,
    calibration: Artifact,
    dataset: Dataset,
    predictions: Path,
    prints: dict[str, str],
    run: Run,
) -> StepResult[WorthResult]:
    """Of a calibration and of relation heads whose ``predictions`` on the held-out scenes lie there. Found done where
    the same was asked for before.
    """
    inputs = {"calibrate": calibration.key}
    writer = run.workspace.writer(STEP, VERSION, keyed(config), inputs, prints, run.force)
    if writer.cached:
        return cached_result(WorthResult, writer)
    verify(calibration, "run spade quickstart with `force`")
    writer.begin()
    try:
        held_out = dataset.split("test")
        steps = [calibration_worth(config, calibration, dataset, held_out)]
        steps += heads_worth(dataset, dataset.split("train"), held_out, predictions)
        return finished_result(WorthResult, writer.finish(WorthResult([vars(step) for step in steps]).to_json()))
    finally:
        writer.release()


def calibration_worth(
    config: QuickstartConfig, calibration: Artifact, dataset: Dataset, records: Sequence[Record]
) -> StepWorth:
    """Pointing of the raw UNet, told the labels, and of the calibrated one."""
    from spade.core.device import open_device, open_dtype
    from spade.diffusion.backbone import load_backbone
    from spade.diffusion.student import Student, load_student
    from spade.open_vocabulary.clip import load_clip
    from spade.training.pointing import pointing

    source, name = CalibrateResult.of(calibration), device_name(config.device)
    device, dtype = open_device(name), open_dtype(dtype_name(config.dtype, name), open_device(name))
    clip = load_clip(source.clip, device)
    student = load_student(load_backbone(source.backbone, device, dtype), clip, calibration.path / "adapter")
    raw = Student(load_backbone(source.backbone, device, dtype), clip, None, student.kind)
    before, after = (pointing(one, dataset, records) for one in (raw, student))
    return StepWorth("calibrate", "pointing", "raw UNet", before["pointing"], after["pointing"])


def heads_worth(
    dataset: Dataset, train: Sequence[Record], records: Sequence[Record], predictions: Path
) -> list[StepWorth]:
    """Recall of relation heads, and of label pairs counted on the same training scenes, between the same segments."""
    from spade.data.samples import annotated_ids
    from spade.evaluation.formats.sources import open_predictions
    from spade.evaluation.scoring.evaluator import Evaluator
    from spade.evaluation.scoring.rows import ranked
    from spade.relations.frequency import Frequency

    labelled = ((np.array([s.category for s in r.segments], np.int64), r.training_triples()) for r in train)
    frequency = Frequency(labelled, len(dataset.classes), len(dataset.predicates))
    there = open_predictions(predictions, dataset)
    counted, learned = Evaluator(dataset, at=(AT,)), Evaluator(dataset, at=(AT,))
    for record in records:
        ids, predicted = annotated_ids(dataset, record), there.get(record)
        learned.add(record, ids, predicted)
        if predicted is not None:
            rows = ranked(*frequency(predicted.categories), predicted.scores)
            predicted = replace(predicted, rows=rows)
        counted.add(record, ids, predicted)
    before, after = counted.metrics(strict=True), learned.metrics(strict=True)
    return [
        StepWorth("train-relations", name, "label-pair frequency", before[name], after[name])
        for name in (f"R@{AT}", f"mR@{AT}")
    ]
