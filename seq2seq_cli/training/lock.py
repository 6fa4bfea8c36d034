"""One training at a time in a run directory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from filelock import FileLock, Timeout

from seq2seq_cli.errors import RunError
from seq2seq_cli.runs import Run


@contextmanager
def sole_training(run: Run) -> Iterator[None]:
    """Hold the run directory, which is made where there is none, against other trainings; readers are free.

    The lock is the system's: it goes with the process that holds it, however that ends. Raises RunError where another
    process holds it.
    """
    run.directory.mkdir(parents=True, exist_ok=True)
    lock = FileLock(run.lock)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        hint = "Wait until it is over or stop it, or name another run directory with --run."
        raise RunError("another process is training in this run directory.", str(run.directory), hint) from None
    try:
        yield
    finally:
        lock.release()
