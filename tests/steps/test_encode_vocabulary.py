from __future__ import annotations

import shutil

import pytest
import torch

from spade.core.errors import SpadeWarning
from spade.core.workspace import Workspace
from spade.models.encoded_vocabulary import BLOCK, EncodedVocabulary
from spade.steps import predict
from spade.steps.common import Run
from spade.steps.config import PredictConfig
from spade.steps.encode_vocabulary import FILE, LONG
from spade.structures.scene_graph_json import read_scene_graph
from spade.structures.vocabulary import Vocabulary


def test_a_long_list_is_embedded_once(world, tmp_path, monkeypatch):
    (tmp_path / "labels.txt").write_text("\n".join(f"thing {n}" for n in range(LONG)) + "\ndog\nsky")
    shutil.copy(world / "images" / "000004.png", tmp_path / "a.png")
    shutil.copy(world / "images" / "000009.png", tmp_path / "b.png")
    run = Run(Workspace(tmp_path / "w"))
    one = PredictConfig(images=(str(tmp_path / "a.png"),), vocab=tmp_path / "labels.txt")
    alone = predict.run(PredictConfig(images=(str(tmp_path / "b.png"),), vocab=tmp_path / "labels.txt"),
                        Run(Workspace(tmp_path / "v")))  # fmt: skip
    predict.run(one, run)
    monkeypatch.setattr(EncodedVocabulary, "of", lambda *_: pytest.fail("embedded again"))
    again = predict.run(PredictConfig(images=(str(tmp_path / "b.png"),), vocab=tmp_path / "labels.txt"), run)
    assert read_scene_graph(again.path / "b.json") == read_scene_graph(alone.path / "b.json")
    (kept,) = (tmp_path / "w" / "vocabulary").glob(f"*/{FILE}")
    kept.write_bytes(kept.read_bytes()[:-1])
    shutil.copy(world / "images" / "000014.png", tmp_path / "c.png")
    monkeypatch.undo()
    with pytest.warns(SpadeWarning, match="was lost or altered since it was written"):
        predict.run(PredictConfig(images=(str(tmp_path / "c.png"),), vocab=tmp_path / "labels.txt"), run)


def test_embeddings_come_back_as_they_were(model):
    asked = Vocabulary.of(tuple(f"thing {n}" for n in range(BLOCK + 3)), ("sky",), ("on", "resting on"))
    seen = []

    def track(blocks):
        seen.extend(len(block) for block in blocks)
        return blocks

    encoded = EncodedVocabulary.of(asked, model.vocabulary, model.student, track)
    assert seen[0] == BLOCK
    assert sum(seen) >= len(asked.objects)
    back = EncodedVocabulary.from_tensors(asked, encoded.tensors(), torch.device("cpu"))
    for name, tensor in encoded.tensors().items():
        assert torch.equal(back.tensors()[name], tensor)


def test_short_texts_are_embedded_without_their_padding(clip):
    texts = ["a dog", "a photo of a very long label with many many words in it", "x"]
    whole = clip.model.encode_text(clip.tokenizer(texts), normalize=True)
    assert torch.allclose(clip.embed_texts(texts), whole, atol=1e-6)


def test_label_tokens_do_not_depend_on_padding(backbone):
    from spade.structures.vocabulary import Label

    labels = [Label("dog", True), Label("a very long label of many words", True, ("hound",))]
    hidden, offsets = backbone.encode_text(["dog"])
    inside = [i for i, (a, b) in enumerate(offsets[0]) if b > a]
    assert torch.allclose(backbone.label_tokens(labels)[0], hidden[0][inside].mean(0), atol=1e-5)
