"""Names of the figures that are given for each K, in the order in which they are shown; nothing heavy is imported
here.
"""

from __future__ import annotations

RANKED = ("R", "mR", "ngR", "ng-mR", "zR", "ng-zR", "PR", "A")

# Steps of the account of a recall, in words (spade.evaluation.scoring.account).
ACCOUNT = {
    "proposals": "both ends were proposed",
    "masks": "both have a mask",
    "names": "both are named right",
    "pairs": "a row is on the pair",
    "predicates": "and has the predicate (R)",
}
