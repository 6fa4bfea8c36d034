"""What the program says: results on standard output, everything else on standard error. Only this file and
``cli/`` print."""

from __future__ import annotations

import errno
import io
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO, TextIO, cast

from rich.cells import cell_len
from rich.console import Console
from rich.measure import Measurement
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Column, Table
from rich.text import Text

from seq2seq_cli.errors import UserError
from seq2seq_cli.runs import DISK_FULL
from seq2seq_cli.wording import counted, printable

WIDE, WIDEST = 200, 100_000
"""Columns of output that goes to a file or a pipe, where tables need not be squeezed; and the most columns of any
table."""


ESCAPED = "backslashreplace"
"""What becomes of bytes of a name that are not UTF-8: the escapes that ``printable`` and JSON write."""


def out() -> Console:
    """Standard output, for results."""
    return _console(sys.stdout)


def err() -> Console:
    """Standard error, for notices, progress and errors."""
    # Within a live display, rich has replaced sys.stderr; this is the real one.
    return _console(cast(TextIO, _Lasting(getattr(sys.stderr, "rich_proxied_file", sys.stderr))))


def _console(stream: TextIO) -> Console:
    """A console that prints text as it is: names of files hold [brackets] and :100: without meaning markup."""
    width = None if stream.isatty() or _columns_are_set() else WIDE
    return Console(file=stream, width=width, highlight=False, markup=False, emoji=False)


def _columns_are_set() -> bool:
    """Whether the environment sets the width of output. rich obeys it, in a pipe as well."""
    return os.environ.get("COLUMNS", "").isdigit()


