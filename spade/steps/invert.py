"""Step 1: invert each training image under its relation prompt and keep where every label's words looked."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from spade.core.device import Processes, pick_device, pick_dtype, processes
from spade.core.errors import SpadeError
from spade.core.files import write_bytes, write_json, write_json_lines
from spade.core.workspace import keyed
from spade.data.images import model_size, to_array
from spade.data.psg import Dataset, Record
from spade.data.samples import checked_image
from spade.diffusion.attention import layer_strides
from spade.diffusion.backbone import Backbone, load_backbone
from spade.diffusion.backbone_files import BackboneDefaults, backbone_defaults, fingerprint, resolve_backbone
from spade.diffusion.config import InvertConfig
from spade.diffusion.counterfactual import Counterfactual, counterfactuals, near_predicates
from spade.diffusion.inversion import MapPlan
from spade.diffusion.prompts import Prompt, Span, relation_prompt, split_triples
from spade.diffusion.teacher import PictureMaps, look
from spade.diffusion.teacher_maps import Page, batch_file, index, is_whole, pack
from spade.open_vocabulary.clip import load_clip
from spade.open_vocabulary.clip_files import resolve_clip
from spade.steps.common import (
    Run,
    StepResult,
    absolute_if_local,
    cached_result,
    choose_records,
    finished_result,
    no_source,
    open_dataset,
    tell_skipped,
)

STEP, VERSION = "invert", 1


def run(config: InvertConfig, run: Run) -> StepResult:
    """Invert a data set's training images, or find it done. Resumes after a kill, batch by batch."""
    no_source(run, "spade invert")
    device = pick_device(config.device)
    folder = resolve_backbone(config.backbone)
    defaults = backbone_defaults(folder)
    config = _with_preset(config, defaults, device)
    dataset = open_dataset(config.data, config.images, run.report, config.strict).for_training()
    records = choose_records(dataset, config.split, config.limit, with_relations=True)
    prints = {
        "data": dataset.fingerprint(records),
        "backbone": fingerprint(folder),
        "clip": fingerprint(resolve_clip(config.clip)),
    }
    draft = run.workspace.draft(STEP, VERSION, keyed(config), fingerprints=prints, force=run.force)
    if draft.cached:
        draft.refresh(
            data=str(config.data.resolve()), images_root=str(config.images.resolve()) if config.images else None
        )
        return cached_result(draft, config.strict)
    present = [r for r in records if dataset.image_path(r).is_file()]
    absent = [f"{dataset.image_path(r)}: no such picture" for r in records if not dataset.image_path(r).is_file()]
    if not present:
        raise SpadeError(
            f"{dataset.image_path(records[0])}: no such picture, nor any other of this data set; name the pictures' "
            "folder with --images."
        )
    tell_skipped(absent, "absent pictures", run.report, config.strict)
    ours = processes()
    backbone = load_backbone(config.backbone, device, getattr(torch, config.dtype))
    _refuse_absent_grids(config.grids, backbone)
    draft.begin(ours.is_main)
    ours.wait()  # until the leftovers of a killed run are gone
    try:
        plan = _plan(present, backbone, config.batch_size)
        if ours.is_main:
            write_json(
                draft.file("plan.json"),
                {"batch_size": config.batch_size, "batches": [[r.image_id for r in b] for b in plan]},
            )
        _compute(plan, draft.path, dataset, backbone, config, run, ours)
        ours.wait()
        rows, broken, timesteps = index(draft.path, len(plan))
        if not rows:
            if ours.is_main:
                draft.abandon()
            raise SpadeError(f"{broken[0]} (and none of the other {len(records) - 1} images could be used)")
        tell_skipped(broken, "pictures", run.report, config.strict)
        result = {
            "data": str(config.data.resolve()),
            "images_root": str(config.images.resolve()) if config.images else None,
            "backbone": absolute_if_local(config.backbone),
            "clip": absolute_if_local(config.clip),
            "images": len(rows),
            "spans": sum(len(row["spans"]) for row in rows),
            "skipped": absent + broken,
            "timesteps": timesteps,
            "latents": config.latents,
        }
        if not ours.is_main:
            return StepResult(STEP, draft.key, draft.path, False, 0.0, result)
        write_json_lines(draft.file("index.jsonl"), rows)
        return finished_result(draft.finish(result))
    finally:
        draft.release()


def _refuse_absent_grids(grids: Sequence[int], backbone: Backbone) -> None:
    there = sorted(set(layer_strides(backbone.unet).values()))
    for stride in grids:
        if stride not in there:
            raise SpadeError(
                f"--grids {stride}: this UNet has cross-attention on grids of stride {', '.join(map(str, there))} only."
            )


def _with_preset(config: InvertConfig, defaults: BackboneDefaults, device: torch.device) -> InvertConfig:
    return replace(
        config,
        steps=config.steps or defaults.steps,
        read_at=config.read_at or defaults.read_at,
        grids=config.grids or defaults.map_strides,
        batch_size=config.batch_size or defaults.invert_batch,
        clip=config.clip or defaults.clip,
        device=str(device),
        dtype=pick_dtype(config.dtype, device),
    )


def _plan(records: Sequence[Record], backbone: Backbone, batch_size: int) -> list[list[Record]]:
    """Batches of records whose pictures are seen at one size, fixed before the run."""
    groups: dict[tuple[int, int], list[Record]] = {}
    for record in records:
        groups.setdefault(model_size(record.width, record.height, backbone.image_size, backbone.multiple), []).append(
            record
        )
    return [group[i : i + batch_size] for _, group in sorted(groups.items()) for i in range(0, len(group), batch_size)]


