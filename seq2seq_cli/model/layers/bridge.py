"""From the encoder's final states to the decoder's first."""

import torch
from torch import Tensor, nn

from seq2seq_cli.config.model import ModelConfig
from seq2seq_cli.model.layers.recurrence import States
from seq2seq_cli.model.maps import Linear, Pass


class Bridge(nn.Module):
    """summary_BE -> the initial hidden (and cell) state of every decoder layer.

    linear: hidden = tanh(W_h summary + b) (Bahdanau, Cho & Bengio 2015, A.2.2, there of the backward state
    alone), cell = W_c summary + b; zeros: both zero. ``bounded``: whether the summary lies in [-1, 1].
    """

    def __init__(self, config: ModelConfig, encoder_size: int, bounded: bool = True) -> None:
        super().__init__()
        self.layers = config.decoder_depth
        self.size = config.hidden_size
        self.has_cell = config.recurrent.cell == "lstm"
        self.linear = config.recurrent.bridge == "linear"
        if self.linear:
            self.hidden = Linear(encoder_size, self.layers * self.size, bounded=bounded)
            if self.has_cell:
                self.cell = Linear(encoder_size, self.layers * self.size, bounded=bounded)

    def forward(self, summary_BE: Tensor, run: Pass) -> tuple[States, States]:
        if not self.linear:
            zeros = (summary_BE.new_zeros(summary_BE.shape[0], self.size),) * self.layers
            return zeros, zeros if self.has_cell else ()
        hidden = torch.tanh(run.map(self.hidden).product(summary_BE)).chunk(self.layers, -1)
        return hidden, run.map(self.cell).product(summary_BE).chunk(self.layers, -1) if self.has_cell else ()
