"""Paths as people write them; and small files from anywhere, read with limits: they may be damaged, or made to do harm."""

import errno
import json
import os
import stat
from pathlib import Path
from typing import Any

from seq2seq_cli.errors import RunError, UserError


def expanded(path: str | Path) -> Path:
    """A path with ``~`` or ``~name`` at its beginning put out: a shell does not always do it, and a file of settings never.
    Raises UserError where that user has no home directory."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        if Path(path).exists():  # a file that an editor has called so
            return Path(path)
        what = f"there is no home directory for {Path(path).parts[0]}."
        raise UserError(what, str(path), "Write the whole path.") from None


def read_bytes(path: Path, limit: int) -> bytes:
    """What a file holds. Raises OSError where it cannot be read, is no regular file (a pipe might be waited for without
    end), or holds more than ``limit`` bytes."""
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "it is no regular file", str(path))
    if status.st_size > limit:
        raise OSError(errno.EFBIG, f"it is larger than {limit:,} bytes", str(path))
    with open(path, "rb") as file:
        return file.read(status.st_size)  # not the limit, for which Python would ask for memory at once


def parse_json(text: str | bytes) -> Any:
    """What JSON says. Raises ValueError where it is none, nested too deeply, or holds a number of thousands of
    digits."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def refuse_ways_out(directory: Path) -> None:
    """Raises RunError where anything in a folder, at any depth, is a symbolic link that leads out of it, or neither a
    file nor a folder."""
    root, folders = directory.resolve(), [directory]
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_symlink():
                    _refuse_link_out(Path(entry.path), root)
                elif entry.is_dir():
                    folders.append(Path(entry.path))
                elif not entry.is_file():
                    raise RunError(
                        "this is neither a file nor a folder.", entry.path, "Remove it from the run directory."
                    )


def _refuse_link_out(link: Path, root: Path) -> None:
    try:
        inside = link.resolve().is_relative_to(root)
    except (OSError, RuntimeError):  # a link in a circle
        inside = False
    if not inside:
        hint = "Put what it names in its place if you trust it, or remove the link."
        raise RunError("a symbolic link that leads out of the run directory is not followed.", str(link), hint)
