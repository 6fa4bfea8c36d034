"""Messages and their translations from a gettext .po file."""

from __future__ import annotations

import re
from collections.abc import Iterator

import polib

from seq2seq_cli.data.languages import fits
from seq2seq_cli.data.rows import Asked, Row
from seq2seq_cli.data.text import TextFile, open_bytes
from seq2seq_cli.errors import DataError

LARGEST = 64 << 20
"""Most bytes of a file, since polib reads it as a whole."""

_CHARSET = re.compile(rb"charset=([\w.:-]{1,40})")
# polib reads by str.splitlines, which takes these for line ends; they are replaced by characters that no text may hold.
_SEPARATORS = "\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"
_HIDDEN = {ord(mark): 0xFDD0 + number for number, mark in enumerate(_SEPARATORS)}
_SHOWN = {hidden: mark for mark, hidden in _HIDDEN.items()}


def read_po(file: TextFile, asked: Asked) -> Iterator[Row]:
    """Each message and its plural, by language. Untranslated, fuzzy and obsolete messages have only their source."""
    with open_bytes(file) as binary:
        content = binary.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise DataError(f"larger than {LARGEST >> 20} MiB.", str(file), "Part it.")
    try:
        # With a line before the content, polib cannot take it for the name of a file.
        messages = polib.pofile("#\n" + _decoded(content, file).translate(_HIDDEN))
    except DataError:
        raise
    except Exception as error:  # polib raises what Python does at whatever is wrong
        what = re.sub(r"^Syntax error in po file ", "", str(error)) or type(error).__name__
        raise DataError(f"not readable as a .po file: {what[:200]}", str(file)) from None
    source, target = _languages(messages, asked)
    return _rows(messages, source, target, file)


def _rows(messages: polib.POFile, source: str, target: str, file: TextFile) -> Iterator[Row]:
    for message in messages:
        where = f"{file}:{max(1, (message.linenum or 1) - 1)}"
        ready = not (message.fuzzy or message.obsolete)
        forms = message.msgstr_plural or {0: message.msgstr}
        texts = [(message.msgid, forms.get(min(forms), ""))]
        if message.msgid_plural:
            texts.append((message.msgid_plural, forms[max(forms)]))
        for text, translation in texts:
            row = {source: text.translate(_SHOWN)}
            yield where, row | ({target: translation.translate(_SHOWN)} if ready and translation.strip() else {})


def _decoded(content: bytes, file: TextFile) -> str:
    said = _CHARSET.search(content[: 1 << 16])
    charset = said[1].decode("ascii", "replace") if said else "utf-8"
    if charset.upper() in ("CHARSET", "UTF-8", "UTF8"):  # a template's, which says nothing
        charset = "utf-8-sig"
    try:
        return content.decode(charset)
    except (LookupError, UnicodeError) as error:
        raise DataError(f"its text is not in the encoding that it names, {charset}: {error}.", str(file)) from None


def _languages(messages: polib.POFile, asked: Asked) -> tuple[str, str]:
    """The languages of the messages and of their translations. Where the file does not name them, those asked for."""
    said = str(messages.metadata.get("Language", ""))[:40].strip()
    source = str(messages.metadata.get("X-Source-Language", ""))[:40].strip()
    if source or not said:
        return source or asked.src, said or asked.tgt
    if fits(said, asked.src) and not fits(said, asked.tgt):
        return asked.tgt, asked.src
    return (asked.src if fits(said, asked.tgt) else "the messages"), said
