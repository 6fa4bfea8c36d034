"""Layers and heads over HTTP, and in the pages of ``serve`` and ``report``: told where they are asked for, chosen by mouse and
by keys."""

from __future__ import annotations

import base64
import json
import re
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from browser import Watched
from commands import Terminal
from servers import Running, running

from seq2seq_cli.decoding.hypothesis import Attentions, Role
from seq2seq_cli.decoding.sentences import Details
from seq2seq_cli.decoding.translator import Translator
from seq2seq_cli.evaluation.alignment import Grid, by_words
from seq2seq_cli.report.shown import chosen_rows
from seq2seq_cli.runs import Run
from seq2seq_cli.serving.limits import MAX_WEIGHTS
from seq2seq_cli.serving.models import Served

LINE = "umgekehrt ta nu ki"


@pytest.fixture(scope="module")
def translator(transformer_run: Run) -> Translator:
    return Translator.load(transformer_run.directory, "cpu", "fp32")


@pytest.fixture(scope="module")
def shared(translator: Translator, trained_run: Run) -> Iterator[Running]:
    recurrent = Translator.load(trained_run.directory, "cpu", "fp32")
    with running([Served("layers", translator, "xx", "yy"), Served("rnn", recurrent, "xx", "yy")]) as opened:
        yield opened


def seen(translator: Translator, line: str, number: int = 0) -> Attentions:
    """Where the model looked in one of three translations."""
    sentences = translator.sentences([line], Details(best=3, attentions=True))
    attentions = translator.search(sentences)[0][number].attentions
    assert attentions is not None
    return attentions


def test_layers_are_told_where_they_are_asked_for(shared: Running, translator: Translator) -> None:
    question = {"sentences": [LINE, ""], "nbest": 2, "alignment": True, "runs": ["layers"]}
    plain, layered = (shared.ask(question | more).body["answers"][0] for more in ({}, {"layers": True}))
    once = layered["sentences"][0].pop("self_attention")  # the same for both, and so told once
    for number in range(2):
        told = layered["sentences"][0]["translations"][number]["alignment"].pop("layers")
        assert list(told) == ["cross_attention", "masked_self_attention"]
        attentions = seen(translator, LINE, number)
        for role in Role:
            layers = (told | {"self_attention": once})[role.value]
            assert len(layers) == 2
            for one, layer in zip(layers, attentions.of(role), strict=True):
                np.testing.assert_allclose(one["mean"]["weights"], by_words(layer.mean).weights_TS, atol=1e-4)
                assert len(one["heads"]) == 2
                for weights, head in zip(one["heads"], layer.heads, strict=True):
                    np.testing.assert_allclose(weights, by_words(head).weights_TS, atol=1e-4)
        default = layered["sentences"][0]["translations"][number]["alignment"]["heads"][0]["weights"]
        np.testing.assert_allclose(told["cross_attention"][0]["mean"]["weights"], default, atol=1e-4)
    assert "layers" not in layered["sentences"][1]["translations"][0]["alignment"]  # of an empty line there are none
    assert layered == plain  # otherwise nothing has changed


def test_what_there_is_to_ask_for_is_described(shared: Running) -> None:
    told = shared.ask(path="/runs").body["runs"]
    runs = {run["name"]: run["layers"] for run in told}
    heads = {"cross_attention": [2, 2], "self_attention": [2, 2], "masked_self_attention": [2, 2]}
    assert runs["layers"] == heads | {"shown": 1}
    assert runs["rnn"] == {"cross_attention": [0], "self_attention": [], "masked_self_attention": [], "shown": 1}
    systems = {run["name"]: run["system"] for run in told}
    assert systems == {"layers": "transformer-multi-head", "rnn": "bahdanau"}


