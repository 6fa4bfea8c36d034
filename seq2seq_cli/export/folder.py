"""The folder that an export goes to: whole, or not there at all; and the packages that an export needs."""

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from seq2seq_cli.errors import RunError, UserError
from seq2seq_cli.runs import HALF_WRITTEN, beginning_of, sync_folder
from seq2seq_cli.wording import counted


def require(packages: Sequence[str]) -> None:
    """Raises UserError where one of these packages is not installed."""
    missing = [name for name in packages if find_spec(name) is None]
    if missing:
        hint = f"Install {'it' if len(missing) == 1 else 'them'} with `pip install {' '.join(missing)}`, the extra `export`."
        what = f"{counted(len(missing), 'package')} not installed: {', '.join(missing)}."
        raise UserError(f"this export needs {what}", "seq2seq export", hint)


def check_folder(folder: Path) -> None:
    """Raises RunError where ``folder`` holds something already, or cannot be made."""
    if folder.is_dir():
        if any(folder.iterdir()):
            raise RunError("is not empty.", str(folder), "Name a new folder with -o.")
    elif folder.exists() or folder.is_symlink():
        raise RunError("is a file.", str(folder), "Name a new folder with -o.")
    elif not folder.absolute().parent.is_dir():
        raise RunError("the folder above it does not exist.", str(folder), "Make it first, or name another with -o.")
    if not os.access(folder if folder.is_dir() else folder.absolute().parent, os.W_OK):
        raise RunError("cannot be written here.", str(folder), "Name another folder with -o.")


@contextmanager
def filled(folder: Path) -> Iterator[Path]:
    """Yields a new folder beside ``folder``, which takes its place when the block ends without an error."""
    check_folder(folder)
    temporary = folder.absolute().with_name(f".{beginning_of(folder.absolute().name)}.{os.getpid()}{HALF_WRITTEN}")
    temporary.mkdir()
    try:
        yield temporary
        if folder.is_dir():
            folder.rmdir()
        os.replace(temporary, folder)
        sync_folder(folder.absolute().parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
