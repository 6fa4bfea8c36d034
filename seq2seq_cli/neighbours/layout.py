"""What a memory consists of on disk: its files, the array files that can grow, and the record that says what it holds."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from seq2seq_cli.errors import DamagedError, RunError
from seq2seq_cli.files import parse_json, read_bytes, refuse_ways_out
from seq2seq_cli.runs import check_format, write_json

FORMAT = 1
"""The format of the memories that this version makes."""
LARGEST_RECORD = 16 << 20
"""Most bytes of the record."""
HEADER = 128
"""Bytes before the numbers of an array file: as many however many rows follow."""
MOST_NEIGHBOURS = 1024
"""Most neighbours that are looked for."""

Count = Annotated[int, Field(ge=0)]
Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Part(BaseModel):
    """What is kept in the record of a memory."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class TextPart(Part):
    """A text that a memory holds: what it is called, its digest, how many of its pairs are in the memory, how many
    ``entries`` these gave, and how many pairs are left out, as empty or too long."""

    name: str
    sha256: Digest
    sentences: Count
    entries: Count
    left_out: Count


class Weights(Part):
    """How a memory is used: the nearest so many ``neighbours``, their ``temperature`` T, and the share ``mix`` (lambda) of
    the probability that they have together."""

    neighbours: Annotated[int, Field(ge=1, le=MOST_NEIGHBOURS)]
    temperature: Annotated[float, Field(gt=0, le=1e12, allow_inf_nan=False)]
    mix: Annotated[float, Field(ge=0, le=1)]


class Tuned(Part):
    """How the weights were chosen: on which text, of how many pieces, and the perplexity there without the memory and with the
    weights; where there is a network that chooses them anew at each step, also the perplexity of those sentences that it did
    not learn from, with the weights (``mixed_unseen``) and with the network (``adaptive``)."""

    text: str
    sha256: Digest
    pieces: Count
    alone: float
    mixed: float
    mixed_unseen: float | None = None
    adaptive: float | None = None


class Record(Part):
    """What a memory is of. ``model`` and ``vocabulary`` are digests of the weights and of the tokenizers; ``key`` says what
    is compared; ``size`` is the number of dimensions of a key, ``pieces`` that of the target vocabulary."""

    format: int
    model: Digest
    vocabulary: Digest
    run: str
    src: str | None
    tgt: str | None
    key: Literal["input of the vocabulary's projection"]
    dtype: Literal["float16", "float32"]
    size: Annotated[int, Field(ge=1, le=1 << 16)]
    pieces: Annotated[int, Field(ge=1)]
    precision: str
    texts: list[TextPart]
    source_bytes: Count
    target_bytes: Count
    step: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    """What a unit of the codes is worth: see `codes`."""
    weights: Weights | None = None
    tuned: Tuned | None = None
    index: Digest | None = None
    """Of the file of an index, where one was made."""

    @property
    def entries(self) -> int:
        return sum(text.entries for text in self.texts)

    @property
    def sentences(self) -> int:
        return sum(text.sentences for text in self.texts)

    def same_content(self, other: Record) -> bool:
        """Whether both are of the same entries, however these are weighed and found."""
        return all(getattr(self, name) == getattr(other, name) for name in CONTENT)


CONTENT = ("model", "vocabulary", "dtype", "size", "texts", "source_bytes", "target_bytes")
"""What of a record says which entries a memory has."""


@dataclass(frozen=True)
class MemoryFiles:
    """The files of one memory. ``record`` is written last: without it, a folder is no memory yet."""

    directory: Path

    @property
    def record(self) -> Path:
        return self.directory / "memory.json"

    @property
    def growing(self) -> Path:
        """How far a text has come that is being added."""
        return self.directory / "growing.json"

    @property
    def lock(self) -> Path:
        return self.directory / "memory.lock"

    @property
    def keys(self) -> Path:
        """A row an entry: the key."""
        return self.directory / "keys.npy"

    @property
    def values(self) -> Path:
        """The next piece of each entry."""
        return self.directory / "values.npy"

    @property
    def ends(self) -> Path:
        """A row a sentence: where its entries, its source and its target end, in entries and in bytes."""
        return self.directory / "ends.npy"

    @property
    def source(self) -> Path:
        return self.directory / "source.txt"

    @property
    def target(self) -> Path:
        return self.directory / "target.txt"

    @property
    def adaptive(self) -> Path:
        """The network that weighs the neighbours of each step, where one was trained."""
        return self.directory / "adaptive.safetensors"

    def codes(self, entries: int) -> Path:
        """The keys of that many entries in 8-bit integers."""
        return self.directory / f"codes-{entries}.npy"

    def norms(self, entries: int) -> Path:
        """Half of the squared length of each code."""
        return self.directory / f"norms-{entries}.npy"

    def centre(self, entries: int) -> Path:
        """The mean of that many keys."""
        return self.directory / f"centre-{entries}.npy"

    def index(self, entries: int) -> Path:
        """An index by faiss."""
        return self.directory / f"index-{entries}.faiss"

    def made(self, entries: int) -> list[Path]:
        """The files that are made of all entries together."""
        return [self.codes(entries), self.norms(entries), self.centre(entries), self.index(entries)]


