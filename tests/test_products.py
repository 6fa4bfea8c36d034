"""Products are torch's, whoever computes them and however the matrices lie in memory."""

import pytest
import torch
from torch import Tensor, nn

from seq2seq_cli.model import products
from seq2seq_cli.model.products import linear, outer

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
