"""All that is to be known of a machine's speed, in ten minutes on two cores.

python -m benchmarks.all                         # a table
python -m benchmarks.all --json > results.json   # the same as data, for `python -m benchmarks.tables`
python -m benchmarks.all --keep                  # that, put into benchmarks/results/PROCESSOR.json

Each measurement runs in a process of its own, on a core of its own (or two). All have a turn; then, as long as time is
left, all have another one. Every figure is the median of these, with the lowest and the highest. To translate, a run is
needed: `--run R`, or one is trained first, for a minute and a half.

What is not measured again, by `--only` or for want of time, stays as it is in that file, with the commit it is of. Stay away
from the machine meanwhile. Where others use it too, `--by "chrt -r 5"` starts every measurement with priority.
"""

from __future__ import annotations

import json
import math
import os
import shlex
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Annotated

import typer

from benchmarks import common, results, tables
from benchmarks.children import FailedError, Place, module
from benchmarks.opennmt import require_installed
from benchmarks.processor import this_processor
from benchmarks.results import Results, Section
from seq2seq_cli import console
from seq2seq_cli.config.whole import all_keys
from seq2seq_cli.device import choose_device, choose_precision
from seq2seq_cli.errors import ConfigError, suggestion
from seq2seq_cli.runs import open_run, write_text

KINDS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("bahdanau", ()),
    ("luong-general", ()),
    ("luong-general", ("--set=attention.input_feeding=false",)),
)
KNOWN = f"Known: {', '.join(results.SECTIONS)}."
SHARED = "training.processes"
"""The setting by which processes of one command share a training, where there is one."""
TRAINING_SECONDS = 6
"""Of one measurement of training, after as many to warm up at most."""


@dataclass(frozen=True)
class Job:
    """One measurement: a module of this package with its arguments, on so many cores."""

    section: Section
    module: str
    arguments: tuple[str, ...]
    cores: int
    again: bool = True

    @property
    def name(self) -> str:
        flags = [flag.removeprefix("--set=").removeprefix("--") for flag in self.arguments if "/" not in flag]
        return " ".join([self.section.name, *flags])


@dataclass
class Done:
    """The records of a job, of all its turns, and how long the longest turn took."""

    records: list[dict[str, object]] = field(default_factory=list)
    seconds: float = 0.0
    failed: bool = False


@dataclass(frozen=True)
class Way:
    """So many threads, in so many processes that share them."""

    threads: int
    processes: int = 1

    @property
    def flags(self) -> tuple[str, ...]:
        several = (f"--processes={self.processes}",) if SHARED in all_keys() else ()
        return (f"--threads={self.threads}", *several)


def ways(cores: int) -> list[Way]:
    """To train with one core, and with all."""
    if cores == 1:
        return [Way(1)]
    return [Way(1), Way(cores), *([Way(cores, cores)] if SHARED in all_keys() else [])]


def plan(texts: Sequence[str], test: Sequence[str], run: Path, trained: bool, cores: int) -> Iterator[Job]:
    """What is measured, in this order. ``texts`` and ``test``: the options that name them; ``trained``: whether there is a
    run already; ``cores``: the most to be used."""
    counts = [1] if cores == 1 else [1, cores]
    if not trained:
        keep = ("--attention=luong-general", "--minutes=1.5", f"--keep={run}")
        yield Job(results.COMMAND, "training_command", (*keep, f"--threads={cores}", *texts, *test), cores, again=False)
    for threads in counts:
        yield Job(results.RATES, "matrix_rates", (f"--threads={threads}",), threads)
    bf16 = choose_precision("auto", choose_device("cpu")).name == "bf16"
    for way in ways(cores):
        # Several processes must all make the same number of updates.
        steps, warm_up, most_seconds = (40, 10, TRAINING_SECONDS) if way.processes == 1 else (15, 10, math.inf)
        limits = (f"--steps={steps}", f"--warm-up={warm_up}", f"--most-seconds={most_seconds}")
        for precision in ("bf16", "fp32") if bf16 and way.processes == 1 else ("bf16" if bf16 else "fp32",):
            for kind, settings in KINDS:
                how = (f"--attention={kind}", *settings, f"--precision={precision}", *way.flags)
                yield Job(results.TRAINING, "train_speed", (*how, *limits, *texts), way.threads)
    for threads in counts:
        some = ("--limit=1000", "--singles=100", "--precision=auto", *test)
        yield Job(results.DECODING, "decode_speed", (f"--run={run}", f"--threads={threads}", *some), threads)
    yield Job(results.START_UP, "start_up", (f"--run={run}", "--threads=1", "--rounds=3"), 1)
    compiled = ("--attention=bahdanau", "--threads=1", "--steps=30", "--most-seconds=40")
    yield Job(results.COMPILING, "compiling", (*compiled, *texts), 1)
    if cores > 1:
        beside = ("--attention=bahdanau", f"--threads={cores}", "--rounds=3", "--seconds=4", "--warm-up=10")
        yield Job(results.NEIGHBOUR, "busy_neighbour", beside, cores)


