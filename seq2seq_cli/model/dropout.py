"""Dropout that is cheap on a CPU."""

import torch
from torch import Tensor, nn


class Dropout(nn.Module):
    """Zeroes each element with probability ``p`` (rounded to 1/65536) and scales the rest by 1/(1 - p).

    On a CPU the mask comes from 16-bit pieces of 64-bit random integers.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return x
        if x.device.type != "cpu":
            return nn.functional.dropout(x, self.p)
        words = torch.empty((x.numel() + 3) // 4, dtype=torch.int64).random_(-(2**63), None)
        keep = words.view(torch.int16)[: x.numel()].view(x.shape) >= round(self.p * 2**16) - 2**15
        return x * (keep.to(x.dtype) / (1 - self.p))
