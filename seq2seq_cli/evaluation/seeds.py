"""Several trainings of one model, with seeds of their own, summarised."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, stdev

from seq2seq_cli.evaluation.systems import Comparison, Evaluation
from seq2seq_cli.wording import counted


@dataclass(frozen=True)
class SystemSummary:
    """A model, called ``system`` as in `Evaluation`, over its seeds: means, and the standard deviation between runs (0 for a single run)."""

    system: str
    seeds: int
    bleu: float
    bleu_deviation: float
    chrf: float
    chrf_deviation: float
    training_minutes: float
    parameters: int


def summaries(comparison: Comparison) -> list[SystemSummary]:
    """A row for each model, in the order of ``comparison``."""
    by_system: dict[str, list[Evaluation]] = {}
    for evaluation in comparison.evaluations:
        by_system.setdefault(evaluation.system, []).append(evaluation)
    return [_summary(system, evaluations) for system, evaluations in by_system.items()]


def _summary(system: str, evaluations: Sequence[Evaluation]) -> SystemSummary:
    bleu = [evaluation.scores.bleu.value for evaluation in evaluations]
    chrf = [evaluation.scores.chrf.value for evaluation in evaluations]
    return SystemSummary(
        system=system,
        seeds=len(evaluations),
        bleu=mean(bleu),
        bleu_deviation=_deviation(bleu),
        chrf=mean(chrf),
        chrf_deviation=_deviation(chrf),
        training_minutes=mean(evaluation.training_minutes for evaluation in evaluations),
        parameters=evaluations[0].parameters,
    )


def _deviation(values: Sequence[float]) -> float:
    return stdev(values) if len(values) > 1 else 0.0


def sizes(rows: Sequence[SystemSummary]) -> str:
    """How much larger or smaller each model is than the first one, in words."""
    first, *others = rows
    if not others:
        return f"{first.system} has {counted(first.parameters, 'parameter')}"
    told = [f"{row.system} {(row.parameters - first.parameters) / first.parameters:+.1%}" for row in others]
    return f"parameters, against the {first.parameters:,} of {first.system}: {', '.join(told)}"
