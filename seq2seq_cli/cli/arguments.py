"""What happens to the arguments of a command before it runs: several files behind one option, and ``~``."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from typer.core import TyperCommand, TyperGroup

from seq2seq_cli.files import expanded

TEXT_OPTIONS = ("--train", "--dev", "--test")
PANELS = 100
"""From so many columns of a terminal on, help is shown in tables."""


class Command(TyperCommand):
    """A command whose text options accept several files: ``--train A.de B.en`` is turned into ``--train A.de --train
    B.en``, the only form that Click knows."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        has_arguments = any(param.param_type_name == "argument" for param in self.params)
        return super().parse_args(ctx, list(gathered(args, has_arguments)))

    def format_help(self, ctx: Any, formatter: Any) -> None:
        with _plain_where_narrow(self):
            super().format_help(ctx, formatter)


class Group(TyperGroup):
    """A group of commands whose help can be read in a narrow terminal, too."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        with _plain_where_narrow(self):
            super().format_help(ctx, formatter)


@contextmanager
def _plain_where_narrow(command: Command | Group) -> Iterator[None]:
    """Within, if there are fewer columns than PANELS, help is lines of text: in tables, names of options would be
    cut."""
    before = command.rich_markup_mode
    if shutil.get_terminal_size().columns < PANELS:
        command.rich_markup_mode = None
    try:
        yield
    finally:
        command.rich_markup_mode = before


def gathered(words: Sequence[str], has_arguments: bool) -> Iterator[str]:
    """``words`` with the name of a text option repeated before each of its further values.

    The values of an option end at the next option. If the command has arguments of its own (runs, a text), only files
    are taken as values, and further ones only if the first value is a file: ``--test P/test runs/x`` names a test text
    and a run.
    """
    option, more = "", False
    rest = iter(words)
    for word in rest:
        if word == "--":
            yield word
            yield from rest
        elif word.startswith("-") and word != "-":
            name, equals, value = word.partition("=")
            option, more = (name if name in TEXT_OPTIONS else ""), False
            yield word
            if option and not equals:
                value = next(rest, "")
                if value:
                    yield value
            more = bool(option) and (not has_arguments or _is_file(value))
        else:
            more = more and (not has_arguments or _is_file(word))
            if more:
                yield option
            yield word


def _is_file(word: str) -> bool:
    return expanded(word).is_file()


def with_paths_expanded(function: Callable[..., None]) -> Callable[..., None]:
    """The command with ``~`` in its paths expanded, since bash leaves it in ``--run=~/x``. Raises UserError where there
    is no such user."""

    @functools.wraps(function)
    def command(**given: Any) -> None:
        function(**{name: _expanded(value) for name, value in given.items()})

    return command


def _expanded(value: Any) -> Any:
    if isinstance(value, list):
        return [_expanded(each) for each in value]
    return expanded(value) if isinstance(value, Path) else value
