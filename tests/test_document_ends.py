"""Documents at their ends: lines that are too long, empty or fail, documents of a single sentence, several layers and runs."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from comparisons import SOURCE, WORSE, comparison, evaluation
from pronouns import Stories, translator_of
from resampling import resamples

from seq2seq_cli.config.context import Context
from seq2seq_cli.data.neighbours import Neighbour
from seq2seq_cli.data.pairs import Lines
from seq2seq_cli.data.preceding import previous_lines
from seq2seq_cli.decoding import every_line
from seq2seq_cli.decoding.documents import InContext, lines_before
from seq2seq_cli.decoding.every_line import Earlier, LineGroup, Remark, translate_every_line
from seq2seq_cli.decoding.forced_decoding import Scoring
from seq2seq_cli.decoding.hypothesis import Hypothesis
from seq2seq_cli.decoding.sentences import Sentence
from seq2seq_cli.decoding.translator import Translator
from seq2seq_cli.decoding.wanted import Wanted
from seq2seq_cli.evaluation import aligner
from seq2seq_cli.evaluation.aligner import aligned
from seq2seq_cli.evaluation.contexts import Control, before_each_line
from seq2seq_cli.evaluation.systems import p_against_real
from seq2seq_cli.kinds.contexts import CONTEXTS

READS = Context(CONTEXTS["han-both"], 3, 100)
TRANSFORMER: dict[str, dict[str, object]] = {
    "model": {
        "encoder": "transformer",
        "decoder": "transformer",
        "encoder_layers": 2,
        "decoder_layers": 2,
        "feed_forward_size": 16,
    },
    "attention": {"kind": "multi-head", "heads": 2},
    "self_attention": {"heads": 2},
}


def test_a_sentence_before_is_cut_off_as_in_training() -> None:
    """And so is its translation; only the nearest ones are read."""
    sentences = [Sentence("a", [7, 8, 9]), Sentence("b", [5, 6]), Sentence("c", [4])]
    text = InContext(sentences, [[], [0], [1, 0]], READS._replace(longest=2), {0: (11, 12, 13), 1: (14,)})
    assert text.of(2).before == (Neighbour((5, 6), (14,)), Neighbour((7, 8), (11, 12)))
    assert lines_before([-1, 0, 1], 1) == [[], [0], [1]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The text."""
    made = tmp_path_factory.mktemp("stories")
    for split, count in (("train", 20), ("dev", 3)):
        Stories.drawn(count, len(split)).write(made, split)
    return made


@pytest.fixture(scope="module", params=["han-encoder", "han-both", "concatenation"])
def translator(request: pytest.FixtureRequest, folder: Path) -> Translator:
    """Which looks back."""
    return translator_of(request.param, folder)


def in_group(translator: Translator, lines: Sequence[str], earlier: Sequence[str] = ()) -> list[Hypothesis]:
    """The best translation of each of these lines."""
    group = LineGroup(len(earlier), lines, [Earlier(line) for line in earlier])
    wanted = Wanted(translator.config.decoding)
    return [found[0] for found in translate_every_line(translator, group, wanted, lambda _: None)]


