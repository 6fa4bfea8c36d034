"""Lines of text: reading, cleaning, and shortening for a message. Files, pipes and corpora all go through here."""

import codecs
import gzip
import hashlib
import io
import unicodedata
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import BinaryIO

from seq2seq_cli.data.archives import Member
from seq2seq_cli.data.encodings import WIDE, Encoding, by_mark, detect, wide
from seq2seq_cli.data.invisible import BECOMES
from seq2seq_cli.errors import DataError

BOM = b"\xef\xbb\xbf"
LONGEST = 8 << 20
"""Most bytes of a line. No sentence is as long, but a file that is no text may be a single line of any length, which
must not be read into memory."""
GZIP_BUFFER = 1 << 17
SAMPLE = 1 << 16
"""How many bytes are read to guess an encoding."""

ENOUGH = 20
"""Bytes of a first line that are enough to recognise UTF-16 that is also valid UTF-8, with NUL for every second
byte."""

TextFile = Path | Member
"""A file, or a member of an archive; gzipped if its name ends in .gz."""


Excuse = Callable[[DataError], None]
"""A callback for a line that is read in spite of a problem: it is not UTF-8 (and has U+FFFD for what cannot be
decoded), or it is too long (and was cut off)."""


def iter_lines(binary: BinaryIO, name: str, excuse: Excuse | None = None) -> Iterator[str]:
    r"""The lines of a UTF-8 stream, one by one as they arrive, without their ends. If a byte order mark says so, the
    stream is UTF-16 or UTF-32.

    Only ``\n`` ends a line: U+2028, U+0085, ``\v``, ``\f`` and NUL are part of it. One ``\r`` before the ``\n`` is
    dropped, and so is a byte order mark at the very start.

    Text that is not UTF-8 and lines longer than LONGEST bytes raise DataError with file and line (and byte); if there
    is an ``excuse``, it gets that error instead, and reading goes on. ``name`` is the name of the stream in messages.
    """
    position = 0
    first = binary.readline(LONGEST + 1)
    raws = chain([first] if first else [], iter(lambda: binary.readline(LONGEST + 1), b""))
    marked = by_mark(first)
    if marked is not None and marked.codec in WIDE:
        yield from _marked_lines(raws, marked, name, excuse)
        return
    if b"\0" in first and len(first) >= ENOUGH and (unmarked := wide(first)) is not None:
        hint = f"Convert the text, for example: iconv -f {unmarked.name} -t UTF-8 OLD > NEW"
        problem = DataError(f"this looks like {unmarked.name} without a byte order mark.", f"{name}:1", hint)
        if excuse is None:
            raise problem
        excuse(problem)
    for number, raw in enumerate(raws, start=1):
        whole = len(raw) <= LONGEST or raw.endswith(b"\n")
        left_out = 0 if whole else _rest_of_line(binary, raw, f"{name}:{number}", excuse)
        line = (raw.removeprefix(BOM) if number == 1 else raw).removesuffix(b"\n").removesuffix(b"\r")
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError as error:
            offset = error.start + (len(BOM) if number == 1 and raw.startswith(BOM) else 0)
            byte = f"byte 0x{raw[offset]:02x}, number {offset + 1} of this line"
            sample = raw[position % 2 :]  # the first byte of a unit of UTF-16 stands at an even place
            encoding = None if excuse else detect(sample + binary.read(SAMPLE))
            hint = (
                f"Convert the text, for example: iconv -f {encoding.name if encoding else 'LATIN1'} -t UTF-8 OLD > NEW"
            )
            problem = DataError(f"{byte}, is not UTF-8 (offset {position + offset}).", f"{name}:{number}", hint)
            if excuse is None:
                raise problem from None
            excuse(problem)
            text = line.decode("utf-8", errors="replace")
        position += len(raw) + left_out
        yield text


