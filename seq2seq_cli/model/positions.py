"""How Transformer layers know where a token stands."""

import torch
from torch import Tensor, nn


def sines(positions_T: Tensor, size: int) -> Tensor:
    """Sinusoidal vectors T x size of positions: sin(t / 10000^(2i/size)) and the cosines, by turns (Vaswani et al. 2017,
    3.5)."""
    angles_TF = angles(positions_T, size)
    return torch.stack([angles_TF.sin(), angles_TF.cos()], -1).flatten(1)[:, :size]


def angles(positions_T: Tensor, size: int) -> Tensor:
    """t / 10000^(2i/size) for i < size/2, in double precision, as single precision cannot hold the angles of late positions;
    and on the CPU, as Apple's GPUs have no double precision."""
    pairs_F = torch.arange(-(-size // 2), device="cpu", dtype=torch.float64)
    return positions_T.cpu()[:, None] * 10000 ** (-2 * pairs_F / size)


def turned(x_RHTI: Tensor, positions_T: Tensor) -> Tensor:
    """Each pair of numbers (i, i + I/2) of a vector, turned by the angle of its position (rotary positions: Su et al. 2021,
    3.2.2, with pairs that lie half a vector apart). So a product of two turned vectors depends on the distance of their
    positions alone."""
    angles_TF = angles(positions_T, x_RHTI.shape[-1])
    cos_TF, sin_TF = angles_TF.cos().to(x_RHTI), angles_TF.sin().to(x_RHTI)
    first, second = x_RHTI.chunk(2, -1)
    return torch.cat([first * cos_TF - second * sin_TF, second * cos_TF + first * sin_TF], -1)


class Sinusoidal(nn.Module):
    """Sinusoidal positions, added to embeddings."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, x_BTD: Tensor, start: int) -> Tensor:
        return x_BTD + sines(_numbers(x_BTD, start, "cpu"), self.size).to(x_BTD)


class Learned(nn.Module):
    """A learned vector for each of the first ``most`` positions, added to embeddings. Later positions have the last one's."""

    def __init__(self, size: int, most: int) -> None:
        super().__init__()
        self.table_PD = nn.Parameter(torch.zeros(most, size))

    def forward(self, x_BTD: Tensor, start: int) -> Tensor:
        numbers_T = _numbers(x_BTD, start, x_BTD.device).clamp(max=len(self.table_PD) - 1)
        return x_BTD + nn.functional.embedding(numbers_T, self.table_PD)


def _numbers(x_BTD: Tensor, start: int, device: torch.device | str) -> Tensor:
    return torch.arange(start, start + x_BTD.shape[1], device=device)