def test_questions_about_layers_have_limits(shared: Running, translator: Translator) -> None:
    refused = shared.ask({"sentences": [LINE], "layers": True})
    assert (refused.status, refused.body["where"]) == (422, "layers")
    assert "part of an alignment" in refused.body["error"]
    assert shared.ask({"sentences": [LINE], "alignment": True, "layers": 1}).status == 422
    line = "ta nu " * 60
    pieces = len(translator.subwords.src.encode([line])[0])
    asked = {"sentences": [line] * 3, "nbest": 5, "alignment": True, "runs": ["layers"]}
    # Two heads and a mean in two layers: of each translation twice, of the source once for all five.
    size = 6 * (2 * 5 + 1) * 3 * pieces**2
    assert size > MAX_WEIGHTS > 5 * 3 * pieces**2
    refused = shared.ask(asked | {"layers": True})
    assert (refused.status, refused.body["where"], refused.body["limit"]) == (422, "sentences", MAX_WEIGHTS)
    assert f"times layers and heads of all sentences for all runs, times nbest, are {size:,}" in refused.body["error"]


def shown(watched: Watched) -> list[list[int]]:
    """The matrix of the page, in percent; without what cannot be seen."""
    rows = watched.page.locator(".alignment").first.locator(".matrix tbody tr").all()
    return [[int(text.replace("·", "0")) for text in row.locator("td:not(.unseen)").all_inner_texts()] for row in rows]


def same(watched: Watched, weights: Any) -> None:
    """That the page shows these weights; those that lie between two percents may go either way."""
    np.testing.assert_allclose(shown(watched), 100 * np.asarray(weights), atol=0.5 + 0.02)


def same_where_seen(watched: Watched, grid: Grid) -> None:
    """The same of the words that a word may look at."""
    assert grid.seen_TS is not None
    rows = zip(shown(watched), grid.weights_TS, grid.seen_TS, strict=True)
    for percents, weights_S, seen_S in rows:
        np.testing.assert_allclose(percents, 100 * weights_S[seen_S], atol=0.5 + 0.02)


@pytest.fixture
def page(shared: Running, visit: Callable[..., Watched]) -> Iterator[Watched]:
    watched = visit(shared.url)
    watched.page.wait_for_selector("[name=run]")
    watched.page.fill("#text", LINE)
    watched.page.click(".go")
    watched.page.locator("#status", has_text=re.compile(r"\d s$")).wait_for(timeout=20_000)
    yield watched
    assert watched.complaints == []


@pytest.mark.slow
def test_layer_and_head_are_chosen_on_the_served_page(page: Watched, translator: Translator) -> None:
    first, second = page.page.locator(".answer").all()
    assert second.locator(".attention-choice").count() == 0  # an RNN has nothing to choose from
    choice = first.get_by_role("group", name="Which attention is shown")
    attentions = seen(translator, LINE)
    same(page, by_words(attentions.cross[0].mean).weights_TS)
    asked = len(page.requests)
    choice.get_by_label("Layer").select_option("2")
    page.page.locator("caption", has_text="Layer 2 of 2, mean of 2 heads.").wait_for()
    same(page, by_words(attentions.cross[1].mean).weights_TS)
    choice.get_by_label("Head").select_option("1")
    page.page.locator("caption", has_text="Layer 2 of 2, head 1 of 2.").wait_for()
    same(page, by_words(attentions.cross[1].heads[0]).weights_TS)
    choice.get_by_label("Attention").select_option("self_attention")
    page.page.locator("caption", has_text="Self-attention, layer 2 of 2, mean of 2 heads.").wait_for()
    same(page, by_words(attentions.itself[1].mean).weights_TS)
    assert len(page.requests) == asked + 1  # once for all of them
    assert first.locator(".side").all_inner_texts() == ["Source words looked at", "Source words that look"]
    source = first.locator("button[data-side=target] .word-text").all_inner_texts()
    assert source == [*LINE.split(), "</s>"]
    choice.get_by_label("Attention").select_option("masked_self_attention")
    page.page.locator("caption", has_text="Masked self-attention, layer 2 of 2, mean of 2 heads.").wait_for()
    choice.get_by_label("Head").select_option("2")
    page.page.locator("caption", has_text="Masked self-attention, layer 2 of 2, head 2 of 2.").wait_for()
    grid = by_words(attentions.masked[1].heads[1])
    same_where_seen(page, grid)
    assert first.locator(".side").all_inner_texts() == ["Target words looked at", "Target words that look"]
    for side in ("source", "target"):
        assert tuple(first.locator(f"button[data-side={side}] .word-text").all_inner_texts()) == grid.target
    assert "Dotted: cannot be seen." in first.locator("caption").inner_text()
    choice.get_by_label("Attention").select_option("self_attention")
    page.page.locator("caption", has_text="Self-attention, layer 2 of 2").wait_for()
    assert len(page.requests) == asked + 1
    # Another of the translations is shown in the same way.
    first.locator(".nbest button").nth(1).click()
    page.page.locator("caption", has_text="Self-attention, layer 2 of 2").wait_for()
    same(page, by_words(seen(translator, LINE, 1).itself[1].mean).weights_TS)


