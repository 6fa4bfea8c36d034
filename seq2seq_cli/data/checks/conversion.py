"""Files that are not UTF-8 with lines that end in LF: these are found, and read from a converted copy."""

from __future__ import annotations

import codecs
import gzip
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from seq2seq_cli.data.checks.flaws import SOURCE, TARGET, Flaw
from seq2seq_cli.data.encodings import MOST, WIDE, Encoding, detect, wide
from seq2seq_cli.data.formats import format_of
from seq2seq_cli.data.pairs import Joined, LineFiles, ParallelText, Referenced
from seq2seq_cli.data.tables import Table
from seq2seq_cli.data.text import LONGEST, TextFile
from seq2seq_cli.errors import DataError

BLOCK = 1 << 20
FEWEST = 5
"""From so many lines that are not UTF-8 on, they are taken to be in one other encoding."""
_END = re.compile(rb"\r\n?|\n")


@dataclass(frozen=True)
class Conversion:
    """What had to be done to read the file ``path``: how many ``lines`` are in another ``encoding`` (Flaw.ENCODING),
    and how many end with CR alone (Flaw.LINE_ENDS). ``sides``: which sides of the text the file holds. ``copy``: the
    file that is read instead."""

    path: Path
    copy: Path
    sides: tuple[int, ...]
    encoding: Encoding | None
    lines: dict[Flaw, int]

    def named(self, said: str) -> str:
        """The message ``said`` with the name of the file in place of the copy's: the copy is gone by the time the
        message is read."""
        return said.replace(str(self.copy), str(self.path))


def converted(text: ParallelText, languages: tuple[str, str], folder: Path) -> tuple[ParallelText, list[Conversion]]:
    """``text``, where files that need converting are replaced by copies in ``folder``; and what was done to each."""
    done: list[Conversion] = []

    def convert(path: TextFile, sides: tuple[int, ...]) -> TextFile:
        if not isinstance(path, Path):  # in an archive: its reader says what is wrong
            return path
        conversion = _copied(path, sides, languages[sides[0]], folder)
        if conversion is None:
            return path
        done.append(conversion)
        return conversion.copy

    def whole(part: ParallelText) -> ParallelText:
        if isinstance(part, LineFiles):
            files = convert(part.src, (SOURCE,)), convert(part.tgt, (TARGET,))
            return part if files == (part.src, part.tgt) else replace(part, src=files[0], tgt=files[1], name=part.where)
        if isinstance(part, Table) and _has_lines(part):
            path = convert(part.path, (SOURCE, TARGET))
            if path == part.path:
                return part
            conversion, note = done[-1], part.note
            return replace(part, path=path, note=lambda said: note(conversion.named(said)))
        if isinstance(part, Joined):
            return replace(part, parts=tuple(map(whole, part.parts)))
        if isinstance(part, Referenced):
            return Referenced(whole(part.first), tuple(map(whole, part.further)))
        return part

    return whole(text), done


def _has_lines(table: Table) -> bool:
    """Whether the format consists of lines of text. (A format such as XML has its own rules for encodings.)"""
    form = table.form or format_of(table.path)
    return form is None or (form.gzipped and not form.translates)


def _copied(path: Path, sides: tuple[int, ...], language: str, folder: Path) -> Conversion | None:
    """A readable copy, and how it differs from the file; None where the file itself can be read."""
    found = _Survey()
    try:
        with _opened(path) as file:
            encoding = wide(file.read(MOST))
        with _opened(path) as file:
            found.read(_blocks(file, encoding))
        encoding = encoding or found.encoding(language)
        if encoding is None and not found.ends_with_cr:
            return None
        place = folder / f"converted-{sum(1 for _ in folder.glob('converted-*'))}"
        place.mkdir()
        copy = place / (path.stem if _packed(path) else path.name)
        with _opened(path) as file, open(copy, "wb") as out:
            lines = _write(file, out, encoding, found)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"not a whole gzip file: {error}", str(path)) from None
    except OSError as error:
        if error.filename == str(path):
            raise DataError(f"cannot be read: {error.strerror}.", str(path)) from None
        raise
    return Conversion(path, copy, sides, encoding, lines)


class _Survey:
    """What the bytes of a file tell about how to read it."""

    def __init__(self) -> None:
        self._sample = bytearray()
        self._wrong = 0
        self._alone = self._ends = 0

    def read(self, blocks: Iterator[bytes]) -> None:
        for block in blocks:
            if b"\r" in block:
                self._alone += block.count(b"\r") - block.count(b"\r\n")
            self._ends += block.count(b"\n")
            if not _is_utf8(block):
                self._collect(block)

    def _collect(self, block: bytes) -> None:
        for line in _END.split(block):
            if not _is_utf8(line):
                self._wrong += 1
                if len(self._sample) < MOST:
                    self._sample += line[:BLOCK] + b"\n"

    def encoding(self, language: str) -> Encoding | None:
        """The encoding of the lines that are not UTF-8, if there are enough of them."""
        return detect(bytes(self._sample), language) if self._wrong >= FEWEST else None

    @property
    def ends_with_cr(self) -> bool:
        return self._alone > self._ends


def _is_utf8(raw: bytes) -> bool:
    if raw.isascii():
        return True
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _write(file: BinaryIO, out: BinaryIO, encoding: Encoding | None, found: _Survey) -> dict[Flaw, int]:
    """Write the copy. Returns how many lines were in another encoding, and how many ended with CR alone."""
    encoded = ended = 0
    for line, end in _lines(_blocks(file, encoding)):
        if encoding is not None and (encoding.codec in WIDE or not _is_utf8(line)):
            encoded += 1
            line = line if encoding.codec in WIDE else line.decode(encoding.codec, "replace").encode()
        if end == b"\r" and found.ends_with_cr:
            ended += 1
            end = b"\n"
        out.write(line + end)
    return {Flaw.ENCODING: encoded, Flaw.LINE_ENDS: ended}


def _blocks(file: BinaryIO, encoding: Encoding | None) -> Iterator[bytes]:
    """The bytes of a file in blocks that usually end with a line; as UTF-8 where the whole file is UTF-16 or UTF-32."""
    decoder = codecs.getincrementaldecoder(encoding.codec)("replace") if encoding and encoding.codec in WIDE else None
    while block := file.read(BLOCK) + file.readline(LONGEST):
        yield block if decoder is None else decoder.decode(block).encode("utf-8", "replace")


def _lines(blocks: Iterator[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """Each line, and the line end that it has."""
    rest = b""
    for block in blocks:
        block, begin = rest + block, 0
        for found in _END.finditer(block):
            yield block[begin : found.start()], found[0]
            begin = found.end()
        rest = block[begin:]
    if rest:
        yield rest, b""


def _packed(path: Path) -> bool:
    return path.suffix.lower() == ".gz"


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    with open(path, "rb") as file:
        if _packed(path):
            with gzip.open(file) as packed:
                yield packed  # type: ignore[misc]
        else:
            yield file
