"""How fast a trained run translates: greedy and beam search, one sentence at a time and in large batches.

python -m benchmarks.decode_speed --run runs/x --threads 1
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Annotated

import torch
import typer

from benchmarks import common
from seq2seq_cli.config.sections import WORDS
from seq2seq_cli.data.pairs import Lines
from seq2seq_cli.decoding.translator import Translator
from seq2seq_cli.device import choose_device, choose_precision, choose_search_precision, set_threads
from seq2seq_cli.evaluation.metrics import bleu
from seq2seq_cli.evaluation.testset import test_text, with_test
from seq2seq_cli.runs import open_run


@dataclass(frozen=True)
class DecodeSpeed:
    """Seconds without loading the model, which is timed apart. ``batch``: "1" or the run's own. ``median_milliseconds``: of
    one sentence, where each is translated alone."""

    attention: str
    precision: str
    threads: int
    beam: int
    batch: str
    sentences: int
    seconds: float
    sentences_per_second: float
    median_milliseconds: float | None
    target_tokens_per_second: float
    bleu: float
    model_load_seconds: float
    peak_memory_mib: float


def measure(translator: Translator, lines: Lines, beam: int, single: bool, load_seconds: float) -> DecodeSpeed:
    """Translate ``lines`` once, after a short warm-up; ``single``: each in a call of its own."""
    decoding = translator.config.decoding.model_copy(update={"beam": beam})
    requests = [[line] for line in lines.src] if single else [lines.src]
    for request in requests[:20]:
        translator.hypotheses(request[:20], decoding)
    found, times = [], []
    for request in requests:
        begin = time.perf_counter()
        found += translator.hypotheses(request, decoding)
        times.append(time.perf_counter() - begin)
    seconds = sum(times)
    tokens = sum(len(candidates[0].pieces) + 1 for candidates in found)
    return DecodeSpeed(
        attention=translator.config.attention.kind,
        precision=translator.precision.name,
        threads=torch.get_num_threads(),
        beam=beam,
        batch="1" if single else f"{decoding.batch_tokens} source positions x (beam + 1)",
        sentences=len(lines.src),
        seconds=seconds,
        sentences_per_second=len(lines.src) / seconds,
        median_milliseconds=1000 * statistics.median(times) if single else None,
        target_tokens_per_second=tokens / seconds,
        bleu=bleu([candidates[0].text for candidates in found], lines.tgt, WORDS),
        model_load_seconds=load_seconds,
        peak_memory_mib=common.peak_memory_mib(),
    )


def native_precisions(device: torch.device) -> list[str]:
    """float32, and what is computed faster here."""
    chosen = (choose("auto", device).name for choose in (choose_precision, choose_search_precision))
    return list(dict.fromkeys(["fp32", *chosen]))


def main(
    run: common.RunOption = None,
    test: common.Test = None,
    threads: common.Threads = None,
    precision: Annotated[list[str] | None, typer.Option(help="Repeatable; default: all that are native.")] = None,
    limit: Annotated[int, typer.Option(help="Sentences; 0: all.")] = 0,
    singles: Annotated[int, typer.Option(help="Sentences translated one by one.")] = 100,
    device: str = "auto",
    as_json: common.JsonOption = False,
) -> None:
    """Decoding speed of a run on its test set."""
    set_threads(threads)
    opened = open_run(run)
    results = []
    for name in precision or native_precisions(choose_device(device)):
        begin = time.perf_counter()
        translator = Translator.load(opened.directory, device, name)
        load_seconds = time.perf_counter() - begin
        lines = Lines.read(test_text(with_test(translator.config.data, test), opened))
        many = Lines(lines.src[: limit or None], lines.tgt[: limit or None])
        few = Lines(lines.src[:singles], lines.tgt[:singles])
        for beam, single in product((1, 5), (True, False)):
            results.append(measure(translator, few if single else many, beam, single, load_seconds))
    common.show(results, as_json, f"decoding speed of {Path(opened.directory)}")


if __name__ == "__main__":
    common.command(main)
