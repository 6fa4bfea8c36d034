"""From energies to weights, worked out by hand."""

import math

import torch

from seq2seq_cli.model.attention.normalisers import Softmax


def test_softmax_over_the_mask() -> None:
    energies = torch.tensor([1.0, 2.0, 5.0, 100.0]).log()
    mask = torch.tensor([True, True, True, False])
    # 1 + 2 + 5 = 8
    torch.testing.assert_close(Softmax()(energies, mask), torch.tensor([1 / 8, 2 / 8, 5 / 8, 0.0]))


def test_masked_positions_get_exactly_nothing_whatever_their_energy() -> None:
    energies = torch.tensor([[0.0, 1e30, math.inf, math.nan], [0.0, -1e30, -math.inf, math.nan]])
    mask = torch.tensor([True, False, False, False])
    assert Softmax()(energies, mask).tolist() == [[1, 0, 0, 0]] * 2


def test_large_energies_do_not_overflow() -> None:
    # e^1000 is no float; e^(1000 - 1000) = 1 and e^(1000 - ln 3 - 1000) = 1/3, of 4/3: 3/4 and 1/4
    energies = torch.tensor([1000.0, 1000.0 - math.log(3)], dtype=torch.float64)
    weights = Softmax()(energies, torch.tensor([True, True]))
    torch.testing.assert_close(weights, torch.tensor([0.75, 0.25], dtype=torch.float64))
