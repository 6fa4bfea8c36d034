"""A memory that grows by a text: part by part, so that it can be interrupted; what it held before stays whole meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from filelock import FileLock, Timeout
from pydantic import ValidationError

from seq2seq_cli.errors import DataError, RunError
from seq2seq_cli.files import parse_json, read_bytes
from seq2seq_cli.neighbours.codes import write_codes
from seq2seq_cli.neighbours.layout import (
    LARGEST_RECORD,
    MemoryFiles,
    Part,
    Record,
    TextPart,
    append,
    read_record,
    shorter,
    write_record,
)
from seq2seq_cli.neighbours.store import Arrays
from seq2seq_cli.runs import DISK_FULL, write_json
from seq2seq_cli.wording import counted

INDEXING = "indexing"
Report = Callable[[str, int, int], None]
"""Hears of work that takes long: the stage, how much of it is done, and how much there is."""


class Added(Part):
    """How far the text that is being added has come: pairs ``read``, and what these have added. ``base``: what the memory is
    of, without it."""

    base: Record
    text: TextPart
    read: int
    source_bytes: int
    target_bytes: int

    def then(self) -> Record:
        """What the memory is of with it."""
        more = {
            "texts": [*self.base.texts, self.text],
            "source_bytes": self.base.source_bytes + self.source_bytes,
            "target_bytes": self.base.target_bytes + self.target_bytes,
        }
        return self.base.model_copy(update=more)


class Piece(NamedTuple):
    """What a part of a text adds: the keys and values of its sentences one after another, how many each sentence has, and the
    two sides of each; of ``read`` pairs, of which some were left out."""

    keys: np.ndarray
    values: np.ndarray
    lengths: list[int]
    sources: list[str]
    targets: list[str]
    read: int


@contextmanager
def writing(files: MemoryFiles) -> Iterator[None]:
    """Hold the folder against other processes that would write into it (making it if need be). Raises RunError where another
    one does, and for what the system does not allow."""
    lock = FileLock(files.lock)
    try:
        files.directory.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:
        raise RunError("another process is writing into this memory.", str(files.directory), "Wait for it.") from None
    except OSError as problem:
        raise _unwritable(problem, files) from problem
    try:
        yield
    except OSError as problem:
        raise _unwritable(problem, files) from problem
    finally:
        lock.release()


@contextmanager
def changing(files: MemoryFiles, known: Record | None) -> Iterator[None]:
    """The same, for what follows from what the memory was of when it was read: ``known``, or None where there was none. Raises
    RunError where it is that no longer."""
    with writing(files):
        require_unchanged(files, known)
        yield


def require_unchanged(files: MemoryFiles, known: Record | None) -> None:
    """Raises RunError where a memory is no longer what it was when it was read."""
    now = read_record(files) if known is not None or files.record.exists() else None
    if now != known:
        raise RunError("this memory has changed meanwhile.", str(files.directory), "Give the command again.")


def _unwritable(problem: OSError, files: MemoryFiles) -> RunError:
    where = str(problem.filename or files.directory)
    if problem.errno in DISK_FULL:
        return RunError("there is no room left on the disk.", where, "Make room; the same command goes on.")
    return RunError(f"cannot be written: {problem.strerror or problem}.", where, "Name another folder.")


@dataclass
class Growth:
    """A text on its way into a memory."""

    files: MemoryFiles
    arrays: Arrays
    added: Added

    @classmethod
    def begin(cls, files: MemoryFiles, base: Record, name: str, digest: str) -> Growth:
        """Go on with the text where it was interrupted, or else begin with it. Raises DataError where the folder holds the
        beginning of another memory, DamagedError where that is not what it should be."""
        arrays = Arrays.of(files, base.dtype, base.size)
        fresh = Added(
            base=base,
            text=TextPart(name=name, sha256=digest, sentences=0, entries=0, left_out=0),
            read=0,
            source_bytes=0,
            target_bytes=0,
        )
        before = _read(files)
        same = before is not None and before.base.same_content(base) and before.text.sha256 == digest
        if before is not None and not same and not files.record.exists():
            hint = "Give the command that began it, or remove the folder."
            raise DataError("this folder holds the beginning of another memory.", str(files.directory), hint)
        growth = cls(files, arrays, before if same and before is not None else fresh)
        if not same:
            growth._note()  # first: without it a killed process would leave files that nobody knows
        growth._cut()
        return growth

    @property
    def read(self) -> int:
        """How many pairs of the text are dealt with."""
        return self.added.read

    def add(self, piece: Piece) -> None:
        """Add the next part of the text."""
        sources, targets = ([f"{line}\n".encode() for line in side] for side in (piece.sources, piece.targets))
        now = self.added.then()
        starts = np.array([now.entries, now.source_bytes, now.target_bytes])
        lengths = [piece.lengths, list(map(len, sources)), list(map(len, targets))]
        ends_S3 = starts + np.array(lengths, dtype=np.int64).reshape(3, -1).T.cumsum(0)
        self.arrays.keys.append(piece.keys)
        self.arrays.values.append(piece.values)
        self.arrays.ends.append(ends_S3)
        append(self.files.source, b"".join(sources))
        append(self.files.target, b"".join(targets))
        text = self.added.text
        self.added = Added(
            base=self.added.base,
            text=text.model_copy(
                update={
                    "sentences": text.sentences + len(sources),
                    "entries": text.entries + len(piece.values),
                    "left_out": text.left_out + piece.read - len(sources),
                }
            ),
            read=self.added.read + piece.read,
            source_bytes=self.added.source_bytes + sum(lengths[1]),
            target_bytes=self.added.target_bytes + sum(lengths[2]),
        )
        self._note()

    def finish(self, report: Report) -> Record:
        """Make a memory of it that is whole. Raises DataError where the text has added nothing."""
        record = self.added.then()
        if not self.added.text.entries:
            left = f"{counted(self.added.text.left_out, 'pair')} left out, as empty or longer than the model was trained on."
            raise DataError(f"there is nothing to remember: {left}", self.added.text.name)
        self.arrays.keys.close(record.entries)
        self.arrays.values.close(record.entries)
        self.arrays.ends.close(record.sentences)
        keys = self.arrays.keys.open(record.entries)
        step = write_codes(self.files, keys, lambda done, total: report(INDEXING, done, total))
        # What was chosen for another text may not suit this one, and says so no longer.
        record = record.model_copy(update={"step": step, "weights": None, "tuned": None, "index": None})
        write_record(self.files, record)
        self.files.growing.unlink(missing_ok=True)
        for path in (*self.files.made(self.added.base.entries), self.files.adaptive):
            path.unlink(missing_ok=True)
        return record

    def _cut(self) -> None:
        record = self.added.then()
        for rows, count in zip(self.arrays, (record.entries, record.entries, record.sentences), strict=True):
            rows.cut(count)
        for path, size in ((self.files.source, record.source_bytes), (self.files.target, record.target_bytes)):
            with open(path, "ab") as file:
                if file.tell() < size:
                    raise shorter(path)
                file.truncate(size)

    def _note(self) -> None:
        write_json(self.files.growing, self.added.model_dump())


def _read(files: MemoryFiles) -> Added | None:
    """What is being added, if anything is."""
    try:
        told: Any = parse_json(read_bytes(files.growing, LARGEST_RECORD))
        return Added.model_validate(told)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, ValidationError):
        hint = "Remove it; what was being added is then added anew."
        raise RunError("is damaged: how far the memory has come is not known.", str(files.growing), hint) from None
