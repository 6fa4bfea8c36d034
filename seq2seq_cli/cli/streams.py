"""The three standard streams, each of which the shell may have closed."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
from typing import TextIO, cast

INPUT, OUTPUT, ERRORS = 0, 1, 2
"""Their file descriptors."""


def open_closed() -> None:
    """Put something in the place of each standard stream that is closed. Python has None for it, and the next file to
    be opened would get its descriptor: what is meant for standard output would be written into that file.

    The stand-in for standard error discards what is written. The others are opened in the wrong direction, so that
    reading or writing fails as with a closed stream.
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
    """Whether standard output is a stand-in made by ``open_closed``."""
    try:
        os.write(sys.stdout.fileno(), b"")
    except OSError as problem:
        return problem.errno == errno.EBADF
    return False


def do_without_output() -> None:
    """For a command whose results are also in files: if standard output is closed, discard what is printed."""
    if output_is_closed():
        give_up(sys.stdout)


def give_up(stream: TextIO) -> None:
    """Redirect ``stream`` to nowhere: what waits in its buffer cannot be written, and closing it at exit would fail
    once more."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
