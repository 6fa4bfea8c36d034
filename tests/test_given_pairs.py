"""Given pairs of any length: one that is too long is told and left out, and the others are as without it."""

from pathlib import Path

import pytest
from commands import Terminal
from corpora import write_lines as written

from seq2seq_cli.decoding.every_line import MOST_CHARACTERS, MOST_PIECES
from seq2seq_cli.decoding.given_pairs import overlong_pairs
from seq2seq_cli.decoding.translator import Translator
from seq2seq_cli.runs import Run

LONG = "ta nu ki " * MOST_PIECES
SOURCES, TARGETS = ["ta nu", LONG, "ki", "ze"], ["bi", "bi bi", LONG, "ho"]


def write_lines(path: Path, lines: list[str]) -> Path:
    written(path, lines)
    return path


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    return write_lines(tmp_path / "a.xx", SOURCES), write_lines(tmp_path / "a.yy", TARGETS)


def test_what_is_too_long(trained_run: Run) -> None:
    translator = Translator.load(trained_run.directory, precision="fp32")
    longest = "x" * (MOST_CHARACTERS + 1)
    found = overlong_pairs(translator, [*SOURCES, longest], [*TARGETS, ""])
    assert list(found) == [1, 4, 2]
    assert found[1].startswith("has ")
    assert "pieces as its source, more than 2,000." in found[1]
    assert "pieces as its target" in found[2]
    assert found[4] == "has 100,001 characters as its source, more than 100,000."
    assert overlong_pairs(translator, ["ta"], ["a " * MOST_PIECES], pieces=True) == {
        0: "has 2,001 pieces as its target, more than 2,000."
    }
    assert not overlong_pairs(translator, ["ta"], [" ".join(["a"] * MOST_PIECES)], pieces=True)


def test_scores(pair: tuple[Path, Path], trained_run: Run, terminal: Terminal, tmp_path: Path) -> None:
    answer = terminal.ok("score", *pair, "--run", trained_run.directory)
    scored = answer.out.splitlines()
    assert scored[1:3] == ["nan\tnan\tnan"] * 2
    short = [write_lines(tmp_path / name, [lines[0], lines[3]]) for name, lines in (("b", SOURCES), ("c", TARGETS))]
    assert [scored[0], scored[3]] == terminal.ok("score", *short, "--run", trained_run.directory).out.splitlines()
    assert "pair 2 has" in answer.err
    assert "pair 3 has" in answer.err


def test_links(pair: tuple[Path, Path], trained_run: Run, terminal: Terminal) -> None:
    answer = terminal.ok("align", "--source", pair[0], "--target", pair[1], "--run", trained_run.directory)
    links = answer.out.splitlines()
    assert len(links) == 4
    assert [bool(line) for line in links] == [True, False, False, True]
    assert answer.err.count("Its words are not linked.") == 2


def test_many_are_counted(trained_run: Run, terminal: Terminal, tmp_path: Path) -> None:
    sides = [write_lines(tmp_path / name, ["x" * (MOST_CHARACTERS + 1)] * 7) for name in ("a", "b")]
    answer = terminal.ok("score", *sides, "--run", trained_run.directory)
    assert answer.err.count("characters as its source") == 5
    assert "2 more pairs as long. It has no score." in answer.err
