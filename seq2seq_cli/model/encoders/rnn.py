"""The bidirectional encoder."""

import torch
from torch import Tensor, nn

from seq2seq_cli.config.model import ModelConfig
from seq2seq_cli.model import products
from seq2seq_cli.model.dropout import Dropout
from seq2seq_cli.model.layers.recurrence import RNN, gru_step, lstm_step
from seq2seq_cli.model.maps import Map, Pass
from seq2seq_cli.model.products import pick
from seq2seq_cli.model.types import Source

NAMES = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")


class SteppedLayer:
    """One direction of an encoder layer, taken step by step with the prepared maps of a search. Its products may be in
    8-bit integers; then it takes half the time of oneDNN's layer from 100 sentences on (a seventh of a greedy search, a
    twentieth of a beam of 5), and 1 ms longer for one sentence. (oneDNN's layer in bfloat16 is as fast, but 6 of 400
    translations then depended on the sentences beside them.)"""

    def __init__(self, rnn: nn.Module, run: Pass) -> None:
        read_GI, keep_GH, *biases = (rnn.get_parameter(name) for name in NAMES)
        self.read: Map = run.make(read_GI, biases[0])
        self.keep: Map = run.make(keep_GH, biases[1], bounded=True)
        self.size, self.has_cell = keep_GH.shape[1], isinstance(rnn, nn.LSTM)

    def __call__(self, inputs_BSI: Tensor, lengths_B: Tensor) -> Tensor:
        """States_BSH; those behind the end of a sentence mean nothing. A step takes only the sentences up to the last one
        that is not over, fewest where the longest come first."""
        states_BSH = inputs_BSI.new_zeros(*inputs_BSI.shape[:2], self.size)
        h_BH = c_BH = states_BSH[:, 0]
        for step, rows in enumerate(_going_on(lengths_B)):
            read_RG = self.read.product(inputs_BSI[:rows, step])
            if self.has_cell:
                h_BH, c_BH = lstm_step(self.keep.product(h_BH[:rows], read_RG), c_BH[:rows])
            else:
                h_BH = gru_step(read_RG, self.keep.product(h_BH[:rows]), h_BH[:rows])
            states_BSH[:rows, step] = h_BH
        return states_BSH


def _going_on(lengths_B: Tensor) -> list[int]:
    """For each step, how many sentences there are up to the last one that is not over."""
    steps_S1 = torch.arange(int(lengths_B.max()), device=lengths_B.device)[:, None]
    numbers_B = torch.arange(1, len(lengths_B) + 1, device=lengths_B.device)
    numbers: list[int] = (numbers_B * (lengths_B > steps_S1)).amax(1).tolist()
    return numbers


class RecurrentEncoder(nn.Module):
    """Layers of a forward and a backward LSTM or GRU (Bahdanau, Cho & Bengio 2015, 3.2): embedded_BSI -> states_BSE.

    The two directions are two padded calls, the backward one over each sentence reversed in place: padding
    comes last for both, so it is never read, and oneDNN's padded LSTM is several times faster than packed
    sequences on a CPU.
    """

    bounded = True

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        half = config.hidden_size // 2
        sizes = [config.embedding_size] + [config.hidden_size] * (config.encoder_depth - 1)
        self.forwards = nn.ModuleList(RNN[config.recurrent.cell](size, half, batch_first=True) for size in sizes)
        self.backwards = nn.ModuleList(RNN[config.recurrent.cell](size, half, batch_first=True) for size in sizes)
        self.dropout = Dropout(config.dropout)
        self.output_size = config.hidden_size

    def forward(self, embedded_BSI: Tensor, mask_BS: Tensor, run: Pass) -> Source:
        lengths_B1 = mask_BS.sum(1, keepdim=True)
        reversal_BS = _reversal(lengths_B1, mask_BS.shape[1])
        states_BSE = embedded_BSI
        for layer, (forwards, backwards) in enumerate(zip(self.forwards, self.backwards, strict=True)):
            inputs_BSI = self.dropout(states_BSE) if layer else states_BSE
            ahead_BSH = _states(forwards, inputs_BSI, lengths_B1, run)
            back_BSH = _states(backwards, pick(inputs_BSI, reversal_BS), lengths_B1, run)
            states_BSE = torch.cat([ahead_BSH, pick(back_BSH, reversal_BS)], -1)
        last_B1H = pick(ahead_BSH, lengths_B1 - 1)
        first_B1H = pick(back_BSH, lengths_B1 - 1)
        summary_BE = torch.cat([last_B1H, first_B1H], -1).squeeze(1)
        return Source(self.dropout(states_BSE), self.dropout(summary_BE), mask_BS)


def _states(rnn: nn.Module, inputs_BSI: Tensor, lengths_B1: Tensor, run: Pass) -> Tensor:
    """The states of one direction of a layer, B x S x H."""
    if run.in_int8 and products.CHOSEN.layers_by_steps:  # in other formats oneDNN's own layers are as fast or faster
        return run.once(rnn, lambda: SteppedLayer(rnn, run))(inputs_BSI, lengths_B1.squeeze(1))
    states_BSH: Tensor = rnn(inputs_BSI)[0]
    return states_BSH


def _reversal(lengths_B1: Tensor, positions: int) -> Tensor:
    """Indices that reverse the real part of each row and leave the padding where it is."""
    steps_S = torch.arange(positions, device=lengths_B1.device)
    return torch.where(steps_S < lengths_B1, lengths_B1 - 1 - steps_S, steps_S)
