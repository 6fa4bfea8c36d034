"""How operations become ONNX's, where torch's own exporter has no way, or one that forgets that a size may change."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.onnx import symbolic_helper, utils

OPSET = 17
"""The version of ONNX's operations that is written."""
INT32 = 6
"""What ONNX calls this type."""


def _numbers(g: Any, *numbers: int) -> Any:
    return g.op("Constant", value_t=torch.tensor(numbers))


def _size(g: Any, x: Any, dim: int) -> Any:
    return g.op("Gather", g.op("Shape", x), _numbers(g, dim), axis_i=0)


def _rank(x: Any) -> int:
    rank = symbolic_helper._get_tensor_rank(x)
    assert rank is not None, "sizes may be any, their number not"
    return rank


def _dim(x: Any, dim: Any) -> int:
    number: int = symbolic_helper._get_const(dim, "i", "dim")
    return number % _rank(x)


def _reshaped(g: Any, x: Any, first: int, sizes: list[Any], last: int) -> Any:
    """``x`` with other ``sizes`` in place of those of the dimensions from ``first`` to ``last``. (In a shape a zero means: as
    before.)"""
    before = [_numbers(g, *([0] * first))] if first else []
    after = (_size(g, x, dim) for dim in range(last + 1, _rank(x)))
    return g.op("Reshape", x, g.op("Concat", *before, *sizes, *after, axis_i=0))


def _flatten(g: Any, x: Any, start: Any, end: Any) -> Any:
    return _reshaped(g, x, _dim(x, start), [_numbers(g, -1)], _dim(x, end))


def _unflatten(g: Any, x: Any, dim: Any, sizes: Any) -> Any:
    place = _dim(x, dim)
    if symbolic_helper._is_packed_list(sizes):
        parts = [g.op("Reshape", size, _numbers(g, 1)) for size in symbolic_helper._unpack_list(sizes)]
    else:
        parts = [_numbers(g, *symbolic_helper._get_const(sizes, "is", "sizes"))]
    return _reshaped(g, x, place, parts, place)


def _transposed(g: Any, x: Any) -> Any:
    *order, last, lowest = range(_rank(x))
    return g.op("Transpose", x, perm_i=[*order, lowest, last])


def _squeezed(g: Any, x: Any, dim: Any) -> Any:
    """Where the size is 1, as always here; torch's own asks at every call, by a graph within the graph."""
    return g.op("Squeeze", x, _numbers(g, _dim(x, dim)))


def _sorted(g: Any, x: Any, *arguments: Any) -> Any:
    """Whether asked to be stable or not: ONNX's largest numbers are."""
    *_, dim, descending = arguments
    place, largest = _dim(x, dim), symbolic_helper._get_const(descending, "i", "descending")
    return g.op("TopK", x, _size(g, x, place), axis_i=place, largest_i=int(largest), outputs=2)


def _is_minus_infinity(g: Any, x: Any) -> Any:
    return g.op("IsInf", x, detect_positive_i=0, detect_negative_i=1)


def _is_in(g: Any, x: Any, among: Any, *_: Any) -> Any:
    same = g.op("Cast", g.op("Equal", g.op("Unsqueeze", x, _numbers(g, -1)), among), to_i=INT32)
    found = g.op("ReduceSum", same, _numbers(g, -1), keepdims_i=0)
    return g.op("Greater", found, g.op("Constant", value_t=torch.tensor(0, dtype=torch.int32)))


def _log_add_exp(g: Any, x: Any, y: Any) -> Any:
    both = g.op("Concat", *(g.op("Unsqueeze", it, _numbers(g, -1)) for it in (x, y)), axis_i=-1)
    return g.op("ReduceLogSumExp", both, axes_i=[-1], keepdims_i=0)


def _cosine(g: Any, x: Any) -> Any:
    """By the sine: older runtimes know no cosine in double precision."""
    quarter = g.op("CastLike", g.op("Constant", value_t=torch.tensor(math.pi / 2, dtype=torch.float64)), x)
    return g.op("Sin", g.op("Add", x, quarter))


SYMBOLICS: dict[str, Callable[..., Any]] = {
    "flatten": _flatten,
    "unflatten": _unflatten,
    "mT": _transposed,
    "squeeze": _squeezed,
    "sort": _sorted,
    "isneginf": _is_minus_infinity,
    "isin": _is_in,
    "logaddexp": _log_add_exp,
    "cos": _cosine,
}


@contextmanager
def registered() -> Iterator[None]:
    """Torch's exporter knows SYMBOLICS within the block."""
    for name, symbolic in SYMBOLICS.items():
        utils.register_custom_op_symbolic(f"aten::{name}", symbolic, OPSET)
    try:
        yield
    finally:
        for name in SYMBOLICS:
            utils.unregister_custom_op_symbolic(f"aten::{name}", OPSET)


class _Context:
    """What a forward pass that is written out by hand asks of autograd."""

    def __init__(self, arguments: int) -> None:
        self.needs_input_grad = (False,) * arguments

    def save_for_backward(self, *_: object) -> None: ...

    def mark_non_differentiable(self, *_: object) -> None: ...


@contextmanager
def without_autograd() -> Iterator[None]:
    """Functions whose backward pass is written out are traced into: within the block only their forward pass is there."""
    function: Any = torch.autograd.Function
    own = function.__dict__["apply"]
    function.apply = classmethod(lambda cls, *given: cls.forward(_Context(len(given)), *given))
    try:
        yield
    finally:
        function.apply = own


@contextmanager
def quiet() -> Iterator[None]:
    """Within the block torch's exporter prints nothing: without being asked, it prints all of a graph that it cannot hold."""
    functions: Any = torch._C
    own = functions._jit_onnx_log
    functions._jit_onnx_log = lambda *_: None
    try:
        yield
    finally:
        functions._jit_onnx_log = own
