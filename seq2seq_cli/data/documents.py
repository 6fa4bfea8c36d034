"""Where the documents of a text begin.

A document is a stretch of consecutive pairs of the same name; or it ends where both sides of a pair are blank.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np

from seq2seq_cli.config.context import Context
from seq2seq_cli.config.sections import DataConfig
from seq2seq_cli.data.aligned import SegmentFiles
from seq2seq_cli.data.hub import DatasetRows
from seq2seq_cli.data.pairs import Joined, LineFiles, Lines, ParallelText, Referenced
from seq2seq_cli.data.preceding import after_blanks, previous_of
from seq2seq_cli.data.readers.segments import read_segments
from seq2seq_cli.data.rows import cell_of, column_names
from seq2seq_cli.data.tables import Table
from seq2seq_cli.data.text import clean, read_lines
from seq2seq_cli.errors import DataError, suggestion
from seq2seq_cli.wording import counted

IDS = "ids"
"""The column, or the suffix of the file, that names sentences where no other is named."""
_SENTENCE = re.compile(r"(.*\S)\s*:\s*\d+\s*")
_HOW = (
    "Name a column or a file of documents' names as data.document (P/train.NAME beside P/train.{src}), or part documents by "
    "blank lines (one is a text without any where data.documents is blank-lines). `eval --context none` does without."
)


class Documents(NamedTuple):
    """``begins_N``: the pairs that are the first of a document; ``told_by``: what told so, in words."""

    begins_N: np.ndarray
    told_by: str


def lines_of(text: ParallelText, data: DataConfig, context: Context | None) -> Lines:
    """All lines of a small text; with its documents, if ``context`` is read. Raises DataError also where nothing tells
    these."""
    lines = Lines.read(text)
    if context is None:
        return lines
    blank_N, blank_tgt_N = (np.array([not clean(line) for line in side], dtype=bool) for side in (lines.src, lines.tgt))
    documents = find_documents(text, data, blank_N & blank_tgt_N)
    return replace(lines, previous=previous_of(documents.begins_N, ~blank_N).tolist())


def find_documents(text: ParallelText, data: DataConfig, blank_N: np.ndarray) -> Documents:
    """The documents of ``text``, told as ``data`` says or else by what there is. ``blank_N``: the pairs that are blank on
    both sides. Raises DataError where nothing tells them, or each has a single sentence."""
    for how in ("names", "segments", "blank-lines"):
        if data.documents not in (None, how) or (data.document is not None and how != "names"):
            continue
        found = _told(how, text, data, blank_N)
        if found is not None:
            return found
    what = "the model reads the sentences before, and nothing tells documents of more than one sentence here"
    if data.documents is not None:
        what += f': data.documents = "{data.documents}"'
    raise DataError(f"{what}.", text.where, _HOW.format(src=data.src or "SRC"))


def _told(how: str, text: ParallelText, data: DataConfig, blank_N: np.ndarray) -> Documents | None:
    if how == "blank-lines":
        parted = (blank_N[:-1] & ~blank_N[1:]).any()  # behind the last line there is no document
        if not parted and data.documents is None:
            return None
        return Documents(after_blanks(blank_N) | _first_of_parts(text, blank_N), "blank lines")
    if how == "segments":
        names, told_by = _of_segments(text), "the documents of its segments"
    else:
        column = data.document or IDS
        names, told_by = _named(text, column, must=data.document is not None), f'"{column}"'
    if names is None:
        return None
    begins_N = _changes(names, len(blank_N), text.where, told_by)
    if begins_N.all():
        return None
    return Documents(begins_N, told_by)


def _first_of_parts(text: ParallelText, blank_N: np.ndarray) -> np.ndarray:
    """The pairs that are the first of a file, where a text consists of several."""
    first_N = np.zeros_like(blank_N)
    if isinstance(text, Joined):
        sizes = [sum(1 for _ in part.pairs()) for part in text.parts]
        first_N[np.cumsum([0, *sizes[:-1]])] = True
    return first_N


def _changes(names: Iterable[object], pairs: int, where: str, told_by: str) -> np.ndarray:
    """The pairs whose document has another name than that of the pair before."""
    begins_N, before, count = np.zeros(pairs, dtype=bool), object(), 0
    for count, name in enumerate(names, start=1):
        if count <= pairs:
            begins_N[count - 1] = name != before
        before = name
    if count != pairs:
        hint = f"Line or row N of {told_by} names the document of pair N."
        raise DataError(f"there are {counted(pairs, 'pair')}, but names of documents for {count:,}.", where, hint)
    return begins_N


def _of_segments(text: ParallelText) -> Iterator[object] | None:
    if isinstance(text, Referenced):
        return _of_segments(text.first)
    if isinstance(text, Joined):
        return _joined([_of_segments(part) for part in text.parts])
    if not isinstance(text, SegmentFiles):
        return None
    return ((one.document, one.version) for one in read_segments(text.src))


def _named(text: ParallelText, column: str, must: bool) -> Iterator[object] | None:
    """The name of each pair's document; None where there are none. ``must``: whether that is an error."""
    if isinstance(text, Referenced):
        return _named(text.first, column, must)
    if isinstance(text, Joined):
        return _joined([_named(part, column, must) for part in text.parts])
    found: Iterator[object] | None = None
    if isinstance(text, LineFiles):
        found = _in_file(text, column, must)
    elif isinstance(text, Table | DatasetRows) and (rows := text.every_row()) is not None:
        found = _in_column(rows, column, must)
    if found is None and must:
        raise DataError(f'there is no column "{column}" here that could name documents.', text.where)
    if found is None:
        return None
    return (_document(name, numbered=column == IDS) for name in found)


