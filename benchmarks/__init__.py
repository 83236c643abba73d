"""What was measured of spade, and the tables of the documents; run one with ``python -m benchmarks.X.Y``."""
