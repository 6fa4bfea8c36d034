"""A comparison as tables for other programs: CSV and LaTeX, and a table sentence by sentence."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable
from pathlib import Path

from seq2seq_cli.data.text import CLEANING
from seq2seq_cli.errors import UserError
from seq2seq_cli.evaluation.by_sentence import ComparedSentence, SentenceBySentence
from seq2seq_cli.evaluation.metrics import PValues
from seq2seq_cli.evaluation.systems import Comparison, Evaluation
from seq2seq_cli.wording import counted

SENTENCE_FORMATS = (".tsv", ".csv", ".jsonl")
"""Suffixes of files that sentences can be written to."""
METRICS = ("bleu", "chrf", "ter")

_LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", '"': r"\symbol{34}",
}  # fmt: skip


def comparison_csv(comparison: Comparison) -> str:
    """A header, then a row for each run: scores with intervals and p-values, sizes, times, settings, signatures."""
    rows = [
        _csv_row(comparison, evaluation, p)
        for evaluation, p in zip(comparison.evaluations, comparison.significance, strict=True)
    ]
    return _written("excel", [rows[0], *(row.values() for row in rows)])


def _csv_row(comparison: Comparison, evaluation: Evaluation, p: PValues | None) -> dict[str, object]:
    row: dict[str, object] = {"run": evaluation.label}
    for metric in METRICS:
        score = getattr(evaluation.scores, metric)
        row |= {metric: score.value, f"{metric}_low": score.low, f"{metric}_high": score.high}
        row[f"{metric}_p"] = None if p is None else getattr(p, metric)
    row["significance"] = None if p is None else str(comparison.paired_test)
    row["test"] = comparison.test
    told = ("sentences", "test_sha256", "parameters", "training_minutes", "decoding_seconds", "sentences_per_second")
    record = evaluation.to_json()
    row |= {name: record[name] for name in told}
    row |= evaluation.decoding.model_dump()
    row["precision"] = evaluation.precision
    row |= {f"{metric}_signature": getattr(evaluation.scores, metric).signature for metric in METRICS}
    return row | {"text": CLEANING}


def comparison_latex(comparison: Comparison) -> str:
    """A ``tabular`` for ``booktabs`` with a row for each run; comments above it say how it was measured."""
    compared = len(comparison.evaluations) > 1
    heads = ["run", *(cell for metric in ("BLEU", "chrF", "TER") for cell in (metric, "$p$")[: 1 + compared])]
    heads += ["parameters", "train min", "sent/s"]
    lines = [
        *(f"% {one_line(remark)}" for remark in _remarks(comparison)),
        rf"\begin{{tabular}}{{l{'r' * (len(heads) - 1)}}}",
        r"\toprule",
        rf"{' & '.join(heads)} \\",
        r"\midrule",
        *(rf"{' & '.join(row)} \\" for row in _latex_rows(comparison, compared)),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "".join(f"{line}\n" for line in lines)


def _remarks(comparison: Comparison) -> list[str]:
    first = comparison.evaluations[0]
    return [
        r"Needs \usepackage{booktabs}. In brackets: 95% bootstrap intervals; p: against the first run.",
        f"{comparison.test_name}: {counted(len(first.hypotheses), 'sentence')}, SHA-256 {first.test_sha256}",
        *(f"{name}: {one.search}" for name, one in zip(comparison.names, comparison.evaluations, strict=True)),
        *comparison.signatures,
        *context_lines(comparison),
    ]


def context_lines(comparison: Comparison) -> list[str]:
    """How each run that looks back at other sentences than those before differs from itself, a line each; but not of the first
    run, which all are tested against."""
    names, first = comparison.names, comparison.evaluations[0]
    lines = []
    for number, p in comparison.against_real.items():
        one = comparison.evaluations[number]
        if (one.run, one.memory, "real") != (first.run, first.memory, first.control):
            told = ", ".join(f"{name} {shown_p(getattr(p, name.lower()))}" for name in ("BLEU", "chrF", "TER"))
            lines.append(f"{names[number]}: p of the difference to its real context: {told}")
    return lines


def _latex_rows(comparison: Comparison, compared: bool) -> Iterable[list[str]]:
    for evaluation, name, p in zip(comparison.evaluations, comparison.names, comparison.significance, strict=True):
        # In its own braces: a row that began with [ or * would be read as an argument of the \\ before it.
        row = [rf"\texttt{{{latex_text(name)}}}"]
        for metric in METRICS:
            score = getattr(evaluation.scores, metric)
            row.append(f"{score.value:.2f} [{'--'.join(score.bounds())}]")
            if compared:
                row.append("" if p is None else shown_p(getattr(p, metric)).replace("<", "$<$"))
        row += [f"{evaluation.parameters:,}", f"{evaluation.training_minutes:.1f}"]
        yield [*row, f"{evaluation.sentences_per_second:.0f}"]


def shown_p(p: float) -> str:
    """A p value to three places."""
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def latex_text(text: str) -> str:
    """``text`` escaped, so that LaTeX prints it unchanged."""
    return "".join(_LATEX.get(character, character) for character in one_line(text))


def one_line(text: str) -> str:
    """``text`` with a space for each control character, so that nothing in it ends a line, a cell or a comment."""
    return re.sub("[\x00-\x1f\x7f-\x9f\u2028\u2029]", " ", text)


def require_sentence_format(path: Path) -> None:
    """Raises UserError for a suffix other than .tsv, .csv and .jsonl."""
    if path.suffix.lower() not in SENTENCE_FORMATS:
        raise UserError("sentences are written as .tsv, .csv or .jsonl.", str(path), "End its name in one of these.")


def sentence_table(told: SentenceBySentence, path: Path) -> str:
    """A line for each sentence, in the format of the suffix of ``path``.

    .tsv and .csv begin with a header, and have three columns for each run: BLEU, chrF, translation. In .csv, cells are
    quoted where they must be, as Python's ``csv`` and spreadsheets read them. In .tsv nothing is quoted, as `read_tsv`
    expects, and tabs within cells become blanks. Raises what ``require_sentence_format`` does.
    """
    require_sentence_format(path)
    if path.suffix.lower() == ".jsonl":
        return "".join(f"{json.dumps(sentence.to_json(), ensure_ascii=False)}\n" for sentence in told.sentences)
    heads = ["number", "source_words", "source", "reference"]
    heads += [f"{column} {run.run}" for run in told.sentences[0].runs for column in ("bleu", "chrf", "translation")]
    rows: list[list[object]] = [list(heads), *map(_sentence_cells, told.sentences)]
    return _written("excel", rows) if path.suffix.lower() == ".csv" else _tab_separated(rows)


def _sentence_cells(sentence: ComparedSentence) -> list[object]:
    runs = (cell for run in sentence.runs for cell in (run.bleu, run.chrf, run.translation))
    return [sentence.number, sentence.source_words, sentence.source, sentence.reference, *runs]


def _tab_separated(rows: Iterable[Iterable[object]]) -> str:
    return "".join("\t".join(re.sub("[\t\r\n]", " ", str(cell)) for cell in row) + "\n" for row in rows)


def _written(dialect: str, rows: Iterable[Iterable[object]]) -> str:
    file = io.StringIO()
    writer = csv.writer(file, dialect, lineterminator="\n")
    for row in rows:
        # A line break within a cell is lawful, and yet the end of the line to most programs.
        writer.writerow([re.sub("[\r\n]", " ", cell) if isinstance(cell, str) else cell for cell in row])
    return file.getvalue()
