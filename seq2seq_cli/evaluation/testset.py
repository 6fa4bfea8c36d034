"""The test set that a run is evaluated on: its own, or one named for all runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from seq2seq_cli.config.context import Context
from seq2seq_cli.config.sections import DataConfig
from seq2seq_cli.data.corpora import Form, find_test, languages
from seq2seq_cli.data.documents import lines_of
from seq2seq_cli.data.identification import swapped_notes
from seq2seq_cli.data.pairs import Lines, ParallelText
from seq2seq_cli.data.rows import Note, quiet
from seq2seq_cli.errors import RunError
from seq2seq_cli.runs import Run


class FoundTest(NamedTuple):
    """Where a test set is, and its lines."""

    where: str
    lines: Lines


@dataclass(frozen=True)
class FoundTests:
    """Test sets by their names; each is read once, however many runs ask for it."""

    _read: dict[tuple[object, ...], FoundTest] = field(default_factory=dict)

    def of(self, data: DataConfig, run: Run, note: Note = quiet, context: Context | None = None) -> FoundTest:
        """The test set of ``data``, found as by `test_text`; with its documents, if ``context`` is read. Raises DataError also
        where it cannot be read, or nothing tells these."""
        names = (data.test,) if isinstance(data.test, str) else tuple(data.test or ())
        told_by = None if context is None else (data.documents, data.document)
        key = (data.corpus, data.src, data.tgt, names, tuple(data.references), told_by)
        if key not in self._read:
            text = test_text(data, run, note)
            lines = lines_of(text, data, context)
            for swapped in swapped_notes({text.where: lines}, languages(data)):
                note(swapped)
            self._read[key] = FoundTest(text.where, lines)
        return self._read[key]


def with_test(data: DataConfig, test: Form | None, references: Sequence[str] = ()) -> DataConfig:
    """``data`` with the test set ``test`` (and ``references`` as for `open_test`) in place of its own; unchanged where
    ``test`` is None."""
    if test is None:
        return data
    return data.model_copy(
        update={"test": [test] if isinstance(test, str) else list(test), "references": list(references)}
    )


def test_text(data: DataConfig, run: Run, note: Note = quiet) -> ParallelText:  # noqa: PT028 (no test)
    """The test set of ``data``: that of ``run``, or another in its place. ``note`` as for `open_text`. Raises RunError
    where there is none."""
    found = find_test(data, note)
    if found is None:
        raise RunError("this run has no test set.", str(run.directory), "Name one with --test.")
    return found
