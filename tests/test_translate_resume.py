"""A long translation: cut off and gone on with, and lines that cannot be translated."""

import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from commands import Terminal
from corpora import sentences, write_lines

from seq2seq_cli.config.sections import DecodingConfig
from seq2seq_cli.decoding import every_line, stream
from seq2seq_cli.decoding.every_line import LineGroup, Matter, Remark
from seq2seq_cli.decoding.files import Ends
from seq2seq_cli.decoding.hypothesis import Hypothesis
from seq2seq_cli.decoding.sentences import Sentence
from seq2seq_cli.decoding.translator import Sampling, Translator
from seq2seq_cli.decoding.unfinished import Done, Unfinished
from seq2seq_cli.decoding.wanted import Wanted
from seq2seq_cli.errors import DataError
from seq2seq_cli.runs import Run

LINES = int(os.environ.get("SEQ2SEQ_LINES", "6000"))
"""Of the translation that is killed."""


def test_groups_of_a_file_are_always_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "WAITING", 3)
    assert list(stream.groups_of("abcdefg")) == [["a", "b", "c"], ["d", "e", "f"], ["g"]]
    assert list(stream.groups_of([])) == []


def test_numbers_of_lines_go_on_from_group_to_group(
    terminal: Terminal, trained_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "WAITING", 2)
    write_lines(tmp_path / "in", sentences(5, seed=4))
    terminal.ok("translate", "--run", trained_run.directory, tmp_path / "in", "-o", tmp_path / "out", "--nbest", 2)
    rows = (tmp_path / "out").read_text(encoding="utf-8").splitlines()
    assert [int(row.partition("\t")[0]) for row in rows] == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]


def test_all_that_decides_a_translation_is_noted_of_it(trained_run: Run, tmp_path: Path) -> None:
    text, other = tmp_path / "in", tmp_path / "other"
    write_lines(text, ["ta"])
    write_lines(other, ["nu"])

    def noted(source: Path = text, precision: str = "fp32", **wanted: Any) -> dict[str, object]:
        found = Ends(source, tmp_path / "out").unfinished(
            trained_run, precision, Wanted(**{"decoding": DecodingConfig(beam=2), **wanted})
        )
        assert found is not None
        return found.description

    plain, changed = noted(), set[str]()
    for more in (
        {"source": other}, {"precision": "bf16"}, {"decoding": DecodingConfig(beam=3)}, {"sampling": Sampling(seed=3)},
        {"best": 2}, {"numbered": True}, {"pieces": True}, {"replace_unknown": True},
    ):  # fmt: skip
        [name] = [name for name, value in noted(**more).items() if value != plain[name]]
        changed.add(name)
    assert changed == {"input text", "precision", "settings"}


def unfinished(tmp_path: Path, numbered: bool = False) -> Unfinished:
    return Unfinished(tmp_path / "out", {"model": "m", "settings": {"beam": 5}}, 2, numbered)


@pytest.mark.parametrize(
    ("held", "lines", "left"),
    [
        (b"", 0, b""),
        (b"a", 0, b""),
        (b"a\n", 0, b""),
        (b"a\nb\n", 2, b"a\nb\n"),
        (b"a\n\nc", 2, b"a\n\n"),
        (b"a\nb\r\nc\n\xffd\ne\xc3", 4, b"a\nb\r\nc\n\xffd\n"),
    ],
)
def test_the_output_is_cut_back_to_whole_groups(held: bytes, lines: int, left: bytes, tmp_path: Path) -> None:
    one = unfinished(tmp_path)
    one.begin()
    one.output.write_bytes(held)
    assert one.go_on() == Done(lines, len(left))
    assert one.output.read_bytes() == left


