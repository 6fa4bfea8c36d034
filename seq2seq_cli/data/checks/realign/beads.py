"""Which lines translate which, by dynamic programming over beads (Gale & Church 1993; Moore 2002).

A bead is a few lines of one text that translate a few of the other: 1-1, 2-1, 1-2, 2-2, or 1-0 and 0-1 for a line without
a translation. What it says is how much likelier its lines are as translations of each other than by themselves, from
their lengths and words. Forward and backward sums over all ways to part two texts into beads give each bead's
probability, so that what is doubtful is known to be.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from seq2seq_cli.data.checks.realign.lexicon import UNEXPLAINED, Lexicon
from seq2seq_cli.data.checks.realign.tokens import Tokens

BEAD = np.dtype([("src", "<i8"), ("tgt", "<i8"), ("src_lines", "u1"), ("tgt_lines", "u1"), ("probability", "<f4")])
"""First line and number of lines on each side."""

SHAPES = ((1, 1), (2, 1), (1, 2), (2, 2))
PRIORS = np.log([0.90, 0.02, 0.02, 0.004])
ALONE = float(np.log(0.028))
"""Prior of 1-0 and of 0-1."""
SURE = 0.5
"""Probability above which beads exclude each other."""
WORDS = 0.5
"""Weight of what the words say: they do not come independently of each other."""
SPREAD, SPREAD_SHORT = 0.01, 5.0
"""Variance of the logarithm of a translation's length, and what is added to it over the characters of the source."""
SMOOTHING = 5.0
"""Characters added to every length."""
CLIP = (-8.0, 3.0)
"""What lengths may say, in nats."""
NEVER = np.float32(-1e30)


@dataclass(frozen=True)
class Side:
    """Lines of one text: their words and their lengths in characters (int64)."""

    words: Tokens
    chars: np.ndarray

    def __len__(self) -> int:
        return len(self.chars)


@dataclass(frozen=True)
class Band:
    """Where is looked: source line i is compared with target lines from ``lows[i]`` on, ``width`` of them."""

    lows: np.ndarray
    width: int


