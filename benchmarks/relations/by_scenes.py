"""What features are worth to relation heads on given segments, by the number of scenes they learn from: the UNet
calibrated, raw, with random weights, the autoencoder without a UNet, and plain convolutions learned with the heads.

All names, the same heads, as many steps on few scenes as on many, three seeds. Nothing is chosen here.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate

from benchmarks.common.results import Results, arguments, spread
from benchmarks.relations.encoders import ConvolutionalEncoder, PixelStudent, raw_student
from benchmarks.relations.generators import learn
from benchmarks.relations.on_features import FINE, Given, OnFeatures, given_segments, predicted_image, scored, tokens_of
from benchmarks.relations.rows import full
from spade.core.hub import fingerprint
from spade.core.workspace import Workspace
from spade.data.psg import Dataset
from spade.data.psg_reader import load_psg
from spade.diffusion.backbone_files import embedded_model
from spade.diffusion.features import feature_channels
from spade.diffusion.student import EncodedImage, ImageFeatures, LabelContext, Student, load_student
from spade.evaluation.scoring.evaluator import Evaluator
from spade.relations.losses import relation_losses
from spade.relations.mask_geometry import pool
from spade.relations.nodes import Nodes
from spade.steps import world
from spade.steps.common import Run
from spade.training.loop import Row
from spade.training.split import TrainingImages

SEED, SEEDS, AT = 9_600, (0, 1, 2), 20
COUNTS, TESTED, EPOCHS = (100, 300, 1000), 300, 8  # scenes to learn from, to test on; epochs of the most
FEATURES = ("calibrated UNet", "raw UNet", "random UNet", "autoencoder alone", "plain convolutions")


class AutoencoderStudent(Student):
    """Sees the autoencoder's blocks, and in place of the UNet's its latents, averaged to the coarser grids."""

    def extract(self, encoded_image: EncodedImage, labels: LabelContext) -> ImageFeatures:
        """Features of the same grids as the UNet's; no attention."""
        latents = encoded_image.latents.float()
        coarse = [latents, avg_pool2d(latents, 2), avg_pool2d(latents, 4)]
        return ImageFeatures((*(encoded_image.fine[stride] for stride in sorted(encoded_image.fine)), *coarse), None)


class OnPixels(nn.Module):
    """Relation heads on convolutions of their own: ``OnFeatures`` on what an encoder makes of pixels."""

    def __init__(self, channels: Sequence[int], clip_dim: int) -> None:
        super().__init__()
        self.encoder = ConvolutionalEncoder(channels)
        self.heads = OnFeatures(sum(channels), sum(channels[-3:]), clip_dim)

    def relate(self, images: Sequence[Nodes], memory: Tensor, *args: Any, **more: Any) -> Any:
        """As OnFeatures'; nodes hold masks in place of pooled features, memory the pixels (B, 3, H, W)."""
        levels = self.encoder(memory.float())
        nodes = []
        for place, image in enumerate(images):
            assert image.pooled is not None
            fine = [interpolate(level[place : place + 1], size=FINE, mode="bilinear")[0] for level in levels]
            pooled = torch.cat([pool(level, image.pooled) for level in fine], dim=1)
            nodes.append(replace(image, query=pooled, pooled=pooled))
        return self.heads.relate(nodes, tokens_of(levels[-3:]), *args, **more)


