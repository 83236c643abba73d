"""Teacher maps of pictures: where the words of their prompts look, picture by picture, in one batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from spade.diffusion.backbone import Backbone
from spade.diffusion.inversion import MapPlan, read_maps
from spade.diffusion.prompts import Prompt, Span, span_tokens


@dataclass(frozen=True)
class Mention:
    """A span of the picture's ``prompt``-th prompt, its tokens' positions, and their mean map (h, w), raw attention."""

    prompt: int
    span: Span
    tokens: tuple[int, ...]
    map: Tensor


@dataclass(frozen=True)
class PictureMaps:
    """What the teacher sees in one picture: its mentions and, for each prompt, the maps of all its tokens (T, h, w),
    padding left out.
    """

    mentions: tuple[Mention, ...]
    tokens: tuple[Tensor, ...]


@torch.no_grad()
def look(
    backbone: Backbone, pixels: Tensor, prompts: Sequence[Sequence[Prompt]], plan: MapPlan, noise: Tensor | None = None
) -> tuple[list[PictureMaps], tuple[int, ...]]:
    """Maps of a batch of pictures, each under all of its prompts, and the timesteps they were read at.

    pixels (B, 3, H, W) in [-1, 1]; prompts: at least one a picture; noise (B, C, h, w), needed unless latents are
    inverted. A picture is encoded once and a text once, however many prompts share them; the UNet gets at most twice as
    many rows as there are pictures. Mentions that the text encoder cuts off, or has no token for, are left out.
    """
    rows = [(i, prompt) for i, own in enumerate(prompts) for prompt in own]
    texts = {prompt.text: None for _, prompt in rows}
    place = {text: i for i, text in enumerate(texts)}
    context, offsets = backbone.encode_text(list(texts))
    latents = backbone.encode_image(pixels)
    pictures, said = torch.tensor([i for i, _ in rows]), torch.tensor([place[prompt.text] for _, prompt in rows])
    added = torch.zeros_like(latents) if noise is None else noise.to(latents)
    where = pictures.to(latents.device)
    some: list[Tensor] = []
    reached: tuple[int, ...] = ()
    for part in torch.arange(len(rows)).split(2 * len(pixels)):
        own, told = where[part.to(where.device)], context[said[part].to(context.device)]
        found, reached = read_maps(backbone.unet, backbone.schedule, latents[own], told, added[own], plan)
        some.append(found)
    maps = torch.cat(some)
    mentions: list[list[Mention]] = [[] for _ in prompts]
    tokens: list[list[Tensor]] = [[] for _ in prompts]
    for (i, prompt), seen, text in zip(rows, maps, said.tolist(), strict=True):
        number = len(tokens[i])
        for span in prompt.spans:
            if words := span_tokens(span, offsets[text]):
                mentions[i].append(Mention(number, span, tuple(words), seen[words].mean(0)))
        tokens[i].append(seen[: min(backbone.token_count(prompt.text), len(seen))])
    return [PictureMaps(tuple(m), tuple(t)) for m, t in zip(mentions, tokens, strict=True)], reached
