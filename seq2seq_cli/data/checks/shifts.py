"""Blocks of lines that do not translate each other, found from sizes and marks alone.

Length, words, digits, commas and the like of a line correlate with those of its translation, and not with those of
another line's translation. The features of both sides of true pairs are modelled by one normal distribution, those of
unrelated lines by two independent ones. The log-likelihood ratio of the two models is the evidence that a pair is a
true one. Where a neighbour k lines on has more evidence than the line itself, the differences add up to a block (CUSUM;
Page 1954).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from seq2seq_cli.data.checks.chunk import FEATURES
from seq2seq_cli.data.checks.flaws import SOURCE, TARGET

REACH = 20
"""How many lines away, in both directions, the right translation is looked for."""
FARTHEST = 100_000
"""It is also looked for at the difference between the two files' numbers of lines, up to this."""
CLIP = 4.0
"""Most evidence of a single pair, in nats."""
ENOUGH = 40.0
"""The sum that makes a block, in nats: with 1e8 places and 40 neighbours, it is reached by chance in one of 1e7
texts."""
DRIFT = 0.25
"""The further evidence in nats that a pair must give where no neighbour fits: some texts are translated more freely
than others."""
FEWEST = 50
"""With fewer pairs, nothing is said."""
INFORMATIVE = 0.1
"""Average evidence of a pair, in nats, in a text of which anything can be said."""

ZERO = 1e-9

BLOCK = 1 << 15
SAMPLES = 16
"""The distribution is estimated from so many stretches of BLOCK pairs, evenly spaced."""
SHRINKAGE = 0.02
"""By how much correlations are shrunk towards zero: Ledoit & Wolf 2004, but with a constant chosen by hand."""

LOG = np.log1p(np.arange(256)).astype(np.float32)

Read = Callable[[int, int], np.ndarray]
"""Returns the records of the rows from .. to."""


@dataclass(frozen=True)
class Block:
    """Rows ``first`` to ``last`` (from 0, both inclusive). The translation of source line n is target line n +
    ``offset``; None where no neighbour fits."""

    first: int
    last: int
    offset: int | None
    score: float


@dataclass(frozen=True)
class _Model:
    mean: np.ndarray
    scale: np.ndarray
    constant: float
    own: tuple[np.ndarray, np.ndarray]
    cross: np.ndarray

    def standardised(self, records: np.ndarray, side: int) -> np.ndarray:
        values: np.ndarray = (_features(records, side) - self.mean[side]) / self.scale[side]
        return values

    def alone(self, values: np.ndarray, side: int) -> np.ndarray:
        """What the features of one side contribute to the log-likelihood ratio, whatever the other side is."""
        said: np.ndarray = ((values @ self.own[side]) * values).sum(1)
        return said


def suspicious_blocks(read: Read, count: int, extra: int, progress: Callable[[int], None]) -> list[Block]:
    """All blocks that the sizes and marks of a text of ``count`` pairs speak against; several blocks may concern the
    same rows. ``extra``: how many lines more one of the files has (0: none).

    Memory does not depend on ``count``.
    """
    if count < FEWEST:
        return []
    offsets = [k for k in range(-REACH, REACH + 1) if k]
    if REACH < extra <= FARTHEST:
        offsets += [-extra, extra]
    model = _fitted(read, count, [0, *offsets])
    if model is None:
        return []
    sums = {offset: _Sum() for offset in [*offsets, None]}
    reach = max(map(abs, offsets))
    for begin in range(0, count, BLOCK):
        end = min(begin + BLOCK, count)
        low, high = max(0, begin - reach), min(count, end + reach)
        x = model.standardised(read(begin, end), SOURCE)
        y = model.standardised(read(low, high), TARGET)
        likely = _ratios(model, x, y, begin - low, [0, *offsets])
        for offset in offsets:
            sums[offset].add(likely[offset] - likely[0], begin)
        sums[None].add(-likely[0] - DRIFT, begin)
        progress(end)
    return [Block(first, last, offset, score) for offset, total in sums.items() for first, last, score in total.ended()]


def _features(records: np.ndarray, side: int) -> np.ndarray:
    chars = np.log1p(records["chars"][:, side].astype(np.float32))
    return np.concatenate((chars[:, None], LOG[records["features"][:, side]]), axis=1)


