"""Sentence pairs in two named columns of a table: .tsv, .csv, .jsonl, .parquet."""

import csv
import reprlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from seq2seq_cli.data.text import Excuse, read_lines, sha256
from seq2seq_cli.errors import DataError, suggestion
from seq2seq_cli.files import parse_json
from seq2seq_cli.wording import counted

TRANSLATION = "translation"
SHOWN = 50
"""Columns that a message names."""
BATCH = 64
"""Rows of a Parquet file held at a time: each may be as long as it likes."""


def table_format(path: Path) -> str | None:
    """The format that a file's name ends in, ``.gz`` left aside; None where it names no table."""
    suffix = Path(path.stem).suffix if path.suffix == ".gz" and not path.stem.endswith(".parquet") else path.suffix
    return suffix if suffix in READERS else None


@dataclass(frozen=True)
class Table:
    """A file with one pair a row. The columns ``src`` and ``tgt``, or the keys of a ``translation`` column, hold
    the texts. In a .tsv nothing is quoted: a tab always ends a cell."""

    path: Path
    src: str
    tgt: str

    @property
    def where(self) -> str:
        return str(self.path)

    def digest(self) -> str:
        return sha256(self.path)

    def pairs(self, excuse: Excuse | None = None) -> Iterator[tuple[str, str]]:
        """As for every text; ``excuse`` as for `iter_lines`."""
        kind = table_format(self.path)
        assert kind is not None, self.path
        empty = True
        for where, row in READERS[kind](self.path, excuse):
            empty = False
            yield pick(row, self.src, self.tgt, where)
        if empty:
            raise DataError("there are no pairs in this file.", self.where)


Row = tuple[str, Mapping[str, object]]
"""Where a row stands, and its cells by column."""


def pick(row: Mapping[str, object], src: str, tgt: str, where: str) -> tuple[str, str]:
    """The two texts of a row. A null is an empty text. Raises DataError naming the columns there are."""
    cells = row
    if src not in row and isinstance(nested := row.get(TRANSLATION), Mapping):
        cells = nested
    for name in (src, tgt):
        if name not in cells:
            names = [str(cell) for cell in islice(cells, SHOWN)]
            hint = suggestion(name, set(names) - {src, tgt}) or "Name two of them as --src and --tgt."
            raise DataError(f'there is no column "{name}"; there are {", ".join(names)[:1000]}.', where, hint)
    return _text(cells[src], src, where), _text(cells[tgt], tgt, where)


def _text(cell: object, column: str, where: str) -> str:
    if cell is None:
        return ""
    if not isinstance(cell, str):
        raise DataError(f'column "{column}" holds {reprlib.repr(cell)}, which is no text.', where)
    return cell.replace("\n", " ")  # or what is one pair here would be two lines in every file written from it


def _tsv(path: Path, excuse: Excuse | None) -> Iterator[Row]:
    rows = enumerate((line.split("\t") if line else [] for line in read_lines(path, excuse)), start=1)
    return _with_header(path, rows)


def _csv(path: Path, excuse: Excuse | None) -> Iterator[Row]:
    reader = csv.reader((f"{line}\n" for line in read_lines(path, excuse)), strict=True)
    try:
        yield from _with_header(path, ((reader.line_num, cells) for cells in reader))
    except csv.Error as error:
        raise DataError(f"not readable as CSV: {error}.", f"{path}:{reader.line_num}") from None


def _with_header(path: Path, rows: Iterator[tuple[int, list[str]]]) -> Iterator[Row]:
    header: list[str] = []
    for line, cells in rows:
        if not cells:
            continue
        if not header:
            header = cells
        elif len(cells) != len(header):
            what = f"{counted(len(cells), 'cell')} in this row, where the header has {len(header)}."
            raise DataError(what, f"{path}:{line}")
        else:
            yield f"{path}:{line}", dict(zip(header, cells, strict=True))


def _jsonl(path: Path, excuse: Excuse | None) -> Iterator[Row]:
    for number, line in enumerate(read_lines(path, excuse), start=1):
        if not line.strip():
            continue
        try:
            row = parse_json(line)
        except ValueError as error:
            raise DataError(f"not JSON: {error}.", f"{path}:{number}") from None
        if not isinstance(row, dict):
            raise DataError("not a JSON object with named values.", f"{path}:{number}")
        yield f"{path}:{number}", row


def _parquet(path: Path, excuse: Excuse | None) -> Iterator[Row]:
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path, buffer_size=1 << 20) as file:
            rows = (row for batch in file.iter_batches(BATCH) for row in batch.to_pylist())
            for number, row in enumerate(rows, start=1):
                yield f"{path}: row {number}", row
    except (pyarrow.ArrowException, OSError, MemoryError, ValueError) as error:
        raise DataError(f"not readable as Parquet: {error}", str(path)) from None


READERS: dict[str, Callable[[Path, Excuse | None], Iterator[Row]]] = {
    ".tsv": _tsv,
    ".csv": _csv,
    ".jsonl": _jsonl,
    ".parquet": _parquet,
}
