"""The positions of a batch side by side, for all that is done with each of them alone."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from seq2seq_cli.model.products import room_on


@dataclass(frozen=True)
class Packing:
    """Which N of B x S positions are kept: those of ``index_N``, counted through the rows, or all (None).

    ``packed`` rows are followed by rows of zeros, ``rows`` of both together, where products take such a number of rows better;
    so it is padded once, not for each product, and alike in every precision.
    """

    batch: int
    positions: int
    rows: int
    index_N: Tensor | None = None

    @classmethod
    def real(cls, mask_BS: Tensor) -> Packing:
        """The positions where the mask is True."""
        if bool(mask_BS.all()):
            return cls.all(mask_BS)
        index_N = mask_BS.flatten().nonzero().squeeze(1)
        return cls(mask_BS.shape[0], mask_BS.shape[1], room_on(mask_BS.device, len(index_N)), index_N)

    @classmethod
    def all(cls, x_BSI: Tensor) -> Packing:
        """All positions of ``x_BSI``, or of a mask."""
        batch, positions = x_BSI.shape[0], x_BSI.shape[1]
        return cls(batch, positions, room_on(x_BSI.device, batch * positions))

    def packed(self, x_BSI: Tensor) -> Tensor:
        """The vectors of the positions kept: B x S x I -> N (or more) x I."""
        x_NI = x_BSI.flatten(0, 1)
        if self.index_N is not None:
            x_NI = _Packed.apply(x_NI, self.index_N)  # type: ignore[no-untyped-call]
        missing = self.rows - x_NI.shape[0]
        return nn.functional.pad(x_NI, (0, 0, 0, missing)) if missing else x_NI

    def spread(self, x_NI: Tensor) -> Tensor:
        """The reverse: N (or more) x I -> B x S x I, zeros at the positions that were left out."""
        every, x_MI = self.batch * self.positions, x_NI
        if self.index_N is not None:
            x_MI = _Spread.apply(x_NI[: len(self.index_N)], self.index_N, every)  # type: ignore[no-untyped-call]
        x_BSI: Tensor = x_MI[:every].unflatten(0, (self.batch, self.positions))
        return x_BSI


def _put(x_NI: Tensor, index_N: Tensor, rows: int) -> Tensor:
    return x_NI.new_zeros(rows, x_NI.shape[1]).index_copy_(0, index_N, x_NI)


class _Packed(torch.autograd.Function):
    """Each row is read once, so the gradient is put back, not added: torch's own adds, one number after another."""

    @staticmethod
    def forward(ctx, x_MI, index_N):  # type: ignore[no-untyped-def]
        ctx.index_N, ctx.rows = index_N, len(x_MI)
        return x_MI.index_select(0, index_N)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):  # type: ignore[no-untyped-def]
        return _put(gradient, ctx.index_N, ctx.rows), None


class _Spread(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x_NI, index_N, rows):  # type: ignore[no-untyped-def]
        ctx.index_N = index_N
        return _put(x_NI, index_N, rows)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):  # type: ignore[no-untyped-def]
        return gradient.index_select(0, ctx.index_N), None, None
