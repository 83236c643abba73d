"""Regions that nobody named are told from others by what the proposer and OpenCLIP say of them."""

from __future__ import annotations

import pytest
import torch

from spade.open_vocabulary.unknown_probe import FEWEST, UnknownProbe


def regions(count, unknown, seed=0):
    """Logits (M, 4) of three names and of nothing, sure of a name or of none in particular; queries and views."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(count, 4, generator=generator)
    logits[torch.arange(count), torch.arange(count) % 3] += 0.0 if unknown else 6.0
    shift = 1.0 if unknown else -1.0
    queries, views = (torch.randn(count, size, generator=generator) for size in (8, 5))
    queries[:, 0] += shift
    return logits, queries, views


def fitted(named=200, unnamed=60):
    torch.manual_seed(0)
    probe = UnknownProbe(8, 5)
    parts = zip(regions(named, False), regions(unnamed, True, seed=1), strict=True)
    unknown = torch.arange(named + unnamed) >= named
    return probe, probe.fit(*(torch.cat(both) for both in parts), unknown)


def test_unknown_regions_are_told_from_known_ones():
    probe, enough = fitted()
    assert enough
    assert probe.is_fitted
    with torch.no_grad():
        known, unknown = probe(*regions(300, False, seed=2)), probe(*regions(300, True, seed=3))
    assert (known < 0).float().mean() > 0.95
    assert (unknown > 0).float().mean() > 0.9


def test_the_order_of_names_says_nothing():
    probe, _ = fitted()
    logits, queries, views = regions(5, True, seed=4)
    with torch.no_grad():
        shuffled = probe(logits[:, [2, 0, 1, 3]], queries, views)
        assert torch.allclose(probe(logits, queries, views), shuffled, atol=1e-5)
        assert probe(logits[:, [0, 3]], queries, views).isfinite().all(), "one name alone"


def test_what_it_learned_before_says_nothing_after_another_fit():
    again, _ = fitted()
    named, unnamed = regions(200, False), regions(60, True, seed=1)
    parts = [torch.cat(both) for both in zip(named, unnamed, strict=True)]
    first = {name: value.clone() for name, value in again.state_dict().items()}
    torch.manual_seed(5)
    again.fit(*parts, torch.arange(260) >= 200)
    assert all(torch.equal(first[name], value) for name, value in again.state_dict().items())
    assert not again.fit(*named, torch.zeros(200, dtype=torch.bool))
    assert not again.is_fitted, "too few now: what it knew was of other regions"


@pytest.mark.parametrize("unnamed", [0, FEWEST - 1])
def test_too_few_regions_without_a_name_teach_nothing(unnamed):
    probe, enough = fitted(unnamed=unnamed)
    assert not enough
    assert not probe.is_fitted
    with torch.no_grad():
        assert probe(*regions(3, True)).isfinite().all()
