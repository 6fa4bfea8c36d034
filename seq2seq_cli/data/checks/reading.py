"""Reading text that may be damaged to its end nevertheless."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, zip_longest

from seq2seq_cli.data.checks.flaws import SOURCE, TARGET
from seq2seq_cli.data.pairs import Joined, LineFiles, ParallelText, Referenced
from seq2seq_cli.data.tables import Table
from seq2seq_cli.data.text import read_lines
from seq2seq_cli.errors import DataError


@dataclass
class Reading:
    """A text to be checked. What is not UTF-8 is read as U+FFFD. Where one file has more lines than the other, those
    without a partner are counted and left out. After `pairs` has ended, ``lines`` is the number of lines of each
    side."""

    text: ParallelText
    lines: tuple[int, int] = (0, 0)

    def pairs(self) -> Iterator[tuple[str, str]]:
        """The pairs of the text. Raises DataError where it cannot be read at all, or has no pair."""
        some = False
        for pair in self._pairs():
            some = True
            yield pair
        if not some:
            raise DataError("there are no pairs here.", self.text.where)

    def side(self, side: int) -> Iterator[str]:
        """All lines of one side, including those without a partner."""
        if isinstance(self.text, LineFiles):
            yield from read_lines((self.text.src, self.text.tgt)[side], _pass)
        elif isinstance(self.text, Joined | Referenced):
            for part in self.text.parts:
                yield from Reading(part).side(side)
        else:
            yield from (pair[side] for pair in _rows(self.text))

    def _pairs(self) -> Iterator[tuple[str, str]]:
        if all(isinstance(part, LineFiles) for part in parts_of(self.text)):
            yield from self._aligned()
            return
        count = 0
        for part in parts_of(self.text):
            for pair in Reading(part)._pairs() if isinstance(part, LineFiles) else _rows(part):
                count += 1
                yield pair
        self.lines = (count, count)

    def _aligned(self) -> Iterator[tuple[str, str]]:
        src_lines = tgt_lines = 0
        for src, tgt in zip_longest(self.side(SOURCE), self.side(TARGET)):
            src_lines += src is not None
            tgt_lines += tgt is not None
            if src is not None and tgt is not None:
                yield src, tgt
        self.lines = (src_lines, tgt_lines)


def parts_of(text: ParallelText) -> tuple[ParallelText, ...]:
    """The texts that a text consists of: usually only itself."""
    return tuple(chain.from_iterable(map(parts_of, text.parts))) if isinstance(text, Joined | Referenced) else (text,)


def _rows(text: ParallelText) -> Iterator[tuple[str, str]]:
    return text.pairs(_pass) if isinstance(text, Table) else text.pairs()


def _pass(problem: DataError) -> None:
    """Ignore the problem: the U+FFFD in the line shows it."""
