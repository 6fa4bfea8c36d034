"""Word links as training needs them: from piece to piece, for every pair of a text."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from seq2seq_cli.data.links import MarkedLink, read_marked
from seq2seq_cli.data.pairs import ParallelText
from seq2seq_cli.data.rows import Note
from seq2seq_cli.data.subword import Subword, Subwords
from seq2seq_cli.data.words import words_of_line

REPORT_EVERY = 1000


@dataclass(frozen=True)
class PieceLinks:
    """The source pieces that each target piece is linked to.

    The links of pair n are at ``starts[n]`` to ``starts[n + 1]`` in ``source`` and ``target`` (int32 positions).
    ``guided[n]`` is how many of its target pieces have links.
    """

    starts: np.ndarray
    source: np.ndarray
    target: np.ndarray
    guided: np.ndarray

    def shares(self, numbers: np.ndarray, steps: int, positions: int) -> np.ndarray:
        """B x T x S, float32, for the pairs ``numbers``: the row of a linked target piece is spread evenly over its
        source pieces; all other rows, that of ``</s>`` among them, are zero."""
        counts = self.starts[numbers + 1] - self.starts[numbers]
        first = np.cumsum(counts) - counts
        chosen = np.arange(counts.sum()) + np.repeat(self.starts[numbers] - first, counts)
        linked_BTS = np.zeros((len(numbers), steps, positions), dtype=np.float32)
        linked_BTS[np.repeat(np.arange(len(numbers)), counts), self.target[chosen], self.source[chosen]] = 1
        linked_BTS /= np.maximum(linked_BTS.sum(-1, keepdims=True), 1)
        return linked_BTS


class GuideFile(NamedTuple):
    """A file of word links; ``first`` as for `read_marked`."""

    path: Path
    first: int | None


def check_links(file: GuideFile, text: ParallelText, note: Note) -> None:
    """Raises DataError, naming file and line, where the links in ``file`` do not fit the words of ``text``, pair by
    pair. ``note`` as for `read_marked`."""
    for _ in read_marked(file.path, _sizes(text), file.first, note):
        pass


def read_piece_links(
    file: GuideFile, text: ParallelText, subwords: Subwords, progress: Callable[[int, int], None]
) -> PieceLinks:
    """The word links of a file, for the pieces of ``text``: every piece of a target word is linked to all pieces of the
    source words that the word is linked to, whether surely or possibly.

    ``progress`` hears how many pairs are done and how many there are. Raises as `check_links` does.
    """
    sizes = _sizes(text)
    starts, guided, source, target = array("q", [0]), array("i"), array("i"), array("i")
    links = read_marked(file.path, sizes, file.first)
    for done, ((src, tgt), linked) in enumerate(zip(text.pairs(), links, strict=True), start=1):
        found = _by_piece(linked, _stretches(subwords.src, src), _stretches(subwords.tgt, tgt)) if linked else {}
        for piece, sources in found.items():
            source.extend(sources)
            target.extend([piece] * len(sources))
        starts.append(len(source))
        guided.append(len(found))
        if done % REPORT_EVERY == 0 or done == len(sizes):
            progress(done, len(sizes))
    return PieceLinks(*(np.asarray(numbers) for numbers in (starts, source, target, guided)))


def _sizes(text: ParallelText) -> list[tuple[int, int]]:
    return [(len(src.split()), len(tgt.split())) for src, tgt in text.pairs()]


def _stretches(subword: Subword, line: str) -> list[range]:
    """The pieces of each word. A piece that several words share belongs to all of them."""
    edges = words_of_line(line, subword.written_pieces(line)).edges
    begins, ends = np.floor(edges[:-1]), np.ceil(edges[1:])
    ends[edges[:-1] == edges[1:]] = 0
    return [
        range(begin, end) for begin, end in zip(begins.astype(int).tolist(), ends.astype(int).tolist(), strict=True)
    ]


def _by_piece(linked: Iterable[MarkedLink], source: list[range], target: list[range]) -> dict[int, set[int]]:
    found: dict[int, set[int]] = {}
    for link in linked:
        for piece in target[link.target] if source[link.source] else ():
            found.setdefault(piece, set()).update(source[link.source])
    return found