@pytest.mark.slow
def test_keys_are_enough_to_choose(page: Watched, translator: Translator) -> None:
    keys = page.page.keyboard
    page.page.focus(".answer .nbest li:last-child button >> nth=0")
    keys.press("Tab")
    assert page.page.evaluate("document.activeElement.name") == "attention"
    keys.press("ArrowDown")
    page.page.locator("caption", has_text="Self-attention, layer 2 of 2").wait_for()
    keys.press("Tab")
    keys.press("ArrowUp")
    page.page.locator("caption", has_text="Self-attention, layer 1 of 2").wait_for()
    assert page.page.evaluate("document.activeElement.name") == "layer"
    keys.press("Tab")
    keys.press("End")
    page.page.locator("caption", has_text="layer 1 of 2, head 2 of 2").wait_for()
    same(page, by_words(seen(translator, LINE).itself[0].heads[1]).weights_TS)
    keys.press("Tab")
    keys.press("ArrowRight")
    told = page.page.inner_text(".answer .told[role=status] >> nth=0")
    assert re.match(r"“ta” is looked at by “", told)
    # What was pointed at stays so in another layer.
    page.page.select_option(".answer select[name=layer] >> nth=0", "2")
    page.page.locator("caption", has_text="Self-attention, layer 2 of 2").wait_for()
    assert page.page.locator(".answer >> nth=0").locator("button.is-current .word-text").inner_text() == "ta"
    page.page.focus(".answer select[name=attention] >> nth=0")
    keys.press("End")
    page.page.locator("caption", has_text="Masked self-attention, layer 2 of 2").wait_for()
    same_where_seen(page, by_words(seen(translator, LINE).masked[1].mean))


@pytest.mark.slow
def test_a_refusal_is_told_and_the_default_shown(shared: Running, page: Watched) -> None:
    page.page.route("**/translate", lambda route: route.fulfill(
        status=422, content_type="application/json", body=json.dumps({"error": "too much of it.", "where": "sentences"}),
    ))  # fmt: skip
    before = shown(page)
    page.page.select_option("select[name=layer]", "2")
    page.page.locator(".attention-choice + [role=alert]", has_text="sentences: too much of it.").wait_for()
    assert page.page.input_value("select[name=layer]") == "1"
    assert shown(page) == before
    assert "422" in page.complaints.pop()
    page.page.unroute("**/translate")
    page.page.select_option("select[name=layer]", "2")
    page.page.locator("caption", has_text="Layer 2 of 2").wait_for()


