"""A text of any length, translated a group at a time by any number of processes: every line once, in its order."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from io import BytesIO
from itertools import zip_longest
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from commands import Terminal
from hypothesis import given, settings
from hypothesis import strategies as st

from seq2seq_cli.config.sections import DecodingConfig
from seq2seq_cli.decoding import stream
from seq2seq_cli.decoding.every_line import Matter, Remark
from seq2seq_cli.decoding.files import Answered, Ends, TextTranslation, read_text
from seq2seq_cli.decoding.hypothesis import Hypothesis
from seq2seq_cli.decoding.sentences import Details, Sentence
from seq2seq_cli.decoding.translator import Sampling, Translator
from seq2seq_cli.decoding.wanted import Wanted
from seq2seq_cli.ranks import ALONE, Ranks
from seq2seq_cli.runs import Run

PLAIN = Wanted(DecodingConfig())


class Shouting:
    """Translates a line into capitals, a letter a piece, with the number of the line behind it."""

    config = SimpleNamespace(data=SimpleNamespace(max_length=4), reads_before=None)

    def sentences(self, lines: Sequence[str], details: Details, first: int) -> list[Sentence]:
        return [Sentence(line, list(map(ord, line)), details, first + i) for i, line in enumerate(lines)]

    def search(
        self, sentences: Sequence[Sentence], decoding: DecodingConfig, sampling: Sampling | None
    ) -> list[list[Hypothesis]]:
        return [[Hypothesis(f"{each.line.upper()}{each.number}", (), 0.0, -1.5, None)] for each in sentences]


SHOUTING = cast(Translator, Shouting())


@dataclass(frozen=True)
class Threads(Ranks):
    """Processes that are threads, each with its place at one table."""

    table: list[Any] = field(default_factory=list)
    barrier: threading.Barrier | None = None

    def gather(self, done: Sequence[Any]) -> list[Any]:
        assert self.barrier is not None
        self.table[self.rank] = list(done)
        self.barrier.wait(20)
        gathered = [each for turn in zip_longest(*self.table) for each in turn if each is not None]
        self.barrier.wait(20)
        return gathered


def heard_by(size: int, lines: list[str], done: int, wanted: Wanted = PLAIN) -> list[list[Answered]]:
    """What each of so many processes hears."""
    table, barrier = [None] * size, threading.Barrier(size)

    def work(rank: int) -> list[Answered]:
        ranks = Threads(rank, size, table=table, barrier=barrier)
        return list(TextTranslation(SHOUTING, wanted, lambda remark: None, ranks).in_groups(lines, done))

    with ThreadPoolExecutor(size) as pool:
        return list(pool.map(work, range(size)))


@given(count=st.integers(0, 23), size=st.integers(1, 4), group=st.integers(1, 5), done_groups=st.integers(0, 3))
@settings(max_examples=40)
def test_every_process_hears_every_line_in_its_order(count: int, size: int, group: int, done_groups: int) -> None:
    lines = [f"l{i}" for i in range(count)]
    done = min(count, done_groups * group)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stream, "WAITING", group)
        heard = heard_by(size, lines, done)
    assert all(each == heard[0] for each in heard)
    assert "".join(answered.text for answered in heard[0]) == "".join(f"L{i}{i}\n" for i in range(done, count))
    assert [answered.lines for answered in heard[0]] == [
        min(group, count - first) for first in range(done, count, group)
    ]


def test_lines_are_answered_as_they_come() -> None:
    text = TextTranslation(SHOUTING, PLAIN, lambda remark: None, ALONE)
    asked = iter(["one", "two"])
    may_go_on = threading.Semaphore(1)

    def typed() -> Any:
        for line in asked:
            assert may_go_on.acquire(timeout=20)
            yield line

    answers = text.as_they_come(typed())
    assert next(answers) == Answered(1, "ONE0\n")
    may_go_on.release()
    assert next(answers) == Answered(1, "TWO1\n")
    assert list(answers) == []


@pytest.mark.parametrize(
    ("wanted", "line"),
    [
        (PLAIN, "La Ro\n"),
        (Wanted(DecodingConfig(), numbered=True), "7\t-0.500000\tLa Ro\n"),
        (Wanted(DecodingConfig(), pieces=True), "▁La ▁R o\n"),
        (Wanted(DecodingConfig(), numbered=True, pieces=True), "7\t-0.500000\t▁La ▁R o\n"),
    ],
    ids=["text", "numbered", "pieces", "both"],
)
def test_a_hypothesis_is_a_line(wanted: Wanted, line: str) -> None:
    hypothesis = Hypothesis("La\nRo", ("▁La", "▁R", "o"), -1.0, -0.5, None)
    assert wanted.written(7, [hypothesis]) == line
    assert wanted.written(7, [hypothesis, hypothesis]) == line * 2
    assert wanted.written(7, []) == ""


def test_what_is_the_matter_with_a_line_is_told() -> None:
    told: list[Remark] = []
    lines = read_text(BytesIO(b"ab\ns\xf6n\nabcde\n" + b"x" * 2001 + b"\n"), told.append)
    (answered,) = TextTranslation(SHOUTING, PLAIN, told.append, ALONE).in_groups(lines, 0)
    assert answered.text.splitlines()[:2] == ["AB0", "S\ufffdN1"]
    assert [remark.matter for remark in told] == [Matter.NOT_UTF8, Matter.LONG, Matter.LEFT_EMPTY]
    assert told[0].text.startswith("standard input:2: byte 0xf6, number 2 of this line, is not UTF-8")
    assert told[0].text.endswith("Read all the same.")
    assert told[1].text == "line 3 has 5 pieces; the model was trained on at most 4."
    assert told[2].text == "line 4 has 2,001 pieces, more than 2,000. It is left empty."


def test_settings_of_an_unfinished_translation_keep_their_names(trained_run: Run, tmp_path: Path) -> None:
    """Those in the notes of earlier versions, whose translations are gone on with."""
    source = tmp_path / "in"
    source.write_text("ta\n")
    unfinished = Ends.named(source, tmp_path / "out").unfinished(trained_run, "fp32", PLAIN)
    assert unfinished is not None
    assert set(unfinished.description) == {"model", "input text", "settings", "precision"}
    assert unfinished.description["settings"] == {
        "decoding": DecodingConfig().model_dump(exclude={"shortlist"}),
        "drawing": None,
        "shown": 1,
        "numbered": False,
        "pieces": False,
        "replace_unk": False,
    }


def test_only_between_two_files_is_there_a_going_on(trained_run: Run, tmp_path: Path) -> None:
    source, stream_ = tmp_path / "in", Path("-")
    source.write_text("ta\n")
    for ends in ((None, None), (source, None), (None, tmp_path / "out"), (source, stream_), (stream_, source)):
        assert Ends.named(*ends).unfinished(trained_run, "fp32", PLAIN) is None
    assert Ends.named(source, Path("/dev/null")).unfinished(trained_run, "fp32", PLAIN) is None


def test_a_dash_is_standard_output(
    terminal: Terminal, trained_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in").write_text("ta nu\n")
    monkeypatch.chdir(tmp_path)
    words = ["translate", "in", "--run", trained_run.directory]
    assert terminal.ok(*words, "-o", "-").out == terminal.ok(*words).out
    assert [path.name for path in tmp_path.iterdir()] == ["in"]
