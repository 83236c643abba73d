"""Tables of stage 1: inversion and calibration."""

from __future__ import annotations

from typing import Any

from benchmarks.common.tables import cell, origin, results, table

NAMES = {
    ("teacher", "inverted"): "teacher, under the caption",
    ("raw", None): "raw UNet, told the labels",
    ("lora", "inverted"): "LoRA",
    ("lora", "noised"): "LoRA, teacher on noised latents",
    ("lora", "random"): "LoRA, teacher on random noise",
    ("adapter", "inverted"): "image adapter alone",
    ("full", "inverted"): "whole UNet",
}
COLUMNS = {"base": ("base", "all"), "novel": ("novel", "all"), "near": ("all", "near"), "far": ("all", "far")}


def students() -> str:
    """Where students with labels in their context look."""
    data = results("stage1")
    body = []
    for setting in _settings(data):
        if setting["alignment"] != "vocabulary":
            continue
        parts = {name: _row(data, setting, *part) for name, part in COLUMNS.items()}
        whole = _row(data, setting, "all", "all")
        body.append(
            [
                NAMES[setting["train"], setting["latents"]],
                str(setting["timestep"]) if setting["latents"] else "-",
                *(cell(parts[name]["pointing"]) for name in COLUMNS),
                cell(whole["mass_inside"]),
                cell(whole["pointing_stuff"]),
                f"{whole['parameters']:,}" if whole["parameters"] else "-",
                cell(whole["minutes"]),
            ]
        )
    first = next(s for s in _settings(data) if s["alignment"] == "vocabulary")
    chance = [cell(_row(data, first, *part)["chance"]).split(" ")[0] for part in COLUMNS.values()]
    whole = _row(data, first, "all", "all")
    body.append(["chance", "", *chance, "", cell(whole["chance_stuff"]).split(" ")[0], "", ""])
    head = ["student", "maps of timestep", *COLUMNS, "mass inside", "stuff", "parameters", "minutes"]
    asked = f"{whole['names_asked']} names of things and {whole['names_asked_stuff']} of stuff"
    note = f"Pointing game in percent, mean ± sd over {len(data['seeds'])} seeds; {asked} in held-out scenes"
    return table(head, body) + f"\n\n{note}. {data['machine']}, one core a student ({origin(data)})."


def choices() -> str:
    """What learning rates and timesteps are chosen by: validation scenes alone."""
    data = results("stage1")
    body = []
    for setting in _settings(data):
        if setting["train"] in ("teacher", "raw"):
            continue
        tried = [
            row
            for row in data["rows"]
            if row["setting"] == setting | {"learning_rate": row["setting"].get("learning_rate")}
        ]
        best = min(tried, key=lambda row: row["metrics"]["watched_loss"])
        name = (
            NAMES[setting["train"], setting["latents"]]
            if setting["alignment"] == "vocabulary"
            else f"LoRA, `{setting['alignment']}`"
        )
        losses = ", ".join(
            f"{row['setting']['learning_rate']:g}: {row['metrics']['watched_loss']:.3f}" for row in tried
        )
        body.append([name, str(setting["timestep"]), losses, f"{best['metrics']['watched_pointing']:.1f}"])
    head = ["student", "maps of timestep", "loss by learning rate", "pointing at the best rate"]
    return (
        table(head, body)
        + f"\n\nValidation scenes, first seed; objects of any size, things and stuff ({origin(data)})."
    )


def alignments() -> str:
    """What the alignments without labels see, as oracles."""
    data = results("stage1")
    body = []
    for setting in _settings(data):
        if setting["train"] == "lora" and setting["latents"] == "inverted":
            whole = _row(data, setting, "all", "all")
            oracle = "" if setting["alignment"] == "vocabulary" else " (oracle)"
            metrics = [
                cell(whole[name]) for name in ("pointing", "other_picture", "pointing_stuff", "other_picture_stuff")
            ]
            body.append([setting["alignment"] + oracle, str(setting["timestep"]), *metrics, f"{whole['parameters']:,}"])
    note = "Percent. In the next image: what the same assignment finds there, where nothing is to be seen of the name."
    return (
        table(
            [
                "alignment",
                "maps of timestep",
                "things",
                "in the next image",
                "stuff",
                "in the next image",
                "parameters",
            ],
            body,
        )
        + f"\n\n{note} ({origin(data)}.)"
    )


def inversion_speed() -> str:
    """How fast inversion is."""
    data = results("invert")
    words = {
        "times_faster_tiny": "tiny model: times faster than the straightforward way",
        "seconds_ours": "tiny model: seconds of `spade invert` for 96 images, all of 20 passes done",
        "seconds_straightforward": "tiny model: seconds of the straightforward way, nothing written",
        "seconds_stopping_at_the_last_read": (
            "tiny model: seconds of `spade invert` where it may stop at the last timestep read"
        ),
        "capture_cost": "tiny model: what reading adds to a pass, percent",
        "times_faster_sd15": "Stable Diffusion 1.5's size: times faster",
        "seconds_a_pass_and_picture_ours": "Stable Diffusion 1.5's size: seconds of ours a pass and image",
        "seconds_a_pass_and_picture_straightforward": "Stable Diffusion 1.5's size: seconds of the straightforward way",
        "share_of_peak": "Stable Diffusion 1.5's size: share of the machine's matrix peak, percent",
        "capture_cost_sd15": "Stable Diffusion 1.5's size: what reading adds to a pass, percent",
    }
    body = [[text, str(data[name])] for name, text in words.items() if name in data]
    return table(["", "measured"], body) + f"\n\n{data['machine']} ({origin(data)})."


def inversion_steps() -> str:
    """What fewer steps cost."""
    data = results("invert")
    body = []
    for row in data["rows"]:
        setting, metrics = row["setting"], row["metrics"]
        if setting["part"] == "steps":
            same = f"{metrics['correlation_with_50_steps']:.3f}"
            metrics = [str(metrics["reached"]), str(metrics["passes"]), same, f"{metrics['pointing']:.1f}"]
            body.append([str(setting["timestep"]), str(setting["steps"]), *metrics])
    head = ["timestep asked for", "steps", "read at", "passes", "correlation with 50 steps", "pointing, things"]
    return table(head, body) + f"\n\nValidation scenes ({origin(data)})."


def _settings(data: dict[str, Any]) -> list[dict[str, Any]]:
    """The students, in the order of the file, without the parts that are told apart."""
    found = []
    for row in data["rows"]:
        setting = {name: value for name, value in row["setting"].items() if name not in ("names", "range")}
        if "names" in row["setting"] and setting not in found:
            found.append(setting)
    return found


def _row(data: dict[str, Any], setting: dict[str, Any], names: str, reach: str) -> dict[str, Any]:
    wanted = setting | {"names": names, "range": reach}
    metrics: dict[str, Any] = next(row["metrics"] for row in data["rows"] if row["setting"] == wanted)
    return metrics
