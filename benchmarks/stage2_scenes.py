"""Stage 2's surroundings: worlds, calibrated students, encoders, mask generators that are trained once and then
frozen.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from stage1 import RATES, Size, Variant, calibrated, invert_world
from torch import Tensor, nn

from spade.core.files import canonical_hash, sha256_file, write_bytes
from spade.core.hub import fingerprint
from spade.core.weights import load_weights, to_bytes
from spade.core.workspace import Workspace
from spade.data.images import to_array
from spade.data.psg import Dataset
from spade.data.psg_reader import load_psg
from spade.diffusion.backbone import load_backbone
from spade.diffusion.backbone_files import TINY, embedded_model
from spade.diffusion.config import CalibrateConfig, InvertConfig
from spade.diffusion.features import COARSE, feature_channels, feature_strides
from spade.diffusion.student import ImageFeatures, Kind, LabelContext, Student, load_student
from spade.models.config import HeadsConfig
from spade.models.heads import Heads
from spade.open_vocabulary.clip import load_clip
from spade.relations.config import DETAILED, FOURIER_BANDS, RelationHeadConfig
from spade.relations.head import RelationHead
from spade.segmentation.config import MaskProposerConfig
from spade.segmentation.mask_generator import Proposals
from spade.segmentation.mask_proposer import MaskProposer
from spade.steps import calibrate, invert, world
from spade.steps.common import Run
from spade.steps.config import RelationsConfig
from spade.training.config import Schedule
from spade.training.loop import Row, fit
from spade.training.relations import RelationTraining
from spade.training.split import TrainingImages

WORLD_SEED, WATCH_AT, WIDTH = 5_000, 10, 64  # stage 1's scenes, annotated for each setting
ENCODERS = ("calibrated", "raw", "plain")
WITHOUT = (
    "unscored",
    "coarse",
)  # a calibrated generator without the attention score of names, or the autoencoder's finer blocks
GENERATORS = tuple((encoder, setting) for setting in ("closed", "ovdr") for encoder in ENCODERS)
BATCH = 8


def asked_for(description: str) -> argparse.Namespace:
    """The options of a benchmark that trains on these surroundings."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="small and fast; the result is not kept")
    parser.add_argument("--json", action="store_true", help="print the result as json")
    parser.add_argument("--work", type=Path, default=Path("stage2-work"), help="folder of the artifacts")
    parser.add_argument(
        "--students", type=Path, default=Path("stage1-work"), help="stage 1's folder; what is missing is made"
    )
    parser.add_argument("--processes", type=int, default=2, help="trainings side by side, a core each")
    return parser.parse_args()


@dataclass(frozen=True)
class Place:
    """Where artifacts lie, and how much is done."""

    work: Path
    students: Path  # stage 1's folder, whose students are found there or made
    scenes: int = 1500
    generator_epochs: int = 12
    epochs: int = 12
    calibration_epochs: int = 3

    def dataset(self, setting: str) -> Dataset:
        """The world of a setting: the same images in each."""
        return load_psg(self._world(setting))

    def make_worlds(self) -> None:
        """All three, if they are not there."""
        for setting in ("closed", "ovr", "ovdr"):
            if not (self._world(setting) / "psg.json").is_file():
                world.run(
                    self._world(setting),
                    self.scenes,
                    (128, 128),
                    WORLD_SEED,
                    Run(Workspace(self.work / "unused")),
                    setting=setting,
                )

    def measured(self) -> str:
        """What figures depend on, as the results keep it: the tiny model's encoders, and how much is done."""
        models = fingerprint(embedded_model() / "backbone") + fingerprint(embedded_model() / "clip")
        return f"{canonical_hash(models)[:16]} {self.scenes} {self.generator_epochs} {self.epochs}"

    def _world(self, setting: str) -> Path:
        return self.students / "world" if setting == "ovdr" else self.work / f"world-{setting}"


@dataclass(frozen=True)
class Contradicted(Variant):
    """A student that also learns to stay away from maps of prompts made wrong (SPADE++): the hinge's weight, and pairs
    an image.
    """

    weight: float = 0.5
    pairs: int = 3