def _joined(parts: Sequence[Iterator[object] | None]) -> Iterator[object] | None:
    """The names of several texts one after the other; no document goes over the end of a text."""
    if any(part is None for part in parts):
        return None
    return ((number, name) for number, part in enumerate(parts) for name in part or ())


def _in_file(text: LineFiles, suffix: str, must: bool) -> Iterator[object] | None:
    """The lines of the file that is called as the text's files are, with another suffix."""
    prefixes = {_prefix(side) for side in (text.src, text.tgt) if isinstance(side, Path)}
    files = [Path(f"{prefix}.{suffix}{ending}") for prefix in prefixes for ending in ("", ".gz")]
    file = next((path for path in files if path.is_file()), None) if len(prefixes) == 1 else None
    if file is None:
        if must:
            hint = "Line N of it names the document of pair N."
            raise DataError(
                f"there is no file {files[0] if files else f'with the suffix .{suffix}'}.", text.where, hint
            )
        return None
    return (clean(line) for line in read_lines(file))


def _prefix(path: Path) -> Path:
    plain = path.with_suffix("") if path.suffix.lower() == ".gz" else path
    return plain.with_suffix("")


def _in_column(rows: Iterator[tuple[str, Mapping[str, object]]], column: str, must: bool) -> Iterator[object] | None:
    first = next(rows, None)
    if first is None:
        return None
    where, row = first
    try:
        cell_of(row, column)
    except KeyError:
        if must:
            hint = suggestion(column, column_names(row))
            raise DataError(f'there is no column "{column}".', where, hint) from None
        return None
    return (_cell(row, column) for _, row in chain([first], rows))


def _cell(row: Mapping[str, object], column: str) -> object:
    try:
        return cell_of(row, column)
    except KeyError:
        return None


def _document(name: object, numbered: bool) -> object:
    """The document of a sentence: "Gen 1:1" is in "Gen 1", if names are ``numbered``. A sentence without a name is in one of its
    own."""
    if name is None or name == "":
        return object()
    place = _SENTENCE.fullmatch(str(name)) if numbered else None
    return place[1] if place else name
