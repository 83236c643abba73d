from __future__ import annotations

from pathlib import Path

import pytest

from spade.core.errors import SpadeError
from spade.diffusion.config import CalibrateConfig, InvertConfig
from spade.steps.config import EvalConfig, ExportConfig, PredictConfig, RelationsConfig


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: InvertConfig(split="dev"), "--split dev: use train, test or all"),
        (lambda: InvertConfig(limit=0), "--limit 0"),
        (lambda: CalibrateConfig(rank=0), "--rank 0: a LoRA has at least rank 1"),
        (lambda: CalibrateConfig(init="random"), "--init random"),
        (lambda: RelationsConfig(epochs=-1), "--epochs -1"),
        (lambda: RelationsConfig(nearness="far"), "--nearness far: use boxes or masks"),
        (lambda: RelationsConfig(nodes="layout", nearness="masks"), "--nearness: needs pixels"),
        (
            lambda: RelationsConfig(masks_from=Path("m"), void="ignored", mask_weight=2),
            "as it is; leave --mask-weight and --void out",
        ),
        (
            lambda: RelationsConfig(layers=0, neighbours="soft", edges=True),
            "no graph transformer; leave --neighbours and --edges out",
        ),
        (lambda: RelationsConfig(layers=0, context=("near",)), "no graph transformer; leave --context out"),
        (lambda: RelationsConfig(context=("convolution",), attention="literal"), "no attention; leave --attention out"),
        (lambda: RelationsConfig(context=("convolution",), edges=True), "no attention; leave --edges out"),
        (
            lambda: RelationsConfig(context=(), neighbours="soft", nearness="masks"),
            "leave --neighbours and --nearness out",
        ),
        (lambda: RelationsConfig(imbalance_strength=1.0), "weighs no predicate; leave --imbalance-strength out"),
        (lambda: RelationsConfig(learning_rate=-1.0), "--learning-rate -1.0: use a number above 0"),
        (lambda: CalibrateConfig(learning_rate=float("inf")), "--learning-rate inf"),
        (lambda: RelationsConfig(look=False, places=False), "nothing of the picture; leave --no-places out"),
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