def calibrated_folder(place: Place, variant: Variant, seed: int = 0) -> Path:
    """The adapter of one of stage 1's students; made where stage 1 has not left it."""
    size = Size(scenes=place.scenes, epochs=place.calibration_epochs)
    assert variant.latents is not None
    if isinstance(variant, Contradicted):
        run = Run(Workspace(place.students / "workspace"))
        told = invert.run(
            InvertConfig(data=place.students / "world", read_at=(variant.timestep,), counterfactual=variant.pairs), run
        )
        config = CalibrateConfig(
            counterfactual=variant.weight, epochs=size.epochs, learning_rate=_rate(variant), init="scratch", seed=seed
        )
        return calibrate.run(config, replace(run, source=told.key)).path / "adapter"
    key = invert_world(place.students, (variant.latents, variant.timestep))
    made = calibrated((place.students, size, variant, key, seed, _rate(variant)))
    return Path(made.path) / "adapter"


def _rate(variant: Variant) -> float:
    """The learning rate that stage 1 found best on watched scenes."""
    path = Path(__file__).parent / "results" / "stage1.json"
    rows = json.loads(path.read_text("utf-8"))["rows"] if path.is_file() else []
    wanted = {field.name: getattr(variant, field.name) for field in fields(Variant)}
    own = [row for row in rows if "learning_rate" in row["setting"] and wanted.items() <= row["setting"].items()]
    if not own:
        return RATES[variant.train][1]
    return float(min(own, key=lambda row: row["metrics"]["watched_loss"])["setting"]["learning_rate"])


def raw_student() -> Student:
    """The UNet as it was trained, told the labels only."""
    cpu = torch.device("cpu")
    kind = Kind(TINY.feature_timestep, TINY.map_strides)
    return Student(load_backbone("tiny", cpu, torch.float32), load_clip("tiny", cpu), None, kind)


def student(place: Place, variant: Variant | None, seed: int = 0) -> Student:
    """A calibrated student, or the raw UNet."""
    if variant is None:
        return raw_student()
    cpu = torch.device("cpu")
    return load_student(
        load_backbone("tiny", cpu, torch.float32), load_clip("tiny", cpu), calibrated_folder(place, variant, seed)
    )


class _Pixels:
    """An observation that is the image itself (1, 3, H, W) in [-1, 1]."""

    def __init__(self, pixels: Tensor) -> None:
        self.pixels = pixels


class PixelStudent(Student):
    """Sees nothing but pixels: for the plain encoder, which is trained with the mask generator."""

    def encode(self, image: Image.Image, fine: bool = True) -> Any:
        """The image at the size at which the others see it."""
        return _Pixels(torch.from_numpy(to_array(image, self.size_for(*image.size)))[None])

    def extract(self, encoded_image: Any, labels: LabelContext) -> ImageFeatures:
        """One level: the pixels."""
        return ImageFeatures((encoded_image.pixels,), None)


class PlainProposer(MaskProposer):
    """A mask generator on a small convolutional encoder of its own, with the grids and channels of the UNet's
    features.
    """

    def __init__(self, config: MaskProposerConfig) -> None:
        super().__init__(config)
        steps = []
        before = 3
        for channels in config.channels:
            steps.append(
                nn.Sequential(
                    *(nn.Conv2d(before, channels, 3, 2, 1), nn.GroupNorm(8, channels), nn.GELU()),
                    *(nn.Conv2d(channels, channels, 3, 1, 1), nn.GroupNorm(8, channels), nn.GELU()),
                    *(nn.Conv2d(channels, channels, 3, 1, 1), nn.GroupNorm(8, channels), nn.GELU()),
                )
            )
            before = channels
        self.encoder = nn.ModuleList(steps)

    def forward(
        self, features: Sequence[Tensor], objects: Tensor, attention: Tensor | None = None
    ) -> tuple[Proposals, list[Tensor]]:
        """Of pixels (B, 3, H, W), the only level."""
        level, levels = features[0], []
        for step in self.encoder:
            level = step(level)
            levels.append(level)
        return super().forward(levels, objects, None)


def relation_config(clip_dim: int, **options: Any) -> RelationHeadConfig:
    """The tiny model's, with some options changed."""
    usual = {"width": WIDTH, "facts": DETAILED, "octaves": FOURIER_BANDS, "places": True, "dropout": 0.1}
    return RelationHeadConfig(clip_dim=clip_dim, **(usual | options))


