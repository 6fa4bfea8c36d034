"""``seq2seq report``: what the page holds and that it is closed, as text; ``test_browser_report.py`` opens it."""

import base64
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from commands import Terminal
from comparisons import NUMBERS, copied_for_comparison
from corpora import TinyCorpus
from hypothesis import given
from hypothesis import strategies as st
from pages import SOURCE, told_comparison

from seq2seq_cli.decoding.translator import Translator
from seq2seq_cli.evaluation.lengths import word_count
from seq2seq_cli.report.charts import learning_charts
from seq2seq_cli.report.document import render, write_report
from seq2seq_cli.report.history import read_history
from seq2seq_cli.report.shown import Mark, chosen_rows, differences, shown_sentences
from seq2seq_cli.runs import Run


class Page(HTMLParser):
    """Elements with their attributes, what stands in scripts and styles, and the cells of tables by row."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.raw: dict[str, list[str]] = {"script": [], "style": []}
        self.rows: list[list[str]] = []
        self.inside = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag in self.raw:
            self.raw[tag].append("")
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag in ("script", "style", "td", "th"):
            self.inside = tag

    def handle_endtag(self, tag: str) -> None:
        if tag == self.inside:
            self.inside = ""

    def handle_data(self, data: str) -> None:
        if self.inside in self.raw:
            self.raw[self.inside][-1] += data
        elif self.inside:
            self.rows[-1][-1] += data

    @property
    def data(self) -> dict[str, object]:
        """What the page holds for its scripts."""
        kinds = [attributes.get("type") for tag, attributes in self.elements if tag == "script"]
        (text,) = (text for kind, text in zip(kinds, self.raw["script"], strict=True) if kind == "application/json")
        return dict(json.loads(text))


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Page:
    return Page(render(told_comparison(tmp_path_factory.mktemp("told"))))


def test_nothing_is_loaded_from_anywhere(page: Page) -> None:
    for tag, attributes in page.elements:
        assert tag not in ("img", "link", "iframe", "object", "embed", "base", "form"), tag
        for name, value in attributes.items():
            assert not name.startswith("on"), (tag, name)
            assert name not in ("src", "srcset", "style", "action"), (tag, name)
            if name in ("href", "xlink:href"):
                assert str(value).startswith("#")
    for text in page.raw["style"]:
        assert not re.search(r"url\(|@import", text)
    for text in page.raw["script"]:
        assert not re.search(
            r"fetch\(|XMLHttpRequest|import\(|innerHTML|insertAdjacentHTML|document\.write|eval\(", text
        )


def test_the_policy_allows_the_pages_own_scripts_and_styles_alone(page: Page) -> None:
    (policy,) = (
        str(one["content"]) for tag, one in page.elements if one.get("http-equiv") == "Content-Security-Policy"
    )
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"

    def hashes(texts: list[str]) -> set[str]:
        digests = (hashlib.sha256(text.encode()).digest() for text in texts)
        return {f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests}

    run = [text for text in page.raw["script"] if not text.startswith("{")]
    assert set(rules["script-src"].split()) == hashes(run)
    assert set(rules["style-src"].split()) == hashes(page.raw["style"])
    assert len(run) == 3


def test_hostile_text_is_text(page: Page) -> None:
    assert len(page.raw["script"]) == 4
    (data,) = (text for text in page.raw["script"] if text.startswith("{"))
    assert "<" not in data
    assert "\u2028" not in data
    sentences = page.data["sentences"]
    assert isinstance(sentences, list)
    assert [sentence["source"] for sentence in sentences] == SOURCE
    assert page.rows[1][0] == "<b>bahdanau"


def test_the_data_say_what_was_found(page: Page, tmp_path: Path) -> None:
    told = told_comparison(tmp_path)
    assert page.data == {
        "runs": ["<b>bahdanau", "<b>local-p", "<b>none"],
        "layers": [None, None, None],
        "source_language": "de",
        "target_language": "en",
        "sentences": json.loads(json.dumps([one.to_json() for one in shown_sentences(told).sentences])),
    }
    views = [run.view for run in shown_sentences(told).sentences[0].runs]
    assert [view.head is None for view in views] == [False, False, True]
    assert views[0].source == ("eins", "zwei", "drei", "</s>")
    assert views[0].head is not None
    assert sum(number or 0 for number in views[0].head.weights[0]) == pytest.approx(1, abs=3e-4)


def test_four_runs_and_fifty_long_sentences_stay_small(tmp_path: Path) -> None:
    source = [" ".join(NUMBERS[(i + j) % 12] for j in range(5 + i % 45)) for i in range(60)]
    told = told_comparison(tmp_path, source, ("bahdanau", "local-p", "luong-dot", "scaled-dot"))
    write_report(told, tmp_path / "page.html")
    assert Page((tmp_path / "page.html").read_text(encoding="utf-8")).data["runs"] == told.names
    assert len(shown_sentences(told).sentences) == 50
    assert 500_000 < (tmp_path / "page.html").stat().st_size < 3_000_000


def test_a_run_without_records_still_has_its_scores(tmp_path: Path) -> None:
    told = told_comparison(tmp_path, kinds=("bahdanau",))
    run = told.evaluations[0].run
    run.info.write_text("{", encoding="utf-8")
    run.metrics.write_text('{"event": "evaluation"}\n{"event": "tr', encoding="utf-8")
    text = render(told)
    assert "There is no record of how it was trained" in text
    assert "2 lines of" in text
    assert Page(text).rows[1][2].startswith("100.00 [")


def test_models_with_the_same_attention_are_told_apart(tmp_path: Path) -> None:
    told = told_comparison(tmp_path, kinds=("bahdanau", "bahdanau", "bahdanau"))
    systems = ["bahdanau", "hybrid-bahdanau", "hybrid-bahdanau"]
    runs = [replace(run, kind="bahdanau", system=name) for run, name in zip(told.evaluations, systems, strict=True)]
    head, *rows = Page(render(replace(told, evaluations=runs))).rows
    assert [row[1] for row in (head, *rows[:3])] == ["model", *systems]
    assert [row[:2] for row in rows[3:6]] == [["model", "trainings"], ["bahdanau", "1"], ["hybrid-bahdanau", "2"]]


def test_charts_tell_their_points_without_colours_of_their_own(tmp_path: Path) -> None:
    told = told_comparison(tmp_path, kinds=("bahdanau", "none"))
    charts = {
        chart.title: chart.svg for chart in learning_charts(told.names, [read_history(e.run) for e in told.evaluations])
    }
    points = re.findall(
        r'aria-label="([^"]*)" role="graphics-symbol" aria-roledescription="point"', charts["Dev BLEU by minutes"]
    )
    assert len(points) == 4
    assert "&lt;b&gt;none, minutes of training 1.5: BLEU, greedy 12.50" in points
    for svg in charts.values():
        assert not re.search("#[0-9a-fA-F]{3}", svg)
        assert "stroke-dasharray" in svg
        # Two charts of a page must not share an id.
        assert not re.search(r"\sid=", svg)


def test_rows_are_chosen_from_all_lengths() -> None:
    lengths = [3] * 10 + [0] * 5 + [8] * 100 + [50]
    source = [" ".join(["x"] * length) for length in lengths]
    rows = chosen_rows(source, 9)
    # One of 41+, which has no more; a half of the rest from each of the other bins.
    assert [lengths[row] for row in rows] == [3] * 4 + [8] * 4 + [50]
    assert rows == [0, 2, 5, 7, 15, 40, 65, 90, 115]
    assert chosen_rows(source, 1000) == [row for row, length in enumerate(lengths) if length]
    assert chosen_rows(source, 0) == []


def test_differences_by_hand() -> None:
    assert differences("a man sleeps .", "the man sleeps") == [
        Mark("missing", "a "), Mark("added", "the "), Mark("same", "man sleeps "), Mark("missing", ". "),
    ]  # fmt: skip
    assert differences("我爱北京", "我在北京") == [
        Mark("same", "我"), Mark("missing", "爱"), Mark("added", "在"), Mark("same", "北京 "),
    ]  # fmt: skip


@given(*[st.text(st.sampled_from("ab 我\u3000ก\u0e34"), max_size=12)] * 2)
def test_differences_hold_both_texts(reference: str, translation: str) -> None:
    marks = differences(reference, translation)
    for text, kinds in ((reference, ("same", "missing")), (translation, ("same", "added"))):
        held = "".join(mark.text for mark in marks if mark.kind in kinds)
        assert "".join(held.split()) == "".join(text.split())


@pytest.fixture
def copies(trained_run: Run, tmp_path: Path) -> tuple[Path, Path]:
    paths = tmp_path / "runs" / "one", tmp_path / "runs" / "greedy"
    return copied_for_comparison(trained_run, *paths)


def test_the_command_says_what_eval_says(terminal: Terminal, copies: tuple[Path, Path], tiny_corpus: TinyCorpus,
                                         tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert "written to report.html" in terminal.ok("report", *copies, "--sentences", 9).err
    terminal.ok("eval", *copies, "--json", "eval.json")
    page = Page(Path("report.html").read_text(encoding="utf-8"))
    records = json.loads(Path("eval.json").read_text(encoding="utf-8"))
    for row, record in zip(page.rows[1:3], records, strict=True):
        p = record["p_against_first"] or {}
        for column, metric in ((2, "bleu"), (4, "chrf"), (6, "ter")):
            low, high = record["interval_95"][metric]
            assert row[column] == f"{record[metric]:.2f} [{low:.1f}–{high:.1f}]"
            told = f"{p[metric]:.3f}" if p else ""
            assert row[column + 1] == told.replace("0.000", "< 0.001")
        assert row[8] == f"{record['parameters']:,}"
    sentences = page.data["sentences"]
    assert isinstance(sentences, list)
    assert len(sentences) == 9
    source = (tiny_corpus.folder / "test.xx").read_text(encoding="utf-8").splitlines()
    translator = Translator.load(copies[0], "cpu", "fp32")
    texts = translator.translate(source)
    for sentence in sentences:
        assert sentence["source"] == source[sentence["number"] - 1]
        assert sentence["source_words"] == word_count(sentence["source"])
        assert sentence["runs"][0]["view"]["text"] == texts[sentence["number"] - 1]
    text = Path("report.html").read_text(encoding="utf-8")
    assert hashlib.sha256(Run(copies[0]).best.read_bytes()).hexdigest() in text
    assert "beam 3, length penalty" in text
    assert "beam 1, length penalty" in text


def test_without_sentences_there_is_no_browser_of_them(terminal: Terminal, copies: tuple[Path, Path],
                                                       tmp_path: Path) -> None:  # fmt: skip
    terminal.ok("report", copies[0], "--sentences", 0, "-o", tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert 'id="sentences"' not in text
    assert 'href="#sentences"' not in text


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-o", "-"], "--output is a file; a page is not for standard output"),
        (["-o", "no/x.html"], "no/x.html: its folder does not exist"),
        (["-o", "runs"], "runs: is a folder. Name a file with --output"),
        (["--significance", "bootstrap"], "--significance needs two runs or more"),
    ],
)
def test_mistakes_are_explained_before_anything_is_translated(
    terminal: Terminal, copies: tuple[Path, Path], tmp_path: Path, words: list[str], said: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    assert said in terminal.refused("report", copies[0], *words)
    assert sorted(tmp_path.rglob("*")) == before
