"""Sentences with the sentences before them: each is translated when what it is to look back at is there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from seq2seq_cli.config.context import Context
from seq2seq_cli.data.neighbours import Neighbour
from seq2seq_cli.data.preceding import NONE, before_each
from seq2seq_cli.data.subword import Subword
from seq2seq_cli.decoding.hypothesis import Hypothesis
from seq2seq_cli.decoding.sentences import Sentence

Pieces = tuple[int, ...]
Search = Callable[[Sequence[Sentence]], list[list[Hypothesis]]]
"""Translates sentences that need nothing of each other."""
Before = Sequence[Sequence[int]]
"""For each line the numbers of the lines before it that are looked back at, the nearest first."""


def lines_before(previous: Sequence[int], sentences: int) -> list[list[int]]:
    """The numbers of the ``sentences`` lines before each line, of which ``previous`` tells the nearest."""
    index_NK = before_each(np.array(previous, dtype=np.int32), np.arange(len(previous)), sentences)
    return [[line for line in row if line != NONE] for row in index_NK.tolist()]


class Translated(NamedTuple):
    """Sentences with those before them, as they were read, and the hypotheses of each."""

    sentences: list[Sentence]
    hypotheses: list[list[Hypothesis]]


@dataclass(frozen=True)
class InContext:
    """Lines of a text, tokenised, and which of them stand ``before`` each. ``context``: what the model reads of these; ``said``:
    translations that are known already, by the number of the line."""

    sentences: Sequence[Sentence]
    before: Before
    context: Context
    said: Mapping[int, Pieces]

    def of(self, row: int) -> Sentence:
        """The sentence with those before it. One without pieces is left out, and where the decoder looks back also one without
        a translation: nothing can be read of them, and no training has shown them."""
        known = [line for line in self.before[row] if self.sentences[line].ids]
        if self.context.back.decoder:
            known = [line for line in known if self.said.get(line)]
        return replace(self.sentences[row], before=tuple(map(self._neighbour, known)))

    def _neighbour(self, line: int) -> Neighbour:
        longest = self.context.longest
        return Neighbour(tuple(self.sentences[line].ids[:longest]), self.said.get(line, ())[:longest])

    def translated(self, rows: Sequence[int], search: Search, subword: Subword) -> Translated:
        """These lines, translated. Where the decoder looks back at its own translations, a sentence waits for
        those before it: the first sentences of all documents are translated together, then the second ones, and so on.
        ``subword``: the target's, which made the pieces."""
        if not self.context.back.decoder:
            read = [self.of(row) for row in rows]
            return Translated(read, search(read))
        said, sentences, found = dict(self.said), dict[int, Sentence](), dict[int, list[Hypothesis]]()
        for wave in _waves(rows, self.before):
            ready = replace(self, said=said)
            read = [ready.of(row) for row in wave]
            for row, sentence, hypotheses in zip(wave, read, search(read), strict=True):
                sentences[row], found[row] = sentence, hypotheses
                said[row] = tuple(subword.ids(list(hypotheses[0].pieces)))
        return Translated([sentences[row] for row in rows], [found[row] for row in rows])


def _waves(rows: Sequence[int], before: Before) -> list[list[int]]:
    """The rows, each in a wave behind those that it looks back at."""
    among = set(rows)
    waiting = {row: set(before[row]) & among for row in rows}
    readers: dict[int, list[int]] = {}
    for row, lines in waiting.items():
        for line in lines:
            readers.setdefault(line, []).append(row)
    waves = [[row for row in rows if not waiting[row]]]
    while waves[-1]:
        ready = []
        for line in waves[-1]:
            for row in readers.get(line, ()):
                waiting[row].remove(line)
                if not waiting[row]:
                    ready.append(row)
        waves.append(sorted(ready))
    return waves[:-1]


def documents(rows: Sequence[int], previous: Sequence[int]) -> list[list[int]]:
    """The rows, document by document."""
    first: dict[int, int] = {}
    for line, nearest in enumerate(previous):
        first[line] = line if nearest == NONE else first[nearest]
    found: dict[int, list[int]] = {}
    for row in rows:
        found.setdefault(first[row], []).append(row)
    return list(found.values())
