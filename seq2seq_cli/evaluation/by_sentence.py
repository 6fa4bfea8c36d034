"""A comparison sentence by sentence."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from seq2seq_cli.evaluation.lengths import word_count
from seq2seq_cli.evaluation.metrics import sentence_scores
from seq2seq_cli.evaluation.systems import Comparison


@dataclass(frozen=True)
class ComparedTranslation:
    """A run's translation of a sentence, with its sentence BLEU and chrF in points."""

    run: str
    bleu: float
    chrf: float
    translation: str


@dataclass(frozen=True)
class ComparedSentence:
    """One line of the test set, ``number`` from 1, and the translations of all runs, in the order of the runs."""

    number: int
    source_words: int
    source: str
    reference: str
    runs: list[ComparedTranslation]

    def to_json(self) -> dict[str, object]:
        return asdict(self)


@dataclass(frozen=True)
class SentenceBySentence:
    """The whole test set, and sacreBLEU's ``signatures`` of sentence BLEU and chrF."""

    sentences: list[ComparedSentence]
    signatures: list[str]


def by_sentence(comparison: Comparison) -> SentenceBySentence:
    """Every sentence of runs that translate the same source text."""
    lines = comparison.evaluations[0].lines
    columns, signatures = [], []
    for evaluation in comparison.evaluations:
        scores = sentence_scores(evaluation.hypotheses, lines.references, evaluation.tokenizer.name)
        run = evaluation.label
        rows = zip(scores.bleu, scores.chrf, evaluation.hypotheses, strict=True)
        columns.append([ComparedTranslation(run, *row) for row in rows])
        signatures = scores.signatures
    sentences = [
        ComparedSentence(number, word_count(source), source, reference, list(runs))
        for number, (source, reference, *runs) in enumerate(zip(lines.src, lines.tgt, *columns, strict=True), start=1)
    ]
    return SentenceBySentence(sentences, signatures)
