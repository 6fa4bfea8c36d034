"""Test sets that hold several references themselves, such as those of WMT."""

from __future__ import annotations

from dataclasses import replace

from seq2seq_cli.data.aligned import SegmentFiles
from seq2seq_cli.data.pairs import Joined, ParallelText
from seq2seq_cli.data.tables import Table


def by_reference(text: ParallelText) -> list[ParallelText]:
    """``text`` itself, then one copy of it for each further reference it holds, with that reference as its target.
    Raises DataError where it cannot be read."""
    return [text, *(_with(text, number) for number in range(1, _most(text)))]


def _most(text: ParallelText) -> int:
    if isinstance(text, Joined):
        return max(map(_most, text.parts)) if all(isinstance(part, SegmentFiles | Table) for part in text.parts) else 1
    return text.most_references() if isinstance(text, SegmentFiles | Table) else 1


def _with(text: ParallelText, number: int) -> ParallelText:
    if isinstance(text, Joined):
        return replace(text, parts=tuple(_with(part, number) for part in text.parts))
    assert isinstance(text, SegmentFiles | Table)
    return replace(text, reference=number)
