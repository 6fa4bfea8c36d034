"""Dropout that is cheap on a CPU, alone and together with what stands around it in a Transformer layer."""

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

_BITS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
"""Integers of as many bytes as numbers have."""


class Dropout(nn.Module):
    """Zeroes each element with probability ``p`` (rounded to 1/32768) and scales the rest by 1/(1 - p).

    On a CPU the mask comes from 16-bit pieces of 64-bit random integers, by integer arithmetic alone: comparisons, and
    operations on their results, would take ten times as long. It is laid over the bits of the numbers, which are not multiplied
    by it: that takes three quarters of the time, and most of what is left is drawing.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    @property
    def drops(self) -> bool:
        """Whether it does anything now."""
        return self.training and self.p > 0

    def forward(self, x: Tensor) -> Tensor:
        if not self.drops:
            return x
        if x.device.type != "cpu":
            return nn.functional.dropout(x, self.p)
        dropped: Tensor = _Dropped.apply(x, self.p)  # type: ignore[no-untyped-call]
        return dropped

    def added(self, x: Tensor, part: Tensor) -> Tensor:
        """x + dropout(part), in the type of ``x``, which may be the more precise one."""
        plain = not self.drops or x.device.type != "cpu"
        added: Tensor = x + self(part) if plain else _Added.apply(x, part, self.p)  # type: ignore[no-untyped-call]
        return added


def drop_(x: Tensor, p: float) -> Tensor:
    """``x`` after a dropout, in its own memory; without a gradient."""
    if x.device.type != "cpu":
        return nn.functional.dropout(x, p, inplace=True)
    return _masked(x, _mask(x, p)).mul_(1 / (1 - p))


def _mask(like: Tensor, p: float) -> Tensor:
    """Integers of two bytes: all bits set where a number stays, none where it falls."""
    words = torch.empty((like.numel() + 3) // 4, dtype=torch.int64).random_(-(2**63), None)
    drawn = words.view(torch.int16)[: like.numel()].view(like.shape)
    # Of 15 random bits below a set sign bit, a difference to p leaves the sign bit set where they are not less than p: and an
    # integer with its sign shifted through all of its bits is -1 or 0.
    return drawn.bitwise_or_(-(2**15)).sub_(round(p * 2**15)).bitwise_right_shift_(15)


def _masked(x: Tensor, mask: Tensor) -> Tensor:
    """``x``, now zero where the mask is."""
    bits = _BITS[x.element_size()]
    x.view(bits).bitwise_and_(mask.to(bits))
    return x


class _Dropped(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, p):  # type: ignore[no-untyped-def]
        mask, ctx.scale = _mask(x, p), 1 / (1 - p)
        ctx.save_for_backward(mask)
        return _masked(x * ctx.scale, mask)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):  # type: ignore[no-untyped-def]
        (mask,) = ctx.saved_tensors
        return _masked(gradient * ctx.scale, mask), None


class _Added(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, part, p):  # type: ignore[no-untyped-def]
        mask, ctx.scale, ctx.dtype = _mask(part, p), 1 / (1 - p), part.dtype
        ctx.save_for_backward(mask)
        kept = _masked(part.clone(), mask).to(x.dtype)
        return torch.add(x, kept, alpha=ctx.scale, out=kept)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):  # type: ignore[no-untyped-def]
        (mask,) = ctx.saved_tensors
        by_part = torch.mul(gradient, ctx.scale).to(ctx.dtype)
        return gradient, _masked(by_part, mask), None
