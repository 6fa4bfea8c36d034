"""Comparisons of invented runs: what reports are made of, without a model."""

import shutil
from pathlib import Path

from resampling import resamples

from seq2seq_cli.config.sections import DecodingConfig
from seq2seq_cli.data.pairs import Lines
from seq2seq_cli.evaluation.lengths import score_by_length
from seq2seq_cli.evaluation.metrics import PValues, score_system
from seq2seq_cli.evaluation.systems import Comparison, Evaluation
from seq2seq_cli.evaluation.tokenizers import Tokenizer
from seq2seq_cli.runs import Run

NUMBERS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]


def counting(words: int, first: int = 0) -> str:
    """A sentence of that many words."""
    return " ".join(NUMBERS[(first + i) % len(NUMBERS)] for i in range(words))


SOURCE = [counting(3 + i % 5, i) for i in range(24)] + [counting(12, i) for i in range(12)] + [counting(45)] * 2
"""Bins 1-5, 6-10, 11-15 and, with two sentences only, 41+."""
WORSE = [line.replace("three", "tree") for line in SOURCE]


@resamples(20)
def evaluation(
    directory: str, hypotheses: list[str], source: list[str] = SOURCE, decoding: DecodingConfig | None = None
) -> Evaluation:
    """A run that has said ``hypotheses`` where it should have repeated ``source``."""
    return Evaluation(
        run=Run(Path(directory)),
        kind="luong-general",
        system="luong-general",
        lines=Lines(source, source),
        tokenizer=Tokenizer("13a"),
        scores=score_system(hypotheses, source, "13a"),
        by_length=score_by_length(source, hypotheses, source, "13a"),
        hypotheses=hypotheses,
        decoding=decoding or DecodingConfig(),
        precision="fp32",
        decoding_seconds=2.0,
        parameters=1234,
        training_minutes=1.25,
        test_sha256="0123456789abcdef",
        diagnostics=None,
    )


def comparison(*evaluations: Evaluation, test: str = "P/test") -> Comparison:
    """Of invented significance: p = 0.25, 0.0001 and 0.0625."""
    p_values = [PValues(0.25, 0.0001, 0.0625)] * (len(evaluations) - 1)
    return Comparison(test, list(evaluations), [None, *p_values])


def copied_for_comparison(run: Run, one: Path, other: Path) -> tuple[Path, Path]:
    """Copies of a trained run, the second one greedy."""
    for path in (one, other):
        shutil.copytree(run.directory, path)
    config = Run(other).config
    config.write_text(config.read_text(encoding="utf-8").replace("beam = 3", "beam = 1"), encoding="utf-8")
    return one, other
