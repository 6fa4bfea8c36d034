"""Lines that the training text has in common with the test text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from seq2seq_cli.data.checks.characters import codes_of
from seq2seq_cli.data.checks.flaws import SOURCE, TARGET, Flaw
from seq2seq_cli.data.checks.keys import NOTHING, exact_keys, normalised_keys
from seq2seq_cli.data.checks.repair import repaired

_LOOKED_FOR = tuple((kind, side) for kind in (Flaw.OVERLAP, Flaw.OVERLAP_NORMALISED) for side in (SOURCE, TARGET))


@dataclass(frozen=True)
class TestKeys:
    """Keys that stand for the lines of a test text. ``keys``: for each flaw and side in ``_LOOKED_FOR``, the distinct
    keys, sorted. ``numbers``: for each flaw and side, the index of every line's key in ``keys``. Takes 64 bytes a pair
    of the test text."""

    keys: tuple[np.ndarray, ...]
    numbers: tuple[np.ndarray, ...]

    __test__ = False  # pytest takes the name for a test's

    @classmethod
    def of(cls, chunks: Iterable[tuple[Sequence[str], Sequence[str]]]) -> TestKeys:
        """The keys of a text that comes in chunks of source and target lines."""
        parts: list[list[np.ndarray]] = []
        for both in chunks:
            sides = [[repaired(line) for line in lines] for lines in both]
            parts.append([*(exact_keys(codes_of(side)) for side in sides), *map(normalised_keys, sides)])
        found = [np.unique(np.concatenate(keys), return_inverse=True) for keys in zip(*parts, strict=True)]
        return cls(tuple(keys for keys, _ in found), tuple(numbers for _, numbers in found))

    def __len__(self) -> int:
        return len(self.numbers[0])

    def compare(
        self, exact: tuple[np.ndarray, np.ndarray], normalised: tuple[np.ndarray, np.ndarray]
    ) -> tuple[np.ndarray, list[np.ndarray]]:
        """Compare the lines of a training text, given by their keys on each side, with the test text. Returns the
        flags of each pair of lines and, for each flaw and side in ``_LOOKED_FOR``, the indices of the test text's keys
        that occur. A line that is equal exactly is not flagged as equal after normalisation as well."""
        flags = np.zeros(len(exact[0]), dtype=np.uint64)
        met = []
        for (kind, side), known, keys in zip(_LOOKED_FOR, self.keys, (*exact, *normalised), strict=True):
            places = np.minimum(np.searchsorted(known, keys), len(known) - 1)
            same = (known[places] == keys) & (keys != NOTHING)
            met.append(np.unique(places[same]))
            if kind is Flaw.OVERLAP_NORMALISED:
                same &= flags & Flaw.OVERLAP.bits == 0
            flags[same] |= kind.bit(side)
        return flags, met

    def lines_met(self, met: Sequence[np.ndarray]) -> int:
        """How many pairs of the test text have a line that occurs in the training text. ``met``: for each flaw and side
        in ``_LOOKED_FOR``, which of its ``keys`` occur there, as a mask."""
        seen = np.zeros(len(self), dtype=bool)
        for numbers, of_key in zip(self.numbers, met, strict=True):
            seen |= of_key[numbers]
        return int(seen.sum())
