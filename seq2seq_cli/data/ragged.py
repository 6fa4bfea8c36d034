"""Rows of piece ids of different lengths, before they are padded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class RaggedIds(NamedTuple):
    """Rows of piece ids laid end to end in ``values``; ``lengths`` (int32) are the lengths of the rows."""

    values: np.ndarray
    lengths: np.ndarray

    @property
    def rows(self) -> list[np.ndarray]:
        """Each row by itself."""
        return np.split(self.values, np.cumsum(self.lengths)[:-1]) if len(self.lengths) else []

    @classmethod
    def of(cls, rows: Sequence[np.ndarray]) -> RaggedIds:
        """These rows, laid end to end."""
        lengths = np.fromiter(map(len, rows), dtype=np.int32, count=len(rows))
        return cls(np.concatenate([np.zeros(0, dtype=np.int64), *rows]), lengths)
