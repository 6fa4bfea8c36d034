"""A text's two sides paired anew, a part at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from seq2seq_cli.data.checks.realign.beads import BEAD, Band, Scores, Side, beads_of
from seq2seq_cli.data.checks.realign.lexicon import Lexicon
from seq2seq_cli.data.checks.realign.tokens import Vocabulary

SLACK = 64
"""Lines beyond the difference of the two texts' that the drift between them may come to, at first ..."""
WIDEST = 1024
"""... at most; and ..."""
NARROW = 24
"""... when words are known."""
FOLD = 16
"""Source lines in a row whose words are learned together: what a line says comes from the others' words."""
PASSES = 3
SURE = 0.9
"""Probability of beads that words are learned from."""


def realigned(src: Sequence[str], tgt: Sequence[str], closed: bool, progress: Callable[[int], None]) -> np.ndarray:
    """The beads (`BEAD`) of two texts that begin together, and where ``closed`` end together.

    At first by lengths, names and numbers alone; then by the words that the surest beads have in common.
    """
    words = Vocabulary()
    sides = [Side(words.tokens(lines), np.array([len(line) for line in lines], dtype=np.int64)) for lines in (src, tgt)]
    source, target = sides
    folds = np.arange(len(src)) // FOLD % 2
    nothing = Lexicon.empty(target.words, len(words))
    books = (nothing, nothing)
    band = _straight(len(src), len(tgt), closed)
    beads = np.zeros(0, dtype=BEAD)
    for number in range(PASSES):
        beads = beads_of(Scores(source, target, books, folds), len(src), len(tgt), band, closed)
        progress((number + 1) * len(src) // PASSES)
        sure = beads[(beads["probability"] > SURE) & (beads["src_lines"] == 1) & (beads["tgt_lines"] == 1)]
        if number == PASSES - 1 or not len(sure):
            break
        odd = folds[sure["src"]] == 1
        books = tuple(
            Lexicon.learned(source.words, target.words, part["src"], part["tgt"], len(words)) if len(part) else nothing
            for part in (sure[odd], sure[~odd])
        )  # type: ignore[assignment]
        band = _around(sure, len(src), len(tgt), closed)
    return beads


def _straight(rows: int, columns: int, closed: bool) -> Band:
    """Around the straight line."""
    around = min(SLACK + abs(rows - columns), WIDEST)
    ends = np.arange(rows + 1) * (columns / max(rows, 1) if closed else 1.0)
    return Band(np.maximum(ends.astype(np.int64) - around, 0), 2 * around)


def _around(sure: np.ndarray, rows: int, columns: int, closed: bool) -> Band:
    """Around what is known already; wider where nothing is known for long."""
    at = np.concatenate(([0], sure["src"], [rows]))
    end = columns if closed else min(columns, int(sure["tgt"][-1] + rows - sure["src"][-1]))
    to = np.concatenate(([0], sure["tgt"], [end]))
    middle = np.interp(np.arange(rows + 1), at, to)
    gaps = np.abs(np.diff(to) - np.diff(at))
    around = NARROW + int(np.clip(gaps.max(), 0, WIDEST))
    lows = np.maximum.accumulate(np.maximum(middle.astype(np.int64) - around, 0))
    return Band(lows, 2 * around)
