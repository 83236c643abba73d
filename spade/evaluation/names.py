"""Names of the figures that are given for each K, in the order in which they are shown; nothing heavy is imported here."""

RANKED = ("R", "mR", "ngR", "ng-mR", "zR", "ng-zR", "PR", "A")
