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


def account_rows(account: Mapping[str, Any], at: Sequence[Any]) -> Iterator[tuple[str, str, list[float | None]]]:
    """The steps of an account that it knows: name, words, and the share at each K."""
    for name, words in ACCOUNT.items():
        values = [account.get(f"{name}@{k}", account.get(name)) for k in at]
        if any(value is not None for value in values):
            yield name, words, values
