"""Windows: which source positions a query may see, and how much each of them counts."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from seq2seq_cli.model.maps import Linear, Pass
from seq2seq_cli.model.types import Memory

MANY = 4
"""The window is picked out of the source only where the source is at least this many windows long."""


class View(NamedTuple):
    """What a query may see. ``mask_BTS`` (or one that broadcasts to it) is True at the positions seen. ``factor_BTS``
    multiplies the normalised weights (None: they stay as they are). ``centre_BT`` is the middle of a local window and
    ``radius`` its half width (None: the window is global)."""

    mask_BTS: Tensor
    factor_BTS: Tensor | None = None
    centre_BT: Tensor | None = None
    radius: int = 0

    def near(self) -> Tensor | None:
        """The positions that the window of a single step may show, B x (2 radius + 1). None for several steps, for a
        global window, and where the source is shorter than MANY windows."""
        positions, width = self.mask_BTS.shape[-1], 2 * self.radius + 1
        if self.centre_BT is None or self.centre_BT.shape[1] > 1 or positions < MANY * width:
            return None
        first_B1 = (self.centre_BT.detach() - self.radius).ceil().long().clamp(0, positions - width)
        return first_B1 + torch.arange(width, device=first_B1.device)

    def pick(self, positions_BP: Tensor) -> View:
        """The view of a single step, of these positions alone."""
        positions_B1P = positions_BP[:, None]
        factor_B1P = None if self.factor_BTS is None else self.factor_BTS.gather(2, positions_B1P)
        return self._replace(mask_BTS=self.mask_BTS.gather(2, positions_B1P), factor_BTS=factor_B1P)


class GlobalWindow(nn.Module):
    """All real source positions (Luong, Pham & Manning 2015, 3.1)."""

    def forward(self, query_BTD: Tensor, memory: Memory, start: int, run: Pass) -> View:
        return View(memory.mask_BS[:, None])


class LocalMonotonicWindow(nn.Module):
    """local-m: [p_t - D, p_t + D] with p_t = min(t, S - 1) (Luong, Pham & Manning 2015, 3.2).

    The paper sets p_t = t; past the end of the source that would leave nothing to see, so the window stays
    around the last position. S is each sentence's own length.
    """

    def __init__(self, radius: int) -> None:
        super().__init__()
        self.radius = radius

    def forward(self, query_BTD: Tensor, memory: Memory, start: int, run: Pass) -> View:
        last_B1 = memory.mask_BS.sum(1, keepdim=True) - 1
        steps_T = torch.arange(start, start + query_BTD.shape[1], device=query_BTD.device)
        centre_BT = torch.minimum(steps_T, last_B1)
        return View(_near(centre_BT, memory.mask_BS, self.radius), centre_BT=centre_BT, radius=self.radius)


class LocalPredictiveWindow(nn.Module):
    """local-p: p_t = (S - 1) sigmoid(v_p^T tanh(W_p q)); each weight in [p_t - D, p_t + D] is multiplied by exp(-(s -
    p_t)^2 / (2 sigma^2)), sigma = D / 2 (Luong, Pham & Manning 2015, 3.2, equations 9 and 10).

    The paper has S instead of S - 1: here positions count from 0, and p_t stays within the source. p_t has a gradient
    only through the Gaussian, and because of the Gaussian the weights do not sum to one.
    """

    def __init__(self, query_size: int, radius: int) -> None:
        super().__init__()
        self.radius = radius
        self.hidden = Linear(query_size, query_size, bias=False, bounded=True)
        # bfloat16 has 8 bits: it could not tell neighbouring positions of a long source apart.
        self.position = Linear(query_size, 1, bias=False, exact=True)

    def forward(self, query_BTD: Tensor, memory: Memory, start: int, run: Pass) -> View:
        last_B1 = memory.mask_BS.sum(1, keepdim=True) - 1
        moved_BTD = torch.tanh(run.map(self.hidden).product(query_BTD))
        centre_BT = last_B1 * torch.sigmoid(run.map(self.position).product(moved_BTD).squeeze(-1))
        distance_BTS = _positions(memory.mask_BS) - centre_BT[..., None]
        factor_BTS = torch.exp(-2 * (distance_BTS / self.radius).square())
        return View(_near(centre_BT, memory.mask_BS, self.radius), factor_BTS, centre_BT, self.radius)


def _positions(mask_BS: Tensor) -> Tensor:
    return torch.arange(mask_BS.shape[1], device=mask_BS.device)


def _near(centre_BT: Tensor, mask_BS: Tensor, radius: int) -> Tensor:
    distance_BTS = _positions(mask_BS) - centre_BT.detach()[..., None]
    return (distance_BTS.abs() <= radius) & mask_BS[:, None]
