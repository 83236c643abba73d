"""Step 1: invert each training image under its relation prompt and keep where every label's words looked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING

from spade.core.artifact import ArtifactWriter, keyed
from spade.core.device import Processes, device_name, dtype_name, processes
from spade.core.errors import SpadeError, given
from spade.core.files import write_bytes, write_json, write_json_lines
from spade.core.hub import fingerprint
from spade.core.settings import configure
from spade.data.split_lists import as_kept, split_of
from spade.diffusion.backbone_files import backbone_defaults, resolve_backbone
from spade.diffusion.config import PAPER_INVERSION, InversionConfig
from spade.open_vocabulary.clip_files import resolve_clip
from spade.steps.common import (
    Run,
    StepResult,
    absolute_if_local,
    cached_result,
    choose_records,
    finished_result,
    kept_from_training,
    no_source,
    open_dataset,
    report_skipped,
)
from spade.steps.config import InvertConfig
from spade.steps.results import InvertResult

if TYPE_CHECKING:
    from spade.data.psg import Dataset, Record
    from spade.diffusion.backbone import Backbone
    from spade.diffusion.teacher import LoadedImage, Teacher

STEP, VERSION = "invert", 2


def run(config: InvertConfig, run: Run) -> StepResult[InvertResult]:
    """Invert a data set's training images, or find it done. Resumes after a kill, batch by batch."""
    no_source(run, "spade invert")
    folder = resolve_backbone(config.backbone)
    defaults = backbone_defaults(folder)
    preset = PAPER_INVERSION if config.preset == "paper" else {}
    inversion = configure({"inversion": defaults.inversion}, preset, config.settings)["inversion"]
    device = device_name(config.device)
    config = replace(config, clip=config.clip or defaults.clip, device=device, dtype=dtype_name(config.dtype, device))
    assert config.clip is not None
    whole = open_dataset(config.data, config.images, run.report, config.strict)
    split = split_of(config.split_list, whole)
    dataset, kept = kept_from_training(whole, split)
    records = choose_records(dataset, config.split, config.limit, with_relations=True)
    prints = {
        "data": dataset.fingerprint(records, report=run.report),
        "backbone": fingerprint(folder),
        "clip": fingerprint(resolve_clip(config.clip)),
    }
    writer = run.workspace.writer(STEP, VERSION, _key(config, inversion) | kept, fingerprints=prints, force=run.force)
    images_root = str(config.images.resolve()) if config.images else None
    if writer.cached:
        writer.refresh(data=str(config.data.resolve()), images_root=images_root, split=as_kept(split))
        return cached_result(InvertResult, writer, config.strict)
    present, absent = _present(dataset, records)
    report_skipped(absent, "absent images", run.report, config.strict)
    rows, broken, timesteps = _invert(config, inversion, dataset, present, writer, run)
    result = InvertResult(
        data=str(config.data.resolve()),
        images_root=images_root,
        backbone=absolute_if_local(config.backbone),
        clip=absolute_if_local(config.clip),
        images=len(rows),
        spans=sum(len(row["spans"]) for row in rows),
        skipped=absent + broken,
        timesteps=timesteps,
        latents=inversion.latents,
        split=as_kept(split),
    )
    try:
        if not processes().is_main:
            return StepResult(STEP, writer.key, writer.path, False, 0.0, result)
        write_json_lines(writer.file("index.jsonl"), rows)
        return finished_result(InvertResult, writer.finish(result.to_json()))
    finally:
        writer.release()


def _key(config: InvertConfig, inversion: InversionConfig) -> dict[str, object]:
    """What the maps depend on; the seed only where noise is drawn."""
    keyed_config = keyed(config) | {"inversion": keyed(inversion)}
    if inversion.latents == "inverted":
        del keyed_config["seed"]
    return keyed_config


def _present(dataset: Dataset, records: Sequence[Record]) -> tuple[list[Record], list[str]]:
    """Records whose image is there, and a sentence for each of the others. Raises SpadeError where all are others."""
    present = [r for r in records if dataset.image_path(r).is_file()]
    absent = [f"{dataset.image_path(r)}: no such image" for r in records if not dataset.image_path(r).is_file()]
    if not present:
        raise SpadeError(
            f"{dataset.image_path(records[0])}: no such image, nor any other of this data set; name the images' "
            f"folder with {given('images')}."
        )
    return present, absent


