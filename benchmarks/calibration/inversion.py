"""Inversion: how fast against the straightforward way, what capture costs, and what fewer steps cost.

The straightforward way: one image at a time, the probabilities of every attention layer kept at every step. Both
sides do the same passes. ``--sd15`` adds a UNet of Stable Diffusion 1.5's size with random weights (512 px, bfloat16;
some 6 GB of memory).
"""

from __future__ import annotations

import argparse
import copy
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import torch

from benchmarks.calibration.pointing import images, looks, prompts_of
from benchmarks.calibration.straightforward import straightforward
from benchmarks.common.results import Results
from spade.core.hub import fingerprint
from spade.core.workspace import Workspace
from spade.data.psg import Dataset, Record
from spade.data.psg_reader import load_psg
from spade.data.samples import checked_image
from spade.diffusion.attention import combine, layer_strides, reading
from spade.diffusion.backbone import Backbone, load_backbone
from spade.diffusion.backbone_files import LARGE, TINY, embedded_model
from spade.diffusion.cpu_attention import make_fast
from spade.diffusion.inversion import MapPlan, inverse_scheduler, invert
from spade.diffusion.prompts import Prompt, relation_prompt, span_tokens, split_triples
from spade.diffusion.teacher import read_span_maps
from spade.steps import invert as step
from spade.steps import world
from spade.steps.common import Run
from spade.steps.config import InvertConfig
from spade.world.annotation import make_sample

VALIDATION_SEED, ROUNDS, PASSES = 2_000, 3, 20
SD15_TFLOP = 0.803  # of one pass on a 64 x 64 latent with 77 tokens
STEPS, TIMESTEPS = (5, 10, 20, 50, 100), (101, TINY.inversion.read_at[0])


