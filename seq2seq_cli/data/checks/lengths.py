"""Which lines are too long, and which pairs too uneven, compared with the text that they are in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from seq2seq_cli.data.checks.flaws import SOURCE, TARGET, Flaw

LONG, TIMES = 500, 10
"""A line is too long that has more than LONG characters and more than TIMES the median of its side."""
SMOOTHING = 10
"""Characters added to both lengths, so that "Ja." and "Yes, sir." are no outlier."""
SPREADS = 6
"""A pair is uneven if the logarithm of its length ratio is farther from the median than so many robust standard
deviations (1.4826 times the median distance: Rousseeuw & Croux 1993) ..."""
NEVER, ALWAYS = np.log(2.5), np.log(6)
"""... but a ratio that differs from the usual one by less than the first factor is never uneven, and one that differs
by more than the second always is."""

_LONGEST = 1 << 16
_STEP, _REACH = 0.01, 12.0


def log_ratios(chars: np.ndarray) -> np.ndarray:
    """log(target / source) of the smoothed lengths of pairs (n x 2)."""
    smoothed = np.log(chars.astype(np.float64) + SMOOTHING)
    return np.asarray(smoothed[:, TARGET] - smoothed[:, SOURCE])


class Lengths:
    """Counts lengths and ratios, in memory that does not grow with the number of pairs added."""

    def __init__(self) -> None:
        self._lengths = np.zeros((2, _LONGEST), dtype=np.int64)
        self._ratios = np.zeros(round(2 * _REACH / _STEP) + 1, dtype=np.int64)

    def add(self, chars: np.ndarray) -> None:
        for side in (SOURCE, TARGET):
            self._lengths[side] += np.bincount(np.minimum(chars[:, side], _LONGEST - 1), minlength=_LONGEST)
        places = np.rint((np.clip(log_ratios(chars), -_REACH, _REACH) + _REACH) / _STEP).astype(np.intp)
        self._ratios += np.bincount(places, minlength=len(self._ratios))

    def limits(self) -> LengthLimits:
        """The limits of what is usual among the pairs added."""
        longest = [max(LONG, TIMES * _median(self._lengths[side])) for side in (SOURCE, TARGET)]
        middle = _median(self._ratios)
        distances = np.zeros(len(self._ratios), dtype=np.int64)
        np.add.at(distances, np.abs(np.arange(len(self._ratios)) - middle), self._ratios)
        farthest = float(np.clip(SPREADS * 1.4826 * _median(distances) * _STEP, NEVER, ALWAYS))
        return LengthLimits((longest[0], longest[1]), middle * _STEP - _REACH, farthest)


@dataclass(frozen=True)
class LengthLimits:
    """``longest``: most characters of a line, by side. ``ratio``: the usual log-ratio of lengths; ``farthest``: how far
    a log-ratio may be from it."""

    longest: tuple[int, int]
    ratio: float
    farthest: float

    def flags(self, chars: np.ndarray) -> np.ndarray:
        """The flags of pairs with those lengths (n x 2). An empty line has no flag here, as there is another one for
        it."""
        flags = np.zeros(len(chars), dtype=np.uint64)
        for side in (SOURCE, TARGET):
            flags[chars[:, side] > self.longest[side]] |= Flaw.LONG.bit(side)
        uneven = np.abs(log_ratios(chars) - self.ratio) > self.farthest
        flags[uneven & (chars.min(1) > 0)] |= Flaw.RATIO.bits
        return flags


def _median(counts: np.ndarray) -> int:
    """The value that half of the counted values are below; ``counts[v]`` is how often the value v occurs."""
    return int(np.searchsorted(np.cumsum(counts), (counts.sum() + 1) // 2))
