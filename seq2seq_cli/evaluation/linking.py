"""Which words are linked: links read off from weights, symmetrised from two directions, and written."""

from __future__ import annotations

import numpy as np

from seq2seq_cli.data.links import Links
from seq2seq_cli.errors import ConfigError, suggestion

METHODS = ("intersection", "union", "grow-diag-final-and")
NEIGHBOURS = ((-1, 0), (0, -1), (1, 0), (0, 1), (-1, -1), (-1, 1), (1, -1), (1, 1))
"""Steps in target and source, in the order of the paper's ``neighboring``."""


def strongest_links(weights_TS: np.ndarray) -> Links:
    """Link each target word to the source word of the largest weight, the first of several.

    The last row and the last column belong to ``</s>``, which is never linked. Its column does not compete: a word that
    looked at ``</s>`` most is linked to the word it looked at next. A word gets no link if it looked at no word at all,
    or if it has no piece, so that its weights are NaN.
    """
    words_TS = weights_TS[:-1, :-1]
    if words_TS.shape[1] == 0:
        return frozenset()
    linked = ((i, j) for j, i in enumerate(words_TS.argmax(1).tolist()) if words_TS[j, i] > 0)
    return frozenset(linked)


def transposed(links: Links) -> Links:
    """The same links, with source and target exchanged."""
    return frozenset((j, i) for i, j in links)


def check_method(method: str) -> None:
    """Raises ConfigError where there is no way to symmetrise of that name."""
    if method not in METHODS:
        hint = suggestion(method, METHODS) or f"Known: {', '.join(METHODS)}."
        raise ConfigError(f'"{method}" is unknown.', "--symmetrize", hint)


def symmetrised(forward: Links, backward: Links, method: str) -> Links:
    """One set of links from two, both written source first. ``forward`` gives each target word at most one source word,
    ``backward`` each source word at most one target word. ``method`` is one of ``METHODS``."""
    if method == "intersection":
        return forward & backward
    if method == "union":
        return forward | backward
    return _grow_diag_final_and(forward, backward)


def _grow_diag_final_and(forward: Links, backward: Links) -> Links:
    """Koehn, Och & Marcu 2003; the pseudo-code of Koehn et al. 2005, where English, e, is the target here, and e2f
    ``forward``.

    Start from the intersection and grow it: a link of the union joins if it is a neighbour of a link, straight or
    diagonal, and one of its words has no link yet; repeat until nothing changes. At last add the links of ``forward``,
    then of ``backward``, both of whose words have no link. Words are visited in order, targets in the outer loop, so
    that the result is unique.
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
