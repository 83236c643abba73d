"""The one training loop: every learned part of the project runs through ``fit``.

One resumable state (weights, optimiser, moving average, best so far, curves) lives in ONE safetensors file, written
whole or not at all. Randomness is seeded anew for each step from (seed, step), so a resumed run needs no generator
state and ends in the same bytes as an undisturbed one (CPU, same machine, same number of threads).
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, safe_open
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from spade.core.errors import SpadeError
from spade.core.files import canonical_hash, write_bytes
from spade.core.weights import to_bytes
from spade.training.config import Schedule

Batch = TypeVar("Batch")
Row = dict[str, float]
CHECKPOINT_SECONDS = 60.0


class _State:
    """Everything that a resumed run needs, in memory."""

    def __init__(self, parameters: Mapping[str, torch.nn.Parameter], options: Schedule) -> None:
        self.parameters = dict(parameters)
        decayed = [p for p in self.parameters.values() if p.ndim > 1]
        plain = [p for p in self.parameters.values() if p.ndim <= 1]
        groups = [{"params": decayed, "weight_decay": options.weight_decay}, {"params": plain, "weight_decay": 0.0}]
        nonempty = [g for g in groups if g["params"]]
        # Fused: with the many small tensors of these heads the plain loop is an eighth of a step.
        self.optimiser = torch.optim.AdamW(nonempty, lr=options.learning_rate, betas=(0.9, 0.99), fused=True)
        self.step = 0
        self.sums: Row = {}
        self.curves: list[Row] = []
        self.best = self.copy()
        self.average = self.copy() if options.ema_decay is not None else None

    def copy(self) -> dict[str, Tensor]:
        return {name: p.detach().clone() for name, p in self.parameters.items()}

    def assign(self, values: Mapping[str, Tensor]) -> None:
        with torch.no_grad():
            for name, p in self.parameters.items():
                p.copy_(values[name])

    def update_average(self, decay: float) -> None:
        if self.average is not None:
            warm = min(decay, (1 + self.step) / (10 + self.step))
            get_ema_multi_avg_fn(warm)(
                list(self.average.values()), [self.parameters[name] for name in self.average], self.step
            )

    def save(self, path: Path, signature: str) -> None:
        tensors: dict[str, Tensor] = {}
        for name, p in self.parameters.items():
            tensors[f"weight.{name}"], tensors[f"best.{name}"] = p.detach(), self.best[name]
            if self.average is not None:
                tensors[f"average.{name}"] = self.average[name]
            for key, value in self.optimiser.state.get(p, {}).items():
                tensors[f"{key}.{name}"] = value
        facts = {"signature": signature, "step": self.step, "sums": self.sums, "curves": self.curves}
        write_bytes(path, to_bytes(tensors, {"training": json.dumps(facts)}))

    def load(self, path: Path, signature: str) -> bool:
        """Take up the state in ``path``; False where it belongs to another training or is damaged."""
        try:
            with safe_open(path, "pt") as file:
                facts = json.loads((file.metadata() or {})["training"])
            tensors = load_file(path)
        except (OSError, ValueError, KeyError, SafetensorError):
            return False
        if facts["signature"] != signature:
            return False
        self.step, self.sums, self.curves = facts["step"], facts["sums"], facts["curves"]
        self.assign({name: tensors[f"weight.{name}"] for name in self.parameters})
        for name, p in self.parameters.items():
            self.best[name] = tensors[f"best.{name}"].to(p.device)
            if self.average is not None:
                self.average[name] = tensors[f"average.{name}"].to(p.device)
            moved = {
                key: tensors[f"{key}.{name}"] for key in ("step", "exp_avg", "exp_avg_sq") if f"{key}.{name}" in tensors
            }
            if moved:
                self.optimiser.state[p] = {k: v.to(p.device) for k, v in moved.items()}
        return True


def fit(
    parameters: Mapping[str, torch.nn.Parameter],
    options: Schedule,
    batches: Callable[[int], Sequence[Batch]],
    losses: Callable[[Batch], Mapping[str, Tensor]],
    validate: Callable[[], Row],
    better: str,
    state_file: Path | None,
    signature: Any,
    progress: Callable[[Iterable[int], int, int], Iterable[int]],
    say: Callable[[str], None] = print,
    random_start: bool = False,
) -> list[Row]:
    """Train ``parameters`` in place, ending with the best validated weights (``kept``); returns the curves, one row an
    epoch.

    Row 0 is the start, before any step: where no epoch betters it, it is what stays, unless it is random or has not
    learned all names.

    batches(epoch): the epoch's batches, the same number each epoch and the same for the same epoch.
    losses(batch): weighted terms; their sum is minimised, each is averaged into the curves.
    validate(): metrics of the validation images under the weights as they are; ``better`` names the one to maximise.
    state_file: where the resumable state lives; signature: what must agree for a state to be taken up.
    progress(steps, done, total): wraps the remaining step numbers in a progress bar; say(line): tells a person.

    Raises SpadeError when the loss is no longer finite.
    """
    state = _State(parameters, options)
    mark = canonical_hash({"signature": signature, "options": vars(options), "names": sorted(parameters)})
    validated = partial(_validate, state, validate, lambda curves: kept(curves, better, random_start))
    if state_file is not None and state_file.exists() and not state.load(state_file, mark):
        say(f"{state_file}: this training state is damaged or of another training; beginning anew")
    if not state.curves:
        validated(0, {})
    per_epoch = len(batches(0)) // options.accumulate
    if per_epoch < 1:
        raise SpadeError("There are fewer batches than are accumulated for one step; add images or lower `batch_size`.")
    total = per_epoch * options.epochs
    saved_at = time.monotonic()
    plan: tuple[int, Sequence[Batch]] = (-1, ())
    for _ in progress(range(state.step, total), state.step, total):
        epoch, position = divmod(state.step, per_epoch)
        if plan[0] != epoch:
            plan = (epoch, batches(epoch))
        _optimise(state, options, plan[1][position * options.accumulate :][: options.accumulate], losses, total)
        if position + 1 == per_epoch:
            _end_epoch(state, options, epoch, per_epoch, validated)
        if state_file is not None and (position + 1 == per_epoch or time.monotonic() - saved_at > CHECKPOINT_SECONDS):
            state.save(state_file, mark)
            saved_at = time.monotonic()
    state.assign(state.best)
    return state.curves


@contextmanager
def _repeatable(device: torch.device) -> Iterator[None]:
    """On the CPU, gradients are summed in one order: torch's threads add rows that are gathered more than once in
    any.
    """
    before = torch.get_deterministic_debug_mode()
    if device.type == "cpu":
        torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.set_deterministic_debug_mode(before)


def _optimise(
    state: _State,
    options: Schedule,
    micro: Sequence[Batch],
    losses: Callable[[Batch], Mapping[str, Tensor]],
    total: int,
) -> None:
    torch.manual_seed(np.random.SeedSequence([options.seed, state.step]).generate_state(1)[0].item())
    for group in state.optimiser.param_groups:
        group["lr"] = options.learning_rate * rate_factor(state.step, total, options)
    for batch in micro:
        terms = losses(batch)
        loss = torch.stack([term.float() for term in terms.values()]).sum()
        if not torch.isfinite(loss):
            raise SpadeError(
                f"The loss is {loss.item()} at step {state.step}; lower `learning_rate` or use `dtype=float32`."
            )
        with _repeatable(loss.device):
            (loss / len(micro)).backward()
        for name, term in terms.items():
            state.sums[name] = state.sums.get(name, 0.0) + term.item() / len(micro)
    torch.nn.utils.clip_grad_norm_(state.parameters.values(), options.clip_norm)
    state.optimiser.step()
    state.optimiser.zero_grad(set_to_none=True)
    state.step += 1
    if options.ema_decay is not None:
        state.update_average(options.ema_decay)


def _end_epoch(
    state: _State, options: Schedule, epoch: int, per_epoch: int, validated: Callable[[int, Row], None]
) -> None:
    row: Row = {name: value / per_epoch for name, value in state.sums.items()}
    state.sums = {}
    if (epoch + 1) % options.validate_every == 0 or epoch + 1 == options.epochs:
        validated(epoch + 1, row)
    else:
        state.curves.append({"epoch": epoch + 1} | row)


def kept(curves: Sequence[Row], better: str, random_start: bool) -> Row:
    """The row whose weights are kept: the first of the best; of a random start the last of them, and never row 0 if
    there is another.

    On a set so small that no epoch finds anything, the one that was trained longest is still better than chance.
    """
    rows = [row for row in curves if not math.isnan(row.get(better, math.nan))] or [curves[0]]
    if not random_start:
        return max(rows, key=lambda row: row[better])
    trained = [row for row in rows if row["epoch"]]
    return max(trained or rows, key=lambda row: (row[better], row["epoch"]))


def _validate(
    state: _State, validate: Callable[[], Row], best: Callable[[Sequence[Row]], Row], epoch: int, losses: Row
) -> None:
    """Measure the validation images, with the averaged weights where there are any, and keep the weights if they are
    the best.
    """
    raw = None
    if state.average is not None:
        raw = state.copy()
        state.assign(state.average)
    with torch.no_grad():
        metrics = validate()
    state.curves.append({"epoch": epoch} | losses | metrics)
    if best(state.curves) is state.curves[-1]:
        state.best = state.copy()
    if raw is not None:
        state.assign(raw)


def rate_factor(step: int, total: int, options: Schedule) -> float:
    """Learning rate factor: linear warm-up, then a cosine to 0.05, or a drop to 0.1 after three quarters of the
    steps.
    """
    warmup = min(options.warmup_steps, max(1, total // 5))
    if step < warmup:
        return (step + 1) / warmup
    if options.decay == "step":
        return 1.0 if step < 0.75 * total else 0.1
    done = (step - warmup) / max(1, total - warmup)
    return 0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * done))
