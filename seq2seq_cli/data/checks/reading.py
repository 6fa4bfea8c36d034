"""Text that may be damaged, read to its end all the same."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest

from seq2seq_cli.data.pairs import LineFiles, ParallelText
from seq2seq_cli.data.tables import Table
from seq2seq_cli.data.text import read_lines
from seq2seq_cli.errors import DataError


@dataclass
class Reading:
    """A text to be checked. What is not UTF-8 comes as U+FFFD; where one file has more lines, those without a partner
    are counted and left out. When `pairs` has ended, ``lines`` says how many each side has."""

    text: ParallelText
    lines: tuple[int, int] = (0, 0)

    def pairs(self) -> Iterator[tuple[str, str]]:
        """As those of the text. Raises DataError where it cannot be read at all, or holds no pair."""
        some = False
        for pair in self._pairs():
            some = True
            yield pair
        if not some:
            raise DataError("there are no pairs here.", self.text.where)

    def _pairs(self) -> Iterator[tuple[str, str]]:
        if isinstance(self.text, LineFiles):
            yield from self._aligned(self.text)
            return
        count = 0
        for pair in self.text.pairs(_pass) if isinstance(self.text, Table) else self.text.pairs():
            count += 1
            yield pair
        self.lines = (count, count)

    def _aligned(self, files: LineFiles) -> Iterator[tuple[str, str]]:
        src_lines = tgt_lines = 0
        for src, tgt in zip_longest(read_lines(files.src, _pass), read_lines(files.tgt, _pass)):
            src_lines += src is not None
            tgt_lines += tgt is not None
            if src is not None and tgt is not None:
                yield src, tgt
        self.lines = (src_lines, tgt_lines)


def _pass(problem: DataError) -> None:
    """U+FFFD in the line says it."""
