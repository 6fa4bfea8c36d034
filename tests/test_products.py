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
from seq2seq_cli.kinds.attentions import KINDS
from seq2seq_cli.model import products
from seq2seq_cli.model.products import Matrix, linear, outer, padded, room

DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
ONEDNN = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")
TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 0.1, torch.float64: 1e-12}


def choose(monkeypatch: pytest.MonkeyPatch, **other: bool) -> None:
    """Other ways to compute products than this processor's own."""
    monkeypatch.setattr(products, "CHOSEN", products.CHOSEN._replace(**other))


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
    choose(monkeypatch, onednn_bf16=False)
    test_linear(torch.bfloat16, 3)


def test_float32_by_onednn_and_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever this processor would choose."""
    for by_onednn in (False, ONEDNN):
        choose(monkeypatch, onednn_fp32=by_onednn)
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
    for by_onednn in (False, ONEDNN):
        choose(monkeypatch, onednn_fp32=by_onednn)
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


@pytest.fixture
def packing(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """On any processor that has oneDNN's linear map."""
    if not hasattr(torch.ops.mkldnn, "_reorder_linear_weight") or not ONEDNN:
        pytest.skip("torch without oneDNN's packed weights")
    choose(monkeypatch, onednn_fp32=True, packed=True)
    return monkeypatch


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("rows", [0, 1, 40, 600])
def test_packed_matrices_multiply_as_plain_ones(packing: pytest.MonkeyPatch, dtype: torch.dtype, rows: int) -> None:
    generator = torch.Generator().manual_seed(rows)
    x_NI, weight_OI, bias_O = (
        torch.randn(shape, generator=generator).to(dtype) for shape in ((rows, 16), (7, 16), (7,))
    )
    gradient_NO = torch.randn(rows, 7, generator=generator).to(dtype)
    for weight in (weight_OI, weight_OI.t().contiguous().t()):
        matrix = Matrix(weight)
        for _ in range(2):  # the second time with what the first one has packed
            forth, back = matrix.product(x_NI, bias_O), matrix.back(gradient_NO)
            exact = x_NI.double() @ weight.double().t() + bias_O.double()
            torch.testing.assert_close(forth.double(), exact, rtol=0, atol=TOLERANCE[dtype])
            exact = gradient_NO.double() @ weight.double()
            torch.testing.assert_close(back.double(), exact, rtol=0, atol=TOLERANCE[dtype])


def test_weights_are_packed_once_each_way(packing: pytest.MonkeyPatch) -> None:
    packs: list[torch.Size] = []

    def pack(matrix: Tensor) -> Tensor:
        packs.append(matrix.shape)
        return matrix

    packing.setattr(products, "_pack", pack)
    matrix, x_NI = Matrix(torch.ones(3, 4)), torch.ones(90, 4)
    for _ in range(3):
        assert matrix.back(matrix.product(x_NI)).shape == (90, 4)
    assert packs == [(3, 4), (4, 3)]
    matrix.product(torch.ones(1000, 4))  # the products of all steps at once are not those of a step
    assert len(packs) == 2


@pytest.mark.parametrize("kind", [kind.name for kind in KINDS])
def test_every_kind_learns_the_same_with_packed_weights(packing: pytest.MonkeyPatch, kind: str) -> None:
    model = tiny_model(tiny_config(kind)).float()
    target = target_of([[5, 6, 7], [8], [6, 9]])
    batch = Batch(inputs_of([[6, 7], [5, 4, 8, 9], [7]]).sources, target, 9)

    def learned() -> list[Tensor]:
        model.zero_grad()
        torch.manual_seed(0)
        loss = model.loss(batch, 0.1).smoothed
        torch.autograd.backward(loss)
        return [loss.detach(), *(x.grad for x in model.parameters() if x.grad is not None)]

    packed = learned()
    choose(packing, onednn_fp32=False, packed=False)
    for one, other in zip(packed, learned(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_rows_of_zeros_are_added_for_onednn_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    x_NI = torch.ones(37, 3)
    choose(monkeypatch, onednn_fp32=False)
    assert padded(x_NI) is x_NI
    choose(monkeypatch, onednn_fp32=True)
    assert padded(x_NI).sum(1).tolist() == [3] * 37 + [0] * 11
    whole = torch.ones(48, 3)
    assert padded(whole) is whole


class Compiled(TorchDispatchMode):
    """The shapes of what oneDNN is given to multiply."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.shapes: set[tuple[torch.Size, torch.Size]] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.mkldnn._linear_pointwise.default:
            self.shapes.add((args[0].shape, args[1].shape))
        return func(*args, **kwargs or {})


@pytest.mark.skipif(not ONEDNN, reason="torch without oneDNN's linear map")
@pytest.mark.parametrize("kind", ["bahdanau", "luong-general"])
def test_batches_of_a_size_need_no_products_of_their_own(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many tokens of them are real. The forward pass, the gradients and the loss."""
    choose(monkeypatch, onednn_fp32=True)
    model = tiny_model(tiny_config(kind)).float()
    compiled = Compiled()
    counts = []
    for short in (3, 6, 11):  # of 16 x 40 positions, 610 and more are real
        target = target_of([[5] * length for length in [39] * 15 + [3 * short]])
        batch = Batch(inputs_of([[6] * 20] * 16).sources, target, int(target.real_BT.sum()))
        with compiled:
            torch.autograd.backward(model.loss(batch, 0.1).smoothed)
        counts.append(len(compiled.shapes))
    assert 10 < counts[0] == counts[-1]
