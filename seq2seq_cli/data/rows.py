"""Rows of named cells, as which every form of text except plain lines is read; and the two texts of a pair in a row."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

from seq2seq_cli.data.text import Excuse, TextFile
from seq2seq_cli.errors import DataError, suggestion

TRANSLATION = "translation"
SHOWN = 50
"""How many columns a message names."""

Row = tuple[str, Mapping[str, object]]
"""Where the row stands, and its cells by column or language."""

Note = Callable[[str], None]
"""A callback that hears what is worth telling the user about how a text is read; it may hear the same more than
once."""

_LINE_ENDS = re.compile("\r\n?|\n")
_SURROGATES = re.compile("[\ud800-\udfff]")


def quiet(note: str) -> None:
    """A `Note` that nobody hears."""


@dataclass(frozen=True)
class Asked:
    """What a reader is asked for: two columns or languages. ``excuse`` as for `iter_lines`, for forms that consist of
    lines."""

    src: str
    tgt: str
    excuse: Excuse | None = None
    note: Note = quiet

    @property
    def numbered(self) -> bool:
        """Whether columns are asked for by number."""
        return all(re.fullmatch("[1-9][0-9]{0,3}", name) for name in (self.src, self.tgt))


Reader = Callable[[TextFile, Asked], Iterator[Row]]


def texts_of(row: Mapping[str, object], src: str, tgt: str, where: str) -> tuple[str, str]:
    """The source and target text of a row. ``a.b`` is b within a, and ``a.2`` the second item of a list. A null is an
    empty text. Raises DataError naming the columns there are."""
    nested = row.get(TRANSLATION)
    cells = nested if src not in row and isinstance(nested, Mapping) and "." not in src + tgt else row
    return _cell(cells, src, (src, tgt), where), _cell(cells, tgt, (src, tgt), where)


def _cell(cells: Mapping[str, object], name: str, asked: tuple[str, str], where: str) -> str:
    if name in cells:
        return _text(cells[name], name, where)
    try:
        inside = cell_of(cells, name)
    except KeyError:
        raise no_column(name, column_names(cells), asked, where) from None
    return _text(inside, name, where)


def cell_of(cells: Mapping[str, object], name: str) -> object:
    """What is in the column of this name, written as in `texts_of`. Raises KeyError where there is no such column."""
    if name in cells:
        return cells[name]
    inside: object = cells
    for part in name.split("."):
        if isinstance(inside, list):
            inside = {str(number): value for number, value in enumerate(inside, start=1)}
        if not isinstance(inside, Mapping):
            raise KeyError(name)
        inside = inside[part]
    return inside


def column_names(cells: Mapping[str, object]) -> list[str]:
    """The columns of a row as a user may name them."""
    names = []
    for name, cell in islice(cells.items(), SHOWN):
        inside = [f"{name}.{part}" for part in islice(cell, SHOWN)] if isinstance(cell, Mapping) else []
        names += inside or [str(name)]
    return names


def no_column(name: str, names: Iterable[str], asked: tuple[str, str], where: str) -> DataError:
    """An error that says which columns there are."""
    there = list(islice(names, SHOWN))
    others = set(there) - set(asked)
    near = suggestion(name, others) or suggestion(name.casefold(), {other.casefold() for other in others})
    hint = near or "Name two of them as --src and --tgt."
    return DataError(f'there is no column "{name}"; there are {", ".join(there)[:1000]}.', where, hint)


def _text(cell: object, column: str, where: str) -> str:
    if cell is None:
        return ""
    if not isinstance(cell, str):
        raise DataError(f'column "{column}" holds {reprlib.repr(cell)}, which is no text.', where)
    return one_line(cell)


def one_line(text: str) -> str:
    """``text`` with a blank for each line end (or one pair would become two lines in every file written from it), and
    without surrogates, which no file can hold."""
    return text if text.isascii() and text.isprintable() else _SURROGATES.sub("\ufffd", _LINE_ENDS.sub(" ", text))
