"""What a busy neighbour costs: training speed beside processes that spin, over that without them.

python -m benchmarks.busy_neighbour
python -m benchmarks.busy_neighbour --neighbours 3 --threads 2 --attention luong-general
OMP_WAIT_POLICY=active python -m benchmarks.busy_neighbour

One training goes on all the time; the neighbours come and go beside it, so that both speeds are of the same moment and a
machine that has other work to do tells the same.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from benchmarks import common
from benchmarks.train_speed import take, updates
from seq2seq_cli.data.prepare import prepare
from seq2seq_cli.device import set_threads
from seq2seq_cli.training.learner import new_learner
from seq2seq_cli.training.progress import Stepped

SPIN = "while True: pass"


@dataclass(frozen=True)
class BusyNeighbour:
    """Target tokens a second without and with the neighbours: medians over the rounds; ``ratio``: that of the rounds' own
    ratios, ``lowest_ratio`` and ``highest_ratio`` their range. ``load``: the machine's load average before the first round,
    over a minute."""

    attention: str
    threads: int
    neighbours: int
    rounds: int
    load: float
    alone_tokens_per_second: float
    beside_tokens_per_second: float
    ratio: float
    lowest_ratio: float
    highest_ratio: float


@contextmanager
def spinning(neighbours: int, pinned: bool) -> Iterator[None]:
    """So many processes that do nothing but use a core; ``pinned``: each on a core of its own, the last ones first."""
    cores = sorted(os.sched_getaffinity(0))
    processes = []
    try:
        for number in range(neighbours):
            process = subprocess.Popen([sys.executable, "-c", SPIN])
            processes.append(process)
            if pinned:
                os.sched_setaffinity(process.pid, {cores[-1 - number % len(cores)]})
        yield
    finally:
        for process in processes:
            process.kill()
        for process in processes:
            process.wait()


def tokens_per_second(events: Iterator[Stepped], seconds: float) -> float:
    """Of the updates of so many seconds, after one that is under way."""
    next(events)
    return take(events, sys.maxsize, seconds).tokens_per_second


def main(
    training: common.Training,
    neighbours: Annotated[int, typer.Option(min=1, help="Processes that spin.")] = 1,
    pinned: Annotated[bool, typer.Option(help="Each neighbour on a core of its own.")] = True,
    rounds: Annotated[int, typer.Option(min=1, help="Pairs of measurements.")] = 5,
    seconds: Annotated[float, typer.Option(help="Of each measurement.")] = 10.0,
    warm_up: Annotated[int, typer.Option(help="Updates before the first measurement.")] = 20,
    as_json: common.JsonOption = False,
) -> None:
    """Training speed of one kind beside busy processes."""
    chosen = training.settings(None, {})
    load = float(Path("/proc/loadavg").read_text(encoding="ascii").split()[0])
    used = set_threads(chosen.training.threads)
    prepared = prepare(chosen.data, chosen.subword)
    events = updates(chosen, prepared, new_learner(chosen, prepared.subwords))
    take(events, warm_up)
    alone, beside = [], []
    for _ in range(rounds):
        alone.append(tokens_per_second(events, seconds))
        with spinning(neighbours, pinned):
            beside.append(tokens_per_second(events, seconds))
    ratios = [one / other for one, other in zip(beside, alone, strict=True)]
    row = BusyNeighbour(
        attention=chosen.attention.kind,
        threads=used,
        neighbours=neighbours,
        rounds=rounds,
        load=load,
        alone_tokens_per_second=statistics.median(alone),
        beside_tokens_per_second=statistics.median(beside),
        ratio=statistics.median(ratios),
        lowest_ratio=min(ratios),
        highest_ratio=max(ratios),
    )
    common.show([row], as_json, "a busy neighbour")


if __name__ == "__main__":
    common.command(main)