def main() -> None:
    """One row a part."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small and fast; the result is not kept")
    parser.add_argument("--json", action="store_true", help="print the result as json")
    parser.add_argument("--sd15", action="store_true", help="also at Stable Diffusion 1.5's size")
    options = parser.parse_args()
    results = Results(
        "invert",
        options,
        (VALIDATION_SEED,),
        fingerprint(embedded_model() / "backbone"),
        "--sd15" if options.sd15 else "",
    )
    backbone = load_backbone("tiny", torch.device("cpu"), torch.float32)
    parts: list[tuple[dict[str, Any], Callable[[], dict[str, Any]]]] = [
        ({"part": "tiny"}, lambda: tiny_speed(backbone, 16 if options.quick else 96)),
        (
            {"part": "tiny, capture"},
            lambda: {
                "capture_cost": capture_cost(
                    backbone.unet, TINY.inversion.batch_size, 16, TINY.inversion.grids, options.quick
                )
            },
        ),
    ]
    for at in TIMESTEPS:
        for steps in STEPS:
            parts.append(
                (
                    {"part": "steps", "timestep": at, "steps": steps},
                    partial(fidelity, backbone, steps, at, 8 if options.quick else 128),
                )
            )
    if options.sd15:
        parts.append(({"part": "sd15"}, lambda: sd15(options.quick)))
    for setting, measure in parts:
        if not results.has(setting):
            results.add(setting, measure())
    head = {
        name: value
        for row in results.data["rows"]
        if row["setting"]["part"] != "steps"
        for name, value in row["metrics"].items()
    }
    results.headline(**head)
    results.show(options)


def tiny_speed(backbone: Backbone, count: int) -> dict[str, Any]:
    """``spade invert``, against the straightforward way; both load the model once, 20 passes each. Ours also writes its
    files.
    """
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "world"
        world.run(data, count, (128, 128), VALIDATION_SEED, Run(Workspace(Path(folder) / "unused")))
        dataset = load_psg(data)
        last = int(inverse_scheduler(backbone.schedule, PASSES).timesteps[-1])
        ours, theirs, stopped = [], [], []
        for number in range(5 if count > 16 else 1):
            ours.append(_seconds(lambda number=number: _ours(data, Path(folder) / f"o{number}", (last,))))
            theirs.append(_seconds(lambda: _theirs(dataset)))
            stopped.append(
                _seconds(lambda number=number: _ours(data, Path(folder) / f"s{number}", TINY.inversion.read_at))
            )
    return {
        "times_faster_tiny": round(statistics.median(theirs) / statistics.median(ours), 2),
        "seconds_ours": round(statistics.median(ours), 2),
        "seconds_straightforward": round(statistics.median(theirs), 2),
        "seconds_stopping_at_the_last_read": round(statistics.median(stopped), 2),
        "pictures": count,
    }


def _ours(data: Path, place: Path, read_at: tuple[int, ...]) -> None:
    step.run(
        InvertConfig(data=data, split="all", settings={"read_at": read_at, "steps": PASSES}), Run(Workspace(place))
    )


def _theirs(dataset: Dataset) -> None:
    """An image at a time: encode it and its caption, invert, find the maps of the mentions of the last step; nothing
    is written.
    """
    backbone = load_backbone("tiny", torch.device("cpu"), torch.float32)
    for record, prompt in [(own, prompt) for own in dataset.records for prompt in _prompts(backbone, dataset, own)]:
        image = (
            torch.from_numpy(np.asarray(checked_image(dataset, record), np.float32)).permute(2, 0, 1)[None] / 127.5 - 1
        )
        context, offsets = backbone.encode_text([prompt.text])
        kept = straightforward(backbone.unet, backbone.schedule, backbone.encode_image(image), context, PASSES)[-1]
        chosen = [name for name, stride in layer_strides(backbone.unet).items() if stride in TINY.inversion.grids]
        maps = combine(
            {name: kept[name].mean(0)[None] for name in chosen},
            backbone.unet,
            (image.shape[-2] // 8, image.shape[-1] // 8),
        )[0]
        for span in prompt.spans:
            maps[span_tokens(span, offsets[0])].mean(0)


def _prompts(backbone: Backbone, dataset: Dataset, record: Record) -> list[Prompt]:
    labels = [dataset.classes[segment.category] for segment in record.segments]
    triples = [(s, o, dataset.predicates[p]) for s, o, p in record.training_triples()]
    return [
        relation_prompt(run, labels)
        for run in split_triples(triples, labels, backbone.token_count, backbone.token_limit)
    ]


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


@torch.no_grad()
def capture_cost(
    unet: Any, batch: int, side: int, strides: Sequence[int], quick: bool, dtype: torch.dtype = torch.float32
) -> float:
    """Percent that reading adds to a pass: median of pairs, each half of the time one or the other first."""
    latents = torch.randn(batch, unet.config.in_channels, side, side, dtype=dtype)
    context = torch.randn(batch, 77, unet.config.cross_attention_dim, dtype=dtype)

    def plain() -> None:
        unet(latents, 101, encoder_hidden_states=context)

    def read() -> None:
        with reading(unet, strides) as store:
            unet(latents, 101, encoder_hidden_states=context)
        combine(store, unet, (side, side))

    plain()
    ratios = []
    for number in range(3 if quick else 9 if side > 32 else 41):
        first, second = (plain, read) if number % 2 else (read, plain)
        times = {first: _seconds(first), second: _seconds(second)}
        ratios.append(times[read] / times[plain])
    return round(100 * (statistics.median(ratios) - 1), 1)


def fidelity(backbone: Backbone, steps: int, at: int, count: int) -> dict[str, Any]:
    """Correlation of the maps with those of 50 steps, and the pointing game of things, on validation scenes."""
    samples = [make_sample(VALIDATION_SEED, i) for i in range(count)]
    found = [seen for row in looks(backbone, samples, steps, (at,), TINY.inversion.grids) for seen in row if seen.thing]
    similar = []
    for start in range(0, count, 32):
        part = samples[start : start + 32]
        prompts = [prompts_of(backbone, sample) for sample in part]
        some, reached = read_span_maps(backbone, images(part), prompts, MapPlan(steps, (at,), TINY.inversion.grids))
        many, _ = read_span_maps(backbone, images(part), prompts, MapPlan(50, (at,), TINY.inversion.grids))
        for one, other in zip(some, many, strict=True):
            similar += [
                float(torch.corrcoef(torch.stack([a.map.flatten(), b.map.flatten()]))[0, 1])
                for a, b in zip(one.spans, other.spans, strict=True)
            ]
    available = [int(t) for t in inverse_scheduler(backbone.schedule, steps).timesteps]
    return {
        "correlation_with_50_steps": round(float(np.mean(similar)), 4),
        "pointing": round(100 * float(np.mean([seen.hit for seen in found])), 1),
        "names_asked": len(found),
        "reached": reached[0],
        "passes": available.index(reached[0]) + 1,
    }


@torch.no_grad()
def sd15(quick: bool) -> dict[str, Any]:
    """A UNet of Stable Diffusion 1.5's build, random weights, bfloat16: batches of 4 against one image at a time, 4
    steps each.
    """
    from diffusers import UNet2DConditionModel

    dtype, steps, batch = torch.bfloat16, 1 if quick else 4, 4
    torch.set_default_dtype(dtype)
    unet = UNet2DConditionModel(sample_size=64, cross_attention_dim=768, attention_head_dim=8).eval()
    torch.set_default_dtype(torch.float32)
    plain = copy.deepcopy(unet)
    make_fast(unet)
    torch.manual_seed(0)
    latents, context = torch.randn(batch, 4, 64, 64, dtype=dtype), torch.randn(batch, 77, 768, dtype=dtype)
    config = {
        "beta_start": 0.00085,
        "beta_end": 0.012,
        "beta_schedule": "scaled_linear",
        "steps_offset": 1,
        "prediction_type": "epsilon",
    }
    last = int(inverse_scheduler(config, steps).timesteps[-1])
    invert(unet, config, latents[:1], context[:1], 1, (1,), LARGE.inversion.grids)  # warm
    ours, theirs, peaks = [], [], []
    for _ in range(1 if quick else ROUNDS):
        peaks.append(_matrix_peak(dtype))
        ours.append(
            _seconds(lambda: invert(unet, config, latents, context, steps, (last,), LARGE.inversion.grids)) / batch
        )
        theirs.append(_seconds(lambda: straightforward(plain, config, latents[:1], context[:1], steps)))
    return {
        "times_faster_sd15": round(statistics.median(theirs) / statistics.median(ours), 2),
        "seconds_a_pass_and_picture_ours": round(statistics.median(ours) / steps, 2),
        "seconds_a_pass_and_picture_straightforward": round(statistics.median(theirs) / steps, 2),
        "share_of_peak": round(100 * SD15_TFLOP * steps / statistics.median(ours) / statistics.median(peaks), 1),
        "matrix_peak_tflops": round(statistics.median(peaks), 3),
        "capture_cost_sd15": capture_cost(unet, 2, 64, LARGE.inversion.grids, quick, dtype),
    }


def _matrix_peak(dtype: torch.dtype) -> float:
    """TFLOP/s of the best of some large matrix products."""
    size = 4096
    a, b = torch.randn(size, size).to(dtype), torch.randn(size, size).to(dtype)
    return 2 * size**3 / min(_seconds(lambda: a @ b) for _ in range(4)) / 1e12


if __name__ == "__main__":
    main()
