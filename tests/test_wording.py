"""Counts, names and places as people read them."""

import ast
import io
from pathlib import Path

import pytest
from comparisons import WORSE, comparison, evaluation
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.text import Text

from seq2seq_cli import console
from seq2seq_cli.cli.compare import _seeds_table
from seq2seq_cli.cli.results import comparison_table
from seq2seq_cli.evaluation.seeds import summaries
from seq2seq_cli.report.bars import length_chart
from seq2seq_cli.wording import counted, numbered, printable, short_names, without_folders, without_ways_in

PACKAGE = Path(__file__).parents[1] / "seq2seq_cli"


def test_one_is_no_plural() -> None:
    assert [counted(number, "pair") for number in (0, 1, 2, 12_345)] == ["0 pairs", "1 pair", "2 pairs", "12,345 pairs"]


def uncounted(path: Path) -> list[str]:
    """Formatted strings in which a number that may be 1 stands before a plural."""
    found = []
    for text in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(text, ast.JoinedStr):
            continue
        for number, behind in zip(text.values, text.values[1:], strict=False):
            if not isinstance(number, ast.FormattedValue) or not isinstance(behind, ast.Constant):
                continue
            form = "" if number.format_spec is None else ast.unparse(number.format_spec)
            is_count = form == "f','" or (not form and ast.unparse(number.value).startswith("len("))
            word = (str(behind.value) + " ").split(" ")[1] if str(behind.value).startswith(" ") else ""
            if (
                is_count
                and word.rstrip(".,:;") not in ("is", "has")
                and word.rstrip(".,:;").endswith("s")
                and not ast.unparse(number.value).split(".")[-1].isupper()
            ):
                found.append(f"{path.name}: {ast.unparse(text)}")
    return found


def test_counts_are_written_in_one_way() -> None:
    found = [one for path in PACKAGE.rglob("*.py") for one in uncounted(path)]
    # Of a file that may hold so many bytes there is never one, nor of the waiting requests at the limit of a queue.
    assert [one for one in found if "bytes" not in one and "waiting" not in one and " of {" not in one] == []


def test_equal_names_are_numbered() -> None:
    assert numbered(["a", "b", "a", "a"]) == ["a", "b", "a (2)", "a (3)"]


def test_short_names_tell_runs_apart() -> None:
    named = [Path(path) for path in ("/a/x/run", "/b/x/run", "/b/y", "/c/run")]
    assert short_names(named) == ["a/x/run", "b/x/run", "y", "c/run"]
    assert short_names([Path("/a/x"), Path("/a/x"), Path("/b/y")]) == ["x", "x (2)", "y"]
    assert short_names([Path("/")]) == [""] or short_names([Path("/")]) == ["/"]


@given(st.lists(st.lists(st.sampled_from("ab"), min_size=1, max_size=3).map("/".join), max_size=5))
def test_short_names_are_never_the_same(folders: list[str]) -> None:
    assert len(set(short_names([Path("/", folder) for folder in folders]))) == len(folders)


@pytest.mark.parametrize(
    ("given_as", "told"),
    [
        ("/home/joe/text/train", ".../train"),
        ("~joe/train", ".../train"),
        ("../../joe/train", ".../train"),
        ("--train=/home/joe/my text/train", "--train=.../train"),
        ('data.test="/home/joe/test"', 'data.test=".../test"'),
        ("P/train", "P/train"),
        ("user/dataset", "user/dataset"),
        ("beam=5", "beam=5"),
        ("see /home/joe/x there", "see .../x there"),
        ("h_t / sqrt(D)", "h_t / sqrt(D)"),
    ],
)
def test_paths_lose_what_tells_whose_they_are(given_as: str, told: str) -> None:
    assert without_ways_in(given_as) == told


def test_a_text_is_called_by_its_files() -> None:
    assert without_folders("/home/joe/x/test.de and /home/joe/x/test.en") == "test.de and test.en"
    assert without_folders("P/test.de and P/test.en") == "P/test.de and P/test.en"
    assert without_folders("user/dataset (split test)") == "user/dataset (split test)"


@given(st.text())
def test_what_is_printed_can_be_printed(text: str) -> None:
    assert printable(text).isprintable()
    printable(text).encode("utf-8")


RUNS = ["a-run-whose-name-is-longer-than-the-narrowest-terminal-is-wide", "kurz", "名前-run"]


@pytest.mark.parametrize("width", [20, 40, 60, 80, 120, 200])
def test_no_terminal_breaks_a_name_or_a_number(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = comparison(*(evaluation(name, WORSE) for name in RUNS))
    for table in (comparison_table(runs), length_chart(runs), _seeds_table(summaries(runs))):
        cells = [str(cell) for column in table.columns for cell in column.cells if isinstance(cell, str | Text)]
        shown = io.StringIO()
        narrow = Console(width=width, file=shown, force_terminal=True, color_system=None)
        monkeypatch.setattr(console, "out", lambda narrow=narrow: narrow)
        console.table(table)
        lines = shown.getvalue().splitlines()
        assert len(cells) >= 5
        assert [cell for cell in cells if not any(cell in line for line in lines)] == []
        assert "…" not in shown.getvalue()


def test_a_pipe_is_as_wide_as_a_table(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    name = "long-" * 60
    console.table(comparison_table(comparison(evaluation(name, WORSE))))
    assert any(name in line and "1,234" in line for line in capsys.readouterr().out.splitlines())
