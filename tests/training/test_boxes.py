"""What relations of labels and boxes learn from."""

from __future__ import annotations

import torch


def test_varied_layouts_keep_what_relations_need_and_number_it_anew():
    from spade.relations.boxes import BoxSegments
    from spade.training.boxes import varied

    torch.manual_seed(0)
    boxes = torch.rand(12, 4).sort(1).values
    layouts = [BoxSegments.of([(i, -1, True) for i in range(12)], boxes, boxes[:, 0], (1, 1)) for _ in range(3)]
    triples = [torch.tensor([[11, 2, 5], [2, 7, 1]]), torch.zeros(0, 3, dtype=torch.int64), torch.tensor([[0, 11, 3]])]
    lengths = set()
    for _ in range(40):
        seen, rows = varied(layouts, triples, 0.5)
        for own, before, after in zip(seen, triples, rows, strict=True):
            named = torch.cat([own.category[after[:, :2]], after[:, 2:]], dim=1)
            assert torch.equal(named, before)
            assert own.category.tolist() == sorted(set(own.category.tolist()))
            lengths.add(len(own.boxes))
    assert len(lengths) > 3
    assert min(lengths) < 12
