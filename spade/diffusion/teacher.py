"""The teacher: where the words of relation prompts look in images, batch by batch."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from spade.core.errors import SpadeError, given
from spade.data.psg import Dataset, Record
from spade.diffusion.backbone import Backbone
from spade.diffusion.config import InversionConfig
from spade.diffusion.counterfactual import Counterfactual, counterfactuals, near_predicates
from spade.diffusion.inversion import MapPlan, read_maps
from spade.diffusion.prompts import Prompt, Span, relation_prompt, span_tokens, split_triples
from spade.diffusion.teacher_maps import SpanMap, TeacherMaps, WrongMap
from spade.open_vocabulary.clip import OpenClip


@torch.no_grad()
def read_span_maps(
    backbone: Backbone, pixels: Tensor, prompts: Sequence[Sequence[Prompt]], plan: MapPlan, noise: Tensor | None = None
) -> tuple[list[TeacherMaps], tuple[int, ...]]:
    """Maps of a batch of images, each under all of its prompts, and the timesteps they were read at.

    pixels (B, 3, H, W) in [-1, 1]; prompts: at least one an image; noise (B, C, h, w), needed unless latents are
    inverted. An image is encoded once and a text once, however many prompts share them; the UNet gets at most twice as
    many rows as there are images. Mentions that the text encoder cuts off, or has no token for, are left out.
    """
    rows = [(i, prompt) for i, image_rows in enumerate(prompts) for prompt in image_rows]
    place = {text: i for i, text in enumerate(dict.fromkeys(prompt.text for _, prompt in rows))}
    context, offsets = backbone.encode_text(list(place))
    latents = backbone.encode_image(pixels)
    image_of = torch.tensor([i for i, _ in rows], device=latents.device)
    text_of = torch.tensor([place[prompt.text] for _, prompt in rows])
    added = torch.zeros_like(latents) if noise is None else noise.to(latents)
    parts: list[Tensor] = []
    reached: tuple[int, ...] = ()
    for part in torch.arange(len(rows)).split(2 * len(pixels)):
        image_rows, texts = image_of[part.to(latents.device)], context[text_of[part].to(context.device)]
        maps_of_part, reached = read_maps(
            backbone.unet, backbone.schedule, latents[image_rows], texts, added[image_rows], plan
        )
        parts.append(maps_of_part)
    images = [TeacherMaps("") for _ in prompts]
    for (i, prompt), maps, text in zip(rows, torch.cat(parts), text_of.tolist(), strict=True):
        number = len(images[i].tokens)
        for span in prompt.spans:
            if tokens := span_tokens(span, offsets[text]):
                images[i].spans.append(SpanMap(span, number, tuple(tokens), maps[tokens].mean(0)))
        images[i].tokens.append(maps[: min(backbone.token_count(prompt.text), len(maps))])
    return images, reached


@dataclass(frozen=True)
class LoadedImage:
    """A record with its image's pixels (3, H, W) in [-1, 1], or why there are none."""

    record: Record
    pixels: np.ndarray | None
    problem: str | None = None


class Teacher:
    """A backbone and how its maps are read, for all batches of a run over one data set.

    ``clip`` finds near predicates for wrong prompts; without them it is not needed.
    """

    def __init__(
        self, dataset: Dataset, backbone: Backbone, config: InversionConfig, seed: int, clip: OpenClip | None
    ) -> None:
        self.dataset, self.backbone, self.config, self.seed = dataset, backbone, config, seed
        self.plan = MapPlan(config.steps, config.read_at, config.grids, config.read, config.latents)
        self.nearest = None
        if clip is not None and config.counterfactual:
            self.nearest = near_predicates(dataset.predicates, clip.embed_predicates(dataset.predicates))

    def maps(self, batch: Sequence[LoadedImage]) -> tuple[list[TeacherMaps], tuple[int, ...]]:
        """The maps of a batch of images, in its order, and the timesteps they were read at."""
        images = [TeacherMaps(loaded.record.image_id, loaded.problem) for loaded in batch]
        usable: list[tuple[TeacherMaps, LoadedImage, list[Prompt], list[Counterfactual]]] = []
        for image, loaded in zip(images, batch, strict=True):
            if loaded.pixels is None:
                continue
            try:
                usable.append((image, loaded, *self._prompts(loaded.record)))
            except SpadeError as error:
                image.problem = f"image {image.image_id}: {error}"
        if not usable:
            return images, ()
        prompts = [[*true, *(c.prompt for c in wrong)] for _, _, true, wrong in usable]
        pixels = torch.from_numpy(np.stack([loaded.pixels for _, loaded, _, _ in usable if loaded.pixels is not None]))
        noise = None
        if self.plan.latents != "inverted":
            noise = torch.stack([self._noise(loaded.record, pixels.shape) for _, loaded, _, _ in usable])
        teacher_maps, reached = read_span_maps(self.backbone, pixels, prompts, self.plan, noise)
        for (image, _, true, wrong), maps_of_image in zip(usable, teacher_maps, strict=True):
            if not all(bool(torch.isfinite(span.map).all()) for span in maps_of_image.spans):
                dtype = str(self.backbone.dtype).removeprefix("torch.")
                image.problem = (
                    f"image {image.image_id}: its maps are no numbers in {dtype}; use {given('dtype', 'float32')}"
                )
                continue
            self._fill(image, maps_of_image, len(true), wrong)
        return images, reached

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
        """The noise (C, h, w) of one image, the same in whatever batch; ``shape`` is that of the batch's pixels."""
        sequence = np.random.SeedSequence([self.seed, zlib.crc32(record.image_id.encode())])
        channels, factor = self.backbone.unet.config.in_channels, self.backbone.factor
        generator = torch.Generator().manual_seed(sequence.generate_state(1)[0].item())
        return torch.randn((channels, shape[2] // factor, shape[3] // factor), generator=generator)

    def _fill(self, image: TeacherMaps, found: TeacherMaps, true: int, wrong: Sequence[Counterfactual]) -> None:
        """Take over an image's maps; its first ``true`` prompts are so, the others are made wrong."""
        place: dict[tuple[int, Span], int] = {}
        for span_map in found.spans:
            if span_map.prompt < true:
                place[span_map.prompt, span_map.span] = len(image.spans)
                image.spans.append(span_map)
                continue
            made = wrong[span_map.prompt - true]
            against = next((right for right, false in made.spans if false == span_map.span), None)
            if against is not None and (made.run, against) in place:
                image.wrong.append(WrongMap(made.kind, place[made.run, against], span_map.map))
        if self.config.keep == "tokens":
            image.tokens += found.tokens[:true]
