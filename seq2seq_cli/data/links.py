"""Word links of sentence pairs as files hold them: a line for each pair, in the Pharaoh format and its relatives, or a
line for each link, as in the shared tasks of WPT."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from seq2seq_cli.data.rows import Note, quiet
from seq2seq_cli.data.text import read_lines, shorten
from seq2seq_cli.errors import DataError
from seq2seq_cli.wording import counted

Links = frozenset[tuple[int, int]]
"""Pairs of a source and a target word, each counted from 0."""

HINT = "Write i-j, source word first; i?j where it is possible only."
FEW = 3
"""From so many linked pairs on, if no link names a word 0, words are taken to be counted from 1."""
BESIDE = "|||"

_LINK = re.compile(r"([0-9]{1,9})([-?pP])([0-9]{1,9})(?:[:/]?([sSpP])|:[0-9.eE+-]{1,40})?")
_WPT = re.compile(r"\s*([0-9]{1,9})\s+([0-9]{1,9})\s+([0-9]{1,9})(?:\s+([sSpP]))?(?:\s+[0-9.eE+-]{1,40})?\s*")


class MarkedLink(NamedTuple):
    """Two linked words, each counted from 0; ``sure``: whether the link is sure, not just possible."""

    source: int
    target: int
    sure: bool


class _Written(NamedTuple):
    """A link as a file has it, and the number of its line."""

    text: str
    source: int
    target: int
    sure: bool
    line: int


@dataclass(frozen=True)
class _LinkFile:
    """The links of each pair, not parsed yet. ``of_wpt``: whether each line holds a single link."""

    path: Path
    lines: list[str]
    sizes: Sequence[tuple[int, int]]
    of_wpt: bool

    def pairs(self) -> Iterator[list[_Written]]:
        """The links of each pair. Raises DataError for anything that is not a link."""
        if self.of_wpt:
            yield from self._numbered()
            return
        for number, line in enumerate(self.lines, start=1):
            where = f"{self.path}:{number}"
            text = line if BESIDE not in line else _beside(line, self.sizes[number - 1], where)
            yield [_link(word, number, where) for word in text.split()]

    def _numbered(self) -> Iterator[list[_Written]]:
        found: list[list[_Written]] = [[] for _ in self.sizes]
        for number, line in enumerate(self.lines, start=1):
            if not line.strip():
                continue
            matched, where = _WPT.fullmatch(line), f"{self.path}:{number}"
            if matched is None:
                hint = "The first line is a link as in WPT: number of the pair, source word, target word, S or P."
                raise DataError(f"{shorten(line)} is no link.", where, hint)
            pair = int(matched[1])
            if not 1 <= pair <= len(self.sizes):
                raise DataError(f"there is no pair {pair}; there are {len(self.sizes):,}, counted from 1.", where)
            sure = (matched[4] or "S").upper() == "S"
            text = " ".join(line.split()[1:3])
            found[pair - 1].append(_Written(text, int(matched[2]), int(matched[3]), sure, number))
        yield from found


def read_marked(
    path: Path, sizes: Sequence[tuple[int, int]], first: int | None, note: Note = quiet
) -> Iterator[list[MarkedLink]]:
    """The links of each pair of a file, in order.

    ``i-j`` and ``i-jS`` are sure links; ``i?j``, ``ipj`` and ``i-jP`` are possible ones. What follows a colon is a
    score and is ignored; so are the texts in ``source ||| target ||| links``. A file whose first line has three numbers
    has a link on each line: pair, source word, target word, and S or P.

    ``sizes``: how many source and target words each pair has. ``first``: the number of the first word, 0 or 1. None: it
    is taken to be 1 where no link names a word 0, and either some link names a last word by the number that this gives
    it, or there are enough links to tell; ``note`` hears of that. Raises DataError where there are not as many lines as
    pairs, and for a link that is malformed or outside of its pair.
    """
    links = _opened(path, sizes)
    counted_from = first if first is not None else _first_word(links, note)
    for pair, size in zip(links.pairs(), sizes, strict=True):
        yield [_placed(link, size, counted_from, path) for link in pair]


def _opened(path: Path, sizes: Sequence[tuple[int, int]]) -> _LinkFile:
    lines: list[str] = []
    count = 0
    of_wpt = False
    most = sum(src * tgt for src, tgt in sizes) + len(sizes)
    for count, line in enumerate(read_lines(path), start=1):
        of_wpt = bool(_WPT.fullmatch(line)) if count == 1 else of_wpt
        if count <= (most if of_wpt else len(sizes)):
            lines.append(line)
    if of_wpt and count > most:
        raise DataError(f"{counted(count, 'link')}, more than {counted(len(sizes), 'pair')} can have.", str(path))
    if not of_wpt and count != len(sizes):
        what = f"{counted(count, 'line')} of links for {counted(len(sizes), 'sentence pair')}."
        raise DataError(what, str(path), "Line n links the words of pair n; it is empty where none are linked.")
    return _LinkFile(path, lines, sizes, of_wpt)


def _first_word(links: _LinkFile, note: Note) -> int:
    """The number of the first word. If the first lines of the file name a word 0, the rest is not read for this."""
    linked, reaches_end = 0, False
    for pair, (src, tgt) in zip(links.pairs(), links.sizes, strict=True):
        if any(link.source == 0 or link.target == 0 for link in pair):
            return 0
        linked += bool(pair)
        reaches_end = reaches_end or any(
            (link.source == src and link.target <= tgt) or (link.target == tgt and link.source <= src) for link in pair
        )
    if links.of_wpt or reaches_end or linked >= FEW:
        note(f"{links.path}: no link names a word 0, so that words are counted from 1.")
        return 1
    if linked:
        note(f"{links.path}: no link names a word 0. Words are counted from 0 all the same, as there are few links.")
    return 0


def _beside(line: str, size: tuple[int, int], where: str) -> str:
    """The links of a line that also holds texts or scores."""
    fields = [field.strip() for field in line.split(BESIDE)]
    links = [number for number, field in enumerate(fields) if _all_links(field)]
    if not links:
        raise DataError(f"there are no links in this line of {counted(len(fields), 'part')}.", where, HINT)
    chosen = max(links, key=lambda number: (bool(fields[number]), number))
    texts = [field for number, field in enumerate(fields) if number != chosen]
    if len(texts) == 2:
        counts = (len(texts[0].split()), len(texts[1].split()))
        if counts != size:
            what = f"the texts beside the links have {counts[0]} and {counts[1]} words, and this pair {size[0]} and {size[1]}."
            raise DataError(what, where, "Words are what white space separates.")
    return fields[chosen]


def _all_links(field: str) -> bool:
    return all(_LINK.fullmatch(word) for word in field.split())


def _link(text: str, line: int, where: str) -> _Written:
    found = _LINK.fullmatch(text)
    if found is None:
        raise DataError(f"{shorten(text)} is no link.", where, HINT)
    possible = found[2] != "-" or (found[4] or "S") in "pP"
    return _Written(text, int(found[1]), int(found[3]), not possible, line)


def _placed(link: _Written, size: tuple[int, int], first: int, path: Path) -> MarkedLink:
    i, j = link.source - first, link.target - first
    if not (0 <= i < size[0] and 0 <= j < size[1]):
        hint = f"Words are what white space separates, counted from {first}, source word first."
        if first == 0 and 0 < link.source <= size[0] and 0 < link.target <= size[1]:
            hint += " Where they are counted from 1: --gold-from 1 (align), training.guided_from = 1 (train)."
        words = f"{size[0]} source and {size[1]} target words"
        raise DataError(f"the link {link.text} is outside this pair of {words}.", f"{path}:{link.line}", hint)
    return MarkedLink(i, j, link.sure)
