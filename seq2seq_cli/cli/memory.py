"""``seq2seq memory``: examples that a model looks up while it translates."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from seq2seq_cli.cli import checks, opening, options, quick
from seq2seq_cli.cli.arguments import Command, Group, with_paths_expanded
from seq2seq_cli.cli.blocks import with_blocks
from seq2seq_cli.files import expanded

if TYPE_CHECKING:
    from seq2seq_cli.data.pairs import ParallelText
    from seq2seq_cli.decoding.translator import Translator
    from seq2seq_cli.neighbours.layout import Record
    from seq2seq_cli.runs import Run

app = typer.Typer(cls=Group, no_args_is_help=True, help="Make and tune memories of examples.")

MemoryFolder = Annotated[Path, typer.Argument(metavar="MEMORY", help="Its folder.")]


@dataclass(frozen=True)
class Reader:
    """The options for the run that reads a text, the text's languages, and the machine."""

    run: Annotated[Path | None, typer.Option(help="The run to remember with; default: the newest.")] = None
    corpus: options.Corpus = None
    src: options.Src = None
    tgt: options.Tgt = None
    device: options.Device = "auto"
    precision: Annotated[str, typer.Option(help="auto, fp32, bf16 or fp16.", rich_help_panel="Machine")] = "fp32"
    threads: options.Threads = None

    def text(self, run: Run, named: list[str] | None, role: Literal["train", "dev"]) -> ParallelText:
        """The text that was ``named``, in the run's languages unless others are, or else that of the corpus, or the run's
        own."""
        from seq2seq_cli import console
        from seq2seq_cli.config.loading import load
        from seq2seq_cli.data.corpora import find_corpus, find_train, languages, open_text
        from seq2seq_cli.errors import ConfigError

        data = load(run.config).data
        if named and self.corpus:
            raise ConfigError(f"--{role} and --corpus both name a text.", "command line")
        if self.corpus:
            data = data.model_copy(update={"corpus": self.corpus, "train": None, "dev": None, "test": None})
        if named:
            own = languages(data)
            return open_text(named, role, self.src or own[0], self.tgt or own[1], note=console.notice)
        return find_train(data, console.notice) if role == "train" else find_corpus(data, console.notice).dev

    def opened(self, named: list[str] | None) -> Run:
        """The run. Raises UserError for a precision that it is not read in and, before a run is looked for, for a ``~name`` of
        a text that is nobody's."""
        checks.refuse_int8(self.precision)
        for name in named or ():
            expanded(name)
        return opening.chosen_run(self.run)

    def translator(self, run: Run) -> Translator:
        """The run's model, on the machine that was named."""
        from seq2seq_cli.decoding.translator import Translator
        from seq2seq_cli.device import set_threads

        set_threads(self.threads)
        return Translator.load(run.directory, self.device, self.precision)


