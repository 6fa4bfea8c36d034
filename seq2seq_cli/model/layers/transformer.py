"""A Transformer's decoder layer, with any attention between its halves."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from seq2seq_cli.config.model import ModelConfig
from seq2seq_cli.config.self_attention import SelfAttentionConfig
from seq2seq_cli.inputs import TEXT
from seq2seq_cli.model.layers.self_attention import SelfAttention
from seq2seq_cli.model.layers.ssru import SSRU
from seq2seq_cli.model.layers.sublayers import FeedForward, Residual
from seq2seq_cli.model.maps import Linear, Pass
from seq2seq_cli.model.packing import Packing
from seq2seq_cli.model.types import (
    Attended,
    Attention,
    AttentionState,
    LayerMemories,
    LayerOutput,
    Look,
    Memory,
    Sources,
)

ITSELF = "itself"
"""The name of the look at the sentence's own words before."""


class TransformerCarry(NamedTuple):
    """What is carried from step to step: the ``past`` of the words before, and the state of the attention."""

    past: Any
    attention: AttentionState


class Mixer(Protocol):
    """How a step reads the steps before it: masked self-attention, or a recurrence."""

    def nothing(self, rows: int, like: Tensor) -> Any:
        """The past before the first step."""
        ...

    def __call__(
        self, x_ND: Tensor, packing: Packing, past: Any, start: int, run: Pass
    ) -> tuple[Tensor, Any, Look]: ...


class TransformerLayer(nn.Module):
    """Masked self-attention (or an SSRU), attention to the source, and a feed-forward network (Vaswani et al. 2017, 3.1;
    pre-norm: Xiong et al. 2020).

    Attention may be any mechanism; one whose steps need the step before is asked step by step, and all else takes all steps
    at once. Contexts are projected to the size of the layer, unless the mechanism itself does that.
    """

    def __init__(self, config: ModelConfig, itself: SelfAttentionConfig, attention: Attention) -> None:
        super().__init__()
        size = config.hidden_size
        self.size, self.fresh_size = size, 0
        self.mixing, self.feeding = Residual(config), Residual(config)
        self.attending = Residual(config, reads=not attention.static)
        rotary = config.numbers.positions == "rotary"
        self.mixer: Mixer = (
            SSRU(size) if config.decoder == "ssru" else SelfAttention(size, itself, causal=True, rotary=rotary)
        )
        self.attention = attention
        self.context = None if attention.projected else Linear(attention.context_size, size, bias=False)
        self.feed_forward = FeedForward(config)

    def prepare(self, sources: Sources, run: Pass) -> LayerMemories:
        return {TEXT: self.attention.prepare(sources[TEXT], run)}

    def begin(self, sources: Sources, memories: LayerMemories, run: Pass) -> TransformerCarry:
        memory = memories[TEXT]
        past = self.mixer.nothing(memory.mask_BS.shape[0], memory.summary_BE)
        return TransformerCarry(past, self.attention.initial_state(memory))

    def pick(self, carry: TransformerCarry, positions_RP: Tensor) -> TransformerCarry:
        return carry._replace(attention=self.attention.pick(carry.attention, positions_RP))

    def forward(
        self, x_BTI: Tensor, memories: LayerMemories, carry: TransformerCarry, start: int, run: Pass
    ) -> LayerOutput:
        packing = Packing.all(x_BTI)
        x_ND = packing.packed(x_BTI)
        part_ND, past, inward = self.mixer(self.mixing.norm(x_ND), packing, carry.past, start, run)
        x_ND = self.mixing.add(x_ND, part_ND)
        query_BTD = packing.spread(self.attending.norm(x_ND))
        attended, state = self._attend(query_BTD, memories[TEXT], carry.attention, start, run)
        context_NE = packing.packed(attended.context_BTE)
        part_ND = context_NE if self.context is None else run.map(self.context).product(context_NE)
        x_ND = self.attending.add(x_ND, part_ND)
        x_ND = self.feeding.add(x_ND, self.feed_forward(self.feeding.norm(x_ND), run))
        return LayerOutput(packing.spread(x_ND), TransformerCarry(past, state), {TEXT: attended.look, ITSELF: inward})

    def _attend(
        self, query_BTD: Tensor, memory: Memory, state: AttentionState, start: int, run: Pass
    ) -> tuple[Attended, AttentionState]:
        if not self.attention.recurrent or query_BTD.shape[1] == 1:
            return self.attention(query_BTD, memory, state, start, run)
        contexts, looks = [], []
        for number, query_B1D in enumerate(query_BTD.split(1, 1)):
            attended, state = self.attention(query_B1D, memory, state, start + number, run)
            contexts.append(attended.context_BTE)
            looks.append(attended.look)
        return Attended(torch.cat(contexts, 1), Look.joined(looks)), state
