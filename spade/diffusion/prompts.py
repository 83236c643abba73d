"""Relation prompts, and where each word of them ends up among the text encoder's tokens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from spade.core.errors import SpadeError
from spade.structures.vocabulary import plain_name

Triple = tuple[int, int, str]  # subject segment, object segment, predicate


@dataclass(frozen=True)
class Span:
    """One mention in a prompt: characters [start, end) of ``name``.

    ``role`` is subject, predicate or object; ``segment`` the mentioned segment's index, -1 for a predicate.
    """

    start: int
    end: int
    role: str
    name: str
    segment: int


@dataclass(frozen=True)
class Prompt:
    """A text with its mentions."""

    text: str
    spans: tuple[Span, ...]


def relation_text(triples: Sequence[tuple[str, str, str]]) -> str:
    """Triples of labels as "subject is predicate object", comma-joined (SPADE, stage 1)."""
    return ", ".join(f"{plain_name(s)} is {p} {plain_name(o)}" for s, p, o in triples)


def relation_prompt(triples: Sequence[Triple], labels: Sequence[str]) -> Prompt:
    """The prompt of triples, with a span for each mention."""
    text, spans = "", []
    for subject, target, predicate in triples:
        text += ", " if text else ""
        for role, name, segment in (
            ("subject", labels[subject], subject),
            ("predicate", predicate, -1),
            ("object", labels[target], target),
        ):
            word = plain_name(name)
            spans.append(Span(len(text), len(text) + len(word), role, name, segment))
            text += word + (" is " if role == "subject" else " " if role == "predicate" else "")
    return Prompt(text, tuple(spans))


def split_triples(
    triples: Sequence[Triple], labels: Sequence[str], token_count: Callable[[str], int], limit: int
) -> list[list[Triple]]:
    """Triples in as few runs as needed so that the prompt of each fits ``limit`` tokens; none is left out.

    Raises SpadeError when a single triple is longer than the text encoder.
    """
    runs: list[list[Triple]] = []
    for triple in triples:
        if runs and token_count(relation_prompt([*runs[-1], triple], labels).text) <= limit:
            runs[-1].append(triple)
            continue
        text = relation_prompt([triple], labels).text
        if token_count(text) > limit:
            raise SpadeError(
                f'the relation "{text[:60]}..." is longer than the text encoder\'s {limit} tokens; shorten the label.'
            )
        runs.append([triple])
    return runs


def span_tokens(span: Span, offsets: Sequence[tuple[int, int]]) -> list[int]:
    """Positions of the tokens whose characters overlap the span; special tokens have empty offsets."""
    return [i for i, (start, end) in enumerate(offsets) if start < end and start < span.end and end > span.start]
