"""What the command line gave, looked at before any work."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import overload


def refuse(wrong: bool, given: dict[str, object], why: str) -> None:
    """Raises an error for the ``given`` options if they are ``wrong`` because they would do nothing."""
    from seq2seq_cli.errors import ConfigError

    for option, value in given.items():
        if wrong and value is not None:
            raise ConfigError(f"{option} {why}.", "command line")


def is_json(form: str, shown: Mapping[str, bool]) -> bool:
    """Whether the ``form`` of an output is json, not text. Raises ConfigError where it is neither, and for options of what is
    ``shown`` in a line of text."""
    from seq2seq_cli.errors import ConfigError

    if form not in ("text", "json"):
        raise ConfigError(f'"{form}" is unknown.', "--format", "Known: text, json.")
    refuse(form == "json", {name: given or None for name, given in shown.items()}, "is not for json, which has it")
    return form == "json"


def check_paths(inputs: Sequence[Path | None], outputs: Mapping[str, Path | None]) -> None:
    """Check paths before hours of work, and before an output is opened, which empties it.

    Raises UserError where an input cannot be read, or an output (given by the name of its option) cannot be written, or
    is an input or another output as well. ``-`` is standard input or output.
    """
    from seq2seq_cli.data.text import require_readable
    from seq2seq_cli.errors import UserError

    read = [path for path in inputs if path is not None and str(path) != "-"]
    for path in read:
        require_readable(path)
    options_by_path: dict[Path, str] = {}
    for option, output in outputs.items():
        if output is None:
            continue
        try:
            other = options_by_path.setdefault(output.resolve(), option)
        except RuntimeError:
            raise UserError("is a link to itself.", str(output), f"Name another file with {option}.") from None
        if other != option:
            raise UserError(f"{other} and {option} would both write it.", str(output), "Name two files.")
        if str(output) != "-":
            _check_output(output, option, read)


def _check_output(output: Path, option: str, inputs: Sequence[Path]) -> None:
    from seq2seq_cli.errors import UserError

    name_another = f"Name another file with {option}."
    if output.is_dir():
        raise UserError("is a folder.", str(output), f"Name a file with {option}.")
    if not output.absolute().parent.is_dir():
        raise UserError("its folder does not exist.", str(output), f"Make it first. {name_another}")
    if not os.access(output if output.exists() else output.absolute().parent, os.W_OK):
        raise UserError("cannot be written here.", str(output), name_another)
    if output.exists() and any(output.samefile(path) for path in inputs):
        raise UserError("is both input and output.", str(output), name_another)


def refuse_int8(precision: str) -> None:
    """Raises ConfigError in a command that does not search: int8 is only for the steps of a search."""
    from seq2seq_cli.errors import ConfigError

    if precision == "int8":
        raise ConfigError("int8 is for searching; given translations are not.", "--precision", 'Use "auto" or "fp32".')


@overload
def text_argument(text: str, name: str) -> str: ...
@overload
def text_argument(text: str | None, name: str) -> str | None: ...
def text_argument(text: str | None, name: str) -> str | None:
    """A text from the command line, with U+FFFD for each byte that is not UTF-8 and a warning about it, as in files.
    ``name`` is the name of the argument."""
    from seq2seq_cli import console

    if text is None or text.isascii():
        return text
    read = re.sub("[\ud800-\udfff]", "\ufffd", text)
    if read != text:
        console.warn(f"{name}: not UTF-8; U+FFFD stands for each byte that cannot be read.")
    return read


def warn_of_packages(attentions: str) -> None:
    """Where ``attentions`` are all of them: which kinds the table has not, though a package offers them, and why."""
    from seq2seq_cli import console
    from seq2seq_cli.kinds.attentions import RESERVED, installed

    for problem in installed().refused.values() if attentions.strip() == RESERVED else ():
        console.warn(str(problem))
