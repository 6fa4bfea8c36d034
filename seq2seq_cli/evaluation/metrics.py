"""Scores of translations. sacreBLEU computes all of them; nothing here counts an n-gram.

Translations and references alike go through `text.clean` first, and then through one of sacreBLEU's tokenizers, whose
name is ``tokenizer`` everywhere.

sacreBLEU's random numbers start from its own fixed seed (12345, or the environment's SACREBLEU_SEED), so equal text
gives equal intervals and p-values. It is imported only where it is used, because that takes noticeably long.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from math import inf
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from seq2seq_cli.config.sections import WORDS
from seq2seq_cli.data.text import CLEANING, clean
from seq2seq_cli.errors import ConfigError, DataError, suggestion
from seq2seq_cli.evaluation.tokenizers import EXTRAS
from seq2seq_cli.wording import counted

if TYPE_CHECKING:
    from sacrebleu.metrics.base import Metric
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.significance import Result

Reference: TypeAlias = str | tuple[str, ...]
"""What a translation is compared with: a line, or several equally good ones, as many for every translation. An empty
line beside others stands for a missing one."""


@dataclass(frozen=True)
class Score:
    """One metric of one system: ``value`` in points (0 to 100; TER can exceed 100, and less is better there), its 95%
    bootstrap interval from ``low`` to ``high``, which contains ``value``, and sacreBLEU's ``signature`` of how it was
    computed."""

    name: str
    value: float
    low: float
    high: float
    signature: str

    @property
    def how(self) -> str:
        """The signature, and how the text was cleaned before."""
        return f"{self.signature}; {CLEANING}"

    def bounds(self, decimals: int = 2) -> tuple[str, str]:
        """The ends of the interval as `shown_bounds` writes them."""
        return shown_bounds(self.value, self.low, self.high, decimals)


def shown_bounds(value: float, low: float, high: float, decimals: int = 2) -> tuple[str, str]:
    """The ends of an interval, written for people beside a value with ``decimals`` decimals. They have one decimal
    fewer, unless the value would then seem to lie outside."""
    shown = float(f"{value:.{decimals}f}")
    for some in (decimals - 1, decimals):
        ends = f"{low:.{some}f}", f"{high:.{some}f}"
        if float(ends[0]) <= shown <= float(ends[1]):
            break
    return ends


@dataclass(frozen=True)
class Scores:
    """BLEU (cased), chrF and TER of one system."""

    bleu: Score
    chrf: Score
    ter: Score

    @property
    def all(self) -> tuple[Score, Score, Score]:
        return self.bleu, self.chrf, self.ter


@dataclass(frozen=True)
class PValues:
    """For each metric: how probable it is that chance alone makes two equally good systems differ as much as these
    do."""

    bleu: float
    chrf: float
    ter: float


@dataclass(frozen=True)
class SentenceScores:
    """BLEU and chrF of each sentence by itself, in points, and the ``signatures`` of both.

    This BLEU ignores orders of n-grams that a sentence is too short for (``eff:yes`` in its signature).
    """

    bleu: list[float]
    chrf: list[float]
    signatures: list[str]


@dataclass(frozen=True)
class PairedTest:
    """A paired significance test: sacreBLEU's ``code`` for it, and how many ``trials`` sacreBLEU makes by default."""

    title: str
    code: str
    trials: int

    def __str__(self) -> str:
        return f"{self.title}, {counted(self.trials, 'trial')}"


RESAMPLES = 1000
"""How many resamples of a test set each interval comes from: sacreBLEU's own number."""
RANDOMISATION = PairedTest("paired approximate randomisation", "ar", 10_000)
"""Two-sided (Riezler & Maxwell 2005)."""
TESTS = {"randomisation": RANDOMISATION, "bootstrap": PairedTest("paired bootstrap", "bs", 1_000)}
"""By the names a user types."""


def find_paired_test(name: str) -> PairedTest:
    """The paired test of that name. Raises ConfigError where there is none."""
    if name not in TESTS:
        hint = suggestion(name, TESTS) or f"Known: {', '.join(TESTS)}."
        raise ConfigError(f'"{name}" is unknown.', "--significance", hint)
    return TESTS[name]


def require_tokenizer(name: str) -> None:
    """Raises ConfigError where sacreBLEU's tokenizer of that name is not available; to be called before hours of
    work."""
    _bleu(name, effective_order=False)


def bleu(hypotheses: Sequence[str], references: Sequence[Reference], tokenizer: str) -> float:
    """Corpus BLEU alone, as ``score_system`` computes it. Raises what that raises."""
    texts = _cleaned(hypotheses, references)
    return float(_corpus_bleu(tokenizer, texts).corpus_score(texts.hypotheses, texts.references).score)


