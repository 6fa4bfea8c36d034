"""No attention: the bottleneck that every mechanism is measured against."""

from torch import Tensor

from seq2seq_cli.kinds.attentions import Summary
from seq2seq_cli.model.attention.mechanism import Mechanism
from seq2seq_cli.model.attention.parts import Parts
from seq2seq_cli.model.attention.scores import ProductKeys
from seq2seq_cli.model.maps import Pass
from seq2seq_cli.model.types import Attended, AttentionState, Look, Memory, Source


def build(parts: Parts) -> "NoAttention":
    return NoAttention(parts.encoder_size, parts.config.choices.summary)


class NoAttention(Mechanism):
    """The context is the encoder's summary at every step (Cho et al. 2014), or nothing beyond the decoder's
    initial state (``summary="start"``, Sutskever, Vinyals & Le 2014)."""

    static = True

    def __init__(self, encoder_size: int, summary: Summary | None) -> None:
        super().__init__()
        self.context_size = encoder_size if summary == "every-step" else 0

    def prepare(self, encoded: Source, run: Pass) -> Memory:
        nothing = ProductKeys(encoded.states_BSE[..., :0])
        return Memory(nothing, nothing, encoded.mask_BS, encoded.summary_BE)

    def forward(
        self, query_BTD: Tensor, memory: Memory, state: AttentionState, start: int, run: Pass
    ) -> tuple[Attended, AttentionState]:
        context_BTE = memory.summary_BE[:, None, : self.context_size].expand(-1, query_BTD.shape[1], -1)
        return Attended(context_BTE, Look(query_BTD[..., :0])), state
