"""``seq2seq report``: trained runs side by side, as one page to look into."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from seq2seq_cli.cli import options


def report(
    runs: Annotated[
        list[Path] | None, typer.Argument(metavar="[RUN]...", help="Run directories; default: the newest.")
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="The page.")] = Path("report.html"),
    test: options.TestOfRuns = None,
    references: options.References = None,
    sentences: Annotated[
        int, typer.Option(min=0, help="Sentences to look into, as many of each range of lengths; 0: none.")
    ] = options.SENTENCES,
    significance: Annotated[str | None, typer.Option(help="Paired test: randomisation or bootstrap.")] = None,
    tokenizer: options.Tokenizer = None,
    beam: options.Beam = None,
    length_penalty: options.LengthPenalty = None,
    batch_tokens: options.BatchTokens = None,
    device: options.Device = "auto",
    precision: options.SearchPrecision = "fp32",
    threads: options.Threads = None,
) -> None:
    """Compare runs in one page: scores, charts, attention, and sentences to look into.

    Translates the test set with each run, as `eval` does. The page is one file that needs nothing else: it can be
    mailed, printed, and read without a network.

    Examples:

        seq2seq report runs/tatoeba-de-en-bahdanau

        seq2seq report runs/none runs/bahdanau --test P/test -o bottleneck.html
    """
    from seq2seq_cli import console
    from seq2seq_cli.cli.results import files_of
    from seq2seq_cli.device import set_threads
    from seq2seq_cli.evaluation.metrics import find_paired_test
    from seq2seq_cli.evaluation.systems import compare_runs
    from seq2seq_cli.evaluation.tokenizers import find_tokenizer
    from seq2seq_cli.report.document import write_report
    from seq2seq_cli.report.shown import chosen_rows
    from seq2seq_cli.runs import open_run

    options.check_paths(files_of(test or []), {"--output": output})
    options.refuse(str(output) == "-", {"--output": output}, "is a file; a page is not for standard output")
    options.refuse(len(runs or []) < 2, {"--significance": significance}, "needs two runs or more")
    options.refuse(not test, {"--reference": references}, "needs --test")
    paired_test = find_paired_test(significance or "randomisation")
    scored_with = None if tokenizer is None else find_tokenizer(tokenizer)
    set_threads(threads or 0)
    opened = [open_run(path) for path in runs] if runs else [open_run(None)]
    given = {"beam": beam, "length_penalty": length_penalty, "batch_tokens": batch_tokens}
    notes: list[str] = []
    with console.status("translating and scoring") as watch:
        comparison = compare_runs(
            opened, test or None, given, device or "auto", precision or "fp32", paired_test,
            one_source=True, keep=lambda source: chosen_rows(source, sentences),
            tokenizer=scored_with, note=notes.append, watch=watch, references=references or (),
        )  # fmt: skip
    for note in dict.fromkeys(notes):
        console.notice(note)
    with console.status("drawing"):
        write_report(comparison, output)
    console.notice(f"written to {output}")
