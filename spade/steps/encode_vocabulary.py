"""Embeddings of a long vocabulary, kept by model and list: a second run with them begins at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spade.core.artifact import verify
from spade.core.files import canonical_hash, write_bytes
from spade.models.checkpoint import ModelFile
from spade.steps.common import Run
from spade.steps.config import PredictConfig
from spade.structures.vocabulary import Vocabulary

if TYPE_CHECKING:
    from spade.models.predictor import SceneGraphPredictor

STEP, VERSION = "vocabulary", 2
FILE = "embeddings.safetensors"
LONG = 500  # names; fewer are embedded in a second or two


def use_encoded(
    predictor: SceneGraphPredictor, model: ModelFile, vocabulary: Vocabulary, config: PredictConfig, run: Run
) -> None:
    """Give the predictor a long vocabulary's embeddings, from the workspace or made with a progress bar."""
    if len(vocabulary.objects) + len(vocabulary.predicates) < LONG:
        return
    from spade.core.weights import read_tensors, to_bytes
    from spade.models.encoded_vocabulary import EncodedVocabulary

    prints = {"model": model.fingerprint(), "vocabulary": canonical_hash(vocabulary.to_json())}
    facts = {"device": config.device, "dtype": config.dtype}
    writer = run.workspace.writer(STEP, VERSION, facts, fingerprints=prints, force=run.force)
    if writer.cached:
        verify(writer.artifact, "make it anew with: spade predict, and `force`")
        tensors = read_tensors(writer.file(FILE), "make it anew with: spade predict, and `force`")
        predictor.encoded = EncodedVocabulary.from_tensors(vocabulary, tensors, predictor.student.backbone.device)
        return
    predictor.encoded = encoded = EncodedVocabulary.of(
        vocabulary,
        predictor.vocabulary,
        predictor.student,
        lambda blocks: run.report.track(blocks, "labels", total=len(blocks)),
    )
    writer.begin()
    try:
        write_bytes(writer.file(FILE), to_bytes(encoded.tensors()))
        writer.finish({"labels": len(vocabulary.objects), "predicates": len(vocabulary.predicates)})
    finally:
        writer.release()
