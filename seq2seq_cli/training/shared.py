"""One update by several processes, by way of memory that they share.

Weights and the optimiser's moments exist once, in that memory. Each process computes gradients of its own pairs and
leaves them there; then each updates some of the parameters, by the mean of all processes' gradients of these. So
clipping and Adam are shared out as well.
"""

from __future__ import annotations

import mmap

import torch
from torch import Tensor, nn

from seq2seq_cli.ranks import Ranks
from seq2seq_cli.siblings import OverPipes

MOMENTS = ("exp_avg", "exp_avg_sq")
"""What Adam keeps of each parameter, beside the number of its steps."""


class SharedUpdate:
    """For one of P processes: its view of the shared memory, and its own part of the parameters, about 1/P of all
    numbers."""

    def __init__(self, ranks: Ranks, exchange: OverPipes, optimizer: torch.optim.Optimizer) -> None:
        [group] = optimizer.param_groups
        self.ranks, self.optimizer = ranks, optimizer
        self.parameters: list[nn.Parameter] = group["params"]
        sizes = [parameter.numel() for parameter in self.parameters]
        copies = ranks.size + 1 + len(MOMENTS)
        memory = _Floats(exchange.shared_memory((copies * sum(sizes) + len(sizes)) * torch.float32.itemsize))
        gradients_PN = memory.take(ranks.size * sum(sizes)).view(ranks.size, -1)
        self.gradients = gradients_PN.split(sizes, 1)
        """Of each parameter, those of all processes: P rows."""
        # Each with a storage of its own, so that a checkpoint holds no more than it should.
        self.weights = [memory.take(size).view_as(it) for size, it in zip(sizes, self.parameters, strict=True)]
        self.state: list[dict[str, Tensor]] = [
            {"step": memory.take(1).squeeze(0), **{name: memory.take(it.numel()).view_as(it) for name in MOMENTS}}
            for it in self.parameters
        ]
        self.mine = [rank == ranks.rank for rank in dealt(sizes, ranks.size)]
        self.adopt()
        ranks.meet()  # or a slow process would write its new weights over those that the first one has loaded by then

    def adopt(self) -> None:
        """Move weights and moments into the shared memory, after they have been made or loaded. (All processes have
        loaded the same.)"""
        for parameter, weights, state in zip(self.parameters, self.weights, self.state, strict=True):
            parameter.data = weights.copy_(parameter.data)
            loaded = self.optimizer.state.get(parameter, {})
            for name, shared in state.items():
                shared.copy_(loaded[name]) if name in loaded else shared.zero_()
            self.optimizer.state[parameter] = state

    def leave(self) -> None:
        """Leave this process's gradients for the others. They may be read after the processes have met."""
        places = [rows_PN[self.ranks.rank] for rows_PN in self.gradients]
        found = [parameter.grad for parameter in self.parameters]
        assert all(gradient is not None for gradient in found)
        torch._foreach_copy_(places, [gradient.flatten() for gradient in found if gradient is not None])

    def take(self) -> None:
        """Replace the gradients of this process's part by their means over all processes, and forget the others."""
        for parameter, rows_PN, mine in zip(self.parameters, self.gradients, self.mine, strict=True):
            if mine:
                assert parameter.grad is not None
                torch.mean(rows_PN, 0, out=parameter.grad.view(-1))
            else:
                parameter.grad = None

    def norm_of_all(self, norm: Tensor) -> Tensor:
        """The norm of all gradients, from that of this process's part."""
        [squares] = self.ranks.sum(float(norm) ** 2)
        return norm.new_tensor(squares**0.5)


class _Floats:
    """Hands out a memory, one part after another."""

    def __init__(self, memory: mmap.mmap) -> None:
        self.memory, self.taken = memory, 0

    def take(self, count: int) -> Tensor:
        begin, self.taken = self.taken, self.taken + count
        return torch.frombuffer(self.memory, dtype=torch.float32, count=count, offset=begin * torch.float32.itemsize)


def dealt(sizes: list[int], hands: int) -> list[int]:
    """Who of ``hands`` gets each item, so that all get about the same: the largest first, each to who has least."""
    has, owners = [0] * hands, [0] * len(sizes)
    for item in sorted(range(len(sizes)), key=lambda item: -sizes[item]):
        owners[item] = has.index(min(has))
        has[owners[item]] += sizes[item]
    return owners
