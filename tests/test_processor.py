"""What is computed how follows from the processor and from what the environment allows."""

import pytest
import torch

from seq2seq_cli.processor import Choices, choices

CAPS = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")


@pytest.fixture
def amx(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A processor that has everything."""
    for name in CAPS:
        monkeypatch.delenv(name, raising=False)
    for check in ("_is_avx512_bf16_supported", "_is_amx_tile_supported", "_is_vnni_supported"):
        monkeypatch.setattr(torch.cpu, check, lambda: True, raising=False)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    monkeypatch.setattr(torch.ops.mkldnn, "_linear_pointwise", None, raising=False)
    monkeypatch.setattr(torch.ops.mkldnn, "_reorder_linear_weight", None, raising=False)
    return monkeypatch


@pytest.mark.parametrize(
    ("cap", "packed"),
    [
        ("", True),
        ("ALL", True),
        ("AVX512_CORE_AMX", True),
        ("avx10_1_512_amx_fp16", True),
        ("AVX512_CORE_FP16", False),
        ("AVX512_CORE_BF16", False),
        ("avx2", False),
    ],
)
@pytest.mark.parametrize("name", CAPS)
def test_weights_are_packed_where_onednn_may_use_amx(
    amx: pytest.MonkeyPatch, name: str, cap: str, packed: bool
) -> None:
    amx.setenv(name, cap)
    assert choices().packed == packed


def test_weights_are_not_packed_without_amx(amx: pytest.MonkeyPatch) -> None:
    amx.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False, raising=False)
    assert not choices().packed


def test_nothing_is_given_to_onednn_where_torch_has_none(amx: pytest.MonkeyPatch) -> None:
    amx.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    chosen = choices()
    assert (chosen.onednn_bf16, chosen.onednn_fp32, chosen.packed) == (False, False, False)


def test_they_are_the_same_every_time() -> None:
    """Timing would not be, and a resumed training neither."""
    assert choices() == choices()


def test_in_words() -> None:
    plain = Choices(bf16=True, int8=True, onednn_bf16=True, onednn_fp32=True, packed=False)
    assert str(plain) == "products in bf16 and fp32 by oneDNN"
    assert str(plain._replace(onednn_fp32=False, packed=True)) == "products in bf16 by oneDNN, weights of steps packed"
    assert str(plain._replace(onednn_bf16=False, onednn_fp32=False)) == "products by torch's own library"
