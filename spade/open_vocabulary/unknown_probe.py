"""Whether a region is of a name that training did not have: a probe that learns it from regions nobody named."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, relu

HIDDEN, STEPS, RATE, DECAY = 32, 300, 1e-2, 1.0
FEWEST = 20  # regions without a name, below which nothing is learned
FACTS = 6


class UnknownProbe(nn.Module):
    """Log odds (M,) that regions are unknown, from the proposer's logits for the names that training had, its queries,
    and OpenCLIP's views. Until ``fit`` has seen enough regions without a name it knows nothing: ``is_fitted``.
    """

    def __init__(self, width: int, clip_dim: int) -> None:
        super().__init__()
        size = FACTS + width + clip_dim
        self.mean: Tensor
        self.scale: Tensor
        self.fitted: Tensor
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("scale", torch.ones(size))
        self.register_buffer("fitted", torch.zeros(()))
        self.inner, self.outer = nn.Linear(size, HIDDEN), nn.Linear(HIDDEN, 1)

    @property
    def is_fitted(self) -> bool:
        """Whether it has learned anything."""
        return bool(self.fitted)

    def forward(self, logits: Tensor, queries: Tensor, views: Tensor) -> Tensor:
        """Logits (M, C + 1) of C names in any order, the last of "no object"; queries (M, D); views (M, D_clip)."""
        return self._of(self._facts(logits, queries, views))

    def forget(self) -> None:
        """As if nothing had ever been learned; the start of ``fit``, always the same."""
        self.mean.zero_()
        self.scale.fill_(1)
        self.fitted.zero_()
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(0)
            for layer in (self.inner, self.outer):
                fresh = nn.Linear(layer.in_features, layer.out_features)
                layer.weight.copy_(fresh.weight)
                layer.bias.copy_(fresh.bias)

    def fit(self, logits: Tensor, queries: Tensor, views: Tensor, unknown: Tensor) -> bool:
        """Learn from regions of which ``unknown`` (M,) bool have no name, and from nothing else; returns whether there
        were enough.
        """
        self.forget()
        if int(unknown.sum()) < FEWEST or bool(unknown.all()):
            return False
        facts = self._facts(logits, queries, views)
        self.mean, self.scale = facts.mean(0), facts.std(0) + 1e-6
        optimiser = torch.optim.AdamW(self.parameters(), lr=RATE, weight_decay=DECAY)
        with torch.enable_grad():
            for _ in range(STEPS):
                optimiser.zero_grad()
                binary_cross_entropy_with_logits(self._of(facts), unknown.to(facts.dtype)).backward()
                optimiser.step()
        self.fitted.fill_(1)
        return True

    def _of(self, facts: Tensor) -> Tensor:
        return self.outer(relu(self.inner((facts - self.mean) / self.scale)))[:, 0]

    @staticmethod
    def _facts(logits: Tensor, queries: Tensor, views: Tensor) -> Tensor:
        """(M, FACTS + D + D_clip): how sure the proposer is of a name, whichever it is; query and view as they are."""
        names, nothing = logits[:, :-1].float(), logits[:, -1:].float()
        likely = names.softmax(-1)
        best = names.topk(2, dim=-1).values if names.shape[1] > 1 else names.expand(-1, 2)
        any_name = names.logsumexp(-1, keepdim=True)
        order = -(likely * names.log_softmax(-1)).sum(-1, keepdim=True)
        return torch.cat([best, any_name, nothing, any_name - nothing, order, queries.float(), views.float()], dim=1)
