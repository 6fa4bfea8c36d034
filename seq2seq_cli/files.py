"""Paths as people write them; and small files from anywhere, read with limits, as they may be damaged or malicious."""

import errno
import json
import os
import stat
from pathlib import Path
from typing import Any

from seq2seq_cli.errors import RunError, UserError


def expanded(path: str | Path) -> Path:
    """The path with ``~`` or ``~name`` at its beginning expanded. Shells do not always do that, and for a path in a
    settings file nobody does. Raises UserError where that user has no home directory."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        if Path(path).exists():  # a file that an editor has called so
            return Path(path)
        what = f"there is no home directory for {Path(path).parts[0]}."
        raise UserError(what, str(path), "Write the whole path.") from None


def read_bytes(path: Path, limit: int) -> bytes:
    """The content of a file. Raises OSError where it cannot be read, is no regular file (reading a pipe might never
    end), or holds more than ``limit`` bytes."""
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "it is no regular file", str(path))
    if status.st_size > limit:
        raise OSError(errno.EFBIG, f"it is larger than {limit:,} bytes", str(path))
    with open(path, "rb") as file:
        return file.read(status.st_size)  # not read(limit): Python would allocate that much memory at once


def parse_json(text: str | bytes) -> Any:
    """The value of a JSON text. Raises ValueError where it is not JSON, nested too deeply, or holds a number of
    thousands of digits."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def refuse_ways_out(directory: Path, what: str = "run directory") -> None:
    """Raises RunError where the folder holds, at any depth, a symbolic link that leads out of it, or anything that is
    neither a file nor a folder. ``what`` the folder is called in its message."""
    root, folders = directory.resolve(), [directory]
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_symlink():
                    _refuse_link_out(Path(entry.path), root, what)
                elif entry.is_dir():
                    folders.append(Path(entry.path))
                elif not entry.is_file():
                    raise RunError("this is neither a file nor a folder.", entry.path, f"Remove it from the {what}.")


def _refuse_link_out(link: Path, root: Path, what: str) -> None:
    try:
        inside = link.resolve().is_relative_to(root)
    except (OSError, RuntimeError):  # links that form a circle
        inside = False
    if not inside:
        hint = "Put what it names in its place if you trust it, or remove the link."
        raise RunError(f"a symbolic link that leads out of the {what} is not followed.", str(link), hint)
