"""How much faster several threads translate than one, alone and beside programs that keep cores busy.

python -m benchmarks.decode_cores --run runs/x --threads 2 --neighbours 1

Each round translates the text with one thread, with all of them, and with all of them beside the neighbours, so that the
speeds that are compared are of the same moment.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
import typer

from benchmarks import common
from benchmarks.busy_neighbour import spinning
from seq2seq_cli.data.pairs import Lines
from seq2seq_cli.decoding.sentences import BEST_TEXT, Sentence
from seq2seq_cli.decoding.translator import Translator
from seq2seq_cli.device import set_threads
from seq2seq_cli.evaluation.testset import test_text, with_test
from seq2seq_cli.runs import open_run


@dataclass(frozen=True)
class DecodeCores:
    """Medians over the rounds, of seconds and of the rounds' own ratios: of the speed with all threads to that with one
    (``ratio``), and of the speed beside the neighbours to that without (``beside_ratio``). ``same``: whether all
    translations were the same."""

    precision: str
    beam: int
    sentences: int
    threads: int
    neighbours: int
    rounds: int
    one_thread_seconds: float
    seconds: float
    ratio: float
    beside_seconds: float | None
    beside_ratio: float | None
    same: bool
    peak_memory_mib: float


@dataclass(frozen=True)
class Timed:
    """How long a translation took, and what it was."""

    seconds: float
    texts: list[str]


def timed(translator: Translator, sentences: Sequence[Sentence], beam: int, threads: int) -> Timed:
    """Translate once with so many threads."""
    torch.set_num_threads(threads)
    begin = time.perf_counter()
    found = translator.search(sentences, {"beam": beam})
    return Timed(time.perf_counter() - begin, [each[0].text for each in found])


def measure(
    translator: Translator, lines: Sequence[str], beam: int, threads: int, neighbours: int, rounds: int
) -> DecodeCores:
    """Translate ``lines`` in so many rounds, after one to warm up."""
    sentences = translator.sentences(lines, BEST_TEXT)
    first = [timed(translator, sentences, beam, count) for count in (1, threads)]
    one, many, beside = list[Timed](), list[Timed](), list[Timed]()
    for _ in range(rounds):
        one.append(timed(translator, sentences, beam, 1))
        many.append(timed(translator, sentences, beam, threads))
        if neighbours:
            with spinning(neighbours, pinned=True):
                beside.append(timed(translator, sentences, beam, threads))
    return DecodeCores(
        precision=translator.precision.name,
        beam=beam,
        sentences=len(sentences),
        threads=threads,
        neighbours=neighbours,
        rounds=rounds,
        one_thread_seconds=statistics.median(each.seconds for each in one),
        seconds=statistics.median(each.seconds for each in many),
        ratio=statistics.median(a.seconds / b.seconds for a, b in zip(one, many, strict=True)),
        beside_seconds=statistics.median(each.seconds for each in beside) if beside else None,
        beside_ratio=statistics.median(a.seconds / b.seconds for a, b in zip(many, beside, strict=True))
        if beside
        else None,
        same=all(each.texts == first[0].texts for each in [*first, *one, *many, *beside]),
        peak_memory_mib=common.peak_memory_mib(),
    )


def main(
    run: common.RunOption = None,
    test: common.Test = None,
    threads: common.Threads = None,
    precision: Annotated[str, typer.Option(help="auto, int8, fp32, bf16 or fp16.")] = "auto",
    limit: Annotated[int, typer.Option(help="Sentences; 0: all.")] = 0,
    beam: Annotated[list[int] | None, typer.Option(help="Repeatable; default: 1 and 5.")] = None,
    neighbours: Annotated[int, typer.Option(min=0, help="Processes that spin, each on a core of its own.")] = 0,
    rounds: Annotated[int, typer.Option(min=1, help="Measurements of each.")] = 3,
    as_json: common.JsonOption = False,
) -> None:
    """Decoding speed of a run by the number of threads."""
    used = set_threads(threads)
    opened = open_run(run)
    translator = Translator.load(opened.directory, "cpu", precision)
    lines = Lines.read(test_text(with_test(translator.config.data, test), opened)).src[: limit or None]
    results = [measure(translator, lines, width, used, neighbours, rounds) for width in beam or (1, 5)]
    common.show(results, as_json, f"decoding speed of {opened.directory} by threads")


if __name__ == "__main__":
    common.command(main)