def _invert(
    config: InvertConfig,
    inversion: InversionConfig,
    dataset: Dataset,
    records: Sequence[Record],
    writer: ArtifactWriter,
    run: Run,
) -> tuple[list[dict], list[str], list[int]]:
    """Make all batch files; the rows of the index, what was wrong with images, and the timesteps that were read."""
    from spade.core.device import open_device, open_dtype
    from spade.diffusion.attention import layer_strides
    from spade.diffusion.backbone import load_backbone
    from spade.diffusion.teacher import Teacher
    from spade.diffusion.teacher_maps import index
    from spade.open_vocabulary.clip import load_clip

    ours, device = processes(), open_device(config.device)
    backbone = load_backbone(config.backbone, device, open_dtype(config.dtype, device))
    there = sorted(set(layer_strides(backbone.unet).values()))
    for stride in inversion.grids:
        if stride not in there:
            strides = ", ".join(map(str, there))
            raise SpadeError(
                f"{given('grids', stride)}: this UNet has cross-attention on grids of stride {strides} only."
            )
    clip = load_clip(str(config.clip), device) if inversion.counterfactual else None
    writer.begin(ours.is_main)
    ours.wait()  # until the leftovers of a killed run are gone
    try:
        plan = _plan(records, backbone, inversion.batch_size)
        if ours.is_main:
            batches = [[r.image_id for r in batch] for batch in plan]
            write_json(writer.file("plan.json"), {"batch_size": inversion.batch_size, "batches": batches})
        teacher = Teacher(dataset, backbone, inversion, config.seed, clip)
        _compute(plan, teacher, dataset, writer, run, ours)
        ours.wait()
        rows, broken, timesteps = index(writer.path, len(plan))
        if not rows:
            if ours.is_main:
                writer.abandon()
            raise SpadeError(f"{broken[0]} (and none of the other {len(records) - 1} images could be used)")
        report_skipped(broken, "images", run.report, config.strict)
        return rows, broken, timesteps
    except BaseException:
        writer.release()
        raise


def _plan(records: Sequence[Record], backbone: Backbone, batch_size: int) -> list[list[Record]]:
    """Batches of records whose images are seen at one size, fixed before the run."""
    from spade.data.images import model_size

    groups: dict[tuple[int, int], list[Record]] = {}
    for record in records:
        size = model_size(record.width, record.height, backbone.image_size, backbone.multiple)
        groups.setdefault(size, []).append(record)
    return [group[i : i + batch_size] for _, group in sorted(groups.items()) for i in range(0, len(group), batch_size)]


def _compute(
    plan: list[list[Record]], teacher: Teacher, dataset: Dataset, writer: ArtifactWriter, run: Run, ours: Processes
) -> None:
    """Make the missing batch files, reading the next batch's images while the UNet works."""
    from spade.diffusion.teacher_maps import batch_file, is_whole, pack

    folder = writer.path
    numbered = ours.share(list(enumerate(plan)))
    missing = [(number, batch) for number, batch in numbered if not is_whole(batch_file(folder, number))]
    done = len(numbered) - len(missing)
    if done:
        run.report.say(f"continuing: {done} of {len(numbered)} batches are there")
    bar = run.report.track(missing, "invert", total=len(numbered), done=done)
    with ThreadPoolExecutor(1) as reader:
        loaded = _prefetched(reader, [batch for _, batch in missing], dataset, teacher.backbone)
        for (number, _), images in zip(bar, loaded, strict=True):
            write_bytes(batch_file(folder, number), pack(*teacher.maps(images)))


def _prefetched(
    reader: ThreadPoolExecutor, batches: Sequence[list[Record]], dataset: Dataset, backbone: Backbone
) -> Iterator[list[LoadedImage]]:
    def load(batch: list[Record]) -> list[LoadedImage]:
        return [_load(record, dataset, backbone) for record in batch]

    waiting = None
    for batch in chain(batches, [[]]):
        upcoming = reader.submit(load, batch)
        if waiting is not None:
            yield waiting.result()
        waiting = upcoming


def _load(record: Record, dataset: Dataset, backbone: Backbone) -> LoadedImage:
    from spade.data.images import model_size, to_array
    from spade.data.samples import checked_image
    from spade.diffusion.teacher import LoadedImage

    try:
        image = checked_image(dataset, record)
    except SpadeError as error:
        return LoadedImage(record, None, str(error))
    size = model_size(record.width, record.height, backbone.image_size, backbone.multiple)
    return LoadedImage(record, to_array(image, size))
