from dataclasses import replace

import torch

from spade.relations.boxes import BoxRelationModel, BoxSegments, LearnedEmbeddings, TextEmbeddings, moved
from spade.relations.config import box_head
from spade.relations.head import RelationHead


def some_segments(categories, groups):
    boxes = torch.tensor([[0.1, 0.2, 0.4, 0.6]]).repeat(len(categories), 1)
    return BoxSegments(
        torch.tensor(categories),
        torch.tensor(groups),
        torch.tensor([True] * len(categories)),
        boxes,
        boxes[:, 0],
        torch.ones(len(categories)),
    )


def model(label_dropout):
    torch.manual_seed(0)
    return BoxRelationModel(RelationHead(box_head(clip_dim=8, width=32)), LearnedEmbeddings(5, 3, 4, 8, label_dropout))


def test_a_label_is_kind_group_and_name_and_what_is_unknown_adds_nothing():
    own = model(0.0)
    (nodes,) = own.nodes([some_segments([2, -1, -1], [1, 1, -1])])
    kind, group, name = own.words.kinds.weight[1], own.words.groups.weight[1], own.words.names.weight[2]
    assert torch.allclose(nodes.label, torch.stack([kind + group + name, kind + group, kind]))


def test_names_are_withheld_in_training_only():
    own, told = model(0.5), some_segments([2] * 4000, [1] * 4000)
    kind, group, name = own.words.kinds.weight[1], own.words.groups.weight[1], own.words.names.weight[2]
    label = own.train().nodes([told])[0].label
    counts = [int((label - wanted).abs().sum(1).lt(1e-5).sum()) for wanted in (kind + group + name, kind + group, kind)]
    assert sum(counts) == 4000
    assert all(abs(count - wanted) < 150 for count, wanted in zip(counts, (2000, 1000, 1000), strict=True))
    assert torch.allclose(own.eval().nodes([told])[0].label, (kind + group + name).expand(4000, -1))


def test_mirrored_is_left_and_right_exchanged():
    told = some_segments([0], [0])
    yes = torch.tensor([True])
    assert torch.allclose(told.mirrored(yes).boxes, torch.tensor([[0.6, 0.2, 0.9, 0.6]]))
    assert torch.allclose(told.mirrored(yes).mirrored(yes).boxes, told.boxes)
    assert torch.equal(told.mirrored(~yes).boxes, told.boxes)


def test_jittered_moves_edges_by_a_share_of_the_box_but_not_off_the_border():
    torch.manual_seed(0)
    boxes = torch.tensor([[0.2, 0.3, 0.6, 0.5], [0.0, 0.4, 0.5, 1.0]]).repeat(2000, 1)
    told = BoxSegments(
        *(torch.zeros(4000, dtype=torch.int64) for _ in range(2)),
        torch.ones(4000).bool(),
        boxes,
        torch.full((4000,), 0.04),
        torch.ones(4000),
    )
    other = told.jittered(0.05)
    change = (other.boxes - boxes)[::2].std(0)
    assert torch.allclose(change, torch.tensor([0.02, 0.01, 0.02, 0.01]), atol=1e-3)
    assert torch.equal(other.boxes[1::2][:, [0, 3]], boxes[1::2][:, [0, 3]])
    sizes = [box[:, 2:] - box[:, :2] for box in (boxes, other.boxes)]
    assert torch.allclose(other.area, 0.04 * (sizes[1] / sizes[0]).prod(1)), "a mask grows with its box"
    wild = told.jittered(3.0)
    assert bool((wild.boxes[:, 2:] > wild.boxes[:, :2]).all())
    assert float(wild.area.min()) >= 0
    assert float(wild.area.max()) <= 1


def test_of_an_image_in_pixels():
    boxes = torch.tensor([[0.0, 50.0, 100.0, 100.0]])
    told = BoxSegments.of([(3, -1, True)], boxes, torch.tensor([2000.0]), (200, 100))
    assert told.boxes.tolist() == [[0.0, 0.5, 0.5, 1.0]]
    assert torch.allclose(told.area, torch.tensor([0.1]))
    assert (told.category.tolist(), told.group.tolist(), told.thing.tolist(), told.aspect.tolist()) == (
        [3],
        [-1],
        [True],
        [2.0],
    )
    assert BoxSegments.of([], torch.zeros(0, 4), torch.zeros(0), (200, 100)).category.shape == (0,)


def test_joined_and_split_are_inverse():
    parts = [some_segments([1, 2], [0, 0]), some_segments([], []), some_segments([3], [1])]
    back = moved(parts, torch.device("cpu"))
    assert [one.category.tolist() for one in back] == [[1, 2], [], [3]]
    assert [one.boxes.shape for one in back] == [(2, 4), (0, 4), (1, 4)]


def test_only_some_segments():
    told = replace(some_segments([3, 4, 5], [0, 1, 2]), aspect=torch.tensor([1.0, 1.5, 2.0])).only(
        torch.tensor([True, False, True])
    )
    assert told.category.tolist() == [3, 5]
    assert told.group.tolist() == [0, 2]
    assert told.boxes.shape == (2, 4)
    assert told.aspect.tolist() == [1.0, 2.0]


def test_a_box_is_upright_as_one_sees_it():
    own = model(0.0).eval()
    wide, square = (replace(some_segments([1], [1]), aspect=torch.tensor([aspect])) for aspect in (1.5, 1.0))
    with torch.no_grad():
        seen = [own.heads.refine(own.nodes([one]))[0] for one in (wide, square, square)]
    assert torch.equal(seen[1], seen[2])
    assert not torch.allclose(seen[0], seen[1])


def test_text_stands_for_names_where_it_is_given():
    torch.manual_seed(0)
    objects, predicates = torch.randn(3, 8), torch.randn(4, 8)
    own = BoxRelationModel(RelationHead(box_head(clip_dim=8, width=32)), TextEmbeddings(objects, predicates)).eval()
    (nodes,) = own.nodes([some_segments([2, 0], [-1, -1])])
    assert torch.allclose(nodes.label, objects[[2, 0]] + own.words.kinds.weight[1])
    assert own.relate([some_segments([2, 0], [-1, -1])])[0].predicate_logits.shape == (2, 4)
    assert not {"words.objects", "words.predicates"} & set(own.state_dict()), "texts are not weights"
    own.words.predicates = torch.randn(9, 8)
    assert own.relate([some_segments([2, 0], [-1, -1])])[0].predicate_logits.shape == (2, 9)
