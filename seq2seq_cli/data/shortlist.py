"""Which target pieces are likely in the translations of a source piece, learned from the training text: a search then
need not weigh the whole vocabulary (Jean et al. 2015, 3.2; L'Hostis, Grangier & Auli 2016)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NamedTuple, Self

import numpy as np

from seq2seq_cli.config.sections import LONGEST_SHORTLIST
from seq2seq_cli.data.checks.realign.lexicon import Expected, Meetings, frequencies
from seq2seq_cli.data.checks.realign.tokens import Tokens
from seq2seq_cli.data.pairs import ParallelText
from seq2seq_cli.data.subword import EOS, Subwords

COMMON = 500
"""So many pieces, the most frequent ones of the target, are always considered."""
ROUND = 256
"""The number of pieces considered, and one for all others, is a multiple of this: products are compiled for each number."""
NONE = -1
"""Stands where a source piece has met fewer target pieces."""

PAIRS = 50_000
"""From at most so many pairs of the training text, evenly spread, is learned."""
PART, PARTS = 1 << 19, 12
"""From so many meetings of pieces is learned at a time, and at most so many times; this bounds memory, and time to a few
seconds. (One larger part was no better: of 1,014 translations of Multi30k, 1,006 lay within 40 pieces a piece of one part,
1,011 within those of twelve.)"""


class Likeliest(NamedTuple):
    """``by_source``, source pieces x LONGEST_SHORTLIST: the likeliest target pieces of each source piece, the likeliest
    first. ``by_count``: all target pieces, the most frequent first."""

    by_source: np.ndarray
    by_count: np.ndarray

    @classmethod
    def learned(cls, text: ParallelText, pairs: int, subwords: Subwords, longest: int) -> Self:
        """From a text of about so many ``pairs``; those with a side of more than ``longest`` pieces do not count."""
        src_size, tgt_size = len(subwords.src), len(subwords.tgt)
        src, tgt = _pieces(text, pairs, subwords, longest)
        size = max(src_size, tgt_size)  # sources and targets are numbered alike
        usual = frequencies(tgt, size)
        parts = [Expected.learned(Meetings.of(src, tgt, rows, rows), usual) for rows in _parts(src.counts * tgt.counts)]
        keys, number = np.unique(np.concatenate([part.keys for part in parts]), return_inverse=True)
        counts = np.bincount(number, np.concatenate([part.counts for part in parts]), minlength=len(keys))
        by_source = _by_source(keys, counts, src_size, size)
        if subwords.joint:  # what has no translation is often copied: names, numbers
            by_source = np.concatenate([np.arange(src_size)[:, None], by_source[:, :-1]], 1)
        by_count = np.argsort(-np.bincount(tgt.ids, minlength=tgt_size), kind="stable")
        return cls(by_source.astype(np.int32), by_count.astype(np.int32))

    def fits(self, subwords: Subwords) -> bool:
        """Whether it can be of these pieces."""
        shape = (len(subwords.src), LONGEST_SHORTLIST)
        whole = np.array_equal(np.sort(self.by_count), np.arange(len(subwords.tgt)))
        numbers = self.by_source.dtype == self.by_count.dtype == np.int32
        within = bool(((self.by_source >= NONE) & (self.by_source < len(subwords.tgt))).all())
        return numbers and self.by_source.shape == shape and whole and within

    def among(self, sources: Sequence[Sequence[int]], count: int, copied: bool = False) -> np.ndarray:
        """The target pieces to consider for these source sentences together, in ascending order: the special ones, the
        common ones, the ``count`` likeliest of each source piece, and those pieces themselves where they may be ``copied``;
        and so many of the others, the most frequent, that their number plus one is a multiple of ROUND."""
        chosen = np.zeros(len(self.by_count), dtype=bool)
        chosen[: EOS + 1] = True
        chosen[self.by_count[:COMMON]] = True
        pieces = np.unique(np.concatenate([np.asarray(ids) for ids in sources]))
        likeliest = self.by_source[pieces, :count]
        chosen[likeliest[likeliest != NONE]] = True
        chosen[pieces] |= copied
        others = self.by_count[~chosen[self.by_count]]
        chosen[others[: -(int(chosen.sum()) + 1) % ROUND]] = True
        return np.flatnonzero(chosen)


def _pieces(text: ParallelText, pairs: int, subwords: Subwords, longest: int) -> tuple[Tokens, Tokens]:
    """The distinct pieces of pairs that are evenly spread over the text."""
    some = list(islice(text.pairs(), 0, None, max(1, -(-pairs // PAIRS))))
    both = zip(
        subwords.src.encode([src for src, _ in some]), subwords.tgt.encode([tgt for _, tgt in some]), strict=True
    )
    kept = [(src, tgt) for src, tgt in both if len(src) <= longest and len(tgt) <= longest]
    return _distinct([src for src, _ in kept]), _distinct([tgt for _, tgt in kept])


def _distinct(lines: Sequence[Sequence[int]]) -> Tokens:
    ids = [np.unique(np.asarray(line, dtype=np.int64)) for line in lines]
    ends = np.cumsum([len(line) for line in ids], dtype=np.int64)
    return Tokens(np.concatenate(ids) if ids else np.zeros(0, dtype=np.int64), ends)


def _parts(sizes: np.ndarray) -> Iterator[np.ndarray]:
    """The rows of each part, evenly spread over all of them; ``sizes``: how many meetings a row has."""
    number = max(1, -(-int(sizes.sum()) // PART))
    for first in range(min(number, PARTS)):
        yield np.arange(first, len(sizes), number)


def _by_source(keys: np.ndarray, counts: np.ndarray, src_size: int, size: int) -> np.ndarray:
    """The target pieces of each source piece, by falling counts."""
    order = np.lexsort((-counts, keys // size))
    of_src, of_tgt = keys[order] // size, keys[order] % size
    rank = np.arange(len(order)) - np.searchsorted(of_src, of_src)
    table = np.full((src_size, LONGEST_SHORTLIST), NONE)
    kept = rank < LONGEST_SHORTLIST
    table[of_src[kept], rank[kept]] = of_tgt[kept]
    return table
