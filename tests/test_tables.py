import csv
import io
import json
from pathlib import Path

import pytest
from comparisons import SOURCE, WORSE, comparison, evaluation

from seq2seq_cli.errors import UserError
from seq2seq_cli.evaluation.by_sentence import by_sentence
from seq2seq_cli.evaluation.metrics import sentence_scores
from seq2seq_cli.evaluation.systems import Comparison
from seq2seq_cli.report.exports import comparison_csv, comparison_latex, latex_text, sentence_table

ODD = ['a\tb "c", d', "e\rf\x85g\u2028h", "\\ {i} & 'j' \x00", "=1+1; k"]
"""Text that breaks careless tables."""
SAID = ["", *(f"{line} more" for line in ODD[1:])]


@pytest.fixture(scope="module")
def two_runs() -> Comparison:
    return comparison(evaluation("runs/a_b&c", SOURCE), evaluation("runs/y,\nz", WORSE))


@pytest.fixture(scope="module")
def odd_text() -> Comparison:
    return comparison(evaluation("x", ODD, ODD), evaluation("y", SAID, ODD))


def test_csv_reads_back(two_runs: Comparison) -> None:
    text = comparison_csv(two_runs)
    assert text.count("\n") == 3
    first, second = csv.DictReader(io.StringIO(text))
    assert (first["run"], second["run"]) == ("runs/a_b&c", "runs/y, z")
    told = two_runs.evaluations[1]
    for name, score in zip(("bleu", "chrf", "ter"), told.scores.all, strict=True):
        numbers = [float(second[f"{name}{part}"]) for part in ("", "_low", "_high")]
        assert numbers == [score.value, score.low, score.high]
        assert second[f"{name}_signature"] == score.signature
    assert (second["bleu_p"], second["chrf_p"], second["ter_p"]) == ("0.25", "0.0001", "0.0625")
    assert (first["bleu_p"], first["significance"]) == ("", "")
    assert second["significance"] == "paired approximate randomisation, 10,000 trials"
    facts = {name: second[name] for name in ("test", "test_sha256", "sentences", "parameters", "beam", "precision")}
    assert facts == {
        "test": "P/test", "test_sha256": "0123456789abcdef", "sentences": "38", "parameters": "1234", "beam": "5",
        "precision": "fp32",
    }  # fmt: skip
    assert (float(second["length_penalty"]), float(second["sentences_per_second"])) == (1.0, 19.0)


def test_latex(two_runs: Comparison) -> None:
    lines = comparison_latex(two_runs).splitlines()
    remarks, table = [line for line in lines if line.startswith("%")], [line for line in lines if line[0] != "%"]
    assert table[:4] == [
        r"\begin{tabular}{lrrrrrrrrr}",
        r"\toprule",
        r"run & BLEU & $p$ & chrF & $p$ & TER & $p$ & parameters & train min & sent/s \\",
        r"\midrule",
    ]
    assert table[4].startswith(r"\texttt{a\_b\&c} & 100.00 [100.0--100.0] &  & 100.00")
    bleu = two_runs.evaluations[1].scores.bleu
    assert table[5].startswith(
        rf"\texttt{{y,\textbackslash{{}}nz}} & {bleu.value:.2f} [{bleu.low:.1f}--{bleu.high:.1f}] & 0.250 & "
    )
    assert " & $<$0.001 & " in table[5]
    assert table[5].endswith(r"& 0.062 & 1,234 & 1.2 & 19 \\")
    assert table[6:] == [r"\bottomrule", r"\end{tabular}"]
    for said in ("BLEU: nrefs:1|", "0123456789abcdef", "P/test", "% a_b&c: beam 5", "booktabs", "p: paired"):
        assert any(said in remark for remark in remarks), said


def test_latex_of_one_run_has_no_p() -> None:
    text = comparison_latex(comparison(evaluation("runs/x", WORSE)))
    assert r"run & BLEU & chrF & TER & parameters & train min & sent/s \\" in text
    assert "tabular}{lrrrrrr}" in text
    assert "p: paired" not in text


