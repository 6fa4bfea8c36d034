"""Translations of arbitrary lines: a line that cannot be translated does not stop the others."""

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
"""A line of more pieces is left untranslated: searching it would take minutes, and memory that the other lines need."""
MOST_CHARACTERS = 100_000
"""A longer line is not even cut into pieces."""


class Matter(Enum):
    """What may be the matter with a line that is read nevertheless; the values are words for several such lines."""

    NOT_UTF8 = "not UTF-8"
    LONG = "longer than any the model was trained on"
    LEFT_EMPTY = "left empty"


class Remark(NamedTuple):
    """What is the matter with a line, and a sentence that names the line and says so."""

    matter: Matter
    text: str


Tell = Callable[[Remark], None]


class LineGroup(NamedTuple):
    """Lines that are translated together; ``first`` is the number of the first of them in their text, from 0."""

    first: int
    lines: Sequence[str]


def translate_every_line(
    translator: Translator, group: LineGroup, wanted: Wanted, tell: Tell
) -> list[list[Hypothesis]]:
    """Translate each line of the group as ``wanted``; returns the hypotheses of each line, best first. ``tell`` hears
    of a line that is longer than any the model was trained on, and of a line that cannot be translated: one of more
    than MOST_PIECES, or one on which the search fails. Such a line gets one empty hypothesis.

    If the search fails on every one of several lines, its exception is raised: the lines are not the cause.
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


def _of_a_length(translator: Translator, group: LineGroup, details: Details, tell: Tell) -> list[Sentence]:
    """The lines, tokenised; a line that is too long has no pieces."""
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
    """``sentences``, where each one of more than MOST_PIECES has lost its pieces."""
    return [replace(each, ids=[]) if len(each.ids) > MOST_PIECES else each for each in sentences]


class Best(NamedTuple):
    """The best hypothesis of each of some lines, and how many lines are left untranslated because they have more than
    MOST_PIECES."""

    hypotheses: list[Hypothesis]
    too_long: int


def best_of_each(
    translator: Translator,
    lines: Sequence[str],
    decoding: DecodingConfig | None = None,
    watch: Watch | None = None,
    details: Details = BEST,
) -> Best:
    """The best translation of each line; an empty one for a line of more than MOST_PIECES. ``decoding``: the settings
    (None: the run's own). ``watch`` hears how far the search has come."""
    sentences = translator.sentences(lines, details)
    found = translator.search(_without_overlong(sentences), decoding, watch=watch)
    too_long = sum(len(sentence.ids) > MOST_PIECES for sentence in sentences)
    return Best([hypotheses[0] for hypotheses in found], too_long)
