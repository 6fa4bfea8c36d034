"""Rows of JSON: an object a line, or one list of objects."""

from __future__ import annotations

import codecs
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import BinaryIO, NamedTuple

import ijson

from seq2seq_cli.data.encodings import WIDE, by_mark
from seq2seq_cli.data.rows import Asked, Row
from seq2seq_cli.data.text import BOM, LONGEST, TextFile, open_bytes, read_lines
from seq2seq_cli.errors import DataError
from seq2seq_cli.files import parse_json

DEEPEST = 200
SAMPLE = 1 << 16
"""How many bytes are read to tell the form."""


def read_json(file: TextFile, asked: Asked) -> Iterator[Row]:
    """Each object with its values by name; each list with its values by number, from 1."""
    place = _place_in(file)
    return _lines(file, asked) if place is None else _items(file, place)


def _lines(file: TextFile, asked: Asked) -> Iterator[Row]:
    for number, line in enumerate(read_lines(file, asked.excuse), start=1):
        if not line.strip():
            continue
        try:
            row = parse_json(line)
        except ValueError as error:
            raise DataError(f"not JSON: {error}.", f"{file}:{number}") from None
        yield f"{file}:{number}", _cells(row, asked.numbered, f"{file}:{number}")


def _cells(row: object, numbered: bool, where: str) -> Mapping[str, object]:
    if isinstance(row, dict):
        return row
    if isinstance(row, list) and numbered:
        return {str(number): cell for number, cell in enumerate(row, start=1)}
    hint = "Where it is a list, name its values by number: --src 1 --tgt 2." if isinstance(row, list) else None
    raise DataError("not a JSON object with named values.", where, hint)


class _Place(NamedTuple):
    """Where the objects are in a file that is one JSON value: nested within ``level`` lists and objects; ``key`` is the
    name of the list, if it is in an object."""

    level: int
    key: str | None = None


def _place_in(file: TextFile) -> _Place | None:
    """Where the objects are; None where each line holds a value."""
    with open_bytes(file) as binary:
        begin = _as_utf8(binary).read(SAMPLE).removeprefix(BOM).lstrip()
    first, _, more = begin.partition(b"\n")
    try:
        value = parse_json(first)
    except ValueError:
        value = None
    if begin.startswith(b"["):
        plain = isinstance(value, list) and value and not any(isinstance(each, dict | list) for each in value)
        return None if plain else _Place(1)
    # An object that goes on in the next line.
    goes_on = value is None and bool(more.strip()) and first.rstrip().endswith((b"{", b"[", b","))
    return _place_in_object(file) if begin.startswith(b"{") and goes_on else None


def _place_in_object(file: TextFile) -> _Place:
    """The place of the first list of objects within an object, or else of the object itself."""
    with open_bytes(file) as binary:
        key = before = None
        depth = 0
        with suppress(ijson.JSONError, ValueError):  # told when it is read
            for event, value in ijson.basic_parse(_Bounded(binary, str(file)), multiple_values=True):
                if event == "start_map" and before == "start_array" and depth == 2:
                    return _Place(2, key)
                key = value if event == "map_key" and depth == 1 else key
                depth += _step(event)
                if depth > DEEPEST:
                    break
                before = event
    return _Place(0)


def _items(file: TextFile, place: _Place) -> Iterator[Row]:
    number = 0
    with open_bytes(file) as binary:
        bounded = _Bounded(binary, str(file))
        try:
            for number, row in enumerate(_values(bounded, place, str(file)), start=1):
                bounded.taken = 0
                where = f"{file}: object {number}"
                yield where, _cells(row, isinstance(row, list), where)
        except (ijson.JSONError, ValueError) as error:
            raise DataError(f"not JSON behind object {number}: {_reason(error)}.", str(file)) from None


def _values(stream: _Bounded, place: _Place, where: str) -> Iterator[object]:
    """The values at a place. Not by ijson's own ``items``, which nests as deeply as the file does, and takes time with
    the square of the depth."""
    depth, key, builder = 0, None, None
    for event, value in ijson.basic_parse(stream, multiple_values=True, use_float=True):
        key = value if event == "map_key" and depth == 1 else key
        step = _step(event)
        begins = depth == place.level and event != "map_key" and step >= 0 and place.key in (None, key)
        if builder is None and begins:
            builder = ijson.ObjectBuilder()
        depth += step
        if depth > DEEPEST:
            raise DataError(f"nested deeper than {DEEPEST} lists and objects.", where)
        if builder is not None:
            builder.event(event, value)
            if depth == place.level:
                yield builder.value
                builder = None


def _step(event: str) -> int:
    """The change of nesting depth after ``event``."""
    return event.startswith("start_") - event.startswith("end_")


def _reason(error: Exception) -> str:
    said = str(error.args[0]) if error.args else type(error).__name__
    return said.strip().partition("\n")[0].rstrip(".")


class _Bounded:
    """A stream that raises an error where a single object takes too many bytes; ``taken`` counts them."""

    def __init__(self, binary: BinaryIO, where: str) -> None:
        self.stream, self.where, self.taken, self.begun = _as_utf8(binary), where, 0, False

    def read(self, size: int = -1) -> bytes:
        data = self.stream.read(size)
        if not self.begun and data:
            self.begun, data = True, data.removeprefix(BOM)
        self.taken += len(data)
        if self.taken > LONGEST + SAMPLE:
            raise DataError(f"holds an object of more than {LONGEST >> 20} MiB.", self.where)
        return data


def _as_utf8(binary: BinaryIO) -> BinaryIO | codecs.StreamRecoder:
    """The stream, recoded where its byte order mark says that it is not UTF-8."""
    peeked = binary.peek(4)[:4] if hasattr(binary, "peek") else b""
    marked = by_mark(peeked)
    if marked is None or marked.codec not in WIDE:
        return binary
    return codecs.EncodedFile(binary, "utf-8", marked.codec, errors="replace")
