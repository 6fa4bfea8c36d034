"""The piece ids of a text, on disk: written as Arrow files, shard by shard, read through memory maps, never all in
memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, groupby, islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from seq2seq_cli.data.guidance import PieceLinks
from seq2seq_cli.data.neighbours import Neighbours
from seq2seq_cli.data.ragged import RaggedIds
from seq2seq_cli.data.subword import Subword, Subwords
from seq2seq_cli.runs import written_whole

SIDES = ("src", "tgt")

SHARD = 1_000_000
"""Pairs of a file. When a preparation is killed, at most so many must be tokenised again."""
CHUNK = 50_000
"""Pairs written together. The more chunks random pairs lie in, the longer it takes to read them."""
SMALL = 1 << 16
"""Ids of a vocabulary of at most so many pieces fit into two bytes."""
SLICE = 10_000
"""Lines tokenised together. As lists of Python's numbers, ids take 50 times as much room as on disk."""


@dataclass(frozen=True)
class MappedPairs:
    """Chunks of a text, mapped into memory, and the number of the first pair of each."""

    chunks: tuple[pa.RecordBatch, ...]
    starts: np.ndarray

    def gather(self, rows: np.ndarray) -> tuple[RaggedIds, RaggedIds]:
        """Source and target ids of the pairs of these numbers, in that order.

        Each chunk is asked once for all its pairs. (Arrow's own ``take`` on a chunked table would copy the whole
        table.)
        """
        chunk_of = np.searchsorted(self.starts, rows, side="right") - 1
        order = np.argsort(chunk_of, kind="stable")
        touched, first = np.unique(chunk_of[order], return_index=True)
        inside = np.split((rows - self.starts[chunk_of])[order], first[1:])
        parts = [self.chunks[chunk].take(pa.array(part)) for chunk, part in zip(touched, inside, strict=False)]
        taken = pa.Table.from_batches(parts, self.chunks[0].schema).combine_chunks().take(pa.array(np.argsort(order)))
        src, tgt = (_ragged(column.combine_chunks()) for column in taken.columns)
        return src, tgt

    def lengths(self, rows: np.ndarray) -> np.ndarray:
        """How many source pieces each pair of these numbers has."""
        chunk_of = np.searchsorted(self.starts, rows, side="right") - 1
        found = np.zeros(len(rows), dtype=np.int32)
        for chunk in np.unique(chunk_of):
            there = chunk_of == chunk
            found[there] = _ragged(self.chunks[chunk][SIDES[0]]).lengths[rows[there] - self.starts[chunk]]
        return found


@dataclass(frozen=True)
class TokenisedSplit:
    """Some pairs of a text, by row from 0. ``numbers`` are their numbers in the text; ``src_lengths`` and
    ``tgt_lengths`` (int32) count pieces without ``</s>``. ``links`` are the word links of all pairs of the text, if
    there are any, and ``neighbours`` find the sentences before each in its document, if these are read. Processes that read
    the same file share its pages in memory."""

    src_lengths: np.ndarray
    tgt_lengths: np.ndarray
    numbers: np.ndarray
    mapped: MappedPairs
    links: PieceLinks | None = None
    neighbours: Neighbours | None = None

    def __len__(self) -> int:
        return len(self.numbers)

    def select(self, indices: np.ndarray) -> TokenisedSplit:
        """A split of the pairs ``indices`` alone, in that order. Only numbers and lengths are copied."""
        src, tgt = self.src_lengths[indices], self.tgt_lengths[indices]
        return replace(self, src_lengths=src, tgt_lengths=tgt, numbers=self.numbers[indices])

    def gather(self, indices: np.ndarray) -> tuple[RaggedIds, RaggedIds]:
        """Source and target ids of the pairs ``indices``, in that order."""
        return self.mapped.gather(self.numbers[indices])


class ChunkPlace(NamedTuple):
    """Where some pairs are: the record batch number ``batch`` of the file ``path``. ``start`` is the number of its
    first pair in the text."""

    path: Path
    batch: int
    start: int