@app.command(cls=Command)
@with_paths_expanded
@with_blocks
def build(
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder of the memory.")],
    train_text: options.TrainText = None,
    keys: Annotated[str, typer.Option(metavar="float16|float32", help="How keys are kept.")] = "float16",
    *,
    reader: Reader,
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
    opened = reader.opened(train_text)
    text = reader.text(opened, train_text, "train")
    quick.load_torch()
    from seq2seq_cli.decoding.memorising import new_memory

    translator = reader.translator(opened)
    _memorise(translator, text, output, new_memory(translator, opened, output, keys))


@app.command(cls=Command)
@with_paths_expanded
@with_blocks
def add(memory: MemoryFolder, train_text: options.TrainText = None, *, reader: Reader) -> None:
    """Add a text to a memory. What was tuned must be tuned again.

    Until it is finished, the memory is what it was. Given again, the same command goes on where it was interrupted.

    Example:

        seq2seq memory add memories/p --run runs/x --train Q/train --src de --tgt en
    """
    opened = reader.opened(train_text)
    text = reader.text(opened, train_text, "train")
    quick.load_torch()
    from seq2seq_cli.decoding.memorising import known_memory

    base = known_memory(opened, memory)
    _memorise(reader.translator(opened), text, memory, base)


@app.command(cls=Command)
@with_paths_expanded
@with_blocks
def tune(
    memory: MemoryFolder,
    dev: options.Dev = None,
    adaptive: Annotated[
        bool, typer.Option("--adaptive", help="Also train a network that chooses anew at each step.")
    ] = False,
    *,
    reader: Reader,
) -> None:
    """Choose how many neighbours count, and how much, by how likely they make a dev text. Written into the memory.

    The dev text should be like what is to be translated, and not be in the memory itself. Default: the run's own.

    Examples:

        seq2seq memory tune memories/p --run runs/x --dev P/dev --src de --tgt en

        seq2seq memory tune memories/p --run runs/x --dev P/dev --adaptive
    """
    opened = reader.opened(dev)
    text = reader.text(opened, dev, "dev")
    quick.load_torch()
    from seq2seq_cli import console
    from seq2seq_cli.decoding.recalling import MIX, Given, open_memory
    from seq2seq_cli.decoding.tuning import LEARNING
    from seq2seq_cli.decoding.tuning import tune as tune_memory

    translator = reader.translator(opened)
    # With plain weights: a network that it may have, damaged or not, is about to be replaced.
    remembered = open_memory(opened, memory, translator.device, Given(mix=MIX))
    with console.stages({LEARNING: "round"}) as report:
        record = tune_memory(translator, remembered, text, adaptive, report)
    _tell(record, adaptive)


@app.command(cls=Command)
@with_paths_expanded
def index(
    memory: MemoryFolder,
    remove: Annotated[bool, typer.Option("--remove", help="Remove it instead: look through the whole memory.")] = False,
    threads: options.Threads = None,
) -> None:
    """Make an index by faiss (`pip install faiss-cpu`), which finds neighbours sooner in a large memory, but not quite all.

    Example:

        seq2seq memory index memories/p
    """
    quick.load_torch()
    from seq2seq_cli import console
    from seq2seq_cli.device import set_threads
    from seq2seq_cli.neighbours.index import FILLING, lists_for, make_index, remove_index
    from seq2seq_cli.neighbours.store import Store
    from seq2seq_cli.wording import counted

    set_threads(threads)
    store = Store.open(memory)
    if remove:
        remove_index(store)
        console.notice(f"{memory}: no index; searches look through all of it.")
        return
    with console.stages({FILLING: "key"}) as report:
        make_index(store, report)
    console.notice(f"{memory}: entries {len(store):,}, in {counted(lists_for(len(store)), 'list')}.")


def _tell(record: Record, adaptive: bool) -> None:
    from seq2seq_cli import console
    from seq2seq_cli.wording import counted

    weights, tuned = record.weights, record.tuned
    assert weights is not None
    assert tuned is not None
    rows = [
        ("dev", f"{tuned.text}, {counted(tuned.pieces, 'piece')}"),
        ("neighbours", str(weights.neighbours)),
        ("temperature", f"{weights.temperature:.4g}"),
        ("lambda", f"{weights.mix:g}"),
        ("perplexity alone", f"{tuned.alone:.3f}"),
        ("perplexity with the memory", f"{tuned.mixed:.3f}"),
    ]
    if tuned.adaptive is not None and tuned.mixed_unseen is not None:
        rows.append(("sentences the network has not seen: with the memory", f"{tuned.mixed_unseen:.3f}"))
        rows.append(("sentences the network has not seen: with the network", f"{tuned.adaptive:.3f}"))
    console.facts(rows)
    if adaptive and tuned.adaptive is None:
        console.notice("No network is kept: on sentences that it has not seen it does no better, or there are none.")


def _memorise(translator: Translator, text: ParallelText, directory: Path, base: Record) -> None:
    from seq2seq_cli import console
    from seq2seq_cli.decoding.memorising import memorise
    from seq2seq_cli.neighbours.growth import INDEXING
    from seq2seq_cli.wording import counted

    try:
        with console.stages({INDEXING: "key"}) as report:
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
