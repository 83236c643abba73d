"""Write the tables of the documents from benchmarks/results: no number in them is typed by hand.

A document marks a place with ``<!-- table NAME -->`` and ``<!-- end -->``; NAME is a function below.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.calibration.tables import alignments, choices, inversion_speed, inversion_steps, students
from benchmarks.common.results import spread
from benchmarks.common.tables import ROOT, cell, origin, results, table
from benchmarks.psg import tables as psg
from benchmarks.relations import tables as stage2
from benchmarks.relations import tables_open as stage2_open

DOCUMENTS = (
    "docs/results/product.md",
    "docs/results/tiny-model.md",
    "docs/evaluation.md",
    "docs/world.md",
    "docs/results/stage-1.md",
    "docs/results/stage-2.md",
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
    body = [[name, cell(spread([row["step_seconds"][name] for row in rows]))] for name in rows[0]["step_seconds"]]
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


def training() -> str:
    """How the packaged weights were trained."""
    manifest = json.loads((ROOT / "spade" / "assets" / "tiny" / "manifest.json").read_text("utf-8"))
    shown = {
        "autoencoder": lambda f: f"reconstruction {f['psnr']:.1f} dB",
        "clip": lambda f: f"caption among 64: {100 * f['top1']:.0f} % (chance 1.6 %)",
        "unet": lambda f: f"noise error {-f['minus_mse']:.3f}",
        "unet-further": lambda f: f"noise error {-f['minus_mse']:.3f}",
        "adapter": lambda f: (
            f"map distance {f['loss_before']:.3f} to {f['loss_after']:.3f}; "
            f"pointing game {100 * f['pointing_after']:.0f} % (chance {100 * f['chance']:.0f} %)"
        ),
        "heads": lambda f: ", ".join(f"{name} {100 * value:.1f} %" for name, value in f["validation_after"].items()),
        **dict.fromkeys(("tiny", "tiny-open"), _heads),
    }
    body = []
    for line in manifest["log"]:
        seen = f"{line['epochs'] * line['samples_an_epoch']:,}"
        body.append(
            [line["part"], f"{line['minutes']:.1f}", str(line["threads"]), seen, shown[line["part"]](line["metrics"])]
        )
    minutes = f"{manifest['minutes']:.0f} minutes in all on a CPU"
    total = f"One seed; {minutes}. Metrics of the kept weights, on validation scenes."
    return table(["part", "minutes", "threads", "images seen", "metrics"], body) + f"\n\n{total}"


def _heads(metrics: dict[str, Any]) -> str:
    """What heads that learn from fresh scenes reach on validation scenes."""
    names = {"PQ": "PQ", "R@20": "R@20 on found segments", "given_R@20": "on given ones"}
    return ", ".join(f"{text} {100 * metrics[name]:.1f} %" for name, text in names.items())


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


def tiny() -> str:
    """What the tiny model has learned, beside what was asked of it."""
    data = results("tiny_model")
    words = {
        "vae_psnr": ("autoencoder: reconstruction, dB", "at least 27"),
        "clip_top1": ("OpenCLIP: image to the caption of all its relations, among 64, %", "at least 50"),
        "clip_relation": ("OpenCLIP: a relation among captions made wrong, %", "at least 60"),
        "clip_relation_other_picture": ("the same beside another scene's image, %", ""),
        "clip_relation_chance": ("chance there, %", ""),
        "round_trip_psnr": ("UNet: inverted and sampled back, 50 steps, dB", "at least 25"),
        "pointing_base": ("maps: pointing game of things, base names, %", "at least 75"),
        "pointing_novel": ("maps: novel names, %", "at least 55"),
        "pointing_single": ("maps: things' names with a single segment, %", ""),
        "pointing_chance": ("maps: chance, %", ""),
        "mass_inside": ("maps: mass inside things, %", ""),
        "pointing_base_stuff": ("maps: pointing game of stuff, base names, %", ""),
        "pointing_novel_stuff": ("maps: stuff, novel names, %", ""),
        "pointing_single_stuff": ("maps: stuff, names with a single segment, %", ""),
        "pointing_chance_stuff": ("maps: chance for stuff, %", ""),
        "mass_inside_stuff": ("maps: mass inside stuff, %", ""),
        "pq": ("graphs: PQ, %", "at least 68"),
        "things_named": ("graphs: things found and named, %", "at least 80"),
        "R20_found": ("graphs: R@20 on found segments, %", "at least 52"),
        "mR20_found": ("graphs: mR@20 on found segments, %", ""),
        "R20_given": ("graphs: R@20 on given segments, %", "at least 83"),
        "mR20_given": ("graphs: mR@20 on given segments, %", ""),
        "predict_warm_s": ("one image of 128 px, model loaded, s", "below 0.3"),
        "predict_cold_s": ("one image of 128 px, whole process, s", "below 15"),
        "weights_mb": ("weights, MB", "at most 40"),
        "largest_file_mb": ("largest file, MB", "below 16"),
    }
    found = {name: value for row in data["rows"] for name, value in row["metrics"].items()}
    body = [
        [text, cell(found[name]) if isinstance(found[name], dict) else str(found[name]), bar]
        for name, (text, bar) in words.items()
    ]
    scenes = 64 * data["rows"][-1]["setting"]["blocks"]
    things, stuff = found["names_asked"], found["names_asked_stuff"]
    asked = f"Maps: {things} names of things, {stuff} of stuff; a name may point at any of its segments"
    asked += ", and is asked for where one of them covers at least 4 latent cells."
    blocks = f"mean ± sd over blocks of 64 of {scenes} held-out scenes (round trip: of half of them)"
    note = f"One trained model; {blocks}. {asked}"
    return table(["", "measured", "bar"], body) + f"\n\n{note} {data['machine']} ({origin(data)})."


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
    "training": training,
    "teacher": teacher,
    "tiny": tiny,
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
