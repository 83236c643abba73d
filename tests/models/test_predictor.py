from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

import spade
from spade.core.errors import SpadeError
from spade.core.files import write_json
from spade.models.segmented_image import cell_masks
from spade.structures.panoptic_png import write_panoptic
from spade.structures.regions import MapRegions
from spade.structures.scene_graph_json import read_scene_graph
from spade.structures.segment_map import boxes_and_areas, numbered
from spade.structures.vocabulary import Label, Vocabulary
from tests.models.segments import given, scene, stripes


def test_three_lines_give_a_graph(world):
    model = spade.load()
    graph = model(world / "images" / "000004.png")
    assert graph.segments
    assert graph.file_name == "000004.png"


def test_a_graph_is_consistent(model):
    graph = model(Image.fromarray(scene(0).image))
    ids = {segment.id for segment in graph.segments}
    assert set(np.unique(graph.panoptic)) - {0} == ids
    numbers = numbered(graph.panoptic, [segment.id for segment in graph.segments])
    boxes, areas = boxes_and_areas(numbers, len(graph.segments))
    assert [segment.bbox for segment in graph.segments] == [tuple(box) for box in boxes.tolist()]
    assert [segment.area for segment in graph.segments] == areas.tolist()
    for segment in graph.segments:
        assert graph.objects[segment.category_id] == segment.label
    for relation in graph.relations:
        assert {relation.subject, relation.object} <= ids
        assert relation.subject != relation.object
        assert relation.predicate in graph.predicates
        assert 0.1 <= relation.score <= 1


def test_it_has_learned_the_world(model):
    """Held-out scenes: what a model that learned nothing could not do."""
    found = total = related = triples = 0
    for index in range(12):
        sample = scene(index)
        graph = model(Image.fromarray(sample.image))
        labels = {segment.label for segment in graph.segments}
        found += len(labels & set(sample.labels))
        total += len(set(sample.labels))
        related += len(set(graph.triples()) & set(sample.triples))
        triples += len(set(sample.triples))
    assert found / total > 0.7
    assert related / triples > 0.25


def test_the_image_matters(model):
    graphs = [model(Image.fromarray(scene(i).image)) for i in (0, 1)]
    assert graphs[0].triples() != graphs[1].triples()


def test_vocabularies_are_swapped_without_training(model):
    image = Image.fromarray(scene(3).image)
    plain = model(image)
    synonyms = Vocabulary(
        (Label("man", True, ("person",)), Label("lawn", False, ("grass",)), Label("sky", False)),
        ("standing on", "over"),
    )
    other = model(image, synonyms)
    assert {s.label for s in other.segments} <= {"man", "lawn", "sky"}
    assert {r.predicate for r in other.relations} <= {"standing on", "over"}
    assert model(image).triples() == plain.triples(), "the training list is back afterwards"
    one = model(image, Vocabulary((Label("sky", False),), ("over",)))
    assert {s.label for s in one.segments} <= {"sky"}


@pytest.mark.parametrize("size", [(300, 90), (64, 200), (33, 31), (1, 1), (2500, 1900)])
def test_any_size_and_shape(model, size):
    graph = model(Image.effect_mandelbrot(size, (-2, -1, 1, 1), 20).convert("RGB"))
    assert (graph.width, graph.height) == size
    assert graph.panoptic.shape == size[::-1]


def test_score_vectors_of_all_pairs(model):
    prediction = model.predict(Image.fromarray(scene(0).image))
    count = len(prediction.graph.segments)
    assert len(prediction.pairs) == min(100, count * (count - 1))
    assert prediction.scores.shape == (len(prediction.pairs), len(prediction.graph.predicates))
    assert np.allclose(prediction.scores.sum(1) + prediction.no_relation, 1, atol=1e-5)


def test_top_and_min_score(model):
    image = Image.fromarray(scene(0).image)
    assert len(model(image, top=1).relations) == 1
    assert all(r.score >= 0.6 for r in model(image, min_score=0.6).relations)


def test_paths_images_and_arrays_are_the_same_image(model, tmp_path):
    image = Image.fromarray(scene(0).image).transpose(Image.Transpose.ROTATE_90)
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(tmp_path / "turned.png", exif=exif)
    graphs = [model(tmp_path / "turned.png"), model(Image.open(tmp_path / "turned.png")), model(scene(0).image)]
    assert all(np.array_equal(graph.panoptic, graphs[0].panoptic) for graph in graphs)
    assert all(graph.triples() == graphs[0].triples() for graph in graphs)
    with pytest.raises(SpadeError, match=r"an array of shape \(4, 4\)"):
        model(np.zeros((4, 4), np.uint8))


def test_words_from_a_list_or_a_file(model, tmp_path):
    (tmp_path / "labels.txt").write_text("dog\nsky\n")
    image = Image.fromarray(scene(0).image)
    for words in (["dog", "sky"], tmp_path / "labels.txt", str(tmp_path / "labels.txt")):
        assert model(image, words).objects == ("dog", "sky")


