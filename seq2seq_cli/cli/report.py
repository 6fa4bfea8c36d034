"""``seq2seq report``: trained runs side by side, as one page to look into."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from seq2seq_cli.cli import checks, options, quick


def report(
    runs: Annotated[
        list[Path] | None, typer.Argument(metavar="[RUN]...", help="Run directories; default: the newest.")
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="The page.")] = Path("report.html"),
    sentences: Annotated[
        int, typer.Option(min=0, help="Sentences to look into, as many of each range of lengths; 0: none.")
    ] = options.SENTENCES,
    *,
    asked: options.ComparisonOptions,
    recall: options.Memories,
) -> None:
    """Compare runs in one page: scores, charts, attention, and sentences to look into.

    Translates the test set with each run, as `eval` does. The page is one file that needs nothing else: it can be
    mailed, printed, and read without a network.

    Examples:

        seq2seq report runs/tatoeba-de-en-bahdanau

        seq2seq report runs/none runs/bahdanau --test P/test -o bottleneck.html
    """
    quick.load_torch()
    from seq2seq_cli import console
    from seq2seq_cli.cli.results import files_of
    from seq2seq_cli.device import set_threads
    from seq2seq_cli.evaluation.systems import compare_runs
    from seq2seq_cli.report.document import write_report
    from seq2seq_cli.report.shown import chosen_rows
    from seq2seq_cli.runs import open_run

    checks.check_paths(files_of(asked.test or []), {"--output": output})
    checks.refuse(str(output) == "-", {"--output": output}, "is a file; a page is not for standard output")
    terms = recall.within(asked.terms(len(runs or []) + len(recall.memory or ()), one_source=True))
    set_threads(asked.threads)
    opened = [open_run(path) for path in runs] if runs else [open_run(None)]
    notes: list[str] = []
    with console.status("translating and scoring") as watch:
        comparison = compare_runs(opened, terms, watch, lambda source: chosen_rows(source, sentences), notes.append)
    for note in dict.fromkeys(notes):
        console.notice(note)
    with console.status("drawing"):
        write_report(comparison, output)
    console.notice(f"written to {output}")
