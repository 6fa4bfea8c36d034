"""Blocks of lines that are not each other's translations, among lines that are."""

import numpy as np
import pytest

from seq2seq_cli.data.checks import shifts
from seq2seq_cli.data.checks.chunk import RECORD
from seq2seq_cli.data.checks.shifts import Block, suspicious_blocks


def records(count: int, seed: int = 1, noise: float = 0.2) -> np.ndarray:
    """Pairs whose lengths go together, like those of captions: a correlation of 0.87 for a ``noise`` of 0.2."""
    rng = np.random.default_rng(seed)
    found = np.zeros(count, dtype=RECORD)
    size = rng.normal(4, 0.35, count)
    found["chars"][:, 0] = np.exp(size)
    found["chars"][:, 1] = np.exp(size + rng.normal(0.1, noise, count))
    found["features"][:, :, 2] = rng.poisson(0.5, count)[:, None]
    return found


def blocks_of(found: np.ndarray, extra: int = 0) -> list[Block]:
    """Those of the highest sums that do not touch each other, in order."""
    kept: list[Block] = []
    suspicious = suspicious_blocks(lambda begin, end: found[begin:end], len(found), extra, lambda done: None)
    for block in sorted(suspicious, key=lambda block: -block.score):
        if all(block.last < other.first or other.last < block.first for other in kept):
            kept.append(block)
    return sorted(kept, key=lambda block: block.first)


@pytest.mark.parametrize("seed", range(5))
def test_nothing_is_found_in_clean_text(seed: int) -> None:
    assert blocks_of(records(10_000, seed)) == []


@pytest.mark.parametrize("offset", [-20, -3, 1, 7])
@pytest.mark.parametrize("first", [0, 3000, 4000, 9800])
def test_a_shifted_block_is_found(first: int, offset: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shifts, "BLOCK", 4096)
    found = records(10_000)
    for name in ("chars", "features"):
        found[name][first : first + 200, 1] = np.roll(found[name][first : first + 200, 1], offset, axis=0)
    block = max(blocks_of(found), key=lambda block: block.score)
    assert block.offset == offset
    assert abs(block.first - first) <= 25
    assert abs(block.last - (first + 199)) <= 25


def test_a_block_in_no_order_is_found() -> None:
    found = records(10_000)
    order = np.random.default_rng(2).permutation(400)
    for name in ("chars", "features"):
        found[name][4000:4400, 1] = found[name][4000:4400, 1][order]
    (block,) = blocks_of(found)
    assert block.offset is None
    assert (abs(block.first - 4000) < 25, abs(block.last - 4399) < 25) == (True, True)


def test_a_text_that_is_shifted_almost_as_a_whole() -> None:
    found = records(10_000)
    for name in ("chars", "features"):
        found[name][100:-1, 1] = found[name][101:, 1].copy()
    (block,) = blocks_of(found, extra=1)
    assert block.offset == -1
    assert abs(block.first - 100) <= 15


def test_more_lines_than_are_in_reach_are_looked_for_where_the_files_differ_by_them() -> None:
    found = records(10_000)
    for name in ("chars", "features"):
        found[name][:-500, 1][6000:] = found[name][500:, 1][6000:].copy()
    found = found[:-500]
    (block,) = blocks_of(found, extra=500)
    assert block.offset == -500
    assert 5985 <= block.first <= 6515  # the lines from 6000 to 6499 have no translation at all
    assert [block.offset for block in blocks_of(found)] == [None]


def test_nothing_is_said_of_sides_that_have_nothing_in_common() -> None:
    found = records(5000)
    found["chars"][:, 1] = np.random.default_rng(2).permutation(found["chars"][:, 1])
    found["features"] = 0
    assert blocks_of(found) == []
    assert blocks_of(records(shifts.FEWEST - 1)) == []


def test_a_sum_that_rises_is_a_block_however_its_rows_are_parted() -> None:
    steps = np.full(1000, -1.0)
    steps[[*range(100, 160), *range(700, 790)]] = 1.5
    whole = [(100, 159, 90.0), (700, 789, 135.0)]
    for size in (1, 7, 130, 150, 1000):
        total = shifts._Sum()
        for begin in range(0, 1000, size):
            total.add(steps[begin : begin + size], begin)
        assert list(total.ended()) == whole
