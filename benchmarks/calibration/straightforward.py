"""Inversion the straightforward way, which ours is measured against."""

from __future__ import annotations

from typing import Any

import torch

from spade.diffusion.inversion import inverse_scheduler


class StoreAll:
    """The straightforward attention processor: eager softmax, probabilities kept whatever the layer."""

    def __init__(self, name: str, store: dict[str, torch.Tensor]) -> None:
        self.name, self.store = name, store

    def __call__(
        self,
        attn: Any,
        hidden_states: torch.Tensor,
        encoder_hidden_states: Any = None,
        attention_mask: Any = None,
        temb: Any = None,
    ) -> torch.Tensor:
        """As diffusers' eager processor, keeping what it computed."""
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        query, key, value = (
            attn.head_to_batch_dim(z) for z in (attn.to_q(hidden_states), attn.to_k(context), attn.to_v(context))
        )
        weights = attn.get_attention_scores(query, key, attention_mask)
        self.store[self.name] = weights
        return attn.to_out[1](attn.to_out[0](attn.batch_to_head_dim(torch.bmm(weights, value))))


@torch.no_grad()
def straightforward(
    unet: Any, config: Any, latents: torch.Tensor, context: torch.Tensor, steps: int
) -> list[dict[str, torch.Tensor]]:
    """All steps for one image, with every layer's probabilities of every step."""
    scheduler, kept, own = inverse_scheduler(config, steps), [], unet.attn_processors
    store: dict[str, torch.Tensor] = {}
    unet.set_attn_processor({name: StoreAll(name, store) for name in own})
    try:
        for t in scheduler.timesteps:
            latents = scheduler.step(unet(latents, t, encoder_hidden_states=context).sample, t, latents).prev_sample
            kept.append(dict(store))
    finally:
        unet.set_attn_processor(dict(own))
    return kept
