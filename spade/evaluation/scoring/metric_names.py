"""Names of the figures that are given for each K, in the order in which they are shown; nothing heavy is imported
here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

RANKED = ("R", "mR", "ngR", "ng-mR", "zR", "ng-zR", "PR", "A")

# Steps of the account of a recall, in words (spade.evaluation.scoring.account).
ACCOUNT = {
    "proposals": "both ends were proposed",
    "masks": "both have a mask",
    "names": "both are named right",
    "pairs": "a row is on the pair",
    "predicates": "and has the predicate (R)",
}


def open_vocabulary_name(row: Mapping[str, Any]) -> str:
    """A row of the open-vocabulary table in words."""
    part = "harmonic mean" if row["part"] == "harmonic" else row["part"]
    return "all triplets" if row["by"] is None else f"{part}, by {row['by']}"


def trained_on_novel(open_vocabulary: Mapping[str, Any] | None) -> str | None:
    """A sentence where a model has seen names in training that the split calls novel."""
    if open_vocabulary is None or not open_vocabulary["trained_on_novel"]:
        return None
    seen = open_vocabulary["trained_on_novel"]
    more = f" and {len(seen) - 1} more" if seen[1:] else ""
    return (
        f"this model was trained on {len(seen)} of the names that {open_vocabulary['split']['name']} calls novel "
        f"({seen[0]}{more}): what stands under novel is not open-vocabulary"
    )


def judged_by(result: Mapping[str, Any]) -> str:
    """Protocol and mode in words."""
    return (
        f"{result['protocol']}{' on boxes' if result['boxes'] and result['protocol'] != 'vg' else ''}, {result['mode']}"
    )


def _words(boxes: bool) -> dict[str, str]:
    return ACCOUNT | ({"masks": "both have a box"} if boxes else {})


def account_rows(
    account: Mapping[str, Any], at: Sequence[Any], boxes: bool = False
) -> Iterator[tuple[str, str, list[float | None]]]:
    """The steps of an account that it knows: name, words, and the share at each K."""
    for name, words in _words(boxes).items():
        values = [account.get(f"{name}@{k}", account.get(name)) for k in at]
        if any(value is not None for value in values):
            yield name, words, values


def compared_accounts(systems: Sequence[Mapping[str, Any]], boxes: bool) -> tuple[str, list[list[Any]]]:
    """The middle K of systems' summaries, and a row a step: words, and the share of each system at that K."""
    at = [name.partition("@")[2] for name in systems[0] if name.startswith("R@")]
    middle = at[len(at) // 2]
    accounts = [{n: v for n, _, (v,) in account_rows(s["account"], [middle], boxes)} for s in systems]
    rows = [[words, *(own.get(name) for own in accounts)] for name, words in _words(boxes).items()]
    return middle, [row for row in rows if any(value is not None for value in row[1:])]
