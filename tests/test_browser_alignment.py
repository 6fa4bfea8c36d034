"""The alignment of a page, pointed at and moved through in a real browser."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from browser import Watched

from seq2seq_cli.decoding.hypothesis import Alignment, Hypothesis
from seq2seq_cli.report.assets import asset
from seq2seq_cli.report.views import TranslationView

pytestmark = pytest.mark.slow

# Two pieces to the first target word; columns: ich, habe, </s>.
WEIGHTS = np.array([[0.5, 0.25, 0.25], [0.75, 0.25, 0.0], [0.0, 0.125, 0.875]], dtype=np.float32)
MERGED = [[0.625, 0.25, 0.125], [0.0, 0.125, 0.875]]


def view(source: tuple[str, ...] = ("▁ich", "▁habe", "</s>"), local: bool = False) -> TranslationView:
    alignment = Alignment(source, ("▁I", "'ve", "</s>"), WEIGHTS)
    if local:
        alignment = Alignment(source, ("▁I", "'ve", "</s>"), WEIGHTS, np.array([0.0, 0.5, 2.0]), 1)
    return TranslationView.of("x", "", Hypothesis("I've", ("▁I", "'ve"), -1.0, -1.0, alignment))


@pytest.fixture
def shown(visit: Callable[..., Watched], tmp_path: Path) -> Callable[[TranslationView], Watched]:
    """A page with nothing but one alignment."""

    def opened(what: TranslationView) -> Watched:
        data = json.dumps(what.to_json(), ensure_ascii=True, allow_nan=False).replace("<", "\\u003c")
        script = f"{asset('alignment.js')}\ndocument.body.append(alignmentOf({data}));"
        path = tmp_path / "page.html"
        text = f"<!doctype html><style>{asset('page.css')}</style><body><script>{script}</script>"
        path.write_text(text, encoding="utf-8")
        return visit(path.as_uri())

    return opened


@pytest.fixture
def offered(visit: Callable[..., Watched], tmp_path: Path) -> Callable[..., Watched]:
    """A page with an alignment whose layers and heads can be chosen; ``ask`` is what tells them, in JavaScript."""

    def opened(what: TranslationView, layers: dict[str, object], ask: str) -> Watched:
        data, counts = (json.dumps(each, allow_nan=False) for each in (what.to_json(), layers))
        script = (
            f"{asset('alignment.js')}\ndocument.body.append(alignmentOf({data}, {{ layers: {counts}, ask: {ask} }}));"
        )
        path = tmp_path / "page.html"
        path.write_text(f"<!doctype html><style>{asset('page.css')}</style><body><script>{script}</script>")
        return visit(path.as_uri())

    return opened


def lit(watched: Watched, side: str) -> list[str]:
    """The numbers under the words of ``side``."""
    return watched.page.locator(f"button[data-side={side}] .word-weight").all_inner_texts()


def test_while_nobody_knows_the_layers_the_alignment_is_shown(visit: Callable[..., Watched], tmp_path: Path) -> None:
    """As where a page asks for translations before it has been told what is served."""
    data = json.dumps(view().to_json(), allow_nan=False)
    path = tmp_path / "page.html"
    script = f"{asset('alignment.js')}\ndocument.body.append(alignmentOf({data}, {{ layers: undefined }}));"
    path.write_text(f"<!doctype html><style>{asset('page.css')}</style><body><script>{script}</script>")
    page = visit(path.as_uri()).page
    assert page.locator("table.matrix").count() == 1
    assert page.locator(".attention-choice").count() == 0


def test_words_carry_the_merged_weights() -> None:
    head = view().head
    assert head is not None
    assert head.weights == MERGED
    assert head.to_json() == {"weights": MERGED}


def test_a_window_is_told_in_words() -> None:
    head = view(local=True).head
    assert head is not None
    # Piece 1 sees columns 0 and 1, piece 2 too (0.5 ± 1); </s> sees 1 and 2.
    assert head.windows == [[(0, 1)], [(1, 2)]]
    assert head.centres == [0.25, 2.0]
    assert head.radius == 1


def test_without_attention_there_are_words_and_no_head() -> None:
    bare = TranslationView.of("x", "ich habe", Hypothesis("I've", ("▁I", "'ve"), -1.0, -1.0, None))
    assert (bare.source, bare.target, bare.head) == (("ich", "habe", "</s>"), ("I've", "</s>"), None)
    assert bare.to_json()["heads"] == []


def test_what_is_no_number_is_null() -> None:
    broken = Alignment(("▁a", "</s>"), ("</s>",), np.array([[np.nan, np.inf]], dtype=np.float32))
    told = TranslationView.of("x", "a", Hypothesis("", (), 0.0, 0.0, broken)).to_json()
    assert json.loads(json.dumps(told, allow_nan=False))["heads"] == [{"weights": [[None, None]]}]


def test_pointing_at_a_word_lights_up_the_other_side(shown: Callable[[TranslationView], Watched]) -> None:
    watched = shown(view())
    page = watched.page
    page.hover("button[data-side=target][data-index='0']")
    assert lit(watched, "source") == ["63%", "25%", "13%"]
    glow = "button => Number(button.style.getPropertyValue('--weight'))"
    buttons = page.locator("button[data-side=source]").element_handles()
    assert [button.evaluate(glow) for button in buttons] == MERGED[0]
    assert page.inner_text(".told") == "“I've” looks at “ich” 63%, “habe” 25%, “</s>” 13%."
    assert page.locator("tr.is-current th").inner_text() == "I've"
    page.hover("button[data-side=source][data-index='1']")
    assert lit(watched, "target") == ["25%", "13%"]
    assert lit(watched, "source") == ["", "", ""]
    page.hover("td[data-target='1'][data-source='2']")
    assert lit(watched, "source") == ["0%", "13%", "88%"]
    assert page.locator("thead th.is-current").inner_text() == "</s>"
    page.mouse.move(0, 0)
    assert lit(watched, "source") == ["", "", ""]
    assert watched.complaints == []


def test_keys_move_between_words(shown: Callable[[TranslationView], Watched]) -> None:
    watched = shown(view())
    page = watched.page
    page.keyboard.press("Tab")
    assert lit(watched, "target") == ["63%", "0%"]
    page.keyboard.press("ArrowRight")
    assert lit(watched, "target") == ["25%", "13%"]
    page.keyboard.press("ArrowDown")  # to the target word that looks at it most
    assert page.evaluate("document.activeElement.firstChild.textContent") == "I've"
    page.keyboard.press("End")
    assert lit(watched, "source") == ["0%", "13%", "88%"]
    page.keyboard.press("ArrowRight")  # the end is the end
    assert page.get_attribute("button[data-side=target][data-index='1']", "aria-pressed") == "true"
    page.keyboard.press("Escape")
    assert lit(watched, "source") == ["", "", ""]


def test_outside_its_window_a_word_has_no_number(shown: Callable[[TranslationView], Watched]) -> None:
    watched = shown(view(local=True))
    watched.page.hover("button[data-side=target][data-index='0']")
    assert lit(watched, "source") == ["63%", "25%", ""]
    assert watched.page.locator(".in-window").count() == 2
    assert "around source word 1.3 (p_t), 1 pieces to each side (D)" in watched.page.inner_text(".told")
    assert watched.page.locator("td.unseen").count() == 2


def test_a_model_without_attention_may_show_how_its_source_looks_at_itself(offered: Callable[..., Watched]) -> None:
    bare = TranslationView.of("x", "ich habe", Hypothesis("I've", ("▁I", "'ve"), -1.0, -1.0, None))
    rows = [[0.5, 0.25, 0.25], [0.75, 0.125, 0.125], [0, 0, 1]]
    told = json.dumps({"cross_attention": [], "self_attention": [{"mean": {"weights": rows}, "heads": []}]})
    layers = {"cross_attention": [], "self_attention": [0], "masked_self_attention": [], "shown": 1}
    watched = offered(bare, layers, f"async () => ({told})")
    page = watched.page
    assert "No attention" in page.inner_text(".alignment .told")
    # One layer without heads: only which attention is to be chosen.
    assert page.locator(".attention-choice label:visible select").evaluate_all("all => all.map(one => one.name)") == [
        "attention"
    ]
    page.select_option("select[name=attention]", "self_attention")
    page.locator("caption", has_text="Self-attention. Weights in percent; a row a source word that looks").wait_for()
    page.hover("button[data-side=target][data-index='1']")
    assert lit(watched, "source") == ["75%", "13%", "13%"]
    assert page.inner_text(".told[role=status]") == "“habe” looks at “ich” 75%, “habe” 13%, “</s>” 13%."
    page.select_option("select[name=attention]", "cross_attention")
    page.locator(".told", has_text="No attention").wait_for()
    assert watched.complaints == []


def test_a_translation_looks_back_at_itself(offered: Callable[..., Watched]) -> None:
    bare = TranslationView.of("x", "ich habe", Hypothesis("I've", ("▁I", "'ve"), -1.0, -1.0, None))
    rows = [[1, 0], [0.25, 0.75]]
    of_all = {"weights": rows, "windows": [[[0, 0]], [[0, 1]]]}
    near = of_all | {"centres": [0, 1], "radius": 1}
    told = json.dumps({"cross_attention": [], "self_attention": [],
                       "masked_self_attention": [{"mean": of_all, "heads": []}, {"mean": near, "heads": []}]})  # fmt: skip
    layers = {"cross_attention": [], "self_attention": [], "masked_self_attention": [0, 0], "shown": 1}
    watched = offered(bare, layers, f"async () => ({told})")
    page = watched.page
    page.select_option("select[name=attention]", "masked_self_attention")
    page.locator(
        "caption", has_text="Masked self-attention, layer 2 of 2. Weights in percent; a row a target word"
    ).wait_for()
    assert page.locator("button[data-side=source] .word-text").all_inner_texts() == ["<s>", "I've"]
    page.hover("button[data-side=target][data-index='1']")
    told_of = "“I've” looks at “I've” 75%, “<s>” 25%."
    assert page.inner_text(".told[role=status]") == f"{told_of} Its window reaches 1 pieces back (D)."
    page.select_option("select[name=layer]", "1")
    page.locator("caption", has_text="Dotted: cannot be seen.").wait_for()
    page.hover("button[data-side=target][data-index='1']")
    assert page.inner_text(".told[role=status]") == told_of
    assert page.locator("td.unseen").count() == 1
    assert watched.complaints == []


def test_the_last_choice_is_shown_whichever_answer_comes_last(offered: Callable[..., Watched]) -> None:
    def layer(weight: float) -> dict[str, object]:
        return {"mean": {"weights": [[weight, 1 - weight, 0]] * 2}, "heads": []}

    told = json.dumps({"cross_attention": [layer(0.25), layer(0.5), layer(0.75)], "self_attention": []})
    # The first question is answered after the second.
    ask = f"(() => {{ let wait = 400; return () => new Promise((tell) => {{ setTimeout(tell, wait, {told}); wait = 0; }}); }})()"
    watched = offered(
        view(), {"cross_attention": [0, 0, 0], "self_attention": [], "masked_self_attention": [], "shown": 2}, ask
    )
    page = watched.page
    assert page.input_value("select[name=layer]") == "2"
    page.select_option("select[name=layer]", "1")
    page.select_option("select[name=layer]", "3")
    page.locator("caption", has_text="Layer 3 of 3.").wait_for()
    page.wait_for_timeout(600)
    page.hover("button[data-side=target][data-index='0']")
    assert lit(watched, "source") == ["75%", "25%", "0%"]
    assert page.locator("[aria-busy]").count() == 0
    # Back to the layer that the answer itself was of, without a question.
    page.select_option("select[name=layer]", "2")
    page.locator("caption", has_text="Layer 2 of 3.").wait_for()
    page.hover("button[data-side=target][data-index='0']")
    assert lit(watched, "source") == ["63%", "25%", "13%"]


def test_right_to_left_runs_right_to_left(shown: Callable[[TranslationView], Watched]) -> None:
    page = shown(view(("▁שלום", "▁עולם", "</s>"))).page
    first, second = (page.locator(f"button[data-side=source][data-index='{i}']").bounding_box() for i in (0, 1))
    assert first is not None
    assert second is not None
    assert first["x"] > second["x"]
    page.focus("button[data-side=source][data-index='0']")
    page.keyboard.press("ArrowLeft")
    assert page.evaluate("document.activeElement.dataset.index") == "1"