def _marked_lines(raws: Iterator[bytes], encoding: Encoding, name: str, excuse: Excuse | None) -> Iterator[str]:
    """As `iter_lines`, for text in another ``encoding``. Pieces of ``raws`` may end anywhere."""
    decoder = codecs.getincrementaldecoder(encoding.codec)("strict" if excuse is None else "replace")
    number, parts, size = 1, list[str](), 0

    def report(what: str) -> None:
        problem = DataError(what, f"{name}:{number}")
        if excuse is None:
            raise problem
        excuse(problem)

    for raw in chain(raws, [b""]):
        try:
            text = decoder.decode(raw, final=not raw)
        except UnicodeDecodeError as error:
            unit = int(encoding.name[-2:]) // 8
            units = (error.object[place : place + unit] for place in range(0, error.start, unit))
            number += sum(each.strip(b"\0") == b"\n" for each in units)
            raise DataError(f"not {encoding.name}, as its byte order mark says.", f"{name}:{number}") from None
        *ended, rest = text.split("\n")
        for end in [*ended, rest] if not raw and (parts or rest) else ended:
            line, parts, size = "".join((*parts, end[: LONGEST + 1 - size])), [], 0
            if len(line) > LONGEST:
                report(f"this line is longer than {LONGEST >> 20} MiB.")
            if "\ufffd" in line and excuse is not None:
                report(f"something in this line is not {encoding.name}, as its byte order mark says.")
            yield line.removesuffix("\r")
            number += 1
        if rest and size <= LONGEST:  # what is beyond is not kept
            parts.append(rest[: LONGEST + 1 - size])
            size += len(parts[-1])
        if size > LONGEST and excuse is None:
            report(f"this line is longer than {LONGEST >> 20} MiB.")


def _rest_of_line(binary: BinaryIO, raw: bytes, where: str, excuse: Excuse | None) -> int:
    """Skip the rest of a line that is too long, of which ``raw`` has been read; returns how many bytes were skipped."""
    hint = "Is it text with a sentence a line? Then part it, or leave it out."
    problem = DataError(f"this line is longer than {LONGEST >> 20} MiB.", where, hint)
    if excuse is None:
        raise problem
    excuse(problem)
    skipped, part = 0, raw
    while part and not part.endswith(b"\n"):
        part = binary.readline(LONGEST)
        skipped += len(part)
    return skipped


def read_lines(path: TextFile, excuse: Excuse | None = None) -> Iterator[str]:
    """The lines of a file; see `iter_lines`."""
    with open_bytes(path) as binary:
        yield from iter_lines(binary, str(path), excuse)


@contextmanager
def open_bytes(path: TextFile) -> Iterator[BinaryIO]:
    """A file open for reading, unpacked if it is packed. Raises DataError where it cannot be read to its end."""
    try:
        with path.open() if isinstance(path, Member) else open(path, "rb") as binary:
            if path.suffix.lower() != ".gz":
                yield binary
                return
            # The buffer finds lines in C, GzipFile alone in Python.
            with gzip.open(binary) as packed, io.BufferedReader(packed, GZIP_BUFFER) as unpacked:
                yield unpacked
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"not a whole gzip file: {error}", str(path)) from None
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}.", str(path)) from None


def require_readable(path: Path) -> None:
    """Raises DataError where the file cannot be opened: to be called before anything is written for it.

    A named pipe is not opened, because its writer would then be told that nobody reads any more.
    """
    try:
        if not path.is_fifo():
            open(path, "rb").close()
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}.", str(path)) from None


def sha256(*paths: TextFile) -> str:
    """The digest of the bytes of all files, one after the other: what ``cat A B | sha256sum`` prints."""
    digest = hashlib.sha256()
    for path in paths:
        try:
            with path.open() if isinstance(path, Member) else open(path, "rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
        except OSError as error:
            raise DataError(f"cannot be read: {error.strerror}.", str(path)) from None
    return digest.hexdigest()


CLEANING = "both sides NFC, invisible characters dropped, white space single"
"""What `clean` does, in words to stand beside the signature of a score."""


def clean(line: str) -> str:
    """``line`` as the tokenizer and every score see it: in NFC, without INVISIBLE characters, with U+FFFD for each
    character that no text can hold, and with one plain space for every run of white space and control characters. Empty
    where nothing is left."""
    line = " ".join(line.split())
    # A line that is printable need not be translated, but for four characters of BECOMES that Python takes for printable.
    if not line.isprintable() or "\u3164" in line or "\uffa0" in line or "\u17b4" in line or "\u17b5" in line:
        line = " ".join(line.translate(BECOMES).split())
    return unicodedata.normalize("NFC", line)  # last: what is dropped may have kept a letter and its accent apart


def shorten(text: str, width: int = 60) -> str:
    """The first ``width`` characters of ``text``, quoted, odd ones escaped: for messages."""
    return repr(text if len(text) <= width else f"{text[: width - 3]}...")
