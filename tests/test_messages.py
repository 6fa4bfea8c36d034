"""What people read on a terminal, in a pipe and in a log says what is the case, in words that can be used."""

import io
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from commands import Terminal
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from seq2seq_cli import console
from seq2seq_cli.cli import live
from seq2seq_cli.cli.app import app
from seq2seq_cli.cli.check_data import _beside
from seq2seq_cli.cli.compare import _budget
from seq2seq_cli.cli.live import _fitting, _Live
from seq2seq_cli.config.loading import load
from seq2seq_cli.device import choose_device, set_threads
from seq2seq_cli.errors import ConfigError, UserError
from seq2seq_cli.training.closing import PICTURES, TEST, Following
from seq2seq_cli.training.progress import Stepped
from seq2seq_cli.wording import shell_word

ODD = "f:100:[red]x[/red] :smile:.de"


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """A terminal of 80 columns."""

    class Screen(io.StringIO):
        def isatty(self) -> bool:
            return True

    shown = Screen()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")
    # Not sys.stderr itself, which is put back between this and the test.
    monkeypatch.setattr(console, "sys", SimpleNamespace(stderr=shown, stdout=sys.stdout))
    return shown


def test_names_are_shown_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    console.notice(ODD)
    console.warn(ODD)
    console.error(UserError(ODD, ODD, ODD))
    assert capsys.readouterr().err.splitlines() == [
        ODD,
        f"warning: {ODD}",
        f"error: {ODD}: {ODD}",
        ODD,
    ]


def test_names_are_shown_as_they_are_on_a_terminal(screen: io.StringIO) -> None:
    console.warn(ODD)
    console.error(UserError(ODD, ODD))
    with console.status(ODD) as report:
        report(1, 2)
        time.sleep(0.2)
    with console.stages() as stage:
        stage(ODD, 1, 2)
        time.sleep(0.2)
    shown = re.sub("\x1b\\[[0-9;?]*[a-zA-Z]", "", screen.getvalue())
    assert "warning: " + ODD in shown
    assert f"error: {ODD}: {ODD}" in shown
    assert f"{ODD}: 1 of 2" in shown
    assert shown.count(ODD) >= 5
    assert "💯" not in shown


@pytest.mark.parametrize(("done", "total", "said"), [(4096, 0, "4,096"), (4096, 8192, "4,096 of 8,192")])
def test_a_stage_whose_end_is_not_known(done: int, total: int, said: str, screen: io.StringIO) -> None:
    with console.stages() as report:
        report("checking", done, total)
        time.sleep(0.3)
    assert said in screen.getvalue()
    assert "100" not in screen.getvalue()


