"""``seq2seq eval``: trained runs on a test set, side by side."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seq2seq_cli.cli import options

if TYPE_CHECKING:
    from rich.table import Table

    from seq2seq_cli.evaluation.systems import Comparison


def evaluate(
    runs: Annotated[
        list[Path] | None, typer.Argument(metavar="[RUN]...", help="Run directories; default: the newest.")
    ] = None,
    test: Annotated[
        str | None, typer.Option(help="Test text: P/test, a table, a dataset; default: the runs' own.")
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Also write the results here (-: standard output).")
    ] = None,
    beam: options.Beam = None,
    length_penalty: options.LengthPenalty = None,
    batch_tokens: options.BatchTokens = None,
    device: options.Device = "auto",
    precision: options.SearchPrecision = "fp32",
    threads: options.Threads = None,
) -> None:
    """Translate a test set with each run and compare: BLEU, chrF, TER, significance, size, speed.

    In brackets: 95% bootstrap interval. p: paired significance of the difference to the first run.

    Examples:

        seq2seq eval runs/tatoeba-de-en-bahdanau

        seq2seq eval runs/x runs/y --test P/test --json results.json
    """
    from seq2seq_cli import console
    from seq2seq_cli.device import set_threads
    from seq2seq_cli.errors import UserError
    from seq2seq_cli.evaluation.systems import compare_runs
    from seq2seq_cli.runs import open_run

    if json_file is not None and not json_file.absolute().parent.is_dir():
        raise UserError("its folder does not exist.", str(json_file))
    set_threads(threads or 0)
    opened = [open_run(path) for path in runs] if runs else [open_run(None)]
    given = {"beam": beam, "length_penalty": length_penalty, "batch_tokens": batch_tokens}
    with console.status("translating and scoring"):
        comparison = compare_runs(opened, test, given, device or "auto", precision or "fp32")
    results = json.dumps(comparison.to_json(), indent=2, ensure_ascii=False) + "\n"
    if json_file is not None and str(json_file) == "-":
        with console.text_output(None) as file:
            file.write(results)
        return
    console.out().print(_table(comparison))
    for signature in comparison.signatures:
        console.notice(signature)
    for run in opened:
        console.notice(f"translations and scores: {run.decodes}")
    if json_file is not None:
        with console.text_output(json_file) as file:
            file.write(results)
        console.notice(f"written to {json_file}")


def _table(comparison: Comparison) -> Table:
    from rich.table import Table

    table = Table(title=comparison.title)
    table.add_column("run", overflow="fold")
    for column in ("BLEU", "p", "chrF", "p", "TER", "p", "parameters", "train min", "sent/s"):
        table.add_column(column, justify="right")
    for evaluation, significance in zip(comparison.evaluations, comparison.significance, strict=True):
        cells = []
        for metric in ("bleu", "chrf", "ter"):
            score = getattr(evaluation.scores, metric)
            p = "" if significance is None else f"{getattr(significance, metric):.3f}"
            cells += [f"{score.value:.2f} [{score.low:.1f}-{score.high:.1f}]", p]
        table.add_row(
            str(evaluation.run.directory),
            *cells,
            f"{evaluation.parameters:,}",
            f"{evaluation.training_minutes:.1f}",
            f"{evaluation.sentences_per_second:.0f}",
        )
    return table
