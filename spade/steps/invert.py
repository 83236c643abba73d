"""Step 1: invert each training image under its relation prompt and keep where every label's words looked."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import safe_open
from torch import Tensor

from spade.config import InvertConfig
from spade.data.images import model_size, to_array
from spade.data.psg import Dataset, Record
from spade.diffusion.backbone import Backbone, Preset, fingerprint, load_backbone, preset, resolve_backbone
from spade.diffusion.inversion import invert
from spade.diffusion.prompts import Prompt, span_tokens, split_prompts
from spade.distributed import Processes, processes
from spade.errors import SpadeError
from spade.files import write_bytes, write_json, write_json_lines
from spade.model import pick_device
from spade.open_vocabulary import resolve_clip
from spade.steps.common import Run, StepResult, already_there, choose_records, just_made, no_source, open_dataset, tell_skipped
from spade.steps.pictures import sized_picture
from spade.weights import to_bytes
from spade.workspace import Artifact, keyed

STEP, VERSION = "invert", 1


def run(config: InvertConfig, run: Run) -> StepResult:
    """Invert a data set's training images, or find it done. Resumes after a kill, batch by batch."""
    no_source(run, "spade invert")
    device = pick_device(config.device)
    folder = resolve_backbone(config.backbone)
    defaults = preset(folder)
    config = _with_preset(config, defaults, str(device))
    dataset = open_dataset(config.data, config.images, run.report, config.strict).for_training()
    records = choose_records(dataset, config.split, config.limit, with_relations=True)
    prints = {"data": dataset.fingerprint(records), "backbone": fingerprint(folder), "clip": fingerprint(resolve_clip(config.clip))}
    draft = run.workspace.draft(STEP, VERSION, keyed(config), fingerprints=prints, force=run.force)
    if draft.cached:
        draft.refresh(data=str(config.data.resolve()), images_root=str(config.images.resolve()) if config.images else None)
        return already_there(draft, config.strict)
    present = [r for r in records if dataset.image_path(r).is_file()]
    absent = [f"{dataset.image_path(r)}: no such picture" for r in records if not dataset.image_path(r).is_file()]
    if not present:
        raise SpadeError(
            f"{dataset.image_path(records[0])}: no such picture, nor any other of this data set; name the pictures' folder with --images."
        )
    tell_skipped(absent, "absent pictures", run.report, config.strict)
    ours = processes()
    backbone = load_backbone(config.backbone, device, getattr(torch, config.dtype))
    draft.begin(ours.is_main)
    ours.wait()  # until the leftovers of a killed run are gone
    try:
        plan = _plan(present, backbone, config.batch_size)
        if ours.is_main:
            write_json(draft.file("plan.json"), {"batch_size": config.batch_size, "batches": [[r.image_id for r in b] for b in plan]})
        _compute(plan, draft.path, dataset, backbone, config, run, ours)
        ours.wait()
        rows, broken = _index(draft.path, len(plan))
        if not rows:
            if ours.is_main:
                draft.abandon()
            raise SpadeError(f"{broken[0]} (and none of the other {len(records) - 1} images could be used)")
        tell_skipped(broken, "pictures", run.report, config.strict)
        result = {
            "data": str(config.data.resolve()),
            "images_root": str(config.images.resolve()) if config.images else None,
            "backbone": _portable(config.backbone),
            "clip": _portable(config.clip),
            "images": len(rows),
            "spans": sum(len(row["spans"]) for row in rows),
            "skipped": absent + broken,
            "timesteps": _timesteps(draft.path),
        }
        if not ours.is_main:
            return StepResult(STEP, draft.key, draft.path, False, 0.0, result)
        write_json_lines(draft.file("index.jsonl"), rows)
        return just_made(draft.finish(result))
    finally:
        draft.release()


def _with_preset(config: InvertConfig, defaults: Preset, device: str) -> InvertConfig:
    return replace(
        config,
        steps=config.steps or defaults.steps,
        read_at=config.read_at or defaults.read_at,
        batch_size=config.batch_size or defaults.batch_size,
        clip=config.clip or defaults.clip,
        device=device,
    )


def _portable(name: str) -> str:
    """A model's name as later steps can use it from any folder."""
    return str(Path(name).resolve()) if Path(name).is_dir() and name != "tiny" else name


def _plan(records: Sequence[Record], backbone: Backbone, batch_size: int) -> list[list[Record]]:
    """Batches of records whose pictures are seen at one size, fixed before the run."""
    groups: dict[tuple[int, int], list[Record]] = {}
    for record in records:
        groups.setdefault(model_size(record.width, record.height, backbone.image_size, backbone.multiple), []).append(record)
    return [group[i : i + batch_size] for _, group in sorted(groups.items()) for i in range(0, len(group), batch_size)]


@dataclass(frozen=True)
class _Loaded:
    """A record's pixels (3, H, W), or why there are none."""

    pixels: np.ndarray | None
    problem: str | None


def _batch_file(folder: Path, index: int) -> Path:
    return folder / "maps" / f"{index:06d}.safetensors"


