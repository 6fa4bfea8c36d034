"""One weight for each dimension of the context (Choi, Cho & Bengio 2018)."""

from __future__ import annotations

import torch
from torch import Tensor

from seq2seq_cli.config import CHANNEL_SIZE
from seq2seq_cli.model.attention.parts import Parts
from seq2seq_cli.model.attention.scored import Scene, ScoredAttention
from seq2seq_cli.model.attention.scores import Score
from seq2seq_cli.model.products import pick
from seq2seq_cli.model.steps import Linear, Map, StepMatrix
from seq2seq_cli.model.types import Attended, Keys, Memory, Values, precise


def build(parts: Parts) -> ChannelAttention:
    return ChannelAttention(parts)


class ChannelKeys:
    """The projected keys k, for V tanh(q + k) at each step, and the map of the queries."""

    def __init__(self, keys_BSA: Tensor, query: Map, energy_EA: Tensor) -> None:
        self.plain, self.query, self.energy_EA = keys_BSA, query, energy_EA

    def energies(self, queries_RTA: Tensor) -> Tensor:
        """E x R x T x S: channels first, so that one product makes them with their positions side by side."""
        by_keys_BN1A = queries_RTA.reshape(len(self.plain), -1, 1, queries_RTA.shape[-1])
        # tanh(x) = 2 sigmoid(2x) - 1, which on a CPU takes a seventh of the time.
        inner_BNSA = 2 * torch.sigmoid(2 * (by_keys_BN1A + self.plain[:, None])) - 1
        energies_EX = self.energy_EA @ inner_BNSA.flatten(0, 2).T
        return energies_EX.view(-1, *queries_RTA.shape[:2], self.plain.shape[1])

    def select(self, rows: Tensor) -> ChannelKeys:
        """Those of the sentences ``rows``."""
        return ChannelKeys(self.plain.index_select(0, rows), self.query, self.energy_EA)

    def pick(self, positions_RP: Tensor) -> ChannelKeys:
        """Some positions of each sentence."""
        return ChannelKeys(pick(self.plain, positions_RP), self.query, self.energy_EA)


class ChannelValues:
    """Encoder states, each dimension of which is mixed by weights of its own."""

    def __init__(self, states_BSE: Tensor) -> None:
        self.plain, self.by_channel_EBS = states_BSE, states_BSE.permute(2, 0, 1).contiguous()

    def mixture(self, weights_ERTS: Tensor) -> Tensor:
        """R x T x E."""
        channels, rows, steps, positions = weights_ERTS.shape
        weights_EBNS = weights_ERTS.view(channels, len(self.plain), -1, positions)
        mixed_EBN = (weights_EBNS * self.by_channel_EBS.unsqueeze(2)).sum(-1)
        return mixed_EBN.view(channels, rows, steps).permute(1, 2, 0)

    def select(self, rows: Tensor) -> ChannelValues:
        """Those of the sentences ``rows``."""
        return ChannelValues(self.plain.index_select(0, rows))

    def pick(self, positions_RP: Tensor) -> ChannelValues:
        """Some positions of each sentence."""
        return ChannelValues(pick(self.plain, positions_RP))


class ChannelScore(Score):
    """V tanh(W_1 q + W_2 h_s): an energy for each dimension of h_s."""

    def __init__(self, query_size: int, encoder_size: int, size: int) -> None:
        super().__init__()
        self.query = Linear(query_size, size, bias=False)
        self.key = Linear(encoder_size, size, bias=False)
        self.energy = Linear(size, encoder_size, bias=False)

    def keys(self, states_BSE: Tensor) -> Tensor:
        keys_BSA: Tensor = self.key(states_BSE)
        return keys_BSA

    def shared(self, keys_BSA: Tensor, query: Map | None = None) -> Keys:
        return ChannelKeys(keys_BSA, query or StepMatrix(self.query.weight), self.energy.weight)

    def queries(self, query_BTD: Tensor, memory: Memory) -> Tensor:
        assert isinstance(memory.keys, ChannelKeys)
        return memory.keys.query.product(query_BTD)


class ChannelAttention(ScoredAttention):
    """c_t[d] = sum_s a_t(s, d) h_s[d], a_t(., d) the normalised d-th energies (Choi, Cho & Bengio 2018).

    ``weights_BTS`` is the mean over d.
    """

    def __init__(self, parts: Parts) -> None:
        size = parts.config.size or CHANNEL_SIZE
        super().__init__(parts, ChannelScore(parts.query_size, parts.encoder_size, size))

    def values(self, states_BSE: Tensor) -> Values:
        return ChannelValues(precise(states_BSE))

    def read(self, energies_BTS: Tensor, scene: Scene) -> Attended:
        weights_ERTS = self.weigh(energies_BTS, scene.view)
        return Attended(scene.memory.values.mixture(weights_ERTS), weights_ERTS.mean(0))