def new_job(
    place: Place, encoder: str, setting: str, frozen: bool, hidden: frozenset[str] = frozenset()
) -> RelationTraining:
    """A training on one encoder's features; its mask generator is loaded where it is to be frozen. hidden: predicates
    it is not shown.
    """
    base = student(place, Variant()) if encoder in ("calibrated", *WITHOUT) else raw_student()
    seer = PixelStudent(base.backbone, base.clip, None, base.kind) if encoder == "plain" else base
    dataset = replace(place.dataset(setting).for_training(), novel_predicates=hidden).for_training()
    levels = -COARSE if encoder == "coarse" else 0
    strides, channels = feature_strides(base.backbone)[levels:], feature_channels(base.backbone)[levels:]
    config = MaskProposerConfig(
        strides, channels, base.clip.dim, len(dataset.classes), attention=encoder not in ("plain", "unscored")
    )
    torch.manual_seed(0)
    heads = Heads(
        HeadsConfig(config, relation_config(base.clip.dim, unions=True, maps=True, nearness="masks"), untrained=frozen)
    )
    if encoder == "plain":
        heads.proposer = PlainProposer(config)
    if frozen:
        load_weights(heads.proposer, _weights(place, encoder, setting), "run the benchmark again")
    nothing = {} if frozen else {"relation_weight": 0.0, "pair_weight": 0.0, "rqc_weight": 0.0}
    records = dataset.split("train")
    return RelationTraining(seer, heads, dataset, records, RelationsConfig(init="scratch", **nothing), WATCH_AT, frozen)


def names_of(setting: str) -> str:
    """The setting whose mask generators a setting has: ovr differs from closed by predicates alone."""
    return "ovdr" if setting == "ovdr" else "closed"


def _weights(place: Place, encoder: str, setting: str) -> Path:
    """The mask generator's file; ovr shares closed's, since only predicates differ. Another tiny model has others."""
    of = canonical_hash(place.measured())[:8]
    return place.work / "generators" / f"{encoder}-{names_of(setting)}-{of}.safetensors"


def generator_print(place: Place, encoder: str, setting: str) -> str:
    """Which mask generator it is, by its bytes."""
    return sha256_file(_weights(place, encoder, setting))


def train_generator(job: tuple[Place, str, str]) -> None:
    """Masks and names alone, one seed; the epoch with the best PQ on watched scenes stays. Resumes, and is found
    done.
    """
    place, encoder, setting = job
    path = _weights(place, encoder, setting)
    if path.is_file():
        return
    training = new_job(place, encoder, setting, frozen=False)
    learn(
        {name: p for name, p in training.parameters().items() if name.startswith("proposer.")},
        training.images,
        training.losses,
        training.validate,
        place.generator_epochs,
        better="PQ",
        validate_every=3,
        state=(path.with_suffix(".state"), [encoder, setting, place.measured()]),
        learning_rate=1e-3,
    )
    write_bytes(path, to_bytes(training.heads.proposer.state_dict()))
    path.with_suffix(".state").unlink(missing_ok=True)


def learn(
    parameters: Mapping[str, nn.Parameter],
    images: TrainingImages,
    losses: Callable[[Sequence[int]], Mapping[str, Tensor]],
    validate: Callable[[], Row],
    epochs: int,
    seed: int = 0,
    better: str = "score",
    validate_every: int = 3,
    state: tuple[Path, Any] | None = None,
    learning_rate: float = 2e-3,
) -> None:
    """Every training of this benchmark: the same decay and batches, and for relations the same rate.

    state: a file to resume from, and what must agree for that.
    """
    path, signature = state or (None, None)
    options = Schedule(
        epochs=epochs, learning_rate=learning_rate, seed=seed, weight_decay=0.05, validate_every=validate_every
    )
    fit(
        parameters,
        options,
        lambda epoch: images.batches(BATCH, seed, epoch),
        losses,
        validate,
        better,
        path,
        signature,
        lambda steps, done, total: steps,
        lambda line: None,
    )


def once(place: Place, what: Any, heads: RelationHead, train: Callable[[], None]) -> None:
    """Train relation heads, or find them done in the work folder; what: all that they depend on."""
    done = place.work / "heads" / f"{canonical_hash(what)[:16]}.safetensors"
    if done.is_file():
        load_weights(heads, done, "remove it")
        return
    train()
    write_bytes(done, to_bytes(heads.state_dict()))


@lru_cache(maxsize=1)
def frozen_job(place: Place, encoder: str, setting: str) -> RelationTraining:
    """One a process: its caches are what makes many relation heads cheap."""
    job = new_job(place, encoder, setting, frozen=True)
    if setting != "closed":
        job.fit_unseen_scorers()
    return job
