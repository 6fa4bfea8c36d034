"""The page of ``seq2seq report`` in a real browser: pointed at, moved through, and in the dark."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from browser import Watched
from pages import HOSTILE, SOURCE, told_comparison

from seq2seq_cli.report.document import write_report

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("told")
    write_report(told_comparison(folder), folder / "page.html")
    return (folder / "page.html").as_uri()


@pytest.fixture
def opened(visit: Callable[..., Watched], address: str) -> Watched:
    return visit(address)


def choose(watched: Watched, number: int) -> None:
    """The sentence of that number, as a user would."""
    watched.page.fill("#number", str(number))
    watched.page.keyboard.press("Enter")


def weights(watched: Watched, sentence: int, run: int) -> list[list[float]]:
    data = json.loads(watched.page.locator("#data").text_content() or "")
    found: list[list[float]] = data["sentences"][sentence]["runs"][run]["view"]["heads"][0]["weights"]
    return found


def glowing(watched: Watched) -> list[float]:
    """How strongly each source word is lit."""
    buttons = watched.page.locator("button[data-side=source]")
    found: list[float] = buttons.evaluate_all("all => all.map(one => Number(one.style.getPropertyValue('--weight')))")
    return found


def test_a_sentence_is_chosen_and_its_words_light_up(opened: Watched, address: str) -> None:
    page = opened.page
    choose(opened, 5)
    assert page.locator("dl.pair dd").first.inner_text() == SOURCE[4]
    assert page.inner_text("#place") == "Sentence 5 of 7; line 5 of the test set, 7 words."
    for word in (0, 3):
        page.hover(f"button[data-side=target][data-index='{word}']")
        assert glowing(opened) == weights(opened, 4, 0)[word]
    page.focus("button[data-side=target][data-index='0']")
    page.keyboard.press("ArrowRight")
    assert glowing(opened) == weights(opened, 4, 0)[1]
    page.click("#next")
    assert page.locator("dl.pair dd").first.inner_text() == SOURCE[5]
    page.check("input[name=run][value='1']")
    page.hover("button[data-side=target][data-index='2']")
    seen = page.locator("button[data-side=source].in-window").count()
    assert 0 < seen < len(SOURCE[5].split()) + 1
    assert "(p_t), 2 pieces to each side (D)" in page.inner_text(".told")
    page.check("input[name=run][value='2']")
    assert "No attention" in page.inner_text(".told")
    assert opened.requests == [address]
    assert opened.complaints == []


def test_a_hostile_sentence_is_shown_and_not_run(opened: Watched) -> None:
    dialogues: list[str] = []
    opened.page.on("dialog", lambda dialog: dialogues.append(dialog.message))
    choose(opened, 2)
    assert opened.page.locator("dl.pair dd").first.text_content() == HOSTILE
    shown = opened.page.locator("button[data-side=source] .word-text").all_text_contents()
    assert shown == [*HOSTILE.split(), "</s>"]
    assert opened.page.locator("img").count() == 0
    assert opened.page.locator("script").count() == 4
    assert dialogues == opened.complaints == []


def test_sentences_are_searched_and_ordered(opened: Watched) -> None:
    page = opened.page
    page.fill("#search", "SIEBEN")
    assert page.locator("#list option").count() == 2
    page.fill("#search", "nowhere")
    assert page.inner_text("#place") == "No sentence holds that."
    page.fill("#search", "")
    page.select_option("#order", "longest")
    assert page.locator("dl.pair dd").first.inner_text() == SOURCE[6]
    page.focus("#list")
    page.keyboard.press("ArrowDown")
    # Ten words of markup come second.
    assert page.locator("dl.pair dd").first.text_content() == HOSTILE
    page.select_option("#order", "bleu")
    differs = [
        float(line.split("differs by ")[1].split(" ")[0]) for line in page.locator("#list option").all_inner_texts()
    ]
    assert differs == sorted(differs, reverse=True)
    assert differs[0] > 0


def test_right_to_left_and_chinese(opened: Watched) -> None:
    choose(opened, 3)
    line = opened.page.locator("dl.pair dd").first
    assert line.evaluate("node => getComputedStyle(node).direction") == "rtl"
    first, second = (opened.page.locator(f"button[data-side=source][data-index='{i}']").bounding_box() for i in (0, 1))
    assert first is not None
    assert second is not None
    assert first["x"] > second["x"]
    choose(opened, 4)
    assert opened.page.locator("dl.pair dd").first.inner_text() == SOURCE[3]


PAPER = "getComputedStyle(document.body).backgroundColor"


def test_light_and_dark(visit: Callable[..., Watched], address: str) -> None:
    light = visit(address).page
    white = light.evaluate(PAPER)
    light.click("text=Dark")
    dark = light.evaluate(PAPER)
    assert dark != white == "rgb(255, 255, 255)"
    light.click("text=Light")
    assert light.evaluate(PAPER) == white
    assert visit(address, color_scheme="dark").page.evaluate(PAPER) == dark


def test_paper_has_no_dead_controls(opened: Watched) -> None:
    opened.page.emulate_media(media="print")
    for selector in ("#search", "#next", "#list", "nav", "[data-theme-toggle]", "input[type=radio]"):
        assert not opened.page.locator(selector).first.is_visible(), selector
    for selector in (".chart svg", ".matrix", ".translations"):
        assert opened.page.locator(selector).first.is_visible(), selector


def test_without_javascript_there_are_tables_and_charts(visit: Callable[..., Watched], address: str) -> None:
    page = visit(address, java_script_enabled=False).page
    assert page.locator("#summary table").first.locator("tbody tr").count() == 3
    assert page.locator(".chart svg").first.is_visible()
    assert page.get_by_text("the page needs JavaScript").is_visible()
    assert not page.locator("#browser").is_visible()


def test_a_phone_scrolls_downwards_only(visit: Callable[..., Watched], address: str) -> None:
    page = visit(address, viewport={"width": 360, "height": 740}).page
    assert page.evaluate("document.documentElement.scrollWidth") == 360


@pytest.mark.parametrize("width", [1024, 1100, 1300])
def test_all_scores_are_seen_on_a_laptop(width: int, visit: Callable[..., Watched], address: str) -> None:
    page = visit(address, viewport={"width": width, "height": 740}).page
    assert page.evaluate("(frame => frame.scrollWidth <= frame.clientWidth)(document.querySelector('#summary .wide'))")


def test_keys_alone_reach_everything(opened: Watched) -> None:
    page = opened.page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "To the results"
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "sentences"
    reached = []
    for _ in range(8):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.dataset.side"))
    # From the list to the switch between runs, and to the words.
    assert reached[:5] == ["search", "number", "order", "next", "list"]
    assert reached[6:8] == ["source", "target"]
