"""Matrix products, picking rows of matrices, and a tanh, each in the quickest way that torch has."""

import torch
from torch import Tensor, nn

from seq2seq_cli.processor import UNIT, choices

CHOSEN = choices()
"""How products are computed here. Tests put others in its place."""

SUMMED = 8
"""At most one in so many rows of zeros is added to those that are summed over (`outer`)."""
SHARE = 16
"""The same of all other products."""


MANY, USUAL = 512, 96
"""More rows than the first are not those of a step; the second are what steps usually have in training."""


def room(rows: int, unit: int = UNIT, share: int = SHARE) -> int:
    """How many rows oneDNN is given instead of ``rows``: a multiple of ``unit``, or of a larger power of two where that
    adds at most one row in ``share``."""
    if rows <= unit:
        return 1 << max(0, rows - 1).bit_length()
    unit = max(unit, 1 << (rows // share).bit_length() - 1) if rows > MANY else unit
    return -(-rows // unit) * unit


def room_on(device: torch.device, rows: int) -> int:
    """The same where oneDNN multiplies there in any precision; elsewhere ``rows``."""
    return room(rows) if device.type == "cpu" and (CHOSEN.onednn_fp32 or CHOSEN.onednn_bf16) else rows


def padded(x_NI: Tensor, unit: int = UNIT, share: int = SHARE) -> Tensor:
    """``x``, with rows of zeros behind it where oneDNN would otherwise compile a product for its number of rows."""
    missing = room(len(x_NI), unit, share) - len(x_NI) if _by_onednn(x_NI) else 0
    return nn.functional.pad(x_NI, (0, 0, 0, missing)) if missing else x_NI


def compute_dtype(x: Tensor) -> torch.dtype:
    """The type that products with ``x`` are computed in: autocast's where it is on, otherwise that of ``x``."""
    device = x.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype


def precise(x: Tensor) -> Tensor:
    """``x`` in float32, or unchanged if it is in float64."""
    return x if x.dtype in (torch.float32, torch.float64) else x.float()


def fast_tanh(x: Tensor) -> Tensor:
    """tanh(x) = 2 sigmoid(2x) - 1: on a CPU torch's tanh takes seven times as long as its sigmoid."""
    return (2 * x).sigmoid_().mul(2).sub_(1)


def linear(x_NI: Tensor, weight_OI: Tensor, bias_O: Tensor | None = None, relu: bool = False) -> Tensor:
    """x W^T + b, or relu(x W^T + b), in the type of ``x``, whatever autocast says; without a gradient."""
    if _by_onednn(x_NI):
        return _onednn_linear(padded(x_NI), weight_OI, bias_O, relu)[: len(x_NI)]
    if relu:
        return linear(x_NI, weight_OI, bias_O).relu_()
    if compute_dtype(x_NI) == x_NI.dtype:
        return nn.functional.linear(x_NI, weight_OI, bias_O)
    with torch.autocast(x_NI.device.type, enabled=False):
        return nn.functional.linear(x_NI, weight_OI, bias_O)


def outer(left_NO: Tensor, right_NI: Tensor, share: int = SUMMED) -> Tensor:
    """left^T right: the sum of the outer products of the rows; without a gradient. ``share``: at most one in so many rows of
    zeros is added."""
    left_NO, right_NI = padded(left_NO, share=share), padded(right_NI, share=share)
    if left_NO.dtype == torch.float32 and _by_onednn(left_NO):
        return _onednn_linear(left_NO.t(), right_NI.t())
    return left_NO.t() @ right_NI


def _onednn_linear(x_NI: Tensor, weight_OI: Tensor, bias_O: Tensor | None = None, relu: bool = False) -> Tensor:
    then = "relu" if relu else "none"
    out_NO: Tensor = torch.ops.mkldnn._linear_pointwise(_dense(x_NI), _dense(weight_OI), bias_O, then, [], "")
    return out_NO


def _dense(x: Tensor) -> Tensor:
    # Rows that are not dense in memory go to a reference implementation, a thousand times as slow.
    return x if x.is_mkldnn or x.is_contiguous() or x.t().is_contiguous() else x.contiguous()


def _by_onednn(x: Tensor) -> bool:
    has_it = CHOSEN.onednn_fp32 if x.dtype == torch.float32 else CHOSEN.onednn_bf16 and x.dtype == torch.bfloat16
    return has_it and x.device.type == "cpu" and x.numel() > 0


class Matrix:
    """A matrix M, O x I, that vectors are multiplied by again and again; without gradients.

    For products of few rows, as steps have, it is packed as oneDNN reads it, where that pays (``Choices.packed``): once
    for the products with M and once for those with its transpose.
    """

    def __init__(self, matrix_OI: Tensor) -> None:
        self.plain_OI = matrix_OI
        self._packed: Tensor | None = None
        self._packed_back: Tensor | None = None

    def product(self, x_NI: Tensor, bias_O: Tensor | None = None, relu: bool = False) -> Tensor:
        """x M^T + b, or relu(x M^T + b)."""
        if not self._packs(x_NI):
            return linear(x_NI, self.plain_OI, bias_O, relu)
        rows_NI = padded(x_NI)
        if self._packed is None:
            self._packed = _pack(self.plain_OI)
        return _onednn_linear(rows_NI, self._packed, bias_O, relu)[: len(x_NI)]

    def back(self, gradient_NO: Tensor) -> Tensor:
        """The gradient of x, from that of x M^T."""
        if not self._packs(gradient_NO):
            return linear(gradient_NO, self.plain_OI.t())
        rows_NO = padded(gradient_NO)
        if self._packed_back is None:
            self._packed_back = _pack(self.plain_OI.t())
        return _onednn_linear(rows_NO, self._packed_back)[: len(gradient_NO)]

    def _packs(self, x: Tensor) -> bool:
        return CHOSEN.packed and len(x) <= MANY and _by_onednn(x)


def _pack(matrix_OI: Tensor) -> Tensor:
    """The matrix as oneDNN likes to read it in products of ``USUAL`` rows: always the same, whichever product is the first
    and whichever thread computes it."""
    packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(matrix_OI.contiguous(), USUAL)
    return packed


def pick(x_BSI: Tensor, positions_RP: Tensor) -> Tensor:
    """The vectors at some positions of each row: B x S x I -> R x P x I, in a fifth of the time of a gather.

    R is B or a multiple of it: then consecutive rows pick from the same sentence.
    """
    rows_R = torch.arange(positions_RP.shape[0], device=x_BSI.device) // (positions_RP.shape[0] // x_BSI.shape[0])
    picked_NI: Tensor = x_BSI.flatten(0, 1).index_select(0, (rows_R[:, None] * x_BSI.shape[1] + positions_RP).flatten())
    return picked_NI.view(*positions_RP.shape, -1)


def mixtures(weights_RTGS: Tensor, x_BSI: Tensor) -> Tensor:
    """G weighted sums of each row's vectors for each of T steps: R T x G x I (R as in ``pick``)."""
    by_sentence_BNS = weights_RTGS.reshape(x_BSI.shape[0], -1, weights_RTGS.shape[-1])
    return (by_sentence_BNS @ x_BSI).view(-1, weights_RTGS.shape[2], x_BSI.shape[2])