class _Lasting:
    """A stream whose other end may be gone: a terminal whose connection is lost, a pipe whose reader has left. What is
    written to it then is lost, but the work goes on."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with self._gone():
            return self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with self._gone():
            self._stream.flush()

    @contextmanager
    def _gone(self) -> Iterator[None]:
        try:
            yield
        except OSError as problem:
            if problem.errno not in (errno.EIO, errno.EPIPE):
                raise
            # Otherwise flushing what its buffer still holds would fail once more at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())


def result(text: str) -> None:
    """Print a line of results exactly as it is: tabs stay tabs."""
    print(text)


def _harmless(text: str) -> str:
    return printable(text, "\n\t")


def notice(text: str) -> None:
    """Say what is going on, or what was written where."""
    err().out(_harmless(text))


def warn(text: str) -> None:
    """Warn of something that does not stop the work."""
    err().print(Text.assemble(("warning:", "yellow"), f" {_harmless(text)}"), soft_wrap=True)


def error(problem: UserError) -> None:
    """Say what is wrong, where, and what to do about it."""
    place = f"{_harmless(problem.where)}: " if problem.where else ""
    err().print(Text.assemble(("error:", "bold red"), f" {place}{_harmless(problem.what)}"), soft_wrap=True)
    if problem.hint:
        err().print(_harmless(problem.hint), soft_wrap=True)


def table(rows: Table) -> None:
    """Print a table of results. Where the terminal is too narrow for it, each row becomes a block of lines. No name and
    no number is ever broken.

    Columns with ``no_wrap`` are shown whole; the others wrap between words.
    """
    console = out()
    whole = Measurement.get(console, console.options.update(width=WIDEST), rows).maximum
    needed = _narrowest(rows)
    if not console.is_terminal and not _columns_are_set():
        console.width = max(console.width, needed)
    if needed <= console.width < whole:
        rows.expand = True
        for column in rows.columns:
            column.ratio = None if column.no_wrap else 1
    if needed <= console.width:
        console.print(rows)
        return
    if rows.title:
        console.print(rows.title, soft_wrap=True)
    heads = [str(column.header).split("\n")[0] for column in rows.columns]
    label = min(max(map(cell_len, heads)) + 2, console.width // 3)
    for cells in zip(*(column.cells for column in rows.columns), strict=True):
        console.print()
        for head, cell, column in zip(heads, cells, rows.columns, strict=True):
            if isinstance(cell, str | Text) and str(cell):
                _print_fact(console, head, str(cell), label, [str(cell)] if column.no_wrap else str(cell).split())
    if rows.caption:
        console.print()
        console.print(rows.caption)


def _narrowest(rows: Table) -> int:
    """How many columns a terminal must have for a table: its columns that wrap share evenly what the others leave."""
    fixed, shared = list[int](), [0]
    for column in rows.columns:
        cells = [str(cell) for cell in (column.header, *column.cells) if isinstance(cell, str | Text)]
        parts = [part for cell in cells for part in (cell.split("\n") if column.no_wrap else cell.split())]
        longest = max([column.min_width or 0, *map(cell_len, parts)])
        (fixed if column.no_wrap else shared).append(longest)
    columns, (_, right, _, left) = len(rows.columns), rows.padding
    return sum(fixed) + max(shared) * (len(shared) - 1) + columns * (left + right) + (columns + 1) * bool(rows.box)


def _print_fact(console: Console, head: str, cell: str, label: int, parts: list[str]) -> None:
    """Print a name and a value; ``parts`` of the value are not broken."""
    if max(map(cell_len, parts)) > console.width - label:  # the terminal may break the line, but we do not
        console.print(Text(f"{head}\n{cell}" if head else cell), soft_wrap=True)
        return
    grid = Table.grid(Column(width=label), Column())
    grid.add_row(Text(head, overflow="fold"), Text(cell))
    console.print(grid)


def facts(rows: Iterable[tuple[str, str]]) -> None:
    """Print names and values, one pair a line: aligned on a terminal, tab-separated in a pipe."""
    pairs = list(rows)
    width = max(len(name) for name, _ in pairs) if sys.stdout.isatty() else 0
    for name, value in pairs:
        shown = printable(value, "\t")
        result(f"{name:<{width}}  {shown}" if width else f"{name}\t{shown}")


QUIET = 25.0
"""After so many seconds of silence, a log or a pipe is told what is being done."""


class Heartbeat:
    """While entered, prints a line whenever nothing was said for QUIET seconds: what is being done, and how far it has
    come."""

    def __init__(self, doing: str = "") -> None:
        self.doing, self.done, self.total = doing, 0, 0
        self.said = self.began = time.monotonic()
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> Heartbeat:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.thread.join()

    def report(self, doing: str, done: int, total: int) -> None:
        """Note what is being done from now on, how much of it is done, and how much there is (0: unknown)."""
        if doing != self.doing:
            self.began = time.monotonic()
        self.doing, self.done, self.total = doing, done, total

    def heard(self) -> None:
        """Note that something was said just now."""
        self.said = time.monotonic()

    def _beat(self) -> None:
        while not self.over.wait(max(0.05, self.said + QUIET - time.monotonic())):
            if time.monotonic() >= self.said + QUIET and self.doing:
                far = f": {self.done:,} of {self.total:,}" if self.total else ""
                notice(f"{self.doing}{far}, for {timedelta(seconds=round(time.monotonic() - self.began))}")
            if time.monotonic() >= self.said + QUIET:
                self.heard()


@contextmanager
def status(text: str) -> Iterator[Callable[[int, int], None]]:
    """While entered, show what is being done; in a log or a pipe, say so now and then.

    Yields a function to be called with how much is done and how much there is.
    """
    console = err()
    if not console.is_terminal:
        with Heartbeat(text) as heartbeat:
            yield lambda done, total: heartbeat.report(text, done, total)
        return
    with console.status(Text(text)) as shown:
        yield lambda done, total: shown.update(Text(f"{text}: {done:,} of {total:,}"))


@contextmanager
def stages(units: Mapping[str, str] = MappingProxyType({})) -> Iterator[Callable[[str, int, int], None]]:
    """While entered, show a progress bar for each stage of a longer piece of work, with the time left; in a pipe, print
    a line for each stage, and one now and then. ``units`` says what a stage counts; those that are not in it count pairs.

    Yields a function to be called with the name of the stage, how much of it is done, and how much there is (0:
    unknown).
    """
    console = err()
    seen: dict[str, TaskID] = {}
    if not console.is_terminal:
        with Heartbeat() as heartbeat:

            def say(stage: str, done: int, total: int) -> None:
                heartbeat.report(stage, done, total)
                if stage not in seen:
                    seen[stage] = TaskID(0)
                    notice(f"{stage} ..." if not total else f"{stage} {counted(total, units.get(stage, 'pair'))} ...")
                    heartbeat.heard()

            yield say
        return
    described, counts = (TextColumn(f"{{task.{field}}}", markup=False) for field in ("description", "fields[counts]"))
    with Progress(described, BarColumn(), counts, TimeRemainingColumn(), console=console, transient=True) as progress:

        def show(stage: str, done: int, total: int) -> None:
            if stage not in seen:
                seen[stage] = progress.add_task(stage, total=None, counts="")
            counts = f"{done:,} of {total:,}" if total else f"{done:,}" if done else ""
            progress.update(seen[stage], completed=done, total=total or None, counts=counts)

        yield show


def standard_input() -> BinaryIO:
    """Standard input, with a buffer of its own. If a thread is still waiting for input when the program ends, Python's
    own buffer is locked, and shutting down would abort. Raises UserError where there is no standard input, or it cannot
    be read."""
    try:
        descriptor = os.dup(sys.stdin.fileno())
    except io.UnsupportedOperation:  # not a real file
        return sys.stdin.buffer
    try:
        os.read(descriptor, 0)
    except OSError as problem:
        why = "is closed." if problem.errno == errno.EBADF else f"cannot be read: {problem.strerror}."
        raise UserError(why, "standard input", "Name a file, or send one with <.") from None
    return open(descriptor, "rb")


@contextmanager
def text_output(path: Path | None, append: bool = False) -> Iterator[TextIO]:
    r"""A file to write lines to, or standard output where ``path`` is None or ``-``: UTF-8, lines end with ``\n``.
    ``append``: write behind what the file holds. Raises UserError where it cannot be written, or the disk is full."""
    if path is None or str(path) == "-":
        sys.stdout.reconfigure(encoding="utf-8", errors=ESCAPED, newline="\n")  # type: ignore[union-attr]
        yield sys.stdout
        return
    try:
        file = open(path, "a" if append else "w", encoding="utf-8", errors=ESCAPED, newline="\n")  # noqa: SIM115 (an error later on is not ours)
    except OSError as problem:
        raise UserError(f"cannot be written: {problem.strerror}.", str(path)) from None
    try:
        with file:
            yield file
    except OSError as problem:
        if problem.errno not in DISK_FULL:
            raise
        raise UserError("there is no room left on the disk.", str(path), "Make room and try again.") from None