def _compute(
    plan: list[list[Record]], folder: Path, dataset: Dataset, backbone: Backbone, config: InvertConfig, run: Run, ours: Processes
) -> None:
    """Make the missing batch files, reading the next batch's pictures while the UNet works."""
    numbered = ours.share(list(enumerate(plan)))
    missing = [(index, batch) for index, batch in numbered if not _batch_file(folder, index).is_file()]
    if len(missing) < len(numbered):
        run.report.say(f"continuing: {len(numbered) - len(missing)} of {len(numbered)} batches are there")
    bar = run.report.track(missing, "invert", total=len(numbered), done=len(numbered) - len(missing))
    with ThreadPoolExecutor(1) as reader:
        loaded = _prefetched(reader, missing, dataset, backbone)
        for (index, batch), pictures in zip(bar, loaded, strict=True):
            write_bytes(_batch_file(folder, index), _invert_batch(batch, pictures, dataset, backbone, config))


def _prefetched(
    reader: ThreadPoolExecutor, batches: Sequence[tuple[int, list[Record]]], dataset: Dataset, backbone: Backbone
) -> Iterator[list[_Loaded]]:
    def load(batch: list[Record]) -> list[_Loaded]:
        return [_load(record, dataset, backbone) for record in batch]

    waiting = None
    for _, batch in chain(batches, [(-1, [])]):
        upcoming = reader.submit(load, batch)
        if waiting is not None:
            yield waiting.result()
        waiting = upcoming


def _load(record: Record, dataset: Dataset, backbone: Backbone) -> _Loaded:
    try:
        image = sized_picture(dataset, record)
    except SpadeError as error:
        return _Loaded(None, str(error))
    return _Loaded(to_array(image, model_size(record.width, record.height, backbone.image_size, backbone.multiple)), None)


def _invert_batch(batch: list[Record], pictures: list[_Loaded], dataset: Dataset, backbone: Backbone, config: InvertConfig) -> bytes:
    """One batch file: for the i-th image a tensor "maps.i" (M, h, w) fp16 and, in the metadata, its M mentions."""
    facts: list[dict[str, Any]] = []
    prompts: list[tuple[int, Prompt]] = []
    for i, (record, picture) in enumerate(zip(batch, pictures, strict=True)):
        problem = picture.problem
        if problem is None:
            labels = [dataset.classes[segment.category] for segment in record.segments]
            triples = [(s, o, dataset.predicates[p]) for s, o, p in record.training_triples()]
            try:
                prompts += [(i, prompt) for prompt in split_prompts(triples, labels, backbone.token_count, backbone.token_limit)]
            except SpadeError as error:
                problem = f"image {record.image_id}: {error}"
        facts.append({"image_id": record.image_id, "problem": problem, "spans": []})
    tensors: dict[str, Tensor] = {}
    reached: list[int] = []
    if prompts:
        usable = sorted({i for i, _ in prompts})
        pixels = torch.from_numpy(np.stack([_pixels(pictures[i]) for i in usable]))
        latents = dict(zip(usable, backbone.encode_image(pixels), strict=True))
        context, offsets = backbone.encode_text([prompt.text for _, prompt in prompts])
        rows = torch.stack([latents[i] for i, _ in prompts])
        seen = invert(backbone.unet, backbone.schedule, rows, context, config.steps, config.read_at, preset(backbone.folder).map_strides)
        assert seen.maps is not None
        reached = list(seen.timesteps)
        kept: dict[int, list[Tensor]] = {}
        for (i, prompt), maps, spans in zip(prompts, seen.maps, offsets, strict=True):
            for span in prompt.spans:
                tokens = span_tokens(span, spans)
                if not tokens:
                    continue
                kept.setdefault(i, []).append(maps[tokens].mean(0))
                facts[i]["spans"].append({"role": span.role, "name": span.name, "segment": span.segment})
        tensors = {f"maps.{i}": torch.stack(maps).half() for i, maps in kept.items()}
    return to_bytes(tensors, {"images": json.dumps(facts), "timesteps": json.dumps(reached)})


def _pixels(picture: _Loaded) -> np.ndarray:
    assert picture.pixels is not None
    return picture.pixels


def _index(folder: Path, batches: int) -> tuple[list[dict[str, Any]], list[str]]:
    """One row an image that has maps, and what was wrong with the others."""
    rows, problems = [], []
    for number in range(batches):
        path = _batch_file(folder, number)
        with safe_open(path, "pt") as file:
            facts = json.loads(file.metadata()["images"])
        for i, image in enumerate(facts):
            if image["problem"] is not None or not image["spans"]:
                problems.append(image["problem"] or f"image {image['image_id']}: its labels yield no token of the text encoder")
                continue
            rows.append(
                {"image_id": image["image_id"], "file": path.relative_to(folder).as_posix(), "tensor": f"maps.{i}", "spans": image["spans"]}
            )
    return rows, problems


def _timesteps(folder: Path) -> list[int]:
    found: list[int] = []
    for path in sorted((folder / "maps").glob("*.safetensors")):
        with safe_open(path, "pt") as file:
            found = json.loads(file.metadata()["timesteps"])
        if found:
            break
    return found


def read_maps(artifact: Artifact) -> Iterator[tuple[str, list[dict[str, Any]], Tensor]]:
    """(image_id, mentions, maps (M, h, w) float32) for each inverted image. Raises SpadeError for a damaged cache."""
    remedy = "run spade invert --force"
    try:
        lines = (artifact.path / "index.jsonl").read_text("utf-8").splitlines()
        for row in map(json.loads, lines):
            with safe_open(artifact.path / row["file"], "pt") as file:
                yield row["image_id"], row["spans"], file.get_tensor(row["tensor"]).float()
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise SpadeError(f"{artifact.path}: the map cache is damaged ({type(error).__name__}); {remedy}") from None
