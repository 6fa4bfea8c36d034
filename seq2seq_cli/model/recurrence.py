"""The decoder's recurrence: one step at a time, or a known sequence in one call, with the same parameters."""

import torch
from torch import Tensor, nn

from seq2seq_cli.config import ModelConfig
from seq2seq_cli.model.dropout import Dropout

Layers = tuple[Tensor, ...]
"""One B x D tensor a layer."""

RNN = {"lstm": nn.LSTM, "gru": nn.GRU}


class Recurrence(nn.Module):
    """A unidirectional LSTM or GRU of one or more layers over [x_t; extra_t].

    ``inputs`` prepares what is known of all steps at once (x), before the steps are taken; ``forward`` takes
    U of them: inputs_BUI and extra_BUX with the state so far -> outputs_BUD and the new state. ``stepwise``
    fixes U = 1 and moves the product W x out of the loop over steps.
    """

    def __init__(self, config: ModelConfig, extra_size: int, stepwise: bool) -> None:
        super().__init__()
        self.input_size = config.embedding_size
        self.layers = config.decoder_layers
        self.stepwise = stepwise
        self.has_cell = config.cell == "lstm"
        self.dropout = Dropout(config.dropout)
        self.rnn = RNN[config.cell](
            config.embedding_size + extra_size,
            config.hidden_size,
            self.layers,
            batch_first=True,
            dropout=config.dropout if self.layers > 1 and not stepwise else 0.0,
        )

    def inputs(self, embedded_BTE: Tensor) -> Tensor:
        """What of the steps' inputs can be computed for all of them at once."""
        if not self.stepwise:
            return embedded_BTE
        weight = self.rnn.weight_ih_l0[:, : self.input_size]
        return nn.functional.linear(embedded_BTE, weight, self.rnn.bias_ih_l0)

    def forward(
        self, inputs_BUI: Tensor, extra_BUX: Tensor, hidden: Layers, cell: Layers
    ) -> tuple[Tensor, Layers, Layers]:
        if self.stepwise:
            hidden, cell = self._step(inputs_BUI.squeeze(1), extra_BUX.squeeze(1), hidden, cell)
            return hidden[-1][:, None], hidden, cell
        start = torch.stack(hidden)
        joined_BUI = torch.cat([inputs_BUI, extra_BUX], -1)
        if self.has_cell:
            outputs_BUD, (last_LBD, last_cell_LBD) = self.rnn(joined_BUI, (start, torch.stack(cell)))
            return outputs_BUD, last_LBD.unbind(), last_cell_LBD.unbind()
        outputs_BUD, last_LBD = self.rnn(joined_BUI, start)
        return outputs_BUD, last_LBD.unbind(), ()

    def _step(self, inputs_BG: Tensor, extra_BX: Tensor, hidden: Layers, cell: Layers) -> tuple[Layers, Layers]:
        gates_BG = torch.addmm(inputs_BG, extra_BX, self.rnn.weight_ih_l0[:, self.input_size :].t())
        new_hidden: list[Tensor] = []
        new_cell: list[Tensor] = []
        for layer in range(self.layers):
            if layer:
                below_BD = self.dropout(new_hidden[-1])
                gates_BG = nn.functional.linear(below_BD, *self._parameters_of("ih", layer))
            if self.has_cell:
                h_BD, c_BD = lstm_step(gates_BG, hidden[layer], cell[layer], *self._parameters_of("hh", layer))
                new_cell.append(c_BD)
            else:
                h_BD = gru_step(gates_BG, hidden[layer], *self._parameters_of("hh", layer))
            new_hidden.append(h_BD)
        return tuple(new_hidden), tuple(new_cell)

    def _parameters_of(self, part: str, layer: int) -> tuple[Tensor, Tensor]:
        return getattr(self.rnn, f"weight_{part}_l{layer}"), getattr(self.rnn, f"bias_{part}_l{layer}")


def lstm_step(gates_BG: Tensor, h_BD: Tensor, c_BD: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """One LSTM step from the input's share of the gates (Hochreiter & Schmidhuber 1997; gates in torch's order)."""
    i, f, g, o = (gates_BG + nn.functional.linear(h_BD, weight, bias)).chunk(4, -1)
    c_BD = torch.sigmoid(f) * c_BD + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c_BD), c_BD


def gru_step(gates_BG: Tensor, h_BD: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """One GRU step from the input's share of the gates (Cho et al. 2014; gates in torch's order)."""
    x_r, x_z, x_n = gates_BG.chunk(3, -1)
    h_r, h_z, h_n = nn.functional.linear(h_BD, weight, bias).chunk(3, -1)
    z = torch.sigmoid(x_z + h_z)
    n = torch.tanh(x_n + torch.sigmoid(x_r + h_r) * h_n)
    return n + z * (h_BD - n)
