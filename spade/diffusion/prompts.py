"""Relation prompts, and where each word of them ends up among the text encoder's tokens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from spade.errors import SpadeError
from spade.vocabulary import plain_name


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


def relation_prompt(triples: Sequence[tuple[int, int, str]], labels: Sequence[str]) -> Prompt:
    """The prompt of (subject segment, object segment, predicate) triples, with a span for each mention."""
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


def split_prompts(
    triples: Sequence[tuple[int, int, str]], labels: Sequence[str], token_count: Callable[[str], int], limit: int
) -> list[Prompt]:
    """As few prompts as needed so that each fits ``limit`` tokens and every triple is in one of them.

    Raises SpadeError when a single triple is longer than the text encoder.
    """
    prompts: list[Prompt] = []
    group: list[tuple[int, int, str]] = []
    for triple in triples:
        if token_count(relation_prompt([*group, triple], labels).text) <= limit:
            group.append(triple)
            continue
        if not group or token_count(relation_prompt([triple], labels).text) > limit:
            text = relation_prompt([triple], labels).text
            raise SpadeError(f'the relation "{text[:60]}..." is longer than the text encoder\'s {limit} tokens; shorten the label.')
        prompts.append(relation_prompt(group, labels))
        group = [triple]
    if group:
        prompts.append(relation_prompt(group, labels))
    return prompts


def span_tokens(span: Span, offsets: Sequence[tuple[int, int]]) -> list[int]:
    """Positions of the tokens whose characters overlap the span; special tokens have empty offsets."""
    return [i for i, (start, end) in enumerate(offsets) if start < end and start < span.end and end > span.start]
