"""What a comparison of runs prints, and the files it writes."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from seq2seq_cli.files import expanded

if TYPE_CHECKING:
    from rich.table import Table

    from seq2seq_cli.evaluation.systems import Comparison


@dataclass(frozen=True)
class ResultFiles:
    """Where each kind of result is written. None: it is not. ``-``, for those whose format does not depend on their
    name: to standard output, and nothing else goes there."""

    json: Path | None
    csv: Path | None
    latex: Path | None
    sentences: Path | None
    plot: Path | None

    @property
    def given(self) -> dict[str, Path]:
        """The files that were given, by the names of their options."""
        return {f"--{name}": path for name, path in vars(self).items() if path is not None}

    @property
    def on_standard_output(self) -> bool:
        return any(str(path) == "-" for path in self.given.values())

    def check(self, test: list[str] | None) -> None:
        """Raises UserError for a file that cannot be written, or that would overwrite a file of the test set."""
        from seq2seq_cli.cli.checks import check_paths

        if self.sentences is not None:
            from seq2seq_cli.report.exports import require_sentence_format

            require_sentence_format(self.sentences)
        if self.plot is not None:
            from seq2seq_cli.report.figures import require_format

            require_format(self.plot)
        check_paths(files_of(test or []), self.given)

    def write(self, comparison: Comparison) -> None:
        """Write all of them, and say so."""
        from seq2seq_cli.report.exports import comparison_csv, comparison_latex

        _write(self.json, lambda: json.dumps(comparison.to_json(), indent=2, ensure_ascii=False) + "\n")
        _write(self.csv, lambda: comparison_csv(comparison))
        _write(self.latex, lambda: comparison_latex(comparison))
        self._write_sentences(comparison)
        self._write_plot(comparison)

    def _write_sentences(self, comparison: Comparison) -> None:
        from seq2seq_cli import console
        from seq2seq_cli.evaluation.by_sentence import by_sentence
        from seq2seq_cli.report.exports import sentence_table

        if self.sentences is not None:
            path, told = self.sentences, by_sentence(comparison)
            for signature in told.signatures:
                console.notice(signature)
            _write(path, lambda: sentence_table(told, path))

    def _write_plot(self, comparison: Comparison) -> None:
        if self.plot is not None:
            from seq2seq_cli import console
            from seq2seq_cli.report.curves import save_by_length

            for warning in save_by_length(comparison, self.plot):
                console.warn(warning)
            console.notice(f"written to {self.plot}")


def files_of(text: Sequence[str]) -> list[Path]:
    """The files with these names, and those whose names begin with one of them."""
    found = []
    for path in map(expanded, text):
        if path.parent.is_dir():
            beside = (file for file in path.parent.iterdir() if file.is_file())
            found += [file for file in beside if f"{file.name}.".startswith(f"{path.name}.")]
    return found


def _write(path: Path | None, text: Callable[[], str]) -> None:
    from seq2seq_cli import console

    if path is None:
        return
    with console.text_output(path) as file:
        file.write(text())
    if str(path) != "-":
        console.notice(f"written to {path}")


def print_lengths(comparison: Comparison) -> None:
    """BLEU and chrF by source length: bars on a terminal, columns in a pipe."""
    from seq2seq_cli import console
    from seq2seq_cli.report.bars import length_chart, length_rows

    if sys.stdout.isatty():
        console.table(length_chart(comparison))
        return
    for row in length_rows(comparison):
        console.result("\t".join(row))


def comparison_table(comparison: Comparison) -> Table:
    """A row a run: scores with their intervals and significance, size, speed."""
    from rich.table import Table
    from rich.text import Text

    from seq2seq_cli.report.exports import shown_p

    table = Table(title=Text(comparison.title, "table.title"))
    table.add_column("run", no_wrap=True)
    names = comparison.names
    several = len(names) > 1
    metrics = [head for name in ("BLEU", "chrF", "TER") for head in ((name, "p") if several else (name,))]
    for column in (*metrics, "parameters", "train min", "sent/s"):
        table.add_column(column, justify="right", no_wrap=True)
    for name, evaluation, significance in zip(names, comparison.evaluations, comparison.significance, strict=True):
        cells = []
        for metric in ("bleu", "chrf", "ter"):
            score = getattr(evaluation.scores, metric)
            cells.append(f"{score.value:.2f} [{'-'.join(score.bounds())}]")
            if several:
                cells.append("" if significance is None else shown_p(getattr(significance, metric)))
        table.add_row(
            Text(name),
            *map(Text, cells),
            f"{evaluation.parameters:,}",
            f"{evaluation.training_minutes:.1f}",
            f"{evaluation.sentences_per_second:.0f}",
        )
    return table
