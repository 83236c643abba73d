"""Two figures of result files: what base names pay for novel ones, and recall by the number of scenes.

Draws what benchmarks/results hold, docs/images/open-names.png and docs/images/by-scenes.png; measures nothing.
"""

from __future__ import annotations

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.common.tables import results
from benchmarks.relations.tables_unseen import GATES, PACKAGED, curves
from spade.core.files import write_bytes
from spade.export.plots import figure_png
from spade.models.config import UNSEEN_ODDS

IMAGES = Path(__file__).parents[2] / "docs" / "images"
COLOURS = ("#2b5fa8", "#d9822b", "#3a8a4d", "#8e4a9e", "#555555")


def main() -> None:
    """Each of its own file."""
    figure = Figure(figsize=(4.8, 3.4), layout="constrained")
    open_names(figure.add_subplot())
    write_bytes(IMAGES / "open-names.png", figure_png(figure))
    figure = Figure(figsize=(4.8, 3.4), layout="constrained")
    by_scenes(figure.add_subplot())
    write_bytes(IMAGES / "by-scenes.png", figure_png(figure))


def open_names(axes: Axes) -> None:
    """A line a gate, a point for each odds; the default is filled."""
    for (gate, curve), colour in zip(curves(results("open")).items(), COLOURS, strict=False):
        points = [point for point in curve if point["odds"]]
        kept = next(point for point in points if point["odds"] == UNSEEN_ODDS)
        x, y = ([point[name] for point in points] for name in ("novel", "base"))
        axes.plot(x, y, marker="o", color=colour, fillstyle="none", label=GATES[gate])
        axes.plot(kept["novel"], kept["base"], marker="o", color=colour)
    axes.set_ylim(0, 102)
    axes.set_xlabel("novel regions named right, percent", fontsize=8)
    axes.set_ylabel("base regions named right, percent", fontsize=8)
    _dressed(axes, PACKAGED)


def by_scenes(axes: Axes) -> None:
    """A line for each kind of features, with the spread of three seeds."""
    rows = results("by_scenes")["rows"]
    names = dict.fromkeys(row["setting"]["features"] for row in rows)
    for name, colour in zip(names, COLOURS, strict=True):
        own = sorted(
            (row["setting"]["scenes"], row["metrics"]["R@20"]) for row in rows if row["setting"]["features"] == name
        )
        counts, figures = [count for count, _ in own], [figure for _, figure in own]
        means, spreads = ([figure[part] for figure in figures] for part in ("mean", "sd"))
        axes.errorbar(counts, means, yerr=spreads, marker="o", markersize=4, capsize=2, color=colour, label=name)
    axes.set_xscale("log")
    axes.set_xticks(sorted({row["setting"]["scenes"] for row in rows}), labels=None)
    axes.xaxis.set_major_formatter("{x:.0f}")
    axes.minorticks_off()
    axes.set_xlabel("scenes that relation heads learned from", fontsize=8)
    axes.set_ylabel("R@20 on given segments, percent", fontsize=8)
    _dressed(axes, "mean and spread of three seeds")


def _dressed(axes: Axes, title: str) -> None:
    axes.set_title(title, fontsize=9, loc="left")
    axes.tick_params(labelsize=7)
    axes.grid(alpha=0.25)
    axes.legend(fontsize=7, frameon=False)
    axes.spines[["top", "right"]].set_visible(False)


if __name__ == "__main__":
    main()
