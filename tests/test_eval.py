"""``seq2seq eval`` from end to end: what it prints, and every file it writes."""

import csv
import io
import json
import sys
from pathlib import Path

import pytest
from commands import Terminal
from comparisons import WORSE, comparison, copied_for_comparison, evaluation
from corpora import TinyCorpus, write_lines
from matplotlib.image import imread
from rich.console import Console

from seq2seq_cli import console
from seq2seq_cli.cli.results import comparison_table
from seq2seq_cli.evaluation.lengths import length_bins, score_by_length
from seq2seq_cli.report.bars import length_chart
from seq2seq_cli.runs import Run


@pytest.fixture
def copies(trained_run: Run, tmp_path: Path) -> tuple[Path, Path]:
    """Two runs of awkward names, the second one greedy."""
    paths = tmp_path / "runs" / "a_b&c", tmp_path / "runs" / "[bold]{%}"
    return copied_for_comparison(trained_run, *paths)


def lines_of(corpus: TinyCorpus, side: str) -> list[str]:
    return (corpus.folder / f"test.{side}").read_text(encoding="utf-8").splitlines()


def test_two_runs_with_everything(terminal: Terminal, copies: tuple[Path, Path], tiny_corpus: TinyCorpus,
                                  tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    names = {"json": "r.json", "csv": "r.csv", "latex": "r.tex", "sentences": "s.tsv", "plot": "p.png"}
    files = [word for option, name in names.items() for word in (f"--{option}", name)]
    answer = terminal.ok("eval", *copies, "--by-length", "--significance", "bootstrap", *files)
    for said in (*(f"written to {name}" for name in names.values()), "p: paired bootstrap, 1,000 trials", "eff:yes"):
        assert said in answer.err

    records = json.loads(Path("r.json").read_text(encoding="utf-8"))
    source = lines_of(tiny_corpus, "xx")
    bins = [(found.words, len(found.rows)) for found in length_bins(source)]
    for record in records:
        assert [(scores["words"], scores["sentences"]) for scores in record["by_length"]] == bins
    assert [record["significance"] for record in records] == [None, "paired bootstrap, 1,000 trials"]
    assert [record["decoding"]["beam"] for record in records] == [3, 1]

    rows = [line.split("\t") for line in answer.out.splitlines() if "\t" in line]
    assert rows[0][:3] == ["run", "words", "sentences"]
    assert [(row[0], row[1], int(row[2])) for row in rows[1:]] == [
        (str(run), *found) for run in copies for found in bins
    ]
    assert str(copies[1]) in answer.out
    assert "24 sentences, beam 3, 1" in " ".join(answer.out.split())

    table = list(csv.DictReader(Path("r.csv").read_text(encoding="utf-8").splitlines()))
    assert [row["run"] for row in table] == [record["run"] for record in records] == [str(run) for run in copies]
    for row, record in zip(table, records, strict=True):
        assert float(row["bleu"]) == record["bleu"]
        assert (row["test_sha256"], row["beam"]) == (record["test_sha256"], str(record["decoding"]["beam"]))
    assert float(table[1]["chrf_p"]) == records[1]["p_against_first"]["chrf"]

    latex = Path("r.tex").read_text(encoding="utf-8")
    assert r"\texttt{a\_b\&c}" in latex
    assert r"\texttt{[bold]\{\%\}}" in latex
    assert f"% BLEU: {records[0]['signature']['bleu']}\n" in latex

    head, *sentences = csv.reader(Path("s.tsv").read_text(encoding="utf-8").splitlines(), "excel-tab")
    assert head[:4] == ["number", "source_words", "source", "reference"]
    assert [row[2] for row in sentences] == source
    assert [row[3] for row in sentences] == lines_of(tiny_corpus, "yy")
    for column, run in ((6, copies[0]), (9, copies[1])):
        found = max(Run(run).decodes.glob("*.txt"), key=lambda path: path.stat().st_mtime)
        assert head[column] == f"translation {run}"
        spoken = [row[column] for row in sentences]
        assert spoken == found.read_text(encoding="utf-8").splitlines()
        by_length = records[(column - 6) // 3]["by_length"]
        for told in score_by_length(source, spoken, lines_of(tiny_corpus, "yy"), "13a"):
            assert told.to_json() in by_length

    assert imread("p.png").shape[0] > 500


@pytest.mark.parametrize("name", ["s.csv", "s.jsonl"])
def test_sentences_in_other_formats(terminal: Terminal, copies: tuple[Path, Path], tiny_corpus: TinyCorpus,
                                    tmp_path: Path, name: str) -> None:  # fmt: skip
    terminal.ok("eval", copies[0], "--sentences", tmp_path / name)
    lines = (tmp_path / name).read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines] if name.endswith("jsonl") else list(csv.DictReader(lines))
    assert [row["source"] for row in rows] == lines_of(tiny_corpus, "xx")
    assert [int(row["number"]) for row in rows] == list(range(1, 25))


def test_the_runs_own_evaluation_tells_of_lengths(trained_run: Run) -> None:
    record = json.loads(trained_run.evaluation.read_text(encoding="utf-8"))
    assert sum(scores["sentences"] for scores in record["by_length"]) == record["sentences"] == 24


def test_a_terminal_is_shown_bars(
    terminal: Terminal, copies: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    shown = terminal.ok("eval", copies[0], "--by-length").out
    assert "BLEU and chrF by source length" in shown
    assert "███" in shown
    assert "…" not in shown
    assert "\t" not in shown


def test_a_single_run_is_compared_with_none() -> None:
    alone = comparison_table(comparison(evaluation("a", WORSE)))
    assert [str(column.header) for column in alone.columns][1:4] == ["BLEU", "chrF", "TER"]
    two = comparison_table(comparison(evaluation("a", WORSE), evaluation("b", WORSE)))
    assert [str(column.header) for column in two.columns].count("p") == 3
    assert [len(list(column.cells)) for column in alone.columns] == [1] * 7


def test_a_narrow_terminal_loses_no_character(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["multi30k-bahdanau-with-a-long-name-1", "multi30k-bahdanau-with-a-long-name-2"]
    runs = comparison(*(evaluation(name, WORSE) for name in names))
    narrow = Console(width=60, file=io.StringIO(), force_terminal=True, color_system=None)
    monkeypatch.setattr(console, "out", lambda: narrow)
    console.table(length_chart(runs))
    shown = "".join(narrow.file.getvalue().split())  # type: ignore[attr-defined]
    assert "…" not in shown
    assert "name-2" in shown


@pytest.mark.parametrize("option", ["--csv", "--latex", "--json"])
def test_one_result_on_standard_output_is_alone_there(terminal: Terminal, copies: tuple[Path, Path], tmp_path: Path,
                                                      option: str) -> None:  # fmt: skip
    other = "--latex" if option == "--csv" else "--csv"
    answer = terminal.ok("eval", copies[0], option, "-", other, tmp_path / "other")
    assert answer.out.startswith({"--csv": "run,bleu,", "--latex": "% Needs", "--json": "["}[option])
    assert "━" not in answer.out
    assert f"written to {tmp_path / 'other'}" in answer.err
    assert "sent/s" in (tmp_path / "other").read_text() or "sentences_per_second" in (tmp_path / "other").read_text()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--json", "-", "--by-length"], "--by-length is not for results on standard output"),
        (["--significance", "bootstrap"], "--significance needs two runs or more"),
        (["--plot", "x.gif"], "x.gif: pictures are written as .png, .svg or .pdf. End its name"),
        (["--sentences", "x.txt"], "x.txt: sentences are written as .tsv, .csv or .jsonl. End its name"),
        (["--sentences", "-"], "-: sentences are written as .tsv, .csv or .jsonl"),
        (["--plot", "no/x.png"], "no/x.png: its folder does not exist"),
        (["--csv", "no/x"], "no/x: its folder does not exist"),
        (["--latex", "folder"], "folder: is a folder. Name a file with --latex"),
        (["--csv", "-", "--json", "-"], "-: --json and --csv would both write it"),
        (["--csv", "P.xx", "--test", "P"], "P.xx: is both input and output. Name another file with --csv"),
        (["--csv", "x.csv", "--sentences", "./x.csv"], "x.csv: --csv and --sentences would both write it"),
    ],
)
def test_mistakes_are_explained_before_anything_is_translated(
    terminal: Terminal, copies: tuple[Path, Path], tmp_path: Path, words: list[str], said: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    (tmp_path / "folder").mkdir()
    write_lines(tmp_path / "P.xx", ["ta"])
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    assert said in terminal.refused("eval", copies[0], *words)
    assert sorted(tmp_path.rglob("*")) == before


def test_mistakes_with_two_runs(terminal: Terminal, copies: tuple[Path, Path], tiny_corpus: TinyCorpus,
                                tmp_path: Path) -> None:  # fmt: skip
    said = terminal.refused("eval", *copies, "--significance", "bootstap")
    assert '--significance: "bootstap" is unknown. Did you mean "bootstrap"?' in said
    # The second run translates other sentences to the same references.
    sources, references = lines_of(tiny_corpus, "xx"), lines_of(tiny_corpus, "yy")
    write_lines(tmp_path / "other.xx", [f"{line} ta" for line in sources])
    write_lines(tmp_path / "other.yy", references)
    config = Run(copies[1]).config
    text = config.read_text(encoding="utf-8").replace(str(tiny_corpus.folder / "test"), str(tmp_path / "other"))
    config.write_text(text, encoding="utf-8")
    for words in (["--by-length"], ["--plot", tmp_path / "p.png"], ["--sentences", tmp_path / "s.tsv"]):
        said = terminal.refused("eval", *copies, *words)
        assert "it does not translate the sentences that" in said
        assert "Name one for all with --test" in said
    terminal.ok("eval", *copies, "--significance", "bootstrap")
    write_lines(tmp_path / "other.yy", references[::-1])
    assert "its test set is not the one of" in terminal.refused("eval", *copies)
