"""Where a model looked in the sentences before: at which of them, and at which of its words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from torch import Tensor

from seq2seq_cli.data.subword import END, SPACE
from seq2seq_cli.decoding.hypothesis import Alignment, Role
from seq2seq_cli.model.types import Look

KEPT = "[kept]"
"""The column of what was kept of a state, or of the weight that stayed in the sentence itself."""
NEVER = 1e-30
"""Less than any weight that is not zero."""


class Read(NamedTuple):
    """The ``pieces`` that look, without ``</s>``, and those of the sentences ``before``, the nearest first."""

    pieces: Sequence[str]
    before: Sequence[Sequence[str]]


def sentence_column(number: int) -> str:
    """The name of the column that holds the weight of a whole sentence, ``number`` sentences before."""
    return f"[-{number}]"


def both_levels(look: Look, row: int, read: Read, sentences: int, role: Role) -> Alignment:
    """The look of row ``row`` by hierarchical attention, which has room for so many ``sentences``: a row for each piece that looks;
    of each sentence before, in their order, a column with its weight, and behind that its pieces and ``</s>``, whose weights
    sum to one; at last, what was kept of the state.

    ``role``: ITSELF where the source looked, CROSS where the translation did.
    """
    assert look.kept_BT is not None
    weights_TS, kept_T = (_numbers(x[row])[: len(read.pieces) + 1] for x in (look.weights_BTS, look.kept_BT))
    length = weights_TS.shape[1] // sentences
    starts = [number * length for number in range(len(read.before))]
    return _laid_out(weights_TS, starts, kept_T, read, role)


def in_front(weights_TS: Tensor, read: Read) -> Alignment:
    """The same for a model that reads the sentences before in front of the source: the weight that lies on each of them, and
    how it is shared out among its words; at last, the weight that stayed in the sentence itself."""
    numbers_TS = _numbers(weights_TS)[: len(read.pieces) + 1]
    ends = np.cumsum([0, *(len(sentence) + 1 for sentence in reversed(read.before))]).tolist()
    kept_T = numbers_TS[:, ends[-1] :].sum(1)
    return _laid_out(numbers_TS, ends[-2::-1], kept_T, read, Role.CROSS)


def _numbers(x: Tensor) -> np.ndarray:
    numbers: np.ndarray = x.float().cpu().numpy()
    return numbers


def _laid_out(weights_TS: np.ndarray, starts: Sequence[int], kept_T: np.ndarray, read: Read, role: Role) -> Alignment:
    """``starts``: the positions at which the sentences before begin, the nearest first."""
    names, columns = list[str](), list[np.ndarray]()
    for number in range(len(read.before) - 1, -1, -1):
        sentence = (*read.before[number], END)
        own_TS = weights_TS[:, starts[number] : starts[number] + len(sentence)]
        whole_T1 = own_TS.sum(1, keepdims=True)
        names += [SPACE + sentence_column(number + 1), *sentence]
        columns += [whole_T1, own_TS / np.maximum(whole_T1, NEVER)]
    columns.append(kept_T[:, None])
    weights = np.concatenate(columns, 1).astype(np.float32)
    return Alignment((*names, SPACE + KEPT), (*read.pieces, END), weights, role=role)
