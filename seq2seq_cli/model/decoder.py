"""THE decoder forward: training calls it with all target steps, search with one; the same lines run."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from seq2seq_cli.config import ModelConfig
from seq2seq_cli.model.bridge import Bridge
from seq2seq_cli.model.dropout import Dropout
from seq2seq_cli.model.maps import Linear, Pass, joined
from seq2seq_cli.model.recurrence import Recurrence
from seq2seq_cli.model.types import Attended, Attention, DecoderOutput, DecoderState, EncoderOutput, Memory


class Maxout(nn.Module):
    """The larger of two linear maps, element by element (Goodfellow et al. 2013): F -> size."""

    def __init__(self, features_size: int, size: int) -> None:
        super().__init__()
        self.linear = Linear(features_size, 2 * size)

    def forward(self, features_NF: Tensor, run: Pass) -> Tensor:
        first, second = run.map(self.linear).product(features_NF).chunk(2, -1)
        # torch.maximum, with half of the gradient to either where they are equal; its own backward pass takes four times
        # as long on a CPU, 1% of a training step.
        share = (first - second).detach().sign().add_(1).mul_(0.5)
        larger: Tensor = first * share + second * (1 - share)
        return larger


class Block(NamedTuple):
    """What U steps of a wiring yield."""

    outputs_BUF: Tensor
    attended: Attended
    state: DecoderState


class Wiring(nn.Module):
    """Where the context enters.

    ``feed_size``: how much of a step's output joins the next one's input; ``read_out``: from a step's features to what the vocabulary is projected from; ``reads_token``:
    whether these features hold the embedding of y_{t-1} beside the outputs_BUF.
    """

    feed_size: int
    reads_token: bool
    recurrence: Recurrence

    def read_out(self, features_NF: Tensor, run: Pass) -> Tensor:
        """From features to what the vocabulary is projected from."""
        raise NotImplementedError

    def forward(self, inputs_BUI: Tensor, memory: Memory, state: DecoderState, run: Pass) -> Block:
        raise NotImplementedError


class AttendBefore(Wiring):
    """c_t from the query s_{t-1}; s_t = RNN([y_{t-1}; c_t], s_{t-1}); the readout is a maxout of
    [s_t; c_t; y_{t-1}] (Bahdanau, Cho & Bengio 2015, 3.1 and A.2.2, where s_t of equation 4 is written s_{t-1})."""

    feed_size = 0
    reads_token = True

    def __init__(self, config: ModelConfig, attention: Attention, readout_size: int) -> None:
        super().__init__()
        self.attention = attention
        stepwise = attention.recurrent or not attention.static
        self.recurrence = Recurrence(config, attention.context_size, stepwise, attention.bounded)
        features_size = config.hidden_size + attention.context_size + config.embedding_size
        self.sizes = [config.hidden_size, features_size - config.hidden_size]
        self.dropout = Dropout(config.dropout)
        self.readout = Maxout(features_size, readout_size)

    def read_out(self, features_NF: Tensor, run: Pass) -> Tensor:
        # Context and embedding have been through a dropout where they come from. A second one here was measured on
        # Multi30k: dev loss 2.27 instead of 2.22 after two epochs.
        if self.training:
            state_ND, others_NX = features_NF.split(self.sizes, -1)
            features_NF = torch.cat([self.dropout(state_ND), others_NX], -1)
        rows_NR: Tensor = self.readout(features_NF, run)
        return rows_NR

    def forward(self, inputs_BUI: Tensor, memory: Memory, state: DecoderState, run: Pass) -> Block:
        # A static attention ignores the query, so that U > 1 steps may share the last one known.
        query_BUD = state.hidden[-1][:, None].expand(-1, inputs_BUI.shape[1], -1)
        attended, carried = self.attention(query_BUD, memory, state.attention, state.step, run)
        context_BUE = attended.context_BTE.to(query_BUD.dtype)
        top_BUD, hidden, cell = self.recurrence(inputs_BUI, context_BUE, state.hidden, state.cell, run)
        after = DecoderState(hidden, cell, state.feed_BF, carried, state.step + inputs_BUI.shape[1])
        return Block(torch.cat([top_BUD, context_BUE], -1), attended, after)


class AttendAfter(Wiring):
    """h_t = RNN(y_{t-1}, h_{t-1}); c_t from the query h_t; the attentional vector h~_t = tanh(W_c [c_t; h_t])
    (Luong, Pham & Manning 2015, 3). With input feeding h~_{t-1} joins the RNN's input (3.3).

    The readout is h~_t itself, or a projection of it where the tied embeddings have another size.
    """

    reads_token = False

    def __init__(self, config: ModelConfig, attention: Attention, readout_size: int, input_feeding: bool) -> None:
        super().__init__()
        self.attention = attention
        self.feed_size = config.hidden_size if input_feeding else 0
        self.recurrence = Recurrence(config, self.feed_size, attention.recurrent or input_feeding)
        joined_size = attention.context_size + config.hidden_size
        self.combine = Linear(joined_size, config.hidden_size, bias=False, bounded=attention.bounded)
        same = readout_size == config.hidden_size
        self.readout = None if same else Linear(config.hidden_size, readout_size, bias=False, bounded=True)
        self.dropout = Dropout(config.dropout)

    def read_out(self, features_NF: Tensor, run: Pass) -> Tensor:
        rows_NF: Tensor = self.dropout(features_NF)
        return rows_NF if self.readout is None else run.map(self.readout).product(rows_NF)

    def forward(self, inputs_BUI: Tensor, memory: Memory, state: DecoderState, run: Pass) -> Block:
        steps = inputs_BUI.shape[1]
        feed_BUF = state.feed_BF[:, None].expand(-1, steps, -1)
        top_BUD, hidden, cell = self.recurrence(inputs_BUI, feed_BUF, state.hidden, state.cell, run)
        attended, carried = self.attention(top_BUD, memory, state.attention, state.step, run)
        joined_BUX = torch.cat([attended.context_BTE.to(top_BUD.dtype), top_BUD], -1)
        attentional_BUD = torch.tanh(run.map(self.combine).product(joined_BUX))
        after = DecoderState(hidden, cell, attentional_BUD[:, -1, : self.feed_size], carried, state.step + steps)
        return Block(attentional_BUD, attended, after)


class Decoder(nn.Module):
    """Bridge, wiring and the loop over the steps that depend on each other."""

    def __init__(self, config: ModelConfig, wiring: Wiring, attention: Attention, encoder_size: int) -> None:
        super().__init__()
        self.wiring = wiring
        self.attention = attention
        self.bridge = Bridge(config, encoder_size)

    def initial_state(self, encoded: EncoderOutput, memory: Memory, run: Pass) -> DecoderState:
        """The state before the first step."""
        hidden, cell = self.bridge(encoded.summary_BE, run)
        feed_BF = hidden[-1].new_zeros(hidden[-1].shape[0], self.wiring.feed_size)
        return DecoderState(hidden, cell, feed_BF, self.attention.initial_state(memory), 0)

    def forward(self, embedded_BTE: Tensor, memory: Memory, state: DecoderState, run: Pass) -> DecoderOutput:
        """T steps from ``state``, given the embedded tokens y_{t-1} that each of them reads.

        Where step t needs step t-1 they are taken one by one; where not, in one call, unless ``run`` is of single steps.
        """
        recurrence = self.wiring.recurrence
        inputs_BTI = recurrence.inputs(embedded_BTE, run)
        span = 1 if recurrence.by_steps(run) else inputs_BTI.shape[1]
        outputs, looks = [], []
        for inputs_BUI in torch.split(inputs_BTI, span, 1):
            block = self.wiring(inputs_BUI, memory, state, run)
            state = block.state
            outputs.append(block.outputs_BUF)
            looks.append(block.attended)
        features_BTF = joined(outputs)
        if self.wiring.reads_token:
            features_BTF = torch.cat([features_BTF, embedded_BTE], -1)
        return DecoderOutput(features_BTF, Attended.joined(looks), state)
