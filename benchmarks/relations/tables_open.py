"""Tables of stage 2 in the settings where some names are kept from training."""

from __future__ import annotations

from typing import Any

from benchmarks.common.tables import cell, origin, results, table
from benchmarks.relations.table_rows import FUSIONS, MODELS, MODES, metrics_of, note, present


def open_names() -> str:
    """Names that training did not show."""
    data = results("stage2")
    body = []
    for setting in ("ovr", "ovdr"):
        for mode in MODES:
            for model in present(data):
                whole = metrics_of(data, model, mode, setting)
                quality = [
                    cell(whole.get(name)) for name in (("PQ base", "PQ novel") if setting == "ovdr" else ("PQ", "none"))
                ]
                parts = [metrics_of(data, model, mode, setting, names=part) for part in ("base", "novel", "all")]
                metrics = []
                for name in ("R@20", "mR@20"):
                    base, novel, every = (part.get(name) for part in parts)
                    metrics += [cell(base), cell(novel), cell(harmonic(base, novel)), cell(every)]
                body.append([setting, MODELS[model], MODES[mode], *quality, *metrics])
    head = [
        "setting",
        "model",
        "of",
        "PQ base",
        "PQ novel",
        *(f"{n}@20 {p}" for n in ("R", "mR") for p in ("base", "novel", "harmonic", "all")),
    ]
    return table(head, body) + note(data)


def harmonic(base: Any, novel: Any) -> float | None:
    """The harmonic mean of two figures' means: what only one side has counts little."""
    values = [value["mean"] if isinstance(value, dict) else value for value in (base, novel)]
    if None in values:
        return None
    return 2 * values[0] * values[1] / sum(values) if sum(values) else 0.0


def open_recalls() -> str:
    """Recall at each K, by base and novel names."""
    return _open_at("R")


def open_mean_recalls() -> str:
    """Mean recall at each K, by base and novel names."""
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
        for model in present(data)
    ]
    return table(["setting", "model", "of", *(f"{metric}@{k} {part}" for k, part in columns)], body) + note(data)


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
    return table(head, body) + note(data, "R@20, percent")


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
    return table([*head, "PQ base", "PQ novel"], body) + note(data, "R@20, percent")


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


def again_open() -> str:
    """What won, and baselines that learn on found boxes, in the open settings."""
    data, body = results("stage2_additions"), []
    for setting in ("ovr", "ovdr"):
        models = dict.fromkeys(row["setting"]["model"] for row in data["rows"] if row["setting"]["setting"] == setting)
        for mode in MODES:
            for model in models:
                own = [metrics_of(data, model, mode, setting, names=part) for part in ("base", "novel", "all")]
                metrics = []
                for name in ("R@20", "mR@20"):
                    base, novel, every = (part.get(name) for part in own)
                    metrics += [base, novel, harmonic(base, novel), every]
                needed = metrics_of(data, model, mode, setting, context="needed").get("R@20")
                body.append([setting, MODELS.get(model, model), MODES[mode], *map(cell, [*metrics, needed])])
    head = [
        "setting",
        "model",
        "of",
        *(f"{n}@20 {p}" for n in ("R", "mR") for p in ("base", "novel", "harmonic", "all")),
        "R@20, context needed",
    ]
    return table(head, body) + note(data)
