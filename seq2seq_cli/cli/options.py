"""Options that several commands share: names, help, and how they become a configuration."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seq2seq_cli.cli import checks

if TYPE_CHECKING:
    from seq2seq_cli.decoding.recalling import Given
    from seq2seq_cli.evaluation.contexts import Control
    from seq2seq_cli.evaluation.systems import Terms


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
Encoder = Annotated[
    str | None, typer.Option(callback=setting("model.encoder"), help="What reads the source: rnn or transformer.")
]
Decoder = Annotated[
    str | None,
    typer.Option(callback=setting("model.decoder"), help="What writes the translation: rnn, transformer or ssru."),
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
Processes = Annotated[
    int | None,
    typer.Option(
        callback=setting("training.processes"),
        help="Processes that share the threads; 0: one a thread where that pays.",
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

ShortlistSize = Annotated[
    int | None,
    typer.Option(
        "--shortlist",
        callback=setting("decoding.shortlist"),
        help="Search among this many target pieces for each source piece, by the training text; 0: the whole vocabulary.",
        rich_help_panel="Search",
    ),
]

GlossaryFile = Annotated[
    Path | None,
    typer.Option(
        "--glossary",
        metavar="TERMS.TSV",
        help="Translate terms as given: a source term, a tab and its translation a line (or several, with | between them).",
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
    processes: Processes = None

    @property
    def flags(self) -> dict[str, object]:
        """As settings."""
        return {f"training.{name}": value for name, value in asdict(self).items()}


_MEMORY = "A memory of examples, made by `seq2seq memory build`"


@dataclass(frozen=True)
class Neighbours:
    """The options for how the neighbours of a memory are weighed; None: as the memory says."""

    neighbours: Annotated[
        int | None,
        typer.Option(
            min=1, max=1024, help="Nearest examples that are mixed in at each step.", rich_help_panel="Memory"
        ),
    ] = None
    memory_temperature: Annotated[
        float | None,
        typer.Option(min=1e-6, max=1e12, help="T in softmax(-distance / T).", rich_help_panel="Memory"),
    ] = None
    mix: Annotated[
        float | None,
        typer.Option("--lambda", min=0, max=1, help="Their share of the probability.", rich_help_panel="Memory"),
    ] = None

    def require(self, memory: object) -> None:
        """Raises ConfigError where there is no ``memory`` that these could be of."""
        named: dict[str, object] = {
            "--neighbours": self.neighbours,
            "--memory-temperature": self.memory_temperature,
            "--lambda": self.mix,
        }
        checks.refuse(not memory, named, "needs --memory")

    def given(self, memory: object) -> Given:
        """These; raises what ``require`` does."""
        from seq2seq_cli.decoding.recalling import Given

        self.require(memory)
        return Given(self.neighbours, self.memory_temperature, self.mix)


@dataclass(frozen=True)
class OneMemory(Neighbours):
    """The same, and the memory."""

    memory: Annotated[Path | None, typer.Option(metavar="FOLDER", help=f"{_MEMORY}.", rich_help_panel="Memory")] = None


@dataclass(frozen=True)
class Memories(Neighbours):
    """The same for several runs: each memory is for those that it was made with."""

    memory: Annotated[
        list[Path] | None, typer.Option(metavar="FOLDER", help=f"{_MEMORY}; repeatable.", rich_help_panel="Memory")
    ] = None

    def within(self, terms: Terms) -> Terms:
        """The terms of a comparison that these memories take part in."""
        return replace(terms, memories=self.memory or (), given=self.given(self.memory))


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
    shortlist: ShortlistSize = None
    device: Device = "auto"
    precision: SearchPrecision = "fp32"
    threads: Threads = None

    def terms(self, runs: int, one_source: bool, contexts: Sequence[Control] = ("real",)) -> Terms:
        """These options, checked, as terms for ``runs`` runs, or for as many with all ``contexts``. Raises ConfigError for
        choices that do not exist, and for options that would do nothing."""
        from seq2seq_cli.evaluation.metrics import find_paired_test
        from seq2seq_cli.evaluation.systems import Terms
        from seq2seq_cli.evaluation.tokenizers import find_tokenizer

        checks.refuse(runs < 2, {"--significance": self.significance}, "needs two runs or more")
        checks.refuse(not self.test, {"--reference": self.references}, "needs --test")
        return Terms(
            test=self.test or None,
            references=self.references or (),
            decoding={
                "beam": self.beam,
                "length_penalty": self.length_penalty,
                "batch_tokens": self.batch_tokens,
                "shortlist": self.shortlist,
            },
            tokenizer=None if self.tokenizer is None else find_tokenizer(self.tokenizer),
            paired_test=find_paired_test(self.significance or "randomisation"),
            one_source=one_source,
            device=self.device,
            precision=self.precision,
            contexts=contexts,
        )
