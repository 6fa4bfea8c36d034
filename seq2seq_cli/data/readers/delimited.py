"""Rows of cells with a separator between them: .tsv, .csv, and lines with vertical bars."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain, islice
from typing import NamedTuple

from seq2seq_cli.data.rows import SHOWN, Asked, Row, no_column
from seq2seq_cli.data.text import LONGEST, TextFile, read_lines, shorten
from seq2seq_cli.errors import DataError, suggestion
from seq2seq_cli.wording import counted

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
BARS = "|||"
NO_HEADER = "Where the first line is no header, name columns by number: --src 1 --tgt 2."
SAMPLE, LONGEST_SAMPLED = 20, 20_000
"""The lines from which a separator is told, and how many characters of each are used."""

_LANGUAGE = re.compile(r"(?i:[a-z]{2,3}([-_]\w{2,8})?|source|target)")


class Cells(NamedTuple):
    """A row of cells and the number of its line, from 1."""

    line: int
    cells: list[str]


def read_tsv(file: TextFile, asked: Asked) -> Iterator[Row]:
    """Cells between tabs. Nothing is quoted: a tab always ends a cell."""
    lines = enumerate(read_lines(file, asked.excuse), start=1)
    return _named(file, asked, (Cells(number, line.split("\t") if line else []) for number, line in lines))


def read_bars(file: TextFile, asked: Asked) -> Iterator[Row]:
    """A pair for each line, with ``|||`` between source and target."""
    for number, line in enumerate(read_lines(file, asked.excuse), start=1):
        sides = line.split(BARS)
        if len(sides) != 2:
            what = f"{BARS} stands {counted(len(sides) - 1, 'time')} in this line; it must be there once, between source and target."
            raise DataError(what, f"{file}:{number}")
        yield f"{file}:{number}", {asked.src: sides[0].strip(), asked.tgt: sides[1].strip()}


def separator_of_lines(file: TextFile) -> str | None:
    """The separator in most of the first lines of a plain text file: a tab, ``|||``, or None."""
    lines = [line for line in islice(read_lines(file, _pass), SAMPLE) if line.strip()]
    return next((mark for mark in ("\t", BARS) if 2 * sum(mark in line for line in lines) > len(lines)), None)


def _pass(problem: DataError) -> None:
    """Ignore a problem that a later reading will report."""


def read_csv(file: TextFile, asked: Asked) -> Iterator[Row]:
    """Cells that may be quoted, as Python's csv module reads them. The separator is told from the first lines."""
    csv.field_size_limit(LONGEST)  # Python's own limit would refuse a paragraph that any other form may hold
    form = _form(file, asked)
    if form.separator != ",":
        asked.note(f"{file}: the cells are read as separated by {SEPARATORS.get(form.separator, form.separator)}.")
    if form.blanks:
        asked.note(f"{file}: the blanks behind the {SEPARATORS.get(form.separator, form.separator)} are left out.")
    return _named(file, asked, _csv_rows(file, asked, form))


class _Form(NamedTuple):
    """How a .csv is written: its separator, whether a blank follows it, and how many lines come before the first
    row."""

    separator: str
    blanks: bool
    skipped: int


def _csv_rows(file: TextFile, asked: Asked, form: _Form) -> Iterator[Cells]:
    lines = islice(read_lines(file, asked.excuse), form.skipped, None)
    reader = csv.reader(
        (f"{line}\n" for line in lines), delimiter=form.separator, skipinitialspace=form.blanks, strict=True
    )
    begin = form.skipped + 1
    try:
        for cells in reader:
            end = form.skipped + reader.line_num
            yield Cells(end, cells)
            begin = end + 1
    except csv.Error as error:
        raise _unreadable(file, begin, form.skipped + reader.line_num, error) from None


def _unreadable(file: TextFile, begin: int, end: int, error: csv.Error) -> DataError:
    """The error for the row in the lines from ``begin`` to ``end``. If it has more than one line, a quote was left
    open."""
    inside, opened, closed = False, end, 0
    for number, line in enumerate(islice(read_lines(file, _pass), begin - 1, end), start=begin):
        if line.count('"') % 2:
            inside = not inside
            opened, closed = (number, closed) if inside else (opened, number)
    if not inside and closed != end:
        opened = end
    unclosed = f" A quote that opens in this line is not closed in its cell, or not before line {end}."
    return DataError(f"not readable as CSV: {error}.{unclosed if opened < end else ''}", f"{file}:{opened}")


