"""What the benchmarks share: the options that name a run's settings, the machine's own rate, and how results are shown."""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import torch
import typer

from seq2seq_cli import console, signals
from seq2seq_cli.cli.blocks import with_blocks
from seq2seq_cli.config.loading import load
from seq2seq_cli.config.whole import Config
from seq2seq_cli.errors import UserError
from seq2seq_cli.model.products import linear
from seq2seq_cli.runs import open_run

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Kind = Annotated[str | None, typer.Option("--attention", help="Attention kind; default: the settings' own.")]
RunOption = Annotated[Path | None, typer.Option("--run", help="A run whose settings and corpus to take.")]
ConfigFile = Annotated[Path | None, typer.Option("--config", help="A TOML file of settings.")]
Overrides = Annotated[list[str] | None, typer.Option("--set", help="section.key=value; repeatable.")]
Corpus = Annotated[str | None, typer.Option(help="A built-in corpus.")]
Train = Annotated[str | None, typer.Option("--train", help="Training text: P/train, a table, a dataset.")]
Dev = Annotated[str | None, typer.Option(help="Development text.")]
Test = Annotated[str | None, typer.Option(help="Test text.")]
Src = Annotated[str | None, typer.Option(help="Source language.")]
Tgt = Annotated[str | None, typer.Option(help="Target language.")]
Threads = Annotated[int | None, typer.Option(help="Processor threads; default: all cores, at most 8.")]
Processes = Annotated[int | None, typer.Option(help="Processes that share the threads.")]
PrecisionOption = Annotated[str | None, typer.Option("--precision", help="auto, fp32, bf16 or fp16.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


def command(main: Callable[..., None]) -> None:
    """Run ``main`` with the options of the command line; what the user can mend is told as by ``seq2seq``. A signal that ends
    it does so by an exception: what it has started ends as well."""
    try:
        with signals.answered(signals.stop):
            typer.run(with_blocks(main))
    except UserError as problem:
        console.error(problem)
        sys.exit(2)


@dataclass(frozen=True)
class Texts:
    """What to learn from, and in which languages."""

    corpus: Corpus = None
    train_text: Train = None
    dev: Dev = None
    src: Src = None
    tgt: Tgt = None

    @property
    def flags(self) -> dict[str, object]:
        """As settings."""
        given = {"corpus": self.corpus, "train": self.train_text, "dev": self.dev, "src": self.src, "tgt": self.tgt}
        return {f"data.{name}": value for name, value in given.items()}

    @property
    def options(self) -> list[str]:
        """As they are given to a command."""
        return [f"--{key.partition('.')[2]}={value}" for key, value in self.flags.items() if value is not None]


@dataclass(frozen=True)
class Training:
    """What to train, and how."""

    attention: Kind = None
    config: ConfigFile = None
    overrides: Overrides = None
    threads: Threads = None
    processes: Processes = None
    precision: PrecisionOption = None

    def settings(self, run: Path | None, flags: Mapping[str, object]) -> Config:
        """Those of ``run``, where one is given, or of the file, with all others laid over them."""
        source = self.config if run is None else open_run(run).config
        own = {
            "attention.kind": self.attention,
            "training.threads": self.threads,
            "training.processes": self.processes,
            "training.precision": self.precision,
        }
        return load(source, self.overrides or (), {**own, **flags})


def matrix_rate(dtype: torch.dtype, device: torch.device, size: int = 2048, seconds: float = 1.0) -> float:
    """FLOP/s of products of square matrices in ``dtype``, by the library that the model uses: what this machine reaches
    at its best, here and now."""
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))

    def product() -> None:
        linear(a, b)
        if device.type == "cuda":
            torch.cuda.synchronize()

    return best_rate(product, 2 * size**3, seconds)


def best_rate(work: Callable[[], object], operations: int, seconds: float) -> float:
    """FLOP/s of the quickest of the calls of ``work`` within so many seconds; at least three are made."""
    best, made = 0.0, 0
    end = time.perf_counter() + seconds
    while made < 3 or time.perf_counter() < end:
        begin = time.perf_counter()
        work()
        best = max(best, operations / (time.perf_counter() - begin))
        made += 1
    return best


def peak_memory_mib() -> float:
    """The most memory this process has held, in MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def cpu_seconds() -> float:
    """Processor time of this process and the children it has waited for."""
    parts = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(part.ru_utime + part.ru_stime for part in parts)


def show(results: Sequence[DataclassInstance], as_json: bool, title: str) -> None:
    """Results as a table, a column each (a row each where they are many), or as JSON: a list of objects with plain
    keys."""
    records = [asdict(result) for result in results]
    if as_json:
        console.result(json.dumps(records, indent=2))
        return
    from rich.table import Table

    table = Table(title=title)
    columns = [[key.replace("_", " "), *(_cell(record[key]) for record in records)] for key in records[0]]
    cells = columns if len(records) < len(columns) else list(zip(*columns, strict=True))
    for heading in cells[0]:
        table.add_column(heading, justify="right")
    for row in cells[1:]:
        table.add_row(*row)
    console.out().print(table)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else str(value)
