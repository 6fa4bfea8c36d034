"""Processes that a command starts beside itself to share its work, on one machine.

The command's own process is the first of them. It has a pipe to each of the others, through which all messages go, and
all share a part of memory. The others end when the first one does, however it ends.
"""

from __future__ import annotations

import mmap
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import NamedTuple, TypeVar

from seq2seq_cli.errors import RunError
from seq2seq_cli.ranks import Ranks
from seq2seq_cli.signals import STOPPING, Stopped

T = TypeVar("T")

POSSIBLE = os.name == "posix"
"""Whether processes can be started so: they take over open files by their numbers."""
SECONDS = 5.0
"""How long the first process waits for the others to end before it kills them."""
GO_ON = (
    "Give the command again (`train` with --resume once it has begun a run directory), with fewer --processes where memory "
    "is short."
)
"""What to do where another process has died."""


class FirstEndedError(Exception):
    """The first process is no longer there, so there is nothing left to do."""


class Failure(NamedTuple):
    """The last message of a process: why it ends."""

    problem: Exception


class OverPipes:
    """Messages through the first process. ``memory`` is the number of an open file, without a name, that all have."""

    def __init__(self, rank: int, pipes: Sequence[Connection], memory: int) -> None:
        self.rank, self.pipes, self.memory = rank, pipes, memory

    def gather(self, value: T) -> list[T]:
        values: list[T]
        if self.rank == 0:
            values = [value, *(_received(pipe, number) for number, pipe in enumerate(self.pipes, start=1))]
            packed = pickle.dumps(values)
            for number, pipe in enumerate(self.pipes, start=1):
                with _noticing(number):
                    pipe.send_bytes(packed)
            return values
        [pipe] = self.pipes
        try:
            pipe.send_bytes(pickle.dumps(value))
            values = pickle.loads(pipe.recv_bytes())
        except (EOFError, OSError) as problem:
            raise FirstEndedError from problem
        return values

    def tell(self, value: T) -> T:
        first: T | None = self.gather(value if self.rank == 0 else None)[0]
        return first  # type: ignore[return-value]

    def sum(self, values: Sequence[float]) -> list[float]:
        return [sum(each) for each in zip(*self.gather(tuple(values)), strict=True)]

    def shared_memory(self, size: int) -> mmap.mmap:
        """So many bytes that all processes read and write; zeros at first. Called by all of them, once."""
        if self.rank == 0:
            os.truncate(self.memory, size)
        self.sum(())
        return mmap.mmap(self.memory, size)


def _received(pipe: Connection, number: int) -> T:  # type: ignore[type-var]
    with _noticing(number):
        value: T | Failure = pickle.loads(pipe.recv_bytes())
    if isinstance(value, Failure):
        raise value.problem
    return value


@contextmanager
def _noticing(number: int) -> Iterator[None]:
    """Raises RunError where the process of that number turns out to be gone."""
    try:
        yield
    except (EOFError, OSError) as problem:
        what = f"process {number + 1} of this command has died: perhaps the system had no memory left for it."
        raise RunError(what, None, GO_ON) from problem


@contextmanager
def siblings(others: int, entry: Callable[[Ranks], None]) -> Iterator[Ranks]:
    """The place of this process, the first, among ``others`` more, which are started here, and of which each calls
    ``entry``, a function of a module. They end on leaving.

    Signals are for the first process alone: it tells the others when to stop. Raises RunError where one of the others
    cannot be started or, while they talk, dies, and whatever ``entry`` raises there.
    """
    memory = _nameless_file()
    pipes, started = [], []
    try:
        for number in range(1, others + 1):
            ours, theirs = Pipe()
            pipes.append(ours)
            with theirs:
                open_files = (theirs.fileno(), memory)
                place = f"{number}, {others + 1}, {theirs.fileno()}, {memory}"
                started.append(_start(_command(entry, place), open_files))
        yield Ranks(0, others + 1, exchange=OverPipes(0, pipes, memory))
    finally:
        for pipe in pipes:
            pipe.close()
        os.close(memory)
        until = time.monotonic() + SECONDS
        for process in started:
            _await(process, until)


def _nameless_file() -> int:
    if hasattr(os, "memfd_create"):  # not /dev/shm, which is small in containers
        return os.memfd_create("seq2seq")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def _command(entry: Callable[[Ranks], None], place: str) -> list[str]:
    # As Python's own multiprocessing starts processes, but without importing the caller's main module again.
    program = (
        f"import sys; sys.path[:] = {sys.path!r}; from {__name__} import begin; "
        f"begin({entry.__module__!r}, {entry.__qualname__!r}, {place})"
    )
    return [sys.executable, "-c", program]


def _start(command: list[str], open_files: Sequence[int]) -> subprocess.Popen[bytes]:
    # Blocked, as they are in the new process then: until it ignores them, Ctrl-C would end it with a traceback.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
    try:
        return subprocess.Popen(command, pass_fds=open_files, stdin=subprocess.DEVNULL)
    except OSError as problem:
        what = f"another process cannot be started: {problem.strerror}."
        raise RunError(what, None, "Use fewer with --processes.") from problem
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _await(process: subprocess.Popen[bytes], until: float) -> None:
    try:
        process.wait(max(0.0, until - time.monotonic()))
    except subprocess.TimeoutExpired:  # in the middle of something long that nobody waits for any more
        process.kill()
        process.wait()


def begin(module: str, name: str, rank: int, size: int, pipe: int, memory: int) -> None:
    """What another process than the first does: call the function ``name`` of ``module``."""
    from importlib import import_module

    for number in STOPPING:
        signal.signal(number, signal.SIG_IGN)
    with Connection(pipe) as connection:
        ranks = Ranks(rank, size, exchange=OverPipes(rank, [connection], memory))
        try:
            getattr(import_module(module), name)(ranks)
        except (FirstEndedError, Stopped):
            return
        except Exception as problem:
            with suppress(OSError):
                connection.send_bytes(pickle.dumps(Failure(problem)))
