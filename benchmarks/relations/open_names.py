"""Names that training did not have, of the packaged ``tiny-open``: objects among regions that it proposes, predicates
of given segments.

Transductive, as in the field's benchmarks: novel things stood in training images, unlabelled. Inductive: they never
did; both are compared on short trainings of equal length (``--compared``). What is asked of each is the whole list of
25 names and 23 predicates. Which evidence of predicates makes the headline is chosen on scenes of its own.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

import spade
from benchmarks.common.results import Results
from benchmarks.relations.base_over_novel import NOVEL, ODDS, WHOLE, figures, means, shares
from benchmarks.relations.open_predicates import EVIDENCE, by_evidence, of_baselines, of_model
from spade.models.checkpoint import OPEN, packaged_open, read_model
from spade.models.config import UNSEEN_ODDS
from spade.models.naming import NameScorer
from spade.models.predictor import SceneGraphPredictor
from spade.world.annotation import CLASSES, WorldSample, make_sample

SEED, SCENES = 9_700, 512
TOLD = "told which are novel"
CHOICE_SEED, CHOICE = 9_720, 64  # scenes that say which evidence of predicates is the headline


@dataclass(frozen=True)
class Region:
    """An annotated segment with a proposal of IoU above a half: its category, and the best name at each of ``ODDS``
    with the probe, without it, and if somebody told whether it is novel.
    """

    category: int
    by_probe: list[int]
    by_doubt: list[int]
    told: int


def main() -> None:
    """Objects with several gates, then predicates; each row by itself, so that a run that was stopped goes on."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small and fast; the result is not kept")
    parser.add_argument("--json", action="store_true", help="print the result as json")
    parser.add_argument("--compared", type=Path, help="folder with tiny-open and tiny-inductive of equal trainings")
    options = parser.parse_args()
    results = Results("open", options, [SEED], read_model(packaged_open()).fingerprint())
    torch.set_num_threads(2)
    samples = [make_sample(SEED, number) for number in range(6 if options.quick else SCENES)]
    model = spade.load(OPEN)
    _objects(results, model, samples, {})
    _predicates(results, model, samples, options.quick)
    for protocol, name in (("transductive", OPEN), ("inductive", "tiny-inductive")):
        if options.compared is not None:
            own = spade.load(options.compared / name)
            _objects(results, own, samples, {"training": f"short, {protocol}"})
    metrics = {tuple(row["setting"].values()): row["metrics"] for row in results.data["rows"]}
    probe, inductive = metrics["objects", "probe"], metrics.get(("objects", "doubt", "short, inductive"))
    best = max(EVIDENCE, key=lambda evidence: metrics["novel predicates", evidence, "of the choice"]["novel"])
    results.headline(
        novel_named=probe["novel"],
        base_named=probe["base"],
        harmonic=probe["harmonic"],
        area=probe["area"],
        novel_inductive=None if inductive is None else inductive["novel"],
        novel_predicates=metrics["novel predicates", best, "held out"]["novel"],
    )
    results.show(options)


def _objects(
    results: Results, model: SceneGraphPredictor, samples: Sequence[WorldSample], more: dict[str, str]
) -> None:
    """Rows of a model's names of objects, a row a gate. Without novel things in training there is nothing to learn a
    probe from, and both gates are doubt.
    """
    gates = {"probe": lambda region: region.by_probe, "doubt": lambda region: region.by_doubt}
    settings = {gate: {"names": "objects", "gate": gate} | more for gate in (*gates, TOLD)}
    if all(results.has(setting) for setting in settings.values()):
        return
    regions = [region for sample in samples for region in _regions(model, sample)]
    for gate, names in gates.items():
        curve = [_share(regions, lambda region, at=at, of=names: of(region)[at]) for at in range(len(ODDS))]
        _add(results, settings[gate], figures(curve))
    _add(results, settings[TOLD], means(*_share(regions, lambda region: region.told)))


def _share(regions: Sequence[Region], named: Callable[[Region], int]) -> tuple[float, float]:
    return shares((CLASSES[region.category] in NOVEL, named(region) == region.category) for region in regions)


def _predicates(results: Results, model: SceneGraphPredictor, samples: Sequence[WorldSample], quick: bool) -> None:
    ours = {"names": "predicates", "scored": "by tiny-open"}
    if not results.has(ours):
        results.add(ours, of_model(model, samples))
    if not results.has({"names": "predicates", "scored": "frequency of label pairs"}):
        for name, metrics in of_baselines(samples, quick).items():
            _add(results, {"names": "predicates", "scored": name}, metrics)
    others = [make_sample(CHOICE_SEED, number) for number in range(3 if quick else CHOICE)]
    for scenes, of in ((others, "of the choice"), (samples, "held out")):
        for evidence in EVIDENCE:
            setting = {"names": "novel predicates", "evidence": evidence, "scenes": of}
            if not results.has(setting):
                results.add(setting, by_evidence(model, scenes, evidence))


def _add(results: Results, setting: dict[str, str], metrics: dict[str, Any]) -> None:
    if not results.has(setting):
        results.add(setting, metrics)


@torch.no_grad()
def _regions(model: SceneGraphPredictor, sample: WorldSample) -> Iterator[Region]:
    image = Image.fromarray(sample.image)
    encoded = model._encode(WHOLE)
    _, proposals, classes, attention = model._propose(image, encoded)
    masks, cells = proposals.masks[-1][0], model.student.clip.embed_cells(image)
    queries, soft = proposals.queries[-1][0], masks.float().sigmoid()

    def best(names: NameScorer) -> Tensor:
        return names.regions(classes, queries, soft, cells, attention, encoded)[:, :-1].argmax(-1)

    doubting = replace(model.names, heads=_without_probe(model))
    by_probe = [best(replace(model.names, unseen_odds=odds)) for odds in ODDS]
    by_doubt = [best(replace(doubting, unseen_odds=odds)) for odds in ODDS]
    novel = torch.tensor([name in NOVEL for name in CLASSES])
    scores = replace(model.names, unseen_odds=UNSEEN_ODDS).regions(classes, queries, soft, cells, attention, encoded)
    sides = [scores[:, :-1].masked_fill(hidden, -1.0).argmax(-1) for hidden in (novel, ~novel)]
    hard = interpolate(masks[None].float(), size=sample.ids.shape, mode="bilinear", align_corners=False)[0] > 0
    for identity, category, *_ in sample.segments:
        truth = torch.from_numpy(sample.ids == identity)
        joint, either = (hard & truth).sum((1, 2)), (hard | truth).sum((1, 2))
        query = int((joint / either).argmax())
        if 2 * joint[query] > either[query]:
            lists = [[int(names[query]) for names in found] for found in (by_probe, by_doubt)]
            yield Region(category, *lists, int(sides[int(novel[category])][query]))


def _without_probe(model: SceneGraphPredictor) -> Any:
    heads = type(model.heads)(replace(model.heads.config, probe=False))
    heads.load_state_dict({k: v for k, v in model.heads.state_dict().items() if not k.startswith("unknown.")})
    return heads.eval()


if __name__ == "__main__":
    main()
