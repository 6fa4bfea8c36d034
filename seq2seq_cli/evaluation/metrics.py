"""Scores of translations. sacreBLEU computes all of them; nothing here counts an n-gram.

sacreBLEU's random numbers start from its own fixed seed (12345, or the environment's SACREBLEU_SEED), so equal
text gives equal intervals and p-values. It is imported where it is used: it takes a noticeable while.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from seq2seq_cli.errors import ConfigError, DataError, suggestion
from seq2seq_cli.wording import counted

if TYPE_CHECKING:
    from sacrebleu.metrics.base import Metric
    from sacrebleu.significance import Result


@dataclass(frozen=True)
class Score:
    """One metric of one system: ``value`` in points (0 to 100; TER can exceed it, and less is better there),
    its 95% bootstrap interval from ``low`` to ``high``, and sacreBLEU's ``signature`` of how it was computed."""

    name: str
    value: float
    low: float
    high: float
    signature: str


@dataclass(frozen=True)
class Scores:
    """BLEU (13a tokens, cased), chrF and TER of one system."""

    bleu: Score
    chrf: Score
    ter: Score

    @property
    def all(self) -> tuple[Score, Score, Score]:
        return self.bleu, self.chrf, self.ter


@dataclass(frozen=True)
class PValues:
    """How probable it is, were two systems equally good, that chance makes them differ as much as they do."""

    bleu: float
    chrf: float
    ter: float


@dataclass(frozen=True)
class SentenceScores:
    """BLEU and chrF of each sentence by itself, in points, and the ``signatures`` of both.

    This BLEU leaves out orders of n-grams that a sentence is too short for (``eff:yes`` in its signature).
    """

    bleu: list[float]
    chrf: list[float]
    signatures: list[str]


@dataclass(frozen=True)
class PairedTest:
    """A paired test of significance: sacreBLEU's own ``code`` for it, and as many ``trials`` as sacreBLEU takes."""

    title: str
    code: str
    trials: int

    def __str__(self) -> str:
        return f"{self.title}, {counted(self.trials, 'trial')}"


RANDOMISATION = PairedTest("paired approximate randomisation", "ar", 10_000)
"""Two-sided (Riezler & Maxwell 2005)."""
TESTS = {"randomisation": RANDOMISATION, "bootstrap": PairedTest("paired bootstrap", "bs", 1_000)}
"""By the names a user types."""


def find_paired_test(name: str) -> PairedTest:
    """The paired test of that name. Raises ConfigError for one that there is not."""
    if name not in TESTS:
        hint = suggestion(name, TESTS) or f"Known: {', '.join(TESTS)}."
        raise ConfigError(f'"{name}" is unknown.', "--significance", hint)
    return TESTS[name]


def bleu(hypotheses: Sequence[str], references: Sequence[str]) -> float:
    """Corpus BLEU alone, as in ``score_system``. Raises DataError as there."""
    _check(hypotheses, references)
    return float(_metrics()["BLEU"].corpus_score(hypotheses, [references]).score)


def score_system(hypotheses: Sequence[str], references: Sequence[str], bootstrap: int = 1000) -> Scores:
    """Corpus scores of ``hypotheses``, one a line, against one reference each, all detokenised.

    ``bootstrap``: resamples behind the 95% intervals (mean ± half the spread of the middle 95%, as sacreBLEU
    has it, but not below zero). Raises DataError where there is nothing to score or the numbers of lines differ.
    """
    return Scores(*_scores(_metrics(), hypotheses, references, bootstrap))


def bleu_and_chrf(hypotheses: Sequence[str], references: Sequence[str], bootstrap: int = 1000) -> tuple[Score, Score]:
    """The same without TER, which takes by far the longest. Raises DataError as there."""
    metrics = _metrics()
    bleu_score, chrf_score = _scores(
        {name: metrics[name] for name in ("BLEU", "chrF")}, hypotheses, references, bootstrap
    )
    return bleu_score, chrf_score


def sentence_scores(hypotheses: Sequence[str], references: Sequence[str]) -> SentenceScores:
    """BLEU and chrF of each line by itself. Raises DataError as ``score_system`` does."""
    _check(hypotheses, references)
    bleu_metric, chrf_metric = SentenceMetric.of("bleu"), SentenceMetric.of("chrf")
    return SentenceScores(
        bleu=bleu_metric.scores(hypotheses, references),
        chrf=chrf_metric.scores(hypotheses, references),
        signatures=[
            f"sentence BLEU: {bleu_metric.metric.get_signature()}",
            f"sentence chrF: {chrf_metric.metric.get_signature()}",
        ],
    )


