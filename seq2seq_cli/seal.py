"""A checksum inside the file that it is of. Both are written and renamed together, so neither can be newer than the
other."""

import hashlib

BLANK = "0" * 64
"""Stands in place of the checksum while the checksum (SHA-256 in hexadecimal) is computed."""


def seal(data: bytearray | memoryview, at: int) -> None:
    """Write the checksum of ``data`` over the ``BLANK`` that stands at ``at``."""
    data[at : at + len(BLANK)] = _digest(data, at).encode()


def is_whole(data: bytes, at: int) -> bool:
    """Whether ``data`` is exactly what was sealed, the checksum itself included."""
    return data[at : at + len(BLANK)] == _digest(data, at).encode()


def _digest(data: bytes | bytearray | memoryview, at: int) -> str:
    view = memoryview(data)
    digest = hashlib.sha256(view[:at])
    digest.update(BLANK.encode())
    digest.update(view[at + len(BLANK) :])
    return digest.hexdigest()
