"""Whether the two sides of a text belong together: whether pairs know more of each other than of their neighbours.

Which words translate each other is learned from some stretches of the text. Then, in other stretches, two pairs
exchange their targets. If the sides belong together, the exchange makes the pairs less likely; if not, it wins as often
as it loses. Neighbours are exchanged, not arbitrary lines, because both sides may be sorted alike without belonging
together. And the words are learned from far away, because neighbours may resemble each other.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from seq2seq_cli.data.checks.chunk import Chunk
from seq2seq_cli.data.checks.realign.lexicon import Lexicon
from seq2seq_cli.data.checks.realign.tokens import WordNumbers

STRETCHES = 16
"""Most stretches that are kept; at least half as many are, if the text has them."""
STRETCH = 128
"""Pairs of a stretch ..."""
FIRST_LOOK = 24
"""... and how many of them are looked at first."""
NEAR = (1, 2, 3, 5)
"""Pairs that exchange their targets are so many pairs apart."""
TRIALS = 512
TOLD = 0.5
"""A trial whose outcome differs by fewer nats tells nothing."""
RELATED = 0.7
"""Share of the trials that is won where a third of the pairs are right (0.5 where none is). Sound text wins 0.96 and
more."""
WORDS = 4.0
"""From so many words a line on, on average, words recur often enough to say that sides do not belong together."""


class Sample:
    """Stretches of pairs, evenly spaced over a text however long it is."""

    def __init__(self) -> None:
        self._kept: list[Chunk] = []
        self._every = STRETCH
        self._next = 0

    def add(self, chunk: Chunk) -> None:
        """The next pairs of the text."""
        end = chunk.first + len(chunk.src)
        while self._next < end:
            begin = self._next - chunk.first
            part = slice(max(begin, 0), max(begin, 0) + STRETCH)
            self._kept.append(Chunk(chunk.first + part.start, chunk.src[part], chunk.tgt[part]))
            self._next += self._every
            if len(self._kept) == STRETCHES:
                del self._kept[1::2]
                self._every *= 2
                self._next = self._kept[-1].first + self._every

    def stretches(self) -> list[Chunk]:
        return self._kept


class Evidence(NamedTuple):
    """The outcome of the ``trials`` in which the words told anything: in ``won`` of them, the exchange made the pairs
    less likely. ``words``: average words of a line, on the side that has fewer."""

    trials: int
    won: int
    words: float

    @property
    def related(self) -> bool:
        """Whether the sides belong together, beyond doubt."""
        return bool(self.trials) and self.won / self.trials - self._doubt > RELATED

    @property
    def likely(self) -> bool:
        """Whether nothing speaks against the sides belonging together."""
        return self.won >= RELATED * self.trials

    @property
    def unrelated(self) -> bool:
        """Whether the sides do not belong together, beyond doubt. Nothing is said of texts of single words, which
        hardly recur."""
        return bool(self.trials) and self.won / self.trials + self._doubt < RELATED and self.words >= WORDS

    @property
    def _doubt(self) -> float:
        """Three standard deviations of the share of trials won. (Neighbouring trials have a pair in common.)"""
        return float(3 * 0.5 / np.sqrt(self.trials / 2))


def evidence(stretches: list[Chunk]) -> Evidence:
    """What the words of a sample say about its two sides belonging together. For most texts, a part of the sample says
    enough."""
    few = [Chunk(part.first, part.src[:FIRST_LOOK], part.tgt[:FIRST_LOOK]) for part in stretches]
    found = _evidence(few)
    return found if found.related else _evidence(stretches)


def _evidence(stretches: list[Chunk]) -> Evidence:
    src_lines = [line for stretch in stretches for line in stretch.src]
    tgt_lines = [line for stretch in stretches for line in stretch.tgt]
    words = WordNumbers()
    src, tgt = words.tokens(src_lines), words.tokens(tgt_lines)
    folds = _folds([len(stretch.src) for stretch in stretches])
    one, other = _trials(src_lines, tgt_lines, folds)
    said = np.zeros(len(one))
    for odd in (0, 1):
        learned, tried = np.flatnonzero(folds % 2 != odd), folds[one] % 2 == odd
        if len(learned) and tried.any():
            lexicon = Lexicon.learned(src, tgt, learned, learned, len(words))
            i, j = one[tried], other[tried]
            kept = lexicon.scores(src, tgt, i, i) + lexicon.scores(src, tgt, j, j)
            said[tried] = kept - lexicon.scores(src, tgt, i, j) - lexicon.scores(src, tgt, j, i)
    told = np.abs(said) > TOLD
    fewer = min(len(src.ids), len(tgt.ids)) / max(len(src_lines), 1)
    return Evidence(int(told.sum()), int((said > TOLD).sum()), fewer)


def _folds(sizes: list[int]) -> np.ndarray:
    """A fold number for each pair. Pairs of a stretch are in the same fold, if there are enough stretches."""
    count = sum(sizes)
    if len(sizes) >= STRETCHES // 2:
        return np.repeat(np.arange(len(sizes)), sizes)
    return np.arange(count) // max(count // STRETCHES, 4 * len(NEAR))


def _trials(src: list[str], tgt: list[str], folds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The pairs that are to exchange their targets; both are in the same fold."""
    near = []
    for distance in NEAR:
        first = np.arange(max(0, len(src) - distance))
        first = first[(first // distance % 2 == 0) & (folds[first] == folds[first + distance])]
        near += [
            (i, i + distance) for i in first.tolist() if src[i] != src[i + distance] and tgt[i] != tgt[i + distance]
        ]
    chosen = np.array(near, dtype=np.int64).reshape(-1, 2)
    chosen = chosen[:: max(1, len(chosen) // TRIALS)]
    return chosen[:, 0], chosen[:, 1]
