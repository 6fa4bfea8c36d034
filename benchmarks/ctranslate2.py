"""How fast a run translates beside CTranslate2 with the same model, exported, and how many translations are the same.

python -m benchmarks.ctranslate2 --run runs/transformer
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer

from benchmarks import common
from seq2seq_cli.data.pairs import Lines
from seq2seq_cli.decoding.translator import Translator, longest_translation
from seq2seq_cli.device import set_threads
from seq2seq_cli.evaluation.testset import test_text, with_test
from seq2seq_cli.export.formats import export
from seq2seq_cli.runs import open_run

PRECISIONS = {"fp32": "float32", "int8": "int8"}
"""Our name of each, and theirs."""

Translate = Callable[[Sequence[str]], list[str]]


@dataclass(frozen=True)
class Beside:
    """Sentences a second from text to text, the medians of some rounds in turn, and ``ratio``: the median of ours over theirs.
    ``equal``: the share of translations that are the same text."""

    precision: str
    beam: int
    sentences: int
    ours_per_second: float
    theirs_per_second: float
    ratio: float
    equal: float


def theirs(model: Any, translator: Translator, batch: int, beam: int) -> Translate:
    """CTranslate2, from text to text by the same pieces, with the run's own settings but for the beam."""
    subwords, decoding = translator.subwords, translator.config.decoding

    def translate(lines: Sequence[str]) -> list[str]:
        pieces = [[subwords.src.name_within(number) for number in ids] for ids in subwords.src.encode(list(lines))]
        found = model.translate_batch(
            pieces,
            max_batch_size=batch,
            beam_size=beam,
            length_penalty=decoding.length_penalty,
            min_decoding_length=decoding.min_length,
            max_decoding_length=decoding.max_length or longest_translation(max(map(len, pieces))),
            max_input_length=0,
        )
        return [subwords.tgt.decode(subwords.tgt.ids(each.hypotheses[0])) for each in found]

    return translate


def measure(
    ours: Translate, others: Translate, lines: Sequence[str], rounds: int
) -> tuple[list[float], list[float], float]:
    """Seconds of each round by either, and the share of equal translations."""
    for translate in (ours, others):
        translate(lines[:50])
    seconds: tuple[list[float], list[float]] = [], []
    found: list[list[str]] = [[], []]
    for _ in range(rounds):
        for side, translate in enumerate((ours, others)):
            begin = time.perf_counter()
            found[side] = translate(lines)
            seconds[side].append(time.perf_counter() - begin)
    return *seconds, statistics.fmean(one == other for one, other in zip(*found, strict=True))


def main(
    run: common.RunOption = None,
    test: common.Test = None,
    limit: Annotated[int, typer.Option(help="Sentences; 0: all.")] = 1000,
    rounds: Annotated[int, typer.Option(help="How often each translates, in turn.")] = 3,
    batch: Annotated[int, typer.Option(help="Sentences in a batch of CTranslate2.")] = 64,
    precision: Annotated[list[str] | None, typer.Option(help="Repeatable; default: fp32 and int8.")] = None,
    beam: Annotated[list[int] | None, typer.Option(help="Repeatable; default: 1 and 5.")] = None,
    as_json: common.JsonOption = False,
) -> None:
    """One thread each, on the first sentences of a test set."""
    import ctranslate2

    set_threads(1)
    opened = open_run(run)
    results = []
    with TemporaryDirectory() as scratch:
        folder = Path(scratch) / "exported"
        for name in precision or list(PRECISIONS):
            translator = Translator.load(opened.directory, "cpu", name)
            if not folder.exists():
                export(translator, "ctranslate2", folder)
            model = ctranslate2.Translator(str(folder), compute_type=PRECISIONS[name], inter_threads=1, intra_threads=1)
            text = Lines.read(test_text(with_test(translator.config.data, test), opened)).src[: limit or None]
            for width in beam or (1, 5):
                ours = partial(translator.translate, decoding={"beam": width})
                mine, others, equal = measure(ours, theirs(model, translator, batch, width), text, rounds)
                ratios = [other / own for own, other in zip(mine, others, strict=True)]
                own_rate, other_rate = (len(text) / statistics.median(times) for times in (mine, others))
                ratio = statistics.median(ratios)
                results.append(Beside(name, width, len(text), own_rate, other_rate, ratio, equal))
    common.show(results, as_json, f"{opened.directory} beside CTranslate2 {ctranslate2.__version__}, one thread each")


if __name__ == "__main__":
    common.command(main)
