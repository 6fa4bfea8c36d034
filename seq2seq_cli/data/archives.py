"""Files inside a .zip, read as they are unpacked."""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import BinaryIO

from seq2seq_cli.errors import DataError

LARGEST_DIRECTORY = 16 << 20
"""Most bytes of the list of members of a .zip; Python takes many times as much memory for it."""
SUFFIX = ".zip"

Problems = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError, OverflowError)
"""The exceptions that damaged and encrypted archives raise."""


@dataclass(frozen=True)
class Member:
    """The file ``name`` inside the archive ``path``."""

    path: Path
    name: str

    def __str__(self) -> str:
        return f"{self.path}/{self.name}"

    def __fspath__(self) -> str:
        """The path of the archive, which is what must not be overwritten."""
        return str(self.path)

    @property
    def suffix(self) -> str:
        return Path(self.name).suffix

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """Its bytes. Raises DataError where the archive cannot be read."""
        with _opened(self.path) as archive:
            if self.name not in archive.NameToInfo:
                raise DataError(f"there is no {self.name} in it any more.", str(self.path))
            try:
                with archive.open(self.name) as binary:
                    yield binary  # type: ignore[misc]  # an IO[bytes], and all of a BinaryIO that is used
            except Problems as error:
                raise _damaged(self.path, error) from None


def members(path: Path) -> list[Member]:
    """The files in an archive, without folders and without files that systems add. Raises DataError where it cannot be
    read."""
    with _opened(path) as archive:
        names = [entry.filename for entry in archive.infolist() if entry.filename and not entry.is_dir()]
    return [Member(path, name) for name in names if not name.startswith("__MACOSX/") and Path(name).name != ".DS_Store"]


class _Directory(FileIO):
    """An archive as a file. The first reads are those of the list of members; they raise an error where the list is too
    long."""

    listing = True

    def read(self, size: int | None = -1, /) -> bytes:
        wanted = -1 if size is None else size
        if self.listing and wanted > LARGEST_DIRECTORY:
            raise DataError(f"the list of its files is longer than {LARGEST_DIRECTORY >> 20} MiB.", str(self.name))
        return super().read(wanted) or b""


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with _Directory(path) as file:
            try:
                archive = zipfile.ZipFile(file)
            except (*Problems, LookupError, struct.error) as error:
                raise _damaged(path, error) from None
            file.listing = False
            with archive:
                yield archive
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror or error}.", str(path)) from None


def _damaged(path: Path, error: Exception) -> DataError:
    return DataError(f"not a whole .zip, or an encrypted one: {error}", str(path), "Unpack it and name what it holds.")
