"""Piece ids of a text on disk: written as Arrow, shard by shard, read through memory maps, never all in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, groupby, islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from seq2seq_cli.data.guidance import PieceLinks
from seq2seq_cli.data.subword import Subword, Subwords
from seq2seq_cli.runs import written_whole

SIDES = ("src", "tgt")

SHARD = 1_000_000
"""Pairs of a file: what a killed preparation has to do again at most."""
CHUNK = 50_000
"""Pairs written together. Reading random pairs costs by the number of chunks they lie in."""
SMALL = 1 << 16
"""Pieces whose ids have room in two bytes."""
SLICE = 10_000
"""Lines tokenised together: as lists of Python's numbers they take 50 times the room they have on disk."""


class RaggedIds(NamedTuple):
    """Rows of piece ids laid end to end: ``values``, and the ``lengths`` int32 of the rows."""

    values: np.ndarray
    lengths: np.ndarray


@dataclass(frozen=True)
class TokenisedSplit:
    """Some pairs of a text, by row from 0; ``numbers`` are those that they have in the text; ``src_lengths`` and
    ``tgt_lengths`` (int32) count pieces, no ``</s>``. ``links`` are those of the words of all pairs of the text, where
    there are any. Several processes may read the same file: they share its pages."""

    src_lengths: np.ndarray
    tgt_lengths: np.ndarray
    numbers: np.ndarray
    _chunks: tuple[pa.RecordBatch, ...]
    _starts: np.ndarray
    links: PieceLinks | None = None

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
        taken = pa.Table.from_batches(parts, self._chunks[0].schema).combine_chunks().take(pa.array(np.argsort(order)))
        src, tgt = (_ragged(column.combine_chunks()) for column in taken.columns)
        return src, tgt


class Chunk(NamedTuple):
    """Where pairs lie: the record batch ``batch`` of a file, whose first pair has the number ``start`` in the text."""

    path: Path
    batch: int
    start: int


@dataclass(frozen=True)
class TokenisedText:
    """The pairs of a text that `write_shards` has written: what lies where, and how many they are."""

    chunks: tuple[Chunk, ...]
    pairs: int

    @classmethod
    def open(cls, folder: Path, name: str) -> TokenisedText:
        """The text called ``name`` in ``folder``. Raises OSError or pyarrow.ArrowInvalid where a file of it is missing
        or damaged."""
        chunks, pairs = [], 0
        for path in sorted(folder.glob(f"{name}-*.arrow")) or [_shard(folder, name, 0)]:
            for index, batch in enumerate(_batches(path)):
                chunks.append(Chunk(path, index, pairs))
                pairs += len(batch)
        return cls(tuple(chunks), pairs)

    def load(self, numbers: Sequence[int] | None = None) -> TokenisedSplit:
        """The pairs of the chunks ``numbers`` (default: all), in the order of the text. Only where they lie and their
        lengths come into memory, and of their pages those that are read, until the split is let go."""
        chosen = [self.chunks[number] for number in sorted(range(len(self.chunks)) if numbers is None else numbers)]
        batches: list[pa.RecordBatch] = []
        for path, group in groupby(chosen, lambda chunk: chunk.path):
            there = list(_batches(path))
            batches += [there[chunk.batch] for chunk in group]
        src, tgt = (np.concatenate([_ragged(batch[side]).lengths for batch in batches]) for side in SIDES)
        starts = np.array([chunk.start for chunk in chosen])
        rows = [np.arange(start, start + len(batch)) for start, batch in zip(starts, batches, strict=True)]
        return TokenisedSplit(src, tgt, np.concatenate(rows), tuple(batches), starts)


def write_shards(
    folder: Path,
    name: str,
    pairs: Iterable[tuple[str, str]],
    subwords: Subwords,
    threads: int,
    progress: Callable[[int], None],
) -> None:
    """Tokenise ``pairs`` into the text called ``name``; shards that are there already are not made again.
    ``progress`` hears after each chunk how many pairs are done.

    All cores serve through SentencePiece's own threads. One core tokenises 130,000 (BPE) to 270,000 (unigram)
    lines a second, so that processes would only lose time starting and passing text to and fro.
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
