"""``seq2seq config``: what the settings are, and whether a file of them is right."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from seq2seq_cli.cli import options
from seq2seq_cli.cli.arguments import Command, Group, with_paths_expanded

app = typer.Typer(cls=Group, no_args_is_help=True, help="Show or check settings.")


@app.command(cls=Command)
@with_paths_expanded
def show(config: options.ConfigFile = None, overrides: options.Overrides = None) -> None:
    """Print the settings a training would have, as TOML, each with what it means.

    Examples:

        seq2seq config show > my.toml

        seq2seq config show --config my.toml --set model.hidden_size=256
    """
    from seq2seq_cli import console
    from seq2seq_cli.config.loading import load

    console.result(load(config, overrides or ()).to_commented_toml())


@app.command(cls=Command)
@with_paths_expanded
def check(files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="TOML files of settings.")]) -> None:
    """Say whether files of settings are right; every problem at once where not (exit status 2).

    Example:

        seq2seq config check my.toml
    """
    from seq2seq_cli import console
    from seq2seq_cli.config.loading import load
    from seq2seq_cli.errors import ConfigError
    from seq2seq_cli.wording import printable

    problems = []
    for path in files:
        try:
            load(path)
            console.result(f"{printable(str(path))}: ok")
        except ConfigError as problem:
            problems.append(str(problem))
    if problems:
        raise ConfigError("\n".join(problems))
