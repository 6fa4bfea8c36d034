"""Temporal attention: positions that scored high at earlier steps are scored down (Sankaran et al. 2016; Paulus, Xiong
& Socher 2017)."""

import math

import torch
from torch import Tensor

from seq2seq_cli.model.attention.parts import Parts
from seq2seq_cli.model.attention.scored import Scene, ScoredAttention
from seq2seq_cli.model.products import precise
from seq2seq_cli.model.types import Attended, AttentionState, Memory


def build(parts: Parts) -> "TemporalAttention":
    return TemporalAttention(parts)


class TemporalAttention(ScoredAttention):
    """e'_t(s) = exp(e_t(s)) / sum_{j<t} exp(e_j(s)), at the first step exp(e_t(s)); the weights are e'_t(s) divided by
    their sum (Paulus, Xiong & Socher 2017, 2.1).

    The normaliser is given log e'_t(s), which stays small. The state is the logarithm of the sum in the denominator, B
    x S. It counts all positions, seen or not, and is minus infinity where nothing was summed yet.
    """

    recurrent = True

    def initial_state(self, memory: Memory) -> AttentionState:
        dtype = precise(memory.summary_BE).dtype
        return (torch.full_like(memory.mask_BS, -math.inf, dtype=dtype),)

    def pick(self, state: AttentionState, positions_RP: Tensor) -> AttentionState:
        return (state[0].gather(1, positions_RP),)

    def step(self, scene: Scene, state: AttentionState) -> tuple[Attended, AttentionState]:
        (past_BS,) = state
        energies_BS = self.score(scene.queries_BTA, scene.memory).squeeze(1)
        tempered_BS = energies_BS - past_BS.masked_fill(past_BS.isneginf(), 0)
        # A location past the table has an energy of minus infinity at every step, and logaddexp of two of these has NaN
        # for a gradient.
        never_BS = energies_BS.isneginf()
        past_BS = torch.logaddexp(past_BS, energies_BS.masked_fill(never_BS, 0)).masked_fill(never_BS, -math.inf)
        return self.read(tempered_BS[:, None], scene), (past_BS,)
