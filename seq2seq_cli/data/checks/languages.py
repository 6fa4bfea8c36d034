"""In which of the two languages of a text a line is written, learned from the text itself.

A line is recognised by its trigrams of characters: by how much more often each of them occurs on one side than on the
other. Most lines are on the right side, so they outvote a line that is not (Cavnar & Trenkle 1994, but with the
log-likelihood ratio instead of their distance).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from seq2seq_cli.data.checks.characters import Codes, codes_of
from seq2seq_cli.data.checks.flaws import SOURCE, TARGET

SIZE = 1 << 16
"""Trigrams are distinguished by a hash with so many values."""
SMOOTHING = 1.0
FEWEST = 50
"""From so many pairs on, two languages are learned."""
EACH, BOTH = 2.0, 12.0
"""How many nats must speak for the other language: from each of the two lines, and from both together."""
ROUNDS = 4


@dataclass(frozen=True)
class Languages:
    """``ratios``: for each hash, the logarithm of how much more often it occurs in the source than in the target."""

    ratios: np.ndarray

    @classmethod
    def of(cls, src: Sequence[str], tgt: Sequence[str]) -> Languages | None:
        """The languages of a sample of pairs; None where it is too small. Pairs of the sample that turn out to be
        swapped are swapped back, and everything is learned again without their contradiction."""
        if len(src) < FEWEST:
            return None
        sides = codes_of(src), codes_of(tgt)
        found = cls(_ratios(*map(_counts, sides)))
        turned = np.zeros(len(src), dtype=bool)
        for _ in range(ROUNDS):
            wrong = np.zeros(len(src), dtype=bool)
            wrong[found.swapped(*sides)] = True
            if (wrong == turned).all():
                break
            turned = wrong
            right = [_counts(codes, ~wrong) + _counts(other, wrong) for codes, other in (sides, sides[::-1])]
            found = cls(_ratios(*right))
        return found

    def swapped(self, src: Codes, tgt: Codes) -> np.ndarray:
        """Numbers of the pairs whose sides are in each other's place."""
        of_source, of_target = self._said(src), -self._said(tgt)
        wrong = (of_source < -EACH) & (of_target < -EACH) & (of_source + of_target < -BOTH)
        return np.flatnonzero(wrong)

    def _said(self, codes: Codes) -> np.ndarray:
        """How many nats speak for each line being in the source language."""
        sums = np.concatenate(([0.0], np.cumsum(self.ratios[_hashes(codes)], dtype=np.float64)))
        begins, last = codes.ends - codes.lengths, len(sums) - 1
        ends = np.maximum(codes.ends - 2, begins)  # without those trigrams that cross a line's end
        said: np.ndarray = sums[np.minimum(ends, last)] - sums[np.minimum(begins, last)]
        return said


def _counts(codes: Codes, rows: np.ndarray | None = None) -> np.ndarray:
    """How often each hash occurs in these rows (True), or in all."""
    hashes = _hashes(codes)
    if rows is not None:
        hashes = hashes[np.repeat(rows, codes.lengths)[: len(hashes)]]
    return np.bincount(hashes, minlength=SIZE)


def _ratios(src: np.ndarray, tgt: np.ndarray) -> np.ndarray:
    shares = [np.log((counts + SMOOTHING) / (counts.sum() + SIZE * SMOOTHING)) for counts in (src, tgt)]
    ratios: np.ndarray = (shares[SOURCE] - shares[TARGET]).astype(np.float32)
    return ratios


def _hashes(codes: Codes) -> np.ndarray:
    values = codes.values.astype(np.uint32)
    mixed = (
        values[:-2] * np.uint32(0x9E3779B1) ^ values[1:-1] * np.uint32(0x85EBCA77) ^ values[2:] * np.uint32(0xC2B2AE3D)
    )
    mixed ^= mixed >> np.uint32(15)
    hashes: np.ndarray = (mixed * np.uint32(0x27D4EB2F)) >> np.uint32(16)
    return hashes
