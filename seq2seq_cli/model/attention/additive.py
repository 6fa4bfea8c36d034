"""The energies of the additive score, computed without a tanh and with a hand-written backward pass.

With r = 1/(1 + e^(2q) e^(2k)), tanh(q + k) is 1 - 2r and its derivative 4r(1 - r). The exponentials are taken once, of
queries and keys by themselves; each pair of a query and a key then costs a product, a sum and a reciprocal. On a CPU
that is a tenth of the time of a tanh. There is one such pair for each target step, source position and hidden unit, as
many numbers as there are logits: training of "bahdanau" is 15% faster by it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from seq2seq_cli.model import products
from seq2seq_cli.model.carry import Rows, rows_of
from seq2seq_cli.model.maps import link
from seq2seq_cli.model.products import mixtures, pick

LIMIT = 40.0
"""Queries and keys are clamped to at most this, so that their exponentials are finite in float32. (From 9 on, a tanh is
1 to seven digits.)"""


@dataclass
class AdditiveLedger:
    """Gathers, step by step, the gradients of the keys k and of v in v^T tanh(q + k). The gradient of k is
    ``slope_sum_BSA`` times 4v."""

    keys_BSA: Tensor
    vector_A: Tensor
    slope_sum_BSA: Tensor | None = None
    vector_gradient_A: Tensor | None = None

    def add(self, part: slice, gradient_BTS: Tensor, r_BTSA: Tensor) -> Tensor:
        """Add what some sentences (``part``) contribute, from the gradient of their energies; returns the gradient of
        their queries. ``r_BTSA`` is overwritten."""
        if self.slope_sum_BSA is None or self.vector_gradient_A is None:
            self.slope_sum_BSA, self.vector_gradient_A = map(torch.zeros_like, (self.keys_BSA, self.vector_A))
        self.vector_gradient_A += gradient_BTS.sum() - 2 * (gradient_BTS.flatten() @ r_BTSA.flatten(0, 2))
        slope_BTSA = r_BTSA.addcmul_(r_BTSA, r_BTSA, value=-1)
        for gradient_BS, slope_BSA in zip(gradient_BTS.unbind(1), slope_BTSA.unbind(1), strict=True):
            self.slope_sum_BSA[part].addcmul_(gradient_BS[..., None], slope_BSA)
        return (gradient_BTS[:, :, None] @ slope_BTSA).squeeze(2) * (4 * self.vector_A)

    def gradients(self) -> tuple[Tensor | None, ...]:
        slope_sum_BSA, vector_gradient_A = self.slope_sum_BSA, self.vector_gradient_A
        self.slope_sum_BSA = self.vector_gradient_A = None
        return None if slope_sum_BSA is None else slope_sum_BSA.mul_(4 * self.vector_A), vector_gradient_A


class AdditiveKeys:
    """The projected keys k of a batch, for v^T tanh(q + k) at each step. ``grown_BSA``: e^(2k), if it is computed
    already."""

    def __init__(self, keys_BSA: Tensor, vector_A: Tensor, grown_BSA: Tensor | None = None) -> None:
        self.picked: Callable[[], Tensor] = lambda: keys_BSA
        self.vector_A = vector_A
        self.grown_BSA = _grow(keys_BSA.detach()) if grown_BSA is None else grown_BSA
        self.ledger = AdditiveLedger(keys_BSA.detach(), vector_A.detach())
        self.link = link(self.ledger, keys_BSA, vector_A)

    @property
    def plain(self) -> Tensor:
        """The keys themselves."""
        keys_BSA = self.picked()
        self.picked = lambda: keys_BSA  # once is enough
        return keys_BSA

    def energies(self, queries_RTA: Tensor) -> Tensor:
        """v^T tanh(q + k), R x T x S. R is B or a multiple of it: then consecutive rows share the keys of one
        sentence."""
        by_keys_BTA = queries_RTA.reshape(self.grown_BSA.shape[0], -1, queries_RTA.shape[-1])
        energies: Tensor = _Energies.apply(by_keys_BTA, self.link, self)  # type: ignore[no-untyped-call]
        return energies.view(*queries_RTA.shape[:-1], self.grown_BSA.shape[1])

    def select(self, rows: Rows) -> AdditiveKeys:
        """The keys of the sentences ``rows``."""
        grown_BSA = rows_of(self.grown_BSA, rows)
        if torch.is_grad_enabled():
            return AdditiveKeys(rows_of(self.plain, rows), self.vector_A, grown_BSA)
        # In a search sentences end at nearly every step, and few mechanisms ask for the keys themselves.
        selected, picked = copy.copy(self), self.picked
        selected.grown_BSA, selected.picked = grown_BSA, lambda: rows_of(picked(), rows)
        return selected

    def pick(self, positions_RP: Tensor) -> AdditiveKeys:
        """The keys of the given positions of each sentence alone (R as in ``energies``)."""
        grown_RPA = pick(self.grown_BSA, positions_RP)
        return AdditiveKeys(pick(self.plain, positions_RP), self.vector_A, grown_RPA)

    def mixed(self, weights_RTGS: Tensor) -> AdditiveKeys:
        """G mixtures of the keys for each query; each query becomes a row of its own: R T rows."""
        return AdditiveKeys(mixtures(weights_RTGS, self.plain), self.vector_A)


def _grow(x: Tensor) -> Tensor:
    return x.clamp(-LIMIT, LIMIT).mul_(2).exp_()


def _reciprocals(queries_BTA: Tensor, grown_BSA: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """r for each query and key, B x T x S x A, yielded for a few sentences at a time."""
    one, grown_queries_BTA = queries_BTA.new_ones(()), _grow(queries_BTA)
    whole, of_one = len(queries_BTA), queries_BTA.shape[1] * grown_BSA.shape[1:].numel()
    span = max(1, products.CHOSEN.energies // max(1, of_one)) if queries_BTA.device.type == "cpu" else whole
    for first in range(0, whole, span):
        part = slice(first, first + span)
        yield part, torch.addcmul(one, grown_queries_BTA[part, :, None], grown_BSA[part, None]).reciprocal_()


class _Energies(torch.autograd.Function):
    @staticmethod
    def forward(ctx, queries_BTA, link, keys):  # type: ignore[no-untyped-def]
        ctx.ledger = keys.ledger
        ctx.save_for_backward(queries_BTA, keys.grown_BSA)
        vector_A = keys.ledger.vector_A
        sums_BTS = queries_BTA.new_empty(*queries_BTA.shape[:2], keys.grown_BSA.shape[1])
        for part, r_BTSA in _reciprocals(queries_BTA, keys.grown_BSA):
            sums_BTS[part] = r_BTSA @ vector_A
        return vector_A.sum() - 2 * sums_BTS

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient_BTS):  # type: ignore[no-untyped-def]
        # Computed again: keeping the reciprocals of all steps is no faster, and takes up to 400 MiB.
        by_queries_BTA = torch.empty_like(ctx.saved_tensors[0])
        for part, r_BTSA in _reciprocals(*ctx.saved_tensors):
            by_queries_BTA[part] = ctx.ledger.add(part, gradient_BTS[part], r_BTSA)
        return by_queries_BTA, None, None
