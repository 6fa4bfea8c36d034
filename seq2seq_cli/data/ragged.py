"""Rows of piece ids of different lengths, before they are padded."""

from typing import NamedTuple

import numpy as np


class RaggedIds(NamedTuple):
    """Rows of piece ids laid end to end in ``values``; ``lengths`` (int32) are the lengths of the rows."""

    values: np.ndarray
    lengths: np.ndarray
