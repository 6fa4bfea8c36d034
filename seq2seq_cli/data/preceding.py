"""Which sentences stand before a sentence in its document."""

from collections.abc import Sequence

import numpy as np

from seq2seq_cli.data.text import clean

NONE = -1
"""Where nothing stands before."""


def previous_of(begins_N: np.ndarray, usable_N: np.ndarray) -> np.ndarray:
    """previous_N (int32): for each pair the number of the pair before it in its document, NONE where there is none. Pairs
    that are not ``usable_N`` are passed over: they stand before no other."""
    numbers_N = np.arange(len(begins_N), dtype=np.int32)
    last_N = np.maximum.accumulate(np.where(usable_N, numbers_N, NONE))
    before_N = np.concatenate([np.full(1, NONE, dtype=np.int32), last_N[:-1]])[: len(begins_N)]
    first_N = np.maximum.accumulate(np.where(begins_N, numbers_N, 0))
    return np.where(before_N >= first_N, before_N, NONE).astype(np.int32)


def before_each(previous_N: np.ndarray, numbers_B: np.ndarray, sentences: int) -> np.ndarray:
    """index_BK: the numbers of the ``sentences`` pairs before each of ``numbers_B``, the nearest first; NONE where there
    are no more."""
    columns, last_B = [], np.asarray(numbers_B)
    for _ in range(sentences):
        # The last entry answers for NONE, which is -1.
        last_B = np.where(last_B == NONE, NONE, previous_N[last_B])
        columns.append(last_B)
    return np.stack(columns, 1)


def after_blanks(blank_N: np.ndarray) -> np.ndarray:
    """begins_N: documents begin at the first line and behind each blank one."""
    return np.concatenate([np.ones(1, dtype=bool), blank_N[:-1]])[: len(blank_N)]


def previous_lines(*sides: Sequence[str]) -> list[int]:
    """For each line the number of the line before it, in documents that blank lines part (NONE: there is none). Of several
    ``sides``, such as a text and its translation: lines that are blank on all sides part them, and one that is blank on any
    stands before no other."""
    blank_SN = np.array([[not clean(line) for line in lines] for lines in sides], dtype=bool)
    begins_N = after_blanks(np.logical_and.reduce(blank_SN))
    previous: list[int] = previous_of(begins_N, ~np.logical_or.reduce(blank_SN)).tolist()
    return previous


def reach(previous: Sequence[int], line: int, sentences: int) -> int:
    """How many lines before this one the ``sentences`` go back that stand before it and those behind it."""
    place = line
    for _ in range(sentences):
        if previous[place] == NONE:
            break
        place = previous[place]
    return line - place


def within(previous: Sequence[int], rows: range) -> list[int]:
    """The same for the lines ``rows`` alone, which are counted from the first of them; NONE where it is not among them."""
    return [line - rows.start if line >= rows.start else NONE for line in previous[rows.start : rows.stop]]
