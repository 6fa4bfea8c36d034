"""How fast `seq2seq train` itself trains: its own log, without the first updates.

python -m benchmarks.training_command --attention bahdanau --threads 2
python -m benchmarks.training_command --attention bahdanau --processes 2 --minutes 0.5

Unlike `train_speed`, which runs the loop alone, this sees several processes as well.
"""

from __future__ import annotations

import json
import resource
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks import common
from benchmarks.children import module
from seq2seq_cli.errors import DataError
from seq2seq_cli.runs import open_run


@dataclass(frozen=True)
class TrainingCommand:
    """``largest_process_mib``: the most memory that one of its processes has held; ``updates`` of the whole command, ``bleu``
    on the test text after them."""

    attention: str
    threads: int
    processes: int
    minutes: float
    updates: int
    target_tokens_per_second: float
    largest_process_mib: float
    bleu: float | None


def speed_after_first(events: Iterable[Mapping[str, Any]]) -> float:
    """Target tokens a second of what was logged of a training, without the first interval, in which shapes are new. Raises
    DataError where there is only one."""
    intervals = [event for event in events if event.get("event") == "train"]
    if len(intervals) < 2:
        hint = "Give it more --minutes."
        raise DataError("the training was too short: its speed was logged less than twice.", hint=hint)
    tokens = sum(interval["target_tokens"] for interval in intervals[1:])
    return float(tokens / sum(it["target_tokens"] / it["tokens_per_second"] for it in intervals[1:]))


def trained(flags: list[str], run: Path) -> None:
    """Train by the command, in a process of its own. Raises FailedError."""
    module("seq2seq_cli", "train", "--run", str(run), *flags)


def main(
    texts: common.Texts,
    attention: Annotated[str, typer.Option(help="Attention kind.")] = "luong-general",
    test: common.Test = None,
    overrides: common.Overrides = None,
    threads: common.Threads = None,
    processes: Annotated[int, typer.Option(min=1, help="Processes that train together.")] = 1,
    minutes: Annotated[float, typer.Option(help="Of training.")] = 0.5,
    keep: Annotated[Path | None, typer.Option(help="Keep the run here; default: thrown away.")] = None,
    as_json: common.JsonOption = False,
) -> None:
    """Speed of the command."""
    given = {"attention": attention, "max-minutes": minutes, "test": test, "threads": threads,
             "processes": processes if processes > 1 else None}  # fmt: skip
    flags = [*texts.options, *(f"--{name}={value}" for name, value in given.items() if value is not None)]
    flags += [f"--set={setting}" for setting in overrides or ()]
    with tempfile.TemporaryDirectory() as scratch:
        trained(flags, keep or Path(scratch) / "run")
        run = open_run(keep or Path(scratch) / "run")
        events = [json.loads(line) for line in run.metrics_lines()]
        tested = json.loads(run.evaluation.read_text(encoding="utf-8")) if run.evaluation.is_file() else {}
    row = TrainingCommand(
        attention=attention,
        threads=threads or 0,
        processes=processes,
        minutes=minutes,
        updates=max(event.get("step", 0) for event in events),
        target_tokens_per_second=speed_after_first(events),
        largest_process_mib=resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024,
        bleu=tested.get("bleu"),
    )
    common.show([row], as_json, "training by the command")


if __name__ == "__main__":
    common.command(main)