def _form(file: TextFile, asked: Asked) -> _Form:
    """The separator by which the first row has the columns asked for; failing that, the one that splits the first rows
    into equally many cells, and into the most."""
    lines = [f"{line[:LONGEST_SAMPLED]}\n" for line in islice(read_lines(file, _pass), SAMPLE)]
    said = re.fullmatch('"?sep=([,;|:\t])"?\n', lines[0]) if lines else None  # as spreadsheets write it, and read it
    skipped = 1 if said else 0
    best, points = _Form(",", False, skipped), (False, 1)
    for separator in [said[1]] if said else SEPARATORS:
        rows = list(_sampled(lines[skipped:], separator))
        header = rows[0] if rows else []
        alike = all(len(row) == len(header) for row in rows[:-1])  # the last one may be cut off
        here = ({asked.src, asked.tgt} <= {cell.strip() for cell in header}, len(header) if alike else 1)
        if here > points or said:
            blanks = any(cell.startswith(" ") for cell in header[1:])
            best, points = _Form(separator, blanks, skipped), here
    return best


def _sampled(lines: list[str], separator: str) -> Iterator[list[str]]:
    """The rows up to the first one that cannot be read. Which one that is will be reported when all rows are read."""
    with suppress(csv.Error):
        yield from (row for row in csv.reader(lines, delimiter=separator) if row)


def _named(file: TextFile, asked: Asked, rows: Iterator[Cells]) -> Iterator[Row]:
    """``rows`` with their cells named by the first row, or by number."""
    rows = (row for row in rows if row.cells)
    first = next(rows, None)
    if first is None:
        return
    header = [cell.strip() for cell in first.cells]
    if asked.numbered and not {asked.src, asked.tgt} <= set(header):
        _check_numbers(file, asked, first)
        header, rows, of = [str(number + 1) for number in range(len(header))], chain([first], rows), "the first line"
    else:
        _check_names(file, asked, first, header)
        of = "the header"
    for line, cells in rows:
        if len(cells) != len(header):
            raise DataError(
                f"{counted(len(cells), 'cell')} in this row, where {of} has {len(header)}.", f"{file}:{line}"
            )
        yield f"{file}:{line}", dict(zip(header, cells, strict=True))


def _check_names(file: TextFile, asked: Asked, first: Cells, header: list[str]) -> None:
    where, wanted = f"{file}:{first.line}", (asked.src, asked.tgt)
    for name in wanted:
        if header.count(name) > 1:
            raise DataError(f'there are {header.count(name)} columns "{name}".', where, "Name each column once.")
        if name in header:
            continue
        if re.fullmatch("0+", name):
            are = _are(len(header))
            raise DataError(f"there is no column {name}: columns are counted from 1, and there {are}.", where)
        if any(suggestion(name, header[:SHOWN]) for name in wanted):
            raise no_column(name, header, wanted, where)
        if all(map(_may_be_name, header)):
            problem = no_column(name, header, wanted, where)
            raise DataError(problem.what, where, f"{problem.hint} {NO_HEADER}")
        cells = ", ".join(shorten(cell) for cell in first.cells[:9])
        what = "the first line is no header: name columns by number, --src 1 --tgt 2."
        raise DataError(what, where, f'It holds {cells}. A header would name "{asked.src}" and "{asked.tgt}".')
    if header != first.cells and any(cell.strip() in wanted and cell not in wanted for cell in first.cells):
        asked.note(f"{file}: the blanks around the names in the first line are left out.")


def _may_be_name(cell: str) -> bool:
    """Whether ``cell`` looks like the name of a column, as hardly any sentence does."""
    return 0 < len(cell) <= 40 and len(cell.split()) <= 3 and cell[-1] not in ".?!…。？！"


def _check_numbers(file: TextFile, asked: Asked, first: Cells) -> None:
    where = f"{file}:{first.line}"
    for name in (asked.src, asked.tgt):
        if int(name) > len(first.cells):
            what = f"there is no column {name}; there {_are(len(first.cells))} in the first line."
            raise DataError(what, where, "Columns are counted from 1; or named, where the first line names them.")
    texts = [first.cells[int(name) - 1].strip() for name in (asked.src, asked.tgt)]
    if all(map(_LANGUAGE.fullmatch, texts)):
        asked.note(
            f"{file}: the first line ({texts[0]}, {texts[1]}) is read as a pair, because columns are given by number. "
            "Name them if it is a header."
        )


def _are(count: int) -> str:
    return "is 1" if count == 1 else f"are {count}"
