"""The served page in a real browser: typed into, pointed at, and given hostile text."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from browser import Watched
from servers import Running, running, until

from seq2seq_cli.data.text import sha256
from seq2seq_cli.decoding.confidence import Calibration
from seq2seq_cli.decoding.translator import Translator
from seq2seq_cli.runs import Run
from seq2seq_cli.serving.limits import MAX_SENTENCES
from seq2seq_cli.serving.models import Served, load_runs

pytestmark = pytest.mark.slow

if TYPE_CHECKING:
    from playwright.sync_api import Page

LINE = "umgekehrt ta nu"


@pytest.fixture(scope="module")
def shared(trained_run: Run) -> Iterator[Running]:
    translator = Translator.load(trained_run.directory, "cpu", "fp32")
    with running([Served("one", translator, "xx", "yy"), Served("<b>two</b>", translator, None, None)]) as opened:
        yield opened


@pytest.fixture
def opened(shared: Running, visit: Callable[..., Watched]) -> Iterator[Watched]:
    """The page, ready; in the end it must have asked nobody else, and complained of nothing."""
    watched = visit(shared.url)
    watched.page.wait_for_selector("[name=run]")
    yield watched
    assert watched.complaints == []
    assert {url for url in watched.requests if not url.startswith(shared.url)} == set()


def translate(page: Page, text: str) -> None:
    page.fill("#text", text)
    page.click(".go")
    page.locator("#status", has_text=re.compile(r"\d s$")).wait_for(timeout=20_000)


def test_type_translate_point(shared: Running, opened: Watched) -> None:
    page = opened.page
    translate(page, LINE)
    told = shared.ask({"sentences": [LINE], "nbest": 3, "alignment": True}).body["answers"]
    assert page.locator(".answer h3").all_inner_texts() == ["one", "<b>two</b>"]
    first = page.locator(".answer").first
    translations: list[dict[str, Any]] = told[0]["sentences"][0]["translations"]
    assert first.locator(".translation").all_inner_texts() == [each["text"] for each in translations]
    assert first.locator(".score").all_inner_texts() == [f"{each['score']:.3f}" for each in translations]

    for chosen in (0, 2):
        first.locator(".nbest button").nth(chosen).click()
        alignment = translations[chosen]["alignment"]
        for index, row in enumerate(alignment["heads"][0]["weights"]):
            first.locator(f"button[data-side=target][data-index='{index}']").hover()
            lit = first.locator("button[data-side=source] .word-weight").all_inner_texts()
            assert [int(text.removesuffix("%")) for text in lit] == pytest.approx([100 * w for w in row], abs=0.51)
        words = first.locator("button[data-side=source] .word-text").all_inner_texts()
        assert words == alignment["source"]


def test_doubtful_words_are_marked(trained_run: Run, tmp_path: Path, visit: Callable[..., Watched]) -> None:
    run = Run(Path(shutil.copytree(trained_run.directory, tmp_path / "run")))
    Calibration((-0.5, -0.001), (0.1, 0.9), sha256(run.best), 1, 1).save(run.calibration)
    with running(load_runs([run.directory], "cpu", "fp32")) as served:
        page = visit(served.url).page
        translate(page, "ta qqq nu")
        told = served.ask({"sentences": ["ta qqq nu"], "nbest": 3, "confidence": True}).body["answers"]
        each = [one["confidence"] for one in told[0]["sentences"][0]["translations"]]
        doubtful = [word["text"] for sure in each for word in sure["words"] if word["chance"] < 0.5]
        assert doubtful
        assert page.locator(".doubtful").all_inner_texts() == doubtful
        shown = page.locator(".sure").all_inner_texts()
        assert [int(text.removesuffix("%")) for text in shown] == pytest.approx(
            [100 * s["line"] for s in each], abs=0.51
        )


def test_keys_are_enough(opened: Watched) -> None:
    page = opened.page
    assert page.evaluate("document.activeElement.id") == "text"
    page.keyboard.type(LINE)
    page.keyboard.press("Control+Enter")
    page.wait_for_selector(".answer")
    page.focus(".nbest li:nth-child(2) button")
    page.keyboard.press("Enter")
    assert page.get_attribute(".nbest li:nth-child(2) button >> nth=0", "aria-pressed") == "true"
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.dataset.side") == "source"


def test_runs_sentences_and_beam_are_as_chosen(opened: Watched) -> None:
    page = opened.page
    page.uncheck("[name=run] >> nth=0")
    page.fill("#beam", "1")  # fewer than the page's three translations
    with page.expect_request("**/translate") as asked:
        translate(page, f"\n{LINE}\n  \nki\n")
    assert asked.value.post_data_json == {
        "sentences": [LINE, "ki"], "nbest": 1, "alignment": True, "confidence": True, "runs": ["<b>two</b>"], "beam": 1,
    }  # fmt: skip
    assert page.locator(".source").all_inner_texts() == [LINE, "ki"]
    assert page.inner_text("#status").startswith("2 sentences, 1 run, ")
    page.fill("#beam", "99")  # the form's own check holds it back
    page.click(".go")
    assert page.evaluate("document.querySelector('#beam').validity.rangeOverflow")


HOSTILE = "<img src=x onerror=alert(1)> <script>document.title='run'</script> &amp; \"'{{7*7}}"


def test_hostile_text_is_shown_and_not_run(opened: Watched) -> None:
    page = opened.page
    translate(page, HOSTILE)
    assert page.inner_text(".source") == HOSTILE
    assert page.locator("#results img, #results script, b").count() == 0
    assert page.title() == "seq2seq: translate"


def test_right_to_left_and_other_scripts(opened: Watched) -> None:
    page = opened.page
    translate(page, "שלום עולם\n你好 世界")
    directions = "nodes => nodes.map(node => getComputedStyle(node).direction)"
    assert page.locator(".source").evaluate_all(directions) == ["rtl", "ltr"]


def test_what_goes_wrong_is_told(shared: Running, opened: Watched) -> None:
    page = opened.page
    translate(page, LINE)
    page.fill("#text", " \n ")
    page.click(".go")
    assert page.inner_text("[role=alert]") == "There is no sentence to translate."
    page.fill("#text", "ta\n" * (MAX_SENTENCES + 1))
    page.click(".go")
    page.locator("[role=alert]", has_text="sentences: List should have at most 32 items").wait_for()
    # The browser itself writes down every 422, and the 502 below.
    assert re.search("422", opened.complaints.pop())
    page.fill("#text", LINE)
    page.uncheck("[name=run] >> nth=0")
    page.uncheck("[name=run] >> nth=1")
    page.click(".go")
    assert page.inner_text("[role=alert]") == "Choose a run."
    page.check("[name=run] >> nth=0")
    page.route("**/translate", lambda route: route.fulfill(status=502, body="<h1>Bad gateway</h1>"))
    page.click(".go")
    page.locator("[role=alert]", has_text="it is no JSON, or was cut off (status 502).").wait_for()
    assert re.search("502", opened.complaints.pop())
    page.unroute("**/translate")
    translate(page, LINE)
    assert page.locator("[role=alert]").is_hidden()


def test_a_later_question_takes_the_place_of_an_earlier_one(shared: Running, opened: Watched) -> None:
    page, model = opened.page, shared.models["one"]
    model.gate.clear()
    page.fill("#text", "ta")
    page.click(".go")
    until(lambda: shared.desk.waiting == 1)
    page.fill("#text", "ki")
    page.click(".go")
    model.gate.set()
    page.wait_for_selector(".source")
    assert page.inner_text(".source") == "ki"


def test_a_narrow_window_does_not_scroll_sideways(shared: Running, visit: Callable[..., Watched]) -> None:
    page = visit(shared.url, viewport={"width": 360, "height": 700}, color_scheme="dark").page
    page.wait_for_selector("[name=run]")
    page.fill("#nbest", "1")
    page.fill("#beam", "1")
    translate(page, f"{LINE} {'wu' * 25}")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(22, 24, 27)"