@dataclass(frozen=True)
class SentenceMetric:
    """BLEU or chrF of sentences by themselves, in points."""

    metric: Metric

    @classmethod
    def of(cls, name: Literal["bleu", "chrf"]) -> SentenceMetric:
        from sacrebleu.metrics.bleu import BLEU
        from sacrebleu.metrics.chrf import CHRF

        return cls(BLEU(effective_order=True) if name == "bleu" else CHRF())

    def scores(self, hypotheses: Sequence[str], references: Sequence[str]) -> list[float]:
        """Of each line against its reference."""
        pairs = zip(hypotheses, references, strict=True)
        return [float(self.metric.sentence_score(line, [reference]).score) for line, reference in pairs]


def paired(
    baseline: Sequence[str],
    systems: Sequence[Sequence[str]],
    references: Sequence[str],
    trials: int | None = None,
    test: PairedTest = RANDOMISATION,
) -> list[PValues]:
    """For each of ``systems``, in order: is its difference from ``baseline`` more than chance?

    sacreBLEU's own ``test``, with another number of ``trials`` where one is given. Raises DataError where there is
    nothing to score or numbers of lines differ.
    """
    from sacrebleu import significance

    for hypotheses in (baseline, *systems):
        _check(hypotheses, references)
    named = [(str(row), hypotheses) for row, hypotheses in enumerate((baseline, *systems))]
    judge = significance.PairedTest(
        named, _metrics(), [references], test_type=test.code, n_samples=trials or test.trials
    )
    _, columns = judge()
    # A column of names, then one a metric, in the order of _metrics().
    results = [
        [cell for cell in column if isinstance(cell, significance.Result)] for column in list(columns.values())[1:]
    ]
    return [PValues(*(_p_value(column[0], column[row]) for column in results)) for row in range(1, len(systems) + 1)]


def _p_value(baseline: Result, system: Result) -> float:
    assert system.p_value is not None
    # sacreBLEU counts trials that differ by MORE than the systems do: equal systems would be significant.
    return 1.0 if system.score == baseline.score else system.p_value


def _metrics() -> dict[str, Metric]:
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.metrics.chrf import CHRF
    from sacrebleu.metrics.ter import TER

    # force only silences the complaint about tokenised-looking text; the score is the same.
    metrics = {"BLEU": BLEU(force=True), "chrF": CHRF(), "TER": TER()}
    return {name: _in_plain_numbers(metric) for name, metric in metrics.items()}


def _in_plain_numbers(metric: Metric) -> Metric:
    """``metric``, computing with Python's own floats. With numpy's, sacreBLEU's mean over the resamples raises
    TypeError as soon as one of them matches nothing, which is a plain 0.0."""
    compute = metric._compute_score_from_stats
    metric._compute_score_from_stats = lambda stats: compute([float(x) for x in stats])  # type: ignore[method-assign]
    return metric


def _scores(
    metrics: Mapping[str, Metric], hypotheses: Sequence[str], references: Sequence[str], bootstrap: int
) -> list[Score]:
    _check(hypotheses, references)
    return [_score(name, metric, hypotheses, references, bootstrap) for name, metric in metrics.items()]


def _score(name: str, metric: Metric, hypotheses: Sequence[str], references: Sequence[str], bootstrap: int) -> Score:
    result = metric.corpus_score(hypotheses, [references], n_bootstrap=bootstrap)
    signature = str(metric.get_signature())
    # sacreBLEU publishes its interval only in its formatted output, and only where the mean is not zero.
    formatted = json.loads(result.format(width=9, signature=signature, is_json=True))
    mean, half = formatted.get("confidence_mean", 0.0), formatted.get("confidence_var", 0.0)
    return Score(name, float(result.score), max(0.0, mean - half), mean + half, signature)


def _check(hypotheses: Sequence[str], references: Sequence[str]) -> None:
    if len(hypotheses) != len(references):
        raise DataError(
            f"{counted(len(hypotheses), 'translation')} but {counted(len(references), 'reference')}.",
            hint="Line n of the one must belong to line n of the other.",
        )
    if not references:
        raise DataError("there are no translations to score.")
