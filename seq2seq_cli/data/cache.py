"""A folder of things that are costly to make, each whole or not there at all."""

import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from seq2seq_cli.errors import DataError

STALE_SECONDS = 24 * 3600
HALF_MADE = ".half-made-"


def cache_root() -> Path:
    """$SEQ2SEQ_CACHE, or ``seq2seq`` in the user's cache folder."""
    if chosen := os.environ.get("SEQ2SEQ_CACHE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "seq2seq"


def cached(root: Path, key: str, make: Callable[[Path], None]) -> Path:
    """The folder called ``key`` in ``root``; where there is none, ``make`` fills a new one, which takes its name
    when it is complete. Where two processes make the same one, the first to end gives it, and both use it.

    Raises DataError where the folder cannot be written.
    """
    entry = root / key
    if entry.is_dir():
        return entry
    try:
        root.mkdir(parents=True, exist_ok=True)
        _sweep(root)
        with tempfile.TemporaryDirectory(prefix=HALF_MADE, dir=root, ignore_cleanup_errors=True) as temporary:
            inside = Path(temporary) / key
            inside.mkdir()
            make(inside)
            _give_name(inside, entry)
    except OSError as error:
        hint = "Set SEQ2SEQ_CACHE to a folder that you may write to and that has room."
        raise DataError(f"prepared data cannot be written here: {error.strerror}.", str(root), hint) from error
    return entry


def _give_name(inside: Path, entry: Path) -> None:
    for path in inside.iterdir():
        with open(path, "rb") as file:
            os.fsync(file.fileno())  # a power cut must not leave a named entry with empty files
    try:
        inside.rename(entry)
    except OSError:
        if not entry.is_dir():
            raise


def _sweep(root: Path) -> None:
    """Remove what killed processes left, once it is too old to be still in the making."""
    for path in root.glob(f"{HALF_MADE}*"):
        if time.time() - path.stat().st_mtime > STALE_SECONDS:
            shutil.rmtree(path, ignore_errors=True)
