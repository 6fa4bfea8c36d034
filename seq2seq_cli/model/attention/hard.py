"""Hard attention: one position at a time (Xu et al. 2015, 4.1; Wu, Shapiro & Cotterell 2018)."""

from __future__ import annotations

from torch import Tensor, nn

from seq2seq_cli.model.attention.parts import Parts
from seq2seq_cli.model.attention.scored import Scene, ScoredAttention
from seq2seq_cli.model.maps import Pass
from seq2seq_cli.model.products import precise
from seq2seq_cli.model.types import Attended, AttentionState, Look, Memory


def build(parts: Parts) -> HardAttention:
    match parts.config.choices.estimator:
        case "reinforce":
            return ReinforcedAttention(parts)
        case "marginal":
            return MarginalAttention(parts)
    return StraightThroughAttention(parts)


class HardAttention(ScoredAttention):
    """c_t = h_s at a single position s: the likeliest one by the normalised scores a_t(s), which are the
    ``chances_BTS``. ``weights_BTS`` is one at s and zero elsewhere. An argmax has no gradient: each subclass has its
    own way to learn."""

    def read(self, energies_BTS: Tensor, scene: Scene) -> Attended:
        chances_BTS = self.weigh(energies_BTS, scene.view)
        weights_BTS = self.choose(chances_BTS)
        context_BTE = scene.memory.values.mixture(self.learned(weights_BTS, chances_BTS))
        return Attended(context_BTE, Look(weights_BTS, chances_BTS=chances_BTS))

    def choose(self, chances_BTS: Tensor) -> Tensor:
        """The weights: one where the model looks, zero elsewhere."""
        return nn.functional.one_hot(chances_BTS.argmax(-1), chances_BTS.shape[-1]).to(chances_BTS.dtype)

    def learned(self, weights_BTS: Tensor, chances_BTS: Tensor) -> Tensor:
        """The same weights, with the gradient that this mechanism gives them."""
        return weights_BTS


class StraightThroughAttention(HardAttention):
    """In the backward pass the chances stand in for the weights (the straight-through estimator: Bengio, Léonard &
    Courville 2013)."""

    def learned(self, weights_BTS: Tensor, chances_BTS: Tensor) -> Tensor:
        return weights_BTS + (chances_BTS - chances_BTS.detach())


class MarginalAttention(HardAttention):
    """Learns by the exact marginal likelihood over the positions, see `criteria.marginal`. It is exact because no later
    step knows where this one looked."""


class ReinforcedAttention(HardAttention):
    """Learns from positions drawn at random with the chances as probabilities, see `criteria.reinforce`. The baseline
    is b_t = w . q_t + b; its loss gives the query no gradient."""

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts)
        self.baseline = nn.Linear(parts.query_size, 1)

    def choose(self, chances_BTS: Tensor) -> Tensor:
        if not self.training:
            return super().choose(chances_BTS)
        drawn_N1 = chances_BTS.detach().flatten(0, -2).multinomial(1)
        return nn.functional.one_hot(drawn_N1.view(chances_BTS.shape[:-1]), chances_BTS.shape[-1]).to(chances_BTS.dtype)

    def forward(
        self, query_BTD: Tensor, memory: Memory, state: AttentionState, start: int, run: Pass
    ) -> tuple[Attended, AttentionState]:
        attended, state = super().forward(query_BTD, memory, state, start, run)
        baseline_BT = precise(self.baseline(query_BTD.detach())).squeeze(-1)
        return attended._replace(look=attended.look._replace(baseline_BT=baseline_BT)), state
