"""Tables of the packaged tiny model and of what a user waits for."""

from __future__ import annotations

import json
from typing import Any

from benchmarks.common.tables import ROOT, cell, origin, results, table
from spade.evaluation.scoring.metric_names import ACCOUNT

HEADS = ("tiny", "tiny-open")


def readers() -> str:
    """How long data sets of full size take to open."""
    data = results("readers")
    names = {"vg": "VG150, h5", "coco": "COCO with masks and relations, one json of PSG's size"}
    body = [
        [
            names[row["setting"]["format"]],
            f"{row['setting']['images']:,}",
            *(str(row["metrics"][name]) for name in ("megabytes", "seconds", "gb")),
        ]
        for row in data["rows"]
    ]
    note = f"Generated annotation, medians of three processes; {data['machine']} ({origin(data)})."
    return table(["data set", "images", "MB", "seconds", "GB of memory"], body) + f"\n\n{note}"


def open_vocabulary() -> str:
    """What the open-vocabulary script says, and how long it takes."""
    data = results("open_vocabulary")
    ((_, metrics),) = (row.values() for row in data["rows"])
    names = ("R@50", "mR@50", "R@100")
    parts = {name.removeprefix("openpsg, "): own for name, own in metrics.items() if name.startswith("openpsg, ")}
    body = [[part, *(cell(own[name]) for name in names)] for part, own in parts.items()]
    seconds = f"{data['seconds']:.0f} s from nothing to this table, {data['rows'][0]['setting']['images']} scenes"
    return table(["", *names], body) + f"\n\nPercent; {seconds}; {data['machine']} ({origin(data)})."


def training() -> str:
    """How the packaged weights were trained."""
    manifests = [_manifest(name) for name in HEADS]
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
        **dict.fromkeys(HEADS, _heads),
    }
    body = []
    for line in (line for manifest in manifests for line in manifest["log"]):
        part, metrics = line["part"], line["metrics"]
        images = metrics.get("train_images", line["samples_an_epoch"])  # of a data set a part is for tests
        threads = f"{line['threads']}, one more makes scenes" if part in HEADS else str(line["threads"])
        seen = f"{line['epochs'] * images:,}"
        body.append([part, f"{line['minutes']:.1f}", threads, seen, shown[part](metrics)])
    minutes = f"{sum(manifest['minutes'] for manifest in manifests):.0f} minutes in all on a CPU"
    total = f"One seed; {minutes}. Metrics of the kept weights, on validation scenes."
    return table(["part", "minutes", "threads", "images seen", "metrics"], body) + f"\n\n{total}"


def heads_curve() -> str:
    """What heads find on validation scenes by the number of fresh scenes they have seen."""
    words = {"PQ": "PQ", "R@20": "R@20, found segments", "given_R@20": "given ones"}
    body = []
    for name in HEADS:
        manifest = _manifest(name)
        scenes = {line["part"]: line["samples_an_epoch"] for line in manifest["log"]}
        for row in manifest.get("curve", []):
            if row["epoch"]:
                body.append([name, f"{row['epoch'] * scenes[name]:,}", *(cell(100 * row[key]) for key in words)])
    note = "Percent of 100 validation scenes, under the names that training had; kept in each model's manifest.json."
    return table(["heads", "scenes seen", *words.values()], body) + f"\n\n{note}"


def _manifest(name: str) -> dict[str, Any]:
    data: dict[str, Any] = json.loads((ROOT / "spade" / "assets" / name / "manifest.json").read_text("utf-8"))
    return data


def _heads(metrics: dict[str, Any]) -> str:
    """What heads that learn from fresh scenes reach on validation scenes."""
    names = {"PQ": "PQ", "R@20": "R@20 on found segments", "given_R@20": "on given ones"}
    return ", ".join(f"{text} {100 * metrics[name]:.1f} %" for name, text in names.items())


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


def losses() -> str:
    """Where the packaged model loses annotated relations, step by step."""
    data = results("tiny_model")
    found = {name: value for row in data["rows"] for name, value in row["metrics"].items()}
    body = [[text, cell(found[f"account_{step}"]), cell(found.get(f"lost_{step}"))] for step, text in ACCOUNT.items()]
    missing = f"Of {found['segments']} annotated segments {found['without_mask']} have no mask of their own"
    things = found["things_without_mask"]
    missing += f", {'all' if things == found['without_mask'] else things} of these things"
    missing += f", of which {found['merged']} share one with another"
    missing += f" ({found['merged_same_class']} with one of the same name). PQ of all scenes together:"
    missing += f" {cell(found['pq_of_all'])}."
    return (
        table(["annotated relations, K = 20", "percent of all", "percent of the loss, in logarithms"], body)
        + f"\n\n{missing} {64 * data['rows'][-1]['setting']['blocks']} held-out scenes ({origin(data)})."
    )
