"""docs/images/world.jpg: 64 scenes of the world with their masks, and below each what is annotated."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from spade.world.annotation import WorldSample, make_sample

SEED, COLUMNS, ROWS, SIDE, LINES = 3_500, 8, 8, 128, 6
OUT = Path(__file__).parents[2] / "docs" / "images" / "world.jpg"


def main() -> None:
    """Each scene beside its panoptic map; of more than six relations the first ones."""
    font = ImageFont.load_default(9)
    width, height = 2 * SIDE + 8, SIDE + 4 + 11 * LINES
    sheet = Image.new("RGB", (COLUMNS * width, ROWS * height), "white")
    paint = ImageDraw.Draw(sheet)
    for index in range(COLUMNS * ROWS):
        sample = make_sample(SEED, index, SIDE, SIDE)
        x, y = index % COLUMNS * width, index // COLUMNS * height
        sheet.paste(Image.fromarray(sample.image), (x, y))
        sheet.paste(_masks(sample), (x + SIDE + 2, y))
        for line, triple in enumerate(sample.triples[:LINES]):
            paint.text((x, y + SIDE + 1 + 11 * line), " ".join(triple)[:52], "black", font)
    OUT.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(OUT, "JPEG", quality=75)


def _masks(sample: WorldSample) -> Image.Image:
    """The panoptic map in colours, void white."""
    colours = np.full((*sample.ids.shape, 3), 255, np.uint8)
    for identity, *_ in sample.segments:
        colours[sample.ids == identity] = [identity * m % 170 + 60 for m in (1, 7, 31)]
    return Image.fromarray(colours)


if __name__ == "__main__":
    main()
