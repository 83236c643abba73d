"""Stage 2's tables as one image, docs/images/stage2.png: ours beside the baselines, and what each part of it is
worth.

Draws what benchmarks/results hold; measures nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.common.tables import results
from benchmarks.relations.table_rows import MODELS, MODES, metrics_of
from spade.core.files import write_bytes
from spade.export.plots import figure_png

OUT = Path(__file__).parents[2] / "docs" / "images" / "stage2.png"
FIGURE = "R@20"
FILES = ("stage2", "stage2_additions")
COLOURS = {"sgdet": "#2b5fa8", "predcls": "#d9822b"}
# Rows of either file that take something away from the full model, or change it: what is written beside the bar.
PARTS = {
    ("stage2", "no graph"): "no graph transformer",
    ("stage2", "no geometry"): "no geometry of pairs",
    ("stage2", "pairs not told where they look"): "pairs not told where they look",
    ("stage2_additions", "no waves of geometry"): "geometry not told in waves",
    ("stage2_additions", "pairs that do not look"): "pairs do not look at the image",
    ("stage2_additions", "annotated masks only"): "learned on annotated masks alone",
    ("stage2_additions", "no finer blocks"): "no finer blocks of the autoencoder *",
    ("stage2_additions", "no attention to names"): "no attention to names *",
    ("stage2_additions", "soft neighbours"): "soft neighbours (default)",
    ("stage2_additions", "near by masks"): "neighbours near by masks",
    ("stage2_additions", "literal attention"): "literal attention",
    ("stage2_additions", "symmetric pairs"): "symmetric pairs",
    ("stage2_additions", "decision contrast 0.3"): "decision contrast",
    ("stage2_additions", "attention weighs geometry"): "attention weighs geometry",
    ("stage2_additions", "role gate"): "role gate",
    ("stage2_additions", "union boxes"): "union boxes",
    ("stage2_additions", "re-weighted by 0.5"): "predicates re-weighted",
}


def main() -> None:
    """Two panels."""
    figure = Figure(figsize=(9.6, 5.0), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.35))
    _bars(left, list(_models()), f"{FIGURE}, closed, percent")
    _bars(right, list(_parts()), f"points of {FIGURE} that each change brings")
    right.axvline(0, color="black", linewidth=0.8)
    right.legend(loc="lower left", fontsize=7, frameon=False)
    write_bytes(OUT, figure_png(figure))


Bar = tuple[str, Mapping[str, tuple[float, float]]]  # what it is, and mean and spread of each mode


def _models() -> Iterator[Bar]:
    """Ours and the baselines; what the first file lacks is of the other's mask generator."""
    for model, words in MODELS.items():
        file = next(file for file in FILES if metrics_of(results(file), model, "sgdet", "closed"))
        metrics = {mode: metrics_of(results(file), model, mode, "closed").get(FIGURE) for mode in MODES}
        yield (
            words + ("" if file == FILES[0] else " *"),
            {mode: (figure["mean"], figure["sd"]) for mode, figure in metrics.items() if figure},
        )


def _parts() -> Iterator[Bar]:
    """Each change less the full model of the same file."""
    for (file, model), words in PARTS.items():
        source = results(file)
        gaps = {
            mode: _less(metrics_of(source, model, mode, "closed"), metrics_of(source, "full", mode, "closed"))
            for mode in MODES
        }
        if all(gaps.values()):
            yield words, {mode: gap for mode, gap in gaps.items() if gap}


def _less(changed: Mapping[str, Any], full: Mapping[str, Any]) -> tuple[float, float] | None:
    """Difference of the means, and the spread of a difference."""
    a, b = changed.get(FIGURE), full.get(FIGURE)
    return (a["mean"] - b["mean"], (a["sd"] ** 2 + b["sd"] ** 2) ** 0.5) if a and b else None


def _bars(axes: Axes, rows: Sequence[Bar], title: str) -> None:
    """A pair of bars a row, the first row on top."""
    for (mode, words), shift in zip(MODES.items(), (-0.19, 0.19), strict=True):
        own = [(place + shift, *bar[mode]) for place, (_, bar) in enumerate(rows) if mode in bar]
        places, means, _ = zip(*own, strict=True)
        axes.barh(places, means, 0.36, color=COLOURS[mode], label=words)
        known = [row for row in own if row[2]]  # what is not drawn by chance has no spread
        if known:
            places, means, spreads = zip(*known, strict=True)
            axes.errorbar(means, places, xerr=spreads, fmt="none", ecolor="black", elinewidth=0.8, capsize=1.5)
    axes.set_yticks(range(len(rows)), [words for words, _ in rows], fontsize=7)
    axes.invert_yaxis()
    axes.set_title(title, fontsize=9, loc="left")
    axes.tick_params(axis="x", labelsize=7)
    axes.grid(axis="x", alpha=0.25)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


if __name__ == "__main__":
    main()
