"""Where words came from, word by word: over HTTP, in the pages of ``serve`` and ``report``, and in comparisons."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from browser import Watched
from commands import Terminal
from corpora import TinyCorpus, translation
from memories import remember
from servers import Running, running

from seq2seq_cli.decoding.hypothesis import Example, Origin
from seq2seq_cli.decoding.recalling import open_memory
from seq2seq_cli.decoding.translator import Translator
from seq2seq_cli.errors import RunError
from seq2seq_cli.report.views import EXAMPLES, origins_by_words
from seq2seq_cli.runs import Run
from seq2seq_cli.serving.models import Served, load_runs

LINE = "ta nu ki"


@pytest.fixture(scope="module")
def translator(trained_run: Run) -> Translator:
    return Translator.load(trained_run.directory, "cpu", "fp32")


@pytest.fixture(scope="module")
def folder(translator: Translator, tiny_corpus: TinyCorpus, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("memories") / "tiny"
    remember(translator, tiny_corpus.folder / "train", directory)
    return directory


@pytest.fixture(scope="module")
def shared(translator: Translator, folder: Path) -> Iterator[Running]:
    assert translator.run is not None
    memory = open_memory(translator.run, folder, torch.device("cpu"))
    with running(
        [Served("with", translator.remembering(memory), "xx", "yy"), Served("alone", translator, "xx", "yy")]
    ) as opened:
        yield opened


def example(source: str, pieces: tuple[str, ...], position: int, weight: float) -> Example:
    return Example(source, "", pieces, position, weight, 1.0)


def test_from_pieces_to_words_by_hand() -> None:
    """The word of two pieces: what one word of one example adds to both counts together; what adds to another piece comes
    last."""
    apart = ("▁b", "lue", "▁sea", "</s>")
    origins = (
        Origin(0.5, (example("blau", apart, 0, 0.3), example("grün", ("▁green", "</s>"), 0, 0.9))),
        Origin(0.1, (example("blau", apart, 1, 0.1), example("weh", ("▁b", "lues", "</s>"), 1, 0.2))),
        Origin(0.0, ()),
    )
    word, end = origins_by_words(("▁b", "lue", "</s>"), origins)
    assert word.share == pytest.approx(0.3)
    assert [(one.source, one.target, one.word, one.weight) for one in word.examples] == [
        ("blau", ("blue", "sea", "</s>"), 0, 0.2),
        ("grün", ("green", "</s>"), 0, 0.45),
        ("weh", ("blues", "</s>"), 0, 0.1),
    ]
    assert (end.share, end.examples) == (0.0, [])


def test_examples_are_told_where_they_are_asked_for(shared: Running) -> None:
    question = {"sentences": [LINE, ""], "alignment": True}
    plain = shared.ask(question).body["answers"]
    told = shared.ask(question | {"examples": True}).body["answers"]
    origins = [answer["sentences"][0]["translations"][0]["alignment"].pop("origins", None) for answer in told]
    assert told == plain
    assert origins[1] is None  # that run has no memory
    words = told[0]["sentences"][0]["translations"][0]["alignment"]["target"]
    assert len(origins[0]) == len(words)
    for word, origin in zip(words, origins[0], strict=True):
        assert 0 <= origin["share"] <= 1
        assert 0 < len(origin["examples"]) <= EXAMPLES
        for one in origin["examples"]:
            assert " ".join(one["target"][:-1]) == translation(one["source"])
        if origin["share"] > 0.2:
            first = origin["examples"][0]
            assert first["target"][first["word"]] == word
    refused = shared.ask({"sentences": [LINE], "examples": True})
    assert (refused.status, refused.body["where"]) == (422, "examples")
    runs = {run["name"]: run["memory"] for run in shared.ask(path="/runs").body["runs"]}
    assert runs["alone"] is None
    assert runs["with"].startswith("tiny: ")


def test_each_memory_is_for_its_run(trained_run: Run, transformer_run: Run, folder: Path, tmp_path: Path) -> None:
    both = [transformer_run.directory, trained_run.directory]
    served = load_runs(both, "cpu", "fp32", [folder])
    assert [each.translator.memory is not None for each in served] == [False, True]
    with pytest.raises(RunError, match="this memory does not belong to"):
        load_runs(both[:1], "cpu", "fp32", [folder])
    (tmp_path / "second").symlink_to(folder)
    with pytest.raises(RunError, match=r"is a memory of .* as well"):
        load_runs(both, "cpu", "fp32", [folder, tmp_path / "second"])


def test_a_memory_beside_the_run_alone(terminal: Terminal, trained_run: Run, folder: Path, tmp_path: Path) -> None:
    told = terminal.ok("eval", trained_run.directory, "--memory", folder, "--json", tmp_path / "eval.json")
    name = trained_run.directory.name
    assert f"{name} + tiny" in told.out
    assert f"{name} + tiny: " in f"{told.err} {told.out}".replace("\n", " ")  # how its attention is distributed
    alone, remembered = json.loads((tmp_path / "eval.json").read_text())
    assert (alone["p_against_first"], "memory" in alone) == (None, False)
    assert set(remembered["p_against_first"]) == {"bleu", "chrf", "ter"}
    assert remembered["memory"]["name"] == "tiny"
    assert remembered["system"] == "bahdanau + tiny"
    assert sorted(path.suffix for path in trained_run.decodes.glob("*-memory-*")) == [".json", ".txt"]
    assert "--neighbours needs --memory" in terminal.refused("eval", trained_run.directory, "--neighbours", 3)


def test_a_memory_of_another_run(terminal: Terminal, transformer_run: Run, folder: Path, tmp_path: Path) -> None:
    for command in (("eval",), ("report", "-o", tmp_path / "r.html"), ("serve", "--port", 0), ("translate", "--run")):
        said = terminal.refused(*command, transformer_run.directory, "--memory", folder, stdin=b"ta\n")
        assert f"this memory does not belong to {transformer_run.directory}" in said


@pytest.mark.slow
def test_the_page_shows_the_examples_of_a_word(shared: Running, visit: Callable[..., Watched]) -> None:
    watched = visit(shared.url)
    page = watched.page
    page.fill("#text", LINE)
    page.click(".go")
    article = page.locator("article.answer").first
    article.locator('button.word[data-side="target"]').first.hover()
    told = article.locator(".examples p").inner_text()
    assert "of its probability from the memory" in told
    marked = article.locator(".examples li mark")
    assert 0 < marked.count() <= EXAMPLES
    article.locator('button.word[data-side="source"]').first.hover()
    assert article.locator(".examples li").count() == 0
    assert page.locator("article.answer").nth(1).locator(".examples").count() == 0
    assert watched.complaints == []


@pytest.mark.slow
def test_the_report_shows_them_too(
    terminal: Terminal, trained_run: Run, folder: Path, tmp_path: Path, visit: Callable[..., Watched]
) -> None:
    terminal.ok("report", trained_run.directory, "--memory", folder, "-o", tmp_path / "r.html", "--sentences", 3)
    watched = visit((tmp_path / "r.html").as_uri())
    page = watched.page
    page.locator("#sentence input[type=radio]").nth(1).check()
    page.locator('#sentence button.word[data-side="target"]').first.hover()
    assert page.locator("#sentence .examples li mark").count() > 0
    assert watched.complaints == []