@pytest.mark.parametrize(
    ("held", "lines", "left"),
    [
        (b"1\ta\n1\tb\n2\ta\n", 0, b""),  # line 2 may have had another one
        (b"1\ta\n2\ta\n2\tb\n3", 0, b""),
        (b"1\ta\n2\ta\n2\tb\n3\ta\n", 2, b"1\ta\n2\ta\n2\tb\n"),
        (b"1\t\n2\t\n3\t\n4\t\n5\ta\n5\tb\n", 4, b"1\t\n2\t\n3\t\n4\t\n"),
    ],
)
def test_several_translations_of_a_line_stay_together(held: bytes, lines: int, left: bytes, tmp_path: Path) -> None:
    one = unfinished(tmp_path, numbered=True)
    one.begin()
    one.output.write_bytes(held)
    assert one.go_on() == Done(lines, len(left))
    assert one.output.read_bytes() == left


def test_what_is_there_must_be_of_the_same_translation(tmp_path: Path) -> None:
    one = unfinished(tmp_path, numbered=True)
    one.begin()
    one.output.write_bytes(b"1\ta\n2\ta\n4\ta\n")
    with pytest.raises(DataError, match="does not go on with a translation of line 3"):
        one.go_on()
    other = Unfinished(one.output, {"model": "n", "settings": {"beam": 5}}, 2, True)
    with pytest.raises(DataError, match=r"was begun with another model\.\nGive it the same, or leave out --resume"):
        other.go_on()
    for damaged, why in (
        ("{", ""),
        ("[" * 60_000, "nested too deeply"),
        (" " * 70_000, "it is larger than 65,536 bytes"),
    ):
        one.sidecar.write_text(damaged)
        with pytest.raises(DataError, match=f"cannot be read: .*{why}"):
            one.go_on()
    one.finish()
    with pytest.raises(DataError, match="there is no unfinished translation here: it is whole, or"):
        one.go_on()
    assert one.output.read_bytes() == b"1\ta\n2\ta\n4\ta\n"


@pytest.mark.parametrize("digits", ["9" * 5000, "x", "", "-1", "02"])
def test_a_number_that_is_none_is_refused(digits: str, tmp_path: Path) -> None:
    one = unfinished(tmp_path, numbered=True)
    one.begin()
    one.output.write_text(f"1\ta\n{digits}\ta\n")
    with pytest.raises(DataError, match="does not go on with a translation of line 2"):
        one.go_on()


def test_resume_needs_two_files_and_refuses_other_text_and_settings(
    terminal: Terminal, trained_run: Run, tmp_path: Path
) -> None:
    text, out = tmp_path / "in", tmp_path / "out"
    text.write_text("ta nu\n")
    words = ["translate", "--run", trained_run.directory]
    assert "Name both: INPUT -o OUTPUT" in terminal.refused(*words, "--resume", stdin=b"ta\n")
    assert "Name both: INPUT -o OUTPUT" in terminal.refused(*words, text, "--resume")
    terminal.ok(*words, text, "-o", out, "--resume")  # nothing there yet: from the beginning
    whole = out.read_bytes()
    assert whole == terminal.ok(*words, stdin=b"ta nu\n").out.encode()
    assert set(tmp_path.iterdir()) == {text, out}
    assert "it is whole, or was not begun" in terminal.refused(*words, text, "-o", out, "--resume")
    assert out.read_bytes() == whole


