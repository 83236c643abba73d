"""Names that training did not have, of the packaged ``tiny-open``: objects among regions that it proposes, predicates
of given segments.

Transductive, as in the field's benchmarks: novel things stood in training images, unlabelled. Inductive: they never
did; both are compared on short trainings of equal length (``--compared``). What is asked of each is the whole list of
25 names and 23 predicates. Nothing is chosen here.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

import spade
from benchmarks.common.results import Results
from spade.diffusion.denoising import caption_scores, denoising_errors
from spade.diffusion.prompts import relation_text
from spade.models.checkpoint import OPEN, packaged_open, read_model
from spade.models.config import UNSEEN_ODDS
from spade.models.naming import NameScorer
from spade.models.predictor import SceneGraphPredictor
from spade.structures.vocabulary import Vocabulary
from spade.world.annotation import CLASSES, WorldSample, make_sample
from spade.world.dataset import novel_names
from spade.world.layout import STUFF, THINGS
from spade.world.rules import PREDICATES

SEED, SCENES = 9_700, 512
ODDS = (0.0, *(UNSEEN_ODDS * 2.0**power for power in range(-6, 7)))  # 0: by their text alone, as learned names are
WHOLE = Vocabulary.of(THINGS, STUFF, PREDICATES)
NOVEL, NOVEL_PREDICATES = (frozenset(names) for names in novel_names("ovdr"))


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
    """Objects with several gates, then predicates with several kinds of evidence."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small and fast; the result is not kept")
    parser.add_argument("--json", action="store_true", help="print the result as json")
    parser.add_argument("--compared", type=Path, help="folder with tiny-open and tiny-inductive of equal trainings")
    options = parser.parse_args()
    scenes = 6 if options.quick else SCENES
    results = Results("open", options, [SEED], read_model(packaged_open()).fingerprint())
    torch.set_num_threads(2)
    samples = [make_sample(SEED, number) for number in range(scenes)]
    if not results.has({"names": "objects", "gate": "probe"}):
        model = spade.load(OPEN)
        _objects(results, model, samples, {})
        for evidence, metrics in _predicates(model, samples).items():
            results.add({"names": "predicates", "evidence": evidence}, metrics)
    for protocol, name in (("transductive", OPEN), ("inductive", "tiny-inductive")):
        more = {"training": f"short, {protocol}"}
        if options.compared is not None and not results.has({"names": "objects", "gate": "doubt"} | more):
            _objects(results, spade.load(options.compared / name), samples, more)
    metrics = {tuple(row["setting"].values()): row["metrics"] for row in results.data["rows"]}
    inductive = metrics.get(("objects", "doubt", "short, inductive"))
    probe, evidence = metrics["objects", "probe"], {k[1]: m for k, m in metrics.items() if k[0] == "predicates"}
    results.headline(
        novel_named=probe["novel"],
        base_named=probe["base"],
        harmonic=probe["harmonic"],
        area=probe["area"],
        novel_inductive=None if inductive is None else inductive["novel"],
        novel_predicates=max(row["novel"] for row in evidence.values()),
    )
    results.show(options)


def _objects(
    results: Results, model: SceneGraphPredictor, samples: Sequence[WorldSample], more: dict[str, str]
) -> None:
    """Rows of a model's names of objects, a row a gate; without novel things in training there is nothing to learn a
    probe from, and both gates are doubt.
    """
    regions = [region for sample in samples for region in _regions(model, sample)]
    for gate, names in _gates().items():
        curve = [_share(regions, lambda region, at=at, of=names: of(region)[at]) for at in range(len(ODDS))]
        results.add({"names": "objects", "gate": gate} | more, _figures(curve))
    told = _share(regions, lambda region: region.told)
    results.add({"names": "objects", "gate": "told which are novel"} | more, {"base": told[0], "novel": told[1]})


def _gates() -> dict[str, Callable[[Region], list[int]]]:
    return {"probe": lambda region: region.by_probe, "doubt": lambda region: region.by_doubt}


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


def _share(regions: Sequence[Region], named: Callable[[Region], int]) -> tuple[float, float]:
    """Percent of base and of novel regions that are named right."""
    right: dict[bool, list[bool]] = {False: [], True: []}
    for region in regions:
        right[CLASSES[region.category] in NOVEL].append(named(region) == region.category)
    return round(100 * float(np.mean(right[False])), 2), round(100 * float(np.mean(right[True])), 2)


def _figures(curve: Sequence[tuple[float, float]]) -> dict[str, Any]:
    """At the default odds, and the area under base over novel as the odds go from nothing to everything."""
    base, novel = curve[ODDS.index(UNSEEN_ODDS)]
    points = sorted((n, b) for b, n in curve[1:])
    x, y = ([0.0, *(p[i] for p in points)] for i in (0, 1))
    y[0] = max(y[1:])
    area = float(np.trapezoid([*y, 0.0], [*x, x[-1]])) / 1e4
    return {
        "base": base,
        "novel": novel,
        "harmonic": round(2 * base * novel / (base + novel), 2) if base + novel else 0.0,
        "area": round(100 * area, 2),
        "curve": [{"odds": odds, "base": b, "novel": n} for odds, (b, n) in zip(ODDS, curve, strict=True)],
    }


@torch.no_grad()
def _predicates(model: SceneGraphPredictor, samples: Sequence[WorldSample]) -> dict[str, dict[str, Any]]:
    """Of annotated relations with a novel predicate, between given segments of any name, how many get the right one
    among the novel ones, by each kind of evidence; chance is one in their number.
    """
    among = [index for index, name in enumerate(PREDICATES) if name in NOVEL_PREDICATES]
    right: dict[str, list[bool]] = {}
    for sample in samples:
        asked = [(s, o, p) for s, o, p in sample.relations if p in among]
        if not asked:
            continue
        image = Image.fromarray(sample.image)
        numbers = sum((n + 1) * (sample.ids == identity) for n, (identity, *_) in enumerate(sample.segments))
        segmented = model.encode_segments(image, np.asarray(numbers), [c for _, c, *_ in sample.segments], WHOLE)
        scores = {}
        for name, odds in (("OpenCLIP's view and attention", UNSEEN_ODDS), ("text alone", 0.0)):
            model.unseen_odds = odds
            predicted = model.relate(segmented)
            rows = dict(zip(map(tuple, predicted.pairs.tolist()), predicted.scores, strict=True))
            scores[name] = [rows[s, o][among] for s, o, _ in asked]
        model.unseen_odds = UNSEEN_ODDS
        scores["denoising error"] = [_denoised(model, segmented.latents, sample, s, o, among) for s, o, _ in asked]
        for name, found in scores.items():
            answers = [among[int(np.argmax(row))] == p for row, (_, _, p) in zip(found, asked, strict=True)]
            right.setdefault(name, []).extend(answers)
    return {
        name: {"novel": round(100 * float(np.mean(answers)), 2), "relations": len(answers), "of": len(among)}
        for name, answers in right.items()
    }


def _denoised(
    model: SceneGraphPredictor, latents: Tensor, sample: WorldSample, subject: int, target: int, among: Sequence[int]
) -> np.ndarray:
    labels, boxes = sample.labels, np.array([sample.segments[i][3] for i in (subject, target)], float)
    height, width = sample.ids.shape
    low, high = boxes[:, :2].min(0) / (width, height), boxes[:, 2:].max(0) / (width, height)
    captions = [relation_text([(labels[subject], PREDICATES[p], labels[target])]) for p in among]
    return caption_scores(denoising_errors(model.student.backbone, latents, captions, (*low, *high))).numpy()


if __name__ == "__main__":
    main()