@pytest.fixture(scope="module")
def report(transformer_run: Run, trained_run: Run, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of a page about both runs."""
    from seq2seq_cli.evaluation.systems import Terms, compare_runs
    from seq2seq_cli.report.document import write_report

    path = tmp_path_factory.mktemp("page") / "page.html"
    comparison = compare_runs(
        [trained_run, transformer_run], Terms(one_source=True), keep=lambda source: chosen_rows(source, 6)
    )
    write_report(comparison, path)
    return path.as_uri()


def data_of(page: str) -> dict[str, Any]:
    text = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert text is not None
    found: dict[str, Any] = json.loads(text[1])
    return found


def unpacked(view: dict[str, Any]) -> dict[str, Any]:
    """The layers of a view in the page's data."""
    found: dict[str, Any] = json.loads(zlib.decompress(base64.b64decode(view["layers"])))
    return found


@pytest.mark.slow
def test_layer_and_head_are_chosen_in_the_report(report: str, visit: Callable[..., Watched]) -> None:
    watched = visit(report)
    page = watched.page
    data = json.loads(page.locator("#data").text_content() or "")
    assert page.locator(".attention-choice").count() == 0  # of the RNN, which comes first
    page.check("input[name=run][value='1']")
    page.select_option("select[name=head]", "2")
    page.locator("caption", has_text="Layer 1 of 2, head 2 of 2.").wait_for()
    layers = unpacked(data["sentences"][0]["runs"][1]["view"])
    same(watched, layers["cross_attention"][0]["heads"][1])
    page.select_option("select[name=attention]", "self_attention")
    page.locator("caption", has_text="Self-attention, layer 2 of 2, mean of 2 heads.").wait_for()
    same(watched, layers["self_attention"][1]["mean"]["weights"])
    page.select_option("select[name=attention]", "masked_self_attention")
    page.locator("caption", has_text="Masked self-attention, layer 2 of 2, mean of 2 heads.").wait_for()
    told = layers["masked_self_attention"][1]["mean"]["weights"]
    assert shown(watched) == [
        [pytest.approx(100 * weight, abs=0.52) for weight in row[: t + 1]] for t, row in enumerate(told)
    ]
    page.select_option("select[name=attention]", "self_attention")
    page.locator("caption", has_text="Self-attention, layer 2 of 2").wait_for()
    # The next sentence is shown in the same way; the other run has nothing to choose from.
    page.click("#next")
    page.locator("caption", has_text="Self-attention, layer 2 of 2, mean of 2 heads.").wait_for()
    same(watched, unpacked(data["sentences"][1]["runs"][1]["view"])["self_attention"][1]["mean"]["weights"])
    page.check("input[name=run][value='0']")
    assert page.locator(".attention-choice").count() == 0
    assert watched.requests == [report]
    assert watched.complaints == []


def test_the_report_and_eval_tell_of_each_layer(terminal: Terminal, transformer_run: Run, tmp_path: Any) -> None:
    path, record = tmp_path / "page.html", tmp_path / "eval.json"
    terminal.ok("report", transformer_run.directory, "--sentences", 3, "-o", path)
    answer = terminal.ok("eval", transformer_run.directory, "--json", record)
    (told,) = json.loads(record.read_text(encoding="utf-8"))
    assert [(one["layer"], one["shown"]) for one in told["layers"]] == [(1, True), (2, False)]
    # The layer that is shown is the one that all other figures are of, though they come from the search.
    for name, value in told["diagnostics"].items():
        assert told["layers"][0]["diagnostics"][name] == pytest.approx(value, abs=1e-4), name
    assert told["layers"][1]["diagnostics"] != told["layers"][0]["diagnostics"]
    assert re.search(r", layer 1 \(shown\): attention .*, layer 2: attention ", answer.err, re.DOTALL)
    assert len(re.findall(r"bits a step", answer.err)) == 2  # not those of the layer that is shown once more
    page = path.read_text(encoding="utf-8")
    rows = re.findall(r'<th scope="row" class="layer">.*?</span>(layer \d[^<]*)</th>', page)
    assert rows == ["layer 1, shown", "layer 2"]
    table = page.partition('aria-label="Table of attention"')[2].partition("</table>")[0]
    assert len(re.findall(r"<td[^>]*>[^<]*attention has", table)) == 2
    data = data_of(page)
    heads = {"cross_attention": [2, 2], "self_attention": [2, 2], "masked_self_attention": [2, 2]}
    assert data["layers"] == [heads | {"shown": 1}]
    for sentence in data["sentences"]:
        layers = unpacked(sentence["runs"][0]["view"])
        weights = sentence["runs"][0]["view"]["heads"][0]["weights"]
        np.testing.assert_allclose(layers["cross_attention"][0]["mean"]["weights"], weights, atol=2e-4)
