"""Linear maps, made ready once for all the products of a pass: taken step by step, they learn from all steps at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol, Self, TypeVar

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from seq2seq_cli.model.int8 import Int8Matrix
from seq2seq_cli.model.products import compute_dtype, linear, outer, pick

T = TypeVar("T")


class Ledger(Protocol):
    """What the steps leave in the backward pass for the gradients of the tensors that they share."""

    def gradients(self) -> tuple[Tensor | None, ...]:
        """Those gradients, once the last step has been; what the steps have left is given up."""
        ...


def link(ledger: Ledger, *tensors: Tensor | None) -> Tensor:
    """What all steps that share ``tensors`` hang on: a tensor with no value of its own, that passes on in the backward
    pass the gradients of ``ledger``, after all steps.

    A step then computes no more than the gradients of its own inputs. (The ledger must not hold the link: Python
    would free neither of them before its next search for such rings, with all that a batch has left behind.)
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
    """The gradient of a matrix as the sum over the steps of left^T right."""

    dtype: torch.dtype
    has_bias: bool
    left: list[Tensor] = field(default_factory=list)
    right: list[Tensor] = field(default_factory=list)

    def gradients(self) -> tuple[Tensor | None, ...]:
        left, right = joined(self.left), joined(self.right)
        self.left.clear()
        self.right.clear()
        bias_O = left.sum(0).to(self.dtype) if self.has_bias else None
        matrix = outer(left, right) if left.dim() == 2 else left.mT @ right
        return matrix.to(self.dtype), bias_O


def joined(parts: list[Tensor]) -> Tensor:
    """Parts one after another in the last dimension but one; a single one is not copied."""
    return parts[0] if len(parts) == 1 else torch.cat(parts, -2)


class Map(Protocol):
    """A linear map whose weights many products share."""

    def product(self, x: Tensor, addend: Tensor | None = None) -> Tensor:
        """x M^T + b + addend: vectors of size I, in any number of dimensions -> the same of size O."""
        ...


class StepMatrix:
    """A matrix M, O x I, or one for each of B sentences, B x O x I, that vectors are multiplied with at every step.

    It is cast to ``dtype``, the precision of the products, once, and its gradient is one product over all steps instead of a
    small one each: a step costs half of its backward pass, and the sum over the steps is not rounded to bfloat16 in
    between. Not a module: made anew for every forward pass.
    """

    def __init__(self, matrix: Tensor, bias_O: Tensor | None = None, dtype: torch.dtype | None = None) -> None:
        dtype = dtype or compute_dtype(matrix)
        self.plain = matrix
        """M itself, for whatever is not a product."""
        self.matrix = matrix.detach().to(dtype).contiguous()
        self.bias_O = None if bias_O is None else bias_O.detach().to(dtype)
        self.ledger = ProductLedger(matrix.dtype, bias_O is not None)
        self.link = link(self.ledger, matrix, bias_O)

    def product(self, x: Tensor, addend: Tensor | None = None) -> Tensor:
        """x M^T + b + addend: vectors of size I, in any number of dimensions -> the same of size O.

        Where there is a matrix a sentence, R x T x I, R being B or so many times B that some rows one after another
        belong to one sentence.
        """
        out: Tensor = _Product.apply(self._by_matrix(x), addend, self.link, self)  # type: ignore[no-untyped-call]
        return out if self.matrix.dim() == 2 else out.view(*x.shape[:-1], self.matrix.shape[1])

    def mixture(self, weights_RTO: Tensor) -> Tensor:
        """weights M: sums of the rows of M, weighted. R x T x O -> R x T x I (R as in ``product``)."""
        out: Tensor = _Mixture.apply(self._by_matrix(weights_RTO), self.link, self)  # type: ignore[no-untyped-call]
        return out.view(*weights_RTO.shape[:-1], self.matrix.shape[2])

    def _by_matrix(self, x: Tensor) -> Tensor:
        x = x.to(self.matrix.dtype)
        return x if self.matrix.dim() == 2 else x.reshape(len(self.matrix), -1, x.shape[-1])

    def leave(self, left: Tensor, right: Tensor) -> None:
        """One step's part of M's gradient, left^T right."""
        if self.matrix.dim() == 2:
            left, right = left.flatten(0, -2), right.flatten(0, -2)
        self.ledger.left.append(left)
        self.ledger.right.append(right)

    def select(self, rows: Tensor) -> Self:
        """The matrices of the sentences ``rows``."""
        return type(self)(self.plain.index_select(0, rows), dtype=self.matrix.dtype)

    def pick(self, rows_RP: Tensor) -> Self:
        """Some rows of each sentence's matrix (R as in ``product``)."""
        return type(self)(pick(self.plain, rows_RP), dtype=self.matrix.dtype)


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, addend, link, steps):  # type: ignore[no-untyped-def]
        ctx.save_for_backward(x)
        ctx.steps, ctx.has_addend = steps, addend is not None
        if steps.matrix.dim() == 2:
            out = linear(x.flatten(0, -2), steps.matrix, steps.bias_O).unflatten(0, x.shape[:-1])
        else:
            out = x @ steps.matrix.mT
        return out if addend is None else out.add_(addend)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):  # type: ignore[no-untyped-def]
        (x,) = ctx.saved_tensors
        ctx.steps.leave(gradient, x)
        matrix = ctx.steps.matrix
        if matrix.dim() == 2:
            by_x = linear(gradient.flatten(0, -2), matrix.t()).unflatten(0, x.shape[:-1])
        else:
            by_x = gradient @ matrix
        return by_x, gradient if ctx.has_addend else None, None, None


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
    """Torch's, whose product is a ``Pass``'s.

    ``bounded``: whether all that it is given lies in [-1, 1] where there is no dropout, as states of an LSTM or GRU do,
    mixtures of these, and attentional vectors. ``exact``: whether it is computed in float32 or better wherever it is.
    """

    def __init__(
        self, in_size: int, out_size: int, bias: bool = True, bounded: bool = False, exact: bool = False
    ) -> None:
        super().__init__(in_size, out_size, bias)
        self.bounded = bounded
        self.exact = exact


class Pass:
    """One forward pass, or all of a search: what is made ready of the weights is made once, on first use, and shared.

    ``dtype``: what products are computed in (None: the weights' own); ``stepping``: whether steps are taken one by one even
    where they need not be; ``in_int8``: whether maps multiply in 8-bit integers, without gradients.
    """

    def __init__(self, dtype: torch.dtype | None = None, stepping: bool = False, in_int8: bool = False) -> None:
        self.dtype = dtype
        self.stepping = stepping
        self.in_int8 = in_int8
        self._made: dict[nn.Module, Any] = {}

    def map(self, linear: Linear) -> Map:
        """That of a linear layer."""
        made: Map = self.once(
            linear, lambda: self.make(linear.weight, linear.bias, bounded=linear.bounded, exact=linear.exact)
        )
        return made

    def once(self, owner: nn.Module, make: Callable[[], T]) -> T:
        """What ``make`` has made for a module: one thing each."""
        if owner not in self._made:
            self._made[owner] = make()
        made: T = self._made[owner]
        return made

    def make(self, matrix: Tensor, bias_O: Tensor | None = None, *, bounded: bool = False, exact: bool = False) -> Map:
        """A map of a matrix, O x I, and a bias (``bounded`` and ``exact`` as for ``Linear``)."""
        if exact:
            return StepMatrix(matrix, bias_O, matrix.dtype)
        return Int8Matrix(matrix, bias_O, bounded) if self.in_int8 else StepMatrix(matrix, bias_O, self.dtype)
