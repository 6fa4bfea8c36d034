"""The mean of several processes' gradients, by way of memory that they share."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from seq2seq_cli.ranks import Ranks
from seq2seq_cli.siblings import OverPipes


class SharedGradients:
    """P processes write their gradients, N numbers each, side by side. Each process then takes the mean of one part of
    the numbers, so that all means are the same bit for bit, and no number is read more often than need be."""

    def __init__(self, ranks: Ranks, exchange: OverPipes, parameters: Iterable[nn.Parameter]) -> None:
        self.ranks, self.parameters = ranks, list(parameters)
        count = sum(parameter.numel() for parameter in self.parameters)
        memory = exchange.shared_memory((ranks.size + 1) * count * torch.float32.itemsize)
        written = torch.frombuffer(memory, dtype=torch.float32).view(ranks.size + 1, count)
        self.all_PN, self.mean_N = written[:-1], written[-1]
        first, end = (count * number // ranks.size for number in (ranks.rank, ranks.rank + 1))
        self.part = slice(first, end)

    def average(self) -> None:
        """Replace the gradients of the parameters by the mean over all processes."""
        gradients = [parameter.grad for parameter in self.parameters]
        assert all(gradient is not None for gradient in gradients)
        torch._foreach_copy_(self._by_parameter(self.all_PN[self.ranks.rank]), gradients)
        self.ranks.meet()
        torch.mean(self.all_PN[:, self.part], 0, out=self.mean_N[self.part])
        self.ranks.meet()
        torch._foreach_copy_(gradients, self._by_parameter(self.mean_N))

    def _by_parameter(self, numbers_N: Tensor) -> list[Tensor]:
        parts = numbers_N.split([parameter.numel() for parameter in self.parameters])
        return [part.view_as(parameter) for part, parameter in zip(parts, self.parameters, strict=True)]
