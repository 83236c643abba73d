"""Load a LoRA that ``spade calibrate`` wrote into plain diffusers; spade itself is not needed.

    python examples/lora_in_diffusers.py BACKBONE spade-workspace/calibrate/KEY/adapter

BACKBONE is the directory (or hub id) of the model that was calibrated.
"""

from __future__ import annotations

import sys
from typing import Any

from diffusers import UNet2DConditionModel


def load(backbone: str, adapter: str) -> Any:
    """The backbone's UNet with the calibrated LoRA on it, ready for any diffusers pipeline."""
    unet = UNet2DConditionModel.from_pretrained(backbone, subfolder="unet", use_safetensors=True)
    # Without prefix=None diffusers looks for another model's keys, warns, and loads nothing.
    unet.load_lora_adapter(adapter, prefix=None, adapter_name="spade", weight_name="pytorch_lora_weights.safetensors")
    return unet


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    config = load(*sys.argv[1:]).peft_config["spade"]
    print(f"LoRA of rank {config.r} and alpha {config.lora_alpha:g} on {config.target_modules}")
