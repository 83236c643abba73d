"""The pointing game of a teacher's maps on scenes of the world: shared by the benchmarks that choose and those that
report.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from spade.diffusion.alignment import label_targets, pointing_hit
from spade.diffusion.backbone import Backbone
from spade.diffusion.inversion import MapPlan
from spade.diffusion.prompts import Prompt, relation_prompt, split_triples
from spade.diffusion.teacher import read_span_maps
from spade.segmentation.matching import covered_cells
from spade.world.annotation import WorldSample
from spade.world.dataset import novel_names
from spade.world.layout import THINGS
from spade.world.rules import PREDICATES

BATCH, LATENT_CELL = 32, 8  # pixels a side
MIN_CELLS = 4  # of latents; a segment that covers less is not asked for
NOVEL = novel_names("ovdr")[0]


@dataclass(frozen=True)
class Look:
    """One name in one image: its segments, is the maximum of its map on one, the map's mass inside, the share of the
    area (chance).
    """

    name: str
    segments: int
    hit: bool
    inside: float
    chance: float

    @property
    def thing(self) -> bool:
        """Things and stuff are told apart."""
        return self.name in THINGS

    @property
    def novel(self) -> bool:
        """Whether training annotations of the ovdr setting leave the name out."""
        return self.name in NOVEL


def images(samples: Sequence[WorldSample]) -> torch.Tensor:
    """(B, 3, H, W) in [-1, 1]."""
    return torch.stack([torch.from_numpy(sample.image).permute(2, 0, 1) / 127.5 - 1 for sample in samples])


def prompts_of(backbone: Backbone, sample: WorldSample) -> list[Prompt]:
    """A sample's relation prompts: as many as hold all of its relations."""
    triples = [(s, o, PREDICATES[p]) for s, o, p in sample.relations]
    runs = split_triples(triples, sample.labels, backbone.token_count, backbone.token_limit)
    return [relation_prompt(run, sample.labels) for run in runs]


def looks(
    backbone: Backbone, samples: Sequence[WorldSample], steps: int, read_at: Sequence[int], strides: Sequence[int]
) -> Iterator[list[Look]]:
    """For each sample, every name in its relation prompt that has a mentioned segment of some size.

    A name's map is the mean of its mentions' normalised maps, as calibration takes it; it may point at any segment of
    that name.
    """
    for start in range(0, len(samples), BATCH):
        part = samples[start : start + BATCH]
        prompts = [prompts_of(backbone, sample) for sample in part]
        seen, _ = read_span_maps(backbone, images(part), prompts, MapPlan(steps, tuple(read_at), tuple(strides)))
        for sample, own in zip(part, seen, strict=True):
            told = [span.span for span in own.spans]
            mentions = torch.stack([span.map for span in own.spans])
            targets = label_targets([span.name for span in told], [span.segment for span in told], mentions)
            yield [_look(sample, target.label, target.map) for target in targets if large(sample, target.segments)]


def large(sample: WorldSample, segments: Sequence[int]) -> bool:
    """Whether one of these segments covers enough latent cells to be asked for."""
    return any(sample.segments[i][2] >= MIN_CELLS * LATENT_CELL**2 for i in segments)


def cells_of(sample: WorldSample, name: str, size: Sequence[int]) -> torch.Tensor:
    """The cells (h, w) bool of a grid of this size on which any segment of a name lies."""
    named = [segment[0] for segment, label in zip(sample.segments, sample.labels, strict=True) if label == name]
    return covered_cells(torch.from_numpy(np.isin(sample.ids, named)), (size[0], size[1]))


def _look(sample: WorldSample, name: str, attention: torch.Tensor) -> Look:
    return Look(name, sample.labels.count(name), *pointing_hit(attention, cells_of(sample, name, attention.shape)))
