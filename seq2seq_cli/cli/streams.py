"""The three streams that a shell hands over: each may be closed."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
from typing import TextIO, cast

INPUT, OUTPUT, ERRORS = 0, 1, 2
"""Numbers of their descriptors."""


def open_closed() -> None:
    """Let something stand in for each stream that is closed. Python has None for it, and the next file that is opened would get
    its number: what is meant for standard output would be written into it.

    What is said on standard error goes nowhere then. The others are opened the wrong way round, so that reading or writing is
    the error that it is with a closed stream.
    """
    for descriptor, way in ((INPUT, os.O_WRONLY), (OUTPUT, os.O_RDONLY), (ERRORS, os.O_WRONLY)):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, way)  # gets the lowest number that is free
    sys.stdin = sys.stdin or _text(INPUT, "r")
    sys.stdout = sys.stdout or _text(OUTPUT, "w")
    sys.stderr = sys.stderr or _text(ERRORS, "w")
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A name that is not UTF-8 is written with escapes, as on standard error, instead of ending the program.
        sys.stdout.reconfigure(errors="backslashreplace")


def _text(descriptor: int, mode: str) -> TextIO:
    return cast(TextIO, open(descriptor, mode, encoding="utf-8", errors="backslashreplace", closefd=False))


def output_is_closed() -> bool:
    """Whether ``open_closed`` stands in for standard output."""
    try:
        os.write(sys.stdout.fileno(), b"")
    except OSError as problem:
        return problem.errno == errno.EBADF
    return False


def do_without_output() -> None:
    """For a command whose results are in files as well: where standard output is closed, what is printed goes nowhere."""
    if output_is_closed():
        leave(sys.stdout)


def leave(stream: TextIO) -> None:
    """Point it away: what waits in its buffer cannot be written, and closing it at the end would fail once more."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
