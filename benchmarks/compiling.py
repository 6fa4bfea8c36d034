"""What share of a training step oneDNN spends on compiling primitives, once the first updates are over.

python -m benchmarks.compiling --attention bahdanau --threads 1

oneDNN compiles code for each new shape of a product and keeps a bounded number of them. It says so itself, with
ONEDNN_VERBOSE=profile_create, on the standard output of the process: so the training runs in a process of its own, which
puts marks between these lines.
"""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Annotated

import typer

from benchmarks import common
from benchmarks.children import Place, python
from benchmarks.train_speed import Timed, take, updates
from seq2seq_cli.config.whole import Config
from seq2seq_cli.device import set_threads
from seq2seq_cli.training.learner import new_learner
from seq2seq_cli.training.sitting import prepared_text

VERBOSE = "ONEDNN_VERBOSE"
COMPILED = "onednn_verbose,v1,primitive,create:cache_miss,"
BEGIN, END = "timed updates begin", "timed updates end "


@dataclass(frozen=True)
class Compiling:
    """Of the updates after the first ``after_updates``. ``share_percent``: of their time, spent on compiling."""

    attention: str
    input_feeding: str
    precision: str
    threads: int
    after_updates: int
    updates: int
    compiled_per_update: float
    milliseconds_each: float
    milliseconds_per_update: float
    share_percent: float


@dataclass(frozen=True)
class Marked:
    """What the training process says at its end."""

    precision: str
    after_updates: int
    timed: Timed


def train_with_marks(config: Config, steps: int, warm_up: int, most_seconds: float) -> None:
    """Train, and print a mark before the updates that count and one after them."""
    threads = set_threads(config.training.threads)
    prepared = prepared_text(config, threads)
    learner = new_learner(config, prepared.subwords)
    events = updates(config, prepared, learner)
    before = take(events, warm_up, most_seconds)
    print(BEGIN, flush=True)
    timed = take(events, steps, most_seconds)
    print(end_mark(Marked(learner.precision.name, before.steps, timed)), flush=True)


def end_mark(marked: Marked) -> str:
    """The line that says it."""
    return END + json.dumps(asdict(marked))


def compiled_milliseconds(lines: Iterable[str]) -> tuple[list[float], Marked]:
    """How long each compiling took between the marks, and the last mark."""
    times: list[float] = []
    for line in lines:
        if line.startswith(BEGIN):
            times.clear()
        elif line.startswith(COMPILED):
            times.append(float(line.rpartition(",")[2]))
        elif line.startswith(END):
            said = json.loads(line.removeprefix(END))
            return times, Marked(said["precision"], said["after_updates"], Timed(*said["timed"]))
    raise ValueError("the training did not come to its last mark")


def main(
    training: common.Training,
    texts: common.Texts,
    steps: Annotated[int, typer.Option(min=1, help="Updates that count.")] = 40,
    warm_up: Annotated[int, typer.Option(min=1, help="Updates before them.")] = 100,
    most_seconds: Annotated[float, typer.Option(help="Fewer updates where either take longer.")] = math.inf,
    as_json: common.JsonOption = False,
) -> None:
    """The share of compiling in a training step."""
    chosen = training.settings(None, texts.flags)
    if VERBOSE in os.environ:
        train_with_marks(chosen, steps, warm_up, most_seconds)
        return
    told = python(["-m", "benchmarks.compiling", *sys.argv[1:]], Place(environment={VERBOSE: "profile_create"}))
    times, marked = compiled_milliseconds(told.splitlines())
    timed = marked.timed
    feeding = chosen.attention.input_feeding
    row = Compiling(
        attention=chosen.attention.kind,
        input_feeding="-" if feeding is None else str(feeding).lower(),
        precision=marked.precision,
        threads=chosen.training.threads,
        after_updates=marked.after_updates,
        updates=timed.steps,
        compiled_per_update=len(times) / timed.steps,
        milliseconds_each=sum(times) / len(times) if times else 0.0,
        milliseconds_per_update=sum(times) / timed.steps,
        share_percent=sum(times) / (10 * timed.seconds),
    )
    common.show([row], as_json, "compiling")


if __name__ == "__main__":
    common.command(main)
