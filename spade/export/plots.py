"""Training curves and attention maps as images, drawn by matplotlib."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from PIL import Image

from spade.core.text import one_line

Row = Mapping[str, float]


def curves_png(rows: Sequence[Row]) -> bytes:
    """A panel a figure of the curves, over epochs. Rows may lack a figure; names that begin with ``minus_`` are drawn
    as losses.
    """
    names = [name for name in dict.fromkeys(name for row in rows for name in row) if name != "epoch"]
    across = min(3, len(names))
    down = -(-len(names) // across)
    figure = Figure(figsize=(3.4 * across, 2.4 * down), layout="constrained")
    for place, name in enumerate(names):
        axes = figure.add_subplot(down, across, place + 1)
        points = [(row["epoch"], row[name]) for row in rows if name in row]
        sign, title = (
            (-1, f"validation {name.removeprefix('minus_')}")
            if name.startswith("minus_")
            else (1, name.replace("_", " "))
        )
        axes.plot([x for x, _ in points], [sign * y for _, y in points], marker=".", color="#2b5fa8")
        axes.set_title(title, fontsize=9, loc="left")
        axes.set_xlim(0, max(1, max(row["epoch"] for row in rows)))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.tick_params(labelsize=7)
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    return figure_png(figure)


def adjustment_png(rows: Sequence[Row], chosen: float) -> bytes:
    """mR@20 over R@20, a point for each logit adjustment; the chosen one is filled."""
    figure = Figure(figsize=(4.2, 3.2), layout="constrained")
    axes = figure.add_subplot()
    axes.plot([100 * row["R@20"] for row in rows], [100 * row["mR@20"] for row in rows], color="#2b5fa8")
    for row in rows:
        place = 100 * row["R@20"], 100 * row["mR@20"]
        axes.plot(
            *place, marker="o", color="#2b5fa8", fillstyle="full" if row["logit_adjustment"] == chosen else "none"
        )
        axes.annotate(f"{row['logit_adjustment']:g}", place, xytext=(5, 4), textcoords="offset points", fontsize=7)
    axes.set_xlabel("R@20, percent", fontsize=8)
    axes.set_ylabel("mR@20, percent", fontsize=8)
    axes.tick_params(labelsize=7)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    return figure_png(figure)


def maps_png(
    image: Image.Image, columns: Sequence[str], rows: Mapping[str, Sequence[np.ndarray | None]], longest: int = 24
) -> bytes:
    """The image, and for each label a row of maps laid over it.

    columns: what the maps of a row are. rows: label -> maps (h, w), each drawn from its own least to its own greatest
    value; None where there is none. A cross marks the greatest value: where the map points.
    """
    across, down = 1 + len(columns), max(1, len(rows))
    shape = image.width / image.height
    figure = Figure(figsize=(1.7 * across * max(1.0, shape), 1.9 * down * max(1.0, 1 / shape)), layout="constrained")
    cells = figure.subplots(down, across, squeeze=False)
    for axes in cells.flat:
        axes.axis("off")
    cells[0, 0].imshow(image)
    for row, (label, maps) in enumerate(rows.items()):
        cells[row, 0].text(
            1.02,
            0.5,
            one_line(label, longest),
            transform=cells[row, 0].transAxes,
            ha="right",
            va="center",
            fontsize=8,
            parse_math=False,
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8},
        )
        for column, attention in enumerate(maps):
            axes = cells[row, 1 + column]
            if row == 0:
                axes.set_title(columns[column], fontsize=8, parse_math=False)
            if attention is None:
                continue
            axes.imshow(image.convert("L"), cmap="gray", alpha=0.7)
            extent = (-0.5, image.width - 0.5, image.height - 0.5, -0.5)
            axes.imshow(attention, cmap="inferno", alpha=0.6, extent=extent, interpolation="nearest")
            y, x = np.unravel_index(int(np.argmax(attention)), attention.shape)
            axes.plot(
                (x + 0.5) * image.width / attention.shape[1],
                (y + 0.5) * image.height / attention.shape[0],
                "x",
                color="#40e0ff",
            )
            axes.set_xlim(-0.5, image.width - 0.5)
            axes.set_ylim(image.height - 0.5, -0.5)
    return figure_png(figure)


def figure_png(figure: Figure) -> bytes:
    """A figure as png; equal figures give equal bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    return buffer.getvalue()
