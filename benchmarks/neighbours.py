"""How fast a run translates with a memory of made-up entries, beside the run alone, in turn; and the memory used.

python -m benchmarks.neighbours --run runs/x --entries 400000 --index
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import numpy as np
import typer

from benchmarks import common
from seq2seq_cli.data.pairs import Lines
from seq2seq_cli.decoding.memorising import new_memory
from seq2seq_cli.decoding.recalling import Given, open_memory
from seq2seq_cli.decoding.translator import Translator
from seq2seq_cli.device import set_threads
from seq2seq_cli.evaluation.testset import test_text, with_test
from seq2seq_cli.neighbours.growth import Growth, Piece, writing
from seq2seq_cli.neighbours.index import make_index
from seq2seq_cli.neighbours.layout import MemoryFiles
from seq2seq_cli.neighbours.store import Store
from seq2seq_cli.runs import Run, open_run

PART = 100_000
LENGTH = 10
"""Entries of a made-up sentence."""


@dataclass(frozen=True)
class With:
    """Sentences a second with and without the memory, and ``ratio``: the median of the one over the other, in turn.
    ``peak_memory_mib``: of the process, with those pages of the memory's files that it has read."""

    entries: int
    search: str
    beam: int
    sentences: int
    alone_per_second: float
    with_per_second: float
    ratio: float
    peak_memory_mib: float


def make_up(translator: Translator, run: Run, folder: Path, entries: int) -> None:
    """A memory of that many entries, drawn from a normal distribution."""
    files, base = MemoryFiles(folder), new_memory(translator, run, folder, "float16")
    random = np.random.default_rng(1)
    with writing(files):
        growth = Growth.begin(files, base, "made up", "0" * 64)
        while growth.read * LENGTH < entries:
            count = min(PART, entries - growth.read * LENGTH)
            sentences = -(-count // LENGTH)
            keys = random.standard_normal((sentences * LENGTH, base.size), dtype=np.float32)
            values = random.integers(4, base.pieces, sentences * LENGTH)
            lines = ["made up"] * sentences
            growth.add(Piece(keys, values, [LENGTH] * sentences, lines, lines, read=sentences))
        growth.finish(lambda stage, done, total: None)


def seconds(translator: Translator, lines: list[str], beam: int) -> float:
    """How long a translation takes."""
    begin = time.perf_counter()
    translator.translate(lines, {"beam": beam})
    return time.perf_counter() - begin


def main(
    run: common.RunOption = None,
    test: common.Test = None,
    entries: Annotated[int, typer.Option(help="Entries of the memory.")] = 400_000,
    neighbours: Annotated[int, typer.Option(help="How many count.")] = 8,
    limit: Annotated[int, typer.Option(help="Sentences.")] = 100,
    rounds: Annotated[int, typer.Option(help="How often, in turn.")] = 3,
    beam: Annotated[list[int] | None, typer.Option(help="Repeatable; default: 1 and 5.")] = None,
    index: Annotated[bool, typer.Option("--index", help="Also with an index by faiss.")] = False,
    folder: Annotated[Path | None, typer.Option(help="Where to keep the memory; default: it is removed.")] = None,
    precision: common.PrecisionOption = "auto",
    as_json: common.JsonOption = False,
) -> None:
    """One thread, on the first sentences of a test set."""
    set_threads(1)
    opened = open_run(run)
    alone = Translator.load(opened.directory, "cpu", precision or "auto")
    lines = Lines.read(test_text(with_test(alone.config.data, test), opened)).src[:limit]
    given, results = Given(neighbours=neighbours, mix=0.3), list[With]()
    with TemporaryDirectory() as scratch:
        memory = folder or Path(scratch) / "memory"
        if not MemoryFiles(memory).record.exists():
            make_up(alone, opened, memory, entries)
        for search in ("all", "index") if index else ("all",):
            if search == "index" and Store.open(memory).record.index is None:
                make_index(Store.open(memory), lambda stage, done, total: None)
            remembering = alone.remembering(open_memory(opened, memory, alone.device, given))
            for width in beam or (1, 5):
                for each in (alone, remembering):
                    seconds(each, lines[:8], width)
                times = [[seconds(each, lines, width) for each in (alone, remembering)] for _ in range(rounds)]
                before, after = (len(lines) / statistics.median(column) for column in zip(*times, strict=True))
                ratio = statistics.median(plain / with_it for plain, with_it in times)
                peak = common.peak_memory_mib()
                results.append(With(entries, search, width, len(lines), before, after, ratio, peak))
    common.show(results, as_json, f"{opened.directory} with a made-up memory, one thread, {alone.precision.name}")


if __name__ == "__main__":
    common.command(main)
