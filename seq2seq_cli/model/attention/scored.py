"""Score x window x normaliser: every mechanism that weighs source positions."""

import torch
from torch import Tensor, nn

from seq2seq_cli.model.attention.scores import Score
from seq2seq_cli.model.attention.windows import View
from seq2seq_cli.model.steps import OWN, AttentionWeights, Makers, StepMatrix
from seq2seq_cli.model.types import Attended, AttentionState, EncoderOutput, Memory, precise


class ScoredAttention(nn.Module):
    """c_t = sum_s a_t(s) h_s, a_t the normalised scores of the positions that the window shows."""

    recurrent = False
    static = False

    def __init__(self, encoder_size: int, score: Score, window: nn.Module, normaliser: nn.Module) -> None:
        super().__init__()
        self.context_size = encoder_size
        self.score = score
        self.window = window
        self.normaliser = normaliser

    def search_weights(self, make: Makers) -> AttentionWeights:
        return self.score.search_weights(make)

    def prepare(self, encoded: EncoderOutput, weights: AttentionWeights = OWN) -> Memory:
        states_BSE = encoded.states_BSE
        values = StepMatrix(precise(states_BSE), dtype=precise(states_BSE).dtype)
        keys_BSA = self.score.keys(states_BSE) if weights.key is None else weights.key.product(states_BSE)
        keys = self.score.shared(precise(keys_BSA), weights.query)
        return Memory(values, keys, encoded.mask_BS, encoded.summary_BE)

    def initial_state(self, memory: Memory) -> AttentionState:
        return ()

    def forward(
        self, query_BTD: Tensor, memory: Memory, state: AttentionState, start: int
    ) -> tuple[Attended, AttentionState]:
        view = self.window(query_BTD, memory, start)
        queries_BTA = precise(self.score.queries(query_BTD, memory))
        # The projections may be in bfloat16, but not what follows: the gradients of energies and weights are
        # small differences between positions, which 8 bits round away while the attention is still flat, so
        # that it takes epochs longer to form.
        with torch.autocast(query_BTD.device.type, enabled=False):
            near_BP = view.near()
            if near_BP is None:
                context_BTE, weights_BTS = self._attend(queries_BTA, memory, view)
            else:
                context_BTE, weights_B1P = self._attend(queries_BTA, memory.pick(near_BP), view.pick(near_BP))
                everywhere_B1S = weights_B1P.new_zeros(view.mask_BTS.shape)
                weights_BTS = everywhere_B1S.scatter(2, near_BP[:, None], weights_B1P)
        return Attended(context_BTE, weights_BTS, view.centre_BT), state

    def _attend(self, queries_BTA: Tensor, memory: Memory, view: View) -> tuple[Tensor, Tensor]:
        weights_BTS = self.normaliser(self.score(queries_BTA, memory), view.mask_BTS)
        if view.factor_BTS is not None:
            weights_BTS = weights_BTS * view.factor_BTS
        return memory.values.mixture(weights_BTS), weights_BTS
