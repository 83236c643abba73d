"""Prompts that say of a picture what is not so, for the pairs that lie farthest apart (SPADE++)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from spade.diffusion.prompts import Prompt, Span, Triple, relation_prompt

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Counterfactual:
    """A prompt with one relation made wrong, and its three spans there.

    kind: ``predicate`` (replaced by a near one) or ``roles`` (swapped). Each span is paired with the one of the true prompt that it
    stands against: the same segment, or the true predicate.
    """

    kind: str
    prompt: Prompt
    spans: tuple[tuple[Span, Span], ...]  # (true, false)


def near_predicates(names: Sequence[str], embeddings: Tensor) -> Callable[[str, set[str]], str | None]:
    """nearest(predicate, excluded): the name whose embedding (P, D), normed, is nearest and that is not excluded; None without one."""
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

    runs: a picture's triples, as its prompts hold them; boxes (x1, y1, x2, y2) of the segments. Roles are not swapped between
    equal labels nor where the picture has the swapped relation, too. The wrong relation stands among its run's others
    where the text encoder holds them all, else alone.
    """
    said = {triple for run in runs for triple in run}
    places = {triple[:2]: (run, i) for run in reversed(runs) for i, triple in reversed(list(enumerate(run)))}  # a pair's first relation
    found = []
    for pair in sorted(places, key=lambda pair: (-_distance(boxes[pair[0]], boxes[pair[1]]), pair))[:count]:
        run, i = places[pair]
        subject, target, predicate = run[i]
        other = nearest(predicate, {p for s, o, p in said if (s, o) == pair})
        if other is not None:
            found.append(_made("predicate", run, i, (subject, target, other), labels, fits))
        if labels[subject] != labels[target] and (target, subject, predicate) not in said:
            found.append(_made("roles", run, i, (target, subject, predicate), labels, fits))
    return found


def _made(
    kind: str, run: Sequence[Triple], number: int, wrong: Triple, labels: Sequence[str], fits: Callable[[str], bool]
) -> Counterfactual:
    prompt, place = relation_prompt([*run[:number], wrong, *run[number + 1 :]], labels), number
    if not fits(prompt.text):
        prompt, place = relation_prompt([wrong], labels), 0
    subject, predicate, target = relation_prompt([run[number]], labels).spans
    false = prompt.spans[3 * place : 3 * place + 3]
    against = (subject, predicate, target) if kind == "predicate" else (target, predicate, subject)
    return Counterfactual(kind, prompt, tuple(zip(against, false, strict=True)))


def _distance(one: Box, other: Box) -> float:
    """Squared distance of the centres, times 4."""
    return (one[0] + one[2] - other[0] - other[2]) ** 2 + (one[1] + one[3] - other[1] - other[3]) ** 2
