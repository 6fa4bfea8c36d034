"""Products are torch's, whoever computes them and however the matrices lie in memory."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from models import tiny_config, tiny_model
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from seq2seq_cli.data.batching import inputs_of, target_of
from seq2seq_cli.inputs import Batch
from seq2seq_cli.model import products
from seq2seq_cli.model.products import linear, outer, padded, room

DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 0.1, torch.float64: 1e-12}


def layouts(rows: int, columns: int, dtype: torch.dtype) -> list[Tensor]:
    """The same matrix packed, transposed, and as part of a wider one."""
    matrix = torch.randn(rows, columns + 5, generator=torch.Generator().manual_seed(rows)).to(dtype)[:, :columns]
    return [matrix.contiguous(), matrix.t().contiguous().t(), matrix]


@DTYPES
@pytest.mark.parametrize("rows", [0, 1, 3, 40])
def test_linear(dtype: torch.dtype, rows: int) -> None:
    bias = torch.arange(7).to(dtype)
    for x in layouts(rows, 16, dtype):
        for weight in layouts(7, 16, dtype):
            expected = nn.functional.linear(x.double(), weight.double(), bias.double())
            for mine, exact in ((linear(x, weight, bias), expected), (linear(x, weight), expected - bias)):
                assert mine.dtype == dtype
                torch.testing.assert_close(mine.double(), exact, rtol=0, atol=TOLERANCE[dtype])


def test_linear_in_bfloat16_where_onednn_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on processors without AVX-512, which may still be asked for it."""
    monkeypatch.setattr(products, "BFLOAT16", False)
    test_linear(torch.bfloat16, 3)


def test_float32_by_onednn_and_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever this processor would choose."""
    for by_onednn in (False, products.ONEDNN):
        monkeypatch.setattr(products, "FLOAT32", by_onednn)
        for rows in (0, 1, 40):
            test_linear(torch.float32, rows)
        test_outer(torch.float32)


@DTYPES
def test_outer(dtype: torch.dtype) -> None:
    for left in layouts(40, 16, dtype):
        for right in layouts(40, 9, dtype):
            expected = left.double().t() @ right.double()
            torch.testing.assert_close(outer(left, right).double(), expected, rtol=0, atol=TOLERANCE[dtype])


def test_autocast_does_not_change_the_type_of_a_product(monkeypatch: pytest.MonkeyPatch) -> None:
    x_NI, weight_OI = torch.randn(5, 4), torch.randn(3, 4)
    for by_onednn in (False, products.ONEDNN):
        monkeypatch.setattr(products, "FLOAT32", by_onednn)
        with torch.autocast("cpu", torch.bfloat16):
            product_NO = linear(x_NI, weight_OI)
        torch.testing.assert_close(product_NO, x_NI @ weight_OI.T)


def test_few_numbers_of_rows_by_hand() -> None:
    given = {0: 1, 1: 1, 3: 4, 9: 16, 16: 16, 17: 32, 100: 112, 512: 512, 513: 544, 1500: 1536, 2049: 2176}
    assert {rows: room(rows) for rows in given} == given
    assert [room(rows, 32) for rows in (5, 32, 33, 250, 600)] == [8, 32, 64, 256, 608]
    assert [room(rows, share=8) for rows in (100, 600, 1300, 1500)] == [112, 640, 1408, 1536]


@given(st.integers(1, 10_000), st.sampled_from([16, 32]), st.sampled_from([8, 16]))
def test_few_numbers_of_rows(rows: int, unit: int, share: int) -> None:
    wide = room(rows, unit, share)
    assert rows <= wide < rows + max(unit, rows / share)
    assert wide <= 2 * rows
    assert room(wide, unit, share) == wide


def test_rows_of_zeros_are_added_for_onednn_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    x_NI = torch.ones(37, 3)
    monkeypatch.setattr(products, "FLOAT32", False)
    assert padded(x_NI) is x_NI
    monkeypatch.setattr(products, "FLOAT32", True)
    assert padded(x_NI).sum(1).tolist() == [3] * 37 + [0] * 11
    whole = torch.ones(48, 3)
    assert padded(whole) is whole


class Compiled(TorchDispatchMode):
    """The shapes of what oneDNN is given to multiply."""

    def __init__(self) -> None:
        super().__init__()
        self.shapes: set[tuple[torch.Size, torch.Size]] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.mkldnn._linear_pointwise.default:
            self.shapes.add((args[0].shape, args[1].shape))
        return func(*args, **kwargs or {})


@pytest.mark.skipif(not products.ONEDNN, reason="torch without oneDNN's linear map")
@pytest.mark.parametrize("kind", ["bahdanau", "luong-general"])
def test_batches_of_a_size_need_no_products_of_their_own(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many tokens of them are real. The forward pass, the gradients and the loss."""
    monkeypatch.setattr(products, "FLOAT32", True)
    model = tiny_model(tiny_config(kind)).float()
    compiled = Compiled()
    counts = []
    for short in range(3, 12):  # of 16 x 40 positions, 610 and more are real
        target = target_of([[5] * length for length in [39] * 15 + [3 * short]])
        batch = Batch(inputs_of([[6] * 20] * 16).sources, target, int(target.real_BT.sum()))
        with compiled:
            torch.autograd.backward(model.loss(batch, 0.1).smoothed)
        counts.append(len(compiled.shapes))
    assert 10 < counts[0] == counts[-1]
