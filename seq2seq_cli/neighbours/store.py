"""A memory opened for reading: checked, memory-mapped, its texts at hand."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np

from seq2seq_cli.errors import RunError
from seq2seq_cli.neighbours.layout import MemoryFiles, Record, Rows, read_record, shorter

VALUE, END, NUMBER = np.dtype("<i4"), np.dtype("<i8"), np.dtype("<f4")


class Arrays(NamedTuple):
    """The array files to which a text adds rows."""

    keys: Rows
    values: Rows
    ends: Rows

    @classmethod
    def of(cls, files: MemoryFiles, dtype: str, size: int) -> Arrays:
        """Those of a memory with such keys."""
        keys = Rows(files.keys, np.dtype(dtype).newbyteorder("<"), size)
        return cls(keys, Rows(files.values, VALUE), Rows(files.ends, END, 3))


class Place(NamedTuple):
    """Where an entry comes from: a sentence of the memory and the number of the piece in its target, both from 0."""

    sentence: int
    position: int


class Remembered(NamedTuple):
    """A sentence pair of a memory, and the ids of the target's pieces, ``</s>`` the last."""

    source: str
    target: str
    ids: list[int]


@dataclass(frozen=True)
class Store:
    """An open memory. ``keys`` (N x R) and ``values`` (N) are memory-mapped."""

    files: MemoryFiles
    record: Record
    keys: np.ndarray
    values: np.ndarray
    ends: np.ndarray

    @classmethod
    def open(cls, directory: Path) -> Store:
        """Raises RunError where it is no memory, is not finished or was made by a later version; DamagedError where a file of
        it is missing or does not hold what the record says."""
        files = MemoryFiles(directory)
        record = read_record(files)
        if not record.entries:
            raise RunError("this memory is empty.", str(directory), "Add a text to it with `seq2seq memory add`.")
        arrays = Arrays.of(files, record.dtype, record.size)
        store = cls(
            files,
            record,
            arrays.keys.open(record.entries),
            arrays.values.open(record.entries),
            arrays.ends.open(record.sentences),
        )
        store._check()
        return store

    def _check(self) -> None:
        if self.values.min() < 0 or self.values.max() >= self.record.pieces:
            raise shorter(self.files.values)
        totals = [self.record.entries, self.record.source_bytes, self.record.target_bytes]
        if not len(self.ends) or self.ends[-1].tolist() != totals or (np.diff(self.ends, axis=0) < 0).any():
            raise shorter(self.files.ends)
        if (self.ends[0] < 0).any():
            raise shorter(self.files.ends)
        for path, wanted in ((self.files.source, totals[1]), (self.files.target, totals[2])):
            try:
                size = os.stat(path).st_size
            except OSError as problem:
                raise RunError(f"cannot be read: {problem.strerror}.", str(path)) from None
            if size < wanted:
                raise shorter(path)

    @property
    def name(self) -> str:
        """What it is called beside others."""
        return self.files.directory.resolve().name

    def __len__(self) -> int:
        return len(self.values)

    def places(self, entries: np.ndarray) -> list[Place]:
        """Where these entries come from."""
        sentences = np.searchsorted(self.ends[:, 0], entries, side="right")
        starts = np.where(sentences > 0, self.ends[np.maximum(sentences, 1) - 1, 0], 0)
        return [Place(*both) for both in zip(sentences.tolist(), (entries - starts).tolist(), strict=True)]

    def sentence(self, number: int) -> Remembered:
        """A sentence pair by its number."""
        first, source, target = self.ends[number - 1].tolist() if number else (0, 0, 0)
        last, source_end, target_end = self.ends[number].tolist()
        return Remembered(
            _line(self._sources, source, source_end),
            _line(self._targets, target, target_end),
            self.values[first:last].tolist(),
        )

    @cached_property
    def _sources(self) -> np.ndarray:
        return _mapped(self.files.source, self.record.source_bytes)

    @cached_property
    def _targets(self) -> np.ndarray:
        return _mapped(self.files.target, self.record.target_bytes)

    @cached_property
    def codes(self) -> np.ndarray:
        """The keys in 8-bit integers: `codes`."""
        return Rows(self.files.codes(len(self)), np.dtype("i1"), self.record.size).open(len(self))

    @cached_property
    def norms(self) -> np.ndarray:
        """Half of the squared length of each code, rounded."""
        return Rows(self.files.norms(len(self)), VALUE).open(len(self))

    @cached_property
    def centre(self) -> np.ndarray:
        """The mean of the keys, which codes are taken from."""
        return Rows(self.files.centre(len(self)), NUMBER).open(self.record.size)


def _mapped(path: Path, size: int) -> np.ndarray:
    """The first ``size`` bytes of a file, memory-mapped."""
    try:
        return np.memmap(path, np.uint8, "r", shape=(size,))
    except OSError as problem:
        raise RunError(f"cannot be read: {problem.strerror}.", str(path)) from None
    except ValueError:
        raise shorter(path) from None


def _line(text: np.ndarray, begin: int, end: int) -> str:
    return text[begin:end].tobytes().decode("utf-8", errors="replace").rstrip("\n")
