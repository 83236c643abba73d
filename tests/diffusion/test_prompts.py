from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spade.core.errors import SpadeError
from spade.diffusion.prompts import relation_prompt, relation_text, span_tokens, split_triples

LABELS = ["person", "sky-other-merged", "dog", "hot dog", "person"]


def test_text_uses_plain_names():
    assert (
        relation_text([("sky-other-merged", "over", "sea"), ("person", "on", "sand")])
        == "sky is over sea, person is on sand"
    )


def test_spans_cover_their_names():
    prompt = relation_prompt([(0, 3, "eating"), (2, 1, "in front of"), (4, 0, "beside")], LABELS)
    assert prompt.text == "person is eating hot dog, dog is in front of sky, person is beside person"
    words = [prompt.text[s.start : s.end] for s in prompt.spans]
    assert words == ["person", "eating", "hot dog", "dog", "in front of", "sky", "person", "beside", "person"]
    assert [s.segment for s in prompt.spans] == [0, -1, 3, 2, -1, 1, 4, -1, 0]
    assert prompt.text == relation_text(
        [("person", "eating", "hot dog"), ("dog", "in front of", "sky-other-merged"), ("person", "beside", "person")]
    )


def test_tokens_of_repeated_contained_and_split_words(backbone):
    labels = ["zebra-like quagga", "dog", "hot dog"]
    prompt = relation_prompt([(1, 2, "beside"), (0, 1, "beside")], labels)
    _, offsets = backbone.encode_text([prompt.text])
    tokens = [span_tokens(span, offsets[0]) for span in prompt.spans]
    pieces = backbone.tokenizer(prompt.text).input_ids
    for span, positions in zip(prompt.spans, tokens, strict=True):
        word = backbone.tokenizer.decode([pieces[p] for p in positions]).replace(" ", "")
        assert word == prompt.text[span.start : span.end].replace(" ", "")
    assert len(tokens[3]) > 1, "an unknown word comes in several pieces"
    flat = [p for positions in tokens for p in positions]
    assert len(flat) == len(set(flat)), "no token belongs to two mentions"


def test_43_triples_are_all_covered(backbone):
    triples = [(i % 5, (i + 1) % 5, f"predicate {i}") for i in range(43)]
    prompts = [
        relation_prompt(run, LABELS)
        for run in split_triples(triples, LABELS, backbone.token_count, backbone.token_limit)
    ]
    assert len(prompts) > 1
    assert [s.name for p in prompts for s in p.spans if s.role == "predicate"] == [t[2] for t in triples]
    assert all(backbone.token_count(p.text) <= backbone.token_limit for p in prompts)


@given(st.lists(st.integers(1, 9), max_size=12), st.integers(14, 25))
def test_splitting_covers_every_triple_within_the_limit(lengths, limit):
    triples = [(0, 1, "x" * n) for n in lengths]
    prompts = [
        relation_prompt(run, ["a", "b"])
        for run in split_triples(triples, ["a", "b"], lambda text: len(text.replace(" ", "")), limit)
    ]
    assert [s.name for p in prompts for s in p.spans if s.role == "predicate"] == [t[2] for t in triples]
    assert all(len(p.text.replace(" ", "")) <= limit for p in prompts)


def test_a_triple_that_never_fits_is_one_sentence():
    with pytest.raises(SpadeError, match="is longer than the text encoder's 10 tokens; shorten the label"):
        split_triples([(0, 1, "x" * 50)], ["a", "b"], len, 10)
