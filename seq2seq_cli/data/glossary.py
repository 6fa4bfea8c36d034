"""A glossary: terms of the source language, and how each must be translated."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Self

from seq2seq_cli.data.boundaries import occurrences, units
from seq2seq_cli.data.text import clean, read_lines, sha256, shorten
from seq2seq_cli.errors import DataError
from seq2seq_cli.wording import counted

COMMENT, EITHER = "#", "|"
LONGEST_TERM = 500
"""Most characters of a term. A longer one is no term."""
FORM = "Write a term a line: the source term, a tab, its translation."

_EITHER = re.compile(r"(?<!\\)\|")


@dataclass(frozen=True)
class Term:
    """A source term and its allowed translations, the first the one to be preferred where nothing else speaks. ``where``: the
    file and the line."""

    source: str
    targets: tuple[str, ...]
    where: str = field(compare=False)

    def count_in(self, text: str) -> int:
        """At how many places one of the translations stands in ``text`` as whole words, exactly as given. Where one stands
        within another, that is one place."""
        stretches = {(at, at + len(target)) for target in self.targets for at in occurrences(target, text)}
        # Of those that end alike the shortest comes first; one holds another if that one begins later and ended before.
        latest, places = -1, 0
        for start, _ in sorted(stretches, key=lambda one: (one[1], -one[0])):
            if start > latest:
                latest, places = start, places + 1
        return places

    def holds(self, other: Term) -> int:
        """At how many places at least a translation of ``other`` stands in one of this term."""
        return min(map(other.count_in, self.targets))


class Obeyed(NamedTuple):
    """How many terms were to be translated as given, and how many were."""

    asked: int
    kept: int

    def __str__(self) -> str:
        return f"{self.kept:,} of {counted(self.asked, 'term')} translated as the glossary says"


@dataclass
class _Node:
    """Terms that begin alike. ``terms``: those that end here. ``further``: by the next unit, its case folded."""

    terms: list[Term] = field(default_factory=list)
    further: dict[str, _Node] = field(default_factory=dict)


class _Match(NamedTuple):
    """A term that stands in a line from the unit ``start`` to before ``end``."""

    start: int
    end: int
    characters: int
    term: Term


@dataclass(frozen=True)
class Glossary:
    """The terms of a file.

    A term stands in a line where the line holds it between two boundaries of words. Its capitals must be capitals there, its
    small letters may be: ``guter Rat`` also stands in "Guter Rat" and "GUTER RAT", ``US`` only in "US". Of terms that overlap
    the longest holds, then the leftmost; of terms that differ in case alone, the one that is most as in the line.
    """

    path: Path
    terms: tuple[Term, ...]
    _root: _Node = field(default_factory=_Node, repr=False, compare=False)

    def __post_init__(self) -> None:
        for term in self.terms:
            node = self._root
            for unit in units(term.source):
                node = node.further.setdefault(unit.casefold(), _Node())
            node.terms.append(term)

    @classmethod
    def read(cls, path: Path) -> Self:
        """From a file of lines ``source TAB target``, of which several may stand with ``|`` between them. Blank lines and
        those that begin with ``#`` do not count; ``\\#`` and ``\\|`` stand for these signs themselves.

        Raises DataError, with the line, for one that has another form, and for a term that is given twice with other
        translations; and where there are no terms.
        """
        terms: dict[str, Term] = {}
        for number, line in enumerate(read_lines(path), start=1):
            if not line.strip() or line.startswith(COMMENT):
                continue
            term = _term(line, f"{path}:{number}")
            known = terms.setdefault(term.source, term)
            if known.targets != term.targets:
                first = known.where.rpartition(":")[2]
                what = f"{shorten(term.source)} has other translations than in line {first}."
                hint = f"Put all that are allowed into one line, with {EITHER} between them."
                raise DataError(what, term.where, hint)
        if not terms:
            raise DataError("there are no terms in this file.", str(path), FORM)
        return cls(path, tuple(terms.values()))

    @property
    def digest(self) -> str:
        """Of the file."""
        return sha256(self.path)

    def found_in(self, line: str) -> list[Term]:
        """The terms that stand in the line, from left to right; a term that stands there twice comes twice."""
        parts = units(clean(line))
        taken: list[_Match] = []
        used = bytearray(len(parts))
        for match in sorted(self._matches(parts), key=lambda one: (-one.characters, one.start)):
            if not any(used[match.start : match.end]):
                taken.append(match)
                used[match.start : match.end] = b"\1" * (match.end - match.start)
        return [match.term for match in sorted(taken)]

    def judge(self, lines: Sequence[str], translations: Sequence[str]) -> Obeyed:
        """How many of the terms of all lines their translations hold. A place counts for one term: the "York" of a "New York"
        that counts is not the translation of another term."""
        asked = kept = 0
        for line, text in zip(lines, translations, strict=True):
            held: dict[Term, int] = {}
            found = Counter(self.found_in(line))
            # What stands within another is no longer than that one.
            for term in sorted(found, key=lambda one: min(map(len, one.targets)), reverse=True):
                within = sum(times * other.holds(term) for other, times in held.items() if times)
                held[term] = max(0, min(found[term], term.count_in(text) - within))
            asked += found.total()
            kept += sum(held.values())
        return Obeyed(asked, kept)

    def _matches(self, parts: Sequence[str]) -> Iterator[_Match]:
        folded = [part.casefold() for part in parts]
        for start in range(len(parts)):
            node = self._root.further.get(folded[start])
            end = start + 1
            while node is not None:
                standing = [term for term in node.terms if _covers(units(term.source), parts[start:end])]
                if standing:
                    text = "".join(parts[start:end])
                    best = max(standing, key=lambda term: _alike(term.source, text))
                    yield _Match(start, end, len(text), best)
                node = node.further.get(folded[end]) if end < len(parts) else None
                end += 1


def _covers(term: Sequence[str], parts: Sequence[str]) -> bool:
    """Whether the letters in which these units differ, alike but for case, are small in the term and capital in the line."""
    for own, there in zip(term, parts, strict=True):
        if len(own) != len(there):  # as ß and SS
            if not there.isupper():
                return False
        elif any(a != b and not b.isupper() for a, b in zip(own, there, strict=True)):
            return False
    return True


def _alike(term: str, text: str) -> int:
    return sum(a == b for a, b in zip(term, text, strict=False))


def _term(line: str, where: str) -> Term:
    cells = line.split("\t")
    if len(cells) != 2:
        tabs = "no tab" if len(cells) == 1 else counted(len(cells) - 1, "tab")
        raise DataError(f"{tabs} in this line; there must be one.", where, FORM)
    source = clean(cells[0].removeprefix("\\") if cells[0].startswith("\\" + COMMENT) else cells[0])
    targets = tuple(dict.fromkeys(clean(part.replace("\\|", EITHER)) for part in _EITHER.split(cells[1])))
    if not source or not all(targets):
        raise DataError(f"{'the source term' if not source else 'a translation'} is empty.", where, FORM)
    for text in (source, *targets):
        if len(text) > LONGEST_TERM:
            raise DataError(
                f"{counted(len(text), 'character')}, more than a term may have ({LONGEST_TERM}).", where, FORM
            )
    return Term(source, targets, where)
