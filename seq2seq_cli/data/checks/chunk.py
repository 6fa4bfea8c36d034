"""What can be said of a stretch of pairs by itself: work for one process, for a fraction of a second."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from seq2seq_cli.data.checks.characters import CAPITALS, CLASSES, Character, Codes, codes_of, counts_by_class
from seq2seq_cli.data.checks.flaws import FLAGS, REPAIRED, SOURCE, TARGET, Flaw
from seq2seq_cli.data.checks.keys import exact_keys, normalised_keys, of_pairs
from seq2seq_cli.data.checks.languages import Languages
from seq2seq_cli.data.checks.marks import without_marks
from seq2seq_cli.data.checks.overlap import TestKeys
from seq2seq_cli.data.checks.repair import repaired
from seq2seq_cli.data.checks.scripts import in_another_script, letters_by_script

FEATURES = 7
"""Features of a line besides its characters: blanks, digits, commas, question marks, exclamation marks, quotes and
colons, capitals."""

RECORD = np.dtype([("flags", FLAGS), ("chars", "<u4", 2), ("features", "u1", (2, FEATURES))])
"""What is kept of each pair until all pairs have been seen."""
IDENTITY = np.dtype([("normalised", "<u8"), ("exact", "<u8"), ("row", "<u8")])
"""Keys that are equal for equal pairs."""


class Chunk(NamedTuple):
    """Consecutive pairs of the text; ``first`` is the row of the first one, from 0."""

    first: int
    src: Sequence[str]
    tgt: Sequence[str]


@dataclass(frozen=True)
class Expected:
    """What lines are compared with. ``scripts`` of both languages; the ``test`` text, if there is one; ``quoted``:
    which sides have cells in the quotation marks of CSV; ``languages``: both languages, if enough was read to tell them
    apart; ``swapped``: whether the text as a whole has the languages in each other's place."""

    scripts: tuple[frozenset[str], frozenset[str]]
    test: TestKeys | None
    quoted: tuple[bool, bool]
    languages: Languages | None
    swapped: bool


class Seen(NamedTuple):
    """What was found in a chunk: ``records`` (RECORD) of its pairs; ``identities`` (IDENTITY) of the pairs that have
    two sides; and ``met``, the keys of the test text that occur, as `TestKeys.compare` gives them."""

    records: np.ndarray
    identities: np.ndarray
    met: list[np.ndarray]


class _Side(NamedTuple):
    flags: np.ndarray
    chars: np.ndarray
    features: np.ndarray
    exact: np.ndarray
    normalised: np.ndarray
    wordless: np.ndarray


class _CodedLines(NamedTuple):
    lines: Sequence[str]
    codes: Codes


_FLAGGED = {
    Flaw.NUL: Character.NUL,
    Flaw.CONTROL: Character.CONTROL,
    Flaw.BIDI: Character.BIDI,
    Flaw.SEPARATOR: Character.SEPARATOR,
    Flaw.UNDECODABLE: Character.LOST,
    Flaw.INVISIBLE: Character.INVISIBLE,
    Flaw.JOINING: Character.JOINING,
}
_INVISIBLE = [
    Character.NUL,
    Character.CONTROL,
    Character.BIDI,
    Character.SEPARATOR,
    Character.SPACE,
    Character.INVISIBLE,
    Character.JOINING,
]
_COUNTED: list[list[Character]] = [
    [Character.SPACE],
    [Character.DIGIT],
    [Character.COMMA],
    [Character.QUESTION],
    [Character.EXCLAMATION],
    [Character.QUOTE, Character.COLON],
    list(CAPITALS.values()),
]


def look_at(chunk: Chunk, expected: Expected) -> Seen:
    """Flags, sizes and keys of every pair of a chunk."""
    lines, swapped = _unswapped(chunk, expected)
    src, tgt = (_side(lines[side], side, expected) for side in (SOURCE, TARGET))
    records = np.zeros(len(chunk.src), dtype=RECORD)
    flags = src.flags | tgt.flags
    flags[swapped] |= Flaw.SWAPPED.bits
    flags[(src.exact == tgt.exact) & ~src.wordless] |= Flaw.IDENTICAL.bits
    met: list[np.ndarray] = []
    if expected.test is not None:
        overlap, met = expected.test.compare((src.exact, tgt.exact), (src.normalised, tgt.normalised))
        flags |= overlap
    records["flags"] = flags
    records["chars"] = np.stack((src.chars, tgt.chars), axis=1)
    records["features"] = np.stack((src.features, tgt.features), axis=1)
    identities = np.empty(len(records), dtype=IDENTITY)
    identities["exact"] = of_pairs(src.exact, tgt.exact)
    both = ~(src.wordless | tgt.wordless)
    identities["normalised"] = np.where(both, of_pairs(src.normalised, tgt.normalised), identities["exact"])
    identities["row"] = np.arange(chunk.first, chunk.first + len(records))
    return Seen(records, identities[flags & Flaw.EMPTY.bits == 0], met)


def _unswapped(chunk: Chunk, expected: Expected) -> tuple[tuple[_CodedLines, _CodedLines], np.ndarray]:
    """Both sides, with each line in its right place, and the numbers of the pairs whose lines were exchanged for
    that."""
    src, tgt = _CodedLines(chunk.src, codes_of(chunk.src)), _CodedLines(chunk.tgt, codes_of(chunk.tgt))
    swapped = np.array([], dtype=np.intp)
    if expected.languages is not None:
        swapped = expected.languages.swapped(src.codes, tgt.codes)
    if expected.swapped:  # then the pairs that are unlike most are the right ones
        swapped = np.setdiff1d(np.arange(len(chunk.src)), swapped)
    if len(swapped):
        sides = [list(chunk.src), list(chunk.tgt)]
        for row in swapped.tolist():
            sides[SOURCE][row], sides[TARGET][row] = sides[TARGET][row], sides[SOURCE][row]
        src, tgt = (_CodedLines(side, codes_of(side)) for side in sides)
    return (src, tgt), swapped


def _side(given: _CodedLines, side: int, expected: Expected) -> _Side:
    lines, flags, codes = without_marks(given.lines, side, given.codes, expected.quoted[side])
    counts = counts_by_class(codes)
    for kind, character in _FLAGGED.items():
        flags[counts[:, character] > 0] |= kind.bit(side)
    flags[codes.lengths == counts[:, _INVISIBLE].sum(1)] |= Flaw.EMPTY.bit(side)
    flags[in_another_script(letters_by_script(counts), counts, expected.scripts[side])] |= Flaw.SCRIPT.bit(side)
    flags[_not_composed(lines)] |= Flaw.NORMALISATION.bit(side)
    wrong = np.flatnonzero(flags & REPAIRED)
    if len(wrong):  # lines that are equal after repair count as equal
        lines = list(lines)
        for row in wrong.tolist():
            lines[row] = repaired(lines[row])
        exact = exact_keys(codes_of(lines))
    else:
        exact = exact_keys(codes)
    features = np.stack([np.minimum(counts[:, some].sum(1), 255) for some in _COUNTED], axis=1).astype(np.uint8)
    wordless = counts[:, Character.LATIN_CAPITAL : CLASSES].sum(1) == 0
    return _Side(flags, codes.lengths, features, exact, normalised_keys(lines), wordless)


def _not_composed(lines: Sequence[str]) -> list[int]:
    if unicodedata.is_normalized("NFC", "\n".join(lines)):
        return []
    return [row for row, line in enumerate(lines) if not unicodedata.is_normalized("NFC", line)]
