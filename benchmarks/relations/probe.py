"""What the probe of unknown regions is learned from: how many images, how much weight decay, and whether evidence
beside it helps; chosen on scenes that nothing else reads.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import nullcontext
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn

import spade
from benchmarks.common.results import Results, arguments, spread
from benchmarks.relations.base_over_novel import NOVEL, means, shares
from benchmarks.relations.open_regions import proposed
from spade.core.workspace import Workspace
from spade.data.psg_reader import load_psg
from spade.models.checkpoint import OPEN, packaged_open, read_model
from spade.models.naming import NameScorer
from spade.models.predictor import SceneGraphPredictor
from spade.open_vocabulary import unknown_probe
from spade.open_vocabulary.unknown_probe import UnknownProbe
from spade.steps import world
from spade.steps.common import Run
from spade.training.unseen_scorers import fit_unseen_scorers
from spade.world.annotation import CLASSES, make_sample

WORLD_SEED, SEED, SCENES = 3_000, 9_740, 160  # scenes to learn from, as the packaged probe did; scenes to choose on
COUNTS, DECAYS, DRAWS = (300, 600, 1_200, 2_400), (0.1, 0.3, 1.0, 3.0), 2
TOGETHER = 100  # images whose proposals are kept as one
Facts = tuple[Tensor, ...]


class Recorded(nn.Module):
    """In a probe's place: keeps what it would have learned from."""

    def __init__(self) -> None:
        super().__init__()
        self.facts: list[Facts] = []

    def fit(self, *facts: Tensor) -> bool:
        """Keep them."""
        self.facts.append(facts)
        return True


def main() -> None:
    """A row for each number of images and decay; all from the same proposals."""
    options = arguments(__doc__ or "")
    results = Results("probe", options, list(range(DRAWS)), read_model(packaged_open()).fingerprint())
    torch.set_num_threads(1)
    counts, scenes = ((100,), 4) if options.quick else (COUNTS, SCENES)
    if not results.data["rows"]:
        model = spade.load(OPEN)
        facts = _facts(model, max(counts))
        settings = [(count, decay, draw) for count in counts for decay in DECAYS for draw in range(DRAWS)]
        ways = [_scorer(model, facts, *setting) for setting in settings]
        for evidence in (True, False):
            answers = _answers(model, ways, scenes, evidence)
            for count in counts:
                for decay in DECAYS:
                    own = [answers[settings.index((count, decay, draw))] for draw in range(DRAWS)]
                    metrics = {name: spread([one[name] for one in own]) for name in own[0]}
                    results.add({"images": count, "decay": decay, "evidence": evidence}, metrics)
    results.show(options)


def _facts(model: SceneGraphPredictor, count: int) -> list[Facts]:
    """What the probe learns from, of each hundred images."""
    with tempfile.TemporaryDirectory() as folder:
        data, workspace = Path(folder) / "world", Workspace(Path(folder) / "w")
        world.run(data, count * 5 // 4, (128, 128), WORLD_SEED, Run(workspace), setting="ovdr")
        dataset, student, heads = load_psg(data).for_training(), model.student, deepcopy(model.heads)
        recorded = Recorded()
        heads.unknown = recorded  # type: ignore[assignment]
        names, records = dataset.vocabulary, dataset.split("train")[:count]
        texts = student.clip.embed_labels(names.objects), student.clip.embed_predicates(names.predicates)
        labels = student.label_context(names)
        for start in range(0, count, TOGETHER):
            fit_unseen_scorers(heads, student, labels, texts, dataset, records[start : start + TOGETHER])
    return recorded.facts


def _scorer(model: SceneGraphPredictor, facts: Sequence[Facts], count: int, decay: float, draw: int) -> NameScorer:
    """The model's, with a probe of its own; another draw has other images, as far as there are others."""
    size = count // TOGETHER
    chosen = [facts[(place + draw * size) % len(facts)] for place in range(size)]
    heads = deepcopy(model.heads)
    assert isinstance(heads.unknown, UnknownProbe)
    with patch.object(unknown_probe, "DECAY", decay):
        heads.unknown.fit(*(torch.cat(parts) for parts in zip(*chosen, strict=True)))
    return replace(model.names, heads=heads)


def _answers(
    model: SceneGraphPredictor, ways: Sequence[NameScorer], scenes: int, evidence: bool
) -> list[dict[str, Any]]:
    """Base, novel and harmonic mean of each way; without evidence the probe decides alone."""
    named: list[tuple[bool, tuple[bool, ...]]] = []
    none = "spade.models.naming.favours_unseen", lambda scorer, facts, *_: facts.views.new_zeros(len(facts.views))
    with nullcontext() if evidence else patch(*none):
        for number in range(scenes):
            for region in proposed(model, make_sample(SEED, number), ways):
                right = tuple(name == region.category for name in region.found)
                named.append((CLASSES[region.category] in NOVEL, right))
    return [means(*shares((is_novel, right[way]) for is_novel, right in named)) for way in range(len(ways))]


if __name__ == "__main__":
    main()
