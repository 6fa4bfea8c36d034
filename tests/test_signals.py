"""Every signal by which a user, a terminal or a scheduler asks to end, and what each command does then."""

import os
import pty
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from commands import Terminal
from corpora import TinyCorpus

from seq2seq_cli import signals
from seq2seq_cli.config.whole import Config
from seq2seq_cli.decoding.translator import Translator
from seq2seq_cli.evaluation import systems
from seq2seq_cli.runs import Run
from seq2seq_cli.signals import STOPPING, Stopped
from seq2seq_cli.training.experiment import Begun, experiment
from seq2seq_cli.training.progress import Ended, Stepped

EACH = pytest.mark.parametrize("number", STOPPING, ids=lambda number: number.name)


@pytest.fixture(autouse=True)
def listening() -> Iterator[None]:
    """SIGINT as on a terminal, wherever the tests run."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def quick(tmp_path: Path) -> Config:
    corpus = TinyCorpus.write(tmp_path / "quick", train=20, dev=3, test=3)
    return corpus.config(training={"epochs": 4}, attention={"kind": "none"})


def raising(number: int) -> Callable[..., object]:
    def interrupted(*_: object, **__: object) -> object:
        signal.raise_signal(number)
        raise AssertionError("it went on")

    return interrupted


def test_the_signals_are_those_that_would_kill() -> None:
    names = {number.name for number in STOPPING}
    assert {"SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGXCPU"} <= names


@EACH
def test_training_saves_and_says_by_which_signal_it_ended(
    number: signal.Signals, quick: Config, tmp_path: Path
) -> None:
    run = Run(tmp_path / "run")
    events = experiment(quick, run.directory, resume=False, overwrite=False)
    assert isinstance(next(events), Begun)
    assert isinstance(next(events), Stepped)
    signal.raise_signal(number)  # only noted
    assert not run.last.exists()
    with pytest.raises(Stopped) as stopped:
        next(events)
    assert stopped.value.status == 128 + number
    assert run.last.is_file()


@EACH
def test_the_test_at_the_end_is_cut_short_and_made_up_for(
    number: signal.Signals, quick: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, terminal: Terminal
) -> None:
    settings, run = tmp_path / "quick.toml", Run(tmp_path / "run")
    settings.write_text(quick.to_toml(), encoding="utf-8")
    with monkeypatch.context() as patch:
        patch.setattr(systems, "score_system", raising(number))
        answer = terminal.run("train", "--config", settings, "--run", run.directory)
    assert answer.status == 128 + number
    assert f"Go on with: {run.resume_command}" in answer.err
    assert not run.evaluation.exists()
    if number == signal.SIGUSR1:
        terminal.ok("train", "--run", run.directory, "--resume")
        assert run.evaluation.is_file()


@pytest.mark.parametrize("number", [number for number in STOPPING if number != signal.SIGINT])
def test_an_ignored_signal_stays_ignored(number: signal.Signals, quick: Config, tmp_path: Path) -> None:
    """As under nohup."""
    before = signal.signal(number, signal.SIG_IGN)
    try:
        events = experiment(quick, tmp_path / "run", resume=False, overwrite=False)
        next(events), next(events)
        signal.raise_signal(number)
        assert any(isinstance(event, Ended) for event in events)
    finally:
        signal.signal(number, before)


@EACH
def test_every_command_ends_in_order(
    number: signal.Signals, trained_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, terminal: Terminal
) -> None:
    source, output, run = tmp_path / "in.txt", tmp_path / "out.txt", trained_run.directory
    source.write_text("ta nu\n" * 3, encoding="utf-8")
    handlers = [signal.getsignal(each) for each in STOPPING]
    with monkeypatch.context() as patch:
        patch.setattr(Translator, "search", raising(number))
        stopped = terminal.run("translate", source, "-o", output, "--run", run)
        assert stopped.status == 128 + number
        assert "Stopped. The same command with --resume goes on." in stopped.err
        for words in (["translate", "--run", run], ["eval", run], ["plot", "ta", "--run", run]):
            assert terminal.run(*words, stdin=b"ta\n").status == 128 + number, words
    assert [signal.getsignal(each) for each in STOPPING] == handlers
    terminal.ok("translate", source, "-o", output, "--run", run, "--resume")
    assert len(output.read_text(encoding="utf-8").splitlines()) == 3


def test_outside_the_main_thread_nothing_is_handled() -> None:
    found: list[dict[int, object]] = []
    thread = threading.Thread(target=lambda: found.append(signals.install(signals.stop)))
    thread.start()
    thread.join()
    assert found == [{}]


@pytest.mark.slow
def test_a_lost_terminal_ends_training_with_everything_saved(tiny_corpus: TinyCorpus, tmp_path: Path) -> None:
    """The terminal is closed: the system sends SIGHUP, and every further word to it fails."""
    run, settings = Run(tmp_path / "run"), tmp_path / "long.toml"
    training: dict[str, object] = {"epochs": 5000, "batch_tokens": 150, "evaluate_every": 7}
    settings.write_text(tiny_corpus.config(training=training).to_toml(), encoding="utf-8")
    terminal, inner = pty.openpty()
    words = [sys.executable, "-m", "seq2seq_cli", "train", "--config", str(settings), "--run", str(run.directory)]
    process = subprocess.Popen(words, preexec_fn=lambda: os.login_tty(inner))
    os.close(inner)
    while not run.last.exists():
        os.read(terminal, 1 << 16)
        time.sleep(0.01)
    os.close(terminal)
    before = run.last.stat().st_mtime_ns
    assert process.wait() == 128 + signal.SIGHUP
    assert run.last.stat().st_mtime_ns > before


@pytest.mark.slow
def test_who_listens_no_more_stops_nothing(tiny_corpus: TinyCorpus, tmp_path: Path) -> None:
    settings, run = tmp_path / "short.toml", Run(tmp_path / "run")
    config = tiny_corpus.config(training={"epochs": 2}, attention={"kind": "none"}, data={"test": None})
    settings.write_text(config.to_toml(), encoding="utf-8")
    words = [sys.executable, "-m", "seq2seq_cli", "train", "--config", str(settings), "--run", str(run.directory)]
    process = subprocess.Popen(words, stderr=subprocess.PIPE)
    assert process.stderr is not None
    process.stderr.close()
    assert process.wait() == 0
    assert run.best.is_file()
