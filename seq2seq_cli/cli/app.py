"""The command line: which commands there are, and what becomes of errors. Imports nothing slow."""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable
from typing import Annotated, NoReturn

import typer

from seq2seq_cli import signals
from seq2seq_cli.cli import streams
from seq2seq_cli.cli.align import align
from seq2seq_cli.cli.attentions import attentions
from seq2seq_cli.cli.blocks import with_blocks
from seq2seq_cli.cli.check_data import check_data
from seq2seq_cli.cli.compare import compare
from seq2seq_cli.cli.config import app as config_app
from seq2seq_cli.cli.evaluate import evaluate
from seq2seq_cli.cli.plot import plot
from seq2seq_cli.cli.prepare import prepare
from seq2seq_cli.cli.relay import relay_warnings
from seq2seq_cli.cli.report import report
from seq2seq_cli.cli.score import score
from seq2seq_cli.cli.serve import serve
from seq2seq_cli.cli.train import train
from seq2seq_cli.cli.translate import translate
from seq2seq_cli.cli.words import Command, Group, with_paths_expanded
from seq2seq_cli.errors import UserError
from seq2seq_cli.runs import DISK_FULL

UNUSABLE = {errno.EROFS, errno.EACCES, errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR}
"""Of an OSError: what is the matter with a file that was named."""

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
    "attentions": attentions,
}
for name, command in COMMANDS.items():
    app.command(name, cls=Command)(with_paths_expanded(with_blocks(command)))
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
    """Run a command. Exit status: 0 done, 2 the user's to mend, 128 and a signal's number where that ended it (130 for
    Ctrl-C), 141 nobody reads on, 1 a bug (with its traceback); 3 of check-data: damage was found."""
    streams.open_closed()
    try:
        # All commands end alike, and in order: what is half written is taken away, and how to go on is said.
        with signals.answered(signals.stop):
            _run()
    except UserError as problem:
        _end(problem)
    except KeyboardInterrupt as end:
        sys.exit(end.status if isinstance(end, signals.Stopped) else 130)
    except BrokenPipeError:  # the reader has gone
        streams.leave(sys.stdout)
        sys.exit(141)
    except OSError as problem:
        if problem.errno == errno.EBADF and streams.output_is_closed():
            streams.leave(sys.stdout)
            _end(
                UserError(
                    "is closed.", "standard output", "Send it to a file with >, or name one where the command takes -o."
                )
            )
        if problem.errno not in (*DISK_FULL, *UNUSABLE):
            raise
        full = problem.errno in DISK_FULL
        what = "there is no room left on the disk." if full else f"cannot be used: {problem.strerror}."
        if problem.filename is None:
            streams.leave(sys.stdout)
        _end(UserError(what, str(problem.filename or "output")))


def _run() -> None:
    """The command, to the last word of its output. Ends with SystemExit, or what is not dealt with."""
    try:
        app()
    except SystemExit as end:
        # typer makes a status of every KeyboardInterrupt, the same one, and 1, that of a bug, of a reader that has gone.
        behind = _behind(end)
        if behind is not None:
            raise behind from None
        sys.stdout.flush()
        raise


def _behind(end: BaseException | None) -> signals.Stopped | BrokenPipeError | None:
    """The signal or the lost reader that ended the command, if it was one."""
    while end is not None and not isinstance(end, signals.Stopped | BrokenPipeError):
        end = end.__cause__ or end.__context__
    return end


def _end(problem: UserError) -> NoReturn:
    from seq2seq_cli import console

    try:
        console.error(problem)
    except OSError:  # standard error is full, or nobody reads it: the status says it all the same
        streams.leave(sys.stderr)
    sys.exit(2)
