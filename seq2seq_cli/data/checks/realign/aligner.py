"""Two texts that were one line by line, paired anew."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from seq2seq_cli.data.checks.realign.beads import BEAD, BLOCK, Band, Scores, Side, beads_of
from seq2seq_cli.data.checks.realign.lexicon import Lexicon
from seq2seq_cli.data.checks.realign.tokens import Vocabulary

SLACK = 64
"""Lines beyond the difference of the two texts' that the drift between them may come to, at first ..."""
WIDEST = 1024
"""... at most; and ..."""
NARROW = 24
"""... when words are known."""
PASSES = 8
GROWTH = 1.02
"""Passes end where the sure beads have not grown by this factor."""
SURE = 0.7
"""Probability of beads that words are learned from."""


def realigned(src: Sequence[str], tgt: Sequence[str], closed: bool) -> np.ndarray:
    """The beads (`BEAD`) of two texts that begin together, and where ``closed`` end together.

    At first by lengths, names and numbers alone; then by the words that the surest beads have in common.
    """
    words = Vocabulary()
    sides = [Side(words.tokens(lines), np.array([len(line) for line in lines], dtype=np.int64)) for lines in (src, tgt)]
    source, target = sides
    nothing = Lexicon.empty(target.words, len(words))
    books = (nothing, nothing)
    band = _straight(len(src), len(tgt), closed)
    beads = np.zeros(0, dtype=BEAD)
    known = 1
    for number in range(PASSES):
        beads = beads_of(Scores(source, target, books), len(src), len(tgt), band, closed)
        sure = beads[(beads["probability"] > SURE) & (beads["src_lines"] == 1) & (beads["tgt_lines"] == 1)]
        if number == PASSES - 1 or len(sure) < GROWTH * known:
            break
        known = len(sure) or 1
        odd = sure["src"] // BLOCK % 2 == 1
        books = tuple(
            Lexicon.learned(source.words, target.words, part["src"], part["tgt"], len(words)) if len(part) else nothing
            for part in (sure[odd], sure[~odd])
        )  # type: ignore[assignment]
        band = _around(sure, len(src), len(tgt), closed)
    return beads


def _straight(rows: int, columns: int, closed: bool) -> Band:
    """Around the straight line."""
    around = min(SLACK + abs(rows - columns), WIDEST)
    return _banded(np.arange(rows + 1) * (columns / max(rows, 1) if closed else 1.0), around)


def _around(sure: np.ndarray, rows: int, columns: int, closed: bool) -> Band:
    """Around what is known already; wider where nothing is known for long."""
    at = np.concatenate(([0], sure["src"], [rows]))
    end = columns if closed else min(columns, int(sure["tgt"][-1] + rows - sure["src"][-1]))
    to = np.concatenate(([0], sure["tgt"], [end]))
    middle = np.interp(np.arange(rows + 1), at, to)
    gaps = np.abs(np.diff(to) - np.diff(at))
    return _banded(middle, NARROW + int(np.clip(gaps.max(), 0, WIDEST)))


def _banded(middle: np.ndarray, around: int) -> Band:
    """So many target lines on both sides of the ``middle`` of each source line (and of the end)."""
    first, last = middle[::BLOCK], middle[np.minimum(np.arange(BLOCK - 1, len(middle) + BLOCK - 1, BLOCK), len(middle) - 1)]
    lows = np.maximum.accumulate(np.maximum(first.astype(np.int64) - around, 0))
    return Band(lows, int(np.ceil((last - lows).max())) + around + 1)