def main() -> None:
    """Each kind of features in a process, rows as they finish."""
    options = arguments(__doc__ or "")
    counts, seeds, tested, epochs = (COUNTS, SEEDS, TESTED, EPOCHS) if not options.quick else ((16,), (0,), 4, 1)
    parts = (fingerprint(embedded_model() / part)[:12] for part in ("backbone", "adapter"))
    results = Results("by_scenes", options, seeds, " ".join((*parts, f"{max(counts)} {tested} {epochs}")))
    missing = [
        (name, count) for name in FEATURES for count in counts if not results.has({"features": name, "scenes": count})
    ]
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "world"
        scenes = max(counts) + tested
        world.run(data, -(-scenes * 5 // 4), (128, 128), SEED, Run(Workspace(Path(folder) / "w")))
        with ProcessPoolExecutor(2, initializer=torch.set_num_threads, initargs=(1,)) as pool_of:
            jobs = [pool_of.submit(_rows, data, name, count, seeds, tested, epochs * max(counts) // count)
                    for name, count in missing]  # fmt: skip
            for done in as_completed(jobs):
                setting, metrics = done.result()
                results.add(setting, metrics)
    results.show(options)


def _student(name: str) -> Student:
    raw = raw_student()
    if name == "calibrated UNet":
        return load_student(raw.backbone, raw.clip, embedded_model() / "adapter")
    if name == "random UNet":
        torch.manual_seed(0)
        raw.backbone.unet.load_state_dict(type(raw.backbone.unet).from_config(raw.backbone.unet.config).state_dict())
    kinds = {"autoencoder alone": AutoencoderStudent, "plain convolutions": PixelStudent}
    return kinds.get(name, Student)(raw.backbone, raw.clip, None, raw.kind)


def _rows(
    data: Path, name: str, count: int, seeds: Sequence[int], tested: int, epochs: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Held-out recall of heads that learned from ``count`` scenes."""
    dataset, seer = load_psg(data), _student(name)
    images, held_out = TrainingImages(seer, dataset.split("train")[:count]), dataset.split("test")[:tested]
    objects, predicates = (
        seer.clip.embed_labels(dataset.vocabulary.objects),
        seer.clip.embed_predicates(dataset.vocabulary.predicates),
    )
    pixels = name == "plain convolutions"
    seen = given_segments(seer, dataset, images.records, objects, pixels=pixels)
    asked = given_segments(seer, dataset, held_out, objects, pixels=pixels)
    found = [_trained(seer, dataset, images, seen, asked, predicates, seed, epochs, pixels) for seed in seeds]
    metrics = {metric: spread([one[metric] for one in found]) for metric in found[0]}
    return {"features": name, "scenes": count}, metrics


def _trained(
    seer: Student,
    dataset: Dataset,
    images: TrainingImages,
    seen: list[Given],
    asked: list[Given],
    predicates: Tensor,
    seed: int,
    epochs: int,
    pixels: bool,
) -> dict[str, float]:
    torch.manual_seed(seed)
    heads: Any
    if pixels:
        heads = OnPixels(feature_channels(seer.backbone), seer.clip.dim)
    else:
        heads = OnFeatures(seen[0].nodes.pooled.shape[1], seen[0].memory.shape[2], seer.clip.dim)  # type: ignore[union-attr]
    weights = full("closed").method.losses.weights

    def losses(batch: Sequence[int]) -> dict[str, Tensor]:
        chosen = [seen[i] for i in batch]
        heads.train()
        return relation_losses(
            *(heads, [g.nodes for g in chosen], [g.triples for g in chosen], torch.cat([g.memory for g in chosen])),
            *(predicates, weights),
            positions=chosen[0].positions,
        )

    def recall(records: Sequence[Any], segments: Sequence[Given]) -> dict[str, float]:
        evaluator = Evaluator(dataset, at=(AT,), mode="predcls")
        for record, one in zip(records, segments, strict=True):
            pairs, related, logits = scored(heads, one, predicates)
            evaluator.add(record, None, predicted_image(record, pairs, related[:, None] * logits.softmax(-1)))
        metrics = evaluator.metrics()
        return {f"{n}@{AT}": 100 * float(metrics[f"{n}@{AT}"] or 0) for n in ("R", "mR")}

    def validate() -> Row:
        held = list(images.validation)
        return {"score": sum(recall([images.records[i] for i in held], [seen[i] for i in held]).values())}

    learn(dict(heads.named_parameters()), images, losses, validate, epochs, seed, validate_every=max(1, epochs // 6))
    return recall(dataset.split("test")[: len(asked)], asked)


if __name__ == "__main__":
    main()
