"""Coverage: a position's score also sees how much that position was attended to before (Tu et al. 2016, 3.1.1)."""

import torch
from torch import Tensor, nn

from seq2seq_cli.model.attention.additive import AdditiveKeys
from seq2seq_cli.model.attention.parts import Parts
from seq2seq_cli.model.attention.scored import Scene, ScoredAttention
from seq2seq_cli.model.attention.scores import AdditiveScore
from seq2seq_cli.model.products import precise
from seq2seq_cli.model.types import Attended, AttentionState, Memory


def build(parts: Parts) -> "CoverageAttention":
    return CoverageAttention(parts)


class CoverageAttention(ScoredAttention):
    """e_t(s) = v^T tanh(W_1 q + W_2 h_s + w_c C_t(s)), C_t(s) = sum_{j<t} a_j(s) (See, Liu & Manning 2017, 2.3; Tu et
    al. 2016, 3.1.1, where coverage is one number and every fertility is one).

    The state is C_t, B x S. w_c begins as zeros, so that training begins from the additive score.
    """

    recurrent = True

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts, AdditiveScore(parts.query_size, parts.encoder_size, parts.size))
        self.coverage_A = nn.Parameter(torch.zeros(parts.size))

    def initial_state(self, memory: Memory) -> AttentionState:
        return (torch.zeros_like(memory.mask_BS, dtype=precise(memory.summary_BE).dtype),)

    def pick(self, state: AttentionState, positions_RP: Tensor) -> AttentionState:
        return (state[0].gather(1, positions_RP),)

    def step(self, scene: Scene, state: AttentionState) -> tuple[Attended, AttentionState]:
        (covered_BS,) = state
        attended = self.read(self._energies(scene, covered_BS), scene)
        return attended, (covered_BS + attended.look.weights_BTS.squeeze(1),)

    def _energies(self, scene: Scene, covered_RS: Tensor) -> Tensor:
        keys = scene.memory.keys
        assert isinstance(keys, AdditiveKeys)
        sentences, (rows, positions) = keys.plain.shape[0], covered_RS.shape
        covered_BK1S = covered_RS.view(sentences, rows // sentences, positions)
        inner_BKSA = keys.plain[:, None] + covered_BK1S[..., None] * self.coverage_A
        inner_BKSA = inner_BKSA + scene.queries_BTA.view(sentences, rows // sentences, 1, -1)
        # v^T tanh(x) = 2 v^T sigmoid(2x) - sum(v), as in `products.fast_tanh`: the constant part stays out of the product.
        halves_BKS = torch.sigmoid(2 * inner_BKSA) @ keys.vector_A
        return (2 * halves_BKS - keys.vector_A.sum()).view(rows, 1, positions)
