"""Lines as counts of characters by class, for a whole chunk of lines in a few vectorised steps."""

from collections.abc import Sequence
from enum import IntEnum
from functools import cache
from typing import NamedTuple

import numpy as np
import regex

from seq2seq_cli.data.invisible import INVISIBLE, JOINING, NONCHARACTERS


class Character(IntEnum):
    """Classes of characters. Those from LATIN_CAPITAL on are letters, and include the marks that belong to the
    letters."""

    OTHER = 0
    NUL = 1
    CONTROL = 2
    BIDI = 3
    SEPARATOR = 4
    LOST = 5
    SPACE = 6
    COMMA = 7
    QUESTION = 8
    EXCLAMATION = 9
    QUOTE = 10
    COLON = 11
    DIGIT = 12
    INVISIBLE = 13
    JOINING = 14
    LATIN_CAPITAL = 15
    CYRILLIC_CAPITAL = 16
    GREEK_CAPITAL = 17
    LETTER = 18


FIRST_SCRIPT = int(Character.LETTER) + 1
SCRIPTS = (
    "Latin", "Cyrillic", "Greek", "Arabic", "Hebrew", "Han", "Hiragana", "Katakana", "Hangul", "Bopomofo",
    "Devanagari", "Bengali", "Gurmukhi", "Gujarati", "Oriya", "Tamil", "Telugu", "Kannada", "Malayalam", "Sinhala",
    "Thai", "Lao", "Tibetan", "Myanmar", "Khmer", "Armenian", "Georgian", "Ethiopic", "Thaana", "Syriac", "Mongolian",
    "Canadian_Aboriginal", "Cherokee", "Tifinagh", "Nko",
)  # fmt: skip
"""Unicode's names. Script n has the class FIRST_SCRIPT + n; letters of all other scripts are of class LETTER."""
CLASSES = FIRST_SCRIPT + len(SCRIPTS)

CAPITALS = {"Latin": Character.LATIN_CAPITAL, "Cyrillic": Character.CYRILLIC_CAPITAL, "Greek": Character.GREEK_CAPITAL}

PLANES = 0x32400
"""The classes of lower code points are looked up by their properties. Higher ones are no letters of these scripts."""

SETS = {
    Character.NUL: r"\x00",
    Character.CONTROL: r"[\x01-\x08\x0e-\x1b\x1f\x7f-\x84\x86-\x9f\ufeff]",
    Character.BIDI: r"[\u202a-\u202e\u2066-\u2069]",
    Character.SEPARATOR: r"[\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]",
    Character.LOST: r"[\ufffd\ud800-\udfff]",  # and noncharacters
    Character.SPACE: r"[\p{Zs}\t]",
    Character.COMMA: "[,،、，;；]",
    Character.QUESTION: "[?？؟]",
    Character.EXCLAMATION: "[!！]",
    Character.QUOTE: '["„“”«»「」]',
    Character.COLON: "[:：]",
    Character.DIGIT: r"\p{Nd}",
    Character.LETTER: r"[\p{L}\p{M}\p{N}--\p{Nd}]",
}
"""Regular expressions of the classes that are neither scripts nor among the classes below."""

TABLES = {Character.LOST: NONCHARACTERS, Character.INVISIBLE: INVISIBLE, Character.JOINING: JOINING}
"""Classes that are given by a list of their characters."""


@cache
def classes_of_code_points() -> np.ndarray:
    """The class of each code point, uint8."""
    every = "".join(map(chr, range(PLANES)))
    table = np.zeros(0x110000, dtype=np.uint8)

    def assign(number: int, pattern: str) -> None:
        for found in regex.finditer(f"(?V1){pattern}+", every):
            table[found.start() : found.end()] = number

    for character, pattern in SETS.items():
        assign(character, pattern)
    for number, script in enumerate(SCRIPTS, start=FIRST_SCRIPT):
        assign(number, rf"[\p{{Script={script}}}&&[\p{{L}}\p{{M}}]]")
    for script, character in CAPITALS.items():
        assign(character, rf"[\p{{Script={script}}}&&\p{{Lu}}]")
    for character, listed in TABLES.items():
        codes = np.fromiter(map(ord, listed), dtype=np.int64)
        # Some have a class of their own: those that override directions, and the byte order mark.
        table[codes[~np.isin(table[codes], (Character.BIDI, Character.CONTROL))]] = character
    return table


class Codes(NamedTuple):
    """Lines laid end to end: ``values`` are their code points (uint32), and ``ends`` says where each line ends
    (int64)."""

    values: np.ndarray
    ends: np.ndarray

    @property
    def lengths(self) -> np.ndarray:
        """Characters of each line, int64."""
        return np.diff(self.ends, prepend=0)

    def of_class(self, wanted: np.ndarray) -> "Codes":
        """The same lines, with only those characters whose class is True in ``wanted``."""
        chosen = wanted[classes_of_code_points()[self.values]]
        before = np.concatenate(([0], np.cumsum(chosen)))
        return Codes(self.values[chosen], before[self.ends])


def codes_of(lines: Sequence[str]) -> Codes:
    """The code points of lines, including lone surrogates."""
    values = np.frombuffer("".join(lines).encode("utf-32-le", "surrogatepass"), dtype="<u4")
    return Codes(values, np.cumsum(np.fromiter(map(len, lines), dtype=np.int64, count=len(lines))))


def counts_by_class(codes: Codes) -> np.ndarray:
    """How often each class occurs in each line: lines x CLASSES, int64."""
    count = len(codes.ends)
    cells = np.repeat(np.arange(count) * CLASSES, codes.lengths)
    cells += classes_of_code_points()[codes.values]
    return np.bincount(cells, minlength=count * CLASSES).reshape(count, CLASSES)
