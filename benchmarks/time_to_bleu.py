"""Dev BLEU against wall and processor seconds, from an empty folder, tokenisation included.

python -m benchmarks.time_to_bleu --attention bahdanau --threads 1 --max-minutes 10
"""

from __future__ import annotations

import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from benchmarks import common
from seq2seq_cli import console
from seq2seq_cli.evaluation.systems import Evaluation
from seq2seq_cli.training.experiment import Averaged, experiment
from seq2seq_cli.training.progress import Evaluated


@dataclass(frozen=True)
class Reached:
    """What had been reached after so many seconds since the empty folder: greedy BLEU on dev at each evaluation,
    beam-search BLEU on test (where there is one) in the last row."""

    what: str
    epoch: int
    wall_seconds: float
    cpu_seconds: float
    dev_bleu: float | None
    test_bleu: float | None


def main(
    training: common.Training,
    texts: common.Texts,
    test: common.Test = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the text.")] = None,
    max_minutes: Annotated[float | None, typer.Option(help="Stop after this long.")] = None,
    keep: Annotated[Path | None, typer.Option(help="Keep the run here; default: thrown away.")] = None,
    as_json: common.JsonOption = False,
) -> None:
    """Train once, and say what was reached when."""
    more = {"data.test": test, "training.epochs": epochs, "training.max_minutes": max_minutes}
    chosen = training.settings(None, texts.flags | more)
    begin = time.perf_counter()
    reached: list[Reached] = []
    epoch = 0
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["SEQ2SEQ_CACHE"] = str(Path(scratch) / "cache")
        for event in experiment(chosen, keep or Path(scratch) / "run", resume=False, overwrite=False):
            seconds = (time.perf_counter() - begin, common.cpu_seconds())
            if isinstance(event, Evaluated):
                epoch = event.epoch
                reached.append(Reached("evaluation", epoch, *seconds, event.bleu, None))
            elif isinstance(event, Averaged):
                reached.append(Reached("average", epoch, *seconds, event.scores.bleu, None))
            elif isinstance(event, Evaluation):
                reached.append(Reached("test", epoch, *seconds, None, event.scores.bleu.value))
            else:
                continue
            row = reached[-1]
            console.notice(f"{row.what} {row.epoch}: {row.wall_seconds:.0f} s, {row.cpu_seconds:.0f} CPU s, "
                           f"BLEU {row.dev_bleu or row.test_bleu:.2f}")  # fmt: skip
    common.show(reached, as_json, "BLEU for time")


if __name__ == "__main__":
    common.command(main)
