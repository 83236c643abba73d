"""Annotated regions that a model has a proposal for, and what it calls them in several ways."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from PIL import Image
from torch.nn.functional import interpolate

from benchmarks.relations.base_over_novel import NOVEL, WHOLE
from spade.models.config import UNSEEN_ODDS
from spade.models.heads import Heads
from spade.models.naming import NameScorer
from spade.models.predictor import SceneGraphPredictor
from spade.world.annotation import CLASSES, WorldSample


@dataclass(frozen=True)
class Region:
    """An annotated segment with a proposal of IoU above a half: its category, the likeliest name in each way that was
    asked for, and the likeliest of those of its side, as if somebody had told whether it is novel.
    """

    category: int
    found: tuple[int, ...]
    told: int


@torch.no_grad()
def proposed(model: SceneGraphPredictor, sample: WorldSample, ways: Sequence[NameScorer]) -> Iterator[Region]:
    """Of a scene, under all names."""
    image, encoded = Image.fromarray(sample.image), model._encode(WHOLE)
    _, proposals, classes, attention = model._propose(image, encoded)
    masks, queries = proposals.masks[-1][0], proposals.queries[-1][0]
    soft, cells = masks.float().sigmoid(), model.student.clip.embed_cells(image)
    default = replace(model.names, unseen_odds=UNSEEN_ODDS)
    *scores, plain = (
        names.regions(classes, queries, soft, cells, attention, encoded)[:, :-1] for names in (*ways, default)
    )
    novel = torch.tensor([name in NOVEL for name in CLASSES])
    sides = [plain.masked_fill(hidden, -1.0).argmax(-1) for hidden in (novel, ~novel)]
    best = [own.argmax(-1) for own in scores]
    hard = interpolate(masks[None].float(), size=sample.ids.shape, mode="bilinear", align_corners=False)[0] > 0
    for identity, category, *_ in sample.segments:
        truth = torch.from_numpy(sample.ids == identity)
        joint, either = (hard & truth).sum((1, 2)), (hard | truth).sum((1, 2))
        query = int((joint / either).argmax())
        if 2 * joint[query] > either[query]:
            found = tuple(int(names[query]) for names in best)
            yield Region(category, found, int(sides[int(novel[category])][query]))


def without_probe(model: SceneGraphPredictor) -> Heads:
    """Its heads, as if void had taught nothing."""
    heads = type(model.heads)(replace(model.heads.config, probe=False))
    heads.load_state_dict({k: v for k, v in model.heads.state_dict().items() if not k.startswith("unknown.")})
    return heads.eval()
