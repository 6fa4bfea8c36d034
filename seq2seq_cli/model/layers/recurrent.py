"""The decoder layer of the papers: a recurrence, an attention, and where the context enters."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from seq2seq_cli.config.model import ModelConfig
from seq2seq_cli.inputs import TEXT
from seq2seq_cli.model.layers.bridge import Bridge
from seq2seq_cli.model.layers.recurrence import Recurrence, States
from seq2seq_cli.model.maps import Linear, Pass, joined
from seq2seq_cli.model.types import (
    Attention,
    AttentionState,
    Encoder,
    LayerMemories,
    LayerOutput,
    Look,
    Memory,
    Sources,
)


class RecurrentCarry(NamedTuple):
    """What is carried from step to step. ``hidden`` and ``cell`` hold one B x D tensor for each layer of the RNN
    (``cell`` is () for a GRU). ``feed_BF`` joins the next step's input (it has no columns where nothing does).
    ``attention`` is the state of the mechanism."""

    hidden: States
    cell: States
    feed_BF: Tensor
    attention: AttentionState


class StepsOutput(NamedTuple):
    """What U steps yield: their outputs, where they looked, and what they carry on."""

    outputs_BUF: Tensor
    look: Look
    carry: RecurrentCarry


class RecurrentLayer(nn.Module):
    """An RNN that attends to the text. A subclass says where the context enters, by its ``block``.

    ``size``: the size of the features. ``fresh_size``: how many of them, from the first on, have not been through a
    dropout. Where step t needs step t-1, the steps are taken one by one; otherwise in one call, unless the pass is
    stepping.
    """

    size: int
    fresh_size: int
    bridge: Bridge

    def __init__(self, attention: Attention, recurrence: Recurrence, feed_size: int = 0) -> None:
        super().__init__()
        self.attention = attention
        self.recurrence = recurrence
        self.feed_size = feed_size

    def prepare(self, sources: Sources, run: Pass) -> LayerMemories:
        return {TEXT: self.attention.prepare(sources[TEXT], run)}

    def begin(self, sources: Sources, memories: LayerMemories, run: Pass) -> RecurrentCarry:
        hidden, cell = self.bridge(sources[TEXT].summary_BE, run)
        feed_BF = hidden[-1].new_zeros(hidden[-1].shape[0], self.feed_size)
        return RecurrentCarry(hidden, cell, feed_BF, self.attention.initial_state(memories[TEXT]))

    def pick(self, carry: RecurrentCarry, positions_RP: Tensor) -> RecurrentCarry:
        return carry._replace(attention=self.attention.pick(carry.attention, positions_RP))

    def forward(
        self, x_BTI: Tensor, memories: LayerMemories, carry: RecurrentCarry, start: int, run: Pass
    ) -> LayerOutput:
        inputs_BTI = self.recurrence.inputs(x_BTI, run)
        span = 1 if self.recurrence.by_steps(run) else inputs_BTI.shape[1]
        outputs, looks = [], []
        for number, inputs_BUI in enumerate(torch.split(inputs_BTI, span, 1)):
            block = self.block(inputs_BUI, memories[TEXT], carry, start + number * span, run)
            carry = block.carry
            outputs.append(block.outputs_BUF)
            looks.append(block.look)
        return LayerOutput(self.features(joined(outputs), x_BTI), carry, {TEXT: Look.joined(looks)})

    def features(self, outputs_BTF: Tensor, x_BTI: Tensor) -> Tensor:
        """The features of the layer, from the outputs of its steps and the embedded tokens it has read."""
        return outputs_BTF

    def block(self, inputs_BUI: Tensor, memory: Memory, carry: RecurrentCarry, start: int, run: Pass) -> StepsOutput:
        """U steps, none of which needs the output of another."""
        raise NotImplementedError


class AttendBefore(RecurrentLayer):
    """The context enters before the RNN: c_t comes from the query s_{t-1}, s_t = RNN([y_{t-1}; c_t], s_{t-1}), and the
    features are [s_t; c_t; y_{t-1}] (Bahdanau, Cho & Bengio 2015, 3.1 and A.2.2; their equation 4 has s_{t-1} where s_t
    stands here)."""

    def __init__(self, config: ModelConfig, attention: Attention, encoder: Encoder) -> None:
        stepwise = attention.recurrent or not attention.static
        recurrence = Recurrence(config, attention.context_size, stepwise, attention.bounded)
        super().__init__(attention, recurrence)
        # Context and embedding have been through a dropout where they come from. A second one was measured on Multi30k:
        # dev loss 2.27 instead of 2.22 after two epochs.
        self.fresh_size = config.hidden_size
        self.size = config.hidden_size + attention.context_size + config.embedding_size
        self.bridge = Bridge(config, encoder.output_size, encoder.bounded)

    def features(self, outputs_BTF: Tensor, x_BTI: Tensor) -> Tensor:
        return torch.cat([outputs_BTF, x_BTI], -1)

    def block(self, inputs_BUI: Tensor, memory: Memory, carry: RecurrentCarry, start: int, run: Pass) -> StepsOutput:
        # U > 1 only where the attention is static: it ignores the query, so all steps may be given the last known one.
        query_BUD = carry.hidden[-1][:, None].expand(-1, inputs_BUI.shape[1], -1)
        attended, carried = self.attention(query_BUD, memory, carry.attention, start, run)
        context_BUE = attended.context_BTE.to(query_BUD.dtype)
        top_BUD, hidden, cell = self.recurrence(inputs_BUI, context_BUE, carry.hidden, carry.cell, run)
        after = RecurrentCarry(hidden, cell, carry.feed_BF, carried)
        return StepsOutput(torch.cat([top_BUD, context_BUE], -1), attended.look, after)


class AttendAfter(RecurrentLayer):
    """The context enters after the RNN: h_t = RNN(y_{t-1}, h_{t-1}), c_t comes from the query h_t, and the features are
    the attentional vector h~_t = tanh(W_c [c_t; h_t]) (Luong, Pham & Manning 2015, 3). With input feeding, h~_{t-1}
    joins the RNN's input (3.3)."""

    def __init__(self, config: ModelConfig, attention: Attention, encoder: Encoder, input_feeding: bool) -> None:
        feed_size = config.hidden_size if input_feeding else 0
        recurrence = Recurrence(config, feed_size, attention.recurrent or input_feeding)
        super().__init__(attention, recurrence, feed_size)
        joined_size = attention.context_size + config.hidden_size
        self.combine = Linear(joined_size, config.hidden_size, bias=False, bounded=attention.bounded)
        self.size = self.fresh_size = config.hidden_size
        self.bridge = Bridge(config, encoder.output_size, encoder.bounded)

    def block(self, inputs_BUI: Tensor, memory: Memory, carry: RecurrentCarry, start: int, run: Pass) -> StepsOutput:
        feed_BUF = carry.feed_BF[:, None].expand(-1, inputs_BUI.shape[1], -1)
        top_BUD, hidden, cell = self.recurrence(inputs_BUI, feed_BUF, carry.hidden, carry.cell, run)
        attended, carried = self.attention(top_BUD, memory, carry.attention, start, run)
        joined_BUX = torch.cat([attended.context_BTE.to(top_BUD.dtype), top_BUD], -1)
        attentional_BUD = torch.tanh(run.map(self.combine).product(joined_BUX))
        after = RecurrentCarry(hidden, cell, attentional_BUD[:, -1, : self.feed_size], carried)
        return StepsOutput(attentional_BUD, attended.look, after)
