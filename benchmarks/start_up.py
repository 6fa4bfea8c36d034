"""How long it takes from a command to the translation of one line, beside loading torch alone.

python -m benchmarks.start_up --run runs/x
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Annotated

import typer

from benchmarks import common
from seq2seq_cli.runs import open_run

LINE = "Zwei Männer stehen am Herd und kochen.\n"


@dataclass(frozen=True)
class StartUp:
    """Medians over the rounds, in each of which every command has its turn; ``lowest_seconds`` and ``highest_seconds`` are
    the range. ``cpu_seconds`` and ``peak_memory_mib`` are those of its process; None for less memory than this process has,
    whose own is counted as that of what it starts."""

    command: str
    rounds: int
    seconds: float
    lowest_seconds: float
    highest_seconds: float
    cpu_seconds: float
    peak_memory_mib: float | None


@dataclass(frozen=True)
class Run:
    """One run of a command."""

    seconds: float
    cpu_seconds: float
    peak_memory_mib: float


def timed(arguments: list[str], line: Path) -> Run:
    """``python ARGUMENTS``, with the file ``line`` as its input. Raises CalledProcessError where it fails."""
    begin = time.perf_counter()
    with open(line, "rb") as given:
        process = subprocess.Popen([sys.executable, *arguments], stdin=given, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - begin
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, arguments)
    return Run(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def commands(run: Path, threads: int | None) -> dict[str, list[str]]:
    """By name, the arguments of each."""
    several = [] if threads is None else ["--threads", str(threads)]
    return {
        "python -c pass": ["-c", "pass"],
        "import torch": ["-c", "import torch"],
        "seq2seq --help": ["-m", "seq2seq_cli", "--help"],
        "seq2seq translate": ["-m", "seq2seq_cli", "translate", "--run", str(run), *several],
    }


def main(
    run: common.RunOption = None,
    threads: common.Threads = None,
    rounds: Annotated[int, typer.Option(min=1, help="How often each command has its turn.")] = 5,
    as_json: common.JsonOption = False,
) -> None:
    """Seconds from a command to its end."""
    own = common.peak_memory_mib()
    turns = commands(open_run(run).directory, threads)
    found: dict[str, list[Run]] = {name: [] for name in turns}
    with tempfile.TemporaryDirectory() as folder:
        line = Path(folder) / "line.txt"
        line.write_text(LINE, encoding="utf-8")
        timed(turns["seq2seq translate"], line)  # reads everything from the disk once
        for _ in range(rounds):
            for name, arguments in turns.items():
                found[name].append(timed(arguments, line))
    rows = [
        StartUp(
            command=name,
            rounds=rounds,
            seconds=median(it.seconds for it in runs),
            lowest_seconds=min(it.seconds for it in runs),
            highest_seconds=max(it.seconds for it in runs),
            cpu_seconds=median(it.cpu_seconds for it in runs),
            peak_memory_mib=peak if (peak := median(it.peak_memory_mib for it in runs)) > own else None,
        )
        for name, runs in found.items()
    ]
    common.show(rows, as_json, "start-up")


if __name__ == "__main__":
    common.command(main)
