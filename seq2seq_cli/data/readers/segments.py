"""Segments of a test set with a file for each language: WMT's .sgm, and .xml of the same make."""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from seq2seq_cli.data.text import LONGEST, TextFile, read_lines
from seq2seq_cli.errors import DataError

# By hand, as these files are no XML: their texts hold single & and <.
_TAG = re.compile(r"<(/?)(doc|ref|seg|hyp)\b([^<>]{0,2000})>", re.IGNORECASE)
_ID = re.compile(r"""\b(?:docid|id)\s*=\s*["']?([^"'\s>]{1,200})""", re.IGNORECASE)

MOST_DOCUMENTS = 1_000_000


class Segment(NamedTuple):
    """A segment: its document, its name there, its text, and its line, from 1. ``version``: how many documents of that
    name, or references within it, come before it in the file."""

    document: str
    name: str
    text: str
    line: int
    version: int = 0


def read_segments(file: TextFile) -> Iterator[Segment]:
    """The segments of a file, in order, without the output of systems (``<hyp>``). Raises DataError where a segment is
    not closed or too long, or there are more documents than any test set has."""
    document, name, begun = "", "", 0
    version, references, versions = 0, 0, Counter[str]()
    parts, size, hidden = list[str](), 0, False
    for number, line in enumerate(read_lines(file), start=1):
        end = 0
        for tag in _TAG.finditer(line):
            closing, kind = bool(tag[1]), tag[2].lower()
            if begun and kind == "ref":  # a word of the text
                continue
            if begun:
                parts.append(line[end : tag.start()])
            end = tag.end()
            said = _ID.search(tag[3])
            if kind == "doc":
                document = "" if closing or said is None else said[1]
                version, references = versions[document], 0
                if document:
                    versions[document] += 1
                if len(versions) > MOST_DOCUMENTS:
                    raise DataError(f"there are more than {MOST_DOCUMENTS:,} documents here.", f"{file}:{number}")
            elif kind == "ref":
                further = bool(references) and not closing
                version, references = version + further, references + (not closing)
                if further and document:
                    versions[document] += 1
            elif kind == "hyp":
                hidden = not closing
            elif closing and begun:
                if not hidden:
                    yield Segment(document, name, html.unescape("".join(parts)).strip(), begun, version)
                begun, parts, size = 0, [], 0
            elif begun:
                raise DataError("a segment begins here within another.", f"{file}:{number}")
            elif not closing:
                name, begun = (said[1] if said else ""), number
        if begun:
            parts.append(line[end:] + " ")
            size += len(line)
            if size > LONGEST:
                raise DataError(f"a segment is longer than {LONGEST >> 20} MiB.", f"{file}:{begun}")
    if begun:
        raise DataError("a segment begins here and is not ended.", f"{file}:{begun}")
