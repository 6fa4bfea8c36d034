"""``seq2seq compare``: what attention, or another model, changes, everything else being the same."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seq2seq_cli.cli import checks, options, quick, streams
from seq2seq_cli.kinds.layers import MODELS
from seq2seq_cli.wording import counted

KINDS = "none,bahdanau,luong-general,local-p"
"""What is compared where nothing is named."""

if TYPE_CHECKING:
    from rich.table import Table

    from seq2seq_cli.data.prepare import Prepared, Report
    from seq2seq_cli.evaluation.seeds import SystemSummary
    from seq2seq_cli.training.comparison import Planned
    from seq2seq_cli.training.experiment import Happening


def compare(
    run: Annotated[
        Path, typer.Option("--run", help="Directory of the comparison; a run directory for each kind in it.")
    ],
    attentions: Annotated[
        str | None,
        typer.Option(
            metavar="KINDS",
            help=f"Attention kinds with commas between, or all (see `seq2seq attentions`); default: {KINDS}, or where "
            "--models are named the settings' own.",
        ),
    ] = None,
    models: Annotated[
        str | None,
        typer.Option(metavar="MODELS", help=f"Models with commas between, of {', '.join(MODELS)}."),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, max=1000, help="Trainings of each, with seeds one apart.")] = 1,
    *,
    texts: options.Texts,
    settings: options.Settings,
    training: options.Training,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Train anew what is there already.")] = False,
) -> None:
    """Train the same model with several attentions, or several models, test them all, and write a page that shows the
    differences.

    Text, vocabulary, sizes, budget and seeds are the same for all; attention and layers may add parameters, and how
    many is said. What a file sets for other layers or for another attention is left out, which is said. Given again, the command goes on where it was interrupted, and adds kinds and seeds to what is done.

    Examples:

        seq2seq compare --config configs/small.toml --run runs/cmp

        seq2seq compare --attentions none,bahdanau --seeds 3 --corpus bible-es-en --max-minutes 30 --run runs/bible

        seq2seq compare --models rnn,transformer,hybrid --run runs/models
    """
    quick.load_torch()
    from seq2seq_cli import console
    from seq2seq_cli.cli.results import comparison_table, print_lengths
    from seq2seq_cli.device import set_threads
    from seq2seq_cli.evaluation.seeds import sizes, summaries
    from seq2seq_cli.evaluation.systems import Terms, compare_runs
    from seq2seq_cli.files import refuse_ways_out
    from seq2seq_cli.report.document import write_report
    from seq2seq_cli.report.shown import chosen_rows
    from seq2seq_cli.runs import ComparisonFiles, write_json
    from seq2seq_cli.training.comparison import planned_runs
    from seq2seq_cli.training.sitting import prepared_text

    streams.do_without_output()
    files = ComparisonFiles(run)
    if run.is_dir():
        refuse_ways_out(run)
    if attentions is None and models is None:
        attentions = KINDS
    checks.warn_of_packages(attentions or "")
    flags = texts.flags | training.flags
    plan = planned_runs(models, attentions, seeds, files, settings.config, settings.changes, flags)
    for planned in plan:
        planned.check(overwrite)
    for system, left_out in {planned.system: planned.left_out for planned in plan}.items():
        if left_out:
            console.notice(f"{system}: without {', '.join(left_out)} of {settings.config}, which it does not take")
    first = plan[0].config
    used = set_threads(first.training.threads)
    with console.stages() as report:
        prepared = prepared_text(first, used, report)
    _train(plan, prepared, overwrite)
    terms = Terms(
        first.data.test,
        first.data.references,
        first.decoding.model_dump(),
        one_source=True,
        device=first.training.device,
    )
    with console.status("translating and scoring") as watch:
        comparison = compare_runs(
            [planned.run for planned in plan], terms, watch, lambda source: chosen_rows(source, options.SENTENCES)
        )
    rows = summaries(comparison)
    console.table(comparison_table(comparison))
    print_lengths(comparison)
    if seeds > 1:
        console.table(_seeds_table(rows))
    for line in (*comparison.evaluations[0].notes, *comparison.signatures, sizes(rows)):
        console.notice(line)
    write_json(files.results, {"runs": comparison.to_json(), "systems": [asdict(row) for row in rows]})
    with console.status("drawing"):
        write_report(comparison, files.report)
    console.notice(f"scores: {files.results}")
    console.notice(f"Open it in a browser: {files.report}")


def _train(plan: list[Planned], prepared: Prepared, overwrite: bool) -> None:
    """Train every run that is not done yet."""
    from seq2seq_cli import console
    from seq2seq_cli.cli.live import follow

    again = ", without --overwrite" if overwrite else ""
    done = [planned.is_done(prepared) and not overwrite for planned in plan]
    if (minutes := plan[0].config.training.max_minutes) is not None and not all(done):
        console.notice(_budget(done.count(False), minutes))
    for number, (planned, is_done) in enumerate(zip(plan, done, strict=True), start=1):
        told = f"run {number} of {len(plan)}: {planned.system}, seed {planned.seed}"
        if is_done:
            console.notice(f"{told}: done before")
            continue
        console.notice(told)
        follow(partial(_trained, planned, overwrite), planned.config, go_on=lambda _: f"the same command{again}")


def _budget(runs: int, minutes: float) -> str:
    """What a comparison of so many runs under a time limit will take."""
    from seq2seq_cli.training.limit import AFTERWARDS

    whole = runs * minutes * (1 + AFTERWARDS)
    return (
        f"{counted(runs, 'run')} to train, at most {minutes:g} minutes each and a tenth more for what follows: "
        f"{counted(max(1, round(whole)), 'minute')} in all, and then the test of all runs together"
    )


def _trained(planned: Planned, overwrite: bool, report: Report) -> Iterator[Happening]:
    """What happens in one of the runs, except for the message that there was no time for its test: all runs are tested
    in the end."""
    from seq2seq_cli.training.closing import TEST, LeftOut

    for event in planned.experiment(overwrite, report):
        if not (isinstance(event, LeftOut) and event.what == TEST):
            yield event


def _seeds_table(rows: list[SystemSummary]) -> Table:
    from rich.table import Table

    table = Table(title=f"mean of {counted(rows[0].seeds, 'seed')}, and the standard deviation of single runs")
    table.add_column("model", no_wrap=True)
    for column in ("BLEU", "chrF", "parameters", "train min"):
        table.add_column(column, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(
            row.system,
            f"{row.bleu:.2f} ± {row.bleu_deviation:.2f}",
            f"{row.chrf:.2f} ± {row.chrf_deviation:.2f}",
            f"{row.parameters:,}",
            f"{row.training_minutes:.1f}",
        )
    return table
