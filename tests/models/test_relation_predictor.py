from dataclasses import replace

import numpy as np
import pytest
import torch

from spade.core.errors import SpadeError
from spade.models.relation_predictor import RelationPredictor
from spade.relations.boxes import BoxRelationModel, LearnedEmbeddings, TextEmbeddings
from spade.relations.config import box_head
from spade.relations.head import RelationHead
from spade.structures.label_index import LabelIndex
from spade.structures.scene_graph import SceneGraph, Segment
from spade.structures.vocabulary import Label, Vocabulary

WORDS = Vocabulary(
    (Label("person", True), Label("dog", True), Label("sky", False)), ("on", "over", "beside", "holding")
)


def segments(*labels):
    found = []
    for number, label in enumerate(labels):
        box = (10 * number, 5, 10 * number + 15, 40)
        found.append(Segment(number + 1, label, 0, True, 1.0, box, 300))
    return SceneGraph("a.jpg", 100, 50, tuple(found), (), (), (), np.zeros((50, 100), np.uint32))


def predictor(logit_adjustment=0.0, prior=(0.7, 0.1, 0.1, 0.1)):
    torch.manual_seed(0)
    table = LabelIndex.of(WORDS.objects)
    words = LearnedEmbeddings(3, len(table.groups), 4, 16)
    model = BoxRelationModel(RelationHead(box_head(clip_dim=16, width=32, layers=1)), words)
    return RelationPredictor(model, WORDS, table, torch.tensor(prior), logit_adjustment, {"name": "small"})


def test_every_pair_is_scored_and_relations_name_the_given_segments():
    given = segments("person", "dog", "sky")
    found = predictor().predict(given)
    assert found.pairs.shape == (6, 2)
    assert found.scores.shape == (6, 4)
    assert np.allclose(found.scores.sum(1) + found.no_relation, 1, atol=1e-5), "the predicates share P(pair)"
    assert found.graph.segments == given.segments
    assert {r.subject for r in found.graph.relations} <= {1, 2, 3}
    assert len(predictor()(given, top=2, min_score=0.0).relations) == 2


def test_no_segment_and_one():
    for labels in ((), ("dog",)):
        found = predictor().predict(segments(*labels))
        assert found.pairs.shape == (0, 2)
        assert found.graph.relations == ()


def test_logit_adjustment_takes_the_prior_off_the_logits():
    given, prior = segments("person", "dog"), np.array([0.7, 0.1, 0.1, 0.1])
    plain, even = predictor().predict(given).scores, predictor(1.0).predict(given).scores
    wanted = plain / prior
    wanted *= plain.sum(1, keepdims=True) / wanted.sum(1, keepdims=True)
    assert np.allclose(even, wanted, atol=1e-5)


def test_predicates_may_be_fewer_and_no_others():
    given, own = segments("person", "dog"), predictor()
    few = replace(WORDS, predicates=("holding", "on"))
    every, chosen = own.predict(given), own.predict(given, few)
    ratio = chosen.scores[:, 0] / chosen.scores[:, 1]
    assert np.allclose(ratio, every.scores[:, 3] / every.scores[:, 0], rtol=1e-3)
    assert chosen.graph.predicates == ("holding", "on")
    with pytest.raises(SpadeError, match=r'predicate "juggling": .* spade train-boxes'):
        own.predict(given, replace(WORDS, predicates=("juggling",)))


def test_the_output_says_what_unknown_labels_stand_for():
    vocabulary = Vocabulary((Label("corgi", True, ("dog",)), Label("kitten", True, (), "animal")), WORDS.predicates)
    found = predictor().predict(segments("corgi", "kitten", "blob", "person"), vocabulary)
    assert found.graph.model["labels"] == {
        "corgi": 'its synonym "dog"',
        "kitten": 'its supercategory "animal"',
        "blob": "an unknown thing",
    }
    same = predictor().predict(segments("dog", "kitten", "blob", "person"), vocabulary)
    assert np.allclose(found.scores, same.scores)


def test_a_synonym_of_the_vocabulary_helps_in_both_directions():
    vocabulary = Vocabulary((Label("dog", True, ("corgi", "pup")),), WORDS.predicates)
    found = predictor().predict(segments("corgi", "person"), vocabulary)
    assert found.graph.model["labels"] == {"corgi": 'its synonym "dog"'}
    assert np.allclose(found.scores, predictor().predict(segments("dog", "person")).scores)


def test_a_model_that_reads_text_takes_any_predicate_and_any_label(clip):
    torch.manual_seed(0)
    words = TextEmbeddings(clip.embed_labels(WORDS.objects), clip.embed_predicates(WORDS.predicates))
    model = BoxRelationModel(RelationHead(box_head(clip_dim=clip.dim, width=32)), words)
    own = RelationPredictor(
        model, WORDS, LabelIndex.of(WORDS.objects), torch.tensor([0.7, 0.1, 0.1, 0.1]), 0.5, {}, clip
    )
    vocabulary = Vocabulary((Label("corgi", True),), ("riding", "on", "chasing"))
    found = own.predict(segments("corgi", "person"), vocabulary)
    assert found.scores.shape == (2, 3)
    assert found.graph.model["labels"] == {}
    other = own.predict(segments("kite", "person"), vocabulary)
    assert not np.allclose(found.scores, other.scores), "the label's text counts"
    assert own.predict(segments(), vocabulary).pairs.shape == (0, 2)
