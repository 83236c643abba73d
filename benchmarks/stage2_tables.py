"""Tables of stage 2: the full model and its baselines, its parts, calibrations, fusion, additions."""

from __future__ import annotations

from typing import Any

from stage2_figures import PARTS
from stage2_figures import SETTING as ALL
from tabling import cell, origin, results, table

MODELS = {
    "full": "full model",
    "raw encoder": "the same heads on the raw UNet",
    "plain encoder": "the same heads on a convolutional encoder",
    "boosting": "gradient boosting on labels and boxes",
    "boosting, on found boxes, too": "gradient boosting, learning on found boxes, too",
    "frequency": "frequency of label pairs",
}
MODES = {"sgdet": "found segments", "predcls": "given segments"}
COLUMNS = tuple(f"{name}@{k}" for name in ("R", "mR") for k in (5, 10, 20))  # PQ is one generator's
# SPADE's own ablations, R/mR@50 on PSG closed, and R@50 on PSG for novel predicates and for novel objects and
# predicates.
RGT = {
    "no graph": ("no graph transformer", "30.5 / 26.3"),
    "neighbours": ("attention to neighbours", "35.6 / 32.2"),
    "neighbours, others": ("and to the others", "37.1 / 34.4"),
    "neighbours, others, convolution": ("and graph convolution", "40.3 / 35.6"),
    "full": ("and L_rqc: the full model", "45.1 / 41.2"),
}
CALIBRATIONS = {
    "raw UNet": ("raw UNet, told the labels", "15.3", "10.1"),
    "image adapter alone": ("no LoRA: image adapter alone", "18.8", "12.7"),
    "whole UNet": ("no LoRA: whole UNet", "", ""),
    "random noise": ("no inversion: random noise", "21.0", "15.9"),
    "noised latents": ("no inversion: noised latents", "", ""),
    "LoRA": ("LoRA on inverted latents", "26.7", "22.7"),
    "LoRA, index": ("LoRA, `index`", "", ""),
    "LoRA, matched": ("LoRA, `matched`", "", ""),
    "LoRA, counterfactual": ("LoRA, counterfactual hinge (SPADE++)", "", ""),
}
FUSIONS = {
    "full, novel names by text alone": ("diffusion alone", "12.5 or 21.4"),
    "full, diffusion 0.67": ("diffusion to the 0.67, OpenCLIP to the 0.33", ""),
    "full, diffusion 0.34": ("diffusion to the 0.34, OpenCLIP to the 0.66", "26.7"),
    "full, diffusion 0.0": ("OpenCLIP alone", "12.5 or 21.4"),
}


def closed() -> str:
    """All names, all annotated triplets."""
    data = results("stage2")
    columns = ["PQ", *(f"{name}@{k}" for name in ("R", "mR") for k in (5, 10, 20, 50))]
    body = [
        [MODELS[model], MODES[mode], *(cell(metrics_of(data, model, mode, "closed").get(name)) for name in columns)]
        for mode in MODES
        for model in _present(data)
    ]
    return table(["model", "of", *columns], body) + _note(data)


def open_names() -> str:
    """Names that training did not show."""
    data = results("stage2")
    body = []
    for setting in ("ovr", "ovdr"):
        for mode in MODES:
            for model in _present(data):
                whole = metrics_of(data, model, mode, setting)
                quality = [
                    cell(whole.get(name)) for name in (("PQ base", "PQ novel") if setting == "ovdr" else ("PQ", "none"))
                ]
                parts = [metrics_of(data, model, mode, setting, names=part) for part in ("base", "novel", "all")]
                metrics = [cell(part.get(name)) for name in ("R@20", "mR@20") for part in parts]
                body.append([setting, MODELS[model], MODES[mode], *quality, *metrics])
    head = [
        "setting",
        "model",
        "of",
        "PQ base",
        "PQ novel",
        *(f"{n}@20 {p}" for n in ("R", "mR") for p in ("base", "novel", "all")),
    ]
    return table(head, body) + _note(data)


