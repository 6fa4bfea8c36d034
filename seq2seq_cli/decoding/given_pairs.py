"""Which given translations are too long to be scored: a single such pair would take the memory that the others need."""

from __future__ import annotations

from collections.abc import Sequence

from seq2seq_cli.decoding.every_line import MOST_CHARACTERS, MOST_PIECES
from seq2seq_cli.decoding.translator import Translator
from seq2seq_cli.wording import counted

ALWAYS_SHORT = MOST_PIECES // 4
"""A line of so few characters never has more than MOST_PIECES, so it need not be tokenised to see that."""


def overlong_pairs(
    translator: Translator, sources: Sequence[str], targets: Sequence[str], pieces: bool = False
) -> dict[int, str]:
    """The pairs with a side longer than what `translate_every_line` translates: their numbers, from 0, and what is the
    matter with each, as in "has ...". ``pieces``: whether the targets are pieces with blanks between them."""
    found: dict[int, str] = {}
    for side, lines, subword in (
        ("source", sources, translator.subwords.src),
        ("target", targets, translator.subwords.tgt),
    ):
        for place, line in enumerate(lines):
            if len(line) <= ALWAYS_SHORT or place in found:
                continue
            if len(line) > MOST_CHARACTERS:
                found[place] = f"has {counted(len(line), 'character')} as its {side}, more than {MOST_CHARACTERS:,}."
                continue
            given_as_pieces = pieces and side == "target"
            count = len(line.split(" ")) if given_as_pieces else len(subword.encode([line])[0])
            if count > MOST_PIECES:
                found[place] = f"has {counted(count, 'piece')} as its {side}, more than {MOST_PIECES:,}."
    return found