def beside_opennmt(environment: Path, texts: Sequence[str]) -> Job:
    """Both in turn, on one core."""
    return Job(results.PEERS, "opennmt", (f"--environment={environment}", "--threads=1", *texts), 1, again=False)


@dataclass(frozen=True)
class Sitting:
    """Runs jobs until ``deadline``, by the clock of time.monotonic."""

    jobs: list[Job]
    deadline: float
    by: tuple[str, ...]
    cores: tuple[int, ...]

    def measure(self) -> list[Done]:
        """Every job once, in order; then each again whose time still suffices, until none is left."""
        done = [Done() for _ in self.jobs]
        turn = 0
        while True:
            had_turns = [self._turn(turn, number, done[number]) for number in range(len(self.jobs))]
            if not any(had_turns):
                return done
            turn += 1

    def _turn(self, turn: int, number: int, done: Done) -> bool:
        """Whether the job had another turn."""
        job, left = self.jobs[number], self.deadline - time.monotonic()
        if done.failed or (turn and not job.again) or left < 1.1 * done.seconds:
            return False
        minutes, seconds = divmod(max(0, round(left)), 60)
        if left <= 1:
            console.warn(f"{job.name}: left out, the time is over")
            done.failed = True
            return False
        round_of = f"turn {turn + 1}, {number + 1} of {len(self.jobs)}"
        console.notice(f"{minutes}:{seconds:02d} left; {round_of}: {job.name}")
        begin = time.monotonic()
        try:
            place = Place(self.cores[-job.cores :], self.by)
            told = module(f"benchmarks.{job.module}", *job.arguments, "--json", place=place, most_seconds=left)
            done.records += json.loads(told)
        except FailedError as problem:
            console.warn(f"left out: {problem}")
            done.failed = True
        done.seconds = max(done.seconds, time.monotonic() - begin)
        return True


def results_of(jobs: list[Job], done: list[Done]) -> Results:
    """What the jobs found, on this machine."""
    by_section: dict[str, list[dict[str, object]]] = {}
    for job, it in zip(jobs, done, strict=True):
        by_section.setdefault(job.section.name, []).extend(it.records)
    found = [results.gathered(results.SECTIONS[name], records) for name, records in by_section.items()]
    return Results(processor=this_processor(), measured=tuple(it for section in found for it in section))


def main(
    texts: common.Texts,
    test: common.Test = None,
    run: common.RunOption = None,
    minutes: Annotated[float, typer.Option(min=0.1, help="For all of it.")] = 10.0,
    cores: Annotated[int, typer.Option(min=1, help="The most cores that a measurement uses.")] = 2,
    by: Annotated[str, typer.Option(help="A command that starts every measurement, e.g. chrt -r 5.")] = "",
    opennmt: Annotated[
        Path | None,
        typer.Option(help="Also train beside OpenNMT-py 3.5.1, in the environment in this folder; five minutes more."),
    ] = None,
    only: Annotated[list[str] | None, typer.Option(help="Only this section of the results; repeatable.")] = None,
    keep: Annotated[
        bool, typer.Option(help="Write them to benchmarks/results/PROCESSOR.json, over what was measured before.")
    ] = False,
    as_json: common.JsonOption = False,
) -> None:
    """Measure all of it."""
    for name in only or ():
        if name not in results.SECTIONS:
            raise ConfigError(f'"{name}" is unknown.', "--only", suggestion(name, results.SECTIONS) or KNOWN)
    if run is not None:
        open_run(run)
    if opennmt is not None:
        require_installed(opennmt)
    deadline = time.monotonic() + 60 * minutes
    allowed = tuple(sorted(os.sched_getaffinity(0))) if hasattr(os, "sched_getaffinity") else tuple(range(cores))
    tested = [] if test is None else [f"--test={test}"]
    with tempfile.TemporaryDirectory() as scratch:
        planned = plan(texts.options, tested, run or Path(scratch) / "run", run is not None, min(cores, len(allowed)))
        if opennmt is not None:
            planned = chain(planned, [beside_opennmt(opennmt, texts.options)])
        jobs = [job for job in planned if not only or job.section.name in only]
        done = Sitting(jobs, deadline, tuple(shlex.split(by)), allowed).measure()
    found = results_of(jobs, done)
    if keep:
        path = results.FOLDER / f"{found.processor.file_name}.json"
        path.parent.mkdir(exist_ok=True)
        write_text(path, results.written(results.merged(found, results.read(path)) if path.exists() else found))
        console.notice(f"written to {path}")
    console.result(results.written(found) if as_json else tables.markdown([found]))
    if any(it.failed for it in done):
        raise typer.Exit(1)


if __name__ == "__main__":
    common.command(main)
