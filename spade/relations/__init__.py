"""Stage 2: which pairs of segments are related, and how."""