def test_latex_rows_have_as_many_cells_as_columns(two_runs: Comparison) -> None:
    for told in (two_runs, comparison(evaluation("runs/x", WORSE))):
        text = comparison_latex(told)
        columns = text.split("tabular}{")[1].split("}")[0]
        rows = [row for row in text.splitlines() if row.endswith(r"\\")]
        assert len(rows) == 1 + len(told.evaluations)
        assert {row.replace(r"\&", "").count("&") for row in rows} == {len(columns) - 1}


def test_latex_prints_every_character_as_it_is() -> None:
    assert latex_text(r"a_b&c 5% $x #1 {y} ~ ^ \z") == (
        r"a\_b\&c 5\% \$x \#1 \{y\} \textasciitilde{} \textasciicircum{} \textbackslash{}z"
    )
    assert latex_text('<a|b> "c"') == r"\textless{}a\textbar{}b\textgreater{} \symbol{34}c\symbol{34}"
    assert latex_text("a\nb\tc собака") == "a b c собака"


def test_a_name_in_brackets_is_no_argument_of_the_line_before() -> None:
    text = comparison_latex(comparison(evaluation("runs/x", SOURCE), evaluation("runs/[y]", SOURCE)))
    assert "\n\\texttt{[y]} &" in text


@pytest.mark.parametrize("name", ["a.tsv", "a.csv"])
def test_sentences_read_back(odd_text: Comparison, name: str) -> None:
    told = by_sentence(odd_text)
    text = sentence_table(told, Path(name))
    if name == "a.csv":
        head, *rows = csv.reader(io.StringIO(text, newline=""))
    else:  # nothing is quoted
        head, *rows = (line.split("\t") for line in text.split("\n")[:-1])
    ends = str.maketrans("\r\t" if name == "a.tsv" else "\r\r", "  ")
    assert head == [
        "number", "source_words", "source", "reference", "bleu x", "chrf x", "translation x",
        "bleu y", "chrf y", "translation y",
    ]  # fmt: skip
    as_lines = [line.translate(ends) for line in ODD]
    assert [row[0] for row in rows] == ["1", "2", "3", "4"]
    assert [row[1] for row in rows] == ["4", "4", "5", "2"]
    assert [row[2] for row in rows] == [row[3] for row in rows] == [row[6] for row in rows] == as_lines
    assert [row[9] for row in rows] == [line.translate(ends) for line in SAID]
    for column, spoken in ((4, ODD), (7, SAID)):
        scores = sentence_scores(spoken, ODD, "13a")
        assert [float(row[column]) for row in rows] == scores.bleu
        assert [float(row[column + 1]) for row in rows] == scores.chrf


def test_sentences_are_one_to_a_line(odd_text: Comparison) -> None:
    told = by_sentence(odd_text)
    for name, heads in (("a.tsv", 1), ("a.csv", 1), ("a.jsonl", 0)):
        text = sentence_table(told, Path(name))
        assert text.count("\n") == 4 + heads
        assert "\r" not in text


def test_json_lines_keep_the_text(odd_text: Comparison) -> None:
    records = [json.loads(line) for line in sentence_table(by_sentence(odd_text), Path("a.jsonl")).split("\n")[:-1]]
    assert [record["source"] for record in records] == ODD
    assert [[run["run"] for run in record["runs"]] for record in records] == [["x", "y"]] * 4
    assert [record["runs"][0]["translation"] for record in records] == ODD
    assert records[0]["runs"][1] == {"run": "y", "bleu": 0.0, "chrf": 0.0, "translation": ""}
    assert (records[3]["number"], records[3]["source_words"]) == (4, 2)


def test_another_format_is_refused(odd_text: Comparison) -> None:
    with pytest.raises(UserError, match=r"a\.txt: sentences are written as \.tsv, \.csv or \.jsonl"):
        sentence_table(by_sentence(odd_text), Path("a.txt"))
