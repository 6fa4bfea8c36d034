"""Streams that a shell has closed, that are full, and that nobody reads."""

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from seq2seq_cli.runs import Run

pytestmark = pytest.mark.slow

IN, OUT, ERR = 0, 1, 2


def closing(streams: Sequence[int]) -> Callable[[], None]:
    def close() -> None:
        for stream in streams:
            os.close(stream)

    return close


def run(*arguments: object, closed: Sequence[int], stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """``seq2seq ARGUMENTS`` in a process of its own that begins without these streams."""
    words = [sys.executable, "-m", "seq2seq_cli", *map(str, arguments)]
    return subprocess.run(words, input=stdin, capture_output=True, check=False, preexec_fn=closing(closed))


@pytest.mark.parametrize("closed", [(), (IN,), (ERR,), (IN, ERR), (OUT,), (IN, OUT, ERR)], ids=str)
@pytest.mark.parametrize("command", [("config", "show"), ("config", "check", "none.toml")], ids=str)
def test_a_command_ends_as_its_work_did(command: tuple[str, ...], closed: tuple[int, ...]) -> None:
    done = run(*command, closed=closed)
    wrong = "check" in command
    assert done.returncode == (2 if wrong or OUT in closed else 0)
    assert b"Traceback" not in done.stderr
    assert bool(done.stdout) == (not wrong and OUT not in closed)
    if ERR not in closed:
        assert (b"standard output: is closed" in done.stderr) == (OUT in closed and not wrong)


def test_files_are_not_taken_for_streams(trained_run: Run, tmp_path: Path) -> None:
    """Without all three, the first files that are opened would get their numbers."""
    (tmp_path / "in").write_text("ta nu\nki\nze\n")
    where = ("--run", trained_run.directory)
    done = run("translate", tmp_path / "in", "-o", tmp_path / "out", *where, closed=(IN, OUT, ERR))
    assert done.returncode == 0
    assert len((tmp_path / "out").read_text().splitlines()) == 3
    assert (tmp_path / "in").read_text() == "ta nu\nki\nze\n"


def test_input_that_is_closed_is_not_an_empty_one(trained_run: Run) -> None:
    done = run("translate", "--run", trained_run.directory, closed=(IN,))
    assert done.returncode == 2
    assert b"error: standard input: is closed." in done.stderr


def test_a_reader_that_has_gone() -> None:
    words = [sys.executable, "-m", "seq2seq_cli", "config", "show"]
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as gone:
        done = subprocess.run(words, stdout=gone, stderr=subprocess.PIPE, check=False)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("full", [OUT, ERR])
def test_a_stream_that_is_full(full: int) -> None:
    with open("/dev/full", "wb") as device:
        command = ["config", "show"] if full == OUT else ["config", "check", "none.toml"]
        words = [sys.executable, "-m", "seq2seq_cli", *command]
        out, err = (device if full == stream else None for stream in (OUT, ERR))
        done = subprocess.run(words, check=False, stdout=out, stderr=err)
    assert done.returncode == 2


def test_training_without_streams_is_training(tmp_path: Path) -> None:
    """A daemon has none. What train prints is in its run directory as well."""
    program = """
import sys
from seq2seq_cli.cli import streams
streams.open_closed()
streams.do_without_output()
print("a score", flush=True)
"""
    done = subprocess.run([sys.executable, "-c", program], preexec_fn=closing((IN, OUT, ERR)), check=False)
    assert done.returncode == 0


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_named_pipe_is_read_once(trained_run: Run, tmp_path: Path) -> None:
    """Who writes into it and finds nobody there any more would end, and the reader wait for ever."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    program = "import sys; open(sys.argv[1], 'w').write('ta nu\\nki\\nze\\n')"
    with subprocess.Popen([sys.executable, "-c", program, pipe]) as writer:
        where = ("--run", str(trained_run.directory))
        words = [sys.executable, "-m", "seq2seq_cli", "translate", str(pipe), *where]
        try:
            done = subprocess.run(words, capture_output=True, check=False, timeout=60)
        finally:
            writer.kill()
    assert (done.returncode, len(done.stdout.splitlines())) == (0, 3)