def read_record(files: MemoryFiles) -> Record:
    """What a memory is of. Raises RunError where there is none, where it is not finished or a later version made it, and
    DamagedError where the record is damaged."""
    directory = str(files.directory)
    if not files.directory.is_dir():
        raise RunError("there is no such memory.", directory, "Make one with `seq2seq memory build`.")
    refuse_ways_out(files.directory, "memory")
    if not files.record.exists():
        if files.growing.exists():
            hint = "The command that began it goes on where it stopped."
            raise RunError("this memory is half written.", directory, hint)
        raise RunError(f"this is no memory: there is no {files.record.name}.", directory)
    try:
        told = parse_json(read_bytes(files.record, LARGEST_RECORD))
        if isinstance(told, dict):
            check_format(told.get("format", 1), FORMAT, str(files.record))
        return Record.model_validate(told)
    except OSError as problem:
        raise RunError(f"cannot be read: {problem.strerror}.", str(files.record)) from None
    except ValidationError as problem:
        first = problem.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"])) or "all of it"
        raise DamagedError(f"is damaged: {place}: {first['msg']}.", str(files.record), "Build it anew.") from None
    except ValueError as problem:
        raise DamagedError(f"is damaged: {problem}.", str(files.record), "Build it anew.") from None


def write_record(files: MemoryFiles, record: Record) -> None:
    """Write it, whole or not at all."""
    write_json(files.record, record.model_dump())


def header_of(dtype: np.dtype, shape: tuple[int, ...]) -> bytes:
    """The first bytes of a .npy file (version 1.0) of that type and shape, always as many."""
    told = f"{{'descr': '{dtype.str}', 'fortran_order': False, 'shape': {shape!r}, }}"
    return b"\x93NUMPY\x01\x00" + (HEADER - 10).to_bytes(2, "little") + told.encode().ljust(HEADER - 11) + b"\n"


@dataclass(frozen=True)
class Rows:
    """An array file whose rows are of ``dtype`` and of ``width`` numbers (None: a single number, not a row of one)."""

    path: Path
    dtype: np.dtype
    width: int | None = None

    def shape(self, rows: int) -> tuple[int, ...]:
        """The shape of so many rows."""
        return (rows,) if self.width is None else (rows, self.width)

    @property
    def row_bytes(self) -> int:
        return self.dtype.itemsize * (self.width or 1)

    def cut(self, rows: int) -> None:
        """Leave ``rows`` rows of it; make it where it is not there. Raises DamagedError where it has fewer."""
        with open(self.path, "ab") as file:
            if not file.tell():
                file.write(header_of(self.dtype, self.shape(0)))
            if file.tell() < HEADER + rows * self.row_bytes:
                raise shorter(self.path)
        os.truncate(self.path, HEADER + rows * self.row_bytes)

    def append(self, rows: np.ndarray) -> None:
        """Write rows behind the others, so that they are there after a power cut."""
        append(self.path, np.ascontiguousarray(rows, self.dtype).tobytes())

    def close(self, rows: int) -> None:
        """Say in the header that there are so many rows."""
        with open(self.path, "r+b") as file:
            file.write(header_of(self.dtype, self.shape(rows)))
            file.flush()
            os.fsync(file.fileno())

    def open(self, rows: int) -> np.ndarray:
        """The first ``rows`` rows, memory-mapped. (Copied where they are written to, which nobody does.) Raises DamagedError
        where the file is not what it should be, RunError where it cannot be read."""
        try:
            there = np.lib.format.open_memmap(self.path, mode="c")
        except FileNotFoundError:
            raise DamagedError("is missing.", str(self.path), "Build the memory anew.") from None
        except OSError as problem:
            raise RunError(f"cannot be read: {problem.strerror or problem}.", str(self.path)) from None
        except (ValueError, EOFError, OverflowError):
            raise shorter(self.path) from None
        wanted = self.shape(rows)
        if there.dtype != self.dtype or there.shape[1:] != wanted[1:] or len(there) < rows:
            raise shorter(self.path)
        return there[:rows]


def shorter(path: Path) -> DamagedError:
    """The error for a file that does not hold what the record says."""
    return DamagedError(
        "is damaged: it does not hold what the memory's record says.", str(path), "Build the memory anew."
    )


def append(path: Path, data: bytes) -> None:
    """Write ``data`` behind what a file holds, so that it is there after a power cut."""
    with open(path, "ab") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
