"""The table of what is looked for: names, meanings, and what a cleaned copy does about each flaw."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

import numpy as np

Remedy = Literal["removed", "repaired", "realigned", "refused", "kept"]
"""What a cleaned copy does: it lacks the pair, has it repaired, has the lines paired anew, is not written at all, or
keeps the pair."""

SOURCE, TARGET = 0, 1

FLAGS = np.dtype("<u8")
"""The type of the flags of a pair."""


class Flaw(IntEnum):
    """What may be wrong with a pair, numbered as in ``TABLE``. The flags of a pair have two bits for each flaw: for the
    source side, then for the target side."""

    UNDECODABLE = 0
    NUL = 1
    CONTROL = 2
    BIDI = 3
    SEPARATOR = 4
    NORMALISATION = 5
    SCRIPT = 6
    EMPTY = 7
    LONG = 8
    IDENTICAL = 9
    RATIO = 10
    SHIFTED = 11
    DUPLICATE = 12
    DUPLICATE_NORMALISED = 13
    OVERLAP = 14
    OVERLAP_NORMALISED = 15
    UNKNOWN = 16
    MARKUP = 17
    SEGMENTED = 18
    MOJIBAKE = 19
    QUOTED = 20
    SWAPPED = 21
    ENCODING = 22
    LINE_ENDS = 23
    UNRELATED = 24
    INVISIBLE = 25
    JOINING = 26

    def bit(self, side: int) -> int:
        """The flag of this flaw on one side."""
        return 1 << (2 * self + side)

    @property
    def bits(self) -> int:
        """The flags of both sides."""
        return 3 << (2 * self)

    @property
    def row(self) -> "Row":
        return TABLE[self]


@dataclass(frozen=True)
class Row:
    """What people read about a flaw: its ``name``, its ``meaning``, and the ``remedy`` in a cleaned copy.
    ``damage``: whether a pair with this flaw is always wrong; with other flaws a pair may be right. That decides the
    exit status."""

    name: str
    meaning: str
    remedy: Remedy
    damage: bool


TABLE = (
    Row("undecodable", "bytes that are not UTF-8, or the U+FFFD and lone surrogates they have left", "removed", True),
    Row("nul", "the character NUL", "repaired", True),
    Row("control", "control characters, a byte order mark in mid-text", "repaired", True),
    Row("bidi", "characters that override or embed the direction of writing", "repaired", True),
    Row("separator", "line ends that are none here: lone CR, VT, FF, NEL, U+2028, U+2029, U+001C to 1E", "repaired", True),
    Row("normalisation", "letters with their accents apart (not Unicode NFC)", "repaired", False),
    Row("script", "mostly letters of a script that the language is not written in", "removed", True),
    Row("empty", "nothing to be seen on one side", "removed", True),
    Row("long", "over 500 characters and ten times as long as the median line", "removed", False),
    Row("identical", "the same text on both sides", "removed", False),
    Row("ratio", "one side far longer than the other, as these languages go", "removed", False),
    Row("shifted", "a block of lines that translate other lines than their own", "realigned", True),
    Row("duplicate", "a pair that stood there before", "removed", False),
    Row("duplicate-normalised", "the same but for case, punctuation and spaces", "kept", False),
    Row("overlap", "a side that is also in the test text", "removed", True),
    Row("overlap-normalised", "the same but for case, punctuation and spaces", "removed", True),
    Row("unknown", "a word that was lost: literally <unk>, [UNK] or U+2047", "removed", True),
    Row("markup", "HTML or XML: tags, or entities such as &quot;", "repaired", True),
    Row("segmented", "words in pieces: the marks @@ or U+2581 of a subword tokenizer", "repaired", True),
    Row("mojibake", "UTF-8 that was read as another encoding: letters like Ã¤ for ä", "repaired", True),
    Row("quoted", "quotation marks of CSV around the whole text, those inside doubled", "repaired", True),
    Row("swapped", "the source in the target's place and the target in the source's", "repaired", True),
    Row("encoding", "lines in another encoding than UTF-8", "repaired", True),
    Row("line-ends", "lines that end with CR alone", "repaired", True),
    Row("unrelated", "the two sides do not belong together", "refused", True),
    Row("invisible", "zero-width spaces, soft hyphens, direction marks and the like: not seen, dropped everywhere", "repaired", False),
    Row("joining", "joiners, variation selectors and the like: not seen either, but they spell", "kept", False),
)  # fmt: skip

REMOVED = sum(kind.bits for kind in Flaw if kind.row.remedy in ("removed", "realigned"))
"""Flags of the pairs that a cleaned copy lacks. (Lines of shifted blocks are in it, with other partners.)"""
REPAIRED = sum(kind.bits for kind in Flaw if kind.row.remedy == "repaired")
