"""``seq2seq memory``: examples that a model looks up while it translates."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seq2seq_cli.cli import opening, options, quick
from seq2seq_cli.cli.arguments import Command, Group, with_paths_expanded
from seq2seq_cli.files import expanded

if TYPE_CHECKING:
    from seq2seq_cli.data.pairs import ParallelText
    from seq2seq_cli.neighbours.layout import Record
    from seq2seq_cli.runs import Run

app = typer.Typer(cls=Group, no_args_is_help=True, help="Make and tune memories of examples.")

MemoryFolder = Annotated[Path, typer.Argument(metavar="MEMORY", help="Its folder.")]
RunOfMemory = Annotated[Path | None, typer.Option("--run", help="The run to remember with; default: the newest.")]
MemoryPrecision = Annotated[
    str, typer.Option("--precision", help="auto, fp32, bf16 or fp16.", rich_help_panel="Machine")
]


@app.command(cls=Command)
@with_paths_expanded
def build(
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder of the memory.")],
    run: RunOfMemory = None,
    train_text: options.TrainText = None,
    corpus: options.Corpus = None,
    src: options.Src = None,
    tgt: options.Tgt = None,
    keys: Annotated[str, typer.Option(metavar="float16|float32", help="How keys are kept.")] = "float16",
    device: options.Device = "auto",
    precision: MemoryPrecision = "fp32",
    threads: options.Threads = None,
) -> None:
    """Make a memory of a text for a run: what the model has in mind before each piece, and the piece that came next.

    The text need not be the one that the run was trained on: that is what a memory is for. Given again, the same command
    goes on where it was interrupted.

    Examples:

        seq2seq memory build --run runs/x --train P/train --src de --tgt en -o memories/p

        seq2seq memory build --run runs/x --corpus tatoeba-de-en -o memories/tatoeba
    """
    from seq2seq_cli.errors import ConfigError

    if keys not in ("float16", "float32"):
        raise ConfigError(f'"{keys}" is unknown.', "--keys", "Known: float16, float32.")
    _check_names(train_text)
    opened = opening.chosen_run(run)
    text = _text(opened, train_text, corpus, src, tgt)
    quick.load_torch()
    from seq2seq_cli.decoding.memorising import new_memory
    from seq2seq_cli.decoding.translator import Translator
    from seq2seq_cli.device import set_threads

    set_threads(threads)
    translator = Translator.load(opened.directory, device, precision)
    _memorise(translator, text, output, new_memory(translator, opened, output, keys))


@app.command(cls=Command)
@with_paths_expanded
def add(
    memory: MemoryFolder,
    run: RunOfMemory = None,
    train_text: options.TrainText = None,
    corpus: options.Corpus = None,
    src: options.Src = None,
    tgt: options.Tgt = None,
    device: options.Device = "auto",
    precision: MemoryPrecision = "fp32",
    threads: options.Threads = None,
) -> None:
    """Add a text to a memory. What was tuned must be tuned again.

    Until it is finished, the memory is what it was. Given again, the same command goes on where it was interrupted.

    Example:

        seq2seq memory add memories/p --run runs/x --train Q/train --src de --tgt en
    """
    _check_names(train_text)
    opened = opening.chosen_run(run)
    text = _text(opened, train_text, corpus, src, tgt)
    quick.load_torch()
    from seq2seq_cli.decoding.memorising import known_memory
    from seq2seq_cli.decoding.translator import Translator
    from seq2seq_cli.device import set_threads

    set_threads(threads)
    base = known_memory(opened, memory)
    _memorise(Translator.load(opened.directory, device, precision), text, memory, base)


def _check_names(texts: list[str] | None) -> None:
    """Raises UserError for a ``~name`` that is nobody's, before a run is looked for."""
    for name in texts or ():
        expanded(name)


def _text(run: Run, train: list[str] | None, corpus: str | None, src: str | None, tgt: str | None) -> ParallelText:
    """The text that was named, in the run's languages unless others are, or else the run's own training text."""
    from seq2seq_cli import console
    from seq2seq_cli.config.loading import load
    from seq2seq_cli.data.corpora import find_train, languages, open_text
    from seq2seq_cli.errors import ConfigError

    config = load(run.config)
    if train and corpus:
        raise ConfigError("--train and --corpus both name a text.", "command line")
    if corpus:
        named = config.data.model_copy(update={"corpus": corpus, "train": None, "dev": None, "test": None})
        return find_train(named, console.notice)
    if not train:
        return find_train(config.data, console.notice)
    own = languages(config.data)
    return open_text(train, "train", src or own[0], tgt or own[1], note=console.notice)


def _memorise(translator: object, text: ParallelText, directory: Path, base: Record) -> None:
    from seq2seq_cli import console
    from seq2seq_cli.decoding.memorising import memorise
    from seq2seq_cli.decoding.translator import Translator
    from seq2seq_cli.wording import counted

    assert isinstance(translator, Translator)
    try:
        with console.stages() as report:
            record = memorise(translator, text, directory, base, report)
    except KeyboardInterrupt:
        console.notice("Stopped. The same command goes on.")
        raise
    added = record.texts[-1]
    if added.left_out:
        most = translator.config.data.max_length
        console.notice(f"{counted(added.left_out, 'pair')} with an empty side, or longer than {most} pieces: left out.")
    console.notice(
        f"{directory}: {record.entries:,} entries of {counted(record.sentences, 'sentence')}. "
        "Choose how much it counts with `seq2seq memory tune`."
    )
