"""The encoder against torch's own, the bridge by hand."""

import math
from functools import partial
from typing import Literal

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from seq2seq_cli.config.model import ModelConfig
from seq2seq_cli.model.encoders.rnn import RecurrentEncoder, SteppedLayer
from seq2seq_cli.model.layers.bridge import Bridge
from seq2seq_cli.model.layers.recurrence import RNN
from seq2seq_cli.model.maps import Pass

Cell = Literal["lstm", "gru"]
LENGTHS = torch.tensor([7, 3, 1, 5])
CELLS = pytest.mark.parametrize("cell", ["lstm", "gru"])
LAYERS = pytest.mark.parametrize("layers", [1, 2, 3])


def encoder_of(cell: Cell, layers: int) -> RecurrentEncoder:
    torch.manual_seed(0)
    config = ModelConfig(cell=cell, encoder_layers=layers, embedding_size=6, hidden_size=8, dropout=0.0)
    return RecurrentEncoder(config).double()


def torchs(encoder: RecurrentEncoder, cell: Cell, layers: int) -> nn.RNNBase:
    """torch's bidirectional RNN with the same weights."""
    theirs: nn.RNNBase = RNN[cell](6, 4, layers, batch_first=True, bidirectional=True).double()
    with torch.no_grad():
        for name, parameter in theirs.named_parameters():
            direction = encoder.backwards if name.endswith("_reverse") else encoder.forwards
            base, _, layer = name.removesuffix("_reverse").rpartition("_l")
            parameter.copy_(direction[int(layer)].get_parameter(f"{base}_l0"))
    return theirs


def embedded() -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    return torch.randn(4, 7, 6, dtype=torch.float64), torch.arange(7) < LENGTHS[:, None]


@CELLS
@LAYERS
def test_it_is_torchs_bidirectional_rnn_over_packed_sequences(cell: Cell, layers: int) -> None:
    encoder = encoder_of(cell, layers)
    embedded_BSI, mask_BS = embedded()
    encoded = encoder(embedded_BSI, mask_BS, Pass())
    packed = pack_padded_sequence(embedded_BSI, LENGTHS, batch_first=True, enforce_sorted=False)
    outputs, last = torchs(encoder, cell, layers)(packed)
    expected_BSE, _ = pad_packed_sequence(outputs, batch_first=True)
    torch.testing.assert_close(encoded.states_BSE[mask_BS], expected_BSE[mask_BS], rtol=0, atol=1e-12)
    hidden = last[0] if cell == "lstm" else last
    # The last layer's final forward and final backward state.
    torch.testing.assert_close(encoded.summary_BE, torch.cat([hidden[-2], hidden[-1]], 1), rtol=0, atol=1e-12)


@CELLS
@LAYERS
def test_step_by_step_is_the_same(cell: Cell, layers: int) -> None:
    encoder = encoder_of(cell, layers)
    embedded_BSI, mask_BS = embedded()
    whole = encoder(embedded_BSI, mask_BS, Pass())
    run = Pass()
    for rnn in (*encoder.forwards, *encoder.backwards):
        run.once(rnn, partial(SteppedLayer, rnn, run))
    run.in_int8 = True  # the layers are there already, made of plain maps
    stepped = encoder(embedded_BSI, mask_BS, run)
    torch.testing.assert_close(stepped.states_BSE[mask_BS], whole.states_BSE[mask_BS], rtol=0, atol=1e-12)
    torch.testing.assert_close(stepped.summary_BE, whole.summary_BE, rtol=0, atol=1e-12)


@CELLS
def test_the_summary_is_where_each_direction_ends(cell: Cell) -> None:
    encoded = encoder_of(cell, 2)(*embedded(), Pass())
    for states_SE, summary_E, length in zip(encoded.states_BSE, encoded.summary_BE, LENGTHS.tolist(), strict=True):
        assert torch.equal(summary_E, torch.cat([states_SE[length - 1, :4], states_SE[0, 4:]]))


@CELLS
@LAYERS
def test_padding_changes_nothing(cell: Cell, layers: int) -> None:
    encoder = encoder_of(cell, layers)
    embedded_BSI, mask_BS = embedded()
    few = encoder(embedded_BSI, mask_BS, Pass())
    garbage_BSI = torch.where(mask_BS[..., None], embedded_BSI, 1e6)
    more_BSI = torch.cat([garbage_BSI, torch.full((4, 3, 6), -1e6).double()], 1)
    more = encoder(more_BSI, nn.functional.pad(mask_BS, (0, 3)), Pass())
    torch.testing.assert_close(more.states_BSE[:, :7][mask_BS], few.states_BSE[mask_BS], rtol=0, atol=1e-12)
    torch.testing.assert_close(more.summary_BE, few.summary_BE, rtol=0, atol=1e-12)


def bridge_of(cell: Cell, bridge: Literal["linear", "zeros"]) -> Bridge:
    return Bridge(ModelConfig(cell=cell, decoder_layers=2, hidden_size=2, bridge=bridge), encoder_size=1)


def test_bridge_by_hand() -> None:
    bridge = bridge_of("lstm", "linear")
    with torch.no_grad():
        bridge.hidden.weight.copy_(torch.tensor([[1.0], [0.0], [0.0], [-1.0]]) * math.log(2))
        bridge.hidden.bias.copy_(torch.tensor([0.0, math.log(3), 0.0, 0.0]))
        bridge.cell.weight.copy_(torch.tensor([[1.0], [2.0], [3.0], [4.0]]))
        bridge.cell.bias.copy_(torch.tensor([0.5, 0.0, 0.0, 0.0]))
    hidden, cell = bridge(torch.tensor([[1.0], [2.0]]), Pass())
    # tanh(ln 2) = 0.6, tanh(ln 3) = 0.8, tanh(2 ln 2) = (16 - 1)/(16 + 1) = 15/17; the cell is not squashed
    torch.testing.assert_close(hidden[0], torch.tensor([[0.6, 0.8], [15 / 17, 0.8]]))
    torch.testing.assert_close(hidden[1], torch.tensor([[0.0, -0.6], [0.0, -15 / 17]]))
    torch.testing.assert_close(cell[0], torch.tensor([[1.5, 2.0], [2.5, 4.0]]))
    torch.testing.assert_close(cell[1], torch.tensor([[3.0, 4.0], [6.0, 8.0]]))


def test_a_gru_has_no_cell_and_a_bridge_of_zeros_learns_nothing() -> None:
    summary = torch.ones(3, 1)
    assert bridge_of("gru", "linear")(summary, Pass())[1] == ()
    assert bridge_of("gru", "zeros")(summary, Pass())[1] == ()
    bridge = bridge_of("lstm", "zeros")
    assert list(bridge.parameters()) == []
    hidden, cell = bridge(summary, Pass())
    assert [x.tolist() for x in (*hidden, *cell)] == [[[0.0, 0.0]] * 3] * 4
