"""Pictures of attention: where the teacher looks for each label of an image, and the student before and after
calibration.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from spade.core.device import pick_device, pick_dtype
from spade.core.errors import SpadeError
from spade.core.files import read_json, write_bytes
from spade.core.workspace import keyed, verify
from spade.data.images import read_image
from spade.data.psg import Record
from spade.diffusion.backbone import load_backbone
from spade.diffusion.config import CalibrateConfig
from spade.diffusion.student import Kind, Student, load_student
from spade.export.plots import maps_png
from spade.open_vocabulary.clip import load_clip
from spade.steps.calibrate import inverted_records, lessons
from spade.steps.common import Run, StepResult, cached_result, finished_result
from spade.steps.config import MapsConfig
from spade.structures.vocabulary import plain_name
from spade.training.calibration import Calibration
from spade.training.split import validation_split

STEP, VERSION = "maps", 1
SHOWN = 4  # images, where none are named


def run(config: MapsConfig, run: Run) -> StepResult:
    """Draw a figure an image, of the newest calibration; by default of the first images that it watched."""
    device = pick_device(config.device)
    calibrated = run.workspace.newest("calibrate", run.source, needed_by="spade maps")
    assert calibrated is not None
    teacher = run.workspace.newest("invert", calibrated.manifest["inputs"]["invert"], needed_by="spade maps")
    assert teacher is not None
    dataset, records = inverted_records(teacher)
    chosen = _choose(config.images, records)
    config = replace(
        config,
        images=tuple(record.image_id for record in chosen),
        device=str(device),
        dtype=pick_dtype(config.dtype, device),
    )
    draft = run.workspace.draft(
        STEP, VERSION, keyed(config), {"calibrate": calibrated.key, "invert": teacher.key}, force=run.force
    )
    if draft.cached:
        return cached_result(draft)
    verify(calibrated, "run spade calibrate --force")
    source = teacher.manifest["result"]
    backbone = load_backbone(source["backbone"], device, getattr(torch, config.dtype))
    clip = load_clip(source["clip"], device)
    taught = lessons(teacher, CalibrateConfig(), {record.image_id for record in chosen})
    kind = read_json(calibrated.path / "adapter" / "adapter.json", "adapter", "run spade calibrate --force")

    told = "calibrated" if kind["alignment"] == "vocabulary" else "calibrated (oracle)"

    def looks(student: Student) -> list[dict[str, Tensor]]:
        """Label key -> map, for each chosen image."""
        job = Calibration(student, dataset, chosen, taught)
        place = {record.image_id: i for i, record in enumerate(job.images.records)}
        return [job.label_maps(place[record.image_id]) for record in chosen]

    before = looks(
        Student(backbone, clip, None, Kind(kind["timestep"], tuple(kind["strides"])))
    )  # on the plain UNet, so before anything is loaded
    student = load_student(backbone, clip, calibrated.path / "adapter")
    after = looks(student)
    draft.begin()
    try:
        for number, record in enumerate(chosen):
            rows = {
                plain_name(target.label): [
                    _array(target.map),
                    _array(before[number].get(target.key)),
                    _array(after[number].get(target.key)),
                ]
                for target in taught[record.image_id].targets
            }
            picture = read_image(dataset.image_path(record))
            columns = (
                "teacher, under the caption",
                "raw UNet, told the labels",
                told,
            )
            write_bytes(draft.file(f"{number:04d}.png"), maps_png(picture, columns, rows))
        names = {f"{number:04d}.png": record.image_id for number, record in enumerate(chosen)}
        return finished_result(
            draft.finish({"figures": [str(draft.file(name)) for name in names], "images": list(names.values())})
        )
    finally:
        draft.release()


def _choose(wanted: Sequence[str], records: Sequence[Record]) -> list[Record]:
    if not wanted:
        learned, watched = validation_split(list(records))
        return (watched or learned)[:SHOWN]
    by_id = {record.image_id: record for record in records} | {
        Path(record.file_name).name: record for record in records
    }
    for name in wanted:
        if name not in by_id:
            raise SpadeError(
                f"{name}: no image of the inverted data set has this id or file name; the first has the id "
                f"{records[0].image_id}."
            )
    return list(dict.fromkeys(by_id[name] for name in wanted))


def _array(attention: Any) -> np.ndarray | None:
    return None if attention is None else attention.cpu().float().numpy()
