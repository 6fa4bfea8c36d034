"""A run directory that cannot be written, vanishes, fills the disk, or is wanted by two trainings."""

import errno
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import torch
from commands import Terminal
from corpora import TinyCorpus
from learners import Lesson, differing

from seq2seq_cli import runs
from seq2seq_cli.config.whole import Config
from seq2seq_cli.decoding.translator import Translator
from seq2seq_cli.errors import RunError
from seq2seq_cli.model.weights import read_weights
from seq2seq_cli.runs import Run, write_json
from seq2seq_cli.training.checkpoint import load_last
from seq2seq_cli.training.directory import conclude, has_ended
from seq2seq_cli.training.experiment import experiment
from seq2seq_cli.training.progress import Evaluated


@pytest.fixture
def quick(tmp_path: Path) -> Config:
    """Four evaluations in as many steps, without attention, so that nothing is drawn."""
    corpus = TinyCorpus.write(tmp_path / "quick", train=20, dev=3, test=3)
    return corpus.config(training={"epochs": 4}, attention={"kind": "none"})


@pytest.fixture
def whole(quick: Config, tmp_path: Path) -> Run:
    """The run as it is when nothing happens."""
    run = Run(tmp_path / "whole")
    list(experiment(quick, run.directory, resume=False, overwrite=False))
    return run


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Files end there as they do on a full disk, but for the number of the error."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_is_told_and_leaves_the_last_checkpoint(quick: Config, whole: Run, tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    with closing(experiment(quick, run.directory, resume=False, overwrite=False)) as events:  # type: ignore[type-var]
        while not isinstance(next(events), Evaluated):
            pass
        before = {path: path.read_bytes() for path in run.checkpoints.iterdir()}
        with largest_file(50_000), pytest.raises(RunError, match="no room left on the disk") as caught:
            list(events)
    assert "go on with --resume" in str(caught.value)
    # The best weights come first: they and all others are as they were, and nothing half written is left.
    assert {path: path.read_bytes() for path in run.checkpoints.iterdir()} == before
    load_last(Lesson.prepare(quick, tmp_path / "cache").learner(), run.last)
    list(experiment(quick, run.directory, resume=True, overwrite=False))
    assert differing(read_weights(run.best), read_weights(whole.best)) == []


def test_a_run_directory_that_vanishes_does_not_come_back(quick: Config, tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    with closing(experiment(quick, run.directory, resume=False, overwrite=False)) as events:  # type: ignore[type-var]
        while not isinstance(next(events), Evaluated):
            pass
        shutil.rmtree(run.directory)
        with pytest.raises(RunError, match="was removed or renamed while it was in use") as caught:
            list(events)
    assert str(caught.value).startswith(str(run.directory))
    assert not run.directory.exists()


def test_a_read_only_run_directory_is_told(
    quick: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: Run
) -> None:
    before = whole.last.read_bytes()
    longer = quick.model_copy(update={"training": quick.training.model_copy(update={"epochs": 5})})

    def refuse(source: Path, target: Path) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(target))

    with monkeypatch.context() as patch:
        patch.setattr(runs.os, "replace", refuse)  # type: ignore[attr-defined]
        with pytest.raises(RunError, match=r"cannot be written: Read-only file system") as caught:
            list(experiment(longer, whole.directory, resume=True, overwrite=False))
    assert "--resume" in str(caught.value)
    assert whole.last.read_bytes() == before
    assert not list(whole.directory.rglob("*.tmp"))


def test_a_place_where_nothing_can_be_made_is_told(quick: Config, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot be written: Not a directory"):
        list(experiment(quick, tmp_path / "file" / "run", resume=False, overwrite=False))


def test_a_second_training_is_refused_while_the_first_lives(quick: Config, whole: Run, tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    first = experiment(quick, run.directory, resume=False, overwrite=False)
    while not isinstance(next(first), Evaluated):
        pass
    for resume, overwrite in ((True, False), (False, True)):
        told = pytest.raises(RunError, match="another process is training in this run directory")
        with torch.random.fork_rng(), told:  # another process has random numbers of its own
            list(experiment(quick, run.directory, resume, overwrite))
    assert Translator.load(run.directory).translate(["ta"]) is not None  # readers are free
    list(first)
    assert differing(read_weights(run.best), read_weights(whole.best)) == []
    list(experiment(quick, run.directory, resume=True, overwrite=False))


def test_of_two_that_begin_at_once_the_later_one_is_refused(quick: Config, tmp_path: Path) -> None:
    run = Run(tmp_path / "run")

    def meanwhile(stage: str, done: int, total: int) -> None:
        if not run.exists:
            list(experiment(quick, run.directory, resume=False, overwrite=False))

    changed = quick.model_copy(update={"subword": quick.subword.model_copy(update={"vocab_size": 55})})
    with pytest.raises(RunError, match="exists already"):
        list(experiment(changed, run.directory, False, False, meanwhile))


@pytest.mark.parametrize(
    ("sittings", "ended"),
    [([{}], False), ([{"ended": "1"}], True), ([{"ended": "1"}, {}], False), ([{}, {"ended": "2"}], True)],
)
def test_a_run_has_ended_where_its_last_sitting_has(
    sittings: list[dict[str, str]], ended: bool, tmp_path: Path
) -> None:
    run = Run(tmp_path)
    write_json(run.info, {"sittings": sittings})
    assert has_ended(run) is ended
    conclude(run)
    assert has_ended(run)


@pytest.mark.slow
def test_a_dead_process_holds_no_lock(whole: Run, quick: Config) -> None:
    program = (
        "import sys, time; from pathlib import Path; from seq2seq_cli.runs import Run\n"
        "from seq2seq_cli.training.directory import sole_training\n"
        "with sole_training(Run(Path(sys.argv[1]))): print('held', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", program, str(whole.directory)], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    with pytest.raises(RunError, match="another process is training"):
        list(experiment(quick, whole.directory, resume=True, overwrite=False))
    os.kill(holder.pid, signal.SIGKILL)
    holder.communicate()
    list(experiment(quick, whole.directory, resume=True, overwrite=False))


def test_a_full_disk_is_told_by_every_command(terminal: Terminal, whole: Run) -> None:
    with largest_file(10):
        told = terminal.refused("eval", whole.directory)
    assert f"error: {whole.decodes}" in told
    assert "there is no room left on the disk" in told


@pytest.mark.slow
def test_a_full_standard_output_is_told(whole: Run) -> None:
    words = [sys.executable, "-m", "seq2seq_cli", "translate", "--run", str(whole.directory)]
    with open("/dev/full", "wb") as full:
        done = subprocess.run(words, input=b"ta\n", stdout=full, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 2
    assert done.stderr == b"error: output: there is no room left on the disk.\n"
