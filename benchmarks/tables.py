"""Write the tables of the documents from benchmarks/results: no number in them is typed by hand.

A document marks a place with ``<!-- table NAME -->`` and ``<!-- end -->``; NAME is a function below.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.calibration.tables import alignments, choices, inversion_speed, inversion_steps, students
from benchmarks.common.results import spread
from benchmarks.common.tables import ROOT, cell, origin, results, table
from benchmarks.product.tables import heads_curve, losses, open_vocabulary, readers, tiny, training
from benchmarks.psg import tables as psg
from benchmarks.relations import tables as stage2
from benchmarks.relations import tables_open as stage2_open
from benchmarks.relations import tables_unseen as unseen

DOCUMENTS = (
    "docs/results/product.md",
    "docs/results/tiny-model.md",
    "docs/evaluation.md",
    "docs/world.md",
    "docs/results/stage-1.md",
    "docs/results/stage-2.md",
    "docs/results/open-names.md",
    "docs/results/psg.md",
)
MARK = re.compile(r"<!-- table (\w+) -->\n.*?<!-- end -->", re.DOTALL)


def quickstart() -> str:
    """What each step of a quickstart is worth, on scenes beyond its own."""
    data = results("quickstart")
    steps = [row["metrics"]["steps"] for row in data["rows"]]
    body = [
        [
            one[0]["step"],
            one[0]["measure"],
            one[0]["without_is"],
            cell(_mean(one, "without")),
            cell(_mean(one, "value")),
        ]
        for one in zip(*steps, strict=True)
    ]
    scenes = data["rows"][0]["setting"]
    note = (
        f"Percent, mean \u00b1 sd over {len(steps)} seeds, each with {scenes['images']} scenes of its own, judged on "
        f"{scenes['further']} others ({origin(data)})."
    )
    return table(["step", "measure", "without it", "", "with it"], body) + f"\n\n{note}"


def _mean(rows: Sequence[dict[str, Any]], name: str) -> dict[str, float | int] | None:
    return spread([row[name] for row in rows])


def seconds() -> str:
    """Seconds a step of the quickstart."""
    data = results("quickstart")
    rows = [row["metrics"] for row in data["rows"]]
    said = {"worth": "what each step is worth"}
    body = [
        [said.get(name, name), cell(spread([row["step_seconds"][name] for row in rows]))]
        for name in rows[0]["step_seconds"]
    ]
    body.append(["until the graph of a photograph is there", cell(data["first_picture_s"])])
    body.append(["whole command", cell(data["seconds"])])
    return table(["step", "seconds"], body) + f"\n\n{data['machine']} ({origin(data)})."


def predict() -> str:
    """What a picture costs, from file to files."""
    data = results("predict")
    body = []
    for row in data["rows"]:
        what = row["setting"]["what"]
        body += [[what, name, cell(value, 2)] for name, value in row["metrics"].items()]
    return table(["what", "unit", "measured"], body) + f"\n\n{data['machine']} ({origin(data)})."


def startup() -> str:
    """Seconds that help takes."""
    data = results("startup")
    body = []
    for row in data["rows"]:
        metrics = row["metrics"]
        body.append(
            [f"`{row['setting']['command']}`", cell(metrics["seconds"], 2), cell(metrics["times a bare python"])]
        )
    return table(["whole process", "seconds", "times a bare Python"], body) + f"\n\n{data['machine']} ({origin(data)})."


def teacher() -> str:
    """The pointing game of the teacher maps."""
    data = results("teacher_maps")
    names = list(data["rows"][0]["metrics"])
    body = [
        [
            row["setting"]["grid"],
            ", ".join(map(str, row["setting"]["timesteps"])),
            *(f"{row['metrics'][name]:.1f}" for name in names),
        ]
        for row in data["rows"]
    ]
    return (
        table(["grid", "timesteps", *(name.replace("_", " ") for name in names)], body)
        + f"\n\nPercent ({origin(data)})."
    )


def blind() -> str:
    """How often a reader of images agrees with the world."""
    data = results("blind")
    setting, metrics = data["rows"][0]["setting"], data["rows"][0]["metrics"]
    body = [
        [setting["reader"], f"{metrics['agreement']:.0f}"],
        ["knowing the two labels only", f"{metrics['labels_only']:.0f}"],
    ]
    return table(["reader", "percent of " + str(setting["pairs"])], body) + f"\n\n({origin(data)}.)"


def evaluation() -> str:
    """How fast ``spade eval`` is, and how much memory it takes."""
    data = results("eval")
    beside, alone = [], []
    for row in data["rows"]:
        setting, metrics = row["setting"], row["metrics"]
        if "classes" in setting:
            names = ("seconds", "seconds_sgbench", "seconds_decoding", "times_faster_than_sgbench", "over_decoding")
            beside.append([setting["classes"], *(str(metrics[name]) for name in names)])
        else:
            size = setting.get("psg.json")
            what = (
                f"loading a psg.json of {size}" if size else f"{setting['images']} images on {setting['cores']} cores"
            )
            alone.append([what, str(metrics["seconds"]), f"{metrics['peak_mb']:.0f}"])
    head = ["classes as in", "spade eval", "sgbench", "decoding alone", "times faster", "over decoding"]
    images = data["rows"][0]["setting"]["images"]
    what = f"{images} images of 480 x 640 with 11 segments and 100 rows"
    note = f"Seconds of whole processes on one core for {what}; PQ is part of ours, not of sgbench's."
    return "\n\n".join(
        [note, table(head, beside), table(["", "seconds", "peak MB"], alone), f"{data['machine']} ({origin(data)})."]
    )


def world() -> str:
    """What the world's check found."""
    data = results("world")
    words = {
        "far_share": "relations whose box centres lie more than a third of the width apart",
        "context_share": "relations that change or vanish without some third segment",
        "frequency_top1": "top-1 of the most frequent predicate of the label pair",
        "boxes_top1": "top-1 of gradient boosting on labels and boxes",
        "pixels_top1": "top-1 of a small convolutional network on the pair's crops",
        "layout_top1": "top-1 of gradient boosting on the layout's state",
    }
    body = [[text, f"{data[name]:.1f}"] for name, text in words.items()]
    counts = next(row["metrics"] for row in data["rows"] if row["setting"]["what"] == "counts")
    body += [
        ["largest and smallest share of a predicate", f"{counts['largest_share']:.1f}, {counts['smallest_share']:.1f}"]
    ]
    span = counts["relations_an_image"]
    speed = f"{data['scenes_per_second']:.0f} scenes a second on one core"
    note = f"{span['min']} to {span['max']} relations an image, {span['mean']} on average; {speed}."
    return table(["", "percent"], body) + f"\n\n{note} {data['machine']} ({origin(data)})."


