"""LoRA on a UNet's cross-attention, through peft."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch
from diffusers.utils import logging as diffusers_logging
from peft import LoraConfig
from safetensors import SafetensorError

from spade.core.errors import SpadeError
from spade.core.files import write_bytes
from spade.core.quiet import hushed
from spade.core.weights import settled

NAME = "spade"
WEIGHTS = "pytorch_lora_weights.safetensors"
TARGETS = {"q": r"to_q", "k": r"to_k", "v": r"to_v", "out": r"to_out\.0"}


def attach(
    unet: Any, rank: int, alpha: float, targets: Collection[str] = tuple(TARGETS)
) -> dict[str, torch.nn.Parameter]:
    """Add a fresh LoRA to the cross-attention's projections; returns its trainable parameters, in float32, by name.

    targets: some of q, k, v and out. Raises SpadeError for a rank below 1.
    """
    if rank < 1:
        raise SpadeError(f"`rank={rank}`: a LoRA has at least rank 1; the usual values are 4 to 32.")
    unet.requires_grad_(False)
    modules = rf".*attn2\.({'|'.join(TARGETS[target] for target in targets)})"
    unet.add_adapter(
        LoraConfig(r=rank, lora_alpha=alpha, init_lora_weights="gaussian", target_modules=modules), adapter_name=NAME
    )
    return trainable(unet)


def trainable(unet: Any) -> dict[str, torch.nn.Parameter]:
    """The LoRA's parameters by name, cast to float32 and set to be trained."""
    parameters = {}
    for name, parameter in unet.named_parameters():
        if f".{NAME}." in name:
            parameter.data = parameter.data.float()
            parameter.requires_grad_(True)
            parameters[name] = parameter
    return parameters


def save(unet: Any, folder: Path) -> None:
    """Write the LoRA in diffusers' own form, with peft's config beside it for people to read."""
    with hushed(diffusers_logging):
        unet.save_lora_adapter(folder, adapter_name=NAME, safe_serialization=True, weight_name=WEIGHTS)
    unet.peft_config[NAME].save_pretrained(folder)
    write_bytes(folder / WEIGHTS, settled((folder / WEIGHTS).read_bytes()))


def load(unet: Any, folder: Path) -> None:
    """Put a saved LoRA on a UNet, frozen. Raises SpadeError if it was made for another backbone."""
    if not (folder / WEIGHTS).is_file():
        raise SpadeError(f"{folder / WEIGHTS}: no such adapter; make one with: spade calibrate")
    try:
        with hushed(diffusers_logging):
            unet.load_lora_adapter(folder, prefix=None, adapter_name=NAME, weight_name=WEIGHTS)
    except (RuntimeError, ValueError, OSError, SafetensorError) as error:
        raise SpadeError(
            f"{folder / WEIGHTS}: does not fit this backbone "
            f"({str(error).splitlines()[0][:100]}); calibrate on it anew."
        ) from None
    if NAME not in getattr(unet, "peft_config", {}):
        raise SpadeError(f"{folder / WEIGHTS}: holds no LoRA for this backbone; calibrate on it anew.")
    for parameter in unet.parameters():
        parameter.requires_grad_(False)


def remove(unet: Any) -> None:
    """Take the LoRA off again."""
    if NAME in getattr(unet, "peft_config", {}):
        unet.delete_adapters(NAME)
