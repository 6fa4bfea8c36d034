"""Which words translate each other, learned from pairs of lines (IBM model 1; Brown et al. 1993)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from seq2seq_cli.data.checks.realign.tokens import Tokens

ITERATIONS = 4
DISCOUNT = 0.5
"""Subtracted from each expected count, because two words that met only once know nothing of each other (absolute
discounting)."""
EXPLAINED = 0.6
"""Share of a line's words that stand for a word of the other side."""
DOUBT = 3.0
"""After so many lines with a word, half of this is learned from the lines."""
SAME = 0.3
"""Probability that an unknown word, such as a name or a number, is the same in the translation."""
KNOWN = 5
"""A word is known from so many lines with it on."""
STRONGEST = 1000.0
"""At most how many times likelier a word makes another word."""
ENTRIES = 1 << 22
"""From at most so many meetings of words is learned; this bounds memory and time."""


class Meetings(NamedTuple):
    """Every word of a source line with every word of its target line: ``src`` and ``tgt`` are the numbers of both
    words, ``place`` is the place of the target word among all target words, and ``pair`` the number of the pair of
    lines."""

    src: np.ndarray
    tgt: np.ndarray
    place: np.ndarray
    pair: np.ndarray

    @classmethod
    def of(cls, src: Tokens, tgt: Tokens, rows: np.ndarray, columns: np.ndarray) -> Meetings:
        """The meetings in pairs of source lines ``rows`` and target lines ``columns``."""
        many_src, many_tgt = src.counts[rows], tgt.counts[columns]
        sizes = many_src * many_tgt
        pair = np.repeat(np.arange(len(rows)), sizes)
        within = np.arange(len(pair)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        width = many_tgt[pair]
        column = within % width
        place = np.repeat(np.cumsum(many_tgt) - many_tgt, sizes) + column
        return cls(
            src.ids[src.begins[rows][pair] + within // width], tgt.ids[tgt.begins[columns][pair] + column], place, pair
        )


class Expected(NamedTuple):
    """How often source words are expected to have made target words: ``keys``, source word x size + target word, sorted,
    with their ``counts``."""

    keys: np.ndarray
    counts: np.ndarray

    @classmethod
    def learned(cls, met: Meetings, usual: np.ndarray) -> Expected:
        """From the meetings, by expectation maximisation; ``usual``: the frequency of each word in the target, with which
        a word comes from nowhere."""
        size = len(usual)
        keys, number, met_often = np.unique(met.src * size + met.tgt, return_inverse=True, return_counts=True)
        of_src = keys // size
        share = met_often / np.bincount(of_src, met_often, minlength=size)[of_src]
        counts: np.ndarray = met_often.astype(np.float64)
        for _ in range(ITERATIONS):
            each = share[number]
            whole = np.bincount(met.place, each)[met.place] + usual[met.tgt]
            counts = np.bincount(number, each / whole, minlength=len(keys))
            share = counts / np.bincount(of_src, counts, minlength=size)[of_src]
        return cls(keys, counts)


@dataclass(frozen=True)
class Lexicon:
    """``keys``: source word x size + target word, sorted. ``odds``: for each key, how much likelier the source word
    makes the target word than it is anyway. ``seen``: how many lines have each source word. ``usual``: the frequency of
    each word in the target. ``explained``: the chance that each target word stands for a source word, as far as is
    known."""

    size: int
    keys: np.ndarray
    odds: np.ndarray
    seen: np.ndarray
    usual: np.ndarray
    explained: np.ndarray

    @classmethod
    def learned(cls, src: Tokens, tgt: Tokens, rows: np.ndarray, columns: np.ndarray, size: int) -> Lexicon:
        """Learned from source lines ``rows`` and target lines ``columns`` that translate each other. ``size``: of the
        vocabulary."""
        fit = np.cumsum(src.counts[rows] * tgt.counts[columns]) <= ENTRIES
        met = Meetings.of(src, tgt, rows[fit], columns[fit])
        seen, heard = (_lines_with(words, met.pair, size) for words in (met.src, met.tgt))
        usual = frequencies(tgt, size)
        keys, counts = Expected.learned(met, usual)
        of_src, of_tgt = keys // size, keys % size
        totals = np.bincount(of_src, counts, minlength=size)[of_src]
        odds = np.minimum(np.maximum(counts - DISCOUNT, 0) / totals / usual[of_tgt], STRONGEST)
        kept = odds > 1
        return cls(size, keys[kept], odds[kept].astype(np.float32), seen, usual, EXPLAINED * heard / (heard + DOUBT))

    @classmethod
    def empty(cls, tgt: Tokens, size: int) -> Lexicon:
        """A lexicon that knows nothing except that names and numbers stay the same."""
        nothing = np.zeros(0, dtype=np.int64)
        unknown = np.zeros(size, dtype=np.int64)
        return cls(size, nothing, nothing.astype(np.float32), unknown, frequencies(tgt, size), np.zeros(size))

    def same(self, words: np.ndarray) -> np.ndarray:
        """The odds of each word for itself: 0 where it is known."""
        odds: np.ndarray = np.where(
            self.seen[words] < KNOWN, np.minimum(SAME / self.usual[words], STRONGEST), np.float64(0)
        )
        return odds

    def scores(self, src: Tokens, tgt: Tokens, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """In nats, how much likelier each source line makes the words of its target line than they are anyway."""
        met = Meetings.of(src, tgt, rows, columns)
        places = np.minimum(np.searchsorted(self.keys, wanted := met.src * self.size + met.tgt), len(self.keys) - 1)
        odds = (
            np.where(self.keys[places] == wanted, self.odds[places], 0.0) if len(self.keys) else np.zeros(len(wanted))
        )
        alike = met.src == met.tgt
        odds[alike] = np.maximum(odds[alike], self.same(met.src[alike]))
        many = np.bincount(met.place, odds)
        width = tgt.counts[columns]
        pair = np.repeat(np.arange(len(rows)), width)
        many = np.pad(many, (0, len(pair) - len(many)))
        first = np.cumsum(width) - width
        words = tgt.ids[tgt.begins[columns][pair] + np.arange(len(pair)) - first[pair]]
        said = self.said(many / np.maximum(src.counts[rows], 1)[pair], words)
        return np.bincount(pair, said, minlength=len(rows))

    def said(self, odds: np.ndarray, words: np.ndarray) -> np.ndarray:
        """The score in nats of each target word, given how much likelier the source line makes it on average."""
        chance = self.explained[words]
        chance = np.where(odds > 0, np.maximum(chance, SAME), chance)
        said: np.ndarray = np.log(1 - chance + chance * odds)
        return said


def frequencies(tgt: Tokens, size: int) -> np.ndarray:
    """The frequency of each word in the target; never zero."""
    often = np.bincount(tgt.ids, minlength=size) + 0.5
    return np.asarray(often / often.sum())


def _lines_with(words: np.ndarray, pair: np.ndarray, size: int) -> np.ndarray:
    """How many pairs of lines have each word."""
    return np.bincount(np.unique(pair * size + words) % size, minlength=size)
