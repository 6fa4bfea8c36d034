"""Documents on the page and over HTTP: each sentence is translated with those before it, and says where it looked."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from browser import Watched
from pronouns import Stories, translator_of
from servers import running

from seq2seq_cli.data.glossary import Glossary
from seq2seq_cli.data.preceding import previous_lines
from seq2seq_cli.decoding.documents import lines_before
from seq2seq_cli.decoding.every_line import best_of_each
from seq2seq_cli.decoding.hypothesis import Hypothesis
from seq2seq_cli.decoding.in_document import last_of
from seq2seq_cli.decoding.sentences import Sentence
from seq2seq_cli.decoding.translator import Translator
from seq2seq_cli.report.views import TranslationView
from seq2seq_cli.serving.models import Served

CONTEXTS = ("none", "han-encoder", "han-decoder", "han-both", "concatenation")
LINES = ["ba kess", "paq", "ono lomm", "", "de kess"]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> list[Served]:
    """A model for each kind of context, with any weights, which are the same wherever the models are."""
    folder = tmp_path_factory.mktemp("served")
    for split, count in (("train", 20), ("dev", 3)):
        Stories.drawn(count, len(split)).write(folder, split)
    return [Served(context, translator_of(context, folder), "xx", "yy") for context in CONTEXTS]


def test_a_document_is_translated_as_a_file_is(served: list[Served]) -> None:
    with running(served) as shared:
        apart = shared.ask({"sentences": LINES, "alignment": True}).body["answers"]
        together = shared.ask({"sentences": LINES, "alignment": True, "document": True}).body["answers"]
        contexts = [run["context"] for run in shared.ask(path="/runs").body["runs"]]
    assert contexts == list(CONTEXTS)
    for each, one, other in zip(served, apart, together, strict=True):
        translator, context = each.translator, each.translator.config.reads_before
        alone = [found[0] for found in translator.search(translator.sentences(LINES))]
        before = None if context is None else lines_before(previous_lines(LINES), context.sentences)
        expected = best_of_each(translator, LINES, before=before).hypotheses
        for answer, wanted in ((one, alone), (other, expected)):
            scores = [sentence["translations"][0]["score"] for sentence in answer["sentences"]]
            assert scores == pytest.approx([hypothesis.score for hypothesis in wanted], abs=1e-5)
        back = [sentence["translations"][0]["alignment"].get("back") for sentence in other["sentences"]]
        assert not any("back" in sentence["translations"][0]["alignment"] for sentence in one["sentences"])
        sides = {"none": 0, "han-both": 2}.get(each.name, 1)
        assert [len(looked or ()) for looked in back] == [0, sides, sides, 0, 0]
        if sides:
            assert one["sentences"][2] != other["sentences"][2]
            assert back[2][0]["source"][0] == "[-2]"
            assert len(back[2][0]["heads"][0]["weights"]) == len(back[2][0]["target"])


def test_a_view_has_the_sentences_before(served: list[Served]) -> None:
    for each in served[1:]:
        settings = each.translator.config.decoding.with_beam(1)
        found = last_of(each.translator, LINES[:3], settings)
        told = TranslationView.of("x", LINES[2], found).to_json()
        back = told["back"]
        assert isinstance(back, list)
        assert [one["side"] for one in back] == {"han-encoder": ["encoder"], "han-both": ["encoder", "decoder"]}.get(
            each.name, ["decoder"]
        )
        assert "layers" not in TranslationView.of("x", LINES[2], found, layered=False).to_json()
    alone = served[1].translator.hypotheses([LINES[2]])[0][0]
    assert "back" not in TranslationView.of("x", LINES[2], alone).to_json()


def test_a_sentence_is_shown_without_what_it_does_not_need(
    served: list[Served], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An encoder that looks back needs no translation of the sentences before."""
    searched, search = list[str](), Translator.search

    def counted(self: Translator, sentences: Sequence[Sentence], *rest: Any, **named: Any) -> list[list[Hypothesis]]:
        searched.extend(sentence.line for sentence in sentences)
        return search(self, sentences, *rest, **named)

    monkeypatch.setattr(Translator, "search", counted)
    for each in served[1:]:
        searched.clear()
        last_of(each.translator, ["de kess", "", *LINES[:3]], each.translator.config.decoding)
        assert searched == (LINES[:3] if each.translator.config.model.back.decoder else LINES[2:3])


@pytest.mark.slow
def test_a_paragraph_on_the_page(served: list[Served], visit: Callable[..., Watched]) -> None:
    with running([served[1]]) as shared:
        watched = visit(shared.url)
        page = watched.page
        page.locator("#paragraphs").wait_for()
        page.check("#document")
        page.fill("#text", "\nBa kess. Paq.\nono lomm\n \n\nDe kess\n\n")
        with page.expect_request("**/translate") as asked:
            page.click(".go")
        page.locator("#status", has_text=re.compile(r"\d s$")).wait_for(timeout=20_000)
        told = asked.value.post_data_json
        assert told is not None
        assert told["document"]
        assert told["sentences"] == ["Ba kess.", "Paq.", "ono lomm", "", "De kess"]
        assert page.locator("#status").inner_text().startswith("4 sentences")
        shown = [
            answer.locator("caption", has_text="as the encoder saw them").count()
            for answer in page.locator(".answer").all()
        ]
        assert shown == [0, 1, 1, 0]
        assert watched.complaints == []


@pytest.mark.parametrize("copy", [False, True], ids=["", "copying"])
@pytest.mark.parametrize("context", CONTEXTS[1:])
def test_glossaries_and_confidence_go_by_the_sentences_before(context: str, copy: bool, tmp_path: Path) -> None:
    """What is read once more, for the confidence or the memory, is as likely as the search has found it; also where the
    translation obeys a glossary."""
    for split, count in (("train", 20), ("dev", 3)):
        Stories.drawn(count, len(split)).write(tmp_path, split)
    translator = translator_of(context, tmp_path, copy)
    term = translator.subwords.tgt.decode([8])
    (tmp_path / "terms.tsv").write_text(f"kess\t{term}\n", encoding="utf-8")
    before = lines_before(previous_lines(LINES), 3)
    plain = best_of_each(translator, LINES, before=before)
    obeying = translator.obeying(Glossary.read(tmp_path / "terms.tsv"))
    bound = best_of_each(obeying, LINES, before=before)
    for found in (plain, bound):
        written = [row for row, sentence in enumerate(found.sentences) if sentence.ids]
        sentences, hypotheses = (
            [found.sentences[row] for row in written],
            [found.hypotheses[row] for row in written],
        )
        log_probs = [float(each.sum()) for each in translator.forced_decoder.piece_log_probs(sentences, hypotheses)]
        assert log_probs == pytest.approx([one.log_prob for one in hypotheses], abs=1e-3)
    assert term in bound.hypotheses[0].text
    assert term in bound.hypotheses[4].text
