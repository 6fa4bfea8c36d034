"""Pairing texts of any length anew, a part at a time, so that memory does not grow with the text."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice

import numpy as np

from seq2seq_cli.data.checks.realign.aligner import SLACK, WIDEST, realigned
from seq2seq_cli.data.checks.realign.beads import BEAD

PART = 8192
"""How many source lines are paired at a time."""
OVERLAP = 1024
"""How many lines at the end of a part may be paired once more, as the beginning of the next part."""


class Part:
    """Lines from ``src_first`` and ``tgt_first`` on (from 0), and the ``pairs`` (BEAD) among them, in order."""

    def __init__(self, src: list[str], tgt: list[str], src_first: int, tgt_first: int, pairs: np.ndarray) -> None:
        self.src, self.tgt, self.src_first, self.tgt_first, self.pairs = src, tgt, src_first, tgt_first, pairs

    def texts(self) -> Iterator[tuple[str, str]]:
        """Source and target of each pair."""
        for src, tgt, src_lines, tgt_lines, _ in self.pairs.tolist():
            yield joined(self.src[src : src + src_lines]), joined(self.tgt[tgt : tgt + tgt_lines])


def parts(src: Iterator[str], tgt: Iterator[str], extra: int, progress: Callable[[int], None]) -> Iterator[Part]:
    """The pairs of two texts that begin together; if they have equally many lines (``extra`` is 0), they also end
    together.

    ``extra``: how many lines more the target has than the source; negative: fewer.
    """
    ahead = min(abs(extra), WIDEST - SLACK) + SLACK
    held: tuple[list[str], list[str]] = ([], [])
    first = [0, 0]
    jumped = False
    while True:
        held[0].extend(islice(src, PART - len(held[0])))
        held[1].extend(islice(tgt, PART + ahead - len(held[1])))
        last = len(held[0]) < PART
        if last:
            held[1].extend(islice(tgt, WIDEST))
        pairs = np.zeros(0, dtype=BEAD)
        if held[0] and held[1]:
            pairs = realigned(*held, closed=last and not extra, beside=first[0] - first[1])
        if last and (jumped or not _lost(pairs, held) or abs(extra) <= WIDEST):
            yield Part(*held, first[0], first[1], pairs)
            progress(first[0] + len(held[0]))
            return
        whole = pairs[(pairs["src"] < PART - OVERLAP) & (pairs["src_lines"] == 1) & (pairs["tgt_lines"] == 1)]
        if len(whole):
            until = (int(whole["src"][-1]), int(whole["tgt"][-1]))
        else:
            until = (PART // 2, min(PART // 2, len(held[1])))
        yield Part(held[0][: until[0]], held[1][: until[1]], first[0], first[1], pairs[pairs["src"] < until[0]])
        skip = [0, 0]
        if _lost(pairs, held) and not jumped and abs(extra) > WIDEST:
            jumped = True  # all extra lines of one side may be in one place
            skip[extra > 0] = abs(extra)
        for side, lines in enumerate((src, tgt)):
            gone = until[side] + skip[side]
            for _ in islice(lines, max(0, gone - len(held[side]))):
                pass
            del held[side][:gone]
            first[side] += gone
        progress(first[0])


def _lost(pairs: np.ndarray, held: tuple[list[str], list[str]]) -> bool:
    """Whether the two sides have lost each other long before they end."""
    end = int(pairs["src"][-1]) if len(pairs) else 0
    return min(len(held[0]), len(held[1])) - end > OVERLAP


def joined(lines: list[str]) -> str:
    """The lines as a single one, with a blank between them."""
    return " ".join(line.strip() for line in lines) if len(lines) > 1 else lines[0]
