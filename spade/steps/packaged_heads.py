"""Whether a training of masks and relations starts from the packaged heads, and from which."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spade.core.errors import SpadeError, given
from spade.core.progress import Reporter
from spade.diffusion.backbone_files import embedded_model
from spade.models.checkpoint import ModelFile, packaged_open, read_image_model
from spade.steps.config import TrainRelationsConfig
from spade.structures.vocabulary import Label, Vocabulary

if TYPE_CHECKING:
    from spade.data.psg import Dataset


def names_of(vocabulary: Vocabulary) -> tuple[frozenset[Label], frozenset[str]]:
    """Objects and predicates, in no order."""
    return frozenset(vocabulary.objects), frozenset(vocabulary.predicates)


def packaged_heads(
    config: TrainRelationsConfig, parts: tuple[str, str], dataset: Dataset, has_novel: bool, report: Reporter
) -> ModelFile | None:
    """The packaged model, where training starts from its heads: they belong to these parts (backbone and OpenCLIP
    model), find masks, and know no names but those of the data set. Where that keeps names for the test alone, it is
    the one that has not seen those. Where it does not fit, that is said.

    Raises SpadeError where it was asked for and does not fit.
    """
    wanted = config.init or ("embedded" if config.preset == "default" else "scratch")
    if wanted != "embedded":
        return None
    packaged: ModelFile | None = None
    why_not = ""
    if parts != ("tiny", "tiny"):
        why_not = "belong to the tiny backbone and its OpenCLIP model"
    elif not dataset.has_masks:
        why_not = f"find masks, and {dataset.source} has boxes"
    else:
        packaged = read_image_model(packaged_open() if has_novel else embedded_model())
        known, names = names_of(packaged.vocabulary), names_of(dataset.vocabulary)
        further = sorted([*(label.name for label in known[0] - names[0]), *(known[1] - names[1])])
        why_not = f"know {further[0]!r}, which {dataset.source} does not have" if further else ""
    if not why_not:
        return packaged
    if config.init is not None:
        raise SpadeError(
            f"{given('init', config.init)}: the packaged heads {why_not}; leave it out or use "
            f"{given('init', 'scratch')}."
        )
    report.say(f"starting from fresh heads: the packaged ones {why_not}")
    return None
