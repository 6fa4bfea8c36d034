"""Only what is asked for is made: each line is tokenised once, and texts and alignments are those that somebody reads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from commands import Terminal
from corpora import sentences, translation, write_lines
from servers import running

from seq2seq_cli.data.subword import Subword
from seq2seq_cli.decoding import spelling
from seq2seq_cli.decoding.every_line import best_of_each
from seq2seq_cli.decoding.forced_decoding import Scoring
from seq2seq_cli.decoding.hypothesis import Alignment, Hypothesis
from seq2seq_cli.decoding.sentences import BEST, BEST_TEXT, EVERYTHING, Details
from seq2seq_cli.decoding.translator import Translator
from seq2seq_cli.runs import Run
from seq2seq_cli.serving.models import Served

LINES = sentences(20, seed=31)
TARGETS = [translation(line) for line in LINES]


class Counts:
    """Lines tokenised, texts decoded and alignments made since the last look."""

    def __init__(self) -> None:
        self.made: Counter[str] = Counter()

    def look(self) -> dict[str, int]:
        made, self.made = dict(self.made), Counter()
        return made


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> Counts:
    counts = Counts()
    encode, written_pieces, decode = Subword.encode, Subword.written_pieces, Subword.decode

    def counted_encode(self: Subword, lines: list[str], threads: int = 1) -> list[list[int]]:
        counts.made["encoded"] += len(lines)
        return encode(self, lines, threads)

    def counted_written_pieces(self: Subword, line: str) -> list[str]:
        counts.made["encoded"] += 1
        return written_pieces(self, line)

    def counted_decode(self: Subword, ids: list[int]) -> str:
        counts.made["texts"] += 1
        return decode(self, ids)

    def counted_alignment(*arguments: object, **named: object) -> Alignment:
        counts.made["alignments"] += 1
        return Alignment(*arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(Subword, "encode", counted_encode)
    monkeypatch.setattr(Subword, "written_pieces", counted_written_pieces)
    monkeypatch.setattr(Subword, "decode", counted_decode)
    monkeypatch.setattr(spelling, "Alignment", counted_alignment)
    return counts


@pytest.fixture(scope="module")
def translator(trained_run: Run) -> Translator:
    return Translator.load(trained_run.directory, "cpu", "fp32")


@pytest.fixture
def texts(tmp_path: Path) -> list[Path]:
    source, target = tmp_path / "text.xx", tmp_path / "text.yy"
    write_lines(source, LINES)
    write_lines(target, TARGETS)
    return [source, target]


@pytest.mark.parametrize(
    ("options", "made"),
    [
        ([], {"encoded": 20, "texts": 20}),
        (["--scores"], {"encoded": 20, "texts": 20}),
        (["--beam", 5, "--nbest", 3], {"encoded": 20, "texts": 60}),
        (["--pieces"], {"encoded": 20}),
        (["--sample"], {"encoded": 20, "texts": 20}),
        (["--replace-unk"], {"encoded": 20, "texts": 20}),
    ],
    ids=str,
)
def test_translate_makes_what_it_writes(
    options: list[object],
    made: dict[str, int],
    counts: Counts,
    texts: list[Path],
    terminal: Terminal,
    trained_run: Run,
    tmp_path: Path,
) -> None:
    words = ["translate", texts[0], "--run", trained_run.directory, *options]
    printed = terminal.ok(*words).out
    assert counts.look() == made
    terminal.ok(*words, "-o", tmp_path / "out")
    assert counts.look() == made
    assert (tmp_path / "out").read_text(encoding="utf-8") == printed


def test_score_and_align_make_what_they_write(
    counts: Counts, texts: list[Path], terminal: Terminal, trained_run: Run, tmp_path: Path
) -> None:
    run = ["--run", trained_run.directory]
    terminal.ok("score", *texts, *run)
    assert counts.look() == {"encoded": 40}
    terminal.ok("translate", texts[0], *run, "--pieces", "-o", tmp_path / "pieces")
    assert counts.look() == {"encoded": 20}
    terminal.ok("score", texts[0], tmp_path / "pieces", *run, "--pieces")
    assert counts.look() == {"encoded": 20}
    terminal.ok("align", *run, "--source", texts[0], "--target", texts[1])
    assert counts.look() == {"encoded": 40, "alignments": 20}


def test_python_makes_what_it_is_asked_for(counts: Counts, translator: Translator) -> None:
    decoding = translator.config.decoding.model_copy(update={"beam": 4})
    translator.translate(LINES, decoding)
    assert counts.look() == {"encoded": 20, "texts": 20}
    translator.hypotheses(LINES, decoding)
    assert counts.look() == {"encoded": 20, "texts": 80, "alignments": 80}
    translator.search(translator.sentences(LINES, Details(best=2, text=False)), decoding)
    assert counts.look() == {"encoded": 20, "alignments": 40}
    best_of_each(translator, LINES, decoding)
    assert counts.look() == {"encoded": 20, "texts": 20, "alignments": 20}
    best_of_each(translator, LINES, decoding, details=BEST_TEXT)
    assert counts.look() == {"encoded": 20, "texts": 20}
    translator.score(LINES, TARGETS)
    assert counts.look() == {"encoded": 40, "texts": 20, "alignments": 20}
    translator.score(LINES, TARGETS, Scoring(text=False))
    assert counts.look() == {"encoded": 40, "alignments": 20}


@pytest.mark.parametrize("posterior", [False, True])
def test_a_line_with_unknown_words_is_looked_at_once_more_where_they_are_shown(
    posterior: bool, counts: Counts, translator: Translator
) -> None:
    lines = ["ta ΩΩ", "nu"]
    decoding = translator.config.decoding.model_copy(update={"beam": 3})
    translator.translate(lines, decoding)
    assert counts.look() == {"encoded": 2, "texts": 2}
    translator.hypotheses(lines, decoding)
    assert counts.look() == {"encoded": 3, "texts": 6, "alignments": 6}
    translator.score(lines, lines, Scoring(text=False, posterior=posterior))
    assert counts.look() == {"encoded": 6, "alignments": 2}


def test_eval_makes_one_translation_a_line(counts: Counts, terminal: Terminal, trained_run: Run) -> None:
    terminal.ok("eval", trained_run.directory)
    assert counts.look() == {"encoded": 24, "texts": 24, "alignments": 24}


@pytest.fixture(scope="module")
def served(translator: Translator) -> list[Served]:
    return [Served("one", translator, "xx", "yy")]


@pytest.mark.parametrize(
    ("question", "made"),
    [
        ({}, {"encoded": 20, "texts": 20}),
        ({"nbest": 3}, {"encoded": 20, "texts": 60}),
        ({"beam": 4, "nbest": 2, "alignment": True}, {"encoded": 20, "texts": 40, "alignments": 40}),
    ],
    ids=str,
)
def test_the_server_makes_what_it_answers(
    question: dict[str, object], made: dict[str, int], counts: Counts, served: list[Served]
) -> None:
    with running(served) as server:
        assert server.ask({"sentences": LINES} | question).status == 200
    assert counts.look() == made


def stripped(hypotheses: list[list[Hypothesis]], details: Details) -> Iterator[tuple[object, ...]]:
    """What ``details`` ask for, of hypotheses that have everything."""
    for found in hypotheses:
        for one in found[: details.best]:
            weights = None if one.alignment is None or not details.alignment else one.alignment.weights_TS.tolist()
            yield one.text if details.text else "", one.pieces, one.log_prob, one.score, weights


@pytest.mark.parametrize("beam", [1, 3])
@pytest.mark.parametrize(
    "details", [BEST, BEST_TEXT, Details(text=False), Details(best=2, alignment=False), Details(best=99)], ids=str
)
def test_what_is_made_is_the_same_whatever_else_is(beam: int, details: Details, translator: Translator) -> None:
    lines = [*LINES[:6], "", "ta ΩΩ nu"]
    decoding = translator.config.decoding.model_copy(update={"beam": beam})
    everything, some = (
        translator.hypotheses(lines, decoding),
        translator.search(translator.sentences(lines, details), decoding),
    )
    assert list(stripped(some, details)) == list(stripped(everything, details))


def test_sentences_of_one_batch_may_ask_for_different_things(translator: Translator) -> None:
    asked = [Details(best=1, alignment=False), EVERYTHING, Details(best=2, text=False)]
    read = [translator.sentences([line], details)[0] for line, details in zip(LINES, asked, strict=False)]
    together = translator.search(read)
    everything = translator.hypotheses(LINES[:3])
    for found, whole, details in zip(together, everything, asked, strict=True):
        assert len(found) == min(len(whole), details.best or len(whole))
        for one, other in zip(found, whole, strict=False):
            assert (one.pieces, one.score) == (other.pieces, other.score)
            assert one.text == (other.text if details.text else "")
            assert (one.alignment is None) == (not details.alignment)
            if one.alignment is not None and other.alignment is not None:
                np.testing.assert_array_equal(one.alignment.weights_TS, other.alignment.weights_TS)