@dataclass(frozen=True)
class TokenisedText:
    """The pairs of a text that `write_shards` has written: where they are, and how many."""

    chunks: tuple[ChunkPlace, ...]
    pairs: int

    @classmethod
    def open(cls, folder: Path, name: str) -> TokenisedText:
        """The text called ``name`` in ``folder``. Raises OSError or pyarrow.ArrowInvalid where a file of it is missing
        or damaged."""
        chunks, pairs = [], 0
        for path in sorted(folder.glob(f"{name}-*.arrow")) or [_shard(folder, name, 0)]:
            for index, batch in enumerate(_batches(path)):
                chunks.append(ChunkPlace(path, index, pairs))
                pairs += len(batch)
        return cls(tuple(chunks), pairs)

    def load(self, numbers: Sequence[int] | None = None) -> TokenisedSplit:
        """The pairs of the chunks ``numbers`` (None: of all), in the order of the text. Only their numbers and lengths,
        and those pages of the files that are read, are in memory, until the split is released."""
        chosen = [self.chunks[number] for number in sorted(range(len(self.chunks)) if numbers is None else numbers)]
        batches: list[pa.RecordBatch] = []
        for path, group in groupby(chosen, lambda chunk: chunk.path):
            there = list(_batches(path))
            batches += [there[chunk.batch] for chunk in group]
        src, tgt = (np.concatenate([_ragged(batch[side]).lengths for batch in batches]) for side in SIDES)
        starts = np.array([chunk.start for chunk in chosen])
        rows = [np.arange(start, start + len(batch)) for start, batch in zip(starts, batches, strict=True)]
        return TokenisedSplit(src, tgt, np.concatenate(rows), MappedPairs(tuple(batches), starts))

    def mapped(self) -> MappedPairs:
        """All pairs, none of which is in memory before it is asked for."""
        batches: list[pa.RecordBatch] = []
        for path in dict.fromkeys(chunk.path for chunk in self.chunks):
            batches += _batches(path)
        return MappedPairs(tuple(batches), np.array([chunk.start for chunk in self.chunks]))


def write_shards(
    folder: Path,
    name: str,
    pairs: Iterable[tuple[str, str]],
    subwords: Subwords,
    threads: int,
    progress: Callable[[int], None],
) -> None:
    """Tokenise ``pairs`` into the text called ``name``. Shards that exist already are not made again. ``progress``
    hears after each chunk how many pairs are done.

    SentencePiece's own threads use all cores. One core tokenises 130,000 (BPE) to 270,000 (unigram) lines a second, so
    processes would only lose time by starting and by passing text to and fro.
    """
    iterator = iter(pairs)
    done = 0
    while (first := next(iterator, None)) is not None:
        shard = chain([first], islice(iterator, SHARD - 1))
        path = _shard(folder, name, done // SHARD)
        if path.is_file():
            done += sum(1 for _ in shard)
            progress(done)
            continue
        with written_whole(path) as temporary:
            for written in _write(temporary, shard, subwords, threads):
                done += written
                progress(done)


def _shard(folder: Path, name: str, number: int) -> Path:
    return folder / f"{name}-{number:05}.arrow"


def _write(path: Path, pairs: Iterator[tuple[str, str]], subwords: Subwords, threads: int) -> Iterator[int]:
    """Yields the number of pairs of each chunk."""
    small = max(len(subwords.src), len(subwords.tgt)) <= SMALL
    ids = pa.list_(pa.uint16() if small else pa.int32())
    schema = pa.schema([(side, ids) for side in SIDES])
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, schema) as writer:
        while chunk := list(islice(pairs, CHUNK)):
            src, tgt = zip(*chunk, strict=True)
            sides = ((subwords.src, src), (subwords.tgt, tgt))
            writer.write_batch(pa.record_batch([_encode(*side, threads, ids) for side in sides], schema=schema))
            yield len(chunk)


def _encode(subword: Subword, lines: tuple[str, ...], threads: int, kind: pa.ListType) -> pa.ListArray:
    lengths, values = [], []
    for begin in range(0, len(lines), SLICE):
        rows = subword.encode(list(lines[begin : begin + SLICE]), threads)
        lengths.append(np.fromiter(map(len, rows), dtype=np.int32, count=len(rows)))
        values.append(np.fromiter(chain.from_iterable(rows), dtype=kind.value_type.to_pandas_dtype()))
    offsets = np.zeros(len(lines) + 1, dtype=np.int32)
    np.cumsum(np.concatenate(lengths), out=offsets[1:])
    return pa.ListArray.from_arrays(offsets, pa.array(np.concatenate(values), kind.value_type), type=kind)


def _batches(path: Path) -> Iterator[pa.RecordBatch]:
    with pa.memory_map(str(path)) as mapped, pa.ipc.open_file(mapped) as reader:
        yield from (reader.get_batch(index) for index in range(reader.num_record_batches))


def _ragged(column: pa.ListArray) -> RaggedIds:
    return RaggedIds(column.flatten().to_numpy(), np.diff(column.offsets.to_numpy()))
