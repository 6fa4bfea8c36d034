"""Linear maps, prepared once for all the products of a pass. Where steps are taken one by one, their gradients are
computed for all steps at once."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, field
from typing import Any, Protocol, Self, TypeVar

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from seq2seq_cli.model.carry import Rows, rows_of
from seq2seq_cli.model.dropout import drop_
from seq2seq_cli.model.int8 import Int8Matrix
from seq2seq_cli.model.products import SHARE, SUMMED, Matrix, compute_dtype, outer, padded, pick

T = TypeVar("T")


class Ledger(Protocol):
    """Gathers, in the backward pass, what the steps contribute to the gradients of the tensors that they share."""

    def gradients(self) -> tuple[Tensor | None, ...]:
        """The gradients, after the last step has contributed. The ledger is empty afterwards."""
        ...


def link(ledger: Ledger, *tensors: Tensor | None) -> Tensor:
    """A tensor without a value of its own that all steps which share ``tensors`` depend on. The backward pass reaches
    it after all steps, and then gives ``tensors`` the gradients of ``ledger``.

    So a step itself computes only the gradients of its own inputs. (The ledger must not refer to the link: in such a
    circle of references, Python would keep both, and all that a batch has left behind, until its garbage collector next
    runs.)
    """
    shared: Tensor = _Last.apply(ledger, *tensors)  # type: ignore[no-untyped-call]
    return shared


class _Last(torch.autograd.Function):
    @staticmethod
    def forward(ctx, ledger, *tensors):  # type: ignore[no-untyped-def]
        ctx.ledger = ledger
        return tensors[0].new_empty(0)

    @staticmethod
    @once_differentiable
    def backward(ctx, _):  # type: ignore[no-untyped-def]
        return None, *ctx.ledger.gradients()


@dataclass
class ProductLedger:
    """Gathers the gradient of a matrix: the sum of left^T right over the steps."""

    dtype: torch.dtype
    has_bias: bool
    left: list[Tensor] = field(default_factory=list)
    right: list[Tensor] = field(default_factory=list)

    def gradients(self) -> tuple[Tensor | None, ...]:
        # Rows of a single product have been padded for it; more of them would be copies of all.
        share = SHARE if len(self.left) == 1 else SUMMED
        left, right = joined(self.left), joined(self.right)
        self.left.clear()
        self.right.clear()
        bias_O = left.sum(0).to(self.dtype) if self.has_bias else None
        matrix = outer(left, right, share) if left.dim() == 2 else left.mT @ right
        return matrix.to(self.dtype), bias_O


def joined(parts: list[Tensor]) -> Tensor:
    """The parts one after another along the last dimension but one. A single part is not copied."""
    return parts[0] if len(parts) == 1 else torch.cat(parts, -2)


class Map(Protocol):
    """A linear map, prepared for many products."""

    def product(self, x: Tensor, addend: Tensor | None = None) -> Tensor:
        """x M^T + b + addend: vectors of size I, in any number of dimensions -> vectors of size O."""
        ...


class StepMatrix:
    """A matrix M, O x I, or one for each of B sentences, B x O x I, that multiplies vectors at every step.

    It is cast once to ``dtype``, the precision of the products. Its gradient is one product over all steps instead of a
    small one for each: that halves the backward pass of a step, and the sum over the steps is not rounded to bfloat16
    on the way. Not a module: made anew for every forward pass.
    """

    def __init__(self, matrix: Tensor, bias_O: Tensor | None = None, dtype: torch.dtype | None = None) -> None:
        dtype = dtype or compute_dtype(matrix)
        self.plain = matrix
        """M itself, for uses that are no product."""
        self.matrix = matrix.detach().to(dtype).contiguous()
        self.multiplier = Matrix(self.matrix)
        self.bias_O = None if bias_O is None else bias_O.detach().to(dtype)
        self.ledger = ProductLedger(matrix.dtype, bias_O is not None)
        self.link = link(self.ledger, matrix, bias_O)

    def product(self, x: Tensor, addend: Tensor | None = None) -> Tensor:
        """x M^T + b + addend: vectors of size I, in any number of dimensions -> vectors of size O.

        Where there is a matrix for each sentence, x is R x T x I. R is B or a multiple of it: then consecutive rows
        belong to one sentence.
        """
        out: Tensor = _Product.apply(self._by_matrix(x), addend, self.link, self)  # type: ignore[no-untyped-call]
        return out if self.matrix.dim() == 2 else out.view(*x.shape[:-1], self.matrix.shape[1])

    def rectified(self, x: Tensor, p: float) -> Tensor:
        """relu(x M^T + b) with a dropout of ``p``, of vectors of size I -> O. What is left is all that is kept of it for the
        backward pass, and the relu is computed along with the product."""
        out: Tensor = _Rectified.apply(x.to(self.matrix.dtype), self.link, self, p)  # type: ignore[no-untyped-call]
        return out

    def mixture(self, weights_RTO: Tensor) -> Tensor:
        """weights M: weighted sums of the rows of M. R x T x O -> R x T x I (R as in ``product``)."""
        out: Tensor = _Mixture.apply(self._by_matrix(weights_RTO), self.link, self)  # type: ignore[no-untyped-call]
        return out.view(*weights_RTO.shape[:-1], self.matrix.shape[2])

    def _by_matrix(self, x: Tensor) -> Tensor:
        x = x.to(self.matrix.dtype)
        return x if self.matrix.dim() == 2 else x.reshape(self.matrix.shape[0], -1, x.shape[-1])

    def leave(self, left: Tensor, right: Tensor) -> None:
        """Record the part of one product in the gradient of M, left^T right, by its two factors."""
        self.ledger.left.append(left)
        self.ledger.right.append(right)

    def select(self, rows: Rows) -> Self:
        """The matrices of the sentences ``rows``."""
        return type(self)(rows_of(self.plain, rows), dtype=self.matrix.dtype)

    def pick(self, rows_RP: Tensor) -> Self:
        """Some rows of each sentence's matrix alone (R as in ``product``)."""
        return type(self)(pick(self.plain, rows_RP), dtype=self.matrix.dtype)


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, addend, link, steps):  # type: ignore[no-untyped-def]
        ctx.steps, ctx.has_addend, ctx.shape = steps, addend is not None, x.shape
        if steps.matrix.dim() == 2:
            x = padded(x.flatten(0, -2))
            out = _rows_of(steps.multiplier.product(x, steps.bias_O), ctx.shape)
        else:
            out = x @ steps.matrix.mT
        ctx.save_for_backward(x)
        return out if addend is None else out.add_(addend)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):  # type: ignore[no-untyped-def]
        (x,) = ctx.saved_tensors
        if ctx.steps.matrix.dim() == 2:
            by_out = padded(gradient.flatten(0, -2))
            ctx.steps.leave(by_out, x)
            by_x = _rows_of(ctx.steps.multiplier.back(by_out), ctx.shape)
        else:
            ctx.steps.leave(gradient, x)
            by_x = gradient @ ctx.steps.matrix
        return by_x, gradient if ctx.has_addend else None, None, None


