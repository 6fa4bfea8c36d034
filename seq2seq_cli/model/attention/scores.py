"""Scores: how well a source position fits the query. The keys are projected once a source batch."""

import math

from torch import Tensor, nn

from seq2seq_cli.errors import ConfigError
from seq2seq_cli.model.attention.additive import AdditiveKeys
from seq2seq_cli.model.maps import Linear, Pass, StepMatrix
from seq2seq_cli.model.products import mixtures
from seq2seq_cli.model.types import Keys, Memory


class ProductKeys(StepMatrix):
    """Keys whose energies are dot products: queries_RTA -> energies_RTS."""

    def energies(self, queries_RTA: Tensor) -> Tensor:
        return self.product(queries_RTA)

    def mixed(self, weights_RTGS: Tensor) -> "ProductKeys":
        """G mixtures of the keys for each query; each query becomes a row of its own: R T rows."""
        return ProductKeys(mixtures(weights_RTGS, self.plain), dtype=self.matrix.dtype)


class Score(nn.Module):
    """A score in four parts. Once a source batch: ``keys``, states_BSE -> keys_BSA, and ``shared``, keys_BSA -> the
    ``keys`` of a memory. At every step: ``queries``, query_BTD -> queries_BTA, and ``forward``, queries_BTA and memory
    -> energies_BTS.

    The projections are maps of ``run``, perhaps of low precision. The energies are separate from them because they are
    computed in float32 (see ``ScoredAttention``).
    """

    def keys(self, states_BSE: Tensor, run: Pass) -> Tensor:
        return states_BSE

    def queries(self, query_BTD: Tensor, run: Pass) -> Tensor:
        return query_BTD

    def shared(self, keys_BSA: Tensor) -> Keys:
        return ProductKeys(keys_BSA, dtype=keys_BSA.dtype)

    def forward(self, queries_BTA: Tensor, memory: Memory) -> Tensor:
        return memory.keys.energies(queries_BTA)


class DotScore(Score):
    """q . h_s, times ``scale`` (Luong, Pham & Manning 2015, 3.1; scaled by 1/sqrt(D): Vaswani et al. 2017, 3.2.1).

    Raises ConfigError where the query and the encoder states differ in size.
    """

    def __init__(self, query_size: int, encoder_size: int, scale: float = 1.0) -> None:
        super().__init__()
        if query_size != encoder_size:
            raise ConfigError(
                f"a dot score needs queries and encoder states of one size, not {query_size} and {encoder_size}.",
                "attention.kind",
                'Use the score "general", which projects one to the other.',
            )
        self.scale = scale

    def keys(self, states_BSE: Tensor, run: Pass) -> Tensor:
        return states_BSE * self.scale


class GeneralScore(Score):
    """q^T W h_s (Luong, Pham & Manning 2015, 3.1): a dot product with the keys W h_s."""

    def __init__(self, query_size: int, encoder_size: int) -> None:
        super().__init__()
        self.key = Linear(encoder_size, query_size, bias=False, bounded=True)

    def keys(self, states_BSE: Tensor, run: Pass) -> Tensor:
        return run.map(self.key).product(states_BSE)


class ProjectedScore(Score):
    """A score whose queries and keys are both projected, to ``size``."""

    def __init__(self, query_size: int, encoder_size: int, size: int) -> None:
        super().__init__()
        self.query = Linear(query_size, size, bias=False, bounded=True)
        self.key = Linear(encoder_size, size, bias=False, bounded=True)

    def keys(self, states_BSE: Tensor, run: Pass) -> Tensor:
        return run.map(self.key).product(states_BSE)

    def queries(self, query_BTD: Tensor, run: Pass) -> Tensor:
        return run.map(self.query).product(query_BTD)


class AdditiveScore(ProjectedScore):
    """v^T tanh(W_1 q + W_2 h_s) (Bahdanau, Cho & Bengio 2015, A.1.2; "concat" in Luong, Pham & Manning 2015, 3.1).

    Without a bias, as in the papers.
    """

    def __init__(self, query_size: int, encoder_size: int, size: int) -> None:
        super().__init__(query_size, encoder_size, size)
        self.energy = nn.Linear(size, 1, bias=False)

    def shared(self, keys_BSA: Tensor) -> Keys:
        return AdditiveKeys(keys_BSA, self.energy.weight.squeeze(0))


class LocationScore(Score):
    """(W_a q)_s: one learned row of W_a for each source position, whatever stands there (Luong, Pham & Manning 2015,
    3.1).

    W_a has ``max_positions`` rows. Later positions of a longer source get minus infinity and are never attended to.
    """

    def __init__(self, query_size: int, max_positions: int) -> None:
        super().__init__()
        self.position = Linear(query_size, max_positions, bias=False, bounded=True)

    def keys(self, states_BSE: Tensor, run: Pass) -> Tensor:
        return states_BSE[..., :0]

    def queries(self, query_BTD: Tensor, run: Pass) -> Tensor:
        return run.map(self.position).product(query_BTD)

    def forward(self, queries_BTA: Tensor, memory: Memory) -> Tensor:
        positions = memory.mask_BS.shape[1]
        energies_BTS = queries_BTA[..., :positions]
        beyond = positions - energies_BTS.shape[-1]
        return nn.functional.pad(energies_BTS, (0, beyond), value=-math.inf)
