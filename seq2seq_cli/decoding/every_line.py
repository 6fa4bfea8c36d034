"""Translations of any lines at all: one that cannot be translated does not stop the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from seq2seq_cli.config.sections import DecodingConfig
from seq2seq_cli.data.text import shorten
from seq2seq_cli.decoding.hypothesis import Hypothesis
from seq2seq_cli.decoding.translator import Sampling, Translator, nothing
from seq2seq_cli.errors import UnsearchableError, UserError
from seq2seq_cli.wording import counted

MOST_PIECES = 2000
"""A longer line is left out: searched through, it would take minutes, and the memory of all others."""
MOST_CHARACTERS = 100_000
"""A longer line is not even cut into pieces."""

Told = Callable[[int, str], None]
"""Hears the place of a line among those given, and what is the matter with it: "has ..." or "made ..."."""


def translate_every_line(
    translator: Translator,
    lines: Sequence[str],
    decoding: DecodingConfig,
    sampling: Sampling | None = None,
    replace_unknown: bool = False,
    *,
    long: Told,
    left_out: Told,
) -> list[list[Hypothesis]]:
    """As ``Translator.hypotheses``, but a line that cannot be translated has one empty hypothesis and is told to
    ``left_out``: one of more than MOST_PIECES, and one on which the search fails. One that is longer than any the
    model was trained on is told to ``long``.

    What the search raises on every one of several lines is raised: it does not come from the lines.
    """
    kept = _of_a_length(translator, lines, long, left_out)
    failed: list[Exception] = []

    def search(first: int, part: Sequence[str]) -> list[list[Hypothesis]]:
        numbered = None if sampling is None else replace(sampling, first=sampling.first + first)
        try:
            return translator.hypotheses(part, decoding, numbered, replace_unknown)
        except Exception as problem:  # whatever it is, it may be the fault of one line
            if isinstance(problem, UserError) and not isinstance(problem, UnsearchableError):
                raise
            if len(part) == 1:
                failed.append(problem)
                reason = problem.what if isinstance(problem, UserError) else str(problem) or type(problem).__name__
                left_out(first, f"made the search fail ({shorten(reason, 200)}).")
                return [[nothing()]]
        middle = len(part) // 2
        return search(first, part[:middle]) + search(first + middle, part[middle:])

    found = search(0, kept)
    if len(failed) > 1 and len(failed) == sum(1 for line in kept if line.strip()):
        raise failed[-1]
    return found


def overlong(translator: Translator, lines: Sequence[str]) -> list[int]:
    """The places of the lines of more than MOST_PIECES."""
    return [i for i, ids in enumerate(translator.subwords.src.encode(list(lines))) if len(ids) > MOST_PIECES]


def _of_a_length(translator: Translator, lines: Sequence[str], long: Told, left_out: Told) -> list[str]:
    """``lines``, with an empty one for each that is too long."""
    kept = [line if len(line) <= MOST_CHARACTERS else "" for line in lines]
    trained_on = translator.config.data.max_length
    for i, pieces in enumerate(map(len, translator.subwords.src.encode(kept))):
        if len(lines[i]) > MOST_CHARACTERS:
            left_out(i, f"has {counted(len(lines[i]), 'character')}, more than {MOST_CHARACTERS:,}.")
        elif pieces > MOST_PIECES:
            left_out(i, f"has {counted(pieces, 'piece')}, more than {MOST_PIECES:,}.")
            kept[i] = ""
        elif pieces > trained_on:
            long(i, f"has {counted(pieces, 'piece')}; the model was trained on at most {trained_on}.")
    return kept
