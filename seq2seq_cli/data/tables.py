"""Sentence pairs from a file that holds both languages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from seq2seq_cli.data.formats import FORMATS, Format, format_of
from seq2seq_cli.data.languages import find_language
from seq2seq_cli.data.rows import Asked, Note, Row, one_line, quiet, texts_of
from seq2seq_cli.data.text import Excuse, TextFile, sha256
from seq2seq_cli.errors import DataError
from seq2seq_cli.wording import counted

MOST_LANGUAGES = 50
"""Most languages that a message names."""


@dataclass(frozen=True)
class Table:
    """A file with a pair in each row or unit. ``src`` and ``tgt`` name the columns (or keys of a ``translation``
    column) that hold the texts, or else the languages. ``form``: the format, where the file's name does not say it.
    ``reference``: which translation to take, from 0, where there are several into one language; a unit that lacks it
    has an empty one.

    Units in one language alone, such as messages that are not translated yet, are left out; ``note`` hears how many.
    """

    path: TextFile
    src: str
    tgt: str
    note: Note = field(default=quiet, compare=False)
    form: Format | None = None
    reference: int = 0

    @property
    def where(self) -> str:
        return str(self.path)

    @property
    def files(self) -> list[Path]:
        return [Path(self.path)]

    def digest(self) -> str:
        return sha256(self.path)

    def pairs(self, excuse: Excuse | None = None) -> Iterator[tuple[str, str]]:
        """As for every text; ``excuse`` as for `iter_lines`."""
        rows = self._form.read(self.path, Asked(self.src, self.tgt, excuse, self.note))
        if self._form.translates:
            found = self._translations(rows)
        else:
            found = (texts_of(row, self.src, self.tgt, at) for at, row in rows)
        empty = True
        for pair in found:
            empty = False
            yield pair
        if empty:
            raise DataError("there are no pairs in this file.", self.where)

    def every_row(self) -> Iterator[Row] | None:
        """The rows with all of their columns, one a pair; None where the format has no columns."""
        return None if self._form.translates else self._form.read(self.path, Asked(self.src, self.tgt))

    def most_references(self) -> int:
        """The largest number of translations of a unit, if the format may hold several; the file is read to find
        out."""
        if not self._form.several:
            return 1
        rows = self._form.read(self.path, Asked(self.src, self.tgt))
        return max((len(_versions(both[1])) for _, both in self._cells(rows) if both is not None), default=1)

    @property
    def _form(self) -> Format:
        return self.form or format_of(self.path) or FORMATS[".tsv"]

    def _cells(self, rows: Iterator[Row]) -> Iterator[tuple[Mapping[str, object], tuple[object, object] | None]]:
        """Each row, and its cells in the two languages, if it has both."""
        named: dict[tuple[str, ...], tuple[str | None, str | None]] = {}
        for where, row in rows:
            codes = tuple(row)
            if codes not in named:
                named = dict(
                    list(named.items())[-MOST_LANGUAGES:]
                )  # there are few, and a hostile file has no end of them
                named[codes] = find_language(codes, self.src, where), find_language(codes, self.tgt, where)
            src, tgt = named[codes]
            yield row, None if src is None or tgt is None or src == tgt else (row[src], row[tgt])

    def _translations(self, rows: Iterator[Row]) -> Iterator[tuple[str, str]]:
        languages: Counter[str] = Counter()
        units = left_out = 0
        for row, both in self._cells(rows):
            units += 1
            if both is None:
                left_out += 1
                if len(languages) < MOST_LANGUAGES:
                    languages.update(code[:40] for code in row)
            else:
                src, several = _versions(both[0])[0], _versions(both[1])
                yield src, several[self.reference] if self.reference < len(several) else ""
        if units and left_out == units:
            said = ", ".join(f"{code or '(none)'} in {count:,}" for code, count in languages.most_common())
            what = f"none of {counted(units, 'unit')} has a text in both {self.src} and {self.tgt}; there are {said}."
            raise DataError(what, self.where, "Name two of these as --src and --tgt.")
        if left_out:
            self.note(
                f"{self.path}: {left_out:,} of {units:,} units have no finished text in both languages: left out."
            )


def _versions(cell: object) -> list[str]:
    """The texts of a cell: one or several."""
    return [one_line(str(text)) for text in (cell if isinstance(cell, list) else [cell])]
