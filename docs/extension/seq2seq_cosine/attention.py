"""Scores by the angle between query and key (Graves, Wayne & Danihelka 2014, 3.3.1)."""

import torch
from torch import Tensor, nn

from seq2seq_cli.model.attention.parts import Parts
from seq2seq_cli.model.attention.scored import ScoredAttention
from seq2seq_cli.model.attention.scores import Score
from seq2seq_cli.model.maps import Linear, Pass
from seq2seq_cli.model.types import Memory


def build(parts: Parts) -> ScoredAttention:
    return ScoredAttention(
        parts, CosineScore(parts.query_size, parts.encoder_size, parts.config.own_settings.sharpness)
    )


class CosineScore(Score):
    """g cos(q, W h_s), g = sharpness e^b, b learned."""

    def __init__(self, query_size: int, encoder_size: int, sharpness: float) -> None:
        super().__init__()
        self.key = Linear(encoder_size, query_size, bias=False, bounded=True)
        self.log_scale = nn.Parameter(torch.zeros(1))
        self.sharpness = sharpness

    def keys(self, states_BSE: Tensor, run: Pass) -> Tensor:
        return nn.functional.normalize(run.map(self.key).product(states_BSE), dim=-1)

    def forward(self, queries_BTA: Tensor, memory: Memory) -> Tensor:
        unit_BTA = nn.functional.normalize(queries_BTA, dim=-1)
        return self.sharpness * self.log_scale.exp() * memory.keys.energies(unit_BTA)
