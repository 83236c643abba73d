from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

import spade
from spade.core.errors import SpadeError

BACK, FRONT = np.zeros((4, 6), bool), np.zeros((4, 6), bool)
BACK[:, :4], FRONT[1:3, 2:5] = True, True


def test_masks_labels_and_scores():
    """Where masks overlap, the smaller lies on top."""
    graph = spade.SceneGraph.from_masks([FRONT, BACK], ["dog", "sky-other-merged"], [0.5, 1.0])
    dog, sky = graph.segments
    assert (dog.label, dog.score, dog.is_thing, dog.area, dog.bbox) == ("dog", 0.5, True, 6, (2, 1, 5, 3))
    assert (sky.is_thing, sky.area) == (False, 12)
    assert (graph.width, graph.height, graph.objects) == (6, 4, ("dog", "sky-other-merged"))
    assert graph == spade.SceneGraph.from_masks(torch.tensor(np.stack([FRONT, BACK])), graph.objects, (0.5, 1))
    assert not spade.SceneGraph.from_masks([], [], image=Image.new("RGB", (6, 4))).segments
    related = spade.load_relation_predictor()(graph)
    assert related.segments
    assert len(related.predicates) == 56


def test_the_pipeline_of_transformers():
    results = [
        {"label": "dog", "score": 0.7, "mask": Image.fromarray(FRONT.astype(np.uint8) * 255)},
        {"label": "road", "score": None, "mask": Image.fromarray(BACK.astype(np.uint8) * 255)},
    ]
    graph = spade.SceneGraph.from_pipeline(results, file_name="x.jpg")
    assert [(s.label, s.score, s.area) for s in graph.segments] == [("dog", 0.7, 6), ("road", 1.0, 12)]
    assert graph.file_name == "x.jpg"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([FRONT], ["a", "b"]), "masks: there are 1 of them and 2 labels"),
        (([FRONT, BACK[:3]], ["a", "b"]), "masks: number 1 is 6 x 3, the image 6 x 4"),
        (([FRONT.astype(int) * 7], ["a"]), "masks: one has shape"),
        (([FRONT], [""]), "labels: '' is no name"),
        (([FRONT], [3]), "labels: 3 is no name"),
        (([FRONT], ["a"], [1.5]), "scores: 1.5 is no probability"),
        (([FRONT], ["a"], [0.5, 0.5]), "scores: there are 2 of them and 1 labels"),
        (([], []), "masks: there is none"),
    ],
)
def test_what_does_not_fit_is_one_sentence(arguments, message):
    with pytest.raises(SpadeError, match=message):
        spade.SceneGraph.from_masks(*arguments)


def test_results_of_another_kind_are_one_sentence():
    with pytest.raises(SpadeError, match="results: 'mask' is missing"):
        spade.SceneGraph.from_pipeline([{"label": "dog", "score": 1.0}])
    with pytest.raises(SpadeError, match="detections: have no class names"):
        spade.SceneGraph.from_supervision(object())