def kill_translations(command: Sequence[str], output: Path, moments: Sequence[int], drawn: random.Random) -> None:
    """Begin, and kill and go on, at each of these numbers of lines; then to the end."""
    more: list[str] = []
    for moment in moments:
        process = subprocess.Popen([*command, *more], stderr=subprocess.PIPE)
        while process.poll() is None and (not output.exists() or output.read_bytes().count(b"\n") < moment):
            time.sleep(0.005)
        time.sleep(drawn.uniform(0, 0.05))
        assert process.poll() is None, process.communicate()
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        with open(output, "ab") as file:
            file.write(b"torn")
        more = ["--resume"]
    subprocess.run([*command, *more], check=True, capture_output=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "kills", "lines"),
    [(["--beam=1", "--max-length=4"], 3, LINES), (["--nbest=2"], 1, LINES // 2)],
    ids=["one", "nbest"],
)
def test_a_killed_translation_is_that_of_an_unbroken_one(
    options: list[str], kills: int, lines: int, trained_run: Run, tmp_path: Path
) -> None:
    text, whole, killed = (tmp_path / name for name in ("in", "whole", "killed"))
    write_lines(text, sentences(lines, seed=7, longest=3))
    words = [
        sys.executable,
        "-m",
        "seq2seq_cli",
        "translate",
        str(text),
        "--threads=1",
        f"--run={trained_run.directory}",
    ]
    words += options
    subprocess.run([*words, "-o", str(whole)], check=True, capture_output=True)
    moments = [1, lines // 4 + 1, lines // 2 + 1][:kills]
    kill_translations([*words, "-o", str(killed)], killed, moments, random.Random(time.time_ns()))
    assert killed.read_bytes() == whole.read_bytes()
    assert whole.read_bytes().count(b"\n") >= lines
    assert set(tmp_path.iterdir()) == {text, whole, killed}


def test_a_full_disk_is_told_and_the_rest_made_up_for(terminal: Terminal, trained_run: Run, tmp_path: Path) -> None:
    text, out = tmp_path / "in", tmp_path / "out"
    write_lines(text, sentences(2100, seed=8))
    words = ["translate", text, "--run", trained_run.directory, "--beam", 1, "--max-length", 4]
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4000, hard))
    try:
        assert "no room left on the disk" in terminal.refused(*words, "-o", out)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    terminal.ok(*words, "-o", out, "--resume")
    terminal.ok(*words, "-o", tmp_path / "whole")
    assert out.read_bytes() == (tmp_path / "whole").read_bytes()


POISON = "ta po ta po ta po"


@pytest.fixture
def poisoned(monkeypatch: pytest.MonkeyPatch) -> None:
    """A search that fails on every batch with a certain sentence."""
    plain = Translator.search

    def search(
        self: Translator,
        sentences: Sequence[Sentence],
        decoding: DecodingConfig | None = None,
        sampling: Sampling | None = None,
    ) -> list[list[Hypothesis]]:
        if POISON in [sentence.line for sentence in sentences]:
            raise RuntimeError("CUDA error: something odd")
        return plain(self, sentences, decoding, sampling)

    monkeypatch.setattr(Translator, "search", search)


@pytest.mark.usefixtures("poisoned")
@pytest.mark.parametrize("options", [["--beam", 1], ["--sample", "--temperature", 2]], ids=["search", "sample"])
def test_a_poisonous_line_stops_no_other(
    options: list[object], terminal: Terminal, trained_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(every_line, "MOST_CHARACTERS", 3000)
    lines = sentences(40, seed=9)
    text, out = tmp_path / "in", tmp_path / "out"
    words = ["translate", text, "--run", trained_run.directory, "--precision", "fp32", *options]
    write_lines(text, lines)
    terminal.ok(*words, "-o", out)
    wanted = out.read_text(encoding="utf-8").splitlines()
    bad = {3: POISON, 10: "ta " * 900, 17: "x" * 3001, 20: POISON, 39: "\0"}
    for place, line in bad.items():
        lines[place], wanted[place] = line, ""
    write_lines(text, lines)
    monkeypatch.setattr(every_line, "MOST_PIECES", 800)
    answer = terminal.ok(*words, "-o", out)
    assert out.read_text(encoding="utf-8").splitlines() == wanted
    for number in (4, 21):
        assert f"line {number} made the search fail ('CUDA error: something odd'). It is left empty." in answer.err
    assert "line 11 has 9" in answer.err
    assert "pieces, more than 800. It is left empty." in answer.err
    assert "line 18 has 3,001 characters, more than 3,000. It is left empty." in answer.err


@pytest.mark.usefixtures("poisoned")
def test_what_fails_on_every_line_is_not_the_lines_fault(trained_run: Run) -> None:
    translator = Translator.load(trained_run.directory)
    told: list[Remark] = []
    group = LineGroup(6, [POISON, "", POISON])
    with pytest.raises(RuntimeError, match="something odd"):
        every_line.translate_every_line(translator, group, Wanted(translator.config.decoding), told.append)
    said = "made the search fail ('CUDA error: something odd'). It is left empty."
    assert told == [Remark(Matter.LEFT_EMPTY, f"line {number} {said}") for number in (7, 9)]
