"""Preparing and checking corpora of millions of pairs: pairs a second and peak memory.

    python -m benchmarks.scale --pairs 1000000 --pairs 5000000

The text is the built-in one again and again, with a number put at a random place of every sentence from the second time
on, so that no two pairs are the same. Each command runs in a process of its own.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from benchmarks import common
from seq2seq_cli.config.sections import DataConfig
from seq2seq_cli.data.corpora import find_corpus


@dataclass(frozen=True)
class Scale:
    """One command on one corpus. ``cpu_seconds`` and ``peak_memory_mib`` are those of its process and its children."""

    command: str
    pairs: int
    seconds: float
    cpu_seconds: float
    pairs_per_second: float
    peak_memory_mib: float


def write_corpus(folder: Path, pairs: int, seed: int = 1) -> DataConfig:
    """``pairs`` pairs of training text, and the built-in development text."""
    corpus = find_corpus(DataConfig())
    texts = list(corpus.train.pairs())
    rng = random.Random(seed)

    def noisy(line: str) -> str:
        words = line.split(" ")
        words.insert(rng.randint(0, len(words)), str(rng.randrange(10_000)))
        return " ".join(words)

    sides = (corpus.src, corpus.tgt)
    src, tgt = (folder / f"train.{side}" for side in sides)
    with open(src, "w", encoding="utf-8") as src_file, open(tgt, "w", encoding="utf-8") as tgt_file:
        for number in range(pairs):
            for file, line in zip((src_file, tgt_file), texts[number % len(texts)], strict=True):
                file.write((line if number < len(texts) else noisy(line)) + "\n")
    for side, lines in zip(sides, zip(*corpus.dev.pairs(), strict=True), strict=True):
        (folder / f"dev.{side}").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return DataConfig(train=str(folder / "train"), dev=str(folder / "dev"), src=corpus.src, tgt=corpus.tgt)


def measure(command: str, arguments: list[str], pairs: int, folder: Path) -> Scale:
    """Run ``seq2seq command arguments``. Raises CalledProcessError where it fails."""
    environment = os.environ | {"SEQ2SEQ_CACHE": str(folder / "cache")}
    begin = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "seq2seq_cli", command, *arguments], stdout=subprocess.DEVNULL, env=environment
    )
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - begin
    if status:
        raise subprocess.CalledProcessError(os.waitstatus_to_exitcode(status), command)
    cpu = usage.ru_utime + usage.ru_stime
    return Scale(command, pairs, seconds, cpu, pairs / seconds, usage.ru_maxrss / 1024)


def main(
    pairs: Annotated[list[int] | None, typer.Option(min=1, help="Pairs; repeatable. Default: 100,000.")] = None,
    as_json: common.JsonOption = False,
) -> None:
    """Measure ``prepare`` and ``check-data`` on corpora of so many pairs."""
    results = []
    for count in pairs or [100_000]:
        with tempfile.TemporaryDirectory() as name:
            data = write_corpus(Path(name), count)
            languages = ["--src", str(data.src), "--tgt", str(data.tgt)]
            given = ["--train", str(data.train), "--dev", str(data.dev), *languages]
            results.append(measure("prepare", given, count, Path(name)))
            results.append(measure("check-data", [str(data.train), *languages], count, Path(name)))
    common.show(results, as_json, "Large corpora")


if __name__ == "__main__":
    common.command(main)
