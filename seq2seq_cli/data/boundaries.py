"""Where words end, in any script: what a glossary calls a whole word."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from enum import IntEnum
from functools import lru_cache

from seq2seq_cli.data.words import is_spaceless


class Joint(IntEnum):
    """What a character, or a text by its first one, does behind another: it begins something new, goes on with a word if
    there is one, or belongs to whatever letter stands before it."""

    BREAKS = 0
    CONTINUES = 1
    CLINGS = 2


@lru_cache(maxsize=1 << 14)
def joint(character: str) -> Joint:
    """Letters, digits and ``_`` continue a word, combining marks cling to their letter. Everything else stands alone, and so
    do the letters of scripts that write no spaces."""
    category = unicodedata.category(character)
    if category.startswith("M"):
        return Joint.CLINGS
    of_words = category.startswith(("L", "N")) or category == "Pc"
    return Joint.CONTINUES if of_words and not is_spaceless(character) else Joint.BREAKS


def is_open(character: str) -> bool:
    """Whether a word that ends with ``character`` may go on behind it."""
    return joint(character) != Joint.BREAKS


def joined(opened: bool, behind: Joint) -> bool:
    """Whether there is no boundary between a character that is open, or not, and the one behind it."""
    return behind == Joint.CLINGS or (opened and behind == Joint.CONTINUES)


def units(text: str) -> list[str]:
    """The text in parts, between any two of which there is a boundary and within which there is none: words, and single
    characters that stand alone, blanks among them."""
    return list(_units(text))


def _units(text: str) -> Iterator[str]:
    start = 0
    for end in range(1, len(text)):
        if not joined(is_open(text[end - 1]), joint(text[end])):
            yield text[start:end]
            start = end
    if text:
        yield text[start:]


def occurrences(part: str, text: str) -> list[int]:
    """Where ``part`` stands in ``text`` between two boundaries: the index of its first character, each time."""
    found, at = [], text.find(part)
    while at >= 0:
        end = at + len(part)
        before = at > 0 and joined(is_open(text[at - 1]), joint(text[at]))
        behind = end < len(text) and joined(is_open(text[end - 1]), joint(text[end]))
        if not before and not behind:
            found.append(at)
        at = text.find(part, at + 1)
    return found
