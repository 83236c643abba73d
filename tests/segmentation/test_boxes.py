"""The box head: where a box begins, what its losses say, which boxes stay."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchvision.ops import generalized_box_iou_loss

from spade.segmentation.boxes import BoxHead, BoxRules, box_cells, box_losses, found_boxes, spread_boxes
from spade.segmentation.losses import queries_on_void
from spade.structures.regions import BoxRegions
from spade.training.joint_losses import boxes_where_fitting


def filled(x1, y1, x2, y2, size=8):
    mask = torch.zeros(size, size)
    mask[y1:y2, x1:x2] = 1
    return mask


@pytest.mark.parametrize("box", [(0, 0, 8, 8), (2, 1, 5, 3), (6, 6, 7, 7), (0, 3, 8, 4)])
def test_a_filled_box_is_its_own_start(box):
    """A row of n cells of width w has variance (n^2 - 1) w^2 / 12 by its middles, and n^2 w^2 / 12 with their width."""
    x1, y1, x2, y2 = (v / 8 for v in box)
    found = spread_boxes(filled(*box)[None, None])[0, 0]
    assert found.tolist() == pytest.approx([(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1], abs=1e-3)


def test_a_fresh_head_gives_the_boxes_of_its_masks():
    torch.manual_seed(0)
    masks = torch.stack([filled(2, 1, 5, 3), filled(4, 4, 7, 6)])[None] * 40 - 20
    boxes = BoxHead(32)(torch.randn(1, 2, 32), masks)
    assert boxes[0].flatten().tolist() == pytest.approx([0.25, 0.125, 0.625, 0.375, 0.5, 0.5, 0.875, 0.75], abs=2e-3)


def test_losses_are_detrs():
    """By hand: centres (.3, .3) and (.4, .3), sides .2 each: L1 .1; overlap .1 x .2 of .06, the hull holds no more."""
    one, other = torch.tensor([[0.2, 0.2, 0.4, 0.4]]), torch.tensor([[0.3, 0.2, 0.5, 0.4]])
    expected = 5 * 0.1 + 2 * (1 - 0.02 / 0.06)
    assert float(box_losses(one, other, torch.tensor(1.0))) == pytest.approx(expected, abs=1e-5)
    assert float(box_losses(one, other, torch.tensor(2.0))) == pytest.approx(expected / 2, abs=1e-5)
    assert float(box_losses(one, one, torch.tensor(1.0))) == pytest.approx(0.0, abs=1e-5)
    apart = torch.tensor([[0.8, 0.8, 0.9, 0.9]])
    assert float(generalized_box_iou_loss(one, apart)) > 1, "boxes that do not meet are told how far they are"


def test_cells_are_those_of_the_regions():
    boxes = np.array([[3.0, 5.0, 40.0, 21.0], [0.0, 0.0, 64.0, 32.0], [10.2, 3.7, 11.9, 30.1]])
    regions = BoxRegions(boxes, (64, 32))
    shares = box_cells(torch.from_numpy(regions.relative_boxes()), (4, 8))
    assert np.allclose(shares.numpy(), regions.shares((4, 8)), atol=1e-6)


def test_suppression_is_within_a_label():
    boxes = torch.tensor([[0.1, 0.1, 0.5, 0.5], [0.1, 0.1, 0.5, 0.52], [0.1, 0.1, 0.5, 0.5], [0.6, 0.6, 0.9, 1.2]])
    scores = torch.tensor([[0.6, 0.1, 0.3], [0.8, 0.1, 0.1], [0.1, 0.5, 0.4], [0.05, 0.06, 0.9]])
    regions, segments = found_boxes(boxes, scores, (200, 100))
    assert [(s.query, s.category) for s in segments] == [(1, 0), (2, 1)], "the surest first; the last is nothing"
    assert [round(s.score, 2) for s in segments] == [0.8, 0.5]
    assert regions.boxes.tolist() == [pytest.approx([20, 10, 100, 52]), pytest.approx([20, 10, 100, 50])]
    regions, segments = found_boxes(boxes, scores, (200, 100), BoxRules(min_score=0.05))
    assert regions.boxes[-1].tolist() == pytest.approx([120, 60, 180, 100]), "cut at the image's edge"
    nothing, none = found_boxes(boxes, torch.zeros(4, 3), (200, 100))
    assert (len(nothing), none) == (0, [])


def test_boxes_that_fit_stand_for_annotated_ones():
    true = torch.tensor([[0.0, 0.0, 0.5, 0.5], [0.5, 0.5, 1.0, 1.0]])
    found = torch.tensor([[0.0, 0.0, 0.5, 0.45], [0.0, 0.0, 0.2, 0.2]])
    assert torch.equal(boxes_where_fitting(found, true), torch.stack([found[0], true[1]]))


def test_on_boxes_only_what_is_told_is_void():
    labels = [filled(0, 0, 4, 4)[None]]
    masks = torch.stack([filled(0, 0, 4, 4), filled(4, 4, 8, 8), filled(4, 0, 8, 4)])[None] * 40 - 20
    assert queries_on_void(masks, labels).tolist() == [[False, True, True]], "of a map all that no target covers"
    assert queries_on_void(masks, labels, [filled(4, 4, 8, 8)]).tolist() == [[False, True, False]]
    assert queries_on_void(masks, labels, [torch.zeros(8, 8)]).tolist() == [[False, False, False]]
