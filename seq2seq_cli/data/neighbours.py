"""The sentences that stand before those of a batch in their documents: each of them once, whoever is to read it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from seq2seq_cli.config.context import Context
from seq2seq_cli.data.preceding import NONE, before_each
from seq2seq_cli.data.ragged import RaggedIds
from seq2seq_cli.data.subword import EOS


class Pairs(Protocol):
    """Pairs of a text by their numbers."""

    def gather(self, rows: np.ndarray) -> tuple[RaggedIds, RaggedIds]:
        """Source and target ids of the pairs ``rows``."""
        ...

    def lengths(self, rows: np.ndarray) -> np.ndarray:
        """How many source pieces each of them has."""
        ...


class Seen(NamedTuple):
    """N different sentences, ``src``, and their translations, ``tgt`` (None where nobody reads these). ``index_BK``: which of
    them stand before each sentence of a batch, the nearest first; NONE where there are no more."""

    src: RaggedIds
    tgt: RaggedIds | None
    index_BK: np.ndarray

    @classmethod
    def of(cls, before: Sequence[Sequence[Neighbour]], sentences: int, translated: bool) -> Seen:
        """Of the sentences before each sentence of a batch, the nearest first: at most ``sentences`` of them."""
        index_BK = np.full((len(before), sentences), NONE, dtype=np.int64)
        numbers: dict[Neighbour, int] = {}
        for row, neighbours in enumerate(before):
            for place, neighbour in enumerate(neighbours[:sentences]):
                index_BK[row, place] = numbers.setdefault(neighbour, len(numbers))
        src, tgt = (RaggedIds.of([np.array(one[side], dtype=np.int64) for one in numbers]) for side in (0, 1))
        return cls(src, tgt if translated else None, index_BK)

    def joined(self, text: RaggedIds) -> tuple[RaggedIds, np.ndarray]:
        """``text`` with the sentences before each row in front of it, in their order, each closed by ``</s>``; and how many
        pieces come before the row itself."""
        closed = [np.append(row, EOS) for row in self.src.rows]
        before = [[closed[number] for number in reversed(row) if number != NONE] for row in self.index_BK.tolist()]
        rows = [np.concatenate([*front, own]) for front, own in zip(before, text.rows, strict=True)]
        return RaggedIds.of(rows), np.array([sum(map(len, front)) for front in before], dtype=np.int64)


class Neighbour(NamedTuple):
    """A sentence before another one, as pieces; and what it has been translated to (empty where nobody reads that)."""

    src: tuple[int, ...]
    tgt: tuple[int, ...] = ()


@dataclass(frozen=True)
class Neighbours:
    """Finds them in a text: ``previous_N`` is, for each pair, the number of the one before it (`preceding.previous_of`).
    ``context``: what is read of them."""

    previous_N: np.ndarray
    pairs: Pairs
    context: Context

    @property
    def joins(self) -> bool:
        """Whether they come in front of the source."""
        return self.context.back.joins

    def seen(self, numbers_B: np.ndarray) -> Seen:
        """The sentences before the pairs of these numbers."""
        index_BK = before_each(self.previous_N, numbers_B, self.context.sentences)
        distinct, places = np.unique(index_BK[index_BK != NONE], return_inverse=True)
        own_BK = np.full(index_BK.shape, NONE, dtype=np.int64)
        own_BK[index_BK != NONE] = places
        if not len(distinct):
            nothing = RaggedIds.of([])
            return Seen(nothing, nothing if self.context.back.decoder else None, own_BK)
        src, tgt = (_shortened(side, self.context.longest) for side in self.pairs.gather(distinct))
        return Seen(src, tgt if self.context.back.decoder else None, own_BK)

    def joined_lengths(self, numbers_B: np.ndarray, lengths_B: np.ndarray) -> np.ndarray:
        """How many pieces each pair's source has, of this many itself, with the sentences before in front of it."""
        index_BK = before_each(self.previous_N, numbers_B, self.context.sentences)
        there_BK = index_BK != NONE
        added_BK = np.zeros(index_BK.shape, dtype=np.int64)
        added_BK[there_BK] = np.minimum(self.pairs.lengths(index_BK[there_BK]), self.context.longest) + 1
        whole: np.ndarray = (lengths_B + added_BK.sum(1)).astype(np.int32)
        return whole


def _shortened(ids: RaggedIds, longest: int) -> RaggedIds:
    if not (ids.lengths > longest).any():
        return ids
    return RaggedIds.of([row[:longest] for row in ids.rows])
