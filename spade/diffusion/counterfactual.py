"""Prompts that say of an image what is not so, for the pairs that lie farthest apart (SPADE++)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from spade.diffusion.prompts import Prompt, Span, Triple, relation_prompt

SYMMETRIC = frozenset(
    {"beside", "next to", "near", "touching", "kissing", "talking to", "playing with"}
)  # as PSG and its users write them

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Counterfactual:
    """A prompt with one relation made wrong, and its three spans there.

    kind: ``predicate`` (replaced by a near one) or ``roles`` (swapped). Each span is paired with the one of the true
    prompt, the ``run``-th, that it stands against: the same segment, or the true predicate.
    """

    kind: str
    run: int
    prompt: Prompt
    spans: tuple[tuple[Span, Span], ...]  # (true, false)


def near_predicates(names: Sequence[str], embeddings: Tensor) -> Callable[[str, set[str]], str | None]:
    """nearest(predicate, excluded): the name whose embedding (P, D), normed, is nearest and that is not excluded; None
    without one.
    """
    similar = embeddings @ embeddings.T
    place = {name: i for i, name in enumerate(names)}

    def nearest(predicate: str, excluded: set[str]) -> str | None:
        order = torch.argsort(similar[place[predicate]], descending=True).tolist()
        return next((names[i] for i in order if names[i] != predicate and names[i] not in excluded), None)

    return nearest


def counterfactuals(
    runs: Sequence[Sequence[Triple]],
    labels: Sequence[str],
    boxes: Sequence[Box],
    count: int,
    nearest: Callable[[str, set[str]], str | None],
    fits: Callable[[str], bool],
) -> list[Counterfactual]:
    """Two for each of the ``count`` related pairs whose box centres are farthest apart, where they exist.

    runs: an image's triples, as its prompts hold them; boxes (x1, y1, x2, y2) of the segments. Roles are not swapped
    between equal labels, of a symmetric predicate, nor where the image has the swapped relation, too. The wrong
    relation stands among its run's others where the text encoder holds them all, else alone.
    """
    stated = {triple for run in runs for triple in run}
    places: dict[tuple[int, int], tuple[int, int]] = {}
    for number, run in enumerate(runs):
        for i, (s, o, _) in enumerate(run):
            places.setdefault((s, o), (number, i))  # a pair's first relation
    prompts = []
    for pair in sorted(places, key=lambda pair: (-_distance(boxes[pair[0]], boxes[pair[1]]), pair))[:count]:
        number, i = places[pair]
        subject, target, predicate = runs[number][i]
        other = nearest(predicate, {p for s, o, p in stated if (s, o) == pair})
        if other is not None:
            prompts.append(_made("predicate", runs, number, i, (subject, target, other), labels, fits))
        if (
            labels[subject] != labels[target]
            and predicate not in SYMMETRIC
            and (target, subject, predicate) not in stated
        ):
            prompts.append(_made("roles", runs, number, i, (target, subject, predicate), labels, fits))
    return prompts


def _made(
    kind: str,
    runs: Sequence[Sequence[Triple]],
    number: int,
    i: int,
    wrong: Triple,
    labels: Sequence[str],
    fits: Callable[[str], bool],
) -> Counterfactual:
    run, place = runs[number], i
    prompt = relation_prompt([*run[:i], wrong, *run[i + 1 :]], labels)
    if not fits(prompt.text):
        prompt, place = relation_prompt([wrong], labels), 0
    subject, predicate, target = relation_prompt(run, labels).spans[3 * i : 3 * i + 3]
    false = prompt.spans[3 * place : 3 * place + 3]
    against = (subject, predicate, target) if kind == "predicate" else (target, predicate, subject)
    return Counterfactual(kind, number, prompt, tuple(zip(against, false, strict=True)))


def _distance(one: Box, other: Box) -> float:
    """Squared distance of the centres, times 4."""
    return (one[0] + one[2] - other[0] - other[2]) ** 2 + (one[1] + one[3] - other[1] - other[3]) ** 2
