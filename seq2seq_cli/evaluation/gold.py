"""Links set by hand (gold links), and how well other links agree with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

from seq2seq_cli.data.links import Links, read_marked
from seq2seq_cli.data.rows import Note, quiet


@dataclass(frozen=True)
class Gold:
    """Links set by hand for one pair: the ``sure`` ones, and the ``possible`` ones, which include the sure ones."""

    sure: Links
    possible: Links


def read_gold(path: Path, sizes: Sequence[tuple[int, int]], first: int | None = None, note: Note = quiet) -> list[Gold]:
    """The hand-set links of a file. Forms, ``first``, ``note`` and errors are those of `read_marked`.

    ``sizes``: how many source and target words each pair has.
    """
    marked = read_marked(path, sizes, first, note)
    return [
        Gold(
            frozenset((link.source, link.target) for link in links if link.sure),
            frozenset((link.source, link.target) for link in links),
        )
        for links in marked
    ]


@dataclass(frozen=True)
class Agreement:
    """How links agree with gold links, in counts, which can be added up over pairs (Och & Ney 2003, 3.2).

    Of the ``links`` found, ``sure_found`` are sure and ``possible_found`` possible gold links. ``sure``: how many gold
    links are sure. A figure that would be 0 / 0 is None.
    """

    links: int = 0
    sure: int = 0
    sure_found: int = 0
    possible_found: int = 0

    def __add__(self, other: Agreement) -> Agreement:
        return Agreement(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    @property
    def precision(self) -> float | None:
        """The share of the links found that are possible."""
        return self.possible_found / self.links if self.links else None

    @property
    def recall(self) -> float | None:
        """The share of the sure links that were found."""
        return self.sure_found / self.sure if self.sure else None

    @property
    def error_rate(self) -> float | None:
        """1 - (sure_found + possible_found) / (links + sure)."""
        total = self.links + self.sure
        return 1 - (self.sure_found + self.possible_found) / total if total else None


def agreement(links: Links, gold: Gold) -> Agreement:
    """The counts of one pair."""
    return Agreement(len(links), len(gold.sure), len(links & gold.sure), len(links & gold.possible))
