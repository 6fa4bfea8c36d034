"""The bidirectional encoder."""

import torch
from torch import Tensor, nn

from seq2seq_cli.config import ModelConfig
from seq2seq_cli.model.dropout import Dropout
from seq2seq_cli.model.products import pick
from seq2seq_cli.model.recurrence import RNN
from seq2seq_cli.model.types import EncoderOutput


class Encoder(nn.Module):
    """Layers of a forward and a backward LSTM or GRU (Bahdanau, Cho & Bengio 2015, 3.2): embedded_BSI -> states_BSE.

    The two directions are two padded calls, the backward one over each sentence reversed in place: padding
    comes last for both, so it is never read, and oneDNN's padded LSTM is several times faster than packed
    sequences on a CPU.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        half = config.hidden_size // 2
        sizes = [config.embedding_size] + [config.hidden_size] * (config.encoder_layers - 1)
        self.forwards = nn.ModuleList(RNN[config.cell](size, half, batch_first=True) for size in sizes)
        self.backwards = nn.ModuleList(RNN[config.cell](size, half, batch_first=True) for size in sizes)
        self.dropout = Dropout(config.dropout)
        self.output_size = config.hidden_size

    def forward(self, embedded_BSI: Tensor, mask_BS: Tensor) -> EncoderOutput:
        lengths_B1 = mask_BS.sum(1, keepdim=True)
        reversal_BS = _reversal(lengths_B1, mask_BS.shape[1])
        states_BSE = embedded_BSI
        for layer, (forwards, backwards) in enumerate(zip(self.forwards, self.backwards, strict=True)):
            inputs_BSI = self.dropout(states_BSE) if layer else states_BSE
            ahead_BSH, _ = forwards(inputs_BSI)
            back_BSH, _ = backwards(pick(inputs_BSI, reversal_BS))
            states_BSE = torch.cat([ahead_BSH, pick(back_BSH, reversal_BS)], -1)
        last_B1H = pick(ahead_BSH, lengths_B1 - 1)
        first_B1H = pick(back_BSH, lengths_B1 - 1)
        summary_BE = torch.cat([last_B1H, first_B1H], -1).squeeze(1)
        return EncoderOutput(self.dropout(states_BSE), self.dropout(summary_BE), mask_BS)


def _reversal(lengths_B1: Tensor, positions: int) -> Tensor:
    """Indices that reverse the real part of each row and leave the padding where it is."""
    steps_S = torch.arange(positions, device=lengths_B1.device)
    return torch.where(steps_S < lengths_B1, lengths_B1 - 1 - steps_S, steps_S)