@pytest.mark.parametrize("most", ["MOST_PIECES", "MOST_CHARACTERS"])
def test_a_line_that_is_left_empty_stands_before_no_other(
    most: str, translator: Translator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And it does not end a document, however much too long it is."""
    lines, long = ["ba kess", "paq sev qit rux paq sev qit rux", "ono lomm"], 1
    expected = in_group(translator, [lines[0], lines[2]])
    assert expected[1].log_prob != pytest.approx(in_group(translator, [lines[2]])[0].log_prob, abs=1e-4)
    monkeypatch.setattr(every_line, most, {"MOST_PIECES": 4, "MOST_CHARACTERS": 12}[most])
    found = in_group(translator, lines)
    assert found[long].text == ""
    assert found[2].log_prob == pytest.approx(expected[1].log_prob, abs=1e-5)
    in_parts = in_group(translator, lines[2:], lines[:2])
    assert in_parts[0].log_prob == pytest.approx(expected[1].log_prob, abs=1e-5)


def test_given_pairs_that_lack_a_side_stand_before_no_other(translator: Translator) -> None:
    """As in training; where both sides are blank, a document ends."""
    sources, targets = ["ba kess", "paq", "ono lomm"], ["bor ruk", "", "er siv"]
    assert previous_lines(sources, targets) == [-1, 0, 0]
    assert previous_lines(["a", "", "b", " ", "c"], ["A", "", "", "", "C"]) == [-1, 0, -1, -1, -1]
    [*_, found] = translator.score(sources, targets, previous=previous_lines(sources, targets))
    [_, expected] = translator.score(sources[::2], targets[::2], previous=[-1, 0])
    assert found.log_prob == pytest.approx(expected.log_prob, abs=1e-5)
    # Also where somebody says that it does.
    [*_, found] = translator.score(sources[1:], targets[1:], previous=[-1, 0])
    alone = translator.score(sources[2:], targets[2:])[0]
    if translator.config.model.back.decoder:
        assert found.log_prob == pytest.approx(alone.log_prob, abs=1e-5)
    else:
        assert found.log_prob != pytest.approx(alone.log_prob, abs=1e-5)


def test_a_model_that_fails_on_every_line_of_a_later_group_is_told_of(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lines before it are tried again, but are no lines of the group."""
    translator, said = translator_of("han-both", folder), list[Remark]()

    def search(_: Translator, sentences: Sequence[Sentence], *__: object) -> list[list[Hypothesis]]:
        raise MemoryError("none left")

    monkeypatch.setattr(Translator, "search", search)
    group = LineGroup(2, ["ono lomm", "paq"], [Earlier("ba kess"), Earlier("de kess")])
    with pytest.raises(MemoryError, match="none left"):
        translate_every_line(translator, group, Wanted(translator.config.decoding), said.append)
    assert [remark.text.split(" made")[0] for remark in said] == ["line 3", "line 4"]


def test_pairs_are_aligned_a_few_at_a_time_as_together(translator: Translator, monkeypatch: pytest.MonkeyPatch) -> None:
    """With those before them, also where these are others' last ones."""
    sources = ["de kess", "", "ba kess", "paq", "ono lomm", "qit", "ono nill"]
    targets = ["dun ruk", "", "bor ruk", "", "er siv", "xom", "er vaz"]
    lines = Lines(sources, targets, previous=previous_lines(sources, targets))

    def weights(lines: Lines) -> list[np.ndarray]:
        return [pair.grid.weights_TS for pair in aligned(lines, translator, None, "", posterior=True)]

    together, alone = weights(lines), weights(replace(lines, previous=None))
    for few in (1, 2, 3):
        monkeypatch.setattr(aligner, "CHUNK", few)
        for one, other in zip(weights(lines), together, strict=True):
            assert one == pytest.approx(other, abs=1e-5)
    assert any(np.abs(one - other).max() > 1e-3 for one, other in zip(together, alone, strict=True))


@pytest.mark.parametrize("context", ["none", "han-encoder", "han-both"])
def test_each_layer_that_looks_at_the_source_aligns(context: str, folder: Path) -> None:
    """And not one that looks at the sentences before."""
    translator = translator_of(context, folder, layers=TRANSFORMER)
    lines = Lines(["ba kess", "ono lomm"], ["bor ruk", "er siv"], previous=[-1, 0])
    for posterior in (False, True):
        every = list(aligned(lines, translator, None, "", posterior, by_layer=True))
        assert [len(pair.by_layer) for pair in every] == [2, 2]
    scored = translator.score(lines.src, lines.tgt, Scoring(by_layer=True), lines.previous)
    assert all(one.attentions is not None and len(one.attentions.cross) == 2 for one in scored)


def test_shuffled_sentences_are_as_many_also_of_short_documents() -> None:
    """They come from more than one document where one is too short, and never from the line's own."""
    documents = [["a", "b", "c", "d", "e"], ["f"], ["g", "h"], ["i"], ["\u200b"]]
    src = [line for document in documents for line in ("", *document)]
    of = {line: number for number, document in enumerate(documents) for line in document}
    lines = Lines(src, src, previous=previous_lines(src))
    real, others = (before_each_line(lines, READS, control) for control in ("real", "shuffled"))
    assert real is not None
    assert others is not None
    for line, own, strange in zip(src, real, others, strict=True):
        if line.isalpha():
            assert len(strange) == len(own)
            assert len(set(strange)) == len(own)
            assert all(src[other].isalpha() and of[src[other]] != of[line] for other in strange)


@resamples(500)
def test_another_context_is_tested_against_the_real_one_of_the_same_run() -> None:
    """And not against another run, nor where its run has not been evaluated with the real one."""
    said: list[tuple[str, list[str], Control | None]] = [
        ("a", WORSE, None), ("b", SOURCE, "real"), ("b", SOURCE, "shuffled"), ("b", WORSE, "none"), ("c", WORSE, "none"),
    ]  # fmt: skip
    every = comparison(*(replace(evaluation(run, lines), control=control) for run, lines, control in said))
    found = p_against_real(every, SOURCE, "13a")
    assert list(found) == [2, 3]
    assert found[2].chrf == 1
    assert found[3].chrf < 0.05
    first = replace(every, evaluations=every.evaluations[1:4], significance=every.significance[:3])
    assert list(p_against_real(first, SOURCE, "13a").values()) == first.significance[1:]
