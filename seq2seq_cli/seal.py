"""A checksum inside the file that it is of: they are written and renamed together, so neither is ever newer."""

import hashlib

BLANK = "0" * 64
"""What stands in the checksum's place while the checksum is computed: SHA-256 in hexadecimal."""


def seal(data: bytearray, at: int) -> None:
    """Write the checksum of ``data`` over the ``BLANK`` that stands at ``at``."""
    data[at : at + len(BLANK)] = _digest(data, at).encode()


def is_whole(data: bytes, at: int) -> bool:
    """Whether ``data`` is what was sealed, to the bit: the checksum itself included."""
    return data[at : at + len(BLANK)] == _digest(data, at).encode()


def _digest(data: bytes | bytearray, at: int) -> str:
    view = memoryview(data)
    digest = hashlib.sha256(view[:at])
    digest.update(BLANK.encode())
    digest.update(view[at + len(BLANK) :])
    return digest.hexdigest()
