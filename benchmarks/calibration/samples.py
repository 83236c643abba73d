"""docs/images/samples.jpg: images that the tiny UNet samples from captions of held-out scenes, three for each
caption.
"""

from __future__ import annotations

import textwrap
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from spade.diffusion.backbone import Backbone, load_backbone
from spade.diffusion.inversion import sampling_scheduler
from spade.diffusion.prompts import relation_text
from spade.world.annotation import make_sample

SEED, CAPTIONS, EACH, COLUMNS, SIDE, TEXT = 4_500, 16, 3, 2, 128, 34
STEPS, GUIDANCE = 50, 3.0
OUT = Path(__file__).parents[2] / "docs" / "images" / "samples.jpg"


def main() -> None:
    """The first scenes of the seed, none chosen; their own images are not shown."""
    backbone = load_backbone("tiny", torch.device("cpu"), torch.float32)
    captions = [relation_text(make_sample(SEED, index).triples[:4]) for index in range(CAPTIONS)]
    width, height = EACH * (SIDE + 2) + 8, SIDE + TEXT
    sheet = Image.new("RGB", (COLUMNS * width, -(-CAPTIONS // COLUMNS) * height), "white")
    paint, font = ImageDraw.Draw(sheet), ImageFont.load_default(10)
    for index, caption in enumerate(captions):
        x, y = index % COLUMNS * width, index // COLUMNS * height
        for place, image in enumerate(sample(backbone, caption, EACH, index)):
            sheet.paste(Image.fromarray(image), (x + place * (SIDE + 2), y))
        paint.text((x, y + SIDE + 1), "\n".join(textwrap.wrap(caption, 78)[:2]), "black", font)
    OUT.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(OUT, "JPEG", quality=85)


@torch.no_grad()
def sample(backbone: Backbone, caption: str, count: int, seed: int) -> list[np.ndarray]:
    """Images (H, W, 3) uint8 from noise, by DDIM with classifier-free guidance (Ho and Salimans, 2022)."""
    size = backbone.image_size // backbone.factor
    shape = (count, backbone.unet.config.in_channels, size, size)
    latents = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    context, _ = backbone.encode_text([""] * count + [caption] * count)
    scheduler = sampling_scheduler(backbone.schedule, STEPS)
    for t in scheduler.timesteps:
        without, told = backbone.unet(torch.cat([latents, latents]), t, encoder_hidden_states=context).sample.chunk(2)
        latents = scheduler.step(without + GUIDANCE * (told - without), t, latents).prev_sample
    decoded = backbone.vae.decode(latents / backbone.vae.config.scaling_factor).sample.clamp(-1, 1)
    return list(((decoded + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy())


if __name__ == "__main__":
    main()
