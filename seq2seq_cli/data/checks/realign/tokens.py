"""Lines as numbers of words; both languages share the numbering."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

STEM = 6
"""How many letters of a word count: endings differ more than stems."""
MOST = 64
"""How many distinct words of a line are used."""

_UNSPACED = "\u0e00-\u0eff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
"""Thai, Lao, Tibetan, Burmese, Khmer, kana, Han: there are no spaces between words, so each character counts as one."""
_TOKEN = re.compile(rf"[^\W\d_{_UNSPACED}]+|\d+|[^\s]")
_ACCENTS = re.compile("[\u0300-\u036f]")


class Tokens(NamedTuple):
    """The distinct words of each line, laid end to end, and where each line ends."""

    ids: np.ndarray
    ends: np.ndarray

    @property
    def begins(self) -> np.ndarray:
        return np.concatenate(([0], self.ends[:-1]))

    @property
    def counts(self) -> np.ndarray:
        """How many distinct words each line has."""
        return np.diff(self.ends, prepend=0)

    def of(self, row: int) -> np.ndarray:
        """The words of one line."""
        return self.ids[self.ends[row - 1] if row else 0 : self.ends[row]]


class WordNumbers:
    """Gives each word a number, the same in both languages."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._numbers)

    def tokens(self, lines: Sequence[str]) -> Tokens:
        numbers, ids, ends = self._numbers, [], []
        for line in lines:
            line = line.casefold()
            if not line.isascii():
                line = _ACCENTS.sub("", unicodedata.normalize("NFKD", line))
            words = {word[:STEM] for word in _TOKEN.findall(line)}
            ids += sorted(numbers.setdefault(word, len(numbers)) for word in words)[:MOST]
            ends.append(len(ids))
        return Tokens(np.array(ids, dtype=np.int64), np.array(ends, dtype=np.int64))
