"""Alignment pictures of a run: some dev sentences, in ``plots/``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from seq2seq_cli.data.pairs import Lines
from seq2seq_cli.decoding.every_line import best_of_each
from seq2seq_cli.decoding.translator import Translator, Watch
from seq2seq_cli.evaluation.contexts import before_each_line
from seq2seq_cli.runs import Run
from seq2seq_cli.wording import counted

SHORTEST, LONGEST = 5, 25
"""Words of a source sentence that is worth a picture: enough to see something, few enough to read."""


@dataclass(frozen=True)
class Pictures:
    """The pictures written, and warnings of what they cannot show."""

    paths: list[Path]
    warnings: list[str]

    def __str__(self) -> str:
        if not self.paths:
            return "no pictures"
        return f"{counted(len(self.paths), 'alignment picture')}: {self.paths[0].parent}"


def draw_pictures(run: Run, translator: Translator, dev: Lines, count: int, watch: Watch) -> Pictures:
    """Save heat maps (and their numbers as JSON) of the run's own translations of ``count`` sentences, evenly spread
    over dev. ``watch`` is called before each, as in a search."""
    # Not loaded before: matplotlib takes 28 MiB, on top of the most that a training takes.
    from seq2seq_cli.report.heatmaps import save_picture

    chosen = pick_sentences(dev.src, count)
    before = before_each_line(dev, translator.config.reads_before)
    found = best_of_each(translator, dev.src, watch=watch, before=before, rows=chosen)
    paths, warnings = list[Path](), list[str]()
    for line, hypothesis in zip(chosen, found.hypotheses, strict=True):
        watch(len(paths), len(chosen))
        alignment = hypothesis.alignment
        if alignment is not None:
            path = run.plots / f"dev-{line + 1:05d}.png"
            warnings += save_picture(alignment, path, f"{translator.config.system}, dev line {line + 1}")
            paths.append(path)
    return Pictures(paths, list(dict.fromkeys(warnings)))


def pick_sentences(lines: list[str], count: int) -> list[int]:
    """Line numbers, from 0, of up to ``count`` sentences of readable length, evenly spread."""
    readable = [i for i, line in enumerate(lines) if SHORTEST <= len(line.split()) <= LONGEST]
    fitting = readable or [i for i, line in enumerate(lines) if line.strip()]
    return spread(fitting, count)


def spread(numbers: list[int], count: int) -> list[int]:
    """Up to ``count`` of the numbers, evenly spread."""
    return [numbers[i * len(numbers) // count] for i in range(count)] if len(numbers) > count else numbers
