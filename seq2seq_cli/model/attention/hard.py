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
    """c_t = h_s at one position s, the likeliest by the normalised scores, a_t(s): ``chances_BTS``. ``weights_BTS`` is
    one there and zero elsewhere. An argmax has no gradient: each subclass has a way to learn."""

    def read(self, energies_BTS: Tensor, scene: Scene) -> Attended:
        chances_BTS = self.weigh(energies_BTS, scene.view)
        weights_BTS = self.choose(chances_BTS)
        context_BTE = scene.memory.values.mixture(self.learned(weights_BTS, chances_BTS))
        return Attended(context_BTE, Look(weights_BTS, chances_BTS=chances_BTS))

    def choose(self, chances_BTS: Tensor) -> Tensor:
        """One where the model looks, and zero elsewhere."""
        return nn.functional.one_hot(chances_BTS.argmax(-1), chances_BTS.shape[-1]).to(chances_BTS.dtype)

    def learned(self, weights_BTS: Tensor, chances_BTS: Tensor) -> Tensor:
        """The weights, with the gradient that they are to have."""
        return weights_BTS


class StraightThroughAttention(HardAttention):
    """Backwards the chances stand in for the weights (Bengio, Léonard & Courville 2013: the straight-through estimator)."""

    def learned(self, weights_BTS: Tensor, chances_BTS: Tensor) -> Tensor:
        return weights_BTS + (chances_BTS - chances_BTS.detach())


class MarginalAttention(HardAttention):
    """Learns by the exact marginal over the positions, `criteria.marginal`: exact as no later step knows where this one
    looked."""


class ReinforcedAttention(HardAttention):
    """Learns from positions drawn by their chances, by `criteria.reinforce`. The baseline b_t = w . q_t + b does not teach
    the query."""

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
