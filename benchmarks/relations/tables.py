"""Tables of stage 2: the full model and its baselines, its parts, calibrations, fusion, additions."""

from __future__ import annotations

from statistics import fmean
from typing import Any

from benchmarks.common.results import spread
from benchmarks.common.tables import cell, origin, results, table
from benchmarks.relations.parts import PARTS
from benchmarks.relations.table_rows import FUSIONS, MODELS, MODES, metrics_of, note, present

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
    "image adapter alone": ("image adapter alone", "", ""),
    "whole UNet": ("no LoRA: whole UNet", "18.8", "12.7"),
    "random noise": ("no inversion: random noise", "21.0", "15.9"),
    "noised latents": ("no inversion: noised latents", "", ""),
    "LoRA": ("LoRA on inverted latents", "26.7", "22.7"),
    "LoRA, index": ("LoRA, `index`", "", ""),
    "LoRA, matched": ("LoRA, `matched`", "", ""),
    "LoRA, counterfactual": ("LoRA, counterfactual hinge (SPADE++)", "", ""),
}


def closed() -> str:
    """All names, all annotated triplets."""
    data = results("stage2")
    columns = ["PQ", *(f"{name}@{k}" for name in ("R", "mR") for k in (5, 10, 20, 50))]
    body = [
        [MODELS[model], MODES[mode], *(cell(metrics_of(data, model, mode, "closed").get(name)) for name in columns)]
        for mode in MODES
        for model in present(data)
    ]
    return table(["model", "of", *columns], body) + note(data)


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
        for model in present(data)
    ]
    return table(["model", "of", *told], body) + note(data, "R@20, closed; percent")


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
        for model in present(data)[1:]:
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
    return table(head, body) + note(data, "Columns of R and mR at 5, 10 and 20")


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
    return table(head, body) + note(data)


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
    return table(head, body) + note(data)


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
    return table(head, body) + note(data)


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
    return table(head, body) + note(data)


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


def masks() -> str:
    """What finds more masks."""
    data = results("masks")
    names = ("pq", "pq_things", "things_named", "pairs_proposed", "pairs_with_masks", "pairs_named")
    kinds: dict[tuple[str, str, str], list[dict[str, float]]] = {}
    for row in data["rows"]:
        own = row["setting"]
        kinds.setdefault((own["training"], own["weights"], own["merging"]), []).append(row["metrics"])
    body = [
        [training, weights, str(len(rows)), *(cell(spread([row[name] for row in rows])) for name in names)]
        for (training, weights, merging), rows in kinds.items()
        if merging == "both"
    ]
    words = ("PQ", "of things", "things named", "pairs proposed", "pairs with masks", "pairs named")
    learned = data["of"].split(" ", 2)[2]  # after the fingerprints of backbone and adapter
    held = f"Percent, mean ± sd over seeds; mask confidence and suppression; {learned}, 300 other scenes"
    return table(["training", "weights", "seeds", *words], body) + f"\n\n{held} ({origin(data)})."


def merging() -> str:
    """What each way to merge proposals changes, over all trainings."""
    data = results("masks")
    names = {"pq": "PQ", "things_named": "things named", "pairs_with_masks": "pairs with masks"}
    names |= {"pairs_named": "pairs named"}
    found: dict[str, dict[tuple[Any, ...], dict[str, float]]] = {}
    for row in data["rows"]:
        own = row["setting"]
        found.setdefault(own["merging"], {})[own["training"], own["seed"], own["weights"]] = row["metrics"]
    plain, body = found.pop("as it was"), []
    for way, rows in found.items():
        changes = [[rows[key][name] - plain[key][name] for key in plain] for name in names]
        body.append([way, *(f"{min(one):+.1f} to {max(one):+.1f}, mean {fmean(one):+.1f}" for one in changes)])
    told = f"Points beside merging as it was, over the {len(plain)} sets of weights of the table above"
    return table(["merging", *names.values()], body) + f"\n\n{told} ({origin(data)})."
