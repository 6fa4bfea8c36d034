"""Links between the words of sentence pairs, as files have them: a line a pair, in Pharaoh format."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from seq2seq_cli.data.text import read_lines, shorten
from seq2seq_cli.errors import DataError
from seq2seq_cli.wording import counted

Links = frozenset[tuple[int, int]]
"""Pairs of a source and a target word, each counted from 0."""

MarkedLink = tuple[int, str, int]
"""Source word, the mark between them, target word."""

HINTS = {
    "-": "Write i-j, source word first.",
    "-?": "Write i-j for a sure link and i?j for a possible one, source word first.",
}
"""By the marks that a file may use."""


def read_marked(path: Path, sizes: Sequence[tuple[int, int]], marks: str) -> Iterator[list[MarkedLink]]:
    """The links of each pair of a file, in order; ``marks`` is a key of ``HINTS``.

    ``sizes``: how many source and target words each pair has. Raises DataError where there are not as many lines, and
    for a link that is malformed or outside its pair.
    """
    lines: list[str] = []
    count = 0
    for count, line in enumerate(read_lines(path), start=1):
        if count <= len(sizes):
            lines.append(line)
    if count != len(sizes):
        what = f"{counted(count, 'line')} of links for {counted(len(sizes), 'sentence pair')}."
        raise DataError(what, str(path), "Line n links the words of pair n; it is empty where none are linked.")
    for number, (line, size) in enumerate(zip(lines, sizes, strict=True), start=1):
        yield [_link(text, size, marks, f"{path}:{number}") for text in line.split()]


def _link(text: str, size: tuple[int, int], marks: str, where: str) -> MarkedLink:
    found = re.fullmatch(rf"([0-9]{{1,9}})([{marks}])([0-9]{{1,9}})", text)
    if found is None:
        raise DataError(f"{shorten(text)} is no link.", where, HINTS[marks])
    i, j = int(found[1]), int(found[3])
    if i >= size[0] or j >= size[1]:
        hint = "Words are what white space separates, counted from 0, source word first."
        words = f"{size[0]} source and {size[1]} target words"
        raise DataError(f"the link {text} is outside this pair of {words}.", where, hint)
    return i, found[2], j
