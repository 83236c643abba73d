"""Where the tiny model's teacher maps look: the pointing game per timestep and grid, on scenes kept for choices."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from common import Results, arguments

from spade.diffusion.alignment import pointing_hit
from spade.diffusion.attention import layer_strides
from spade.diffusion.backbone import Backbone, load_backbone
from spade.diffusion.inversion import invert
from spade.diffusion.prompts import Prompt, span_tokens, split_prompts
from spade.segmentation.mask_generator import shrink_masks
from spade.world.annotation import WorldSample, make_sample
from spade.world.layout import THINGS
from spade.world.rules import PREDICATES

WATCH_SEED, STEPS = 2_000, 20  # the seed that examples/tiny_model watches, too: choices are made on these scenes
TIMESTEPS = (1, 51, 101, 201, 401, 701)


def main() -> None:
    """One row a grid and timestep: share of mentions whose map's maximum lies in a segment of that name, beside chance."""
    options = arguments(__doc__ or "")
    results = Results("teacher_maps", options, (WATCH_SEED,))
    samples = [make_sample(WATCH_SEED, i) for i in range(8 if options.quick else 128)]
    backbone = load_backbone("tiny", torch.device("cpu"), torch.float32)
    pixels = torch.stack([torch.from_numpy(s.image).permute(2, 0, 1) / 127.5 - 1 for s in samples])
    latents = backbone.encode_image(pixels)
    prompts = [_prompt(sample, backbone) for sample in samples]
    for stride in sorted(set(layer_strides(backbone.unet).values())):
        for timestep in TIMESTEPS[: 2 if options.quick else None]:
            setting = {"grid": f"{16 // stride} x {16 // stride}", "timestep": timestep}
            if not results.has(setting):
                results.add(setting, _pointing(backbone, latents, prompts, samples, timestep, stride))
    results.show(options)


def _prompt(sample: WorldSample, backbone: Backbone) -> Prompt:
    triples = [(s, o, PREDICATES[p]) for s, o, p in sample.relations]
    return split_prompts(triples, sample.labels, backbone.token_count, backbone.token_limit)[0]


def _pointing(
    backbone: Backbone, latents: torch.Tensor, prompts: Sequence[Prompt], samples: Sequence[WorldSample], timestep: int, stride: int
) -> dict[str, float]:
    context, offsets = backbone.encode_text([prompt.text for prompt in prompts])
    maps = invert(backbone.unet, backbone.schedule, latents, context, STEPS, (timestep,), (stride,)).maps
    assert maps is not None
    hits: dict[bool, list[tuple[bool, float, float]]] = {True: [], False: []}
    for sample, prompt, own, spans in zip(samples, prompts, maps, offsets, strict=True):
        for span in prompt.spans:
            if span.segment < 0:
                continue
            named = [segment[0] for segment, label in zip(sample.segments, sample.labels, strict=True) if label == span.name]
            full = torch.from_numpy(np.isin(sample.ids, named).astype(np.float32))[None]
            cells = shrink_masks(full, (own.shape[1], own.shape[2]))[0]
            hit = pointing_hit(own[span_tokens(span, spans)].mean(0), cells >= min(0.5, float(cells.max())))
            hits[span.name in THINGS].append(hit)
    out = {}
    for kind, name in ((True, "things"), (False, "stuff")):
        for column, figure in enumerate(("pointing", "mass_inside", "chance")):
            out[f"{figure}_{name}"] = round(100 * float(np.mean([hit[column] for hit in hits[kind]])), 1)
    return out


if __name__ == "__main__":
    main()
