"""Self-attention: each position of a sentence looks at the sentence itself."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from seq2seq_cli.config.self_attention import SelfAttentionConfig
from seq2seq_cli.model.attention.heads import mixed, weighed
from seq2seq_cli.model.attention.normalisers import Softmax
from seq2seq_cli.model.attention.parts import normaliser_of
from seq2seq_cli.model.attention.windows import MANY
from seq2seq_cli.model.dropout import Dropout
from seq2seq_cli.model.layers.past import Past
from seq2seq_cli.model.maps import Linear, Pass
from seq2seq_cli.model.packing import Packing
from seq2seq_cli.model.positions import turned
from seq2seq_cli.model.types import Look


class Projected(NamedTuple):
    """Queries, keys and values of T positions, of each head."""

    queries_BHTI: Tensor
    keys_BHTI: Tensor
    values_BHTI: Tensor


class SelfAttention(nn.Module):
    """head_i = Attention(x W_i^Q, x W_i^K, x W_i^V); [head_1; ...; head_h] W^O (Vaswani et al. 2017, 3.2.2 and 3.2.3).

    ``causal``: whether a position sees nothing after itself. With a local window it sees at most ``radius`` positions on
    either side. ``rotary``: whether queries and keys are turned by their positions.
    """

    def __init__(self, size: int, config: SelfAttentionConfig, causal: bool, rotary: bool) -> None:
        super().__init__()
        numbers = config.numbers
        self.heads, self.causal, self.rotary = numbers.heads, causal, rotary
        self.radius = numbers.radius if numbers.window == "local" else None
        self.scale = (size // numbers.heads) ** -0.5
        self.project = Linear(size, 3 * size, bias=False)
        self.output = Linear(size, size, bias=False)
        self.normaliser = normaliser_of(numbers.normaliser, numbers.temperature, numbers.top_k)
        self.dropout = Dropout(numbers.dropout)

    def nothing(self, rows: int, like: Tensor) -> Past:
        """The past before the first position."""
        return Past.empty(rows, self.heads, self.output.in_features // self.heads, like)

    def whole(self, x_ND: Tensor, packing: Packing, mask_BS: Tensor, run: Pass) -> tuple[Tensor, Look]:
        """All positions of whole sentences, ``packing`` of which are given: those where ``mask_BS`` is True."""
        heads = self._projected(x_ND, packing, 0, run)
        context_BHSI, weights_BHSS = self._attend(heads, heads.keys_BHTI, heads.values_BHTI, mask_BS, run)
        return self._joined(context_BHSI, packing, run), _look(weights_BHSS, context_BHSI)

    def forward(self, x_ND: Tensor, packing: Packing, past: Past, start: int, run: Pass) -> tuple[Tensor, Past, Look]:
        """T positions of each sentence, the first of which is number ``start``, given the ``past``; and what is past after
        them."""
        heads = self._projected(x_ND, packing, start, run)
        seen = past.then(heads.keys_BHTI, heads.values_BHTI)
        heads = heads._replace(queries_BHTI=heads.queries_BHTI.to(seen.keys_BHCI.dtype))
        context_BHTI, weights_BHTS = self._attend(heads, seen.keys_BHPI, seen.values_BHPI, None, run)
        kept = seen if self.radius is None else seen.last(self.radius)
        return self._joined(context_BHTI, packing, run), kept, _look(weights_BHTS, context_BHTI)

    def _projected(self, x_ND: Tensor, packing: Packing, start: int, run: Pass) -> Projected:
        parts_BT3HI = packing.spread(run.map(self.project).product(x_ND)).unflatten(2, (3, self.heads, -1))
        queries, keys, values = parts_BT3HI.permute(2, 0, 3, 1, 4).contiguous().unbind(0)
        if self.rotary:
            positions_T = torch.arange(start, start + packing.positions, device="cpu")
            queries, keys = turned(queries, positions_T), turned(keys, positions_T)
        return Projected(queries, keys, values)

    def _joined(self, context_BHTI: Tensor, packing: Packing, run: Pass) -> Tensor:
        return run.map(self.output).product(packing.packed(context_BHTI.transpose(1, 2).flatten(2)))

    def _attend(
        self, heads: Projected, keys_BHSI: Tensor, values_BHSI: Tensor, mask_BS: Tensor | None, run: Pass
    ) -> tuple[Tensor, Tensor | None]:
        """Contexts of the queries, and the weights where somebody wants them."""
        steps, positions = heads.queries_BHTI.shape[2], keys_BHSI.shape[2]
        if self.radius is not None and steps == positions >= MANY * (2 * self.radius + 1) and not run.inward:
            return self._in_blocks(heads, mask_BS), None
        mask = self._mask(steps, positions, mask_BS, keys_BHSI.device)
        return self._mixture(heads.queries_BHTI, keys_BHSI, values_BHSI, mask, run.inward)

    def _mixture(
        self, queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None, looking: bool
    ) -> tuple[Tensor, Tensor | None]:
        drops = self.training and self.dropout.p > 0
        if isinstance(self.normaliser, Softmax) and not looking and not drops:
            return mixed(queries, keys, values, mask, self.normaliser.temperature / self.scale), None
        weights = weighed(queries * self.scale, keys, mask, self.normaliser)
        return self.dropout(weights).to(values.dtype) @ values, weights

    def _mask(self, steps: int, positions: int, mask_BS: Tensor | None, device: torch.device) -> Tensor | None:
        """Where the last ``steps`` of ``positions`` may look; None: everywhere."""
        if mask_BS is not None and self.radius is None:
            return mask_BS[:, None, None]
        if steps == 1 and mask_BS is None:  # whatever is too far away has been forgotten
            return None
        s_S = torch.arange(positions, device=device)
        t_T1 = s_S[positions - steps :, None]
        return self._sees(t_T1, s_S, None if mask_BS is None else mask_BS[:, None, None])

    def _sees(self, t_T1: Tensor, s_S: Tensor, real: Tensor | None) -> Tensor:
        """Whether position t may look at position s. Each sees itself, so that padding has something to see."""
        near = s_S <= t_T1 if self.causal else torch.ones_like(t_T1 == s_S)
        if self.radius is not None:
            near = near & ((t_T1 - s_S).abs() <= self.radius)
        return near if real is None else near & (real | (t_T1 == s_S))

    def _in_blocks(self, heads: Projected, mask_BS: Tensor | None) -> Tensor:
        """A local window over many positions: the positions come in blocks of ``radius``, and each block looks at itself and
        at the blocks beside it alone. So a position costs three times ``radius`` scores, not one for each position."""
        assert self.radius is not None
        size, (batch, _, positions, _) = self.radius, heads.queries_BHTI.shape
        blocks = -(-positions // size)
        after = 0 if self.causal else size
        room = blocks * size - positions

        def around(x_BHSI: Tensor) -> Tensor:
            padded = nn.functional.pad(x_BHSI, (0, 0, size, room + after))
            return padded.unfold(2, 2 * size + after, size).transpose(-2, -1)

        queries_BHGTI = nn.functional.pad(heads.queries_BHTI, (0, 0, 0, room)).unflatten(2, (blocks, size))
        real_BS = heads.keys_BHTI.new_ones(batch, positions, dtype=torch.bool) if mask_BS is None else mask_BS
        real_BGP = nn.functional.pad(real_BS, (size, room + after)).unfold(1, 2 * size + after, size)
        t_T1 = torch.arange(size, device=real_BS.device)[:, None]
        s_P = torch.arange(-size, size + after, device=real_BS.device)
        mask_B1GTP = self._sees(t_T1, s_P, real_BGP[:, None, :, None])
        keys, values = around(heads.keys_BHTI), around(heads.values_BHTI)
        context_BHGTI, _ = self._mixture(queries_BHGTI, keys, values, mask_B1GTP, looking=False)
        return context_BHGTI.flatten(2, 3)[:, :, :positions]


def _look(weights_BHTS: Tensor | None, context_BHTI: Tensor) -> Look:
    if weights_BHTS is None:
        return Look(context_BHTI[:, 0, :, :0])
    return Look(weights_BHTS.mean(1), heads_BTHS=weights_BHTS.transpose(1, 2))
