"""Products in 8-bit integers, for search on processors that multiply these natively."""

import torch
from torch import Tensor

from seq2seq_cli.model.types import precise

ZERO = 128
LARGEST = 127


class Int8Matrix:
    """A matrix M, O x I, and its bias, each row of M in steps of its own of 1/127 of its largest number.

    What it is multiplied with is rounded to 1/127 of the largest number that can occur: 1 where all of it is known to
    lie in [-1, 1] (``bounded``: states of an LSTM or GRU, mixtures of these, attentional vectors), else the largest of
    each vector. Either way a vector's product does not depend on those beside it.
    """

    def __init__(self, matrix: Tensor, bias_O: Tensor | None = None, bounded: bool = True) -> None:
        matrix = matrix.detach().float()
        self.step_O = matrix.abs().amax(1).clamp(min=torch.finfo(torch.float32).tiny) / LARGEST
        self.zero_O = torch.zeros(len(matrix), dtype=torch.int32)
        self.bias_O = None if bias_O is None else bias_O.detach().float()
        self.bounded = bounded
        rounded = (matrix / self.step_O[:, None]).round_().to(torch.int8)
        self.packed = torch.ops.onednn.qlinear_prepack(rounded, None)

    def product(self, x: Tensor, addend: Tensor | None = None) -> Tensor:
        """x M^T + b + addend in float32: vectors of size I, in any number of dimensions -> the same of size O."""
        rows_NI = precise(x).flatten(0, -2)
        if self.bounded:
            out_NO = self._product(rows_NI * LARGEST, 1 / LARGEST, self.bias_O)
        else:
            step_N1 = rows_NI.abs().amax(1, keepdim=True).clamp(min=torch.finfo(torch.float32).tiny) / LARGEST
            out_NO = self._product(rows_NI / step_N1, 1.0, None).mul_(step_N1)
            if self.bias_O is not None:
                out_NO += self.bias_O
        out: Tensor = out_NO.unflatten(0, x.shape[:-1])
        return out if addend is None else out.add_(addend)

    def _product(self, scaled_NI: Tensor, step: float, bias_O: Tensor | None) -> Tensor:
        # Unsigned, around ZERO: for signed ones oneDNN has but a reference implementation.
        rounded_NI = scaled_NI.round().add_(ZERO).to(torch.uint8)
        weights = (self.packed, self.step_O, self.zero_O, bias_O)
        out_NO: Tensor = torch.ops.onednn.qlinear_pointwise(
            rounded_NI, step, ZERO, *weights, 1.0, 0, torch.float32, "none", [], ""
        )
        return out_NO