def score_system(hypotheses: Sequence[str], references: Sequence[Reference], tokenizer: str) -> Scores:
    """Corpus scores of ``hypotheses``, one a line, against one or several references for each, all detokenised.

    A perfect translation has BLEU 100, chrF 100 and TER 0, unless the references hold no token at all. To that end,
    where all references are shorter than four tokens, BLEU ignores the orders of n-grams that none of them has
    (``eff:yes`` in its signature). TER counts words; if ``tokenizer`` is for text without spaces between words, TER
    counts the tokens that BLEU counts (``tok:zh+tercom``).

    The 95% intervals come from RESAMPLES resamples. An interval is mean ± half the spread of the middle 95%, as in
    sacreBLEU, but limited to possible values of the score, and widened if need be to contain the score. Raises
    DataError where there is nothing to score or the numbers of lines differ, ConfigError where the tokenizer is not
    available.
    """
    texts = _cleaned(hypotheses, references)
    return Scores(*_scores(_metrics(tokenizer, texts), texts))


def bleu_and_chrf(hypotheses: Sequence[str], references: Sequence[Reference], tokenizer: str) -> tuple[Score, Score]:
    """BLEU and chrF as ``score_system`` computes them, without TER, which takes by far the longest. Raises what that
    raises."""
    texts = _cleaned(hypotheses, references)
    metrics = _metrics(tokenizer, texts)
    bleu_score, chrf_score = _scores({name: metrics[name] for name in ("BLEU", "chrF")}, texts)
    return bleu_score, chrf_score


def sentence_scores(hypotheses: Sequence[str], references: Sequence[Reference], tokenizer: str) -> SentenceScores:
    """BLEU and chrF of each line by itself. Raises what ``score_system`` does."""
    bleu_metric, chrf_metric = SentenceMetric.of("bleu", tokenizer), SentenceMetric.of("chrf", tokenizer)
    return SentenceScores(
        bleu=bleu_metric.scores(hypotheses, references),
        chrf=chrf_metric.scores(hypotheses, references),
        signatures=[
            f"sentence BLEU: {bleu_metric.metric.get_signature()}",
            f"sentence chrF: {chrf_metric.metric.get_signature()}",
            f"text: {CLEANING}",
        ],
    )


@dataclass(frozen=True)
class SentenceMetric:
    """BLEU or chrF of single sentences, in points."""

    metric: Metric

    @classmethod
    def of(cls, name: Literal["bleu", "chrf"], tokenizer: str) -> SentenceMetric:
        """``tokenizer`` is for BLEU. Raises ConfigError where it is not available."""
        from sacrebleu.metrics.chrf import CHRF

        return cls(_bleu(tokenizer, effective_order=True) if name == "bleu" else CHRF())

    def scores(self, hypotheses: Sequence[str], references: Sequence[Reference]) -> list[float]:
        """The score of each line against its reference. Raises DataError as ``score_system`` does."""
        texts = _cleaned(hypotheses, references)
        pairs = zip(texts.hypotheses, zip(*texts.references, strict=True), strict=True)
        scores, numbers = list[float](), set[int]()
        for line, wanted in pairs:
            scores.append(float(self.metric.sentence_score(line, wanted).score))
            numbers.add(self.metric.num_refs)
        if len(numbers) > 1:
            self.metric.num_refs = -1  # "var" in sacreBLEU's signature; sacreBLEU itself knows the last sentence alone
        return scores


def paired(
    baseline: Sequence[str],
    systems: Sequence[Sequence[str]],
    references: Sequence[Reference],
    tokenizer: str,
    test: PairedTest = RANDOMISATION,
) -> list[PValues]:
    """For each of ``systems``, in order: is its difference from ``baseline`` more than chance?

    The ``test`` is sacreBLEU's own. Raises what ``score_system`` does.
    """
    from sacrebleu import significance

    texts = [_cleaned(hypotheses, references) for hypotheses in (baseline, *systems)]
    named: list[tuple[str, Sequence[str]]] = [(str(row), one.hypotheses) for row, one in enumerate(texts)]
    metrics = _metrics(tokenizer, texts[0])
    judge = significance.PairedTest(named, metrics, texts[0].references, test_type=test.code, n_samples=test.trials)
    _, columns = judge()
    # The first column holds names; then there is a column for each metric, in the order of _metrics().
    results = [
        [cell for cell in column if isinstance(cell, significance.Result)] for column in list(columns.values())[1:]
    ]
    return [PValues(*(_p_value(column[0], column[row]) for column in results)) for row in range(1, len(systems) + 1)]


def _p_value(baseline: Result, system: Result) -> float:
    assert system.p_value is not None
    # sacreBLEU counts trials that differ by MORE than the systems do, so that equal systems would be significant.
    return 1.0 if system.score == baseline.score else system.p_value


class _Texts(NamedTuple):
    """Cleaned lines in the form that metrics take. sacreBLEU takes references as streams: each has one line for each
    translation, or None where a translation has no further reference (though sacreBLEU's types do not say so)."""

    hypotheses: list[str]
    references: list[list[str]]


