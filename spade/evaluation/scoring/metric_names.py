"""Names of the figures that are given for each K, in the order in which they are shown; nothing heavy is imported
here.
"""

from __future__ import annotations

RANKED = ("R", "mR", "ngR", "ng-mR", "zR", "ng-zR", "PR", "A")
