"""Hard attention: one position at a time (Xu et al. 2015, 4.1; Wu, Shapiro & Cotterell 2018)."""

from __future__ import annotations

from torch import Tensor, nn

from seq2seq_cli.model.attention.parts import Parts
from seq2seq_cli.model.attention.scored import Scene, ScoredAttention
from seq2seq_cli.model.forced import Forced
from seq2seq_cli.model.loss import Loss
from seq2seq_cli.model.marginal import marginal_cross_entropy
from seq2seq_cli.model.types import Attended, AttentionState, Memory, precise


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
        return Attended(context_BTE, weights_BTS, chances_BTS=chances_BTS)

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
    """Learns by the exact marginal p(y_t) = sum_s a_t(s) p(y_t | h_s) (Wu, Shapiro & Cotterell 2018): exact
    as no later step knows where this one looked. S readouts a target token."""

    def objective(self, forced: Forced) -> Loss:
        return marginal_cross_entropy(forced)


class ReinforcedAttention(HardAttention):
    """Learns from positions drawn by their chances, with the gradient
    d log p(y | s) + sum_t (R_t - b_t) d log a_t(s_t), R_t = sum_{j>=t} log p(y_j | s) (Williams 1992; Xu et al. 2015, 4.1,
    with what followed a choice for its reward).

    The baseline b_t = w . q_t + b learns to foresee R_t by least squares; it does not teach the query.
    """

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts)
        self.baseline = nn.Linear(parts.query_size, 1)

    def choose(self, chances_BTS: Tensor) -> Tensor:
        if not self.training:
            return super().choose(chances_BTS)
        drawn_N1 = chances_BTS.detach().flatten(0, -2).multinomial(1)
        return nn.functional.one_hot(drawn_N1.view(chances_BTS.shape[:-1]), chances_BTS.shape[-1]).to(chances_BTS.dtype)

    def forward(
        self, query_BTD: Tensor, memory: Memory, state: AttentionState, start: int
    ) -> tuple[Attended, AttentionState]:
        attended, state = super().forward(query_BTD, memory, state, start)
        baseline_BT = precise(self.baseline(query_BTD.detach())).squeeze(-1)
        return attended._replace(baseline_BT=baseline_BT), state

    def objective(self, forced: Forced) -> Loss:
        if not self.training:
            return forced.cross_entropy()
        smoothed, nll_N = forced.cross_entropies()
        attended = forced.output.attended
        assert attended.chances_BTS is not None
        assert attended.baseline_BT is not None
        log_prob_BT = nll_N.new_zeros(forced.real_BT.shape).masked_scatter(forced.real_BT, -nll_N)
        return_BT = log_prob_BT.flip(1).cumsum(1).flip(1)
        surprise_BT = (return_BT - attended.baseline_BT).masked_select(forced.real_BT)
        # Padding steps draw as well, and nothing follows from them.
        chosen_BT = (attended.chances_BTS * attended.weights_BTS).sum(-1).masked_select(forced.real_BT).log()
        estimate = -(surprise_BT.detach() * chosen_BT).sum() + surprise_BT.square().sum() / 2
        return Loss(smoothed + estimate, nll_N.sum())
