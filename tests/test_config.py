from __future__ import annotations

import pytest

from spade.config import CalibrateConfig, EvalConfig, ExportConfig, InvertConfig, PredictConfig, RelationsConfig
from spade.errors import SpadeError


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: InvertConfig(split="dev"), "--split dev: use train, test or all"),
        (lambda: InvertConfig(limit=0), "--limit 0"),
        (lambda: CalibrateConfig(rank=0), "--rank 0: a LoRA has at least rank 1"),
        (lambda: CalibrateConfig(init="random"), "--init random"),
        (lambda: RelationsConfig(epochs=-1), "--epochs -1"),
        (lambda: PredictConfig(min_score=2), "--min-score 2"),
        (lambda: PredictConfig(top=0), "--top 0"),
        (lambda: EvalConfig(at=()), "--at"),
        (lambda: EvalConfig(at=(0,)), "--at"),
        (lambda: ExportConfig(format="dot"), "--format dot: unknown graph format; use graphml"),
    ],
)
def test_bad_values_are_refused_before_anything_runs(make, message):
    with pytest.raises(SpadeError, match=message):
        make()