@dataclass(frozen=True)
class _Loaded:
    """A record's pixels (3, H, W), or why there are none."""

    pixels: np.ndarray | None
    problem: str | None


def _compute(
    plan: list[list[Record]],
    folder: Path,
    dataset: Dataset,
    backbone: Backbone,
    config: InvertConfig,
    run: Run,
    ours: Processes,
) -> None:
    """Make the missing batch files, reading the next batch's pictures while the UNet works."""
    numbered = ours.share(list(enumerate(plan)))
    missing = [(number, batch) for number, batch in numbered if not is_whole(batch_file(folder, number))]
    if len(missing) < len(numbered):
        run.report.say(f"continuing: {len(numbered) - len(missing)} of {len(numbered)} batches are there")
    teacher = _Teacher(dataset, backbone, config)
    bar = run.report.track(missing, "invert", total=len(numbered), done=len(numbered) - len(missing))
    with ThreadPoolExecutor(1) as reader:
        loaded = _prefetched(reader, missing, dataset, backbone)
        for (number, batch), pictures in zip(bar, loaded, strict=True):
            write_bytes(batch_file(folder, number), teacher.batch(batch, pictures))


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
        image = checked_image(dataset, record)
    except SpadeError as error:
        return _Loaded(None, str(error))
    return _Loaded(
        to_array(image, model_size(record.width, record.height, backbone.image_size, backbone.multiple)), None
    )


class _Teacher:
    """The backbone and how its maps are read, for all batches of a run."""

    def __init__(self, dataset: Dataset, backbone: Backbone, config: InvertConfig) -> None:
        self.dataset, self.backbone, self.config = dataset, backbone, config
        self.plan = MapPlan(config.steps, config.read_at, config.grids, config.read, config.latents)
        self.nearest = None
        if config.counterfactual:
            clip = load_clip(config.clip, backbone.device)
            self.nearest = near_predicates(dataset.predicates, clip.embed_predicates(dataset.predicates))

    def batch(self, records: list[Record], pictures: list[_Loaded]) -> bytes:
        """One batch's file."""
        pages = [Page(record.image_id, picture.problem) for record, picture in zip(records, pictures, strict=True)]
        usable: list[tuple[Page, Record, np.ndarray, list[Prompt], list[Counterfactual]]] = []
        for page, record, picture in zip(pages, records, pictures, strict=True):
            if picture.pixels is None:
                continue
            try:
                usable.append((page, record, picture.pixels, *self._prompts(record)))
            except SpadeError as error:
                page.problem = f"image {record.image_id}: {error}"
        reached: tuple[int, ...] = ()
        if usable:
            texts = [[*true, *(c.prompt for c in wrong)] for _, _, _, true, wrong in usable]
            pixels = torch.from_numpy(np.stack([pixels for _, _, pixels, _, _ in usable]))
            noise = (
                None
                if self.plan.latents == "inverted"
                else torch.stack([self._noise(row[1], pixels.shape) for row in usable])
            )
            seen, reached = look(self.backbone, pixels, texts, self.plan, noise)
            for (page, record, _, true, wrong), own in zip(usable, seen, strict=True):
                if not all(bool(torch.isfinite(mention.map).all()) for mention in own.mentions):
                    page.problem = (
                        f"image {record.image_id}: its maps are no numbers in {self.config.dtype}; use --dtype float32"
                    )
                    continue
                self._keep(page, len(true), wrong, own)
        return pack(pages, reached)

    def _prompts(self, record: Record) -> tuple[list[Prompt], list[Counterfactual]]:
        labels = [self.dataset.classes[segment.category] for segment in record.segments]
        triples = [(s, o, self.dataset.predicates[p]) for s, o, p in record.training_triples()]
        runs = split_triples(triples, labels, self.backbone.token_count, self.backbone.token_limit)
        prompts = [relation_prompt(run, labels) for run in runs]
        if self.nearest is None:
            return prompts, []
        boxes = [segment.bbox for segment in record.segments]
        return prompts, counterfactuals(runs, labels, boxes, self.config.counterfactual, self.nearest, self._fits)

    def _fits(self, text: str) -> bool:
        return self.backbone.token_count(text) <= self.backbone.token_limit

    def _noise(self, record: Record, shape: Sequence[int]) -> Tensor:
        """The noise of one picture, the same in whatever batch."""
        seed = (
            np.random.SeedSequence([self.config.seed, zlib.crc32(record.image_id.encode())]).generate_state(1)[0].item()
        )
        channels, factor = self.backbone.unet.config.in_channels, self.backbone.factor
        return torch.randn(
            (channels, shape[2] // factor, shape[3] // factor), generator=torch.Generator().manual_seed(seed)
        )

    def _keep(self, page: Page, true: int, wrong: Sequence[Counterfactual], own: PictureMaps) -> None:
        """Put a picture's maps on its page; its first ``true`` prompts are so, the others are made wrong."""
        place: dict[tuple[int, Span], int] = {}
        for mention in own.mentions:
            if mention.prompt < true:
                place[mention.prompt, mention.span] = len(page.spans)
                fact: dict[str, Any] = {
                    "role": mention.span.role,
                    "name": mention.span.name,
                    "segment": mention.span.segment,
                }
                if self.config.keep == "tokens":
                    fact |= {"prompt": mention.prompt, "tokens": list(mention.tokens)}
                page.spans.append(fact)
                page.maps.append(mention.map)
                continue
            made = wrong[mention.prompt - true]
            against = next((right for right, false in made.spans if false == mention.span), None)
            if against is not None and (made.run, against) in place:
                page.wrong_spans.append({"kind": made.kind, "of": place[made.run, against]})
                page.wrong.append(mention.map)
        if self.config.keep == "tokens":
            page.tokens += own.tokens[:true]
