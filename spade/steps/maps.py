"""Images of attention: where the teacher looks for each label of an image, and the student before and after
calibration.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from spade.core.artifact import Artifact, ArtifactWriter, keyed, verify
from spade.core.device import device_name, dtype_name
from spade.core.errors import SpadeError
from spade.core.files import read_json, write_bytes
from spade.diffusion.config import CalibrationConfig
from spade.steps.calibrate import calibration_targets, inverted_records
from spade.steps.common import Run, StepResult, cached_result, finished_result
from spade.steps.config import MapsConfig
from spade.steps.results import InvertResult, MapsResult
from spade.steps.threads import settle_threads
from spade.training.split import validation_split

if TYPE_CHECKING:
    from torch import Tensor

    from spade.data.psg import Dataset, Record
    from spade.diffusion.student import Student

STEP, VERSION = "maps", 2
SHOWN = 4  # images, where none are named


def run(config: MapsConfig, run: Run) -> StepResult[MapsResult]:
    """Draw an image of each image, of the newest calibration; by default of its first validation images."""
    calibrated = run.workspace.need("calibrate", "spade maps", run.source)
    teacher = run.workspace.need("invert", "spade maps", calibrated.manifest["inputs"]["invert"])
    dataset, records = inverted_records(teacher)
    chosen = _choose(config.images, records)
    device = device_name(config.device)
    config = replace(
        config,
        images=tuple(record.image_id for record in chosen),
        device=device,
        dtype=dtype_name(config.dtype, device),
    )
    inputs = {"calibrate": calibrated.key, "invert": teacher.key}
    writer = run.workspace.writer(STEP, VERSION, keyed(config), inputs, force=run.force)
    if writer.cached:
        return cached_result(MapsResult, writer)
    verify(calibrated, "run spade calibrate with `force`")
    return _draw(config, calibrated, teacher, dataset, chosen, writer)


def _draw(
    config: MapsConfig,
    calibrated: Artifact,
    teacher: Artifact,
    dataset: Dataset,
    chosen: Sequence[Record],
    writer: ArtifactWriter,
) -> StepResult[MapsResult]:
    from spade.core.device import open_device, open_dtype
    from spade.data.images import read_image
    from spade.diffusion.backbone import load_backbone
    from spade.diffusion.student import Kind, Student, load_student
    from spade.export.plots import maps_png
    from spade.open_vocabulary.clip import load_clip
    from spade.structures.vocabulary import plain_name
    from spade.training.calibration import Calibration

    source, device = InvertResult.of(teacher), open_device(config.device)
    settle_threads(source.backbone)
    backbone = load_backbone(source.backbone, device, open_dtype(config.dtype, device))
    clip = load_clip(source.clip, device)
    targets = calibration_targets(teacher, CalibrationConfig(), {record.image_id for record in chosen})
    kind = read_json(calibrated.path / "adapter" / "adapter.json", "adapter", "run spade calibrate with `force`")

    def label_maps(student: Student) -> list[dict[str, Tensor]]:
        """Label key -> map, for each chosen image."""
        calibration = Calibration(student, dataset, chosen, targets)
        place = {record.image_id: i for i, record in enumerate(calibration.images.records)}
        return [calibration.label_maps(place[record.image_id]) for record in chosen]

    # On the plain UNet, so before anything is loaded onto it.
    before = label_maps(Student(backbone, clip, None, Kind(kind["timestep"], tuple(kind["strides"]))))
    after = label_maps(load_student(backbone, clip, calibrated.path / "adapter"))
    last = "calibrated" if kind["alignment"] == "vocabulary" else "calibrated (oracle)"
    columns = ("teacher, under the caption", "raw UNet, told the labels", last)
    writer.begin()
    try:
        names = {}
        for number, record in enumerate(chosen):
            rows = {
                plain_name(target.label): [
                    None if attention is None else attention.cpu().float().numpy()
                    for attention in (target.map, before[number].get(target.key), after[number].get(target.key))
                ]
                for target in targets[record.image_id].targets
            }
            name = f"{number:04d}.png"
            write_bytes(writer.file(name), maps_png(read_image(dataset.image_path(record)), columns, rows))
            names[str(writer.file(name))] = record.image_id
        result = MapsResult(figures=list(names), images=list(names.values()))
        return finished_result(MapsResult, writer.finish(result.to_json()))
    finally:
        writer.release()


def _choose(wanted: Sequence[str], records: Sequence[Record]) -> list[Record]:
    if not wanted:
        train, validation = validation_split(list(records))
        return (validation or train)[:SHOWN]
    by_id = {record.image_id: record for record in records} | {Path(r.file_name).name: r for r in records}
    for name in wanted:
        if name not in by_id:
            raise SpadeError(
                f"{name}: no image of the inverted data set has this id or file "
                f"name; the first has the id {records[0].image_id}."
            )
    return list(dict.fromkeys(by_id[name] for name in wanted))
