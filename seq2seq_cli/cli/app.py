"""The command line: which commands there are, and what becomes of errors. Imports nothing slow."""

from __future__ import annotations

import errno
import os
import sys
from typing import Annotated

import typer

from seq2seq_cli import signals
from seq2seq_cli.cli.align import align
from seq2seq_cli.cli.attentions import attentions
from seq2seq_cli.cli.check_data import check_data
from seq2seq_cli.cli.compare import compare
from seq2seq_cli.cli.config import app as config_app
from seq2seq_cli.cli.evaluate import evaluate
from seq2seq_cli.cli.plot import plot
from seq2seq_cli.cli.prepare import prepare
from seq2seq_cli.cli.report import report
from seq2seq_cli.cli.score import score
from seq2seq_cli.cli.serve import serve
from seq2seq_cli.cli.train import train
from seq2seq_cli.cli.translate import translate
from seq2seq_cli.errors import UserError
from seq2seq_cli.runs import DISK_FULL

app = typer.Typer(
    name="seq2seq",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.command("train")(train)
app.command("compare")(compare)
app.command("check-data")(check_data)
app.command("prepare")(prepare)
app.command("translate")(translate)
app.command("eval")(evaluate)
app.command("plot")(plot)
app.command("report")(report)
app.command("score")(score)
app.command("align")(align)
app.command("serve")(serve)
app.command("attentions")(attentions)
app.add_typer(config_app, name="config")


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"seq2seq {version('seq2seq-cli')}")
        raise typer.Exit


@app.callback()
def seq2seq(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Train, run and look into RNN translators whose attention can be swapped.

    Begin with: `seq2seq train --attention bahdanau --max-minutes 10`
    """


def main() -> None:
    """Run a command. Exit status: 0 done, 2 the user's to mend, 128 and a signal's number where that ended it (130 for
    Ctrl-C), 1 a bug (with its traceback); 3 of check-data: damage was found."""
    try:
        # All commands end alike, and in order: what is half written is taken away, and how to go on is said.
        with signals.answered(signals.stop):
            app()
    except SystemExit as end:
        # typer makes a status of every KeyboardInterrupt, the same one.
        stopped = _cause(end)
        if stopped is None:
            raise
        sys.exit(stopped.status)
    except UserError as problem:
        from seq2seq_cli import console

        console.error(problem)
        sys.exit(2)
    except KeyboardInterrupt as end:
        sys.exit(end.status if isinstance(end, signals.Stopped) else 130)
    except BrokenPipeError:  # the reader has gone
        _leave_standard_output()
        sys.exit(141)
    except OSError as problem:
        if problem.errno not in (*DISK_FULL, errno.EROFS, errno.EACCES):
            raise
        from seq2seq_cli import console

        full = problem.errno in DISK_FULL
        what = "there is no room left on the disk." if full else f"cannot be used: {problem.strerror}."
        console.error(UserError(what, str(problem.filename or "output")))
        if problem.filename is None:
            _leave_standard_output()
        sys.exit(2)


def _cause(end: BaseException | None) -> signals.Stopped | None:
    """The signal behind it, if any."""
    while end is not None and not isinstance(end, signals.Stopped):
        end = end.__cause__ or end.__context__
    return end


def _leave_standard_output() -> None:
    """Point it away, or closing it at exit would complain again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
