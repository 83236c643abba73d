"""Tables of names that the packaged ``tiny-open`` never saw, and of what features are worth by the number of scenes."""

from __future__ import annotations

from typing import Any

from benchmarks.common.results import spread
from benchmarks.common.tables import cell, origin, results, table

GATES = {
    "probe": "a probe learned on void regions",
    "doubt": "doubt alone",
    "told which are novel": "told which regions are novel",
}
PACKAGED = "tiny-open, as packaged"
SIDES = ("base", "novel")


def objects() -> str:
    """Regions with a proposal that are named right, by protocol and gate."""
    data = results("open")
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in data["rows"]:
        own = row["setting"]
        if own["names"] == "objects":
            training = own.get("training", f"{PACKAGED}, scenes {own['scenes']}" if "scenes" in own else PACKAGED)
            found.setdefault((training, own["gate"]), []).append(row["metrics"])
    names = ("base", "novel", "novel_things", "novel_stuff", "harmonic", "area")
    counts = ("base_regions", "novel_regions")
    body = [
        [
            *(training, GATES[gate], *(cell(spread([row.get(name) for row in rows])) for name in names)),
            " and ".join(cell(spread([row[name] for row in rows]), 0) for name in counts),
        ]
        for (training, gate), rows in found.items()
    ]
    head = ["training", "gate", "base", "novel", "novel things", "novel stuff", "harmonic mean"]
    head += ["area under base over novel", "regions, base and novel"]
    told = "Percent of those annotated regions that have a proposal, mean ± sd over seeds of the short trainings"
    return table(head, body) + f"\n\n{told} ({origin(data)})."


def odds() -> str:
    """What base names pay for novel ones."""
    data, body = results("open"), []
    gates = curves(data)
    for points in zip(*gates.values(), strict=True):
        body.append([_odds(points[0]["odds"]), *(cell(p[name]) for p in points for name in SIDES)])
    head = ["odds", *(f"{GATES[gate]}, {name}" for gate in gates for name in SIDES)]
    return table(head, body) + f"\n\nPercent; {PACKAGED} ({origin(data)})."


def _odds(given: float) -> str:
    return f"{given:g}" if given else "by text alone"


def curves(data: dict[str, Any]) -> dict[str, list[dict[str, float]]]:
    """Points of each gate of the packaged model, over the odds of novel names."""
    return {
        row["setting"]["gate"]: row["metrics"]["curve"]
        for row in data["rows"]
        if set(row["setting"]) == {"names", "gate"} and "curve" in row["metrics"]
    }


def predicates() -> str:
    """Predicates of given segments, right among all, of ours and of what does not look."""
    data = results("open")
    body = [
        [row["setting"]["scored"], *(cell(row["metrics"][name]) for name in ("base", "novel", "harmonic", "area"))]
        for row in data["rows"]
        if row["setting"]["names"] == "predicates"
    ]
    head = ["predicates", "base", "novel", "harmonic mean", "area under base over novel"]
    return table(head, body) + f"\n\nPercent of annotated relations between given segments ({origin(data)})."


def predicate_odds() -> str:
    """What base predicates pay for novel ones."""
    data = results("open")
    (curve,) = (row["metrics"]["curve"] for row in data["rows"] if row["setting"].get("scored") == "by tiny-open")
    body = [[_odds(point["odds"]), *(cell(point[name]) for name in SIDES)] for point in curve]
    return table(["odds", *SIDES], body) + f"\n\nPercent; {PACKAGED} ({origin(data)})."


def evidence() -> str:
    """Novel predicates of given segments, by kind of evidence."""
    data = results("open")
    found: dict[str, dict[str, Any]] = {}
    for row in data["rows"]:
        if row["setting"]["names"] == "novel predicates":
            found.setdefault(row["setting"]["evidence"], {})[row["setting"]["scenes"]] = row["metrics"]
    scenes = ("of the choice", "held out", "read once")
    body = [[name, *(cell(own[of]["novel"]) for of in scenes)] for name, own in found.items()]
    last = next(iter(found.values()))
    body.append(["chance", *(cell(100 / last[of]["of"]) for of in scenes)])
    asked = ", ".join(str(last[of]["relations"]) for of in scenes)
    note = f"Percent right among the {last[scenes[1]]['of']} novel ones, of {asked} relations that have one"
    return table(["evidence", *(f"scenes {of}" for of in scenes)], body) + f"\n\n{note} ({origin(data)})."


def doubt() -> str:
    """What ``spade.models.naming.DOUBT`` was chosen by."""
    data = results("doubt")
    body = [
        [
            *(row["setting"]["model"], *(f"{row['setting'][name]:g}" for name in ("times", "power"))),
            *(cell(value) for value in row["metrics"].values()),
        ]
        for row in data["rows"]
    ]
    head = ["model", "times", "power", "base", "novel", "harmonic mean"]
    seeds = max(row["metrics"]["base"]["n"] for row in data["rows"])
    return table(head, body) + f"\n\nPercent, mean ± sd over {seeds} seeds of the short trainings ({origin(data)})."


def segments() -> str:
    """What the whole model makes of base and novel things: found, and named."""
    data = results("novel_segments")
    body = [
        [row["setting"]["names"], *(str(row["metrics"][name]) for name in ("segments", "found", "named"))]
        for row in data["rows"]
    ]
    scenes = data["rows"][0]["setting"]["scenes"]
    return table(["names", "segments", "found", "and named right"], body) + f"\n\n{scenes} scenes ({origin(data)})."


def by_scenes() -> str:
    """Recall of relations on given segments, by features and number of scenes."""
    data = results("by_scenes")
    found: dict[str, dict[int, dict[str, Any]]] = {}
    for row in data["rows"]:
        found.setdefault(row["setting"]["features"], {})[row["setting"]["scenes"]] = row["metrics"]
    counts = sorted({count for own in found.values() for count in own})
    names = ("R@20", "mR@20")
    body = [
        [features, *(cell(own.get(count, {}).get(name)) for name in names for count in counts)]
        for features, own in found.items()
    ]
    head = ["features", *(f"{name}, {count} scenes" for name in names for count in counts)]
    seeds = f"Percent, mean ± sd over {len(data['seeds'])} seeds; given segments of 300 held-out scenes"
    return table(head, body) + f"\n\n{seeds} ({origin(data)})."


def probe() -> str:
    """What the probe's number of images, its decay and the evidence beside it were chosen by."""
    data, body = results("probe"), []
    for row in data["rows"]:
        own = row["setting"]
        beside = "evidence beside it" if own["evidence"] else "alone"
        alone = own["images"] == max(one["setting"]["images"] for one in data["rows"])  # all draws are these
        figures = [cell(row["metrics"][name] | ({"n": 1} if alone else {})) for name in ("base", "novel", "harmonic")]
        body.append([str(own["images"]), f"{own['decay']:g}", beside, *figures])
    note = f"Percent, mean ± sd over {len(data['seeds'])} draws of images, of which the last number has one"
    return (
        table(["images", "decay", "the probe", "base", "novel", "harmonic mean"], body)
        + f"\n\n{note} ({origin(data)})."
    )
