"""From energies to weights, worked out by hand."""

import math

import pytest
import torch
from torch import nn

from seq2seq_cli.model.attention.normalisers import Entmax15, Softmax, Sparsemax, TopK

EVERY = [Softmax(1.0), Softmax(0.5), Sparsemax(), Entmax15(), TopK(2, 1.0)]


def test_softmax_over_the_mask() -> None:
    energies = torch.tensor([1.0, 2.0, 5.0, 100.0]).log()
    mask = torch.tensor([True, True, True, False])
    # 1 + 2 + 5 = 8
    torch.testing.assert_close(Softmax(1.0)(energies, mask), torch.tensor([1 / 8, 2 / 8, 5 / 8, 0.0]))


def test_masked_positions_get_exactly_nothing_whatever_their_energy() -> None:
    energies = torch.tensor([[0.0, 1e30, math.inf, math.nan], [0.0, -1e30, -math.inf, math.nan]])
    mask = torch.tensor([True, False, False, False])
    assert Softmax(1.0)(energies, mask).tolist() == [[1, 0, 0, 0]] * 2


def test_large_energies_do_not_overflow() -> None:
    # e^1000 is no float; e^(1000 - 1000) = 1 and e^(1000 - ln 3 - 1000) = 1/3, of 4/3: 3/4 and 1/4
    energies = torch.tensor([1000.0, 1000.0 - math.log(3)], dtype=torch.float64)
    weights = Softmax(1.0)(energies, torch.tensor([True, True]))
    torch.testing.assert_close(weights, torch.tensor([0.75, 0.25], dtype=torch.float64))


def test_a_temperature_divides_the_energies() -> None:
    # ln 9 / 2 = ln 3 and ln 1 / 2 = 0: 3/4 and 1/4
    energies = torch.tensor([9.0, 1.0]).log()
    torch.testing.assert_close(Softmax(2.0)(energies, torch.tensor([True, True])), torch.tensor([0.75, 0.25]))


def test_sparsemax() -> None:
    # Nearest to (1, 0.6, -1) with a sum of one: (1 - t) + (0.6 - t) = 1 for t = 0.3, and -1 < 0.3 gets nothing.
    energies = torch.tensor([1.0, 0.6, -1.0, 50.0])
    mask = torch.tensor([True, True, True, False])
    torch.testing.assert_close(Sparsemax()(energies, mask), torch.tensor([0.7, 0.3, 0.0, 0.0]))


def test_entmax15() -> None:
    # e / 2 = (1.6, 1.4, 0.2) with t = 0.8: 0.8^2 + 0.6^2 = 1, and 0.2 < 0.8 gets nothing.
    energies = torch.tensor([3.2, 2.8, 0.4, 50.0])
    mask = torch.tensor([True, True, True, False])
    torch.testing.assert_close(Entmax15()(energies, mask), torch.tensor([0.64, 0.36, 0.0, 0.0]))


def test_top_k() -> None:
    energies = torch.tensor([1.0, 3.0, 2.0, 100.0]).log()
    mask = torch.tensor([True, True, True, False])
    # 3 and 2 of 5; with more places than positions, 1, 3 and 2 of 6
    torch.testing.assert_close(TopK(2, 1.0)(energies, mask), torch.tensor([0.0, 3 / 5, 2 / 5, 0.0]))
    torch.testing.assert_close(TopK(9, 1.0)(energies, mask), torch.tensor([1 / 6, 3 / 6, 2 / 6, 0.0]))
    # of equal ones the first: ln 4 / 2 = ln 2 twice
    equal = torch.tensor([4.0, 4.0, 4.0, 1.0]).log()
    torch.testing.assert_close(TopK(2, 2.0)(equal, mask), torch.tensor([1 / 2, 1 / 2, 0.0, 0.0]))


@pytest.mark.parametrize("normaliser", EVERY, ids=lambda one: type(one).__name__)
def test_what_holds_for_every_one(normaliser: nn.Module) -> None:
    generator = torch.Generator().manual_seed(0)
    energies_BTS = 3 * torch.randn(4, 3, 9, generator=generator, dtype=torch.float64)
    mask_BTS = (torch.arange(9) < torch.tensor([9, 4, 2, 1])[:, None])[:, None]
    garbage_BTS = energies_BTS.masked_fill(~mask_BTS, math.nan).requires_grad_()
    weights_BTS = normaliser(garbage_BTS, mask_BTS)
    torch.testing.assert_close(weights_BTS.sum(-1), torch.ones(4, 3).double(), rtol=0, atol=1e-9)
    assert (weights_BTS >= 0).all()
    assert (weights_BTS.masked_select(~mask_BTS) == 0).all()
    for row, length in enumerate([9, 4, 2, 1]):
        alone = normaliser(energies_BTS[row, :, :length], torch.ones(length, dtype=torch.bool))
        torch.testing.assert_close(weights_BTS[row, :, :length], alone, rtol=0, atol=1e-9)
    (gradient_BTS,) = torch.autograd.grad(weights_BTS.square().sum(), garbage_BTS)
    assert (gradient_BTS.masked_select(~mask_BTS) == 0).all()
    assert gradient_BTS.isfinite().all()
    assert gradient_BTS[:3].any()


@pytest.mark.parametrize("normaliser", EVERY, ids=lambda one: type(one).__name__)
def test_gradients_are_differences(normaliser: nn.Module) -> None:
    energies = torch.tensor([[0.3, 1.1, 0.9, -2.0, 7.0]], dtype=torch.float64, requires_grad=True)
    mask = torch.tensor([True, True, True, True, False])
    assert torch.autograd.gradcheck(lambda e: normaliser(e, mask), energies)
