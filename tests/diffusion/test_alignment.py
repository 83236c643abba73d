from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from spade.diffusion.alignment import hinge_loss, label_targets, map_loss, match_maps, pointing_hit
from spade.diffusion.attention import normalise


def peak(y, x, value=1.0):
    maps = torch.zeros(4, 4)
    maps[y, x] = value
    return maps


def test_a_label_is_the_mean_of_its_normalised_mentions():
    maps = torch.stack([peak(0, 0, 0.001), peak(1, 1), peak(3, 3, 5.0)])
    targets = label_targets(["dog", "on", "dog"], [2, -1, 0], maps)
    assert [(t.label, t.segments) for t in targets] == [("dog", (0, 2)), ("on", ())]
    # eps keeps the faint map a hair below 1
    assert torch.allclose(targets[0].map, (peak(0, 0) + peak(3, 3)) / 2, atol=1e-4)


def test_an_object_and_a_predicate_of_one_name_stay_apart():
    targets = label_targets(["play", "play"], [0, -1], torch.stack([peak(0, 0), peak(3, 3)]))
    assert [(t.key, t.segments) for t in targets] == [("play", (0,)), ("predicate play", ())]
    assert targets[0].map[0, 0] > 0.9
    assert targets[1].map[3, 3] > 0.9


def test_loss_by_hand():
    student = torch.stack([peak(0, 0), peak(1, 1), peak(2, 2)])[None]
    assert map_loss(student, [[(0, peak(0, 0))]]) < 1e-6
    assert torch.isclose(map_loss(student, [[(0, peak(3, 3))]]), torch.tensor(2.0))
    both = map_loss(student, [[(0, peak(0, 0)), (1, peak(3, 3))]])
    assert torch.isclose(both, torch.tensor(1.0))
    assert map_loss(student.requires_grad_(), [[]]).requires_grad


@given(st.floats(0.01, 100), st.integers(0, 1000))
def test_loss_ignores_the_scale_of_a_map_and_stays_in_its_range(factor, seed):
    generator = torch.Generator().manual_seed(seed)
    student, target = (
        torch.rand(1, 1, 4, 4, generator=generator) + 0.01,
        normalise(torch.rand(4, 4, generator=generator) + 0.01),
    )
    plain, scaled = (float(map_loss(s, [[(0, target)]])) for s in (student, factor * student))
    assert abs(plain - scaled) < 1e-4
    assert 0 <= plain <= 2


def test_pointing():
    mask = torch.zeros(4, 4, dtype=torch.bool)
    mask[0] = True
    hit, mass, chance = pointing_hit(peak(0, 2, 3.0) + peak(2, 2, 1.0), mask)
    assert (hit, chance) == (True, 0.25)
    assert abs(mass - 0.75) < 1e-6
    assert pointing_hit(peak(2, 2), mask)[0] is False


def test_matching_by_hand():
    student = torch.stack([peak(0, 0), peak(1, 1), peak(2, 2)])
    assert match_maps(student, torch.stack([peak(2, 2), peak(0, 0)])) == [2, 0]
    assert sorted(match_maps(student[:1], torch.stack([peak(2, 2), peak(0, 0)]))) == [-1, 0], "more targets than maps"
    assert match_maps(student[:1], torch.stack([peak(2, 2), peak(0, 0)]))[1] == 0, "the nearer one gets it"


def test_hinge_by_hand():
    """L1 between two different peaks is 2; the margin is half of that."""
    true, false = peak(0, 0), peak(3, 3)
    told = [[(0, true, false)]]
    assert hinge_loss(peak(0, 0)[None, None], told) == 0
    assert torch.isclose(hinge_loss(peak(3, 3)[None, None], told), torch.tensor(3.0), atol=1e-5)
    middle = (peak(0, 0) + peak(3, 3))[None, None]
    assert torch.isclose(hinge_loss(middle, told), torch.tensor(1.0), atol=1e-5)
    assert hinge_loss(middle.requires_grad_(), [[]]).requires_grad


@given(st.integers(0, 1000))
def test_a_map_that_equals_the_true_one_pays_nothing(seed):
    generator = torch.Generator().manual_seed(seed)
    true, false = (normalise(torch.rand(4, 4, generator=generator) + 0.01) for _ in range(2))
    assert hinge_loss(7 * true[None, None], [[(0, true, false)]]) < 1e-5