def open_recalls() -> str:
    """The same at other K."""
    return _open_at("R")


def open_mean_recalls() -> str:
    """The same, means over predicates."""
    return _open_at("mR")


def _open_at(metric: str) -> str:
    data, columns = results("stage2"), [(k, part) for k in (5, 10, 50) for part in ("base", "novel", "all")]
    body = [
        [
            *(setting, MODELS[model], MODES[mode]),
            *(cell(metrics_of(data, model, mode, setting, names=part).get(f"{metric}@{k}")) for k, part in columns),
        ]
        for setting in ("ovr", "ovdr")
        for mode in MODES
        for model in _present(data)
    ]
    return table(["setting", "model", "of", *(f"{metric}@{k} {part}" for k, part in columns)], body) + _note(data)


def parts() -> str:
    """Near and far, positional and other, with context and without."""
    data = results("stage2")
    told = {
        "near": {"range": "near"},
        "far": {"range": "far"},
        "positional": {"group": "positional"},
        "other": {"group": "other"},
        "context needed": {"context": "needed"},
        "not needed": {"context": "not needed"},
    }
    body = [
        [
            MODELS[model],
            MODES[mode],
            *(cell(metrics_of(data, model, mode, "closed", **part).get("R@20")) for part in told.values()),
        ]
        for mode in MODES
        for model in _present(data)
    ]
    return table(["model", "of", *told], body) + _note(data, "R@20, closed; percent")


def led() -> str:
    """In how many columns the full model is ahead of each baseline: part of the triplets x metric."""
    data, body = results("stage2"), []
    places = {
        tuple(row["setting"][key] for key in ("setting", "mode"))
        for row in data["rows"]
        if row["setting"]["model"] == "full"
    }
    for setting, mode in sorted(
        places, key=lambda place: (place[0] != "closed", place[0] != "ovr", place[1] != "sgdet")
    ):
        for model in _present(data)[1:]:
            counts, where = {"ahead": 0, "level": 0, "behind": 0}, []
            for part in PARTS:
                ours, theirs = (metrics_of(data, name, mode, setting, **part) for name in ("full", model))
                told = [_compared(ours[name], theirs[name]) for name in COLUMNS if ours.get(name) and theirs.get(name)]
                for word in told:
                    counts[word] += 1
                if "behind" in told:
                    kind, value = next(iter(part.items()), ("", "all"))
                    where.append(f"context {value}" if kind == "context" else value)
            if sum(counts.values()):
                body.append([setting, MODES[mode], MODELS[model], *map(str, counts.values()), ", ".join(where) or "-"])
    head = ["setting", "of", "against", "ahead", "level", "behind", "somewhere behind in"]
    return table(head, body) + _note(data, "Columns of R and mR at 5, 10 and 20")


def _compared(ours: dict[str, float], theirs: dict[str, float]) -> str:
    """Level is what differs by no more than the spread of the difference."""
    gap, spread = ours["mean"] - theirs["mean"], (ours["sd"] ** 2 + theirs["sd"] ** 2) ** 0.5
    return "level" if abs(gap) <= spread else "ahead" if gap > 0 else "behind"


def graph() -> str:
    """The relation graph transformer, part by part."""
    data = results("stage2")
    body = []
    for model, (words, paper) in RGT.items():
        own = [metrics_of(data, model, mode, "closed") for mode in MODES]
        needed = [
            metrics_of(data, model, "predcls", "closed", context=part).get("R@20") for part in ("needed", "not needed")
        ]
        metrics = [metrics.get(name) for metrics in own for name in ("R@20", "mR@20")] + needed + [own[1].get("PS@10")]
        body.append([words, paper, *map(cell, metrics)])
    head = ["", "paper, R / mR@50", *(f"{name}@20, {words}" for words in MODES.values() for name in ("R", "mR"))]
    head += ["R@20, given, context needed", "not needed", "PS@10"]
    return table(head, body) + _note(data)


