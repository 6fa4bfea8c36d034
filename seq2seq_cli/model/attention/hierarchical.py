"""Words within segments, segments within the source (Yang et al. 2016; in a decoder Nallapati et al. 2016, 2.4)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from seq2seq_cli.model.attention.parts import Parts
from seq2seq_cli.model.attention.scored import Scene, ScoredAttention
from seq2seq_cli.model.attention.scores import Score
from seq2seq_cli.model.attention.segments import SplitAtMarks, SplitByLength
from seq2seq_cli.model.attention.windows import View
from seq2seq_cli.model.carry import Rows, rows_of
from seq2seq_cli.model.maps import Pass
from seq2seq_cli.model.products import pick
from seq2seq_cli.model.types import Attended, Keys, Look, Memory, Source


def build(parts: Parts) -> HierarchicalAttention:
    config = parts.config
    by_length = config.choices.split == "length"
    splitter = SplitByLength(config.numbers.segment_length) if by_length else SplitAtMarks(parts.segment_ends)
    return HierarchicalAttention(parts, splitter)


@runtime_checkable
class MixableKeys(Keys, Protocol):
    """Keys that mixtures can be made of."""

    def mixed(self, weights_RTGS: Tensor) -> Keys:
        """G mixtures of the keys for each query; each query becomes a row of its own: R T rows."""
        ...


@dataclass
class LevelKeys:
    """Keys of both levels: ``words``, the keys of the words; ``segments``, a key for each word of which the keys of the
    segments are mixed; ``number_BS``, the number of the segment that each word is in."""

    words: Keys
    segments: Keys
    number_BS: Tensor

    def __post_init__(self) -> None:
        self.plain = self.words.plain

    def energies(self, queries_RTA: Tensor) -> Tensor:
        """The energies of the words, R x T x S."""
        return self.words.energies(queries_RTA)

    def select(self, rows: Rows) -> LevelKeys:
        """The keys of the sentences ``rows``."""
        return LevelKeys(self.words.select(rows), self.segments.select(rows), rows_of(self.number_BS, rows))

    def pick(self, positions_RP: Tensor) -> LevelKeys:
        """The keys of some positions of each sentence."""
        number_RP = pick(self.number_BS[..., None], positions_RP).squeeze(-1)
        return LevelKeys(self.words.pick(positions_RP), self.segments.pick(positions_RP), number_RP)

    def members(self, view: View) -> Tensor:
        """Which positions of each segment are seen, R x T x G x S."""
        count: Any = self.number_BS.max() + 1  # no int: in a traced graph it would be that of the example
        segments_G = torch.arange(count, device=view.mask_BTS.device)
        number_BGS = self.number_BS[:, None] == segments_G[:, None]
        mask_BN1S = view.mask_BTS.reshape(self.number_BS.shape[0], -1, 1, view.mask_BTS.shape[-1])
        members_BNGS: Tensor = number_BGS[:, None] & mask_BN1S
        return members_BNGS.view(*view.mask_BTS.shape[:-1], *number_BGS.shape[1:])


class LevelScore(Score):
    """Two scores side by side: one of the words, one of the segments, each with queries and keys of its own."""

    def __init__(self, word: Score, segment: Score) -> None:
        super().__init__()
        self.word = word
        self.segment = segment

    def keys(self, states_BSE: Tensor, run: Pass) -> Tensor:
        return torch.cat([self.word.keys(states_BSE, run), self.segment.keys(states_BSE, run)], -1)

    def shared(self, keys_BSA: Tensor) -> Keys:
        words_BSA, segments_BSA = keys_BSA.chunk(2, -1)
        words, segments = self.word.shared(words_BSA), self.segment.shared(segments_BSA)
        return LevelKeys(words, segments, torch.zeros(keys_BSA.shape[:2], dtype=torch.long, device=keys_BSA.device))

    def queries(self, query_BTD: Tensor, run: Pass) -> Tensor:
        return torch.cat([self.word.queries(query_BTD, run), self.segment.queries(query_BTD, run)], -1)


class HierarchicalAttention(ScoredAttention):
    """Attention over the words of each segment, and over the segments (Yang et al. 2016, 2.2; with weights that depend
    on the decoder's state Nallapati et al. 2016, 2.4).

    Within segment g, the normalised scores of the words are a_t(s | g), and the segment's summary is
    u_g = sum_s a_t(s | g) h_s. The normalised scores of the summaries are b_t(g), and c_t = sum_g b_t(g) u_g. So the
    weight of a word is b_t(g) a_t(s | g).

    A key is a linear map of what it is the key of, so the key of u_g is the mixture of its words' keys.
    """

    def __init__(self, parts: Parts, splitter: nn.Module) -> None:
        super().__init__(parts, LevelScore(parts.score(), parts.score()))
        self.splitter = splitter

    def prepare(self, encoded: Source, run: Pass) -> Memory:
        memory = super().prepare(encoded, run)
        assert encoded.tokens_BS is not None
        assert isinstance(memory.keys, LevelKeys)
        number_BS = self.splitter(encoded.tokens_BS, encoded.mask_BS)
        return memory._replace(keys=replace(memory.keys, number_BS=number_BS))

    def attend(self, scene: Scene) -> Attended:
        memory, view, keys = scene.memory, scene.view, scene.memory.keys
        assert isinstance(self.score, LevelScore)
        assert isinstance(keys, LevelKeys)
        assert isinstance(keys.segments, MixableKeys)
        words_BTA, segments_BTA = scene.queries_BTA.chunk(2, -1)
        members_BTGS = keys.members(view)
        some_BTG = members_BTGS.any(-1)
        # A segment of which nothing is seen counts the first position as its word (a softmax needs one), and gets no weight.
        members_BTGS = members_BTGS | (_first_of(members_BTGS) & ~some_BTG[..., None])
        energies_BTS = self.score.word(words_BTA, memory._replace(keys=keys.words))
        within_BTGS = self.normaliser(energies_BTS.unsqueeze(2), members_BTGS)
        summaries = memory._replace(keys=keys.segments.mixed(within_BTGS))
        segments_N1G = self.score.segment(segments_BTA.flatten(0, 1).unsqueeze(1), summaries)
        among_BTG = self.normaliser(segments_N1G.view(within_BTGS.shape[:-1]), some_BTG)
        weights_BTS = (among_BTG[..., None] * within_BTGS).sum(2)
        if view.factor_BTS is not None:
            weights_BTS = weights_BTS * view.factor_BTS
        return Attended(memory.values.mixture(weights_BTS), Look(weights_BTS))


def _first_of(members_BTGS: Tensor) -> Tensor:
    return torch.arange(members_BTGS.shape[-1], device=members_BTGS.device) == 0
