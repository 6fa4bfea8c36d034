"""The signals by which a user or the system asks a command to end, and how the command then ends."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGXCPU", "SIGBREAK")
"""Ctrl-C and a shutdown; a lost connection; the warnings of batch schedulers before they kill (Slurm's ``--signal``,
Grid Engine's ``-notify``, a limit on processor time); Windows' Ctrl-Break. By default all of them kill the process."""
STOPPING = tuple(getattr(signal, name) for name in NAMES if hasattr(signal, name))
"""Those of them that this system has."""

Handler = Callable[[int, FrameType | None], None]


class Stopped(KeyboardInterrupt):
    """The command was asked to end by the signal ``number``."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number

    @property
    def status(self) -> int:
        """The exit status for that signal."""
        return 128 + self.number


def install(handler: Handler) -> dict[int, object]:
    """Let ``handler`` handle all signals of STOPPING; returns the handlers before, to be given to ``restore``.

    A signal that is ignored (under ``nohup``, or in the background of a shell) stays ignored. Outside the main thread
    nothing is done, because Python allows signal handlers nowhere else.
    """
    if threading.current_thread() is not threading.main_thread():
        return {}
    heard = [number for number in STOPPING if signal.getsignal(number) is not signal.SIG_IGN]
    return {number: signal.signal(number, handler) for number in heard}


def restore(before: dict[int, object]) -> None:
    """Put back the handlers that ``install`` has replaced."""
    for number, handler in before.items():
        signal.signal(number, handler)  # type: ignore[arg-type]


@contextmanager
def answered(handler: Handler) -> Iterator[None]:
    """While entered, ``handler`` handles all signals of STOPPING."""
    before = install(handler)
    try:
        yield
    finally:
        restore(before)


def stop(number: int, frame: FrameType | None) -> None:
    """A handler that ends what is under way, by raising Stopped."""
    raise Stopped(number)