class Scores:
    """What beads say that begin at a source line, for every target line of the band, in nats."""

    def __init__(self, src: Side, tgt: Side, lexicons: tuple[Lexicon, Lexicon], folds: np.ndarray) -> None:
        self._src, self._tgt = src, tgt
        self._lexicons, self._folds = lexicons, folds
        self._own = [np.searchsorted(book.keys // book.size, np.arange(book.size + 1)) for book in lexicons]
        self._said = np.full(lexicons[0].size, np.log(UNEXPLAINED), dtype=np.float32)
        self._rate = np.log((tgt.chars.sum() + 1) / (src.chars.sum() + 1))
        pairs = tgt.chars[:-1] + tgt.chars[1:] if len(tgt) > 1 else tgt.chars
        self._usual = [_normal(np.log(chars + SMOOTHING)) for chars in (tgt.chars, pairs)]

    def of(self, row: int, low: int, high: int) -> np.ndarray:
        """Of each of SHAPES (4 x target lines from ``low`` to ``high``, which is not included)."""
        told = np.full((len(SHAPES), high - low), NEVER, dtype=np.float32)
        chars = self._tgt.chars[low : high + 1]
        two = chars[:-1] + chars[1:]
        for lines in (1, 2):
            if row + lines > len(self._src):
                break
            length = int(self._src.chars[row : row + lines].sum())
            words = self._words(row, lines, low, high + 1) * WORDS
            one_one, one_two = (0, 2) if lines == 1 else (1, 3)
            told[one_one] = PRIORS[one_one] + self._lengths(length, chars[: high - low], 0) + words[: high - low]
            both = self._lengths(length, two, 1) + words[:-1] + words[1:]
            told[one_two, : len(two)] = PRIORS[one_two] + both
        return told

    def _lengths(self, src: int, tgt: np.ndarray, usual: int) -> np.ndarray:
        size = np.log(tgt + SMOOTHING)
        variance = SPREAD + SPREAD_SHORT / (src + SMOOTHING)
        mean = np.log(src + SMOOTHING) + self._rate
        middle, spread = self._usual[usual]
        as_pair = -0.5 * (size - mean) ** 2 / variance - 0.5 * np.log(variance)
        alone = -0.5 * (size - middle) ** 2 / spread - 0.5 * np.log(spread)
        return np.clip(as_pair - alone, *CLIP)

    def _words(self, row: int, lines: int, low: int, high: int) -> np.ndarray:
        """Of one or two source lines with each target line."""
        words = self._src.words
        first = words.ends[row - 1] if row else 0
        own = words.ids[first : words.ends[row + lines - 1]]
        fold = self._folds[row]
        book, begins = self._lexicons[fold], self._own[fold]
        parts = [slice(begins[word], begins[word + 1]) for word in own.tolist()]
        known = [part for part in parts if part.stop > part.start]
        same = book.same(own)
        targets = np.concatenate([own[same > 0], *(book.keys[part] % book.size for part in known)])
        odds = np.concatenate([same[same > 0], *(book.odds[part] for part in known)])
        touched, number = np.unique(targets, return_inverse=True)
        many = np.bincount(number, odds, minlength=len(touched))
        said = self._said
        said[touched] = np.log(UNEXPLAINED + (1 - UNEXPLAINED) * many / max(len(own), 1))
        ends = self._tgt.words.ends
        high = min(high, len(ends))
        begin = ends[low - 1] if low else 0
        sums = np.concatenate(([0.0], np.cumsum(said[self._tgt.words.ids[begin : ends[high - 1]]], dtype=np.float64)))
        said[touched] = np.log(UNEXPLAINED)
        places = ends[low:high] - begin
        return np.diff(sums[places], prepend=0.0)


def _normal(values: np.ndarray) -> tuple[float, float]:
    return float(values.mean()), float(values.var() + 0.02)


def beads_of(scores: Scores, rows: int, columns: int, band: Band, closed: bool) -> np.ndarray:
    """The beads (BEAD) that are likelier than not, in order, of texts of so many lines. ``closed``: both end together;
    else the target may go on."""
    told = [_scored(scores, row, columns, band) for row in range(rows)]
    forward = _swept(told, rows, columns, band)
    backward = _swept_back(told, rows, columns, band, closed)
    total = _total(forward, band, columns, closed)
    found = []
    for row in range(rows):
        for number, (lines, width) in enumerate(SHAPES):
            if row + lines > rows:
                continue
            behind = _moved(backward[row + lines], _low(band, row + lines) - _low(band, row) - width)
            chance = np.exp(np.minimum(forward[row] + told[row][number] + behind - total, 0))
            likely = np.flatnonzero(chance > SURE)
            for place in likely.tolist():
                found.append((row, _low(band, row) + place, lines, width, chance[place]))
    return np.array(found, dtype=BEAD)


def _low(band: Band, row: int) -> int:
    return int(band.lows[row])


def _scored(scores: Scores, row: int, columns: int, band: Band) -> np.ndarray:
    """NEVER where the band reaches beyond the text."""
    low = _low(band, row)
    high = min(low + band.width, columns)
    told = np.full((len(SHAPES), band.width), NEVER, dtype=np.float32)
    if high > low:
        told[:, : high - low] = scores.of(row, low, high)
    return told


def _moved(values: np.ndarray, by: int) -> np.ndarray:
    """``values`` whose place 0 is ``by`` places on: what was at p is at p + by."""
    if by == 0:
        return values
    moved = np.full_like(values, NEVER)
    if abs(by) < len(values):
        if by > 0:
            moved[by:] = values[:-by]
        else:
            moved[:by] = values[-by:]
    return moved


def _swept(told: list[np.ndarray], rows: int, columns: int, band: Band) -> list[np.ndarray]:
    """The logarithm of the sum over all ways from the beginning to each place."""
    slope = ALONE * np.arange(band.width)
    swept: list[np.ndarray] = []
    for row in range(rows + 1):
        into = np.full(band.width, NEVER, dtype=np.float64)
        if row == 0 and band.lows[0] == 0:
            into[0] = 0
        for lines in (1, 2):
            if row >= lines:
                shift = _low(band, row - lines) - _low(band, row)
                before, said = swept[row - lines], told[row - lines]
                for number, (height, width) in enumerate(SHAPES):
                    if height == lines:
                        into = np.logaddexp(into, _moved(before + said[number], shift + width))
                if lines == 1:
                    into = np.logaddexp(into, _moved(before, shift) + ALONE)
        into = np.logaddexp.accumulate(into - slope) + slope
        into[max(0, columns + 1 - _low(band, row)) :] = NEVER
        swept.append(into)
    return swept


def _swept_back(told: list[np.ndarray], rows: int, columns: int, band: Band, closed: bool) -> list[np.ndarray]:
    """The same from each place to the end."""
    slope = ALONE * np.arange(band.width)
    swept: list[np.ndarray] = [np.zeros(0)] * (rows + 1)
    for row in range(rows, -1, -1):
        into = np.full(band.width, NEVER, dtype=np.float64)
        if row == rows:
            if not closed:
                into[:] = 0
            elif 0 <= columns - _low(band, row) < band.width:
                into[columns - _low(band, row)] = 0
        for number, (lines, width) in enumerate(SHAPES):
            if row + lines <= rows:
                behind = _moved(swept[row + lines], _low(band, row + lines) - _low(band, row) - width)
                into = np.logaddexp(into, behind + told[row][number])
        if row < rows:
            into = np.logaddexp(into, _moved(swept[row + 1], _low(band, row + 1) - _low(band, row)) + ALONE)
        into[max(0, columns + 1 - _low(band, row)) :] = NEVER
        into = (np.logaddexp.accumulate((into + slope)[::-1])[::-1]) - slope
        swept[row] = into
    return swept


def _total(forward: list[np.ndarray], band: Band, columns: int, closed: bool) -> float:
    last = forward[-1]
    if not closed:
        return float(np.logaddexp.reduce(last))
    place = columns - int(band.lows[len(forward) - 1])
    return float(last[place]) if 0 <= place < len(last) else float(NEVER)
