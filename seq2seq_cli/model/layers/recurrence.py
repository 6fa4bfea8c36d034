"""The decoder's recurrence: one step at a time, or a known sequence in one call, with the same parameters."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from seq2seq_cli.config.model import ModelConfig
from seq2seq_cli.model.dropout import Dropout
from seq2seq_cli.model.maps import Map, Pass
from seq2seq_cli.model.products import fast_tanh, precise

sigmoid_backward = torch.ops.aten.sigmoid_backward.grad_input
tanh_backward = torch.ops.aten.tanh_backward.grad_input

States = tuple[Tensor, ...]
"""One B x D tensor a layer."""


class LayerMaps(NamedTuple):
    """The maps of one layer of the RNN: ``read`` multiplies what the layer reads (None in the lowest layer where all of
    its input is known beforehand), ``keep`` its own state."""

    read: Map | None
    keep: Map


class StepMaps(NamedTuple):
    """The maps of a recurrence that is taken step by step: ``known`` multiplies the inputs that are known for all steps
    beforehand."""

    known: Map
    layers: tuple[LayerMaps, ...]


RNN = {"lstm": nn.LSTM, "gru": nn.GRU}


class Recurrence(nn.Module):
    """A unidirectional LSTM or GRU of one or more layers over [x_t; extra_t].

    First ``inputs`` prepares x, which is known for all steps. Then ``forward`` takes U steps: inputs_BUI, extra_BUX and
    the state so far -> outputs_BUD and the new state. Where steps are taken one by one, U is 1, and the product W x has
    moved out of the loop. ``stepwise``: whether steps are always taken one by one; ``bounded``: whether extra_t lies in
    [-1, 1].
    """

    def __init__(self, config: ModelConfig, extra_size: int, stepwise: bool, bounded: bool = True) -> None:
        super().__init__()
        self.stepwise = stepwise
        self.bounded = bounded
        self.input_size = config.embedding_size
        self.layers = config.decoder_depth
        self.has_cell = config.recurrent.cell == "lstm"
        self.dropout = Dropout(config.dropout)
        self.rnn = RNN[config.recurrent.cell](
            config.embedding_size + extra_size,
            config.hidden_size,
            self.layers,
            batch_first=True,
            dropout=config.dropout if self.layers > 1 and not stepwise else 0.0,
        )

    def by_steps(self, run: Pass) -> bool:
        """Whether steps are taken one by one."""
        return self.stepwise or run.stepping

    def inputs(self, embedded_BTE: Tensor, run: Pass) -> Tensor:
        """What ``forward`` needs of the embedded tokens, computed for all steps at once."""
        return self._maps(run).known.product(embedded_BTE) if self.by_steps(run) else embedded_BTE

    def _maps(self, run: Pass) -> StepMaps:
        return run.once(self, lambda: self._made_by(run))

    def _made_by(self, run: Pass) -> StepMaps:
        sizes = [self.input_size, self.rnn.input_size - self.input_size]
        weight_GE, weight_GX = self.rnn.weight_ih_l0.split(sizes, dim=1)
        reads = [run.make(weight_GX, bounded=self.bounded) if weight_GX.shape[1] else None]
        reads += [run.make(*self._parameters_of("ih", layer), bounded=True) for layer in range(1, self.layers)]
        keeps = [run.make(*self._parameters_of("hh", layer), bounded=True) for layer in range(self.layers)]
        return StepMaps(run.make(weight_GE, self.rnn.bias_ih_l0), tuple(map(LayerMaps, reads, keeps)))

    def forward(
        self, inputs_BUI: Tensor, extra_BUX: Tensor, hidden: States, cell: States, run: Pass
    ) -> tuple[Tensor, States, States]:
        if self.by_steps(run):
            hidden, cell = self._step(inputs_BUI.squeeze(1), extra_BUX.squeeze(1), hidden, cell, self._maps(run))
            return hidden[-1][:, None], hidden, cell
        start = torch.stack(hidden)
        joined_BUI = torch.cat([inputs_BUI, extra_BUX], -1)
        if self.has_cell:
            outputs_BUD, (last_LBD, last_cell_LBD) = self.rnn(joined_BUI, (start, torch.stack(cell)))
            return outputs_BUD, last_LBD.unbind(), last_cell_LBD.unbind()
        outputs_BUD, last_LBD = self.rnn(joined_BUI, start)
        return outputs_BUD, last_LBD.unbind(), ()

    def _step(
        self, inputs_BG: Tensor, extra_BX: Tensor, hidden: States, cell: States, maps: StepMaps
    ) -> tuple[States, States]:
        new_hidden: list[Tensor] = []
        new_cell: list[Tensor] = []
        for layer, (read, keep) in enumerate(maps.layers):
            if read is None:
                read_BG = inputs_BG
            elif layer:
                read_BG = read.product(self.dropout(new_hidden[-1]))
            else:
                read_BG = read.product(extra_BX, inputs_BG)
            if self.has_cell:
                h_BD, c_BD = lstm_step(keep.product(hidden[layer], read_BG), precise(cell[layer]))
                new_cell.append(c_BD)
            else:
                h_BD = gru_step(read_BG, keep.product(hidden[layer]), hidden[layer])
            new_hidden.append(h_BD)
        return tuple(new_hidden), tuple(new_cell)

    def _parameters_of(self, part: str, layer: int) -> tuple[Tensor, Tensor]:
        return getattr(self.rnn, f"weight_{part}_l{layer}"), getattr(self.rnn, f"bias_{part}_l{layer}")


def lstm_step(gates_BG: Tensor, c_BD: Tensor) -> tuple[Tensor, Tensor]:
    """One LSTM step (Hochreiter & Schmidhuber 1997) from the sum of the products of input and state, ``gates_BG``
    (gates in torch's order). Returns h, in the type of the gates, and c, in the type of ``c_BD``. ``gates_BG`` may be
    overwritten."""
    if torch.jit.is_tracing():  # type: ignore[attr-defined, no-untyped-call]
        # A graph knows no part of a tensor that is overwritten.
        i, f, g, o = gates_BG.chunk(4, -1)
        new_c_BD = torch.addcmul(f.sigmoid() * c_BD, i.sigmoid(), fast_tanh(g))
        return o.sigmoid() * fast_tanh(new_c_BD), new_c_BD
    h_BD, new_c_BD = _LSTMStep.apply(gates_BG, c_BD)  # type: ignore[no-untyped-call]
    return h_BD, new_c_BD


class _LSTMStep(torch.autograd.Function):
    """Written by hand in both directions: 20 small operations a step instead of 50, which saves 2% of a training
    step."""

    @staticmethod
    def forward(ctx, gates_BG, c_BD):  # type: ignore[no-untyped-def]
        # Autograd forbids overwriting a view; in search there is no autograd, and a copy would take 7% of the time.
        gates = gates_BG.to(c_BD.dtype, copy=ctx.needs_input_grad[0])
        i, f, g, o = gates.chunk(4, -1)
        # tanh(g) = 2 sigmoid(2g) - 1, as in `fast_tanh`, so that one sigmoid does all four gates.
        g.mul_(2)
        gates.sigmoid_()
        g.mul_(2).sub_(1)
        new_c = torch.addcmul(f * c_BD, i, g)
        tanh_c = fast_tanh(new_c)
        ctx.save_for_backward(gates, c_BD, tanh_c)
        ctx.dtype = gates_BG.dtype
        return (o * tanh_c).to(gates_BG.dtype), new_c

    @staticmethod
    @once_differentiable
    def backward(ctx, by_h, by_c):  # type: ignore[no-untyped-def]
        gates, c, tanh_c = ctx.saved_tensors
        i, f, g, o = gates.chunk(4, -1)
        by_h = by_h.to(c.dtype)
        by_c = by_c + tanh_backward(by_h * o, tanh_c, grad_input=torch.empty_like(tanh_c))
        by_gates = torch.empty_like(gates)
        by_i, by_f, by_g, by_o = by_gates.chunk(4, -1)
        sigmoid_backward(by_c * g, i, grad_input=by_i)
        sigmoid_backward(by_c * c, f, grad_input=by_f)
        tanh_backward(by_c * i, g, grad_input=by_g)
        sigmoid_backward(by_h * tanh_c, o, grad_input=by_o)
        return by_gates.to(ctx.dtype), by_c.mul_(f)


def gru_step(read_BG: Tensor, kept_BG: Tensor, h_BD: Tensor) -> Tensor:
    """One GRU step (Cho et al. 2014) from the products of the input and of the state (gates in torch's order)."""
    x_r, x_z, x_n = read_BG.chunk(3, -1)
    h_r, h_z, h_n = kept_BG.chunk(3, -1)
    z = torch.sigmoid(x_z + h_z)
    n = torch.tanh(x_n + torch.sigmoid(x_r + h_r) * h_n)
    return n + z * (h_BD - n)
