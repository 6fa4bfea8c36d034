"""Links between the words of sentence pairs: read off weights, made symmetric, written, scored against gold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np

from seq2seq_cli.data.links import Links, read_marked
from seq2seq_cli.data.rows import Note, quiet
from seq2seq_cli.errors import ConfigError, suggestion

METHODS = ("intersection", "union", "grow-diag-final-and")
NEIGHBOURS = ((-1, 0), (0, -1), (1, 0), (0, 1), (-1, -1), (-1, 1), (1, -1), (1, 1))
"""Steps in target and source, in the order of the paper's ``neighboring``."""


def strongest_links(weights_TS: np.ndarray) -> Links:
    """Each target word with the source word of the largest weight, the first of several.

    The last row and the last column are ``</s>``'s. It is never linked, and its column does not compete: a word that
    looked at ``</s>`` most is linked to the word it looked at next. A word that looked at no word at all stays
    without a link, and so does one without a piece, whose weights are not numbers.
    """
    words_TS = weights_TS[:-1, :-1]
    if words_TS.shape[1] == 0:
        return frozenset()
    linked = ((i, j) for j, i in enumerate(words_TS.argmax(1).tolist()) if words_TS[j, i] > 0)
    return frozenset(linked)


def transposed(links: Links) -> Links:
    """The same links, seen from the other language."""
    return frozenset((j, i) for i, j in links)


def check_method(method: str) -> None:
    """Raises ConfigError where no way to symmetrise has that name."""
    if method not in METHODS:
        hint = suggestion(method, METHODS) or f"Known: {', '.join(METHODS)}."
        raise ConfigError(f'"{method}" is unknown.', "--symmetrize", hint)


def symmetrised(forward: Links, backward: Links, method: str) -> Links:
    """One set of links from two, both counted source first: ``forward`` gives each target word at most one source
    word, ``backward`` the other way round. ``method`` is one of ``METHODS``."""
    if method == "intersection":
        return forward & backward
    if method == "union":
        return forward | backward
    return _grow_diag_final_and(forward, backward)


def _grow_diag_final_and(forward: Links, backward: Links) -> Links:
    """Koehn, Och & Marcu 2003; the pseudo-code of Koehn et al. 2005, where English, e, is the target here, and e2f
    ``forward``.

    From the intersection, grow: a link of the union joins when it is a neighbour of a link, straight or diagonal, and
    one of its words has none yet; until nothing changes. At last the links of ``forward``, then of ``backward``, both
    of whose words have none. Words are gone through in their order, targets outside, so that there is one result.
    """
    union, links = forward | backward, set(forward & backward)
    sources, targets = {i for i, _ in links}, {j for _, j in links}

    def add(i: int, j: int) -> None:
        links.add((i, j))
        sources.add(i)
        targets.add(j)

    by_target = sorted(union, key=lambda link: (link[1], link[0]))
    before = -1
    while before < len(links):
        before = len(links)
        for i, j in by_target:
            if (i, j) in links:  # it may have joined a moment ago
                for step_j, step_i in NEIGHBOURS:
                    near = (i + step_i, j + step_j)
                    if near in union and (near[0] not in sources or near[1] not in targets):
                        add(*near)
    for direction in (forward, backward):
        for i, j in sorted(direction, key=lambda link: (link[1], link[0])):
            if i not in sources and j not in targets:
                add(i, j)
    return frozenset(links)


def pharaoh(links: Links) -> str:
    """``links`` as a line: ``0-0 1-2``, source first, in the order of the source."""
    return " ".join(f"{i}-{j}" for i, j in sorted(links))


@dataclass(frozen=True)
class Gold:
    """Links set by hand for one pair: those that are ``sure``, and all that are ``possible``, the sure ones
    included."""

    sure: Links
    possible: Links


def read_gold(path: Path, sizes: Sequence[tuple[int, int]], first: int | None = None, note: Note = quiet) -> list[Gold]:
    """A file of hand-set links, in the forms, with the meaning of ``first`` and ``note``, and with the errors of
    `read_marked`.

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
    """How links agree with gold ones, in counts, which add up over pairs (Och & Ney 2003, 3.2).

    ``links`` found, of which ``sure_found`` are sure and ``possible_found`` possible; ``sure``: links of the gold.
    What would be 0 / 0 is None.
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
