"""Pairs that occur in a text more than once, found by way of files, so that memory does not grow with the text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import IO, Self

import numpy as np

from seq2seq_cli.data.checks.chunk import IDENTITY
from seq2seq_cli.data.checks.flaws import Flaw

PARTS = 128
"""How many files the pairs are distributed to by their keys, so that equal pairs are in one file. One file at a time is
in memory; for a thousand million pairs that takes 200 MB."""


class Duplicates:
    """First ``add`` the identities of all pairs, then ask by ``found`` which repeat another one."""

    def __init__(self, folder: Path) -> None:
        self._paths = [folder / f"identities-{number}" for number in range(PARTS)]
        self._files: list[IO[bytes]] = [open(path, "wb") for path in self._paths]  # noqa: SIM115 (closed by _close)

    def add(self, identities: np.ndarray) -> None:
        part = (identities["normalised"] >> np.uint64(57)).astype(np.intp)
        order = np.argsort(part, kind="stable")
        edges = np.searchsorted(part[order], np.arange(PARTS + 1)).tolist()
        content, size = identities[order].tobytes(), IDENTITY.itemsize
        for file, begin, end in zip(self._files, edges[:-1], edges[1:], strict=True):
            file.write(content[begin * size : end * size])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def _close(self) -> None:
        for file in self._files:
            file.close()

    def found(self) -> Iterator[tuple[Flaw, np.ndarray, np.ndarray]]:
        """A kind, the rows that repeat an earlier row, and for each the first row that it repeats; for one part of the
        pairs at a time."""
        self._close()
        for path in self._paths:
            part = np.fromfile(path, dtype=IDENTITY)
            path.unlink()
            again, first = _repeats(part["exact"])
            yield Flaw.DUPLICATE, part["row"][again], part["row"][first]
            rest = np.delete(part, again)
            again, first = _repeats(rest["normalised"])
            yield Flaw.DUPLICATE_NORMALISED, rest["row"][again], rest["row"][first]


def _repeats(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The places whose key occurred before, and for each the first place with that key."""
    order = np.argsort(keys, kind="stable")
    begins = np.flatnonzero(np.concatenate(([True], np.diff(keys[order]) != 0)))[: len(keys)]
    first = np.repeat(order[begins], np.diff(np.append(begins, len(keys))))
    again = order != first
    return order[again], first[again]
