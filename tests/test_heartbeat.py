"""Long work is heard of in logs and pipes, whether it tells of itself or not."""

import time

import pytest

from seq2seq_cli import console
from seq2seq_cli.console import Heartbeat
from seq2seq_cli.training.progress import Intervals, Stepped


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "QUIET", 0.05)


def told(capture: pytest.CaptureFixture[str], seconds: float = 10.0) -> str:
    """What is said within so many seconds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if said := capture.readouterr().err:
            return said
        time.sleep(0.01)
    raise AssertionError("nothing was said")


@pytest.mark.usefixtures("hasty")
def test_what_is_done_is_said_again_and_again(capsys: pytest.CaptureFixture[str]) -> None:
    with console.status("scoring [all]") as report:
        assert told(capsys).startswith("scoring [all], for 0:00:0")
        report(3, 1400)
        assert "scoring [all]: 3 of 1,400, for 0:00:0" in told(capsys) + told(capsys)


@pytest.mark.usefixtures("hasty")
def test_a_stage_that_says_nothing_of_itself_is_heard_of(capsys: pytest.CaptureFixture[str]) -> None:
    with console.stages() as report:
        report("learning", 0, 0)
        assert told(capsys) == "learning ...\n"
        assert told(capsys).startswith("learning, for 0:00:0")


def test_who_speaks_needs_no_heartbeat(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "QUIET", 60.0)
    began = time.monotonic()
    with Heartbeat("working") as heartbeat:
        heartbeat.heard()
    assert time.monotonic() - began < 30  # it does not wait for its time
    assert capsys.readouterr().err == ""


def test_an_interval_ends_after_some_seconds_too() -> None:
    intervals = Intervals(100, seconds=15.0)
    closed = [
        intervals.add(Stepped(0, number, 1.0, 10, 0.1, 1.0, seconds, 0.0)) is not None
        for number, seconds in enumerate((4.0, 12.0, 18.9, 19.0, 30.0, 34.0), start=1)
    ]
    assert closed == [False, False, False, True, False, True]
