"""The test set that a run is evaluated on: its own, or one that is named for all runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from seq2seq_cli.config.sections import DataConfig
from seq2seq_cli.data.corpora import Form, find_test
from seq2seq_cli.data.pairs import Lines, ParallelText
from seq2seq_cli.data.rows import Note, quiet
from seq2seq_cli.errors import RunError
from seq2seq_cli.runs import Run


class FoundTest(NamedTuple):
    """Where a test set is, and what it holds."""

    where: str
    lines: Lines


@dataclass(frozen=True)
class FoundTests:
    """Test sets as they are named, each read once, whichever runs ask for it."""

    _read: dict[tuple[object, ...], FoundTest] = field(default_factory=dict)

    def of(self, data: DataConfig, run: Run, note: Note = quiet) -> FoundTest:
        """That of ``data``, as `test_text` finds it. Raises DataError also where it cannot be read."""
        names = (data.test,) if isinstance(data.test, str) else tuple(data.test or ())
        key = (data.corpus, data.src, data.tgt, names, tuple(data.references))
        if key not in self._read:
            text = test_text(data, run, note)
            self._read[key] = FoundTest(text.where, Lines.read(text))
        return self._read[key]


def with_test(data: DataConfig, test: Form | None, references: Sequence[str] = ()) -> DataConfig:
    """The text of a run with the test set ``test``, and ``references`` as for `open_test`, in place of its own; ``data``
    where ``test`` is None."""
    if test is None:
        return data
    return data.model_copy(
        update={"test": [test] if isinstance(test, str) else list(test), "references": list(references)}
    )


def test_text(data: DataConfig, run: Run, note: Note = quiet) -> ParallelText:  # noqa: PT028 (no test)
    """The test set of ``data``, which is that of ``run`` or one in its place; ``note`` as for `open_text`. Raises RunError
    where there is none."""
    found = find_test(data, note)
    if found is None:
        raise RunError("this run has no test set.", str(run.directory), "Name one with --test.")
    return found
