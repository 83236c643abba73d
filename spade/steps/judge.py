"""What an evaluation of one system and a comparison of several share: label lists, and judging by a config's rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from spade.core.files import canonical_hash, sha256_file
from spade.core.progress import Silent
from spade.data.split_lists import SplitList, split_of
from spade.evaluation.scoring.evaluator import Evaluator
from spade.evaluation.scoring.groups import read_zero_shot
from spade.evaluation.scoring.open_vocabulary import companion, table
from spade.evaluation.scoring.predicted_image import Predictions
from spade.evaluation.scoring.protocols import own_protocol
from spade.evaluation.scoring.runner import Scored, score
from spade.steps.common import Run, report_skipped
from spade.steps.config import EvalConfig
from spade.structures.vocabulary import Vocabulary

if TYPE_CHECKING:
    from spade.data.psg import Dataset, Record


def judge(config: EvalConfig, dataset: Dataset, records: list[Record], predictions: Predictions, run: Run) -> Scored:
    """Judge a system by the config's rules, and say what was left out."""
    evaluator = Evaluator(dataset, protocol_of(config, dataset), config.mode, config.at)
    scored = score(evaluator, records, predictions, run.report, config.lenient, config.workers)
    report_skipped(scored.skipped, "images", run.report, config.strict)
    report_skipped(predictions.problems + scored.problems, "predicted images", run.report, strict=False)
    for note in scored.notes():
        run.report.say(f"note: {note}")
    return scored


def protocol_of(config: EvalConfig, dataset: Dataset) -> str:
    """The protocol that a config names, or the data set's own."""
    return config.protocol or own_protocol(dataset)


def open_vocabulary(
    config: EvalConfig,
    dataset: Dataset,
    records: list[Record],
    split: SplitList,
    predictions: Predictions,
    summary: Mapping[str, Any],
    run: Run,
    trained_on: Vocabulary | None = None,
) -> dict[str, Any]:
    """Base and novel by the protocol of a system's ``summary`` and by the one that stands beside it, with the split.
    ``trained_on_novel``: names that a model with this training vocabulary has seen; None for another system, whose
    training is not known.
    """
    beside = replace(config, protocol=companion(summary["protocol"], own_protocol(dataset)))
    run.report.say(f"base and novel: by {beside.protocol}, too")
    other = judge(beside, dataset, records, predictions, replace(run, report=Silent())).evaluator.summary(split)
    return {
        "split": split.to_json(),
        "trained_on_novel": None if trained_on is None else list(split.shown_to(trained_on)),
        "rows": table(summary, config.at) + table(other, config.at),
    }


@dataclass(frozen=True)
class Lists:
    """The label lists that a config names, read."""

    split: SplitList | None
    zero_shot: frozenset[tuple[int, int, int]] | None

    @classmethod
    def read(cls, config: EvalConfig, dataset: Dataset) -> Lists:
        """Raises SpadeError for a list that does not fit the data set."""
        return cls(
            split_of(config.split_list, dataset),
            read_zero_shot(config.zero_shot, dataset) if config.zero_shot else None,
        )

    def fingerprints(self, config: EvalConfig) -> dict[str, str]:
        """What they hold."""
        lists = {}
        if config.zero_shot is not None:
            lists["zero-shot"] = sha256_file(config.zero_shot)
        if self.split is not None:
            lists["split-list"] = canonical_hash(self.split.to_json())
        return lists


def data_print(config: EvalConfig, dataset: Dataset, records: list[Record], run: Run) -> str:
    """Hash of what an evaluation looks at of the data set."""
    panoptic = Evaluator(dataset, protocol_of(config, dataset), config.mode).needs_masks
    return dataset.fingerprint(records, images=False, panoptic=panoptic, report=run.report)
