from __future__ import annotations

import itertools
import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spade.core.errors import SpadeError
from spade.training.config import Schedule
from spade.training.loop import fit, kept, rate_factor
from spade.training.split import grouped_batches


class Killed(Exception):
    pass


def train(state_file, *, stop_at=None, epochs=4, ema=0.9, signature="s", loss=None):
    """Fit y = 3x + 1 with noise drawn in the loss; returns weights and curves."""
    torch.manual_seed(5)
    layer = torch.nn.Linear(1, 1)
    steps = [0]

    def losses(batch):
        steps[0] += 1
        if stop_at is not None and steps[0] > stop_at:
            raise Killed
        x = torch.tensor(batch, dtype=torch.float32)[:, None] / 10
        noise = 0.1 * torch.randn_like(x)
        return {"mse": (layer(x) - (3 * x + 1) + noise).square().mean() if loss is None else loss * layer.weight.sum()}

    def validate():
        return {"minus_error": -float((layer.weight - 3).abs() + (layer.bias - 1).abs())}

    options = Schedule(epochs=epochs, learning_rate=0.1, ema_decay=ema, warmup_steps=2)
    curves = fit(
        dict(layer.named_parameters()),
        options,
        lambda epoch: grouped_batches([0] * 12, 4, 0, epoch),
        losses,
        validate,
        "minus_error",
        state_file,
        signature,
        lambda steps, done, total: steps,
    )
    return torch.cat([layer.weight.flatten(), layer.bias]).detach(), curves


@pytest.mark.parametrize("ema", [None, 0.9])
@pytest.mark.parametrize("stop_at", [1, 4, 7, 11])
def test_a_killed_training_ends_in_the_same_bits(tmp_path, monkeypatch, stop_at, ema):
    monkeypatch.setattr("spade.training.loop.CHECKPOINT_SECONDS", -1.0)
    whole, curves = train(tmp_path / "whole", ema=ema)
    with pytest.raises(Killed):
        train(tmp_path / "state", stop_at=stop_at, ema=ema)
    resumed, again = train(tmp_path / "state", ema=ema)
    assert torch.equal(whole, resumed)
    assert curves == again
    assert (tmp_path / "whole").read_bytes() == (tmp_path / "state").read_bytes()


def test_rows_gathered_many_times_end_in_the_same_bits():
    """Threads add the gradients of such rows in any order, unless told not to."""

    def once():
        looks = itertools.count()
        table = torch.nn.Parameter(torch.ones(9, 64))
        fit(
            {"table": table},
            Schedule(epochs=2, learning_rate=0.1),
            lambda epoch: range(5),
            lambda batch: {"loss": (table[torch.randint(9, (4096,))] * torch.randn(4096, 64)).sum()},
            lambda: {"last": next(looks)},
            "last",
            None,
            "s",
            lambda steps, done, total: steps,
        )
        return table.detach()

    first, *others = (once() for _ in range(8))
    assert all(torch.equal(first, other) for other in others)
    assert not torch.are_deterministic_algorithms_enabled()


def test_it_learns_and_ends_with_the_best(tmp_path):
    weights, curves = train(None, epochs=60, ema=None)
    best = max(row["minus_error"] for row in curves)
    assert -float((weights[0] - 3).abs() + (weights[1] - 1).abs()) == pytest.approx(best, abs=1e-6)
    assert best > curves[0]["minus_error"]
    assert best > -0.3


@pytest.mark.parametrize("content", [b"", b"rubbish", b"\x10" * 40])
def test_a_damaged_state_is_not_taken_up(tmp_path, content):
    (tmp_path / "state").write_bytes(content)
    assert torch.equal(train(tmp_path / "state")[0], train(None)[0])


def test_a_state_of_another_training_is_not_taken_up(tmp_path):
    train(tmp_path / "state", signature="other")
    assert torch.equal(train(tmp_path / "state")[0], train(None)[0])


def test_a_loss_that_is_not_finite_is_one_sentence(tmp_path):
    with pytest.raises(SpadeError, match="The loss is nan at step 0; lower `learning_rate`"):
        train(None, loss=float("nan"))


def test_rates():
    usual = Schedule(warmup_steps=10)
    values = [rate_factor(step, 100, usual) for step in range(100)]
    assert values[:10] == pytest.approx([(i + 1) / 10 for i in range(10)])
    assert all(a >= b for a, b in pairwise(values[9:]))
    assert values[-1] == pytest.approx(0.05, abs=0.01)
    assert math.isclose(rate_factor(0, 3, Schedule(warmup_steps=100)), 1.0)
    dropped = Schedule(warmup_steps=1, decay="step")
    assert [rate_factor(step, 80, dropped) for step in (1, 59, 60, 79)] == [1.0, 1.0, 0.1, 0.1], (
        "SPADE drops at 60 of 80"
    )


@given(st.lists(st.sampled_from("ab"), min_size=1, max_size=30), st.integers(1, 7), st.integers(0, 3))
def test_batches_hold_each_index_once_and_one_group(groups, size, epoch):
    batches = grouped_batches(groups, size, 0, epoch)
    assert sorted(i for batch in batches for i in batch) == list(range(len(groups)))
    assert all(len(batch) <= size and len({groups[i] for i in batch}) == 1 for batch in batches)
    assert len(batches) == len(grouped_batches(groups, size, 0, epoch + 1))
    assert batches == grouped_batches(groups, size, 0, epoch)


@pytest.mark.parametrize(
    ("validation", "kept_start", "random"),
    [
        ([0, 0, 0, 0], 0, 3),
        ([0.5, 0.2, 0.4, 0.4], 0, 3),
        ([0.1, 0.3, 0.3, 0.2], 1, 2),
        ([0.1, math.nan, 0.3, 0.2], 2, 2),
    ],
)
@pytest.mark.parametrize("random_start", [False, True])
def test_a_random_start_never_stays(validation, kept_start, random, random_start):
    count = torch.nn.Parameter(torch.zeros(1))
    looks = iter(validation)
    curves = fit(
        {"count": count},
        Schedule(epochs=3, learning_rate=0.1, weight_decay=0.0),
        lambda epoch: range(2),
        lambda batch: {"loss": -count.sum()},
        lambda: {"score": next(looks), "count": count.item()},
        "score",
        None,
        "s",
        lambda steps, done, total: steps,
        random_start=random_start,
    )
    best = kept(curves, "score", random_start)
    assert (best["epoch"], best["count"]) == (random if random_start else kept_start, count.item())
