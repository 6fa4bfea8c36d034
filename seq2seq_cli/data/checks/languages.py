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
EACH, BOTH = 4.0, 16.0
"""Nats that each line, and both together, must say for the other language."""


@dataclass(frozen=True)
class Languages:
    """``ratios``: of each hash, the logarithm of how much more often it stands in the source than in the target."""

    ratios: np.ndarray

    @classmethod
    def of(cls, src: Sequence[str], tgt: Sequence[str]) -> Languages | None:
        """Those of a sample of pairs; None where it is too small."""
        if len(src) < FEWEST:
            return None
        shares = []
        for lines in (src, tgt):
            counts = np.bincount(_hashes(codes_of(lines)), minlength=SIZE) + SMOOTHING
            shares.append(np.log(counts / counts.sum()))
        return cls((shares[SOURCE] - shares[TARGET]).astype(np.float32))

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


def _hashes(codes: Codes) -> np.ndarray:
    values = codes.values.astype(np.uint32)
    mixed = values[:-2] * np.uint32(0x9E3779B1) ^ values[1:-1] * np.uint32(0x85EBCA77) ^ values[2:] * np.uint32(0xC2B2AE3D)
    mixed ^= mixed >> np.uint32(15)
    hashes: np.ndarray = (mixed * np.uint32(0x27D4EB2F)) >> np.uint32(16)
    return hashes
