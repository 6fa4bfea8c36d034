"""What Transformer layers are made of beside attention."""

import torch
from torch import Tensor, nn

from seq2seq_cli.config.model import ModelConfig
from seq2seq_cli.model.dropout import Dropout
from seq2seq_cli.model.maps import Linear, Pass, StepMatrix
from seq2seq_cli.model.positions import Learned, Sinusoidal
from seq2seq_cli.model.products import precise


class FeedForward(nn.Module):
    """W_2 relu(W_1 x + b_1) + b_2 (Vaswani et al. 2017, 3.3)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        numbers = config.numbers
        self.widen = Linear(config.hidden_size, numbers.feed_forward_size)
        self.narrow = Linear(numbers.feed_forward_size, config.hidden_size)
        self.dropout = Dropout(numbers.feed_forward_dropout)

    def forward(self, x_ND: Tensor, run: Pass) -> Tensor:
        widen = run.map(self.widen)
        if isinstance(widen, StepMatrix) and torch.is_grad_enabled():
            hidden_NF = widen.rectified(x_ND, self.dropout.p if self.dropout.drops else 0.0)
        else:
            hidden_NF = self.dropout(widen.product(x_ND).relu())
        return run.map(self.narrow).product(hidden_NF)


class Residual(nn.Module):
    """x + dropout(f(LayerNorm(x))): each part of a layer adds to what flows through (pre-norm: Xiong et al. 2020).
    ``reads``: whether f reads x at all."""

    def __init__(self, config: ModelConfig, reads: bool = True) -> None:
        super().__init__()
        self.norm: nn.Module = nn.LayerNorm(config.hidden_size) if reads else nn.Identity()
        self.dropout = Dropout(config.dropout)

    def add(self, x_ND: Tensor, part_ND: Tensor) -> Tensor:
        """x and what a part of the layer has made of ``norm``(x)."""
        return self.dropout.added(x_ND, part_ND)


class Entry(nn.Module):
    """What a stack of Transformer layers reads: embeddings times the square root of their size (Vaswani et al. 2017, 3.4), of
    the layers' size, with their positions; in float32 or better."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        numbers, size = config.numbers, config.hidden_size
        self.scale = config.embedding_size**0.5
        self.project = None if config.embedding_size == size else Linear(config.embedding_size, size, bias=False)
        self.positions: nn.Module | None = None
        if numbers.positions == "sinusoidal":
            self.positions = Sinusoidal(size)
        elif numbers.positions == "learned":
            self.positions = Learned(size, numbers.max_positions)

    def forward(self, embedded_BTI: Tensor, start: int, run: Pass) -> Tensor:
        x_BTI = precise(embedded_BTI) * self.scale
        x_BTD = x_BTI if self.project is None else precise(run.map(self.project).product(x_BTI))
        placed_BTD: Tensor = x_BTD if self.positions is None else self.positions(x_BTD, start)
        return placed_BTD
