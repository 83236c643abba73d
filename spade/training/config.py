"""Schedules of training: every default."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Optimisation:
    """How to train: AdamW with linear warm-up and cosine decay to a twentieth."""

    epochs: int
    learning_rate: float
    seed: int = 0
    warmup_steps: int = 20
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    ema_decay: float | None = None  # of the weights; the average is what is watched and kept
    accumulate: int = 1  # batches per optimiser step
    watch_every: int = 1  # epochs between two looks at the watched images; the last epoch is always watched
