"""Keys in 8-bit integers, in which a search looks through a whole memory before it computes the nearest ones exactly.

A code is a key less the mean of all keys, in units of ``step``, rounded; a query's code is made in the same way. Twice the
product of two codes, less their squared lengths, is minus their squared distance: all in integers, so that a query's
neighbours do not depend on the queries beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from seq2seq_cli.neighbours.layout import MemoryFiles, Rows
from seq2seq_cli.neighbours.store import NUMBER, VALUE

LARGEST = 127
SPAN = 1 << 16
"""Keys that are read together."""


def coded(keys_NR: np.ndarray, centre_R: np.ndarray, step: float) -> np.ndarray:
    """The codes of keys."""
    scaled_NR = (keys_NR.astype(np.float32) - centre_R) / np.float32(step)
    return np.clip(np.rint(np.nan_to_num(scaled_NR)), -LARGEST, LARGEST).astype(np.int8)


def half_norms(codes_NR: np.ndarray) -> np.ndarray:
    """Half of the squared length of each code, rounded."""
    wide_NR = codes_NR.astype(np.int32)
    return (np.einsum("nr,nr->n", wide_NR, wide_NR) + 1) // 2


def _spans(entries: int) -> Iterator[slice]:
    return (slice(begin, min(entries, begin + SPAN)) for begin in range(0, entries, SPAN))


def write_codes(files: MemoryFiles, keys_NR: np.ndarray, hear: Callable[[int, int], None]) -> float:
    """Write codes, their norms and the centre of all keys; returns the step. ``hear`` is told how many keys of how many are
    done."""
    entries, size = keys_NR.shape
    total_R = np.zeros(size)
    for part in _spans(entries):
        total_R += np.nan_to_num(keys_NR[part].astype(np.float64)).sum(0)
        hear(part.stop // 3, entries)
    centre_R = (total_R / entries).astype(np.float32)
    largest = 0.0
    for part in _spans(entries):
        largest = max(largest, float(np.abs(np.nan_to_num(keys_NR[part].astype(np.float32) - centre_R)).max()))
        hear((entries + part.stop) // 3, entries)
    step = max(largest / LARGEST, float(np.finfo(np.float32).tiny))
    codes = Rows(files.codes(entries), np.dtype("i1"), size)
    norms, centre = Rows(files.norms(entries), VALUE), Rows(files.centre(entries), NUMBER)
    for rows in (codes, norms, centre):
        rows.path.unlink(missing_ok=True)
        rows.cut(0)
    for part in _spans(entries):
        codes_NR = coded(keys_NR[part], centre_R, step)
        codes.append(codes_NR)
        norms.append(half_norms(codes_NR))
        hear((2 * entries + part.stop) // 3, entries)
    centre.append(centre_R)
    for rows, count in ((codes, entries), (norms, entries), (centre, size)):
        rows.close(count)
    return step
