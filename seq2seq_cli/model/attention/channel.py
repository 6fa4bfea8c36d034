"""One weight for each dimension of the context (Choi, Cho & Bengio 2018)."""

from __future__ import annotations

from torch import Tensor, nn

from seq2seq_cli.model.attention.parts import Parts
from seq2seq_cli.model.attention.scored import Scene, ScoredAttention
from seq2seq_cli.model.attention.scores import ProjectedScore
from seq2seq_cli.model.carry import Rows, rows_of
from seq2seq_cli.model.maps import Pass
from seq2seq_cli.model.products import fast_tanh, pick, precise
from seq2seq_cli.model.types import Attended, Keys, Look, Values


def build(parts: Parts) -> ChannelAttention:
    return ChannelAttention(parts)


class ChannelKeys:
    """The projected keys k, for V tanh(q + k) at each step."""

    def __init__(self, keys_BSA: Tensor, energy_EA: Tensor) -> None:
        self.plain, self.energy_EA = keys_BSA, energy_EA

    def energies(self, queries_RTA: Tensor) -> Tensor:
        """E x R x T x S: channels come first, so that one product makes them, with the positions side by side."""
        by_keys_BN1A = queries_RTA.reshape(self.plain.shape[0], -1, 1, queries_RTA.shape[-1])
        inner_BNSA = fast_tanh(by_keys_BN1A + self.plain[:, None])
        energies_EX = self.energy_EA @ inner_BNSA.flatten(0, 2).T
        return energies_EX.view(-1, *queries_RTA.shape[:2], self.plain.shape[1])

    def select(self, rows: Rows) -> ChannelKeys:
        """The keys of the sentences ``rows``."""
        return ChannelKeys(rows_of(self.plain, rows), self.energy_EA)

    def pick(self, positions_RP: Tensor) -> ChannelKeys:
        """The keys of some positions of each sentence."""
        return ChannelKeys(pick(self.plain, positions_RP), self.energy_EA)


class ChannelValues:
    """The encoder states; each of their dimensions is mixed by weights of its own."""

    def __init__(self, states_BSE: Tensor) -> None:
        self.plain, self.by_channel_EBS = states_BSE, states_BSE.permute(2, 0, 1).contiguous()

    def mixture(self, weights_ERTS: Tensor) -> Tensor:
        """The contexts, R x T x E: dimension e of the states is summed with the weights ``weights_ERTS[e]``."""
        channels, rows, steps, positions = weights_ERTS.shape
        weights_EBNS = weights_ERTS.view(channels, self.plain.shape[0], -1, positions)
        mixed_EBN = (weights_EBNS * self.by_channel_EBS.unsqueeze(2)).sum(-1)
        return mixed_EBN.view(channels, rows, steps).permute(1, 2, 0)

    def select(self, rows: Rows) -> ChannelValues:
        """The states of the sentences ``rows``."""
        return ChannelValues(rows_of(self.plain, rows))

    def pick(self, positions_RP: Tensor) -> ChannelValues:
        """The states of some positions of each sentence."""
        return ChannelValues(pick(self.plain, positions_RP))


class ChannelScore(ProjectedScore):
    """V tanh(W_1 q + W_2 h_s): an energy for each dimension of h_s."""

    def __init__(self, query_size: int, encoder_size: int, size: int) -> None:
        super().__init__(query_size, encoder_size, size)
        self.energy = nn.Linear(size, encoder_size, bias=False)

    def shared(self, keys_BSA: Tensor) -> Keys:
        return ChannelKeys(keys_BSA, self.energy.weight)


class ChannelAttention(ScoredAttention):
    """c_t[d] = sum_s a_t(s, d) h_s[d], a_t(., d) the normalised d-th energies (Choi, Cho & Bengio 2018).

    ``weights_BTS`` is the mean over d.
    """

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts, ChannelScore(parts.query_size, parts.encoder_size, parts.size))

    def values(self, states_BSE: Tensor, run: Pass) -> Values:
        return ChannelValues(precise(states_BSE))

    def read(self, energies_BTS: Tensor, scene: Scene) -> Attended:
        weights_ERTS = self.weigh(energies_BTS, scene.view)
        return Attended(scene.memory.values.mixture(weights_ERTS), Look(weights_ERTS.mean(0)))
