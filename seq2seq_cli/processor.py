"""What is computed how on this processor: every choice that depends on it, and why.

Choices follow from what the processor has and from what the environment allows oneDNN, never from timing: otherwise a
training that is resumed would not be the same bit for bit.
"""

from __future__ import annotations

import os
from typing import NamedTuple

import torch

ISAS = (
    *("SSE41", "AVX", "AVX2", "AVX2_VNNI", "AVX2_VNNI_2", "AVX512_CORE", "AVX512_CORE_VNNI", "AVX512_CORE_BF16"),
    *("AVX512_CORE_FP16", "AVX10_1_512", "AVX512_CORE_AMX"),
)
"""Instruction sets to which ONEDNN_MAX_CPU_ISA can limit oneDNN, the smallest first. Larger ones include everything
that is asked for here."""


UNIT = 16
"""Batches have a multiple of UNIT rows (see `batching.in_units`), and so has what oneDNN multiplies (see
`products.room`). It compiles a product anew for each number of rows: half a millisecond and half a megabyte, and eight
milliseconds on a processor with AMX, where a small product takes a tenth of one."""


class Choices(NamedTuple):
    """``bf16``: training computes in bfloat16 where nothing else is asked for; ``int8``: and search in 8-bit integers.
    ``onednn_bf16``, ``onednn_fp32``: products in these formats are computed by oneDNN's linear map, not by torch's
    own. ``packed``: weights that multiply at every step are packed for oneDNN once a pass.

    ``layers_by_steps``: layers of the encoder are taken step by step, not in one call of oneDNN, in a search in 8-bit
    integers. ``energies``: of how many pairs of a query and a key, times hidden units, additive energies are computed
    together.
    """

    bf16: bool
    int8: bool
    onednn_bf16: bool
    onednn_fp32: bool
    packed: bool
    layers_by_steps: bool = True
    # 1 MiB in float32. In a search with a beam of five they would be 30 MiB a step, far more than a processor's cache
    # holds, and take three times as long.
    energies: int = 2**18

    def __str__(self) -> str:
        """How products are computed, in words."""
        formats = [name for name, has in (("bf16", self.onednn_bf16), ("fp32", self.onednn_fp32)) if has]
        if not formats:
            return "products by torch's own library"
        packed = ", weights of steps packed" if self.packed else ""
        return f"products in {' and '.join(formats)} by oneDNN{packed}"


def choices() -> Choices:
    """What suits this processor, under this environment."""
    has_onednn = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    amx = _has("_is_amx_tile_supported") and _onednn_may_use("AVX512_CORE_AMX")
    # Not on processors without AVX-512, nor where ONEDNN_MAX_CPU_ISA forbids it. (Torch's own linear map also calls
    # oneDNN, but adds the bias more slowly.)
    onednn_bf16 = has_onednn and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return Choices(
        # Emulated, products in bfloat16 are slower than in float32.
        bf16=(_has("_is_avx512_bf16_supported") or _has("_is_amx_tile_supported"))
        and _onednn_may_use("AVX512_CORE_BF16"),
        # Without VNNI, sums of two products saturate at 16 bits: the results would be wrong, not just slow.
        int8=_has("_is_vnni_supported")
        and hasattr(torch.ops.onednn, "qlinear_pointwise")
        and _onednn_may_use("AVX512_CORE_VNNI"),
        onednn_bf16=onednn_bf16,
        # Torch itself calls MKL, which uses only half the vector width of AMD's processors with AVX-512 (measured on
        # Zen 5: 100 against oneDNN's 220 GFLOP/s). With AVX2, MKL is quicker; it also need not compile for each new
        # shape (see docs/performance.md). On all other processors torch's own is used as well.
        onednn_fp32=onednn_bf16 and torch.backends.cpu.get_cpu_capability() == "AVX512",
        # With AMX (Sapphire Rapids) products of 75 to 160 rows reached 230 to 320 GFLOP/s with plain weights and 370 to 440
        # with packed ones, single products measured there by themselves.
        packed=has_onednn and hasattr(torch.ops.mkldnn, "_reorder_linear_weight") and amx,
    )


def _has(check: str) -> bool:
    """Whether the processor has it, as ``torch.cpu`` says (whatever the environment forbids)."""
    return bool(getattr(torch.cpu, check, lambda: False)())


def _onednn_may_use(isa: str) -> bool:
    """Whether the environment lets oneDNN use this instruction set."""
    cap = os.environ.get("ONEDNN_MAX_CPU_ISA") or os.environ.get("DNNL_MAX_CPU_ISA", "")
    return cap.upper() not in ISAS[: ISAS.index(isa)]
