import math

import torch
from hypothesis import given
from hypothesis import strategies as st

from spade.relations.pair_sampling import UNKNOWN, sample_pairs


@st.composite
def images(draw):
    """Segments of a few images, and triples among them."""
    segments = draw(st.lists(st.integers(1, 9), min_size=1, max_size=4))
    triples = []
    for count in segments:
        ends = st.tuples(st.integers(0, count - 1), st.integers(0, count - 1)).filter(lambda pair: pair[0] != pair[1])
        rows = draw(st.lists(st.tuples(ends, st.integers(0, 4)), max_size=6)) if count > 1 else []
        triples.append([(subject, target, name) for (subject, target), name in rows])
    return segments, triples


@given(images(), st.integers(1, 20))
def test_what_is_drawn_is_told_of_each_image_as_if_it_were_alone(case, most):
    segments, triples = case
    drawn = sample_pairs([torch.tensor(own, dtype=torch.int64).view(-1, 3) for own in triples], segments, most)
    wanted, rest = (
        drawn.related_cells.split(drawn.off_diagonal_counts),
        zip(drawn.pairs.split(drawn.counts), drawn.predicates_of.split(drawn.counts), strict=True),
    )
    assert drawn.annotated.tolist() == torch.nonzero(drawn.predicates_of >= 0).flatten().tolist()
    shifts = drawn.log_odds_offset.split(drawn.counts)
    for number, (count, own, (pairs, names)) in enumerate(zip(segments, triples, rest, strict=True)):
        annotated = {(s, o) for s, o, _ in own}
        found = [(s, o) for s, o in pairs.tolist()]
        assert len(set(found)) == len(found)
        assert annotated <= set(found)
        assert all(s != o and max(s, o) < count for s, o in found)
        every = count * (count - 1)
        room = max(len(annotated), most - len(annotated))
        assert len(found) == len(annotated) + min(room, every - len(annotated))
        for pair, name in zip(found, names.tolist(), strict=True):
            assert (*pair, name) in own if pair in annotated else name == -1
        assert drawn.annotated_counts[number] == len(annotated)
        flat = [float((s, o) in annotated) for s in range(count) for o in range(count) if s != o]
        assert wanted[number].tolist() == flat
        log_odds_offset = max(0.0, math.log((every - len(annotated)) / max(1, room))) if every > len(annotated) else 0.0
        assert torch.allclose(shifts[number], torch.tensor(log_odds_offset))


def test_one_of_several_predicates_is_drawn_at_random():
    torch.manual_seed(0)
    drawn = {int(sample_pairs([torch.tensor([[0, 1, 4], [0, 1, 7]])], [2], 8).predicates_of.max()) for _ in range(30)}
    assert drawn == {4, 7}


def test_every_other_pair_is_drawn_now_and_then():
    torch.manual_seed(0)
    seen = {tuple(pair) for _ in range(40) for pair in sample_pairs([torch.tensor([[0, 1, 2]])], [4], 3).pairs.tolist()}
    assert len(seen) == 12


def test_places_in_the_matrices():
    drawn = sample_pairs([torch.tensor([[1, 0, 2]]), torch.zeros(0, 3, dtype=torch.int64)], [2, 3], 100)
    assert drawn.off_diagonal.tolist() == [1, 2, 4 + 1, 4 + 2, 4 + 3, 4 + 5, 4 + 6, 4 + 7]
    assert drawn.related_cells.tolist() == [0, 1, 0, 0, 0, 0, 0, 0]


def test_pairs_of_unknown_truth_are_no_examples():
    """Of three segments (0, 1) is annotated, (1, 0) hidden, and (2, 0) both: what is annotated counts."""
    triples = torch.tensor([[0, 1, 3], [1, 0, UNKNOWN], [2, 0, UNKNOWN], [2, 0, 4]])
    drawn = sample_pairs([triples], [3], 20)
    assert sorted(map(tuple, drawn.pairs.tolist())) == [(0, 1), (0, 2), (1, 2), (2, 0), (2, 1)]
    assert sorted(drawn.predicates_of.tolist()) == [-1, -1, -1, 3, 4]
    assert drawn.off_diagonal_counts == [5]
    assert len(drawn.related_cells) == len(drawn.off_diagonal) == 5
    assert drawn.related_cells.sum() == 2
    only = sample_pairs([torch.tensor([[0, 1, UNKNOWN]])], [2], 20)
    assert only.pairs.tolist() == [[1, 0]]
