"""Translating a text of any length: it is read and translated a group of lines at a time, shared out among processes,
and written in its own order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate, islice
from pathlib import Path
from typing import BinaryIO, NamedTuple

from seq2seq_cli.data.text import iter_lines, read_lines, sha256
from seq2seq_cli.decoding.every_line import LineGroup, Matter, Remark, Tell, translate_every_line
from seq2seq_cli.decoding.stream import WAITING, gather_ready, groups_of
from seq2seq_cli.decoding.translator import Translator
from seq2seq_cli.decoding.unfinished import Unfinished
from seq2seq_cli.decoding.wanted import Wanted
from seq2seq_cli.errors import DataError
from seq2seq_cli.ranks import Ranks
from seq2seq_cli.runs import Run


class Ends(NamedTuple):
    """Where a text is read from and where its translation is written to; None stands for standard input and standard
    output."""

    source: Path | None
    output: Path | None

    @classmethod
    def named(cls, source: Path | None, output: Path | None) -> Ends:
        """From the names that a user gives; ``-`` is a standard stream."""
        return cls(*(None if path is None or str(path) == "-" else path for path in (source, output)))

    def unfinished(self, run: Run, precision: str, wanted: Wanted) -> Unfinished | None:
        """The record that lets an interrupted translation from file to file be resumed; None where the input or the
        output is a standard stream, as that cannot be resumed."""
        source, output = self
        if source is None or output is None or not source.is_file() or (output.exists() and not output.is_file()):
            return None
        description: dict[str, object] = {
            "model": sha256(run.best, *run.tokenizers),
            "input text": sha256(source),
            "settings": wanted.to_json(),
            "precision": precision,
        }
        return Unfinished(output, description, WAITING, wanted.numbered)


def read_text(source: Path | BinaryIO, tell: Tell) -> Iterator[str]:
    """The lines of a file, or of standard input as they arrive. A line that is not UTF-8 is read all the same; ``tell``
    hears of it."""

    def excuse(problem: DataError) -> None:
        tell(Remark(Matter.NOT_UTF8, f"{problem.where}: {problem.what} Read all the same."))

    return read_lines(source, excuse) if isinstance(source, Path) else iter_lines(source, "standard input", excuse)


class Answered(NamedTuple):
    """The translation of the next ``lines`` input lines: the ``text`` to be written, in whole lines."""

    lines: int
    text: str


@dataclass(frozen=True)
class TextTranslation:
    """The translation of a text as it is ``wanted``. All processes of ``ranks`` share the work: they take groups of
    lines in turn, and each process gets all answers, in the order of the lines. ``tell`` hears what is the matter with
    a line."""

    translator: Translator
    wanted: Wanted
    tell: Tell
    ranks: Ranks

    def as_they_come(self, lines: Iterable[str]) -> Iterator[Answered]:
        """Translate lines as they arrive: a line that arrives alone is answered at once, and the lines that arrive
        meanwhile are the next group."""
        return self._answered(gather_ready(lines), 0)

    def in_groups(self, lines: Iterable[str], done: int) -> Iterator[Answered]:
        """Translate what follows the first ``done`` lines, in groups that are the same however often the text is
        translated."""
        return self._answered(groups_of(islice(lines, done, None)), done)

    def _answered(self, groups: Iterator[list[str]], done: int) -> Iterator[Answered]:
        while together := list(islice(groups, self.ranks.size)):
            firsts = accumulate(map(len, together), initial=done)
            turn = [LineGroup(first, lines) for first, lines in zip(firsts, together, strict=False)]
            texts = self.ranks.gather([self._written(group) for group in self.ranks.share(turn)])
            for group, text in zip(turn, texts, strict=True):
                yield Answered(len(group.lines), text)
                done += len(group.lines)

    def _written(self, group: LineGroup) -> str:
        found = translate_every_line(self.translator, group, self.wanted, self.tell)
        return "".join(self.wanted.written(number, line) for number, line in enumerate(found, start=group.first + 1))