class _Rectified(torch.autograd.Function):
    """Where the result is zero, nothing flows back, whether the relu or the dropout made it so."""

    @staticmethod
    def forward(ctx, x, link, steps, p):  # type: ignore[no-untyped-def]
        ctx.steps, ctx.shape, ctx.p = steps, x.shape, p
        x = padded(x.flatten(0, -2))
        out = steps.multiplier.product(x, steps.bias_O, relu=True)
        if p:
            out = drop_(out, p)
        ctx.save_for_backward(x, out)
        return _rows_of(out, ctx.shape)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):  # type: ignore[no-untyped-def]
        x, out = ctx.saved_tensors
        by_out = torch.ops.aten.threshold_backward(padded(gradient.flatten(0, -2)), out, 0)
        if ctx.p:
            by_out.mul_(1 / (1 - ctx.p))
        ctx.steps.leave(by_out, x)
        return _rows_of(ctx.steps.multiplier.back(by_out), ctx.shape), None, None, None


def _rows_of(out_NO: Tensor, shape: torch.Size) -> Tensor:
    """Of the products of padded rows, those of the vectors that came in that ``shape``, in the same one."""
    return out_NO[: math.prod(shape[:-1])].view(*shape[:-1], out_NO.shape[-1])


class _Mixture(torch.autograd.Function):
    @staticmethod
    def forward(ctx, weights, link, steps):  # type: ignore[no-untyped-def]
        ctx.save_for_backward(weights)
        ctx.steps = steps
        return weights @ steps.matrix

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):  # type: ignore[no-untyped-def]
        (weights,) = ctx.saved_tensors
        ctx.steps.leave(weights, gradient)
        return gradient @ ctx.steps.matrix.mT, None, None


class Linear(nn.Linear):
    """Torch's linear layer, multiplied through ``Pass.map``.

    ``bounded``: whether its inputs all lie in [-1, 1] when there is no dropout, as states of an LSTM or GRU, mixtures
    of these and attentional vectors do. ``exact``: whether it is always computed in float32 or better.
    """

    def __init__(
        self, in_size: int, out_size: int, bias: bool = True, bounded: bool = False, exact: bool = False
    ) -> None:
        super().__init__(in_size, out_size, bias)
        self.bounded = bounded
        self.exact = exact


class Pass:
    """One forward pass, or one whole search. What is prepared of the weights is made once, on first use, and shared, by
    threads too.

    ``dtype``: what products are computed in (None: the weights' own type). ``stepping``: whether steps are taken one by
    one even where they could be taken together. ``in_int8``: whether maps multiply in 8-bit integers, without
    gradients. ``looking``: whether somebody wants to know where the source was looked at; ``inward``: and where sentences
    looked in themselves. What nobody asks for is left out where that is quicker.
    """

    def __init__(
        self,
        dtype: torch.dtype | None = None,
        stepping: bool = False,
        in_int8: bool = False,
        looking: bool = True,
        inward: bool = False,
    ) -> None:
        self.dtype = dtype
        self.stepping = stepping
        self.in_int8 = in_int8
        self.looking = looking
        self.inward = inward
        self._made: dict[nn.Module, Any] = {}
        self._making = threading.RLock()

    def inwards(self) -> Self:
        """The same pass, with all that is prepared, in which is wanted where sentences looked in themselves as well."""
        same = copy(self)
        same.inward = True
        return same

    def map(self, linear: Linear) -> Map:
        """The map of a linear layer."""
        made: Map = self.once(
            linear, lambda: self.make(linear.weight, linear.bias, bounded=linear.bounded, exact=linear.exact)
        )
        return made

    def once(self, owner: nn.Module, make: Callable[[], T]) -> T:
        """What ``make`` returns, called once for each ``owner``, whichever thread asks."""
        if owner not in self._made:
            with self._making:
                if owner not in self._made:
                    self._made[owner] = make()
        made: T = self._made[owner]
        return made

    def make(self, matrix: Tensor, bias_O: Tensor | None = None, *, bounded: bool = False, exact: bool = False) -> Map:
        """A map of a matrix, O x I, and a bias (``bounded`` and ``exact`` as for ``Linear``)."""
        if exact:
            return StepMatrix(matrix, bias_O, matrix.dtype)
        return Int8Matrix(matrix, bias_O, bounded) if self.in_int8 else StepMatrix(matrix, bias_O, self.dtype)