def _fitted(read: Read, count: int, offsets: list[int]) -> _Model | None:
    """The distribution of true pairs, at the offset where the sides correlate most: the text may be shifted as a whole.
    None where the two sides have next to nothing in common."""
    size = FEATURES + 1
    whole = count <= SAMPLES * BLOCK
    begins = range(0, count, BLOCK) if whole else np.linspace(0, count - BLOCK, SAMPLES).astype(int).tolist()
    samples = [read(begin, min(begin + BLOCK, count)) for begin in begins]
    sides = [[_features(sample, side) for sample in samples] for side in (SOURCE, TARGET)]
    mean = np.stack([np.concatenate(side).mean(0) for side in sides])
    scale = np.stack([np.concatenate(side).std(0) for side in sides]) + 1e-3
    x, y = ([(part - mean[side]) / scale[side] for part in sides[side]] for side in (SOURCE, TARGET))
    own = [sum(part.T @ part for part in side) / sum(map(len, side)) for side in (x, y)]
    own = [(1 - SHRINKAGE) * matrix + SHRINKAGE * np.eye(size) for matrix in own]
    best: _Model | None = None
    for offset in offsets:
        parts = [(a[max(0, -offset) : len(a) - max(0, offset)], b[max(0, offset) :][: len(b) - abs(offset)])
                 for a, b in zip(x, y, strict=True) if len(a) > abs(offset)]  # fmt: skip
        total = sum(len(a) for a, _ in parts)
        if total < FEWEST:
            continue
        cross = (1 - SHRINKAGE) * sum(a.T @ b for a, b in parts) / total
        joint = np.block([[own[0], cross], [cross.T, own[1]]])
        information = sum(np.linalg.slogdet(matrix)[1] for matrix in own) / 2 - np.linalg.slogdet(joint)[1] / 2
        if information > (INFORMATIVE if best is None else best.constant):
            inverse = np.linalg.inv(joint)
            alone = [
                (np.linalg.inv(own[0]) - inverse[:size, :size]) / 2,
                (np.linalg.inv(own[1]) - inverse[size:, size:]) / 2,
            ]
            best = _Model(mean, scale, float(information), (alone[0], alone[1]), -inverse[:size, size:])
    return best


def _ratios(model: _Model, x: np.ndarray, y: np.ndarray, start: int, offsets: Iterable[int]) -> dict[int, np.ndarray]:
    """For each offset, the evidence that each row of ``x`` and the row of ``y`` at that distance from its own place
    (``start`` + its number) are a true pair. A row without such a neighbour gets the evidence of its own pair."""
    projected, alone_x, alone_y = x @ model.cross, model.alone(x, SOURCE), model.alone(y, TARGET)
    said: dict[int, np.ndarray] = {}
    rows = np.arange(len(x)) + start
    for offset in offsets:
        there = rows + offset
        inside = (there >= 0) & (there < len(y))
        there = np.where(inside, there, rows)
        both = np.einsum("nd,nd->n", projected, y[there])
        values = np.clip(model.constant + alone_x + alone_y[there] + both, -CLIP, CLIP)
        said[offset] = values if not said else np.where(inside, values, said[0])
    return said


class _Sum:
    """A sum that never falls below zero. Where it rises above ENOUGH, there is a block."""

    def __init__(self) -> None:
        self._level = 0.0
        self._start = 0
        self._peak: tuple[float, int] = (0.0, 0)
        self._found: list[tuple[int, int, float]] = []

    def add(self, steps: np.ndarray, first: int) -> None:
        """Add the next steps, for the rows from ``first`` on."""
        raw = self._level + np.cumsum(steps, dtype=np.float64)
        levels = raw - np.minimum(np.minimum.accumulate(raw), 0)
        ends = [*(np.flatnonzero(levels <= ZERO) + 1).tolist(), len(levels)]
        begins = [0, *ends[:-1]]
        if ends[-2:-1] == [len(levels)]:  # the last stretch between two zeros is empty
            begins, ends = begins[:-1], ends[:-1]
        tops = np.maximum.reduceat(levels, begins)
        last = len(begins) - 1
        for number in sorted({0, *np.flatnonzero(tops > ENOUGH).tolist(), last}):
            begin, end = begins[number], ends[number]
            if number:
                self._close(first + begin)
            if tops[number] > self._peak[0]:
                self._peak = (float(tops[number]), first + begin + int(levels[begin:end].argmax()))
            if levels[end - 1] <= ZERO:
                self._close(first + end)
        self._level = float(levels[-1])

    def _close(self, next_row: int) -> None:
        if self._peak[0] > ENOUGH:
            self._found.append((self._start, self._peak[1], self._peak[0]))
        self._start, self._peak = next_row, (0.0, next_row)

    def ended(self) -> Iterator[tuple[int, int, float]]:
        """First row, last row and sum of each block, after all rows have been added."""
        self._close(0)
        yield from self._found
