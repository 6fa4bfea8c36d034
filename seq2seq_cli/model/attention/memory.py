"""An external memory beside the source, read and written at each step (Meng et al. 2018)."""

import torch
from torch import Tensor, nn

from seq2seq_cli.model.attention.parts import Parts
from seq2seq_cli.model.attention.scored import ScoredAttention
from seq2seq_cli.model.maps import Linear, Pass
from seq2seq_cli.model.products import precise
from seq2seq_cli.model.types import Attended, AttentionState, Memory


def build(parts: Parts) -> "MemoryAttention":
    return MemoryAttention(parts, parts.config.numbers.slots)


class MemoryAttention(ScoredAttention):
    """The context is what is read of the source and what is read of M memory slots m_k: c_t = [sum_s a_t(s) h_s; sum_k
    w_t(k) m_k], w_t = softmax_k(q . m_k). Each slot is then written to: m_k <- m_k (1 - w_t(k) f_t) + w_t(k) u_t, where
    f_t = sigmoid(W_f q) erases and u_t = sigmoid(W_u q) adds. (Memories that are read: Weston, Chopra & Bordes 2015;
    erase and add: Graves, Wayne & Danihelka 2014, 3.2; in a translating decoder, with these gates: Meng et al. 2018.)

    The state is the slots, B x M x D, M being ``slots``. Their first values are learned.
    """

    recurrent = True
    bounded = False

    def __init__(self, parts: Parts, slots: int) -> None:
        super().__init__(parts)
        self.context_size = parts.encoder_size + parts.query_size
        self.slots_MD = nn.Parameter(torch.zeros(slots, parts.query_size))
        self.gates = Linear(parts.query_size, 2 * parts.query_size, bias=False, bounded=True)

    def initial_state(self, memory: Memory) -> AttentionState:
        return (precise(self.slots_MD).expand(memory.mask_BS.shape[0], -1, -1),)

    def forward(
        self, query_BTD: Tensor, memory: Memory, state: AttentionState, start: int, run: Pass
    ) -> tuple[Attended, AttentionState]:
        attended, (slots_BMD,) = super().forward(query_BTD, memory, state, start, run)
        gates_B1X = torch.sigmoid(precise(run.map(self.gates).product(query_BTD)))
        with torch.autocast(query_BTD.device.type, enabled=False):
            query_B1D = precise(query_BTD)
            read_B1M = (query_B1D @ slots_BMD.mT).softmax(-1)
            context_B1X = torch.cat([attended.context_BTE, read_B1M @ slots_BMD], -1)
            erase_B1D, add_B1D = gates_B1X.chunk(2, -1)
            slots_BMD = slots_BMD * (1 - read_B1M.mT * erase_B1D) + read_B1M.mT * add_B1D
        return attended._replace(context_BTE=context_B1X), (slots_BMD,)
