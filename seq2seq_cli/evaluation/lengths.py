"""BLEU and chrF by the length of the source sentence: where attention is said to matter."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from seq2seq_cli.evaluation.metrics import Reference, Score, bleu_and_chrf

LONGEST = (0, 5, 10, 15, 20, 30, 40)
"""The words of the longest sentences in each bin; one more bin holds all longer ones. The first bin is for empty
lines."""
FEW = 10
"""A bin of fewer sentences tells little, whatever its interval: it is shown, and marked."""


@dataclass(frozen=True)
class LengthBin:
    """Sentences of ``first`` to ``last`` source words (None: of any length from ``first`` on), by their rows in the
    test set, from 0."""

    first: int
    last: int | None
    rows: tuple[int, ...]

    @property
    def words(self) -> str:
        """As people write it: 6-10, 41+."""
        if self.last is None:
            return f"{self.first}+"
        return str(self.last) if self.first == self.last else f"{self.first}-{self.last}"

    @property
    def count(self) -> str:
        """The number of sentences as text, with a star if there are fewer than FEW."""
        return f"{len(self.rows):,}{'*' if self.few else ''}"

    @property
    def few(self) -> bool:
        return len(self.rows) < FEW


@dataclass(frozen=True)
class LengthScores:
    """One system's scores on the sentences of a ``bin``."""

    bin: LengthBin
    bleu: Score
    chrf: Score

    def to_json(self) -> dict[str, object]:
        """Plain keys."""
        scores = (self.bleu, self.chrf)
        record: dict[str, object] = {"words": self.bin.words, "first": self.bin.first, "last": self.bin.last}
        record |= {"sentences": len(self.bin.rows), "few": self.bin.few}
        record |= {score.name.lower(): score.value for score in scores}
        record["signature"] = {score.name.lower(): score.signature for score in scores}
        return record | {"interval_95": {score.name.lower(): [score.low, score.high] for score in scores}}


def word_count(line: str) -> int:
    """The number of words, which white space separates. In a script without spaces, a phrase counts as a word."""
    return len(line.split())


def length_bins(source: Sequence[str]) -> list[LengthBin]:
    """The bins that are not empty for these sentences, the shortest first."""
    rows_by_bin: dict[int, list[int]] = defaultdict(list)
    for row, line in enumerate(source):
        rows_by_bin[bisect_left(LONGEST, word_count(line))].append(row)
    shortest = (0, *(words + 1 for words in LONGEST))
    longest = (*LONGEST, None)
    return [LengthBin(shortest[i], longest[i], tuple(rows_by_bin[i])) for i in sorted(rows_by_bin)]


def score_by_length(
    source: Sequence[str],
    hypotheses: Sequence[str],
    references: Sequence[Reference],
    tokenizer: str,
) -> list[LengthScores]:
    """Scores of each bin of ``source``, as if it were a test set of its own, each with its own bootstrap interval."""
    scored = []
    for found in length_bins(source):
        translated, wanted = [hypotheses[row] for row in found.rows], [references[row] for row in found.rows]
        scored.append(LengthScores(found, *bleu_and_chrf(translated, wanted, tokenizer)))
    return scored
