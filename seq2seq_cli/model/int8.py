"""Products in 8-bit integers, for search on processors that multiply these natively."""

from functools import partial

import torch
from torch import Tensor

from seq2seq_cli.model.steps import Makers
from seq2seq_cli.model.types import precise

ZERO = 128
LARGEST = 127
BLOCK = 64
"""Rows are multiplied by so many at least, fewer by a power of two. For each new number of them oneDNN compiles a
product, which takes as long as one of 200 rows does, and in a search there is one at each step that sentences end."""


class Int8Matrix:
    """A matrix M, O x I, and its bias, each row of M in steps of its own of 1/127 of its largest number.

    What it is multiplied with is rounded to 1/127 of the largest number that can occur: 1 where all of it is known to
    lie in [-1, 1] (``bounded``: states of an LSTM or GRU, mixtures of these, attentional vectors), else the largest of
    each vector. Either way a vector's product does not depend on those beside it, on no processor: oneDNN, which has
    other code for one row than for many, is asked for nothing that it could round in more than one way, a sum of
    integers times one number. (Given 1/127 and a bias besides, it multiplies and adds in another order with AMX.)
    """

    def __init__(self, matrix: Tensor, bias_O: Tensor | None = None, bounded: bool = True) -> None:
        matrix = matrix.detach().float()
        step_O1 = _steps(matrix)
        rounded = (matrix / step_O1).round_().to(torch.int8)
        self.step_O = (step_O1 / LARGEST if bounded else step_O1).squeeze(1)
        """What a sum of integers counts: where it is known, the step of what is multiplied is in it."""
        self.zero_O = torch.zeros(len(matrix), dtype=torch.int32)
        self.bias_O = None if bias_O is None else bias_O.detach().float()
        self.bounded = bounded
        self.packed = torch.ops.onednn.qlinear_prepack(rounded, None)

    def product(self, x: Tensor, addend: Tensor | None = None) -> Tensor:
        """x M^T + b + addend in float32: vectors of size I, in any number of dimensions -> the same of size O."""
        rows_NI = precise(x).flatten(0, -2)
        middle = rows_NI.new_full((), ZERO + 0.5)  # what follows cuts decimals off
        if self.bounded:
            out_NO = self._product(torch.add(middle, rows_NI, alpha=LARGEST))
            if self.bias_O is not None:
                out_NO += self.bias_O
        else:
            step_N1 = _steps(rows_NI)
            out_NO = self._product(torch.addcmul(middle, rows_NI, 1 / step_N1))
            if self.bias_O is None:
                out_NO *= step_N1
            else:
                torch.addcmul(self.bias_O, out_NO, step_N1, out=out_NO)
        out: Tensor = out_NO.unflatten(0, x.shape[:-1])
        return out if addend is None else out.add_(addend)

    def _product(self, unsigned_NI: Tensor) -> Tensor:
        """Of numbers around ZERO (for signed ones oneDNN has but a reference implementation) and M's integers, times
        ``step_O``."""
        rows, size = unsigned_NI.shape
        room = -(-rows // BLOCK) * BLOCK if rows > BLOCK else 1 << (rows - 1).bit_length()
        rounded_NI = torch.empty((room, size), dtype=torch.uint8)
        # By way of 32 bits: to eight at once torch converts number by number, which takes four times as long.
        rounded_NI[:rows] = unsigned_NI.to(torch.int32)
        out_NO: Tensor = torch.ops.onednn.qlinear_pointwise(
            *(rounded_NI, 1.0, ZERO),
            *(self.packed, self.step_O, self.zero_O, None),
            1.0,
            0,
            torch.float32,
            "none",
            [],
            "",
        )
        return out_NO[:rows]


def _steps(rows_NI: Tensor) -> Tensor:
    """1/127 of the largest number of each row, N x 1, never zero."""
    return (rows_NI.abs().amax(1, keepdim=True) / LARGEST).clamp_(min=torch.finfo(torch.float32).tiny)


INT8 = Makers(Int8Matrix, partial(Int8Matrix, bounded=False))
