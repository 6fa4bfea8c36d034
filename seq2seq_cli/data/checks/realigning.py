"""Pairing anew the lines of a text that do not stand beside their translations, as far as the text is out of step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from seq2seq_cli.data.checks.belonging import Sample, evidence
from seq2seq_cli.data.checks.chunk import Chunk
from seq2seq_cli.data.checks.reading import Reading
from seq2seq_cli.data.checks.realign.beads import BEAD
from seq2seq_cli.data.checks.realign.parts import parts
from seq2seq_cli.data.checks.shifts import Block
from seq2seq_cli.data.pairs import LineFiles

MARGIN = 1000
"""So many lines before and behind a suspicious block are included: where a block begins is known only roughly."""
TAIL = 3000
"""So many lines at the end are paired anew where one file has more lines and no block says where: the place may be too
near the end to be found."""
UNCLEAR = 20
"""So many lines in a row without a translation, on both sides, are a block of their own."""
SHORTEST = 3
"""Fewest pairs of a block where both files have equally many lines."""
CONFIDENT = 0.9
"""The new pairs are trusted if their mean probability is at least this ..."""
SMALL, SURE = 100, 0.97
"""... (or, in fewer lines than the first number, where hardly a word recurs, at least the second number) ..."""
COVERED = 0.5
"""... and if at least this share of the lines of the shorter side has found a partner."""


class Region(NamedTuple):
    """Rows ``begin`` to ``end`` (exclusive) of both sides; None: to the end of each."""

    begin: int
    end: int | None


@dataclass(frozen=True)
class Realigned:
    """``text``: the pairs as they should be, in two files. ``kept``: pairs whose lines had stood beside each other;
    ``moved``: pairs whose lines had not; ``merged``: pairs with several lines of a side; ``left_out``: lines left out,
    by side. ``confidence``: the mean probability of the moved pairs. ``trusted``: whether ``text`` may replace the
    original."""

    text: LineFiles
    kept: int
    moved: int
    merged: int
    left_out: tuple[int, int]
    confidence: float
    trusted: bool
    blocks: list[Block]


def regions_of(blocks: list[Block], lines: tuple[int, int], doubtful: bool) -> list[Region]:
    """Where a text may be out of step. ``doubtful``: it may be so anywhere."""
    count = min(lines)
    if doubtful:
        return [Region(0, None)]
    if lines[0] != lines[1]:
        first = min((block.first for block in blocks), default=max(0, count - TAIL + MARGIN))
        return [Region(max(0, first - MARGIN), None)]
    regions: list[Region] = []
    for block in sorted(blocks, key=lambda block: block.first):
        begin, end = max(0, block.first - MARGIN), min(count, block.last + 1 + MARGIN)
        if regions and begin <= (regions[-1].end or 0):
            end = max(end, regions[-1].end or 0)
            begin = regions.pop().begin
        regions.append(Region(begin, end))
    return regions


def realign(reading: Reading, regions: list[Region], folder: Path, progress: Callable[[int], None]) -> Realigned:
    """Pair the lines of ``regions`` anew and write all pairs into two files in ``folder``; lines outside of the regions
    stay as they are."""
    work = _Work(reading, folder)
    with (
        open(work.text.src, "w", encoding="utf-8", newline="\n") as src,
        open(work.text.tgt, "w", encoding="utf-8", newline="\n") as tgt,
    ):
        for first, second in work.pairs(regions, progress):
            src.write(f"{first}\n")
            tgt.write(f"{second}\n")
    return work.done()


class _Work:
    def __init__(self, reading: Reading, folder: Path) -> None:
        self.text = LineFiles(folder / "realigned.src", folder / "realigned.tgt", reading.text.where)
        self._lines = reading.lines
        self._sides = [reading.side(side) for side in (0, 1)]
        self._found: list[np.ndarray] = []
        self._sample = Sample()
        self._outside = 0
        self._looked_at = [0, 0]
        self._blocks: list[Block] = []

    def pairs(self, regions: list[Region], progress: Callable[[int], None]) -> Iterator[tuple[str, str]]:
        src, tgt = self._sides
        row = 0
        for region in regions:
            for pair in islice(zip(src, tgt, strict=False), region.begin - row):
                self._outside += 1
                yield pair
            row = region.begin
            yield from self._region(region, progress)
            if region.end is None:
                return
            row = region.end
        for pair in zip(src, tgt, strict=False):
            self._outside += 1
            yield pair

    def _region(self, region: Region, progress: Callable[[int], None]) -> Iterator[tuple[str, str]]:
        sizes = [(lines if region.end is None else region.end) - region.begin for lines in self._lines]
        src, tgt = (islice(side, size) for side, size in zip(self._sides, sizes, strict=True))
        found = []
        written = 0
        for part in parts(src, tgt, sizes[1] - sizes[0], lambda done: progress(region.begin + done)):
            texts = list(part.texts())
            if texts:
                self._sample.add(Chunk(written, [a for a, _ in texts], [b for _, b in texts]))
            written += len(texts)
            pairs = part.pairs.copy()
            pairs["src"] += part.src_first + region.begin
            pairs["tgt"] += part.tgt_first + region.begin
            found.append(pairs)
            yield from texts
        for rest in (src, tgt):
            for _ in rest:
                pass
        whole = np.concatenate(found)
        self._found.append(whole)
        self._looked_at = [before + size for before, size in zip(self._looked_at, sizes, strict=True)]
        self._blocks += _blocks(whole, region.begin, region.begin + min(sizes), 1 if sizes[0] != sizes[1] else SHORTEST)

    def done(self) -> Realigned:
        pairs = np.concatenate(self._found) if self._found else np.zeros(0, dtype=BEAD)
        single = (pairs["src_lines"] == 1) & (pairs["tgt_lines"] == 1)
        beside = single & (pairs["src"] == pairs["tgt"])
        used = [int(pairs[name].sum()) for name in ("src_lines", "tgt_lines")]
        doubted = pairs["probability"][~beside] if (~beside).any() else pairs["probability"]
        confidence = float(doubted.mean()) if len(doubted) else 0.0
        confidence = min(confidence, float(pairs["probability"].mean())) if len(pairs) else 0.0
        covered = min(used) >= COVERED * min(self._looked_at)
        strangers = evidence(self._sample.stretches()).unrelated
        return Realigned(
            self.text,
            self._outside + int(beside.sum()),
            int((single & ~beside).sum()),
            int((~single).sum()),
            (self._looked_at[0] - used[0], self._looked_at[1] - used[1]),
            confidence,
            confidence >= (CONFIDENT if min(self._looked_at) >= SMALL else SURE) and covered and not strangers,
            self._blocks,
        )


def _blocks(pairs: np.ndarray, begin: int, end: int, shortest: int) -> list[Block]:
    """The rows ``begin`` to ``end`` (exclusive) that do not stand beside their translations, as blocks with one offset
    each; and those that have found no translation."""
    if not len(pairs):
        return [Block(begin, end - 1, None, 0.0)] if end > begin else []
    offsets = pairs["tgt"] - pairs["src"]
    firsts = np.concatenate(([0], np.flatnonzero(np.diff(offsets)) + 1))
    lasts = np.append(firsts[1:], len(pairs)) - 1
    blocks = []
    for first, last in zip(firsts.tolist(), lasts.tolist(), strict=True):
        offset, row = int(offsets[first]), int(pairs["src"][first])
        until = min(int(pairs["src"][last] + pairs["src_lines"][last]), end) - 1
        if offset and last - first + 1 >= shortest and row <= until:
            blocks.append(Block(row, until, offset, float(last - first + 1)))
    src_ends = np.append(begin, pairs["src"] + pairs["src_lines"])
    tgt_ends = np.append(begin, pairs["tgt"] + pairs["tgt_lines"])
    gaps = np.append(pairs["src"], end) - src_ends
    others = np.append(pairs["tgt"], end) - tgt_ends
    for place in np.flatnonzero((gaps >= UNCLEAR) & (others >= UNCLEAR)).tolist():
        blocks.append(Block(int(src_ends[place]), int(src_ends[place] + gaps[place]) - 1, None, 0.0))
    return sorted(blocks, key=lambda block: block.first)
