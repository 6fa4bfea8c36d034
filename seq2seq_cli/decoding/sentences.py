"""A line to be translated: tokenised once, with what is wanted of its translations."""

from __future__ import annotations

from dataclasses import dataclass

from seq2seq_cli.data.neighbours import Neighbour
from seq2seq_cli.decoding.constraints import Constraint


@dataclass(frozen=True)
class Details:
    """What is made of the hypotheses that a search finds for a sentence. (Making what nobody needs would cost time.)

    The ``best`` so many are returned (None: all), always with pieces and scores, and with ``text`` ("" where it is not
    wanted) and ``alignment`` (None where it is not wanted). ``attentions``: also where every layer and head looked.
    ``confidence``: also how sure they are, which a run must have been calibrated for. ``origins``: also from which examples of
    a memory each piece came, where there is one.
    ``replace_unknown``: each ``<unk>`` in a text becomes the source word that it attended to most.
    """

    best: int | None = None
    text: bool = True
    alignment: bool = True
    attentions: bool = False
    confidence: bool = False
    origins: bool = False
    replace_unknown: bool = False


EVERYTHING = Details()
BEST = Details(best=1)
BEST_TEXT = Details(best=1, alignment=False)
BEST_PIECES = Details(best=1, text=False, alignment=False)


@dataclass(frozen=True)
class Sentence:
    """A source line with its piece ids, ``</s>`` not among them. A sentence without ``ids`` has a single, empty
    translation.

    ``number`` is its place in the text, from 0: what is drawn at random for a line depends on it. ``constraints``: what its
    translations must hold; None: what the translator's glossary says, which is looked up only when they are searched for.
    ``before``: the sentences before it that the model looks back at, the nearest first.
    """

    line: str
    ids: list[int]
    details: Details = EVERYTHING
    number: int = 0
    constraints: tuple[Constraint, ...] | None = None
    before: tuple[Neighbour, ...] = ()

    @property
    def pieces_before(self) -> int:
        """How many pieces stand in front of it where the sentences before are put there."""
        return sum(len(neighbour.src) + 1 for neighbour in self.before)
