"""Keys in 8-bit integers, in which a search looks through a whole memory before it computes the nearest ones exactly.

A code is a key less the mean of all keys, in units of ``step``, rounded; a query's code is made in the same way. Twice the
product of two codes, less their squared lengths, is minus their squared distance: all in integers, so that a query's
neighbours do not depend on the queries beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from seq2seq_cli.neighbours.layout import MemoryFiles, Rows
from seq2seq_cli.neighbours.store import NUMBER, VALUE

LARGEST = 127
SPAN = 1 << 14
"""Keys that are coded together: 16 MiB of 256 numbers in float32."""


def centred(keys_NR: Tensor, centre_R: Tensor) -> Tensor:
    """Keys less the centre, in float32."""
    return keys_NR.float() - centre_R


def scaled(keys_NR: Tensor, centre_R: Tensor, step: float) -> Tensor:
    """Keys less the centre, in units of ``step``, in float32; what is no number is zero."""
    return centred(keys_NR, centre_R).div_(step).nan_to_num_(0.0, torch.inf, -torch.inf)


def coded(keys_NR: Tensor, centre_R: Tensor, step: float) -> Tensor:
    """The codes of keys."""
    return scaled(keys_NR, centre_R, step).round_().clamp_(-LARGEST, LARGEST).to(torch.int8)


def half_norms(codes_NR: Tensor) -> Tensor:
    """Half of the squared length of each code, rounded."""
    return (codes_NR.float().square_().sum(1).int() + 1) // 2  # sums of fewer than 2^24, which float32 holds


def _spans(keys_NR: np.ndarray) -> Iterator[tuple[int, Tensor]]:
    """Parts of the keys, each with the number of keys up to its end."""
    for begin in range(0, len(keys_NR), SPAN):
        part_NR = torch.from_numpy(keys_NR[begin : begin + SPAN])
        yield begin + len(part_NR), part_NR


def write_codes(files: MemoryFiles, keys_NR: np.ndarray, hear: Callable[[int, int], None]) -> float:
    """Write codes, their norms and the centre of all keys; returns the step. ``hear`` is told how many keys of how many are
    done."""
    entries, size = keys_NR.shape
    total_R = torch.zeros(size, dtype=torch.float64)
    for done, part_NR in _spans(keys_NR):
        total_R += part_NR.float().nan_to_num_(0.0, 0.0, 0.0).sum(0, dtype=torch.float64)
        hear(done // 3, entries)
    centre_R = (total_R / entries).float()
    largest = 0.0
    for done, part_NR in _spans(keys_NR):
        apart_NR = centred(part_NR, centre_R).nan_to_num_(0.0, 0.0, 0.0)
        largest = max(largest, *(abs(float(end)) for end in apart_NR.aminmax()))
        hear((entries + done) // 3, entries)
    step = max(largest / LARGEST, float(torch.finfo(torch.float32).tiny))
    codes = Rows(files.codes(entries), np.dtype("i1"), size)
    norms, centre = Rows(files.norms(entries), VALUE), Rows(files.centre(entries), NUMBER)
    for rows in (codes, norms, centre):
        rows.path.unlink(missing_ok=True)
        rows.cut(0)
    for done, part_NR in _spans(keys_NR):
        codes_NR = coded(part_NR, centre_R, step)
        codes.append(codes_NR.numpy())
        norms.append(half_norms(codes_NR).numpy())
        hear((2 * entries + done) // 3, entries)
    centre.append(centre_R.numpy())
    for rows, count in ((codes, entries), (norms, entries), (centre, size)):
        rows.close(count)
    return step
