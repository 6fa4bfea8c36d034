"""The pictures and the table of docs/attention.md: kinds of attention, trained the same way, side by side.

    python -m benchmarks.gallery --runs cmp --gold dev.align --source dev.de --target dev.en \\
        --sentence "Ein Satz." --translation "A sentence." -o docs/attention

``cmp`` holds a run of each kind to be shown, ``KIND-seed1``, as ``seq2seq compare`` names them. Speeds are measured on
one thread, kind after kind and all over again, and given relative to ``luong-general`` of the same round.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Annotated

import typer

from benchmarks import common, decode_speed, train_speed
from seq2seq_cli import console
from seq2seq_cli.config.loading import load
from seq2seq_cli.data.pairs import LineFiles, Lines
from seq2seq_cli.data.prepare import prepare
from seq2seq_cli.decoding.translator import Translator
from seq2seq_cli.device import set_threads
from seq2seq_cli.evaluation.aligner import aligned
from seq2seq_cli.evaluation.gold import Agreement, agreement, read_gold
from seq2seq_cli.evaluation.testset import test_text
from seq2seq_cli.kinds.attentions import KINDS, find
from seq2seq_cli.report.heatmaps import save_heatmap
from seq2seq_cli.runs import Run, open_run
from seq2seq_cli.training.learner import new_learner

YARDSTICK = "luong-general"


@dataclass(frozen=True)
class Exhibit:
    """A kind's row. ``alignment_error_rate`` compares the strongest attention with the given links; speeds are those
    of ``luong-general`` = 1."""

    kind: str
    bleu: str
    chrf: str
    alignment_error_rate: float | None
    entropy_bits: float | None
    parameters: int
    training_speed: float
    decoding_speed: float


@dataclass(frozen=True)
class Paces:
    """Target tokens a second, round by round."""

    training: list[float]
    decoding: list[float]

    def relative(self, yardstick: Paces) -> tuple[float, float]:
        """The medians over the rounds of each speed by the yardstick's."""
        both = (self.training, yardstick.training), (self.decoding, yardstick.decoding)
        training, decoding = (median(a / b for a, b in zip(ours, theirs, strict=True)) for ours, theirs in both)
        return training, decoding


def training_pace(run: Run, steps: int) -> float:
    """Of a new model with the settings of ``run``."""
    config = load(run.config)
    prepared = prepare(config.data, config.subword)
    learner = new_learner(config, prepared.subwords)
    return train_speed.timed_updates(config, prepared, learner, steps, warm_up=5).tokens_per_second


def decoding_pace(run: Run, sentences: int) -> float:
    """Of beam search on the first test sentences."""
    translator = Translator.load(run.directory, "cpu", "auto")
    lines = Lines.read(test_text(translator.config.data, run))
    few = Lines(lines.src[:sentences], lines.tgt[:sentences])
    return decode_speed.measure(translator, few, translator.config.decoding.beam, False, 0.0).target_tokens_per_second


def error_rate(translator: Translator, lines: Lines, gold: Path) -> float | None:
    """Alignment error rate of where the model looked, a word at a time, in forced decoding."""
    sizes = [(len(src.split()), len(tgt.split())) for src, tgt in zip(lines.src, lines.tgt, strict=True)]
    found = aligned(lines, translator, None, "", posterior=False)
    counts = (agreement(pair.links, wanted) for pair, wanted in zip(found, read_gold(gold, sizes), strict=True))
    return sum(counts, Agreement()).error_rate


def exhibit(run: Run, rate: float | None, speeds: tuple[float, float]) -> Exhibit:
    """The row of a trained and tested run."""
    scores = json.loads(run.evaluation.read_text(encoding="utf-8"))

    def figure(name: str) -> str:
        low, high = scores["interval_95"][name]
        return f"{scores[name]:.2f} [{low:.1f}-{high:.1f}]"

    looked = scores.get("diagnostics")
    return Exhibit(
        kind=scores["attention"],
        bleu=figure("bleu"),
        chrf=figure("chrf"),
        alignment_error_rate=rate,
        entropy_bits=None if looked is None else looked["entropy_bits"],
        parameters=scores["parameters"],
        training_speed=speeds[0],
        decoding_speed=speeds[1],
    )


def main(
    runs: Annotated[Path, typer.Option(help="The folder of the runs.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder of the pictures.")],
    sentence: Annotated[str, typer.Option(help="A source sentence to draw.")],
    translation: Annotated[str, typer.Option(help="Its translation.")],
    gold: Annotated[Path, typer.Option(help="Links i-j (sure) and i?j (possible), a line a pair.")],
    source: Annotated[Path, typer.Option(help="The source text of --gold.")],
    target: Annotated[Path, typer.Option(help="Its translations.")],
    rounds: Annotated[int, typer.Option(min=1, help="How often speed is measured.")] = 3,
    steps: Annotated[int, typer.Option(min=1, help="Updates that are timed, a round.")] = 15,
    sentences: Annotated[int, typer.Option(min=1, help="Test sentences translated, a round.")] = 200,
    as_json: common.JsonOption = False,
) -> None:
    """Draw one sentence as every kind sees it, and print the table of all kinds."""
    set_threads(1)
    folders = {kind.name: runs / f"{kind.name}-seed1" for kind in KINDS}
    found = {kind: open_run(folder) for kind, folder in folders.items() if folder.is_dir() or kind == YARDSTICK}
    lines = Lines.read(LineFiles(source, target))
    output.mkdir(parents=True, exist_ok=True)
    rates: dict[str, float | None] = {}
    for kind, run in found.items():
        if not find(kind).attends:
            continue
        translator = Translator.load(run.directory, "cpu", "fp32")
        alignment = translator.score([sentence], [translation])[0].alignment
        assert alignment is not None
        save_heatmap(alignment, output / f"{kind}.png", kind)
        rates[kind] = error_rate(translator, lines, gold)
        console.notice(f"{kind}: drawn and aligned")
    paces = {kind: Paces([], []) for kind in found}
    for number in range(rounds):
        for kind, run in found.items():
            paces[kind].training.append(training_pace(run, steps))
            paces[kind].decoding.append(decoding_pace(run, sentences))
        console.notice(f"speed: round {number + 1} of {rounds}")
    table = [exhibit(run, rates.get(kind), paces[kind].relative(paces[YARDSTICK])) for kind, run in found.items()]
    common.show(table, as_json, "Kinds of attention")


if __name__ == "__main__":
    common.command(main)
