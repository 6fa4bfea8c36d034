"""Lines of text: read, cleaned, shortened for a message. Files, pipes and the corpora all go through here."""

import gzip
import hashlib
import io
import unicodedata
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from seq2seq_cli.data.invisible import BECOMES
from seq2seq_cli.errors import DataError

BOM = b"\xef\xbb\xbf"
LONGEST = 8 << 20
"""Bytes of a line. No sentence is as long; a file of something else might be one line of any length, and is not read
into memory."""
GZIP_BUFFER = 1 << 17
UTF16_BOMS = (b"\xff\xfe", b"\xfe\xff")


Excuse = Callable[[DataError], None]
"""Told of a line that is read all the same: not UTF-8, with U+FFFD for what cannot be decoded; or too long, cut off."""


def iter_lines(binary: BinaryIO, name: str, excuse: Excuse | None = None) -> Iterator[str]:
    r"""The lines of a UTF-8 stream, one by one as they arrive, without their ends.

    A line is what ``\n`` ends, and nothing else: U+2028, U+0085, ``\v``, ``\f`` and NUL stay inside their line. One
    ``\r`` before the ``\n`` goes with it, and so does a byte order mark at the very start.
    Raises DataError with file, line and byte where the text is not UTF-8, and with file and line where a line is longer
    than LONGEST bytes, or hands it to ``excuse`` where there is one; ``name`` is what it calls the stream.
    """
    position = 0
    for number, raw in enumerate(iter(lambda: binary.readline(LONGEST + 1), b""), start=1):
        whole = len(raw) <= LONGEST or raw.endswith(b"\n")
        left_out = 0 if whole else _rest_of_line(binary, raw, f"{name}:{number}", excuse)
        line = (raw.removeprefix(BOM) if number == 1 else raw).removesuffix(b"\n").removesuffix(b"\r")
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError as error:
            offset = error.start + (len(BOM) if number == 1 and raw.startswith(BOM) else 0)
            byte = f"byte 0x{raw[offset]:02x}, number {offset + 1} of this line"
            encoding = "UTF-16" if number == 1 and raw.startswith(UTF16_BOMS) else "LATIN1"
            hint = f"Convert the text, for example: iconv -f {encoding} -t UTF-8 OLD > NEW"
            problem = DataError(f"{byte}, is not UTF-8 (offset {position + offset}).", f"{name}:{number}", hint)
            if excuse is None:
                raise problem from None
            excuse(problem)
            text = line.decode("utf-8", errors="replace")
        position += len(raw) + left_out
        yield text


def _rest_of_line(binary: BinaryIO, raw: bytes, where: str, excuse: Excuse | None) -> int:
    """Skip what is left of a line that is too long, of which ``raw`` was read; the bytes skipped."""
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


def read_lines(path: Path, excuse: Excuse | None = None) -> Iterator[str]:
    """The lines of a file, of a gzipped one where its name ends in .gz; see `iter_lines`."""
    try:
        if path.suffix != ".gz":
            with open(path, "rb") as binary:
                yield from iter_lines(binary, str(path), excuse)
            return
        # The buffer finds lines in C, GzipFile alone in Python.
        with gzip.open(path) as packed, io.BufferedReader(packed, GZIP_BUFFER) as binary:
            yield from iter_lines(binary, str(path), excuse)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"not a whole gzip file: {error}", str(path)) from None
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}.", str(path)) from None


def require_readable(path: Path) -> None:
    """Raises DataError where the file cannot be opened: before anything is written on its behalf."""
    try:
        open(path, "rb").close()
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}.", str(path)) from None


def sha256(*paths: Path) -> str:
    """The digest of the files' bytes, one file after the other: what ``cat A B | sha256sum`` prints."""
    digest = hashlib.sha256()
    for path in paths:
        try:
            with open(path, "rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
        except OSError as error:
            raise DataError(f"cannot be read: {error.strerror}.", str(path)) from None
    return digest.hexdigest()


CLEANING = "both sides NFC, invisible characters dropped, white space single"
"""What `clean` does, beside the signature of a score."""


def clean(line: str) -> str:
    """``line`` as the tokenizer and every score see it: NFC, without INVISIBLE characters, U+FFFD for each that no text can
    hold, and one plain space for every run of white space and control characters. Empty where nothing is left."""
    line = " ".join(line.split())
    # Of what BECOMES something else, Python takes these four for printable.
    if not line.isprintable() or "\u3164" in line or "\uffa0" in line or "\u17b4" in line or "\u17b5" in line:
        line = " ".join(line.translate(BECOMES).split())
    return unicodedata.normalize("NFC", line)  # last: what is dropped may have kept a letter and its accent apart


def shorten(text: str, width: int = 60) -> str:
    """The first ``width`` characters of ``text``, quoted, odd ones escaped: for messages."""
    return repr(text if len(text) <= width else f"{text[: width - 3]}...")
