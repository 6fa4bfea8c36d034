"""Matrix products, picking rows of matrices, and a tanh, each in the quickest way that torch has."""

import torch
from torch import Tensor, nn

ONEDNN = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")
"""Whether torch has oneDNN's linear map (which its own compiler uses as well)."""
BFLOAT16 = ONEDNN and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
"""Whether torch has oneDNN's linear map in bfloat16: not on processors without AVX-512, nor where ONEDNN_MAX_CPU_ISA
forbids it. (Torch's own linear map also calls oneDNN, but adds the bias more slowly.)"""
FLOAT32 = BFLOAT16 and torch.backends.cpu.get_cpu_capability() == "AVX512"
"""Whether oneDNN's linear map is the quicker one in float32. Torch itself calls MKL, which uses only half the vector
width of AMD's processors with AVX-512 (measured on Zen 5: 100 against oneDNN's 220 GFLOP/s). With AVX2, MKL is quicker;
it also need not compile for each new shape (see docs/performance.md). On all other processors torch's own is used as
well."""


def compute_dtype(x: Tensor) -> torch.dtype:
    """The type that products with ``x`` are computed in: autocast's where it is on, otherwise that of ``x``."""
    device = x.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype


def precise(x: Tensor) -> Tensor:
    """``x`` in float32, or unchanged if it is in float64."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def fast_tanh(x: Tensor) -> Tensor:
    """tanh(x) = 2 sigmoid(2x) - 1: on a CPU torch's tanh takes seven times as long as its sigmoid."""
    return (2 * x).sigmoid_().mul(2).sub_(1)


UNIT = 16
"""oneDNN is given a multiple of UNIT rows (fewer: a power of two; many: see `room`). It compiles a product anew for each
number of rows: half a millisecond and half a megabyte, and eight milliseconds on a processor with AMX, where a small
product takes a tenth of one."""

SUMMED = 8
"""At most one in so many rows of zeros is added to those that are summed over (`outer`)."""


def room(rows: int, unit: int = UNIT, share: int = 16) -> int:
    """How many rows oneDNN is given instead of ``rows``: a multiple of ``unit``, or of a larger power of two where that
    adds at most one row in ``share``."""
    if rows <= unit:
        return 1 << max(0, rows - 1).bit_length()
    unit = max(unit, 1 << (rows // share).bit_length() - 1) if rows > 512 else unit
    return -(-rows // unit) * unit


def padded(x_NI: Tensor, unit: int = UNIT, share: int = 16) -> Tensor:
    """``x``, with rows of zeros behind it where oneDNN would otherwise compile a product for its number of rows."""
    missing = room(len(x_NI), unit, share) - len(x_NI) if _by_onednn(x_NI) else 0
    return nn.functional.pad(x_NI, (0, 0, 0, missing)) if missing else x_NI


def linear(x_NI: Tensor, weight_OI: Tensor, bias_O: Tensor | None = None) -> Tensor:
    """x W^T + b in the type of ``x``, whatever autocast says; without a gradient."""
    if _by_onednn(x_NI):
        return _onednn_linear(padded(x_NI), weight_OI, bias_O)[: len(x_NI)]
    if compute_dtype(x_NI) == x_NI.dtype:
        return nn.functional.linear(x_NI, weight_OI, bias_O)
    with torch.autocast(x_NI.device.type, enabled=False):
        return nn.functional.linear(x_NI, weight_OI, bias_O)


def outer(left_NO: Tensor, right_NI: Tensor) -> Tensor:
    """left^T right: the sum of the outer products of the rows; without a gradient."""
    left_NO, right_NI = padded(left_NO, share=SUMMED), padded(right_NI, share=SUMMED)
    if left_NO.dtype == torch.float32 and _by_onednn(left_NO):
        return _onednn_linear(left_NO.t(), right_NI.t())
    return left_NO.t() @ right_NI


def _onednn_linear(x_NI: Tensor, weight_OI: Tensor, bias_O: Tensor | None = None) -> Tensor:
    out_NO: Tensor = torch.ops.mkldnn._linear_pointwise(_dense(x_NI), _dense(weight_OI), bias_O, "none", [], "")
    return out_NO


def _dense(x: Tensor) -> Tensor:
    # Rows that are not dense in memory go to a reference implementation, a thousand times as slow.
    return x if x.is_contiguous() or x.t().is_contiguous() else x.contiguous()


def _by_onednn(x: Tensor) -> bool:
    has_it = FLOAT32 if x.dtype == torch.float32 else BFLOAT16 and x.dtype == torch.bfloat16
    return has_it and x.device.type == "cpu" and x.numel() > 0


def pick(x_BSI: Tensor, positions_RP: Tensor) -> Tensor:
    """The vectors at some positions of each row: B x S x I -> R x P x I, in a fifth of the time of a gather.

    R is B or a multiple of it: then consecutive rows pick from the same sentence.
    """
    rows_R = torch.arange(len(positions_RP), device=x_BSI.device) // (len(positions_RP) // len(x_BSI))
    picked_NI: Tensor = x_BSI.flatten(0, 1).index_select(0, (rows_R[:, None] * x_BSI.shape[1] + positions_RP).flatten())
    return picked_NI.view(*positions_RP.shape, -1)


def mixtures(weights_RTGS: Tensor, x_BSI: Tensor) -> Tensor:
    """G weighted sums of each row's vectors for each of T steps: R T x G x I (R as in ``pick``)."""
    by_sentence_BNS = weights_RTGS.reshape(len(x_BSI), -1, weights_RTGS.shape[-1])
    return (by_sentence_BNS @ x_BSI).view(-1, weights_RTGS.shape[2], x_BSI.shape[2])
