"""Options that several commands share, once: names, help, and how they become a configuration."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from seq2seq_cli.config import Config, DecodingConfig
    from seq2seq_cli.decoding.translator import Translator
    from seq2seq_cli.runs import Run

ConfigFile = Annotated[
    Path | None, typer.Option("--config", help="A TOML file of settings.", rich_help_panel="Settings")
]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="SECTION.KEY=VALUE", help="Change one setting; repeatable.", rich_help_panel="Settings"
    ),
]
Corpus = Annotated[str | None, typer.Option(help="A built-in corpus.", rich_help_panel="Data")]
TRAIN_HELP = "Training text: a prefix, a table file, a dataset folder or a hub dataset."
Dev = Annotated[str | None, typer.Option(help="Development text, in the same forms.", rich_help_panel="Data")]
Test = Annotated[str | None, typer.Option(help="Test text, in the same forms.", rich_help_panel="Data")]
Src = Annotated[str | None, typer.Option(help="Source language: file suffix or column.", rich_help_panel="Data")]
Tgt = Annotated[str | None, typer.Option(help="Target language: file suffix or column.", rich_help_panel="Data")]
RunOption = Annotated[Path | None, typer.Option("--run", help="Run directory; default: the newest under runs/.")]
Device = Annotated[str | None, typer.Option(help="auto, cpu, cuda or mps.", rich_help_panel="Machine")]
PrecisionOption = Annotated[
    str | None, typer.Option("--precision", help="auto, fp32, bf16 or fp16.", rich_help_panel="Machine")
]
SearchPrecision = Annotated[
    str | None, typer.Option("--precision", help="auto, fp32, bf16, fp16 or int8.", rich_help_panel="Machine")
]
Threads = Annotated[
    int | None, typer.Option(min=0, help="Processor threads; 0: all cores, at most 8.", rich_help_panel="Machine")
]
Beam = Annotated[int | None, typer.Option(min=1, help="Beam width; 1: greedy.", rich_help_panel="Search")]
LengthPenalty = Annotated[
    float | None,
    typer.Option(min=0, help="alpha in log p(y) / length^alpha.", rich_help_panel="Search"),
]
MinLength = Annotated[int | None, typer.Option(min=0, help="Fewest pieces.", rich_help_panel="Search")]
MaxLength = Annotated[
    int | None,
    typer.Option(min=0, help="Most pieces; 0: twice the source's plus 20, at most 200 more.", rich_help_panel="Search"),
]
BatchTokens = Annotated[
    int | None, typer.Option(min=1, help="Source positions times beam decoded together.", rich_help_panel="Search")
]


def data_flags(
    corpus: str | None, train: str | None, dev: str | None, test: str | None, src: str | None, tgt: str | None
) -> dict[str, object]:
    """The data options as settings."""
    given = {"corpus": corpus, "train": train, "dev": dev, "test": test, "src": src, "tgt": tgt}
    return {f"data.{name}": value for name, value in given.items()}


def decoding_settings(config: Config, **given: int | float | None) -> DecodingConfig:
    """A run's decoding settings with the options that were given laid over them."""
    return config.decoding.model_copy(update={name: value for name, value in given.items() if value is not None})


def refuse(wrong: bool, given: dict[str, object], why: str) -> None:
    """Options that would do nothing are errors."""
    from seq2seq_cli.errors import ConfigError

    for option, value in given.items():
        if wrong and value is not None:
            raise ConfigError(f"{option} {why}.", "command line")


def check_paths(inputs: Sequence[Path | None], outputs: Sequence[Path | None]) -> None:
    """Before an output is opened, which empties it: can each input be read, and is none of them an output too?"""
    from seq2seq_cli.data.text import require_readable
    from seq2seq_cli.errors import DataError

    for source in inputs:
        if source is None or str(source) == "-":
            continue
        require_readable(source)
        for output in outputs:
            if output is not None and output.exists() and output.samefile(source):
                raise DataError("is both input and output.", str(source), "Name another file with -o.")


def load_attending(run: Run, device: str | None, precision: str | None) -> Translator:
    """The model of a run. Raises RunError where it has no attention to be looked at."""
    from seq2seq_cli.decoding.translator import Translator
    from seq2seq_cli.errors import RunError

    translator = Translator.load(run.directory, device or "auto", precision or "fp32")
    if translator.config.attention.kind == "none":
        hint = "Train a run with attention, for example `seq2seq train --attention bahdanau`."
        raise RunError("attention kind none gives no weights.", str(run.directory), hint)
    return translator
