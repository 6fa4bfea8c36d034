"""Products in 8-bit integers, for search on processors that multiply these natively."""

import torch
from torch import Tensor

from seq2seq_cli.model.products import precise

ZERO = 128
LARGEST = 127
BLOCK = 64
"""The number of rows is padded to a multiple of this; fewer rows are padded to a power of two. oneDNN compiles a
product for each new number of rows, which takes as long as a product of 200 rows; and in a search the number falls
whenever sentences end."""


class Int8Matrix:
    """A matrix M, O x I, and its bias. Each row of M is rounded to multiples of 1/127 of its largest number.

    The vectors that M multiplies are rounded to 1/127 of the largest number that can occur. That is 1 where all of them
    are known to lie in [-1, 1] (``bounded``: states of an LSTM or GRU, mixtures of these, attentional vectors), and
    otherwise the largest number of each vector.

    On every processor a vector's product is the same whichever vectors are beside it. oneDNN has different code for one
    row and for many, so it is asked only for what cannot be rounded in two ways: a sum of integers times one number.
    (With 1/127 and a bias given as well, it multiplies and adds in another order on AMX.)
    """

    def __init__(self, matrix: Tensor, bias_O: Tensor | None = None, bounded: bool = True) -> None:
        matrix = matrix.detach().float()
        step_O1 = _steps(matrix)
        rounded = (matrix / step_O1).round_().to(torch.int8)
        self.step_O = (step_O1 / LARGEST if bounded else step_O1).squeeze(1)
        """What one unit of a sum of integers is worth, by row of M. For bounded vectors it includes their 1/127."""
        self.zero_O = torch.zeros(len(matrix), dtype=torch.int32)
        self.bias_O = None if bias_O is None else bias_O.detach().float()
        self.bounded = bounded
        self.middle = torch.tensor(ZERO + 0.5)
        """What vectors are moved by before their decimals are cut off."""
        self.packed = torch.ops.onednn.qlinear_prepack(rounded, None)

    def product(self, x: Tensor, addend: Tensor | None = None) -> Tensor:
        """x M^T + b + addend in float32: vectors of size I, in any number of dimensions -> the same of size O."""
        rows_NI = precise(x) if x.dim() == 2 else precise(x).flatten(0, -2)
        if self.bounded:
            out_NO = self._product(torch.add(self.middle, rows_NI, alpha=LARGEST))
            if self.bias_O is not None:
                out_NO += self.bias_O
        else:
            step_N1 = _steps(rows_NI)
            # Not addcmul, which takes three times as long where a factor has one number a row.
            out_NO = self._product((rows_NI * (1 / step_N1)).add_(self.middle))
            if self.bias_O is None:
                out_NO *= step_N1
            else:
                torch.addcmul(self.bias_O, out_NO, step_N1, out=out_NO)
        out = out_NO if x.dim() == 2 else out_NO.view(*x.shape[:-1], -1)
        return out if addend is None else out.add_(addend)

    def _product(self, unsigned_NI: Tensor) -> Tensor:
        """Integers around ZERO times M's integers, times ``step_O``. (Unsigned, because for signed integers oneDNN has
        only a slow reference implementation.)"""
        rows, size = unsigned_NI.shape
        room = -(-rows // BLOCK) * BLOCK if rows > BLOCK else 1 << (rows - 1).bit_length()
        rounded_NI = torch.empty((room, size), dtype=torch.uint8)
        # By way of 32 bits: torch converts straight to 8 bits number by number, which takes four times as long.
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
    """1/127 of the largest number of each row, N x 1; never zero."""
    return (rows_NI.abs().amax(1, keepdim=True) / LARGEST).clamp_(min=torch.finfo(torch.float32).tiny)
