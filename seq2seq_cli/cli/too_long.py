"""What is said about given pairs that are too long, and what stands in their place."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from itertools import islice

from seq2seq_cli.wording import counted

SHOWN = 5
"""How many pairs are named one by one."""


def warn_of(pairs: Mapping[int, str], consequence: str) -> None:
    """Warn of ``pairs``: what is the matter with each, by its number from 0."""
    from seq2seq_cli import console

    for place, what in islice(sorted(pairs.items()), SHOWN):
        console.warn(f"pair {place + 1} {what} {consequence}")
    if len(pairs) > SHOWN:
        console.warn(f"{counted(len(pairs) - SHOWN, 'more pair')} as long. {consequence}")


def without(lines: Sequence[str], places: Container[int]) -> list[str]:
    """``lines`` with empty lines at these places."""
    return ["" if place in places else line for place, line in enumerate(lines)]
