"""What a training leaves behind as it goes: metrics, a log, checkpoints, TensorBoard."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from typing import Protocol

from seq2seq_cli.decoding.hypothesis import Alignment
from seq2seq_cli.errors import RunError, UserError
from seq2seq_cli.files import parse_json
from seq2seq_cli.model.weights import save_weights, state_of
from seq2seq_cli.runs import Run, write_text
from seq2seq_cli.training.progress import (
    Ended,
    Evaluated,
    Event,
    Intervals,
    Progress,
    Skipped,
    Stepped,
    Unjudged,
    WentBack,
)
from seq2seq_cli.training.sitting import Sitting

RECORD_EVERY = 50
"""Steps between two records of the training loss."""


class Recorder(Protocol):
    def record(self, event: Event) -> None: ...


class Checkpoints:
    """Writes ``best`` at every new best, the weights of the last evaluations for averaging, and ``last`` at every
    milestone and every ``save_minutes`` between milestones."""

    def __init__(self, sitting: Sitting) -> None:
        self.sitting, self.run = sitting, sitting.run
        self.keep = sitting.config.training.average
        self.save_seconds = 60 * sitting.config.training.save_minutes
        self.saved_at = time.monotonic()

    def record(self, event: Event) -> None:
        if isinstance(event, Evaluated):
            weights = state_of(self.sitting.learner.model)
            if event.best:
                save_weights(weights, self.run.best)
            if self.keep > 1:
                save_weights(weights, self.run.kept(event.number))
                self.run.kept(event.number - self.keep).unlink(missing_ok=True)
        if isinstance(event, Unjudged) and event.kept:
            save_weights(state_of(self.sitting.learner.model), self.run.best)
        due = self.sitting.progress.milestone or time.monotonic() - self.saved_at > self.save_seconds
        if due or isinstance(event, Evaluated | Unjudged | Ended):
            self.sitting.save()
            self.saved_at = time.monotonic()


class Metrics:
    """Writes ``metrics.jsonl``: an object for each evaluation, one for each interval of steps, and one for each thing
    that went wrong. At the beginning, records of what came after ``progress`` are dropped: a sitting that was cut off
    has made them, or training before it went back."""

    def __init__(self, run: Run, progress: Progress) -> None:
        self.run, self.progress = run, progress
        self.intervals = Intervals(RECORD_EVERY)
        self._drop_later()

    def record(self, event: Event) -> None:
        interval = self.intervals.add(event)
        if interval is not None:
            self._append({"event": "train", **asdict(interval)})
        if isinstance(event, Evaluated):
            self._append({"event": "evaluation", **asdict(event)})
        if isinstance(event, Unjudged):
            self._append({"event": "unjudged", **asdict(event)})
        if isinstance(event, Skipped):
            self._append({"event": "skipped", **asdict(event)})
        if isinstance(event, Stepped) and event.split_into is not None:
            self._append({"event": "split", **asdict(event)})
        if isinstance(event, WentBack):
            self._drop_later()
            self._append({"event": "went-back", **asdict(event)})

    def _drop_later(self) -> None:
        lines = self.run.metrics_lines()
        if not lines and self.run.metrics.exists() and self.run.metrics.stat().st_size:
            raise RunError("cannot be read, so it is not written to.", str(self.run.metrics), "Move it elsewhere.")
        kept = [line for line in lines if _came_before(line, self.progress)]
        write_text(self.run.metrics, "".join(f"{line}\n" for line in kept))

    def _append(self, record: dict[str, object]) -> None:
        known = {name: value for name, value in record.items() if value is not None}
        with open(self.run.metrics, "a", encoding="utf-8") as file:
            file.write(json.dumps(known) + "\n")


def _came_before(line: str, progress: Progress) -> bool:
    try:
        record = parse_json(line)
        if record["event"] == "evaluation":
            return bool(record["number"] <= progress.evaluations)
        if record["event"] == "went-back":
            return bool(record["setbacks"] <= progress.setbacks)
        return bool(record["step"] <= progress.step)
    except (ValueError, KeyError, TypeError):  # the sitting was cut off while it wrote this line, or it is not ours
        return False


class Log:
    """Writes ``train.log``: the same in words, with the time of day."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.intervals = Intervals(RECORD_EVERY)

    def record(self, event: Event) -> None:
        interval = self.intervals.add(event)
        if interval is not None:
            self.write(str(interval))
        if not isinstance(event, Stepped):
            self.write(str(event))
        elif event.split_into is not None:
            self.write(f"step {event.step} split into {event.split_into} parts for want of memory")
        if isinstance(event, Evaluated) and event.attention is not None:
            self.write(f"attention: {event.attention.figures}")

    def write(self, line: str) -> None:
        """Append one line."""
        with open(self.run.log, "a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(f"{datetime.now():%Y-%m-%d %H:%M:%S} {line}\n")


class TensorBoard:
    """Writes the configuration, once a sitting; scalars of every evaluation and every few steps; and at every
    evaluation pictures of the ``alignments`` of some sentences, which show attention as it forms."""

    def __init__(self, sitting: Sitting, alignments: Callable[[], dict[str, Alignment]]) -> None:
        self.alignments = alignments
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            hint = "Install it with `pip install tensorboard`."
            raise UserError("the tensorboard package is not installed.", "training.tensorboard", hint) from None
        self.writer = SummaryWriter(str(sitting.run.tensorboard))
        # As text: add_hparams would make a second run, and wants the results of training together with the settings.
        self.writer.add_text("config", f"```toml\n{sitting.config.resolved().to_toml()}\n```", sitting.progress.step)
        self.intervals = Intervals(RECORD_EVERY)

    def record(self, event: Event) -> None:
        interval = self.intervals.add(event)
        if interval is not None:
            for name in (
                "loss",
                "guidance",
                "coverage",
                "reward",
                "learning_rate",
                "gradient_norm",
                "tokens_per_second",
            ):
                if getattr(interval, name) is not None:
                    self.writer.add_scalar(f"train/{name}", getattr(interval, name), interval.step)
        if isinstance(event, Evaluated):
            self.writer.add_scalar("dev/loss", event.loss, event.step)
            self.writer.add_scalar("dev/bleu", event.bleu, event.step)
            figures = {} if event.attention is None else event.attention.to_json()
            for name, figure in figures.items():
                if isinstance(figure, float):
                    self.writer.add_scalar(f"attention/{name}", figure, event.step)
            from seq2seq_cli.report.heatmaps import heatmap_pixels  # loads matplotlib

            for name, alignment in self.alignments().items():
                self.writer.add_image(name, heatmap_pixels(alignment, name), event.step, dataformats="HWC")
            self.writer.flush()
        if isinstance(event, Ended):
            self.writer.close()
