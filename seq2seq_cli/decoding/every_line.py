"""Translations of any lines at all: one that cannot be translated does not stop the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from enum import Enum
from typing import NamedTuple

from seq2seq_cli.config.sections import DecodingConfig
from seq2seq_cli.data.text import shorten
from seq2seq_cli.decoding.hypothesis import Hypothesis
from seq2seq_cli.decoding.sentences import BEST, Details, Sentence
from seq2seq_cli.decoding.translator import Translator, Watch, nothing
from seq2seq_cli.decoding.wanted import Wanted
from seq2seq_cli.errors import UnsearchableError, UserError
from seq2seq_cli.wording import counted

MOST_PIECES = 2000
"""A longer line is left out: searched through, it would take minutes, and the memory of all others."""
MOST_CHARACTERS = 100_000
"""A longer line is not even cut into pieces."""


class Matter(Enum):
    """What may be the matter with a line that is read all the same; in words, of several such lines."""

    NOT_UTF8 = "not UTF-8"
    LONG = "longer than any the model was trained on"
    LEFT_EMPTY = "left empty"


class Remark(NamedTuple):
    """What is the matter with a line, and a sentence that names the line and says so."""

    matter: Matter
    text: str


Tell = Callable[[Remark], None]


class Group(NamedTuple):
    """Lines that are translated together; ``first`` is the number of the first of them in their text, from 0."""

    first: int
    lines: Sequence[str]


def translate_every_line(translator: Translator, group: Group, wanted: Wanted, tell: Tell) -> list[list[Hypothesis]]:
    """The translations of each line as they are ``wanted``; one empty hypothesis for a line that cannot be translated,
    which is told: one of more than MOST_PIECES, and one on which the search fails. A line that is longer than any the
    model was trained on is told as well.

    What the search raises on every one of several lines is raised: it does not come from the lines.
    """
    sentences = _of_a_length(translator, group, wanted.details, tell)
    failed: list[Exception] = []

    def search(part: Sequence[Sentence]) -> list[list[Hypothesis]]:
        try:
            return translator.search(part, wanted.decoding, wanted.sampling)
        except Exception as problem:  # whatever it is, it may be the fault of one line
            if isinstance(problem, UserError) and not isinstance(problem, UnsearchableError):
                raise
            if len(part) == 1:
                failed.append(problem)
                reason = problem.what if isinstance(problem, UserError) else str(problem) or type(problem).__name__
                tell(_left_empty(part[0].number, f"made the search fail ({shorten(reason, 200)})."))
                return [[nothing()]]
        middle = len(part) // 2
        return search(part[:middle]) + search(part[middle:])

    found = search(sentences)
    if len(failed) > 1 and len(failed) == sum(1 for sentence in sentences if sentence.ids):
        raise failed[-1]
    return found


def _of_a_length(translator: Translator, group: Group, details: Details, tell: Tell) -> list[Sentence]:
    """The lines, tokenised; one that is too long without a piece."""
    kept = [line if len(line) <= MOST_CHARACTERS else "" for line in group.lines]
    sentences = translator.sentences(kept, details, group.first)
    trained_on = translator.config.data.max_length
    for sentence, line in zip(sentences, group.lines, strict=True):
        has = f"has {counted(len(sentence.ids), 'piece')}"
        if len(line) > MOST_CHARACTERS:
            what = f"has {counted(len(line), 'character')}, more than {MOST_CHARACTERS:,}."
            tell(_left_empty(sentence.number, what))
        elif len(sentence.ids) > MOST_PIECES:
            tell(_left_empty(sentence.number, f"{has}, more than {MOST_PIECES:,}."))
        elif len(sentence.ids) > trained_on:
            what = f"line {sentence.number + 1} {has}; the model was trained on at most {trained_on}."
            tell(Remark(Matter.LONG, what))
    return _without_overlong(sentences)


def _left_empty(number: int, what: str) -> Remark:
    return Remark(Matter.LEFT_EMPTY, f"line {number + 1} {what} It is left empty.")


def _without_overlong(sentences: Sequence[Sentence]) -> list[Sentence]:
    """``sentences``, those of more than MOST_PIECES without a piece."""
    return [replace(each, ids=[]) if len(each.ids) > MOST_PIECES else each for each in sentences]


class Best(NamedTuple):
    """The best hypothesis of each of some lines, and how many of these were left empty: of more than MOST_PIECES."""

    hypotheses: list[Hypothesis]
    too_long: int


def best_of_each(
    translator: Translator,
    lines: Sequence[str],
    decoding: DecodingConfig | None = None,
    watch: Watch | None = None,
    details: Details = BEST,
) -> Best:
    """The best translation of each line, an empty one where it has more than MOST_PIECES. ``decoding``: the run's own where
    None; ``watch`` hears of the search."""
    sentences = translator.sentences(lines, details)
    found = translator.search(_without_overlong(sentences), decoding, watch=watch)
    too_long = sum(len(sentence.ids) > MOST_PIECES for sentence in sentences)
    return Best([hypotheses[0] for hypotheses in found], too_long)
