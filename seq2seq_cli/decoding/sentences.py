"""A line that is to be translated: tokenised once, and what is wanted to be known of its translations."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Details:
    """What is to be made of the hypotheses that a search finds for a sentence; what nobody asked for takes its time, too.

    The ``best`` so many of them are told (None: all); each with its ``text`` ("" where that is not asked for), its
    ``alignment`` (None where not) and always its pieces and scores. ``replace_unknown``: in texts, each ``<unk>`` becomes
    the source word that it attended to most.
    """

    best: int | None = None
    text: bool = True
    alignment: bool = True
    replace_unknown: bool = False


EVERYTHING = Details()
BEST = Details(best=1)
BEST_TEXT = Details(best=1, alignment=False)


@dataclass(frozen=True)
class Sentence:
    """A source line with its piece ids, ``</s>`` not among them; one without ``ids`` has one empty translation.

    ``number`` is its place in the text, from 0: what is drawn at random for a line depends on it.
    """

    line: str
    ids: list[int]
    details: Details = EVERYTHING
    number: int = 0
