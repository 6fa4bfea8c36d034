"""``seq2seq eval``: trained runs on a test set, side by side."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from seq2seq_cli.cli import checks, options, quick


def evaluate(
    runs: Annotated[
        list[Path] | None, typer.Argument(metavar="[RUN]...", help="Run directories; default: the newest.")
    ] = None,
    *,
    asked: options.ComparisonOptions,
    glossary: options.GlossaryFile = None,
    calibrate: Annotated[
        bool,
        typer.Option(
            "--calibrate",
            help="Learn on each run's dev text how sure its translations may be, for --confidence; tell the error on the test.",
            rich_help_panel="Results",
        ),
    ] = False,
    recall: options.Memories,
    context: Annotated[
        list[str] | None,
        typer.Option(
            help="Of models that read the sentences before: real (the default), shuffled (another document's) or none; "
            "repeatable. shuffled is tested against real.",
            rich_help_panel="Search",
        ),
    ] = None,
    by_length: Annotated[
        bool, typer.Option("--by-length", help="Also show BLEU and chrF by source length.", rich_help_panel="Results")
    ] = False,
    plot: Annotated[
        Path | None,
        typer.Option(help="Draw BLEU by source length: .png, .svg or .pdf.", rich_help_panel="Results"),
    ] = None,
    sentences: Annotated[
        Path | None,
        typer.Option(help="Write every sentence with its scores: .tsv, .csv or .jsonl.", rich_help_panel="Results"),
    ] = None,
    csv_file: Annotated[
        Path | None,
        typer.Option("--csv", help="Write the table as CSV (-: standard output).", rich_help_panel="Results"),
    ] = None,
    latex_file: Annotated[
        Path | None, typer.Option("--latex", help="The same for LaTeX's booktabs.", rich_help_panel="Results")
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="The same and scores by length as JSON.", rich_help_panel="Results")
    ] = None,
) -> None:
    """Translate a test set with each run and compare: BLEU, chrF, TER, significance, size, speed.

    In brackets: 95% bootstrap interval. p: paired significance of the difference to the first run.
    Lengths are in words of the source, as white space parts them.

    Examples:

        seq2seq eval runs/tatoeba-de-en-bahdanau --by-length

        seq2seq eval runs/x --calibrate

        seq2seq eval runs/x runs/y --test P/test --plot lengths.pdf --latex table.tex --sentences all.tsv

        seq2seq eval runs/documents --context shuffled --context none
    """
    quick.load_torch()
    from seq2seq_cli import console
    from seq2seq_cli.cli.results import ResultFiles, comparison_table, print_lengths
    from seq2seq_cli.data.glossary import Glossary
    from seq2seq_cli.device import set_threads
    from seq2seq_cli.evaluation.contexts import controls
    from seq2seq_cli.evaluation.systems import compare_runs
    from seq2seq_cli.report.exports import context_lines
    from seq2seq_cli.runs import open_run

    files = ResultFiles(json_file, csv_file, latex_file, sentences, plot)
    files.check(asked.test)
    checks.refuse(files.on_standard_output, {"--by-length": by_length or None}, "is not for results on standard output")
    opened = [open_run(path) for path in runs] if runs else [open_run(None)]
    contexts = controls(context or [], opened)
    count = (len(opened) + len(recall.memory or ())) * len(contexts)
    one_source = by_length or plot is not None or sentences is not None
    terms = recall.within(asked.terms(count, one_source, contexts=contexts))
    terms = replace(terms, glossary=None if glossary is None else Glossary.read(glossary), calibrate=calibrate)
    set_threads(asked.threads)
    notes: list[str] = []
    with console.status("translating and scoring") as watch:
        comparison = compare_runs(opened, terms, watch, note=notes.append)
    for note in dict.fromkeys(notes):
        console.notice(note)
    if not files.on_standard_output:
        console.table(comparison_table(comparison))
        if by_length:
            print_lengths(comparison)
    for line in (*comparison.evaluations[0].notes, *comparison.signatures, *context_lines(comparison)):
        console.notice(line)
    for evaluation in comparison.evaluations:
        if evaluation.obeyed is not None:
            console.notice(f"{evaluation.label}: {evaluation.obeyed}")
        if evaluation.calibration_error is not None:
            console.notice(f"{evaluation.label}: confidence: {evaluation.calibration_error}")
        for line in evaluation.attention_lines:
            console.notice(line)
    for run in opened:
        console.notice(f"translations and scores: {run.decodes}")
    files.write(comparison)
