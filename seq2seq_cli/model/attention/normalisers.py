"""Normalisers: from energies to weights. Weights are exactly zero where the mask is False, whatever the energy there
is. (Multiplying energies by the mask would not do: exp(0) = 1.)"""

import math

import entmax
import torch
from torch import Tensor, nn


class Softmax(nn.Module):
    """exp(e / T) over its sum; T is the ``temperature``."""

    def __init__(self, temperature: float) -> None:
        super().__init__()
        self.temperature = temperature

    def forward(self, energies_BTS: Tensor, mask_BTS: Tensor) -> Tensor:
        return _seen(energies_BTS / self.temperature, mask_BTS).softmax(-1)


class Sparsemax(nn.Module):
    """The point of the simplex that is nearest to the energies: (e - tau)_+ (Martins & Astudillo 2016, 2.2)."""

    def forward(self, energies_BTS: Tensor, mask_BTS: Tensor) -> Tensor:
        weights_BTS: Tensor = entmax.sparsemax(_seen(energies_BTS, mask_BTS), dim=-1)
        return weights_BTS


class Entmax15(nn.Module):
    """alpha-entmax with alpha = 1.5, between softmax (1) and sparsemax (2): [(e / 2 - tau)_+]^2 (Peters, Niculae & Martins
    2019, 3)."""

    def forward(self, energies_BTS: Tensor, mask_BTS: Tensor) -> Tensor:
        weights_BTS: Tensor = entmax.entmax15(_seen(energies_BTS, mask_BTS), dim=-1)
        return weights_BTS


class TopK(nn.Module):
    """Softmax over the ``count`` largest energies, or over all positions seen where these are fewer. Of equal energies
    the first ones count."""

    def __init__(self, count: int, temperature: float) -> None:
        super().__init__()
        self.count = count
        self.temperature = temperature

    def forward(self, energies_BTS: Tensor, mask_BTS: Tensor) -> Tensor:
        seen_BTS = _seen(energies_BTS / self.temperature, mask_BTS)
        # Not topk, which does not say which of equal energies it takes.
        order_BTS = seen_BTS.detach().sort(dim=-1, descending=True, stable=True).indices
        best_BTK = order_BTS[..., : self.count]
        return torch.zeros_like(seen_BTS).scatter(-1, best_BTK, seen_BTS.gather(-1, best_BTK).softmax(-1))


def _seen(energies_BTS: Tensor, mask_BTS: Tensor) -> Tensor:
    return energies_BTS.masked_fill(~mask_BTS, -math.inf)
