"""Which lines translate which, by dynamic programming over beads (Gale & Church 1993; Moore 2002).

A bead is a few lines of one text that translate a few lines of the other: 1-1, 2-1, 1-2, 2-2, or 1-0 and 0-1 for a line
without a translation. Its score is how much likelier its lines are as translations of each other than by themselves,
judged by their lengths and words. Forward and backward sums over all ways to divide two texts into beads give the
probability of each bead, so that doubtful beads can be recognised.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from seq2seq_cli.data.checks.realign.lexicon import Lexicon
from seq2seq_cli.data.checks.realign.tokens import Tokens

BEAD = np.dtype([("src", "<i8"), ("tgt", "<i8"), ("src_lines", "u1"), ("tgt_lines", "u1"), ("probability", "<f4")])
"""The first line and the number of lines on each side."""

SHAPES = ((1, 1), (2, 1), (1, 2), (2, 2))
BLOCK = 64
"""How many source lines are compared with the same target lines. Every other block is scored by the words learned from
the other blocks, so that no line is judged by what was learned from itself."""
UNSEEN = np.array([8.0, 0.3, 0.3, 0.1, 0.3])
"""How many beads of each shape, and lines alone, are added to the counts."""
RAREST = 0.003
"""Nothing is taken to be rarer than this: words depend on each other more than the model assumes."""
LOST = 4
"""More than so many lines without a partner, on both sides at once, are not taken for pairs that were missed."""
NEIGHBOURS = 3
TOLD = 0.5
"""An exchange with one of several neighbours that differs by fewer nats tells nothing."""
SURE = 0.5
"""Above this probability, beads exclude each other."""
WORDS = 0.5
"""Weight of the score of the words, which is less than one because words depend on each other."""
SPREAD, SPREAD_SHORT = 0.01, 2.0
"""Variance of the logarithm of a translation's length; and what is added to it, divided by the characters of the
source."""
SMOOTHING = 5.0
"""Characters added to every length."""
CLIP = (-8.0, 3.0)
"""The range of the score of lengths, in nats."""
NEVER = np.float32(-1e30)


@dataclass(frozen=True)
class Priors:
    """Logarithms of the frequencies of beads of each of SHAPES, and of lines ``alone``: of 1-0, and equally of 0-1."""

    shapes: np.ndarray
    alone: float

    @classmethod
    def at_first(cls) -> Priors:
        """For a text of which nothing is known except that it is out of step."""
        return cls(np.log([0.8, 0.04, 0.04, 0.01]), float(np.log(0.05)))

    @classmethod
    def of(cls, beads: np.ndarray) -> Priors:
        """The frequencies among these beads. Lines alone are those that one side has more than the other between two
        beads."""
        counts = [np.sum((beads["src_lines"] == src) & (beads["tgt_lines"] == tgt)) for src, tgt in SHAPES]
        gaps = [np.diff(beads[side]) - beads[f"{side}_lines"][:-1] for side in ("src", "tgt")]
        lost = np.minimum(*gaps)
        alone = np.abs(gaps[0] - gaps[1]).sum() / 2 + lost[lost > LOST].sum()
        often = np.array([*counts, alone]) + UNSEEN
        shares = np.log(np.maximum(often / (often.sum() + often[-1]), RAREST))
        return cls(shares[:-1], float(shares[-1]))


@dataclass(frozen=True)
class Side:
    """The lines of one text: their words, and their lengths in characters (int64)."""

    words: Tokens
    chars: np.ndarray

    def __len__(self) -> int:
        return len(self.chars)


@dataclass(frozen=True)
class Band:
    """Which lines are compared: the source lines of block n (BLOCK lines) with ``width`` target lines from ``lows[n]``
    on. ``lows`` never falls. As a way ends behind the last line, there are ``rows // BLOCK + 1`` blocks."""

    lows: np.ndarray
    width: int

    def low(self, row: int) -> int:
        return int(self.lows[row // BLOCK])


class BeadScores:
    """Scores the beads of two texts. The score of a bead, in nats, is how much likelier its lines are as translations
    of each other than by themselves."""

    def __init__(self, src: Side, tgt: Side, lexicons: tuple[Lexicon, Lexicon], priors: Priors) -> None:
        self._src, self._tgt, self._lexicons = src, tgt, lexicons
        self.priors = priors
        both = min(len(src), len(tgt))  # beyond this, one side may continue without the other
        self._rate = np.log((tgt.chars[:both].sum() + 1) / (src.chars[:both].sum() + 1))
        two = tgt.chars[:-1] + tgt.chars[1:] if len(tgt) > 1 else tgt.chars
        self._usual = [_normal(np.log(chars + SMOOTHING)) for chars in (tgt.chars, two)]

    def of(self, begin: int, end: int, low: int, width: int) -> np.ndarray:
        """The scores for the source lines of one block: lines x SHAPES x target lines; NEVER where a bead would reach
        past the end."""
        told = np.full((end - begin, len(SHAPES), width), NEVER, dtype=np.float32)
        high = min(low + width, len(self._tgt))
        if high <= low:
            return told
        further = min(high + 1, len(self._tgt))
        book = self._lexicons[begin // BLOCK % 2]
        odds, counts, theirs, occurs = self._odds(book, begin, min(end + 1, len(self._src)), low, further)
        one, two = self._tgt.chars[low:further], self._tgt.chars[low : further - 1] + self._tgt.chars[low + 1 : further]
        for lines in (1, 2):
            rows = min(end, len(self._src) + 1 - lines) - begin
            length, count, many = (
                values[:rows] if lines == 1 else values[:rows] + values[1 : rows + 1]
                for values in (self._src.chars[begin : end + 1], counts, odds)
            )
            likely = book.said(many / np.maximum(count, 1)[:, None], theirs)
            words = WORDS * (likely.astype(np.float32) @ occurs)
            for number, (height, wide) in enumerate(SHAPES):
                if height == lines:
                    chars = (one, two)[wide - 1]
                    said = words if wide == 1 else words[:, :-1] + words[:, 1:]
                    said = said + self.priors.shapes[number] + self._lengths(length, chars, wide - 1)
                    told[:rows, number, : min(said.shape[1], high - low)] = said[:, : high - low]
        return told

    def doubts(self, row: int, column: int, many: int) -> float:
        """Of ``many`` pairs in a row, the share that would be likelier if they exchanged their targets with a
        neighbour."""
        doubted = tried = 0
        while many:
            end = min(row + many, (row // BLOCK + 1) * BLOCK)
            told = self.of(row, end, column, end - row)[:, 0]
            own = np.diagonal(told)
            for distance in range(1, min(NEIGHBOURS, end - row - 1) + 1):
                exchanged = np.diagonal(told, distance) + np.diagonal(told, -distance)
                doubted += int((exchanged > own[:-distance] + own[distance:] + TOLD).sum())
                tried += len(exchanged)
            row, column, many = end, column + end - row, many - (end - row)
        return doubted / max(tried, 1)

    def _lengths(self, src: np.ndarray, tgt: np.ndarray, usual: int) -> np.ndarray:
        size = np.log(tgt + SMOOTHING)
        variance = (SPREAD + SPREAD_SHORT / (src + SMOOTHING))[:, None]
        mean = np.log(src + SMOOTHING)[:, None] + self._rate
        middle, spread = self._usual[usual]
        as_pair = -0.5 * (size - mean) ** 2 / variance - 0.5 * np.log(variance)
        alone = -0.5 * (size - middle) ** 2 / spread - 0.5 * np.log(spread)
        said: np.ndarray = np.clip(as_pair - alone, *CLIP)
        return said

    def _odds(self, book: Lexicon, begin: int, end: int, low: int, high: int) -> tuple[np.ndarray, ...]:
        """For source lines: how much likelier their words together make each word of these target lines (lines x
        words), and how many source words there are; those target words; and which of the target lines have each (words
        x lines)."""
        src, own, src_lines = _different(self._src.words, begin, end)
        tgt, theirs, tgt_lines = _different(self._tgt.words, low, high)
        occurs = np.zeros((len(tgt), high - low), dtype=np.float32)
        occurs[theirs, tgt_lines] = 1
        has = np.zeros((end - begin, len(src)), dtype=np.float32)
        has[src_lines, own] = 1
        makes = np.zeros((len(src), len(tgt)), dtype=np.float32)
        firsts, lasts = (np.searchsorted(book.keys, (src + more) * book.size) for more in (0, 1))
        entries = np.repeat(firsts - np.cumsum(lasts - firsts) + lasts - firsts, lasts - firsts) + np.arange(
            (lasts - firsts).sum()
        )
        of = np.repeat(np.arange(len(src)), lasts - firsts)
        words = book.keys[entries] % book.size
        places = np.searchsorted(tgt, words)
        there = np.isin(words, tgt, assume_unique=False)
        makes[of[there], places[there]] = book.odds[entries[there]]
        both, from_src, from_tgt = np.intersect1d(src, tgt, assume_unique=True, return_indices=True)
        makes[from_src, from_tgt] = np.maximum(makes[from_src, from_tgt], book.same(both))
        return has @ makes, has.sum(1), tgt, occurs


def _different(words: Tokens, begin: int, end: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The distinct words of some lines, sorted; and for each occurrence the number of its word among them, and its
    line."""
    first = words.ends[begin - 1] if begin else 0
    ids = words.ids[first : words.ends[end - 1]]
    found, number = np.unique(ids, return_inverse=True)
    return found, number, np.repeat(np.arange(end - begin), words.counts[begin:end])


def _normal(values: np.ndarray) -> tuple[float, float]:
    return float(values.mean()), float(values.var() + 0.02)


def beads_of(scores: BeadScores, rows: int, columns: int, band: Band, closed: bool) -> np.ndarray:
    """The beads (BEAD) that are likelier than not, in order, of two texts of so many lines. ``closed``: whether both
    end together; otherwise one may go on without the other."""
    blocks = [(begin, min(begin + BLOCK, rows)) for begin in range(0, rows, BLOCK)]
    told = np.concatenate([scores.of(begin, end, band.low(begin), band.width) for begin, end in blocks])
    forward = _swept(told, columns, band, scores.priors.alone)
    backward = _swept_back(told, columns, band, closed, scores.priors.alone)
    total = backward[0, 0]  # the sum over all ways, as every way begins there
    found = []
    for number, (lines, width) in enumerate(SHAPES):
        for begin, end in blocks:
            end = min(end, rows + 1 - lines)
            if end <= begin:
                continue
            by = [band.low(row + lines) - band.low(row) - width for row in range(begin, end)]
            behind = np.stack([_moved(backward[row + lines], much) for row, much in enumerate(by, start=begin)])
            chance = np.exp(np.minimum(forward[begin:end] + told[begin:end, number] + behind - total, 0))
            row, place = np.nonzero(chance > SURE)
            bead = np.zeros(len(row), dtype=BEAD)
            bead["src"], bead["tgt"], bead["probability"] = row + begin, place + band.low(begin), chance[row, place]
            bead["src_lines"], bead["tgt_lines"] = lines, width
            found.append(bead)
    beads = np.concatenate(found)
    return beads[np.argsort(beads["src"], kind="stable")]


def _moved(values: np.ndarray, by: int) -> np.ndarray:
    """``values``, each moved on by ``by`` places."""
    if by == 0:
        return values
    moved = np.full_like(values, NEVER)
    if abs(by) < len(values):
        if by > 0:
            moved[by:] = values[:-by]
        else:
            moved[:by] = values[-by:]
    return moved


def _swept(told: np.ndarray, columns: int, band: Band, alone: float) -> np.ndarray:
    """The logarithm of the sum over all ways from the beginning to each place: (source lines + 1) x width."""
    slope = alone * np.arange(band.width)
    swept = np.full((len(told) + 1, band.width), NEVER, dtype=np.float64)
    for row, into in enumerate(swept):
        if row == 0:
            into[0] = 0
        for lines in range(1, min(row, 2) + 1):
            shift = band.low(row - lines) - band.low(row)
            before, said = swept[row - lines], told[row - lines]
            for number, (height, width) in enumerate(SHAPES):
                if height == lines:
                    np.logaddexp(into, _moved(before + said[number], shift + width), out=into)
            if lines == 1:
                np.logaddexp(into, _moved(before, shift) + alone, out=into)
        into[:] = np.logaddexp.accumulate(into - slope) + slope
        into[max(0, columns + 1 - band.low(row)) :] = NEVER
    return swept


def _swept_back(told: np.ndarray, columns: int, band: Band, closed: bool, alone: float) -> np.ndarray:
    """The same over all ways from each place to the end."""
    rows = len(told)
    slope = alone * np.arange(band.width)
    swept = np.full((rows + 1, band.width), NEVER, dtype=np.float64)
    for row in range(rows, -1, -1):
        into, low = swept[row], band.low(row)
        if row == rows and not closed:
            into[:] = 0
        elif (row == rows or not closed) and 0 <= columns - low < band.width:
            into[columns - low] = 0
        for number, (lines, width) in enumerate(SHAPES):
            if row + lines <= rows:
                behind = _moved(swept[row + lines], band.low(row + lines) - low - width)
                np.logaddexp(into, behind + told[row, number], out=into)
        if row < rows:
            np.logaddexp(into, _moved(swept[row + 1], band.low(row + 1) - low) + alone, out=into)
        into[max(0, columns + 1 - low) :] = NEVER
        into[:] = np.logaddexp.accumulate((into + slope)[::-1])[::-1] - slope
    return swept