def calibrations() -> str:
    """What a calibration is worth to relations."""
    data = results("stage2")
    body = []
    for name, (words, *paper) in CALIBRATIONS.items():
        own = [metrics_of(data, f"on features: {name}", "predcls", setting) for setting in ("ovr", "ovdr")]
        novel = [
            metrics_of(data, f"on features: {name}", "predcls", setting, names="novel") for setting in ("ovr", "ovdr")
        ]
        students = " / ".join(str(m.get("students", 1)) for m in own)
        body.append(
            [words, " / ".join(p or "-" for p in paper), students, *(cell(m.get("R@20")) for m in (*own, *novel))]
        )
    head = [
        "student",
        "paper, R@50 ovr / ovdr",
        "trained, ovr / ovdr",
        "R@20 ovr",
        "R@20 ovdr",
        "novel, ovr",
        "novel, ovdr",
    ]
    return table(head, body) + _note(data)


def fusion() -> str:
    """The diffusion branch, OpenCLIP's, and both."""
    data = results("stage2")
    places = [(setting, mode, names) for setting in ("ovr", "ovdr") for mode in MODES for names in ("all", "novel")]
    body = []
    for model, (words, paper) in FUSIONS.items():
        own = [metrics_of(data, model, mode, s, names=n).get("R@20") for s, mode, n in places]
        quality = metrics_of(data, model, "sgdet", "ovdr")
        body.append([words, paper, *map(cell, own), *(cell(quality.get(name)) for name in ("PQ base", "PQ novel"))])
    head = [
        "",
        "paper, R@50 ovr",
        *(f"{setting}, {MODES[mode]}, {names}" for setting, mode, names in places),
        "PQ base",
        "PQ novel",
    ]
    return table(head, body) + _note(data, "R@20, percent")


def novel() -> str:
    """How names that training did not have are scored."""
    data = results("stage2")
    words = {"full, novel names by text alone": "by their text alone, as learned names are"}
    words |= {f"full, novel odds {odds}": f"apart, odds {odds}" for odds in (1, 2)}
    words |= {"full": "apart, odds 4: the full model", "full, novel odds 8": "apart, odds 8"}
    words |= {"full, novel odds 1, sure ones give, too": "apart, odds 1, sure ones give a share, too"}
    places = [
        (setting, mode, names) for setting in ("ovr", "ovdr") for mode in MODES for names in ("base", "novel", "all")
    ]
    body = []
    for model, told in words.items():
        own = [metrics_of(data, model, mode, setting, names=names).get("R@20") for setting, mode, names in places]
        quality = metrics_of(data, model, "sgdet", "ovdr")
        body.append([told, *map(cell, own), *(cell(quality.get(name)) for name in ("PQ base", "PQ novel"))])
    head = [
        "names that training did not have",
        *(f"{setting}, {MODES[mode]}, {names}" for setting, mode, names in places),
    ]
    return table([*head, "PQ base", "PQ novel"], body) + _note(data, "R@20, percent")


def hidden() -> str:
    """What odds and sharpness of untrained evidence were chosen by."""
    data = results("novel_names")
    body = []
    for row in data["rows"]:
        own, metrics = row["setting"], row["metrics"]
        told = f"odds {own['odds']:g}, sharpness {own['sharpness']:g}" + (
            ", sure pairs, too" if own["sure_gives"] else ""
        )
        told = "by text alone" if not own["odds"] else "nothing for them" if own["odds"] < 1e-6 else told
        body.append([told, *(cell(metrics[name]) for name in ("known", "hidden", "all"))])
    note = f"R@20, percent, mean ± sd over {len(data['seeds'])} choices of five hidden predicates ({origin(data)})."
    return table(["names that training did not have", "known", "hidden", "all"], body) + f"\n\n{note}"


