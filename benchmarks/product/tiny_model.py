"""What the packaged tiny model has learned, part by part, on held-out scenes, and how fast and large it is.

Nothing is chosen here: timesteps and grid of the maps are the preset's, chosen by teacher_maps.py on other scenes.
Spreads are over blocks of 64 scenes.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

import spade
from benchmarks.calibration.pointing import images, looks
from benchmarks.common.results import Results, arguments, spread
from benchmarks.product.tiny_graphs import SEED as GRAPHS_SEED
from benchmarks.product.tiny_graphs import graphs, losses
from spade.diffusion.backbone import Backbone, load_backbone
from spade.diffusion.backbone_files import TINY, embedded_model
from spade.diffusion.inversion import invert, sample_back
from spade.diffusion.prompts import relation_text
from spade.models.checkpoint import read_model
from spade.open_vocabulary.clip import OpenClip, load_clip
from spade.world.annotation import WorldSample, make_sample
from spade.world.layout import THINGS
from spade.world.regions import nodes_of
from spade.world.rules import PREDICATES, RULES, SYMMETRIC

HELD_OUT_SEED, BLOCK = 4_000, 64
ROUND_TRIP_STEPS = 50
Block = list[WorldSample]
Triple = tuple[str, str, str]


def main() -> None:
    """One row a part; the figures stand at the top of the result, too."""
    options = arguments(__doc__ or "")
    results = Results("tiny_model", options, [HELD_OUT_SEED, GRAPHS_SEED], read_model(embedded_model()).fingerprint())
    count = 1 if options.quick else 8
    blocks = [[make_sample(HELD_OUT_SEED, BLOCK * block + i) for i in range(BLOCK)] for block in range(count)]
    backbone, clip = load_backbone("tiny", torch.device("cpu"), torch.float32), load_clip("tiny", torch.device("cpu"))
    parts: dict[str, Callable[[], dict[str, Any]]] = {
        "speed and size": _speed_and_size,
        "autoencoder": lambda: {"vae_psnr": spread([_reconstruction(backbone, block) for block in blocks])},
        "OpenCLIP": lambda: _clip(clip, blocks),
        "maps": lambda: _maps(backbone, blocks),
        "round trip": lambda: {
            "round_trip_psnr": spread([_round_trip(backbone, block) for block in blocks[: max(1, count // 2)]])
        },
        "graphs": lambda: graphs(count),
        "losses": lambda: losses(count),
    }
    for part, measure in parts.items():
        setting = {"part": part, "blocks": count}
        if not results.has(setting):
            results.add(setting, measure())
    head = {name: value for row in results.data["rows"] for name, value in row["metrics"].items()}
    results.headline(**{name: value["mean"] if isinstance(value, dict) else value for name, value in head.items()})
    results.show(options)


@torch.no_grad()
def _decode(backbone: Backbone, latents: torch.Tensor) -> torch.Tensor:
    return backbone.vae.decode(latents / backbone.vae.config.scaling_factor).sample.clamp(-1, 1)


def _psnr(one: torch.Tensor, other: torch.Tensor) -> float:
    """Mean over the images; their values span 2."""
    return float((10 * (4 / (one - other).square().mean(dim=(1, 2, 3))).log10()).mean())


def _reconstruction(backbone: Backbone, block: Block) -> float:
    pixels = images(block)
    return _psnr(_decode(backbone, backbone.encode_image(pixels)), pixels)


def _round_trip(backbone: Backbone, block: Block) -> float:
    """Inverted under the relation prompt and sampled back without guidance, against the autoencoder's
    reconstruction.
    """
    latents = backbone.encode_image(images(block))
    context, _ = backbone.encode_text([relation_text(sample.triples) for sample in block])
    noise = invert(backbone.unet, backbone.schedule, latents, context, ROUND_TRIP_STEPS, (), ()).latents
    back = sample_back(backbone.unet, backbone.schedule, noise, context, ROUND_TRIP_STEPS).latents
    return _psnr(_decode(backbone, back), _decode(backbone, latents))


def _clip(clip: OpenClip, blocks: Sequence[Block]) -> dict[str, Any]:
    """Image to caption of all its relations among 64; and a relation among captions of it made wrong.

    The latter also beside the image before it: what the wording alone gives away.
    """
    top1, relation, elsewhere, chances = [], [], [], []
    rng = np.random.default_rng(0)
    for block in blocks:
        images = clip.embed_images([Image.fromarray(sample.image) for sample in block])
        captions = [relation_text(sample.triples) for sample in block]
        best = (images @ clip.embed_texts(captions).T).argmax(1)
        top1.append(
            100 * float(np.mean([captions[int(b)] == caption for b, caption in zip(best, captions, strict=True)]))
        )
        right, right_elsewhere = [], []
        for sample, image, other in zip(block, images, images.roll(1, 0), strict=True):
            for triple in dict.fromkeys(sample.triples):
                choices = [triple, *_wrong(sample, triple, rng)]
                if len(choices) > 1:
                    texts = clip.embed_texts([relation_text([choice]) for choice in choices])
                    right.append(int((texts @ image).argmax()) == 0)
                    right_elsewhere.append(int((texts @ other).argmax()) == 0)
                    chances.append(1 / len(choices))
        relation.append(100 * float(np.mean(right)))
        elsewhere.append(100 * float(np.mean(right_elsewhere)))
    chance = round(100 * float(np.mean(chances)), 1)
    return {
        "clip_top1": spread(top1),
        "clip_relation": spread(relation),
        "clip_relation_other_picture": spread(elsewhere),
        "clip_relation_chance": chance,
    }


def _wrong(sample: WorldSample, triple: Triple, rng: np.random.Generator) -> list[Triple]:
    """The relation with a predicate that holds between no two segments of these names, and with its roles swapped.

    The predicate is one that the world has between things, or between a thing and stuff, as the relation is; no roles
    are swapped where the predicate is symmetric, the names are the same, or the swapped relation is true as well.
    """
    subject, predicate, target = triple
    kinds = (subject in THINGS, target in THINGS)
    false = [other for other in _kinds()[kinds] if not _holds(sample, (subject, other, target))]
    wrong = [(subject, str(rng.choice(false)), target)] if false else []
    swapped = (target, predicate, subject)
    if predicate not in SYMMETRIC and subject != target and not _holds(sample, swapped):
        wrong.append(swapped)
    return wrong


def _holds(sample: WorldSample, triple: Triple) -> bool:
    nodes = nodes_of(sample.scene)
    subjects, targets = ([node for node in nodes if node.label == label] for label in (triple[0], triple[2]))
    return any(RULES[triple[1]](sample.scene, s, t) for s in subjects for t in targets if s is not t)


@cache
def _kinds() -> dict[tuple[bool, bool], list[str]]:
    """(subject is a thing, object is a thing) -> the predicates that 500 scenes have between such."""
    found: dict[tuple[bool, bool], set[str]] = {}
    for index in range(500):
        for subject, predicate, target in make_sample(HELD_OUT_SEED + 1, index).triples:
            found.setdefault((subject in THINGS, target in THINGS), set()).add(predicate)
    return {kinds: [name for name in PREDICATES if name in names] for kinds, names in found.items()}


def _maps(backbone: Backbone, blocks: Sequence[Block]) -> dict[str, Any]:
    """The pointing game of names under the images' own relation prompts."""
    found = [
        [
            look
            for row in looks(backbone, block, TINY.inversion.steps, TINY.inversion.read_at, TINY.inversion.grids)
            for look in row
        ]
        for block in blocks
    ]
    metrics: dict[str, Any] = {}
    for suffix, thing in (("", True), ("_stuff", False)):
        own = [[look for look in block if look.thing == thing] for block in found]
        for group, novel in (("base", False), ("novel", True)):
            metrics[f"pointing_{group}{suffix}"] = spread(
                [100 * float(np.mean([x.hit for x in b if x.novel == novel])) for b in own]
            )
        metrics[f"pointing_single{suffix}"] = spread(
            [100 * float(np.mean([x.hit for x in b if x.segments == 1])) for b in own]
        )
        metrics[f"pointing_chance{suffix}"] = spread(
            [100 * float(np.mean([look.chance for look in block])) for block in own]
        )
        metrics[f"mass_inside{suffix}"] = spread(
            [100 * float(np.mean([look.inside for look in block])) for block in own]
        )
        metrics[f"names_asked{suffix}"] = sum(len(block) for block in own)
    return metrics


def _speed_and_size() -> dict[str, Any]:
    """Seconds of one image of 128 px, the model loaded or not; the weights' megabytes."""
    image = Image.fromarray(make_sample(HELD_OUT_SEED, 0).image)
    model = spade.load()
    model(image)
    warm = []
    for _ in range(9):
        began = time.perf_counter()
        model(image)
        warm.append(time.perf_counter() - began)
    with tempfile.TemporaryDirectory() as folder:
        image.save(Path(folder) / "scene.png")
        began = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "spade_cli", "predict", "scene.png"], cwd=folder, check=True, capture_output=True
        )
        cold = time.perf_counter() - began
    sizes = [path.stat().st_size / 1e6 for path in embedded_model().rglob("*.safetensors")]
    return {
        "predict_warm_s": round(statistics.median(warm), 3),
        "predict_cold_s": round(cold, 2),
        "weights_mb": round(sum(sizes), 1),
        "largest_file_mb": round(max(sizes), 1),
    }


if __name__ == "__main__":
    main()
