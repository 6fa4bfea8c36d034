"""Positions side by side: packed and spread again, in every precision alike."""

import pytest
import torch
from torch import Tensor

from seq2seq_cli.model import products
from seq2seq_cli.model.packing import Packing

MASK_BS = torch.arange(5) < torch.tensor([[5], [2], [4]])


@pytest.fixture(params=[(False, False), (False, True), (True, False), (True, True)], ids=str)
def _any_processor(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    fp32, bf16 = request.param
    monkeypatch.setattr(products, "CHOSEN", products.CHOSEN._replace(onednn_fp32=fp32, onednn_bf16=bf16))


def numbered() -> Tensor:
    return (torch.arange(3 * 5 * 2).view(3, 5, 2) + 1.0).requires_grad_()


@pytest.mark.usefixtures("_any_processor")
def test_as_many_rows_in_every_precision() -> None:
    for packing in (Packing.real(MASK_BS), Packing.all(numbered())):
        sizes = {packing.packed(numbered().to(dtype)).shape for dtype in (torch.float32, torch.bfloat16, torch.float64)}
        assert len(sizes) == 1


@pytest.mark.usefixtures("_any_processor")
def test_what_is_packed_comes_back() -> None:
    x_BSI, packing = numbered(), Packing.real(MASK_BS)
    packed_NI = packing.packed(x_BSI)
    assert torch.equal(packed_NI[:11], x_BSI[MASK_BS])
    assert not packed_NI[11:].any()
    spread_BSI = packing.spread(packed_NI)
    assert torch.equal(spread_BSI, x_BSI * MASK_BS[..., None])
    weight_BSI = torch.rand(3, 5, 2)
    (spread_BSI * weight_BSI).sum().backward()
    assert x_BSI.grad is not None
    assert torch.equal(x_BSI.grad, weight_BSI * MASK_BS[..., None])
    whole = Packing.all(x_BSI)
    assert torch.equal(whole.spread(whole.packed(x_BSI)), x_BSI)
    assert Packing.real(torch.ones(3, 5, dtype=torch.bool)).index_N is None
