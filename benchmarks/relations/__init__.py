"""Masks and relations on the embedded world: the full model, its baselines, its parts."""
