"""The training text, epoch by epoch: which pairs are in memory together. Memory does not grow with the text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from seq2seq_cli.data.guidance import PieceLinks
from seq2seq_cli.data.neighbours import Neighbours
from seq2seq_cli.data.tokenised import TokenisedSplit, TokenisedText

BUFFER = 10
"""How many chunks are shuffled together. The numbers, lengths and batches of their pairs take 90 bytes a pair."""


@dataclass(frozen=True)
class TrainingText:
    """The pairs of ``text`` that are trained on: neither side is empty or has more than ``max_length`` pieces. Its
    length is their number. ``links`` are the word links of the text, if there are any, and ``neighbours`` find the sentences
    before each in its document, if these are read: pairs that are not trained on may be among them."""

    text: TokenisedText
    max_length: int
    counts: Counts
    links: PieceLinks | None = None
    neighbours: Neighbours | None = None

    def __len__(self) -> int:
        return self.counts.kept

    def buffers(self, seed: int, epoch: int) -> list[list[int]]:
        """The chunks in each buffer of an epoch. If the text has more than one buffer, its chunks are dealt out anew
        every epoch, at random with ``seed`` and ``epoch``."""
        chunks = np.arange(len(self.text.chunks))
        if len(chunks) > BUFFER:
            chunks = np.random.default_rng((seed, epoch)).permutation(chunks)
        return [chunks[begin : begin + BUFFER].tolist() for begin in range(0, len(chunks), BUFFER)]

    def load(self, chunks: list[int]) -> TokenisedSplit:
        """The pairs of ``chunks`` that are trained on."""
        split = self.text.load(chunks)
        kept = split.select(np.flatnonzero(~(_empty(split) | _long(split, self.max_length))))
        return beside(replace(kept, links=self.links), self.neighbours)

    def parts(self) -> Iterator[TokenisedSplit]:
        """All pairs that are trained on, in the order of the text, buffer by buffer."""
        count = len(self.text.chunks)
        for begin in range(0, count, BUFFER):
            yield self.load(list(range(begin, min(begin + BUFFER, count))))


def beside(split: TokenisedSplit, neighbours: Neighbours | None) -> TokenisedSplit:
    """``split`` with its ``neighbours``; where these come in front of the sources, sources are as long as that makes them."""
    if neighbours is None:
        return split
    lengths = split.src_lengths
    if neighbours.joins:
        lengths = neighbours.joined_lengths(split.numbers, lengths)
    return replace(split, src_lengths=lengths, neighbours=neighbours)


@dataclass(frozen=True)
class Counts:
    """How many pairs are kept, left out as empty, and left out as too long; and the pieces of the ``kept`` ones."""

    kept: int
    empty: int
    long: int
    src_pieces: int
    tgt_pieces: int


def training_text(text: TokenisedText, max_length: int) -> TrainingText:
    """The pairs of ``text`` to train on. Reads the lengths of all pairs, chunk by chunk."""
    kept = empty = long = src = tgt = 0
    for number in range(len(text.chunks)):
        split = text.load([number])
        is_empty = _empty(split)
        is_long = ~is_empty & _long(split, max_length)
        keeps = ~(is_empty | is_long)
        kept, empty, long = kept + int(keeps.sum()), empty + int(is_empty.sum()), long + int(is_long.sum())
        src, tgt = src + int(split.src_lengths[keeps].sum()), tgt + int(split.tgt_lengths[keeps].sum())
    return TrainingText(text, max_length, Counts(kept, empty, long, src, tgt))


def _empty(split: TokenisedSplit) -> np.ndarray:
    empty: np.ndarray = np.minimum(split.src_lengths, split.tgt_lengths) == 0
    return empty


def _long(split: TokenisedSplit, max_length: int) -> np.ndarray:
    long: np.ndarray = np.maximum(split.src_lengths, split.tgt_lengths) > max_length
    return long