def additions() -> str:
    """Options beside the full model, which has none of them."""
    data = results("stage2")
    known = {*MODELS, *RGT, *FUSIONS}
    names = dict.fromkeys(r["setting"]["model"] for r in data["rows"] if r["setting"]["setting"] == "closed")
    body = []
    for model in ("full", *(name for name in names if name not in known)):
        own = [metrics_of(data, model, mode, "closed") for mode in MODES]
        seeds = str((own[0].get("R@20") or {"n": 0})["n"])
        metrics = [cell(metrics.get(name)) for metrics in own for name in ("R@10", "R@20", "mR@20")]
        body.append([MODELS.get(model, model), seeds, *metrics])
    head = ["", "seeds", *(f"{name}, {words}" for words in MODES.values() for name in ("R@10", "R@20", "mR@20"))]
    return table(head, body) + _note(data)


def again() -> str:
    """Some of them with three seeds, on one generator of their own."""
    data = results("stage2_additions")
    body = []
    for model in dict.fromkeys(
        row["setting"]["model"] for row in data["rows"] if row["setting"]["setting"] == "closed"
    ):
        found, given = (metrics_of(data, model, mode, "closed") for mode in MODES)
        metrics = [found.get(name) for name in ("PQ", "R@10", "R@20", "mR@20")] + [
            given.get(name) for name in ("R@10", "R@20", "mR@20")
        ]
        seeds = str((found.get("R@20") or {"n": 0})["n"])
        body.append([MODELS.get(model, model), seeds, *map(cell, metrics)])
    head = ["", "seeds", "PQ", *(f"{name}, {words}" for words in MODES.values() for name in ("R@10", "R@20", "mR@20"))]
    return table(head, body) + _note(data)


def again_open() -> str:
    """What won, and baselines that learn on found boxes, in the open settings."""
    data, body = results("stage2_additions"), []
    for setting in ("ovr", "ovdr"):
        models = dict.fromkeys(row["setting"]["model"] for row in data["rows"] if row["setting"]["setting"] == setting)
        for mode in MODES:
            for model in models:
                own = [metrics_of(data, model, mode, setting, names=part) for part in ("base", "novel", "all")]
                metrics = [part.get(name) for name in ("R@20", "mR@20") for part in own]
                needed = metrics_of(data, model, mode, setting, context="needed").get("R@20")
                body.append([setting, MODELS.get(model, model), MODES[mode], *map(cell, [*metrics, needed])])
    head = [
        "setting",
        "model",
        "of",
        *(f"{n}@20 {p}" for n in ("R", "mR") for p in ("base", "novel", "all")),
        "R@20, context needed",
    ]
    return table(head, body) + _note(data)


def generators() -> str:
    """The mask generators of the closed setting, trained at different times."""
    data, body = results("stage2_generators"), []
    for run in dict.fromkeys(row["setting"]["run"] for row in data["rows"]):
        own = {row["setting"]["encoder"]: row["metrics"] for row in data["rows"] if row["setting"]["run"] == run}
        metrics = [own.get(encoder, {}) for encoder in ("full", "raw encoder", "plain encoder")]
        body.append([run, *(cell(m.get(name)) for name in ("PQ", "R@10") for m in metrics)])
    names = ("calibrated UNet", "raw UNet", "convolutional encoder")
    head = ["trained", *(f"{name}, {encoder}" for name in ("PQ", "R@10, found segments") for encoder in names)]
    return (
        table(head, body)
        + f"\n\nClosed, percent, one generator each, mean ± sd over 3 seeds of the relation part. {data['about']}"
    )


def _present(data: dict[str, Any]) -> list[str]:
    """Which of the compared models were measured."""
    measured = {row["setting"]["model"] for row in data["rows"]}
    return [model for model in MODELS if model in measured]


def metrics_of(data: dict[str, Any], model: str, mode: str, setting: str, **part: str) -> dict[str, Any]:
    """A row's figures; none where it was not measured."""
    wanted = {"model": model, "mode": mode, "setting": setting} | ALL | part
    return next((row["metrics"] for row in data["rows"] if row["setting"] == wanted), {})


def _note(data: dict[str, Any], what: str = "Percent") -> str:
    seeds = len(data["seeds"])
    return f"\n\n{what}, mean ± sd over {seeds} seeds of the relation part; 300 held-out scenes ({origin(data)})."
