"""How a training went, from the run's ``metrics.jsonl``."""

from __future__ import annotations

from dataclasses import dataclass

from seq2seq_cli.files import parse_json
from seq2seq_cli.runs import Run


@dataclass(frozen=True)
class TrainLoss:
    """Mean training loss (nats a target piece, with label smoothing) of an interval of steps that ended at ``step``."""

    step: int
    minutes: float
    loss: float


@dataclass(frozen=True)
class DevScore:
    """The scores of one evaluation on dev. ``attention``: its diagnostics by name, empty where none were recorded."""

    step: int
    minutes: float
    loss: float
    bleu: float
    attention: dict[str, float]


@dataclass(frozen=True)
class History:
    """Training losses and dev scores in the order they were recorded, and how many lines of the record could not be
    read (``spoilt``)."""

    train: list[TrainLoss]
    dev: list[DevScore]
    spoilt: int


def read_history(run: Run) -> History:
    """The history that the run has recorded; empty where there is no record."""
    train, dev, spoilt = list[TrainLoss](), list[DevScore](), 0
    for line in run.metrics_lines():
        try:
            record = parse_json(line)
            minutes = record["seconds"] / 60
            if record["event"] == "evaluation":
                told = record.get("attention") or {}
                figures = {name: float(value) for name, value in told.items() if value is not None}
                dev.append(DevScore(record["step"], minutes, record["loss"], record["bleu"], figures))
            elif record["event"] == "train":
                train.append(TrainLoss(record["step"], minutes, record["loss"]))
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
            spoilt += 1
    return History(train, dev, spoilt)