def test_bad_arguments_are_one_sentence(model):
    with pytest.raises(SpadeError, match="`top=-1`"):
        model(scene(0).image, top=-1)
    with pytest.raises(SpadeError, match="`dtype=int7`"):
        spade.load(dtype="int7")
    with pytest.raises(SpadeError, match="vocabulary: holds no label"):
        model(scene(0).image, [])
    with pytest.raises(SpadeError, match="vocabulary: holds no predicate"):
        model(scene(0).image, Vocabulary((Label("sky", False),), ()))
    with pytest.raises(SpadeError, match='vocabulary: the label "dog" is listed twice'):
        model(scene(0).image, ["dog", "sky", "dog"])


@pytest.mark.parametrize("count", [0, 1, 2, 200])
def test_given_segments_however_many(model, count):
    found = given(model, count)
    assert len(found.graph.segments) == count
    assert len(found.pairs) == min(model.heads.relations.config.pairs, count * max(0, count - 1))
    assert np.isfinite(found.scores).all()


def test_a_vocabulary_of_one_word_and_predicates_that_training_did_not_have(model, world):
    image = next((world / "images").glob("*.png"))
    one = Vocabulary((model.vocabulary.objects[0],), ("hugging",))
    graph = model.predict(image, one, min_score=0.0).graph
    assert {s.label for s in graph.segments} <= {one.names[0]}
    assert {r.predicate for r in graph.relations} <= {"hugging"}
    found = given(model, 3, objects=one.objects, predicates=one.predicates)
    assert found.scores.shape == (6, 1)
    assert np.allclose(found.scores[:, 0] + found.no_relation, 1, atol=1e-6), "the only predicate has all of P(pair)"


def test_each_given_segment_has_a_proposal_of_its_own(model):
    """As in training; of more segments than proposals the surplus share those that cover them best."""
    queries = model.heads.proposer.config.queries
    for count in (5, queries, queries + 3):
        seen = model.encode_segments(np.zeros((64, 64, 3), np.uint8), stripes(count, 64), [0] * count)
        chosen = [segment.query for segment in seen.segments]
        assert min(chosen) >= 0
        assert len(set(chosen)) == min(count, queries)


@pytest.mark.parametrize("count", [0, 1])
def test_where_fewer_than_two_segments_are_found_there_is_no_pair(model, count, tmp_path):
    seen = model.segment(scene(0).image)
    assert len(seen.segments) > 1
    found = model.relate(
        replace(
            seen,
            segments=seen.segments[:count],
            regions=MapRegions(np.where(seen.regions.numbers <= count, seen.regions.numbers, 0), count),
        )
    )
    assert found.pairs.shape == (0, 2)
    assert found.scores.shape == (0, len(model.vocabulary.predicates))
    assert found.graph.relations == ()
    write_panoptic(tmp_path / "a.png", found.graph.panoptic)
    write_json(tmp_path / "a.json", found.graph.to_json("a.png"))
    assert [s.id for s in read_scene_graph(tmp_path / "a.json").segments] == [s.id for s in found.graph.segments]


def test_given_masks_are_the_share_of_each_cell(model):
    """Each at the proposals' size, whatever the image's, and all of them together cover it."""
    numbers = np.zeros((90, 120), np.int64)
    numbers[:, :60], numbers[:45, 60:], numbers[45:, 60:] = 1, 2, 3
    shares = cell_masks(MapRegions(numbers, 3), torch.zeros(1, 6, 8))
    assert shares.shape == (3, 6, 8)
    assert torch.allclose(shares.sum(0), torch.ones(6, 8))
    assert torch.equal(shares[1], torch.tensor([[0.0] * 4 + [1.0] * 4] * 3 + [[0.0] * 8] * 3))
    assert cell_masks(MapRegions(numbers, 0), torch.zeros(1, 6, 8)).shape == (0, 6, 8)


def test_relations_of_segments_that_come_as_a_graph(model, world):
    """The segments stay as they are; a label outside the vocabulary is added to it."""
    image = next((world / "images").glob("*.png"))
    before = model(image)
    renamed = replace(before, segments=(replace(before.segments[0], label="robot"), *before.segments[1:]))
    found = model.relate_segments(image, renamed, min_score=0.0)
    assert found.graph.segments == renamed.segments
    assert {r.subject for r in found.graph.relations} <= {s.id for s in before.segments}
    assert found.pairs.shape == (len(before.segments) * (len(before.segments) - 1), 2)


def test_a_label_may_be_a_thing_here_and_stuff_there(model, world):
    """Thing or stuff belongs to the segment, not to its label."""
    image = next((world / "images").glob("*.png"))
    before = model(image)
    both = [replace(s, label="rug", is_thing=n == 0) for n, s in enumerate(before.segments[:2])]
    found = model.relate_segments(image, replace(before, segments=(*both, *before.segments[2:])), min_score=0.0)
    assert [segment.is_thing for segment in found.graph.segments[:2]] == [True, False]


def test_threads_share_a_model(model):
    """Each gets the graph that it gets alone: hooks and vocabularies serve one image at a time."""
    images = [scene(index).image for index in range(3)]
    lists = [None, ["dog", "person", "stuff: sky"], ["horse", "car", "stuff: road", "stuff: sea"]]
    alone = [model(image, names) for image, names in zip(images, lists, strict=True)]
    with ThreadPoolExecutor(6) as pool:
        together = list(pool.map(lambda n: (n, model(images[n], lists[n])), [0, 1, 2] * 4))
    for number, graph in together:
        assert graph.triples() == alone[number].triples()
        assert np.array_equal(graph.panoptic, alone[number].panoptic)