def test_findings_alone_are_in_the_table(terminal: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for language, line in (("de", "Das &amp; jenes"), ("en", "this &amp; that")):
        (tmp_path / f"a.{language}").write_text(f"{line}\n" * 2, encoding="utf-8")
    monkeypatch.setenv("COLUMNS", "80")
    out = terminal.run("check-data", tmp_path / "a", "--src", "de", "--tgt", "en").out
    assert max(map(cell_len, out.partition("\nmarkup: ")[0].splitlines())) <= 80
    table = out.partition("line 1")[0]
    assert re.search("markup +2", table)
    assert "undecodable" not in table
    assert "not found: undecodable, nul," in out
    monkeypatch.setenv("COLUMNS", "40")
    assert "meaning" in terminal.run("check-data", tmp_path / "a", "--src", "de", "--tgt", "en").out


def test_a_copy_of_nothing_is_none(terminal: Terminal, tmp_path: Path) -> None:
    for language in ("de", "en"):
        (tmp_path / f"a.{language}").write_text("lost <unk>\n" * 3, encoding="utf-8")
    answer = terminal.run("check-data", tmp_path / "a", "--src", "de", "--tgt", "en", "--fix", tmp_path / "b")
    assert answer.status == 3
    assert "nothing is written: no pair is left." in answer.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.de", "a.en"]


@pytest.mark.parametrize(
    ("offset", "said"),
    [(-1, "1 line earlier"), (1, "1 line later"), (-17, "17 lines earlier"), (2000, "2,000 lines later")],
)
def test_where_translations_stand(offset: int, said: str) -> None:
    assert _beside(offset) == f"the translation stands {said}"


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_the_live_line_keeps_the_time_left(width: int, screen: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setattr(live, "LIVE_STEPS", 1)
    display = _Live(26.33)
    with display:
        for step in (12_344, 12_345):
            display.show(Stepped(9, step, 2.345, 900, 1e-3, 1.0, 5_801.0, 0.9))
        display.progress.refresh()
        time.sleep(0.2)
    shown = re.sub("\x1b\\[[0-9;?]*[a-zA-Z]", "", screen.getvalue())
    line = [line for line in re.split("[\r\n]", shown) if "step 12345" in line][-1]
    assert "0:10:45 left" in line
    assert "…" not in line
    assert ("tok/s" in line) == (width >= 120)


@given(st.lists(st.text(min_size=1, max_size=9), min_size=1, max_size=6), st.integers(0, 60))
def test_what_fits(parts: list[str], room: int) -> None:
    shown = _fitting(parts, room)
    assert shown.startswith(parts[0])
    assert " · ".join(parts).startswith(shown)
    assert shown == parts[0] or cell_len(shown) <= room


@pytest.mark.parametrize("width", [40, 60, 80, 99, 100, 160])
def test_help_names_every_option(width: int, terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TERMINAL_WIDTH", str(width))
    names = {
        "train": ("--guided-alignment", "--no-tensorboard", "--max-minutes", "--overwrite", "--precision"),
        "translate": ("--length-penalty", "--batch-tokens", "--replace-unk", "--temperature"),
        "check-data": ("--overwrite",),
        "--install-completion": (),
    }
    for command, options in names.items():
        words = ("--help",) if command.startswith("-") else (command, "--help")
        out = terminal.ok(*words).out
        assert all(option in out for option in (*options, command))


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash here")
@settings(max_examples=25)
@given(st.binary(min_size=1, max_size=12).filter(lambda name: b"\0" not in name))
@example(b"caf\xe9/r2")
@example(b"it's \\x41 $HOME")
@example(b"a\nb\x1b[31m")
def test_words_can_be_pasted(name: bytes) -> None:
    word = shell_word(os.fsdecode(name))
    assert word.isprintable()
    done = subprocess.run(
        ["bash", "-c", f"printf %s {word}"], capture_output=True, check=True, env={"LC_ALL": "C.UTF-8"}
    )
    assert done.stdout == name


def test_plain_words_stay_plain() -> None:
    assert [shell_word(word) for word in ("runs/x", Path("a b"), "é")] == ["runs/x", "'a b'", "'é'"]


@pytest.mark.parametrize(
    ("seconds", "test", "said"),
    [
        (60.0, 12.0, "still to come, within 60 s: the test (about 12 s), the pictures"),
        (60.0, None, "still to come, within 60 s: the test, the pictures"),
        (7.0, 9.2, "still to come, within 7 s: the test, if it can be done in time (about 9 s), the pictures"),
    ],
)
def test_what_follows_training(seconds: float, test: float | None, said: str) -> None:
    assert str(Following([TEST, PICTURES], seconds, test)) == said


def test_what_has_no_time_is_not_promised() -> None:
    following = Following([PICTURES], 7.0, 148.0)
    assert str(following) == "still to come, within 7 s: the pictures; not the test, which would take about 148 s"
    assert str(Following([], 7.0, 148.0)).startswith("still to come, within 7 s: nothing; ")


def test_a_comparison_says_how_long_it_takes() -> None:
    assert _budget(4, 10.0).startswith("4 runs to train, at most 10 minutes each")
    assert "44 minutes in all" in _budget(4, 10.0)
    assert _budget(1, 0.5).startswith("1 run to train, at most 0.5 minutes each")


def test_threads_are_bounded_by_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seq2seq_cli.device.available_cores", lambda: 2)
    with pytest.raises(ConfigError, match="--threads: 999 threads, where there are 2 cores") as caught:
        set_threads(999)
    assert caught.value.hint == "Use 16 at most, or 0 for all cores."
    monkeypatch.setattr("seq2seq_cli.device.available_cores", lambda: 64)
    with pytest.raises(ConfigError, match="Use 256 at most"):
        set_threads(257)


@pytest.mark.parametrize(("given", "meant"), [("gpu", "cuda"), ("GPU", "cuda"), ("cudaa", "cuda"), ("metal", "mps")])
def test_devices_have_other_names(given: str, meant: str) -> None:
    with pytest.raises(ConfigError, match=f'Did you mean "{meant}"'):
        choose_device(given)
    with pytest.raises(ConfigError, match=f'Did you mean "{meant}"'):
        load(overrides=[f"training.device={given}"])


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (("train", "--device", "gpu"), "--device = 'gpu'"),
        (("train", "--epochs", "3000000000"), "--epochs = 3000000000"),
        (("train", "--max-minutes", "0"), "--max-minutes = 0.0: must be above 0"),
        (("train", "--epochs", "0"), "--epochs = 0"),
        (("compare", "--run", "x", "--threads", "2000"), "--threads = 2000"),
        (("translate", "--beam", "1001"), "--beam = 1001"),
        (("translate", "--nbest", "1001"), "--nbest = 1001"),
    ],
)
def test_an_option_out_of_range_is_called_as_it_was_given(
    words: tuple[str, ...], name: str, terminal: Terminal
) -> None:
    assert name in terminal.refused(*words)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("training.epochs=0", "must be above 0."),
        ("decoding.beam=1001", "must be 1000 or less."),
        ("model.dropout=1.5", "must be below 1."),
        ("decoding.length_penalty=-1", "must be 0 or more."),
        ("model.hidden_size=7", "must be a multiple of 2."),
        ("training.epochs=1.5", "must be a whole number."),
        ("training.epochs=many", "must be a whole number."),
        ("model.dropout=much", "must be a number."),
        ("decoding.length_penalty=nan", "must be a finite number."),
        ("training.tensorboard=perhaps", "must be true or false."),
        ("training.guided_alignment=3", "must be text"),
        ("training.precision=half", 'Did you mean "fp16"?'),
        ("data.train=3", "must be the name of a text, or a list of files' names"),
        ("data.references=3", "must be a list."),
    ],
)
def test_values_are_refused_in_our_words(override: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(overrides=[override])
    assert said in str(caught.value)
    assert "nput" not in str(caught.value)


def test_a_section_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text("training = 3\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="training = 3: must be a section with settings of its own"):
        load(tmp_path / "x.toml")


def test_every_command_is_of_a_kind_whose_help_is_whole() -> None:
    from seq2seq_cli.cli.arguments import Command

    assert all(command.cls is Command for command in app.registered_commands)
