"""Training time and memory as corpus, source length, vocabulary and threads grow.

    python -m benchmarks.scaling --attention bahdanau

Each point is measured in a process of its own, on made-up text: only its size matters.
"""

from __future__ import annotations

import json
import random
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from benchmarks import common
from benchmarks.children import Place, module

WORDS = 20_000
"""Different words of the made-up language; their frequencies fall as 1/rank, as in real text."""


@dataclass(frozen=True)
class Point:
    """``value`` of what ``grows``; preparing is from text to tokenised pairs, on all cores."""

    grows: str
    value: int
    pairs: int
    words_a_source: int
    vocabulary: int
    threads: int
    prepare_seconds: float
    target_tokens_per_second: float
    peak_memory_mib: float


@dataclass(frozen=True)
class Setting:
    """One made-up corpus and how it is trained on."""

    pairs: int = 20_000
    words: int = 12
    vocabulary: int = 8000
    threads: int = 1


def write_corpus(folder: Path, setting: Setting) -> None:
    """Source and target of ``setting.words`` words on average, both drawn at random."""
    rng = random.Random(1)
    words = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(2, 9))) for _ in range(WORDS)]
    weights = [1 / rank for rank in range(1, WORDS + 1)]
    for split, count in (("train", setting.pairs), ("dev", 200)):
        for side in ("xx", "yy"):
            with open(folder / f"{split}.{side}", "w", encoding="utf-8") as file:
                for _ in range(count):
                    length = rng.randint(setting.words // 2, setting.words * 3 // 2)
                    file.write(" ".join(rng.choices(words, weights, k=length)) + "\n")


def measure(grows: str, value: int, setting: Setting, attention: str, steps: int) -> Point:
    """Prepare and train on a corpus of that setting, in new processes."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_corpus(folder, setting)
        data = [f"--train={folder / 'train'}", f"--dev={folder / 'dev'}", "--src=xx", "--tgt=yy"]
        sizes = [f"--set=subword.vocab_size={setting.vocabulary}", "--set=data.max_length=400"]
        place = Place(environment={"SEQ2SEQ_CACHE": str(folder / "cache")})
        begin = time.perf_counter()
        module("seq2seq_cli", "prepare", *data, *sizes, place=place)
        seconds = time.perf_counter() - begin
        trained = json.loads(
            module(
                "benchmarks.train_speed", f"--attention={attention}", f"--threads={setting.threads}", *data, *sizes,
                f"--steps={steps}", "--warm-up=20", "--json", place=place,
            )
        )[0]  # fmt: skip
    speed, memory = trained["target_tokens_per_second"], trained["peak_memory_mib"]
    return Point(
        grows, value, setting.pairs, setting.words, setting.vocabulary, setting.threads, seconds, speed, memory
    )


def main(
    attention: Annotated[str, typer.Option(help="Attention kind.")] = "bahdanau",
    steps: int = 40,
    largest_corpus: Annotated[int, typer.Option(help="Pairs of the largest corpus.")] = 400_000,
    as_json: common.JsonOption = False,
) -> None:
    """Measure the points of each growing quantity."""
    plans = [
        *(("pairs", n, Setting(pairs=n)) for n in (20_000, largest_corpus)),
        *(("source words", n, Setting(words=n)) for n in (12, 25, 50, 100)),
        *(("vocabulary", n, Setting(vocabulary=n)) for n in (2000, 8000, 16000)),
        *(("threads", n, Setting(threads=n)) for n in (1, 2)),
    ]
    points = [measure(grows, value, setting, attention, steps) for grows, value, setting in plans]
    common.show(points, as_json, "scaling")


if __name__ == "__main__":
    common.command(main)
