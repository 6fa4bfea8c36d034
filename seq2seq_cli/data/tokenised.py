"""Piece ids of a split on disk: written as Arrow, read through a memory map, never all in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from seq2seq_cli.data.guidance import PieceLinks
from seq2seq_cli.data.subword import Subword, Subwords

IDS = pa.list_(pa.int32())
SCHEMA = pa.schema([("src", IDS), ("tgt", IDS)])

CHUNK = 100_000
"""Pairs tokenised and written together. Reading random pairs costs by the number of chunks they lie in, writing
takes memory by the size of one."""


class RaggedIds(NamedTuple):
    """Rows of piece ids laid end to end: ``values`` int32, and the ``lengths`` int32 of the rows."""

    values: np.ndarray
    lengths: np.ndarray


@dataclass(frozen=True)
class TokenisedSplit:
    """The pairs of one split, by row from 0; ``numbers`` are those that they have in the text; ``src_lengths`` and ``tgt_lengths`` (int32) count pieces, no
    ``</s>``. ``links`` are those of the words of all pairs of the text, where there are any. Several processes may read
    the same file: they share its pages."""

    src_lengths: np.ndarray
    tgt_lengths: np.ndarray
    numbers: np.ndarray
    _chunks: tuple[pa.RecordBatch, ...]
    _starts: np.ndarray
    links: PieceLinks | None = None

    @classmethod
    def open(cls, path: Path) -> TokenisedSplit:
        """All pairs of a file made by `write`."""
        from datasets import Dataset

        chunks = tuple(Dataset.from_file(str(path)).data.table.to_batches())
        sizes = np.array([len(chunk) for chunk in chunks])
        src, tgt = (np.concatenate([_ragged(chunk[side]).lengths for chunk in chunks]) for side in SCHEMA.names)
        return cls(src, tgt, np.arange(sizes.sum()), chunks, np.cumsum(sizes) - sizes)

    def __len__(self) -> int:
        return len(self.numbers)

    def select(self, indices: np.ndarray) -> TokenisedSplit:
        """The pairs ``indices`` alone, in that order, as a split; nothing is copied but their numbers and lengths."""
        src, tgt = self.src_lengths[indices], self.tgt_lengths[indices]
        return TokenisedSplit(src, tgt, self.numbers[indices], self._chunks, self._starts, self.links)

    def gather(self, indices: np.ndarray) -> tuple[RaggedIds, RaggedIds]:
        """Source and target of the pairs ``indices``, in that order.

        Each chunk gives its pairs in one call: Arrow's own ``take`` on a chunked table copies the whole table.
        """
        rows = self.numbers[indices]
        chunk_of = np.searchsorted(self._starts, rows, side="right") - 1
        order = np.argsort(chunk_of, kind="stable")
        touched, first = np.unique(chunk_of[order], return_index=True)
        inside = np.split((rows - self._starts[chunk_of])[order], first[1:])
        parts = [self._chunks[chunk].take(pa.array(part)) for chunk, part in zip(touched, inside, strict=False)]
        taken = pa.Table.from_batches(parts, SCHEMA).combine_chunks().take(pa.array(np.argsort(order)))
        src, tgt = (_ragged(column.combine_chunks()) for column in taken.columns)
        return src, tgt


def write(
    path: Path,
    pairs: Iterable[tuple[str, str]],
    subwords: Subwords,
    threads: int = 1,
    progress: Callable[[int], None] = lambda done: None,
) -> None:
    """Tokenise ``pairs`` into ``path``; ``progress`` hears after each chunk how many are done.

    All cores serve through SentencePiece's own threads. One core tokenises 130,000 (BPE) to 270,000 (unigram)
    lines a second, so that processes would only lose time starting and passing text to and fro.
    """
    done = 0
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, SCHEMA) as writer:
        for chunk in _chunks(pairs):
            src, tgt = zip(*chunk, strict=True)
            sides = ((subwords.src, src), (subwords.tgt, tgt))
            writer.write_batch(pa.record_batch([_encode(*side, threads) for side in sides], schema=SCHEMA))
            done += len(chunk)
            progress(done)


def _chunks(pairs: Iterable[tuple[str, str]]) -> Iterator[list[tuple[str, str]]]:
    iterator = iter(pairs)
    while chunk := list(islice(iterator, CHUNK)):
        yield chunk


def _encode(subword: Subword, lines: tuple[str, ...], threads: int) -> pa.ListArray:
    ids = subword.encode(list(lines), threads)
    offsets = np.zeros(len(ids) + 1, dtype=np.int32)
    np.cumsum([len(row) for row in ids], out=offsets[1:])
    values = np.fromiter(chain.from_iterable(ids), dtype=np.int32, count=offsets[-1])
    return pa.ListArray.from_arrays(offsets, values)


def _ragged(column: pa.ListArray) -> RaggedIds:
    return RaggedIds(column.flatten().to_numpy(), np.diff(column.offsets.to_numpy()))
