"""Several trainings of one attention kind, summarised."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, stdev

from seq2seq_cli.evaluation.systems import Comparison, Evaluation
from seq2seq_cli.wording import counted


@dataclass(frozen=True)
class KindSummary:
    """One kind over its seeds: means, and the standard deviation between runs (0 for a single run)."""

    kind: str
    seeds: int
    bleu: float
    bleu_deviation: float
    chrf: float
    chrf_deviation: float
    training_minutes: float
    parameters: int


def summaries(comparison: Comparison) -> list[KindSummary]:
    """A row for each kind, in the order of ``comparison``."""
    by_kind: dict[str, list[Evaluation]] = {}
    for evaluation in comparison.evaluations:
        by_kind.setdefault(evaluation.system, []).append(evaluation)
    return [_summary(kind, evaluations) for kind, evaluations in by_kind.items()]


def _summary(kind: str, evaluations: Sequence[Evaluation]) -> KindSummary:
    bleu = [evaluation.scores.bleu.value for evaluation in evaluations]
    chrf = [evaluation.scores.chrf.value for evaluation in evaluations]
    return KindSummary(
        kind=kind,
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


def sizes(rows: Sequence[KindSummary]) -> str:
    """How much larger or smaller each kind's model is than the first one's, in words."""
    first, *others = rows
    if not others:
        return f"{first.kind} has {counted(first.parameters, 'parameter')}"
    told = [f"{row.kind} {(row.parameters - first.parameters) / first.parameters:+.1%}" for row in others]
    return f"parameters, against the {first.parameters:,} of {first.kind}: {', '.join(told)}"
