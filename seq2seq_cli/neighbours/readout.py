"""A readout whose probabilities are mixed with those of a memory's nearest neighbours."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from seq2seq_cli.model.forced import STEPS
from seq2seq_cli.model.maps import Pass
from seq2seq_cli.model.products import precise
from seq2seq_cli.model.readout import Numbers, Readout
from seq2seq_cli.model.types import Steps
from seq2seq_cli.neighbours.search import Search
from seq2seq_cli.neighbours.weighing import Weighing


class Neighbours(NamedTuple):
    """The neighbours of N queries, nearest first: their ``entries_NK`` in the memory, their squared ``distances_NK``, their
    ``values_NK``, the pieces that came next, and their ``weights_NK``, what each adds to the probability of its value."""

    entries_NK: Tensor
    distances_NK: Tensor
    values_NK: Tensor
    weights_NK: Tensor


@dataclass(frozen=True)
class Recall:
    """A memory as a search remembers it: how neighbours are found, the ``values_M`` of all entries, and how neighbours are
    weighed."""

    search: Search
    values_M: Tensor
    weighing: Weighing

    @torch.no_grad()
    def neighbours(self, rows_NR: Tensor) -> Neighbours:
        """The neighbours of queries, weighed. In float32, whatever the model computes in."""
        with torch.autocast(rows_NR.device.type, enabled=False):
            found = self.search.nearest(precise(rows_NR), self.weighing.neighbours)
            values_NK = self.values_M[found.entries_NK].long()
            return Neighbours(*found, values_NK, self.weighing(found.distances_NK, values_NK))


class Recalled(NamedTuple):
    """What N steps recall: log-probabilities of the mixture over the vocabulary, and the neighbours that are in it."""

    log_prob_NV: Tensor
    found: Neighbours


class RecallingReadout(Readout):
    """p(y) = sum of the weights of the neighbours with the value y + (1 - sum of all weights) p_inner(y) (Khandelwal et al.
    2021). Where no neighbour ever counts, what ``inner`` says, bit for bit."""

    def __init__(self, inner: Readout, recall: Recall) -> None:
        super().__init__()
        self.inner = inner
        self.looks = inner.looks
        self.recall = recall

    def rows(self, features_NF: Tensor, run: Pass) -> Tensor:
        return self.inner.rows(features_NF, run)

    def logits(self, steps: Steps, run: Pass) -> Tensor:
        logits_NV = self.inner.logits(steps, run)
        return logits_NV if self.recall.weighing.silent else self._mixed(logits_NV, steps, run)

    def among(self, tokens_C: Tensor, run: Pass) -> Callable[[Steps], Tensor]:
        inner = self.inner.among(tokens_C, run)
        if self.recall.weighing.silent:
            return inner
        # A neighbour whose value is none of the few counts for what stands for all others.
        numbers = Numbers(tokens_C)
        return lambda steps: self._mixed(inner(steps), steps, run, numbers)

    def recalled(self, steps: Steps, run: Pass) -> Iterator[Recalled]:
        """What N steps recall, a few at a time: as many as have their logits made together where no gradient is wanted."""
        for some in steps.split(STEPS):
            found = self.recall.neighbours(self.rows(some.features_NF, run))
            logits_NV = precise(self.inner.logits(some, run))
            yield Recalled(mixed(logits_NV, found.values_NK, found.weights_NK), found)

    def target_log_probs(self, steps: Steps, target_N: Tensor, run: Pass) -> Tensor:
        if self.recall.weighing.silent:
            return self.inner.target_log_probs(steps, target_N, run)
        parts = zip(self.recalled(steps, run), target_N.split(STEPS), strict=True)
        return torch.cat([one.log_prob_NV.gather(1, says_N[:, None]).squeeze(1) for one, says_N in parts])

    def _mixed(self, logits_NV: Tensor, steps: Steps, run: Pass, numbers: Numbers | None = None) -> Tensor:
        rows_NR = self.rows(steps.features_NF, run)
        found = self.recall.neighbours(rows_NR.flatten(0, -2))
        values_NK = found.values_NK if numbers is None else numbers(found.values_NK)
        flat_NV = precise(logits_NV).flatten(0, -2)
        return mixed(flat_NV, values_NK, found.weights_NK).view(logits_NV.shape)


def mixed(logits_NV: Tensor, values_NK: Tensor, weights_NK: Tensor) -> Tensor:
    """Log-probabilities of the mixture: the weight of each value, and what is missing to one times softmax(logits)."""
    # Never nothing: a search that has reached its greatest length goes on with a piece that no neighbour may have.
    rest_N1 = (1 - weights_NK.sum(1, keepdim=True)).clamp_(min=torch.finfo(torch.float32).tiny)
    log_prob_NV = logits_NV - logits_NV.logsumexp(1, keepdim=True) + rest_N1.log()
    # Of several neighbours with one value, each says what all of them say together.
    same_NKK = values_NK[:, :, None] == values_NK[:, None, :]
    together_NK = (same_NKK * weights_NK[:, None, :]).sum(2)
    touched_NK = torch.logaddexp(log_prob_NV.gather(1, values_NK), together_NK.log())
    return log_prob_NV.scatter_(1, values_NK, touched_NK)
