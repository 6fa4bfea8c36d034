"""Normalisers: from energies to weights."""

import math

from torch import Tensor, nn


class Softmax(nn.Module):
    """exp(e) over its sum, at the positions where the mask is True; exactly zero elsewhere."""

    def forward(self, energies_BTS: Tensor, mask_BTS: Tensor) -> Tensor:
        return energies_BTS.masked_fill(~mask_BTS, -math.inf).softmax(-1)
