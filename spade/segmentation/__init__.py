"""Masks: proposals from features, and one panoptic map from proposals."""
