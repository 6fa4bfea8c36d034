"""Dropout that is cheap on a CPU."""

import torch
from torch import Tensor, nn


class Dropout(nn.Module):
    """Zeroes each element with probability ``p`` (rounded to 1/32768) and scales the rest by 1/(1 - p).

    On a CPU the mask comes from 16-bit pieces of 64-bit random integers, by integer arithmetic alone: comparisons, and
    operations on their results, would take ten times as long.
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
        drawn = words.view(torch.int16)[: x.numel()].view(x.shape).bitwise_and_(2**15 - 1)
        # The sign of the difference to p, shifted down: -1 for what falls, 0 for what stays.
        keep = drawn.sub_(round(self.p * 2**15)).bitwise_right_shift_(15).add_(1)
        return x * keep.to(x.dtype).mul_(1 / (1 - self.p))
