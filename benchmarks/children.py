"""Measurements in processes of their own: nothing of one is left in memory, in caches or in threads for the next."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

from seq2seq_cli.errors import UserError

LAST_WORDS = 2000
"""Characters of what a process that failed has said."""


@dataclass(frozen=True)
class Place:
    """Where a process runs. ``cores``: those it may use (None: all); ``by``: a command that starts it, such as ``chrt -r 5``;
    ``environment``: variables that are set for it."""

    cores: Collection[int] | None = None
    by: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)


ANYWHERE = Place()


class FailedError(UserError):
    """A measurement whose process failed, or took too long."""


class Told(NamedTuple):
    """What a process has said on its standard output, and on standard error."""

    out: str
    err: str


def program(command: Sequence[str], place: Place = ANYWHERE, most_seconds: float | None = None) -> Told:
    """Run a command in a new process, to its end. Raises FailedError."""
    with _confined(place.cores):
        process = subprocess.Popen(
            [*place.by, *command],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **place.environment},
            start_new_session=True,
        )  # fmt: skip
    called = " ".join(command)
    try:
        out, said = process.communicate(timeout=most_seconds)
    except subprocess.TimeoutExpired:
        raise FailedError(f"took more than {most_seconds:.0f} s.", called) from None
    finally:
        if process.poll() is None:
            # With all that it has started: neighbours that spin, or what ``by`` has put between.
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    if process.returncode:
        raise FailedError(f"ended with status {process.returncode}.", called, said[-LAST_WORDS:].strip())
    return Told(out, said)


def python(arguments: Sequence[str], place: Place = ANYWHERE, most_seconds: float | None = None) -> str:
    """The standard output of ``python ARGUMENTS``, likewise."""
    return program([sys.executable, *arguments], place, most_seconds).out


def module(name: str, *arguments: str, place: Place = ANYWHERE, most_seconds: float | None = None) -> str:
    """The same of ``python -m NAME ARGUMENTS``."""
    return python(["-m", name, *arguments], place, most_seconds)


@contextmanager
def _confined(cores: Collection[int] | None) -> Iterator[None]:
    """What is started meanwhile may use these cores alone."""
    if cores is None or not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
