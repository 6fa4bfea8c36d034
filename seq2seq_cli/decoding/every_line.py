"""Translations of arbitrary lines: a line that cannot be translated does not stop the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from enum import Enum
from typing import NamedTuple

from seq2seq_cli.config.context import Context
from seq2seq_cli.config.sections import DecodingConfig
from seq2seq_cli.data.preceding import previous_lines
from seq2seq_cli.data.text import shorten
from seq2seq_cli.decoding.documents import Before, InContext, Pieces, Search, lines_before
from seq2seq_cli.decoding.hypothesis import Hypothesis
from seq2seq_cli.decoding.sentences import BEST, BEST_PIECES, Details, Sentence
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


class Earlier(NamedTuple):
    """A line before those of a group, and the pieces that it has been translated to (None: not known)."""

    line: str
    said: Pieces | None = None


class LineGroup(NamedTuple):
    """Lines that are translated together; ``first`` is the number of the first of them in their text, from 0. ``earlier``: the
    lines before them, as many as a model looks back at."""

    first: int
    lines: Sequence[str]
    earlier: Sequence[Earlier] = ()


def translate_every_line(
    translator: Translator, group: LineGroup, wanted: Wanted, tell: Tell
) -> list[list[Hypothesis]]:
    """Translate each line of the group as ``wanted``; returns the hypotheses of each line, best first. ``tell`` hears
    of a line that is longer than any the model was trained on, and of a line that cannot be translated: one of more
    than MOST_PIECES, or one on which the search fails. Such a line gets one empty hypothesis.

    If the search fails on every one of several lines, its exception is raised: the lines are not the cause.
    """
    sentences, context = _of_a_length(translator, group, wanted.details, tell), translator.config.reads_before
    failed: list[Exception] = []

    def search(part: Sequence[Sentence]) -> list[list[Hypothesis]]:
        try:
            return translator.search(part, wanted.decoding, wanted.sampling)
        except Exception as problem:  # whatever it is, it may be the fault of one line
            if isinstance(problem, UserError) and not isinstance(problem, UnsearchableError):
                raise
            if len(part) == 1:
                if part[0].number >= group.first:  # the lines before have been told of with their own group
                    failed.append(problem)
                    reason = problem.what if isinstance(problem, UserError) else str(problem) or type(problem).__name__
                    tell(_left_empty(part[0].number, f"made the search fail ({shorten(reason, 200)})."))
                return [[nothing()]]
        middle = len(part) // 2
        return search(part[:middle]) + search(part[middle:])

    found = search(sentences) if context is None else _in_context(translator, group, sentences, context, search)
    if len(failed) > 1 and len(failed) == sum(1 for sentence in sentences if sentence.ids):
        raise failed[-1]
    return found


def _in_context(
    translator: Translator, group: LineGroup, sentences: Sequence[Sentence], context: Context, search: Search
) -> list[list[Hypothesis]]:
    """Translate each line of a group with those before it, of which blank lines part it. Where the decoder looks back at its
    own translations, and those of earlier lines are not known, these are translated once more."""
    lines = [one.line for one in group.earlier]
    earlier = translator.sentences(list(map(_kept, lines)), BEST_PIECES, group.first - len(lines))
    every = [*_without_overlong(earlier), *sentences]
    before = lines_before(previous_lines([*lines, *group.lines]), context.sentences)
    said = {row: one.said for row, one in enumerate(group.earlier) if one.said is not None}
    begin = 0 if context.back.decoder else len(earlier)
    rows = [row for row in range(begin, len(every)) if row not in said]
    _, found = InContext(every, before, context, said).translated(rows, search, translator.subwords.tgt)
    return found[len(found) - len(sentences) :]


def _of_a_length(translator: Translator, group: LineGroup, details: Details, tell: Tell) -> list[Sentence]:
    """The lines, tokenised; a line that is too long has no pieces."""
    sentences = translator.sentences(list(map(_kept, group.lines)), details, group.first)
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


def _kept(line: str) -> str:
    """What is cut into pieces of a line."""
    return line if len(line) <= MOST_CHARACTERS else ""


def _left_empty(number: int, what: str) -> Remark:
    return Remark(Matter.LEFT_EMPTY, f"line {number + 1} {what} It is left empty.")


def _without_overlong(sentences: Sequence[Sentence]) -> list[Sentence]:
    """``sentences``, where each one of more than MOST_PIECES has lost its pieces."""
    return [replace(each, ids=[]) if len(each.ids) > MOST_PIECES else each for each in sentences]


class Best(NamedTuple):
    """The best hypothesis of each of some lines, how many lines are left untranslated because they have more than
    MOST_PIECES, and the lines as they were read."""

    hypotheses: list[Hypothesis]
    too_long: int
    sentences: list[Sentence]


def best_of_each(
    translator: Translator,
    lines: Sequence[str],
    decoding: DecodingConfig | None = None,
    watch: Watch | None = None,
    details: Details = BEST,
    before: Before | None = None,
    rows: Sequence[int] | None = None,
) -> Best:
    """The best translation of each line, or of the lines ``rows`` alone; an empty one for a line of more than MOST_PIECES.
    ``decoding``: the settings (None: the run's own). ``watch`` hears how far the search has come. ``before``: the numbers of
    the lines before each line that a model may look back at, the nearest first; where its decoder does, those that are not among
    ``rows`` are left out."""
    rows = range(len(lines)) if rows is None else rows
    sentences, context, done = translator.sentences(lines, details), translator.config.reads_before, 0
    every = _without_overlong(sentences)

    def search(part: Sequence[Sentence]) -> list[list[Hypothesis]]:
        nonlocal done
        ahead = done
        hear = None if watch is None else lambda now, _: watch(ahead + now, len(rows))
        found = translator.search(part, decoding, watch=hear)
        done += len(part)
        return found

    if context is None or before is None:
        read = [every[row] for row in rows]
        found = search(read)
    else:
        read, found = InContext(every, before, context, {}).translated(rows, search, translator.subwords.tgt)
    too_long = sum(len(sentences[row].ids) > MOST_PIECES for row in rows)
    return Best([hypotheses[0] for hypotheses in found], too_long, read)
