"""Translating a text of any length: it is read and translated a group of lines at a time, shared out among processes,
and written in its own order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO, NamedTuple

from seq2seq_cli.data.text import iter_lines, read_lines, sha256
from seq2seq_cli.decoding.every_line import Earlier, LineGroup, Matter, Remark, Tell, translate_every_line
from seq2seq_cli.decoding.hypothesis import Hypothesis
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
        meanwhile are the next group. A model that looks back sees what earlier lines have been translated to."""
        done, earlier = 0, list[Earlier]()
        for together in gather_ready(lines):
            group = LineGroup(done, together, earlier)
            found = self._found(group)
            yield Answered(len(together), self._written(group, found))
            done += len(together)
            if self._looks_back:
                known = (Earlier(line, self._pieces(each[0])) for line, each in zip(together, found, strict=True))
                earlier = [*earlier, *known][-self._looks_back :]

    def in_groups(self, lines: Iterable[str], done: int) -> Iterator[Answered]:
        """Translate what follows the first ``done`` lines, in groups that are the same however often the text is
        translated. A model that looks back at its own translations translates the lines just before a group once more."""
        remaining, before = iter(lines), min(done, self._looks_back)
        earlier = list(islice(remaining, done - before, done))
        groups = groups_of(remaining)
        while together := list(islice(groups, self.ranks.size)):
            turn = list[LineGroup]()
            for part in together:
                turn.append(LineGroup(done, part, [Earlier(line) for line in earlier]))
                done += len(part)
                earlier = [*earlier, *part][-self._looks_back :] if self._looks_back else []
            texts = self.ranks.gather([self._written(group, self._found(group)) for group in self.ranks.share(turn)])
            for group, text in zip(turn, texts, strict=True):
                yield Answered(len(group.lines), text)

    @property
    def _looks_back(self) -> int:
        """How many lines the model looks back."""
        context = self.translator.config.reads_before
        return 0 if context is None else context.sentences

    def _pieces(self, hypothesis: Hypothesis) -> tuple[int, ...]:
        return tuple(self.translator.subwords.tgt.ids(list(hypothesis.pieces)))

    def _found(self, group: LineGroup) -> list[list[Hypothesis]]:
        return translate_every_line(self.translator, group, self.wanted, self.tell)

    def _written(self, group: LineGroup, found: list[list[Hypothesis]]) -> str:
        return "".join(self.wanted.written(number, line) for number, line in enumerate(found, start=group.first + 1))
