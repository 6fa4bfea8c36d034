"""A folder of things that are costly to make; each is there completely or not at all."""

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from seq2seq_cli.errors import BrokenOffError, DataError
from seq2seq_cli.files import expanded

STALE_SECONDS = 24 * 3600
HALF_MADE = ".half-made-"


def cache_root() -> Path:
    """$SEQ2SEQ_CACHE, or ``seq2seq`` in the user's cache folder."""
    if chosen := os.environ.get("SEQ2SEQ_CACHE"):
        return expanded(chosen)
    return expanded(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "seq2seq"


def cached(root: Path, key: str, make: Callable[[Path], None], waiting: Callable[[], None] = lambda: None) -> Path:
    """The folder ``key`` in ``root``. If it is not there, ``make`` fills a new folder, which gets that name when it is
    complete. If several processes want the same one, one of them makes it, and the others call ``waiting``. What a
    killed or interrupted process leaves, or one whose text broke off, is given to the next call's ``make``, to continue
    from.

    Raises DataError where the folder cannot be written.
    """
    entry = root / key
    if entry.is_dir():
        return entry
    try:
        root.mkdir(parents=True, exist_ok=True)
        _sweep(root)
        with _alone(root / f"{HALF_MADE}{key}.lock", waiting):
            if not entry.is_dir():
                _make(root / f"{HALF_MADE}{key}", entry, make)
    except OSError as error:
        hint = "Set SEQ2SEQ_CACHE to a folder that you may write to and that has room."
        raise DataError(f"prepared data cannot be written here: {error.strerror or error}.", str(root), hint) from error
    return entry


@contextmanager
def _alone(path: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Hold a lock while entered; a process that dies releases it."""
    lock = FileLock(path)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        waiting()
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
        path.unlink(missing_ok=True)


def _make(half_made: Path, entry: Path, make: Callable[[Path], None]) -> None:
    half_made.mkdir(exist_ok=True)
    try:
        make(half_made)
        _give_name(half_made, entry)
    except BrokenOffError:
        raise
    except Exception:
        shutil.rmtree(half_made, ignore_errors=True)
        raise


def _give_name(inside: Path, entry: Path) -> None:
    for path in inside.iterdir():
        with open(path, "rb") as file:
            os.fsync(file.fileno())  # or a power cut might leave an entry under its final name with empty files
    inside.rename(entry)


def _sweep(root: Path) -> None:
    """Remove what killed processes have left and is too old to be still in the making."""
    for path in root.glob(f"{HALF_MADE}*"):
        if path.is_dir() and time.time() - path.stat().st_mtime > STALE_SECONDS:
            shutil.rmtree(path, ignore_errors=True)