def _cleaned(hypotheses: Sequence[str], references: Sequence[Reference]) -> _Texts:
    """The cleaned lines; every metric gets its lines from here. Raises DataError where there is nothing to score, or
    the numbers of lines or of references differ."""
    if len(hypotheses) != len(references):
        raise DataError(
            f"{counted(len(hypotheses), 'translation')} but {counted(len(references), 'reference')}.",
            hint="Line n of the one must belong to line n of the other.",
        )
    if not references:
        raise DataError("there are no translations to score.")
    every = [(one,) if isinstance(one, str) else one for one in references]
    if not every[0] or any(len(some) != len(every[0]) for some in every):
        raise DataError("not every translation has as many references as the first.")
    there = [[line for line in map(clean, some) if line] or [""] for some in every]
    return _Texts([clean(line) for line in hypotheses], [list(stream) for stream in zip_longest(*there)])


def _metrics(tokenizer: str, texts: _Texts) -> dict[str, Metric]:
    from sacrebleu.metrics.chrf import CHRF
    from sacrebleu.metrics.ter import TER

    bleu_metric, ter = _corpus_bleu(tokenizer, texts), TER()
    if tokenizer not in (WORDS, "intl", "none"):
        # TER's own option for Asian text knows Chinese characters alone: no kana, no Thai, Khmer, Lao, Burmese, Tibetan.
        ter.tokenizer = _one_after_the_other(bleu_metric.tokenizer, ter.tokenizer)  # type: ignore[assignment]
        ter.tokenizer_signature = f"{bleu_metric.tokenizer_signature}+{ter.tokenizer_signature}"
        # TER would tokenise references twice, and tokenising tokens may change them.
        ter._extract_reference_info = lambda refs: {"ref_words": [line.split() for line in refs]}  # type: ignore[method-assign]
    metrics = {"BLEU": bleu_metric, "chrF": CHRF(), "TER": ter}
    return {name: _in_plain_numbers(metric) for name, metric in metrics.items()}


def _one_after_the_other(first: Callable[[str], str], second: Callable[[str], str]) -> Callable[[str], str]:
    return lambda line: second(first(line))


def _corpus_bleu(tokenizer: str, texts: _Texts) -> BLEU:
    """BLEU of the usual four orders of n-grams, or only of those that occur in the references."""
    metric = _bleu(tokenizer, effective_order=False)
    lines = (line for stream in texts.references for line in stream if line is not None)
    if not any(len(metric.tokenizer(line).split()) >= metric.max_ngram_order for line in lines):
        metric.effective_order = True
    return metric


def _bleu(tokenizer: str, effective_order: bool) -> BLEU:
    """Raises ConfigError where the tokenizer's package or model is missing."""
    from sacrebleu.metrics.bleu import BLEU

    try:
        return BLEU(tokenize=tokenizer, effective_order=effective_order)
    except (Exception, SystemExit) as problem:  # of packages, sockets, certificates, half a file
        if tokenizer in EXTRAS:
            what = f'the tokenizer "{tokenizer}" needs a package that is missing, or not as it should be.'
            hint = f"pip install '{EXTRAS[tokenizer]}', or choose another tokenizer."
        else:
            what = f'the model of the tokenizer "{tokenizer}" cannot be had: {problem}.'
            hint = "It is downloaded once, into the folder models in ~/.sacrebleu, or in what SACREBLEU names."
        raise ConfigError(what, "evaluation.tokenizer", hint) from problem


def _in_plain_numbers(metric: Metric) -> Metric:
    """``metric``, computing with Python's own floats. With numpy's, sacreBLEU's mean over the resamples raises
    TypeError as soon as one of them matches nothing, which is a plain 0.0."""
    compute = metric._compute_score_from_stats
    metric._compute_score_from_stats = lambda stats: compute([float(x) for x in stats])  # type: ignore[method-assign]
    return metric


def _scores(metrics: Mapping[str, Metric], texts: _Texts) -> list[Score]:
    return [_score(name, metric, texts) for name, metric in metrics.items()]


def _score(name: str, metric: Metric, texts: _Texts) -> Score:
    result = metric.corpus_score(texts.hypotheses, texts.references, n_bootstrap=RESAMPLES)
    signature = str(metric.get_signature())
    # sacreBLEU publishes its interval only in its formatted output, and only where the mean is not zero.
    formatted = json.loads(result.format(width=9, signature=signature, is_json=True))
    mean, half = formatted.get("confidence_mean", 0.0), formatted.get("confidence_var", 0.0)
    value, most = float(result.score), inf if name == "TER" else 100.0
    # It lies around the mean of the resamples, which where most of them say the same can be further from the score.
    low, high = max(0.0, mean - half), min(most, mean + half)
    return Score(name, value, min(low, value), max(high, value), signature)
