"""A line to be translated: tokenised once, with what is wanted of its translations."""

from __future__ import annotations

from dataclasses import dataclass

from seq2seq_cli.data.neighbours import Neighbour


@dataclass(frozen=True)
class Details:
    """What is made of the hypotheses that a search finds for a sentence. (Making what nobody needs would cost time.)

    The ``best`` so many are returned (None: all), always with pieces and scores, and with ``text`` ("" where it is not
    wanted) and ``alignment`` (None where it is not wanted). ``attentions``: also where every layer and head looked.
    ``replace_unknown``: each ``<unk>`` in a text becomes the source word that it attended to most.
    """

    best: int | None = None
    text: bool = True
    alignment: bool = True
    attentions: bool = False
    replace_unknown: bool = False


EVERYTHING = Details()
BEST = Details(best=1)
BEST_TEXT = Details(best=1, alignment=False)


@dataclass(frozen=True)
class Sentence:
    """A source line with its piece ids, ``</s>`` not among them. A sentence without ``ids`` has a single, empty
    translation.

    ``number`` is its place in the text, from 0: what is drawn at random for a line depends on it. ``before``: the sentences
    before it that the model looks back at, the nearest first.
    """

    line: str
    ids: list[int]
    details: Details = EVERYTHING
    number: int = 0
    before: tuple[Neighbour, ...] = ()

    @property
    def pieces_before(self) -> int:
        """How many pieces stand in front of it where the sentences before are put there."""
        return sum(len(neighbour.src) + 1 for neighbour in self.before)
