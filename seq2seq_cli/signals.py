"""The signals by which a user or the system asks a command to end, and how it ends then."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGXCPU", "SIGBREAK")
"""Ctrl-C and a shutdown; a connection that is lost; the warnings of batch schedulers before they kill (Slurm's ``--signal``,
Grid Engine's ``-notify``, a limit of processor time); Windows' Ctrl-Break. Left to themselves, all of them kill."""
STOPPING = tuple(getattr(signal, name) for name in NAMES if hasattr(signal, name))
"""Those that this system has."""

Handler = Callable[[int, FrameType | None], None]


class Stopped(KeyboardInterrupt):
    """The signal ``number`` has asked the command to end."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number

    @property
    def status(self) -> int:
        """The exit status that says so."""
        return 128 + self.number


def install(handler: Handler) -> dict[int, object]:
    """Let ``handler`` answer all of STOPPING; who did before, to be given to ``restore``.

    A signal that is ignored (by ``nohup``, or in the background of a shell) stays so. Nothing is done outside the main
    thread, where Python lets nobody handle signals.
    """
    if threading.current_thread() is not threading.main_thread():
        return {}
    heard = [number for number in STOPPING if signal.getsignal(number) is not signal.SIG_IGN]
    return {number: signal.signal(number, handler) for number in heard}


def restore(before: dict[int, object]) -> None:
    """Let those answer again who did before."""
    for number, handler in before.items():
        signal.signal(number, handler)  # type: ignore[arg-type]


@contextmanager
def answered(handler: Handler) -> Iterator[None]:
    """While entered, ``handler`` answers all of STOPPING."""
    before = install(handler)
    try:
        yield
    finally:
        restore(before)


def stop(number: int, frame: FrameType | None) -> None:
    """The handler that ends what is under way."""
    raise Stopped(number)
