"""How fast this machine multiplies: large squares, and the few rows of a decoder's step, with the weights as they are and
packed beforehand.

python -m benchmarks.matrix_rates --threads 1
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import torch
import typer
from torch import Tensor, nn

from benchmarks import common
from seq2seq_cli.device import choose_device, choose_precision, choose_search_precision, set_threads
from seq2seq_cli.model.int8 import Int8Matrix

SQUARE = 2048
ROWS = (16, 32, 64, 96, 160)
INPUTS, OUTPUTS = 768, 2048
"""Of a decoder's LSTM at default sizes: an embedding and a state make the gates."""

Product = Callable[[], object]


@dataclass(frozen=True)
class MatrixRate:
    """``rows`` x ``inputs`` numbers times as many weights: the quickest of many products. ``library``: what multiplies;
    "torch" is what torch itself calls, MKL in its usual builds."""

    precision: str
    library: str
    weights: str
    threads: int
    rows: int
    inputs: int
    outputs: int
    gflop_per_second: float


class Way(NamedTuple):
    """One way to multiply; ``prepare`` takes x N x I and weights O x I, both in float32."""

    precision: str
    library: str
    weights: str
    prepare: Callable[[Tensor, Tensor], Product]


def _plain(dtype: torch.dtype) -> Callable[[Tensor, Tensor], Product]:
    def prepare(x_NI: Tensor, weight_OI: Tensor) -> Product:
        x, weight = x_NI.to(dtype), weight_OI.to(dtype)
        return lambda: torch.ops.mkldnn._linear_pointwise(x, weight, None, "none", [], "")

    return prepare


def _packed(dtype: torch.dtype) -> Callable[[Tensor, Tensor], Product]:
    def prepare(x_NI: Tensor, weight_OI: Tensor) -> Product:
        x = x_NI.to(dtype)
        packed = torch.ops.mkldnn._reorder_linear_weight(weight_OI.to(dtype), len(x))
        return lambda: torch.ops.mkldnn._linear_pointwise(x, packed, None, "none", [], "")

    return prepare


def _by_torch(x_NI: Tensor, weight_OI: Tensor) -> Product:
    return lambda: nn.functional.linear(x_NI, weight_OI)


def _in_int8(x_NI: Tensor, weight_OI: Tensor) -> Product:
    matrix, x = Int8Matrix(weight_OI), x_NI.clamp(-1, 1)
    return lambda: matrix.product(x)


def _has_onednn() -> bool:
    return torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def ways() -> Iterator[Way]:
    """Those that this machine has natively. 8-bit integers include rounding to them and back."""
    device = choose_device("cpu")
    if choose_precision("auto", device).name == "bf16" and _has_onednn():
        yield Way("bf16", "oneDNN", "plain", _plain(torch.bfloat16))
        yield Way("bf16", "oneDNN", "packed", _packed(torch.bfloat16))
    if _has_onednn():
        yield Way("fp32", "oneDNN", "plain", _plain(torch.float32))
        yield Way("fp32", "oneDNN", "packed", _packed(torch.float32))
    yield Way("fp32", "torch", "plain", _by_torch)
    if choose_search_precision("auto", device).name == "int8":
        yield Way("int8", "oneDNN", "packed", _in_int8)


@torch.inference_mode()
def measure(way: Way, threads: int, rows: int, inputs: int, outputs: int, seconds: float) -> MatrixRate:
    """One way, one shape."""
    torch.manual_seed(1)
    product = way.prepare(torch.randn(rows, inputs), torch.randn(outputs, inputs))
    found = common.best_rate(product, 2 * rows * inputs * outputs, seconds)
    return MatrixRate(way.precision, way.library, way.weights, threads, rows, inputs, outputs, found / 1e9)


def main(
    threads: common.Threads = None,
    seconds: Annotated[float, typer.Option(help="Of each measurement.")] = 0.3,
    as_json: common.JsonOption = False,
) -> None:
    """Rates of matrix products."""
    used = set_threads(threads)
    shapes = [(SQUARE, SQUARE, SQUARE), *((rows, INPUTS, OUTPUTS) for rows in ROWS)]
    results = [measure(way, used, *shape, seconds) for way in ways() for shape in shapes]
    common.show(results, as_json, "matrix rates")


if __name__ == "__main__":
    common.command(main)
