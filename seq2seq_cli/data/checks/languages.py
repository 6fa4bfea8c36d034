"""Which of the two languages of a text a line is written in, learned from the text itself.

A line is told by its trigrams of characters: how much more often each stands on the one side than on the other. Most
lines are where they belong, and a line that is not is one against all those (Cavnar & Trenkle 1994, with the logarithm of
the ratio of likelihoods for their distance).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from seq2seq_cli.data.checks.characters import Codes, codes_of
from seq2seq_cli.data.checks.kinds import SOURCE, TARGET

SIZE = 1 << 16
"""Trigrams are told apart by a hash of so many values."""
SMOOTHING = 1.0
FEWEST = 50
"""Pairs from which on two languages are learned."""
EACH, BOTH = 2.0, 12.0
"""Nats that each line, and both together, must say for the other language."""
ROUNDS = 4


@dataclass(frozen=True)
class Languages:
    """``ratios``: of each hash, the logarithm of how much more often it stands in the source than in the target."""

    ratios: np.ndarray

    @classmethod
    def of(cls, src: Sequence[str], tgt: Sequence[str]) -> Languages | None:
        """Those of a sample of pairs; None where it is too small. Pairs of it that turn out to be swapped are turned
        round, and all is learned again without their contradiction."""
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
        """Numbers of the pairs whose sides stand in each other's place."""
        of_source, of_target = self._said(src), -self._said(tgt)
        wrong = (of_source < -EACH) & (of_target < -EACH) & (of_source + of_target < -BOTH)
        return np.flatnonzero(wrong)

    def _said(self, codes: Codes) -> np.ndarray:
        """What each line says for being one of the source's, in nats."""
        sums = np.concatenate(([0.0], np.cumsum(self.ratios[_hashes(codes)], dtype=np.float64)))
        begins, last = codes.ends - codes.lengths, len(sums) - 1
        ends = np.maximum(codes.ends - 2, begins)  # without those trigrams that cross a line's end
        said: np.ndarray = sums[np.minimum(ends, last)] - sums[np.minimum(begins, last)]
        return said


def _counts(codes: Codes, rows: np.ndarray | None = None) -> np.ndarray:
    """How often each hash is met, in these rows (True) or in all."""
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
