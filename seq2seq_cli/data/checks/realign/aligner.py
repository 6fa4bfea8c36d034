"""Pairing anew two texts that were once line by line."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from seq2seq_cli.data.checks.realign.beads import BEAD, BLOCK, Band, BeadScores, Priors, Side, beads_of
from seq2seq_cli.data.checks.realign.lexicon import Lexicon
from seq2seq_cli.data.checks.realign.tokens import WordNumbers

SLACK = 64
"""How far the texts may drift apart, in lines, beyond the difference of their lengths: at first ..."""
WIDEST = 512
"""... at most; ..."""
NARROW = 24
"""... and once words are known."""
PASSES = 8
GROWTH = 1.02
"""Passes end when the number of sure beads has not grown by this factor."""
SURE = 0.7
"""Least probability of the beads that words are learned from ..."""
KEPT = 0.9
"""... and of the beads that become pairs."""
FILLED = 3
"""Between two pairs, so many lines, equally many on both sides, are taken for pairs whatever they hold ..."""
DOUBTFUL = 0.3
"""... and more lines are, if at most this share of them would be likelier with exchanged partners. Half of that is
allowed where the lines had not stood beside each other before. (Among lines that are no pairs, half would be
likelier.)"""
ENOUGH = 250
"""From so many lines on, words are known well enough for all that."""
APART, FEWEST = 4, 8
"""More than APART unpaired lines on both sides separate groups of pairs; a group needs FEWEST pairs."""


def realigned(src: Sequence[str], tgt: Sequence[str], closed: bool, beside: int) -> np.ndarray:
    """The pairs (`BEAD`) of two texts that begin together and, if ``closed``, end together. ``beside``: target line
    number minus source line number of the lines that had stood beside each other.

    First by lengths, names and numbers alone; then by the words that the surest pairs have in common.
    """
    words = WordNumbers()
    sides = [Side(words.tokens(lines), np.array([len(line) for line in lines], dtype=np.int64)) for lines in (src, tgt)]
    source, target = sides
    nothing = Lexicon.empty(target.words, len(words))
    books = (nothing, nothing)
    band = _straight(len(src), len(tgt), closed)
    beads = np.zeros(0, dtype=BEAD)
    known, priors = 1, Priors.at_first()
    for number in range(PASSES):
        scores = BeadScores(source, target, books, priors)
        beads = beads_of(scores, len(src), len(tgt), band, closed)
        single = (beads["src_lines"] == 1) & (beads["tgt_lines"] == 1)
        sure = beads[(beads["probability"] > SURE) & single]
        if number == PASSES - 1 or len(sure) < GROWTH * known:
            break
        known, priors = len(sure) or 1, Priors.of(beads)
        odd = sure["src"] // BLOCK % 2 == 1
        books = tuple(
            Lexicon.learned(source.words, target.words, part["src"], part["tgt"], len(words)) if len(part) else nothing
            for part in (sure[odd], sure[~odd])
        )  # type: ignore[assignment]
        band = _around(sure, len(src), len(tgt), closed)
    # Lines that had stood beside each other are more likely to be pairs, where most lines are.
    stood = single & (beads["tgt"] - beads["src"] == beside) & (len(src) >= ENOUGH)
    kept = beads[(beads["probability"] > KEPT) | stood]
    return _without_strays(_filled(kept, scores, beside) if len(src) >= ENOUGH else kept)


def _filled(beads: np.ndarray, scores: BeadScores, beside: int) -> np.ndarray:
    """The beads, and in between pairs of lines where both sides have equally many: where these are few, or together
    look like pairs."""
    if not len(beads):
        return beads
    src_end, tgt_end = (beads[side] + beads[f"{side}_lines"] for side in ("src", "tgt"))
    gap, other = beads["src"][1:] - src_end[:-1], beads["tgt"][1:] - tgt_end[:-1]
    found = [beads]
    for place in np.flatnonzero((gap == other) & (gap > 0)).tolist():
        row, column, many = int(src_end[place]), int(tgt_end[place]), int(gap[place])
        doubtful = DOUBTFUL if column - row == beside else DOUBTFUL / 2
        if many <= FILLED or scores.doubts(row, column, many) < doubtful:
            added = np.zeros(many, dtype=BEAD)
            added["src"], added["tgt"] = row + np.arange(many), column + np.arange(many)
            added["src_lines"] = added["tgt_lines"] = 1
            added["probability"] = KEPT
            found.append(added)
    whole = np.concatenate(found)
    return whole[np.argsort(whole["src"], kind="stable")]


def _without_strays(pairs: np.ndarray) -> np.ndarray:
    """The pairs without small groups that stand alone among lines without a partner: such groups are found by
    chance."""
    if not len(pairs):
        return pairs
    gaps = [pairs[side][1:] - pairs[side][:-1] - pairs[f"{side}_lines"][:-1] for side in ("src", "tgt")]
    island = np.concatenate(([0], np.cumsum(np.minimum(*gaps) > APART)))
    kept: np.ndarray = pairs[np.bincount(island)[island] >= FEWEST]
    return kept


def _straight(rows: int, columns: int, closed: bool) -> Band:
    """A band around the straight line from beginning to end."""
    around = min(SLACK + abs(rows - columns), WIDEST)
    return _banded(np.arange(rows + 1) * (columns / max(rows, 1) if closed else 1.0), around)


def _around(sure: np.ndarray, rows: int, columns: int, closed: bool) -> Band:
    """A band around what is known already; wider where nothing is known for a long stretch."""
    at = np.concatenate(([0], sure["src"], [rows]))
    end = columns if closed else int(sure["tgt"][-1] + rows - sure["src"][-1])
    to = np.concatenate(([0], sure["tgt"], [end]))
    middle = np.interp(np.arange(rows + 1), at, to)
    gaps = np.abs(np.diff(to) - np.diff(at))
    return _banded(middle, NARROW + int(np.clip(gaps.max(), 0, WIDEST)))


def _banded(middle: np.ndarray, around: int) -> Band:
    """A band of ``around`` target lines on both sides of the ``middle`` for each source line (and for the end)."""
    first, last = (
        middle[::BLOCK],
        middle[np.minimum(np.arange(BLOCK - 1, len(middle) + BLOCK - 1, BLOCK), len(middle) - 1)],
    )
    lows = np.maximum.accumulate(np.maximum(first.astype(np.int64) - around, 0))
    return Band(lows, int(np.ceil((last - lows).max())) + around + 1)
