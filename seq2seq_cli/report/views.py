"""A translation and its attention as a page shows it: the data from which ``page/alignment.js`` builds the words."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from math import isfinite

import numpy as np

from seq2seq_cli.data.subword import END
from seq2seq_cli.data.words import words_of_pieces
from seq2seq_cli.decoding.hypothesis import Hypothesis
from seq2seq_cli.evaluation.alignment import Grid, by_words

DIGITS = 4
"""Decimals of a weight: more than anyone reads, at half the page's size."""


@dataclass(frozen=True)
class Head:
    """Attention weights, a row for each target word, a column for each source word; None where a weight is NaN.

    A local mechanism adds, for each row, its ``centres`` (p_t, in columns, 0 the first) and ``windows`` (stretches of
    columns that were seen, as first and last column), and its ``radius`` D in pieces.
    """

    weights: list[list[float | None]]
    centres: list[float | None] | None = None
    windows: list[list[tuple[int, int]]] | None = None
    radius: int | None = None

    def to_json(self) -> dict[str, object]:
        """Plain keys; those of a local mechanism only where it is one."""
        return {name: value for name, value in vars(self).items() if value is not None}


@dataclass(frozen=True)
class TranslationView:
    """A run's translation of one sentence, word by word, ``</s>`` last on both sides. ``head``: where the model looked;
    None for a model without attention."""

    run: str
    text: str
    source: tuple[str, ...]
    target: tuple[str, ...]
    head: Head | None

    @classmethod
    def of(cls, run: str, source: str, hypothesis: Hypothesis) -> TranslationView:
        """From the ``hypothesis`` of a run, called ``run``, for the line ``source``."""
        if hypothesis.alignment is None:
            target = words_of_pieces((*hypothesis.pieces, END)).texts
            return cls(run, hypothesis.text, (*source.split(), END), target, None)
        grid = by_words(hypothesis.alignment)
        return cls(run, hypothesis.text, grid.source, grid.target, _head(grid, hypothesis.alignment.radius))

    def to_json(self) -> dict[str, object]:
        """Plain keys, with numbers that JSON can hold. The head is in a list, ``heads``, which is empty where there is
        none."""
        told = {name: value for name, value in vars(self).items() if name != "head"}
        return told | {"heads": [] if self.head is None else [self.head.to_json()]}


def _head(grid: Grid, radius: int | None) -> Head:
    weights = [_rounded(row_S) for row_S in grid.weights_TS]
    if grid.seen_TS is None or grid.centre_T is None:
        return Head(weights)
    return Head(weights, _rounded(grid.centre_T), [_stretches(row_S) for row_S in grid.seen_TS], radius)


def _rounded(numbers: np.ndarray) -> list[float | None]:
    return [round(number, DIGITS) if isfinite(number) else None for number in numbers.tolist()]


def _stretches(seen_S: np.ndarray) -> list[tuple[int, int]]:
    columns = np.flatnonzero(seen_S).tolist()
    # In a stretch without a gap, column number and place in the list differ by a constant.
    stretches = [[column for _, column in run] for _, run in groupby(enumerate(columns), lambda at: at[1] - at[0])]
    return [(stretch[0], stretch[-1]) for stretch in stretches]