TABLES: dict[str, Callable[[], str]] = {
    "quickstart": quickstart,
    "seconds": seconds,
    "predict": predict,
    "startup": startup,
    "readers": readers,
    "open_vocabulary": open_vocabulary,
    "training": training,
    "heads_curve": heads_curve,
    "teacher": teacher,
    "tiny": tiny,
    "tiny_losses": losses,
    "blind": blind,
    "evaluation": evaluation,
    "world": world,
    "students": students,
    "choices": choices,
    "stage2_closed": stage2.closed,
    "stage2_open": stage2_open.open_names,
    "stage2_open_recalls": stage2_open.open_recalls,
    "stage2_open_means": stage2_open.open_mean_recalls,
    "stage2_parts": stage2.parts,
    "stage2_led": stage2.led,
    "stage2_generators": stage2.generators,
    "stage2_graph": stage2.graph,
    "stage2_calibrations": stage2.calibrations,
    "stage2_fusion": stage2_open.fusion,
    "stage2_novel": stage2_open.novel,
    "novel_names": stage2_open.hidden,
    "stage2_additions": stage2.additions,
    "stage2_again": stage2.again,
    "masks": stage2.masks,
    "masks_merging": stage2.merging,
    "unseen_objects": unseen.objects,
    "unseen_odds": unseen.odds,
    "unseen_predicates": unseen.predicates,
    "unseen_predicate_odds": unseen.predicate_odds,
    "unseen_evidence": unseen.evidence,
    "unseen_doubt": unseen.doubt,
    "unseen_segments": unseen.segments,
    "unseen_probe": unseen.probe,
    "by_scenes": unseen.by_scenes,
    "stage2_again_open": stage2_open.again_open,
    "psg_annotations": psg.psg_annotations,
    "psg_parts": psg.annotation_parts,
    "psg_hidden": psg.hidden_labels,
    "psg_packaged": psg.packaged_relations,
    "alignments": alignments,
    "inversion_speed": inversion_speed,
    "inversion_steps": inversion_steps,
}


def filled(text: str) -> str:
    """A document with its tables as the result files have them."""
    return MARK.sub(lambda match: f"<!-- table {match[1]} -->\n{TABLES[match[1]]()}\n<!-- end -->", text)


def main() -> None:
    """Rewrite the documents; with ``--check`` only say whether one is out of date."""
    stale = []
    for name in DOCUMENTS:
        path = ROOT / name
        new = filled(path.read_text("utf-8"))
        if new != path.read_text("utf-8"):
            stale.append(name)
            if "--check" not in sys.argv:
                path.write_text(new, "utf-8")
    if "--check" in sys.argv and stale:
        raise SystemExit(f"out of date: {', '.join(stale)}; run: python -m benchmarks.tables")


if __name__ == "__main__":
    main()
