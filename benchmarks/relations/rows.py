"""THE table of ablations: what each row of stage 2 changes about the full model, in the settings of ``--set``.

The full model is what ``spade train-relations`` trains on the tiny backbone: every row is resolved as the command does
it, and built by spade.models.build. Rows whose part has left the product stand in docs/results, with the commit that
measured them.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from spade.diffusion.backbone_files import TINY
from spade.models.config import UNSEEN_ODDS
from spade.models.predictor import SceneGraphPredictor
from spade.steps.config import TrainRelationsConfig
from spade.steps.relation_method import Method, resolve

SETTINGS, MODES, SEEDS = ("closed", "ovr", "ovdr"), ("sgdet", "predcls"), (0, 1, 2)


@dataclass(frozen=True)
class PredictionSource:
    """How trained heads are asked: exponent of the diffusion branch, odds of names that training did not have."""

    name: str = ""
    fusion: float = 1.0
    odds: float = UNSEEN_ODDS
    gated: bool = True  # whether names that training did not have get nothing where the classifier is sure

    def set(self, model: SceneGraphPredictor) -> None:
        """Ask a model in this way."""
        model.fusion, model.unseen_odds, model.gated = self.fusion, self.odds, self.gated


OURS = PredictionSource()
SOURCES = (
    PredictionSource(", novel names by text alone", odds=0.0),
    *(PredictionSource(f", novel odds {odds:g}", odds=odds) for odds in (1.0, 2.0, 8.0)),
    PredictionSource(", novel odds 1, sure ones give, too", odds=1.0, gated=False),
    *(PredictionSource(f", diffusion {exponent}", exponent, 0.0) for exponent in (0.67, 0.34, 0.0)),
)
FUSED = PredictionSource(", diffusion 0.34, new names apart", 0.34)  # as ``--set fusion`` asks


@dataclass(frozen=True)
class Ablation:
    """A relation part to be trained: its name in the results, whose segments it gets, and what is changed about it."""

    model: str
    settings: dict[str, Any] = field(default_factory=dict)
    encoder: str = "calibrated"
    setting: str = "closed"
    seeds: tuple[int, ...] = SEEDS
    sources: tuple[PredictionSource, ...] = ()

    @property
    def method(self) -> Method:
        """With everything else as ``spade train-relations`` has it for a tiny backbone."""
        config = TrainRelationsConfig(init="scratch", settings=self.settings)
        return resolve(config, TINY, packaged=None, frozen=None)


def full(setting: str) -> Ablation:
    """Ours."""
    return Ablation("full", setting=setting, sources=SOURCES if setting != "closed" else ())


COMPARED = ("full", "raw encoder", "plain encoder")
ROWS = (
    *(full(setting) for setting in SETTINGS),
    *(
        Ablation(f"{encoder} encoder", encoder=encoder, setting=setting)
        for setting in SETTINGS
        for encoder in ("raw", "plain")
    ),
    Ablation("no graph", {"layers": 0, "rqc_weight": 0.0}),
    Ablation("neighbours", {"context": ("near",), "rqc_weight": 0.0}),
    Ablation("neighbours, others", {"context": ("near", "far"), "rqc_weight": 0.0}),
    Ablation("neighbours, others, convolution", {"rqc_weight": 0.0}),
    Ablation("no geometry", {"geometry": False}),
    Ablation("pairs not told where they look", {"positional_encoding": False}),
    Ablation("logits adjusted by 0.5", {"logit_adjustment": 0.5}, seeds=(0,)),
)
# On a mask generator of their own, with three seeds each.
ADDITIONS = (
    full("closed"),
    Ablation("re-weighted by 0.5", {"reweighting": 0.5}),
    Ablation("literal attention", {"attention": "literal"}),
    Ablation("hard neighbours", {"neighbours": "hard"}),
    Ablation("annotated masks only", {"mask_source": "annotated"}),
    Ablation("no waves of geometry", {"fourier_bands": 0}),
    Ablation("pairs that do not look", {"look": False}),
    Ablation("symmetric pairs", {"selector": "cosine"}),
    Ablation("near by masks", {"nearness": "masks"}),
    Ablation("hard neighbours, near by masks", {"neighbours": "hard", "nearness": "masks"}),
    Ablation("attention weighs geometry", {"edges": True}),
    Ablation("no attention to names", encoder="unscored"),
    Ablation("no finer blocks", encoder="coarse"),
    *(replace(full(setting), sources=(FUSED,)) for setting in ("ovr", "ovdr")),
    *(Ablation("hard neighbours", {"neighbours": "hard"}, setting=setting) for setting in ("ovr", "ovdr")),
)
