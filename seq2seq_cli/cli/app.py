"""The command line: which commands there are, and how errors are shown. Imports nothing slow."""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable
from typing import Annotated, NoReturn

import typer

from seq2seq_cli import signals
from seq2seq_cli.cli import quick, streams
from seq2seq_cli.cli.align import align
from seq2seq_cli.cli.arguments import Command, Group, with_paths_expanded
from seq2seq_cli.cli.attentions import attentions
from seq2seq_cli.cli.blocks import with_blocks
from seq2seq_cli.cli.check_data import check_data
from seq2seq_cli.cli.compare import compare
from seq2seq_cli.cli.config import app as config_app
from seq2seq_cli.cli.evaluate import evaluate
from seq2seq_cli.cli.export import export
from seq2seq_cli.cli.memory import app as memory_app
from seq2seq_cli.cli.plot import plot
from seq2seq_cli.cli.prepare import prepare
from seq2seq_cli.cli.relay import relay_warnings
from seq2seq_cli.cli.report import report
from seq2seq_cli.cli.score import score
from seq2seq_cli.cli.serve import serve
from seq2seq_cli.cli.train import train
from seq2seq_cli.cli.translate import translate
from seq2seq_cli.errors import UserError
from seq2seq_cli.runs import DISK_FULL

UNUSABLE = {errno.EROFS, errno.EACCES, errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR}
"""Numbers of the OSErrors that mean: there is something wrong with a file that was named."""

app = typer.Typer(
    name="seq2seq",
    cls=Group,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

COMMANDS: dict[str, Callable[..., None]] = {
    "train": train,
    "compare": compare,
    "check-data": check_data,
    "prepare": prepare,
    "translate": translate,
    "eval": evaluate,
    "plot": plot,
    "report": report,
    "score": score,
    "align": align,
    "serve": serve,
    "export": export,
    "attentions": attentions,
}
for name, command in COMMANDS.items():
    app.command(name, cls=Command)(with_paths_expanded(with_blocks(command)))
app.add_typer(memory_app, name="memory")
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
    relay_warnings()


def main() -> None:
    """Run a command. Exit status: 0 done; 1 a bug (with its traceback); 2 an error that the user can mend; 3
    (check-data) damage was found; 128 plus the signal's number where a signal ended it (130 for Ctrl-C); 141 nobody
    reads the output any more."""
    quick.end_quickly()
    streams.open_closed()
    try:
        # All commands end in the same way: half-written files are removed, and the user is told how to go on.
        with signals.answered(signals.stop):
            _run()
    except UserError as problem:
        _end(problem)
    except KeyboardInterrupt as end:
        sys.exit(end.status if isinstance(end, signals.Stopped) else 130)
    except BrokenPipeError:  # the reader has gone
        streams.give_up(sys.stdout)
        sys.exit(141)
    except OSError as problem:
        if problem.errno == errno.EBADF and streams.output_is_closed():
            streams.give_up(sys.stdout)
            hint = "Send it to a file with >, or name one where the command takes -o."
            _end(UserError("is closed.", "standard output", hint))
        if problem.errno not in (*DISK_FULL, *UNUSABLE):
            raise
        full = problem.errno in DISK_FULL
        what = "there is no room left on the disk." if full else f"cannot be used: {problem.strerror}."
        if problem.filename is None:
            streams.give_up(sys.stdout)
        _end(UserError(what, str(problem.filename or "output")))


def _run() -> None:
    """Run the command and flush its output. Ends with SystemExit, or with an exception that is not handled here."""
    try:
        app()
    except SystemExit as end:
        # typer makes one and the same exit status of every KeyboardInterrupt, and 1 (a bug) of a reader that has gone.
        behind = _behind(end)
        if behind is not None:
            raise behind from None
        sys.stdout.flush()
        raise


def _behind(end: BaseException | None) -> signals.Stopped | BrokenPipeError | None:
    """The signal or the lost reader that ended the command, if one did."""
    while end is not None and not isinstance(end, signals.Stopped | BrokenPipeError):
        end = end.__cause__ or end.__context__
    return end


def _end(problem: UserError) -> NoReturn:
    from seq2seq_cli import console

    try:
        console.error(problem)
    except OSError:  # standard error is full, or nobody reads it: the status says it all the same
        streams.give_up(sys.stderr)
    sys.exit(2)
