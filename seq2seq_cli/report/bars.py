"""BLEU and chrF by source length, for a terminal and for a pipe."""

from __future__ import annotations

from rich.bar import Bar
from rich.table import Table
from rich.text import Text

from seq2seq_cli.evaluation.lengths import FEW, LengthScores
from seq2seq_cli.evaluation.metrics import Score
from seq2seq_cli.evaluation.systems import Comparison
from seq2seq_cli.report.exports import one_line

LONGEST = 40
"""Columns of the longest bar; in a narrow terminal, the columns that the other cells leave."""
SHORTEST = 6
"""At least so many columns: a shorter bar would say nothing."""
COLUMNS = ("run", "words", "sentences", "few", "bleu", "bleu_low", "bleu_high", "chrf", "chrf_low", "chrf_high")


def length_chart(comparison: Comparison) -> Table:
    """A rich renderable with a bar of BLEU for every length and run; the best score has the longest bar."""
    caption = f"In brackets: 95% bootstrap interval. *: fewer than {FEW} sentences."
    table = Table(title="BLEU and chrF by source length", caption=caption, box=None, caption_justify="left")
    table.add_column("words\n(sentences)", no_wrap=True)
    table.add_column("run", no_wrap=True)
    table.add_column("", min_width=SHORTEST, max_width=LONGEST)
    for column in ("BLEU", "chrF"):
        table.add_column(column, justify="right", no_wrap=True)
    most = max(scores.bleu.value for evaluation in comparison.evaluations for scores in evaluation.by_length)
    for rows in zip(*(evaluation.by_length for evaluation in comparison.evaluations), strict=True):
        head = f"{rows[0].bin.words} ({rows[0].bin.count})"
        for name, scores in zip(comparison.names, rows, strict=True):
            bar = Bar(most or 1, 0, scores.bleu.value)
            # As Text, or a run called [x] would be read as markup.
            table.add_row(head, Text(name), bar, _cell(scores.bleu), _cell(scores.chrf))
            head = ""
    return table


def length_rows(comparison: Comparison) -> list[tuple[str, ...]]:
    """The same as text: the names of the columns, then a row for every run and length."""
    rows = [
        (one_line(evaluation.label), *_plain(scores))
        for evaluation in comparison.evaluations
        for scores in evaluation.by_length
    ]
    return [COLUMNS, *rows]


def _cell(score: Score) -> str:
    # Few decimals: the bars need the room, and a bin's interval is wide.
    return f"{score.value:.1f} [{'-'.join(score.bounds(1))}]"


def _plain(scores: LengthScores) -> list[str]:
    numbers = [
        f"{number:.2f}" for score in (scores.bleu, scores.chrf) for number in (score.value, score.low, score.high)
    ]
    return [scores.bin.words, str(len(scores.bin.rows)), "yes" if scores.bin.few else "no", *numbers]
