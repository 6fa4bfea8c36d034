"""Options that several commands share: names, help, and how they become a configuration."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, overload

import typer

if TYPE_CHECKING:
    from seq2seq_cli.config.sections import DecodingConfig
    from seq2seq_cli.config.whole import Config
    from seq2seq_cli.decoding.translator import Translator
    from seq2seq_cli.evaluation.systems import Terms
    from seq2seq_cli.runs import Run


def setting(key: str) -> Callable[[typer.CallbackParam, Any], Any]:
    """A callback that checks the value of an option at once, as the setting ``key`` is checked in a file."""

    def checked(option: typer.CallbackParam, value: Any) -> Any:
        if value is not None:
            from seq2seq_cli.config.loading import from_dict

            section, _, name = key.partition(".")
            from_dict({section: {name: value}}, None, {key: option.opts[0]})
        return value

    return checked


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
TrainText = Annotated[
    list[str] | None,
    typer.Option(
        "--train",
        metavar="TEXT",
        help="Training text: a prefix, two files, a table, .zip, .tmx, .xlf or .po file, a folder or a hub dataset.",
        rich_help_panel="Data",
    ),
]
Dev = Annotated[
    list[str] | None,
    typer.Option(metavar="TEXT", help="Development text, in the same forms.", rich_help_panel="Data"),
]
Test = Annotated[
    list[str] | None,
    typer.Option(
        metavar="TEXT",
        help="Test text, in the same forms; or a source file and one or more files of references.",
        rich_help_panel="Data",
    ),
]
References = Annotated[
    list[str] | None,
    typer.Option(
        "--reference",
        metavar="COLUMN",
        help="A further target column (or suffix) of the test text; repeatable.",
        rich_help_panel="Data",
    ),
]
TestOfRuns = Annotated[
    list[str] | None,
    typer.Option(
        metavar="TEXT",
        help="Test text, in the forms that train takes, or a source file and one or more files of references; default: the "
        "runs' own.",
        rich_help_panel="Data",
    ),
]
Src = Annotated[
    str | None,
    typer.Option(help="Source language: file suffix, column or its number.", rich_help_panel="Data"),
]
Tgt = Annotated[
    str | None,
    typer.Option(help="Target language: file suffix, column or its number.", rich_help_panel="Data"),
]
Epochs = Annotated[int | None, typer.Option(callback=setting("training.epochs"), help="Passes over the training text.")]
MaxMinutes = Annotated[
    float | None,
    typer.Option(
        callback=setting("training.max_minutes"),
        help="Stop each training after this long, looks at dev included; test and pictures take at most a tenth more.",
    ),
]
Seed = Annotated[int | None, typer.Option(callback=setting("training.seed"), help="Everything random starts from it.")]
TensorBoard = Annotated[
    bool | None, typer.Option("--tensorboard/--no-tensorboard", help="Also write TensorBoard scalars and images.")
]
GuidedAlignment = Annotated[
    str | None, typer.Option(metavar="PATH", help="Word links of the training text that attention is to learn, i-j.")
]
RunOption = Annotated[Path | None, typer.Option("--run", help="Run directory; default: the newest under runs/.")]
_DEVICE = typer.Option("--device", help="auto, cpu, cuda or mps.", rich_help_panel="Machine")
_PRECISION = typer.Option("--precision", help="auto, fp32, bf16 or fp16.", rich_help_panel="Machine")
TrainingDevice = Annotated[str | None, _DEVICE]
"""None: as the settings say. A command that has none takes `Device`."""
TrainingPrecision = Annotated[str | None, _PRECISION]
Device = Annotated[str, _DEVICE]
Precision = Annotated[str, _PRECISION]
SearchPrecision = Annotated[
    str, typer.Option("--precision", help="auto, fp32, bf16, fp16 or int8.", rich_help_panel="Machine")
]
Threads = Annotated[
    int | None,
    typer.Option(
        callback=setting("training.threads"),
        help="Processor threads; 0: all cores, at most 8.",
        rich_help_panel="Machine",
    ),
]
Beam = Annotated[
    int | None,
    typer.Option(callback=setting("decoding.beam"), help="Beam width; 1: greedy.", rich_help_panel="Search"),
]
LengthPenalty = Annotated[
    float | None,
    typer.Option(
        callback=setting("decoding.length_penalty"), help="alpha in log p(y) / length^alpha.", rich_help_panel="Search"
    ),
]
MinLength = Annotated[
    int | None, typer.Option(callback=setting("decoding.min_length"), help="Fewest pieces.", rich_help_panel="Search")
]
MaxLength = Annotated[
    int | None,
    typer.Option(
        callback=setting("decoding.max_length"),
        help="Most pieces; 0: twice the source's plus 20, at most 200 more.",
        rich_help_panel="Search",
    ),
]
BatchTokens = Annotated[
    int | None,
    typer.Option(
        callback=setting("decoding.batch_tokens"),
        help="Source positions times (beam + 1) decoded together.",
        rich_help_panel="Search",
    ),
]

Tokenizer = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", help="sacreBLEU's tokenizer for BLEU; default: the runs' own.", rich_help_panel="Results"
    ),
]
Significance = Annotated[
    str | None, typer.Option(help="Paired test: randomisation or bootstrap.", rich_help_panel="Results")
]

SENTENCES = 50
"""How many sentences to look into the page of a comparison has."""


@dataclass(frozen=True)
class Settings:
    """Where settings without an option of their own come from."""

    config: ConfigFile = None
    overrides: Overrides = None

    @property
    def changes(self) -> Sequence[str]:
        """Those given by --set."""
        return self.overrides or ()


@dataclass(frozen=True)
class Texts:
    """The options for what to learn from, and in which languages."""

    corpus: Corpus = None
    train_text: TrainText = None
    dev: Dev = None
    test: Test = None
    references: References = None
    src: Src = None
    tgt: Tgt = None

    @property
    def flags(self) -> dict[str, object]:
        """As settings."""
        texts = {"train": self.train_text, "dev": self.dev, "test": self.test, "references": self.references}
        named = {name: names or None for name, names in texts.items()}
        given = {"corpus": self.corpus, **named, "src": self.src, "tgt": self.tgt}
        return {f"data.{name}": value for name, value in given.items()}


@dataclass(frozen=True)
class Training:
    """The options for how long, how and where to train."""

    epochs: Epochs = None
    max_minutes: MaxMinutes = None
    seed: Seed = None
    tensorboard: TensorBoard = None
    guided_alignment: GuidedAlignment = None
    device: TrainingDevice = None
    precision: TrainingPrecision = None
    threads: Threads = None

    @property
    def flags(self) -> dict[str, object]:
        """As settings."""
        return {f"training.{name}": value for name, value in asdict(self).items()}


@dataclass(frozen=True)
class ComparisonOptions:
    """The options for what runs are compared on, and how."""

    test: TestOfRuns = None
    references: References = None
    significance: Significance = None
    tokenizer: Tokenizer = None
    beam: Beam = None
    length_penalty: LengthPenalty = None
    batch_tokens: BatchTokens = None
    device: Device = "auto"
    precision: SearchPrecision = "fp32"
    threads: Threads = None

    def terms(self, runs: int, one_source: bool) -> Terms:
        """These options, checked, as terms for ``runs`` runs. Raises ConfigError for choices that do not exist, and for
        options that would do nothing."""
        from seq2seq_cli.evaluation.metrics import find_paired_test
        from seq2seq_cli.evaluation.systems import Terms
        from seq2seq_cli.evaluation.tokenizers import find_tokenizer

        refuse(runs < 2, {"--significance": self.significance}, "needs two runs or more")
        refuse(not self.test, {"--reference": self.references}, "needs --test")
        return Terms(
            test=self.test or None,
            references=self.references or (),
            decoding={"beam": self.beam, "length_penalty": self.length_penalty, "batch_tokens": self.batch_tokens},
            tokenizer=None if self.tokenizer is None else find_tokenizer(self.tokenizer),
            paired_test=find_paired_test(self.significance or "randomisation"),
            one_source=one_source,
            device=self.device,
            precision=self.precision,
        )


def decoding_settings(config: Config, **given: int | float | None) -> DecodingConfig:
    """A run's decoding settings with the given options laid over them. Raises ConfigError for values that no settings
    file may hold either."""
    from seq2seq_cli.config.loading import decoding_with

    return decoding_with(config.decoding, given)


def warn_of_packages(attentions: str) -> None:
    """Where ``attentions`` are all of them: which kinds the table has not, though a package offers them, and why."""
    from seq2seq_cli import console
    from seq2seq_cli.kinds.attentions import RESERVED, installed

    for problem in installed().refused.values() if attentions.strip() == RESERVED else ():
        console.warn(str(problem))


def refuse(wrong: bool, given: dict[str, object], why: str) -> None:
    """Raises an error for the ``given`` options if they are ``wrong`` because they would do nothing."""
    from seq2seq_cli.errors import ConfigError

    for option, value in given.items():
        if wrong and value is not None:
            raise ConfigError(f"{option} {why}.", "command line")


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


def chosen_run(directory: Path | None) -> Run:
    """The run that was named, or else the newest, whose name is then printed. Raises RunError as ``open_run`` does."""
    from seq2seq_cli import console
    from seq2seq_cli.ranks import first_of_its_job
    from seq2seq_cli.runs import open_run

    run = open_run(directory)
    if directory is None and first_of_its_job():
        console.notice(f"run: {run.directory} (the newest)")
    return run


def load_attending(run: Run, device: str, precision: str) -> Translator:
    """The model of a run. Raises RunError where it has no attention to look at."""
    from seq2seq_cli.decoding.translator import Translator
    from seq2seq_cli.errors import RunError

    translator = Translator.load(run.directory, device, precision)
    if not translator.config.attention.row.attends:
        hint = "Train a run with attention, for example `seq2seq train --attention bahdanau`."
        raise RunError(f"attention kind {translator.config.attention.kind} gives no weights.", str(run.directory), hint)
    return translator
