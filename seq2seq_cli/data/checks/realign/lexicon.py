"""Which words translate each other, learned from pairs of lines (IBM model 1; Brown et al. 1993)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from seq2seq_cli.data.checks.realign.tokens import Tokens

ITERATIONS = 4
DISCOUNT = 0.5
"""Of each expected count: two words that met once know nothing of each other (absolute discounting)."""
EXPLAINED = 0.6
"""Share of a line's words that stand there for a word of the other side."""
DOUBT = 3.0
"""Lines with a word after which half of that is known of it."""
SAME = 0.3
"""Probability that a word which is not known yet, a name or a number, is the same in the translation."""
KNOWN = 5
"""Lines with a word from which on it is known."""
STRONGEST = 1000.0
"""How much likelier a word makes another one, at most."""
ENTRIES = 1 << 22
"""Meetings of words that are learned from at most: bounds memory and time."""


class Meetings(NamedTuple):
    """Every word of a source line with every word of a target line: their numbers, and the number of the target word's
    place among all of them."""

    src: np.ndarray
    tgt: np.ndarray
    place: np.ndarray
    pair: np.ndarray

    @classmethod
    def of(cls, src: Tokens, tgt: Tokens, rows: np.ndarray, columns: np.ndarray) -> Meetings:
        """Of source lines ``rows`` with target lines ``columns``."""
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


@dataclass(frozen=True)
class Lexicon:
    """``keys``: source x size + target word, sorted; ``odds``: how much likelier the source word makes the target word
    than it is anyway. ``seen``: lines with each source word. ``usual``: how often a target word is each word.
    ``explained``: the chance that each target word stands for one of the source's, as far as is known."""

    size: int
    keys: np.ndarray
    odds: np.ndarray
    seen: np.ndarray
    usual: np.ndarray
    explained: np.ndarray

    @classmethod
    def learned(cls, src: Tokens, tgt: Tokens, rows: np.ndarray, columns: np.ndarray, size: int) -> Lexicon:
        """From source lines ``rows`` and target lines ``columns`` that translate each other. ``size``: of the
        vocabulary."""
        fit = np.cumsum(src.counts[rows] * tgt.counts[columns]) <= ENTRIES
        met = Meetings.of(src, tgt, rows[fit], columns[fit])
        seen, heard = (_lines_with(words, met.pair, size) for words in (met.src, met.tgt))
        usual = _usual(tgt, size)
        keys, number, met_often = np.unique(met.src * size + met.tgt, return_inverse=True, return_counts=True)
        of_src, of_tgt = keys // size, keys % size
        share = met_often / np.bincount(of_src, met_often, minlength=size)[of_src]
        counts: np.ndarray = met_often.astype(np.float64)
        for _ in range(ITERATIONS):
            each = share[number]
            whole = np.bincount(met.place, each)[met.place] + usual[met.tgt]
            counts = np.bincount(number, each / whole, minlength=len(keys))
            share = counts / np.bincount(of_src, counts, minlength=size)[of_src]
        totals = np.bincount(of_src, counts, minlength=size)[of_src]
        odds = np.minimum(np.maximum(counts - DISCOUNT, 0) / totals / usual[of_tgt], STRONGEST)
        kept = odds > 1
        return cls(size, keys[kept], odds[kept].astype(np.float32), seen, usual, EXPLAINED * heard / (heard + DOUBT))

    @classmethod
    def empty(cls, tgt: Tokens, size: int) -> Lexicon:
        """One that knows nothing but that names and numbers stay the same."""
        nothing = np.zeros(0, dtype=np.int64)
        unknown = np.zeros(size, dtype=np.int64)
        return cls(size, nothing, nothing.astype(np.float32), unknown, _usual(tgt, size), np.zeros(size))

    def same(self, words: np.ndarray) -> np.ndarray:
        """The odds of each word for itself: 0 where it is known."""
        odds: np.ndarray = np.where(
            self.seen[words] < KNOWN, np.minimum(SAME / self.usual[words], STRONGEST), np.float64(0)
        )
        return odds

    def scores(self, src: Tokens, tgt: Tokens, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """How much likelier each source line makes the words of a target line than they are anyway, in nats."""
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
        """What each target word says, in nats, that the source line makes so much likelier on average."""
        chance = self.explained[words]
        chance = np.where(odds > 0, np.maximum(chance, SAME), chance)
        said: np.ndarray = np.log(1 - chance + chance * odds)
        return said


def _usual(tgt: Tokens, size: int) -> np.ndarray:
    """How often a target word is each word; none never."""
    often = np.bincount(tgt.ids, minlength=size) + 0.5
    return np.asarray(often / often.sum())


def _lines_with(words: np.ndarray, pair: np.ndarray, size: int) -> np.ndarray:
    """In how many pairs each word is met."""
    return np.bincount(np.unique(pair * size + words) % size, minlength=size)
