"""Checkpoints that were cut off or altered: every one is recognised, and none is used."""

import os
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import safetensors.torch
import torch
from corpora import TinyCorpus
from learners import Lesson, differing, weights

from seq2seq_cli.config.whole import Config
from seq2seq_cli.decoding.translator import Translator
from seq2seq_cli.errors import DamagedError, RunError
from seq2seq_cli.model.formats import FORMAT
from seq2seq_cli.model.weights import read_weights, save_weights, state_of
from seq2seq_cli.runs import Run
from seq2seq_cli.training.checkpoint import load_last, save_last
from seq2seq_cli.training.experiment import Begun, Happening, experiment
from seq2seq_cli.training.progress import Ended, Progress

pytestmark = pytest.mark.slow

TRIED = int(os.environ.get("SEQ2SEQ_DAMAGES", "60"))
"""Damaged copies of each kind of checkpoint."""


@pytest.fixture(scope="module")
def lesson(tmp_path_factory: pytest.TempPathFactory) -> Lesson:
    folder = tmp_path_factory.mktemp("damage")
    return Lesson.prepare(TinyCorpus.write(folder / "tiny", train=20, dev=4).config(), folder / "cache")


def damaged(whole: bytes, seed: int) -> Iterator[bytes]:
    """Copies with a bit flipped, cut off, with a block of zeros as a torn write leaves it, or with bytes too many."""
    drawn = random.Random(seed)
    while True:
        at = drawn.randrange(len(whole))
        flipped = bytes([whole[at] ^ 1 << drawn.randrange(8)])
        yield whole[:at] + flipped + whole[at + 1 :]
        yield whole[:at]
        torn = whole[:at] + bytes(len(whole[at : at + 4096])) + whole[at + 4096 :]
        if torn != whole:
            yield torn
        yield whole + drawn.randbytes(drawn.randint(1, 100))


def assert_recognised(whole: bytes, path: Path, read: Callable[[Path], object]) -> None:
    copies = damaged(whole, seed=len(whole))
    for _ in range(TRIED):
        path.write_bytes(next(copies))
        with pytest.raises(DamagedError) as caught:
            read(path)
        assert caught.value.where == str(path)
    path.write_bytes(whole)
    read(path)


def test_no_damaged_last_is_ever_used(lesson: Lesson, tmp_path: Path) -> None:
    path, learner = tmp_path / "last.pt", lesson.learner(seed=2)
    save_last(lesson.learner(seed=1), Progress(step=7), path)
    before = weights(learner)

    def read(path: Path) -> None:
        try:
            load_last(learner, path)
        except DamagedError:
            assert differing(weights(learner), before) == []
            raise

    assert_recognised(path.read_bytes(), path, read)
    assert differing(weights(learner), before) != []


def test_no_damaged_weights_are_ever_used(lesson: Lesson, tmp_path: Path) -> None:
    path = tmp_path / "best.safetensors"
    save_weights(state_of(lesson.learner().model), path)
    assert_recognised(path.read_bytes(), path, read_weights)


def test_every_bit_of_a_small_file_counts(tmp_path: Path) -> None:
    path = tmp_path / "small.safetensors"
    save_weights({"a": torch.arange(3.0), "b": torch.ones(2, 2)}, path)
    whole = path.read_bytes()
    for bit in range(8 * len(whole)):
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        with pytest.raises(DamagedError):
            read_weights(path)


def test_other_tools_read_the_weights(lesson: Lesson, tmp_path: Path) -> None:
    path, learner = tmp_path / "best.safetensors", lesson.learner()
    save_weights(state_of(learner.model), path)
    assert differing(safetensors.torch.load_file(path), weights(learner)) == []
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_weights_of_a_later_version_say_so(lesson: Lesson, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "later.safetensors"
    monkeypatch.setattr("seq2seq_cli.model.weights.FORMAT", FORMAT + 1)
    save_weights(state_of(lesson.learner().model), path)
    monkeypatch.undo()
    with pytest.raises(RunError, match=rf"format {FORMAT + 1}.*\n.*Update seq2seq"):
        read_weights(path)


def test_weights_of_before_there_were_checksums_are_read(lesson: Lesson, tmp_path: Path) -> None:
    path, learner = tmp_path / "old.safetensors", lesson.learner()
    safetensors.torch.save_file(state_of(learner.model), path)
    assert differing(read_weights(path), weights(learner)) == []


def test_a_last_without_a_checksum_is_refused(lesson: Lesson, tmp_path: Path) -> None:
    path = tmp_path / "last.pt"
    save_last(lesson.learner(), Progress(), path)
    path.write_bytes(path.read_bytes()[:-64])
    torch.load(path, weights_only=True)  # all that torch looks at is there
    with pytest.raises(DamagedError, match="damaged, or of a version without checksums"):
        load_last(lesson.learner(), path)


@pytest.fixture
def quick(tmp_path: Path) -> Config:
    """Four evaluations in as many steps, without attention, so that nothing is drawn."""
    corpus = TinyCorpus.write(tmp_path / "quick", train=20, dev=3, test=3)
    return corpus.config(training={"epochs": 4}, attention={"kind": "none"})


def run_until(config: Config, run: Run, step: int) -> None:
    """Train up to the evaluation after ``step``, as if killed then."""
    for event in experiment(config, run.directory, resume=False, overwrite=False):
        if getattr(event, "step", 0) == step and hasattr(event, "bleu"):
            return


def resume(config: Config, run: Run) -> list[Happening]:
    return list(experiment(config, run.directory, resume=True, overwrite=False))


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_a_damaged_last_is_named_and_the_previous_one_used(quick: Config, tmp_path: Path) -> None:
    whole, run = Run(tmp_path / "whole"), Run(tmp_path / "run")
    list(experiment(quick, whole.directory, resume=False, overwrite=False))
    run_until(quick, run, step=3)
    flip(run.last)
    begun, *rest = resume(quick, run)
    assert isinstance(begun, Begun)
    assert begun.resumed_at == 2
    (note,) = begun.notes[-1:]
    assert note.startswith(f"{run.last}: this checkpoint is damaged")
    assert note.endswith(f"Going on from {run.previous}, of step 2.")
    assert any(isinstance(event, Ended) for event in rest)
    for path in (run.best, run.kept(3), run.kept(4)):
        assert differing(read_weights(path), read_weights(whole.directory / path.relative_to(run.directory))) == []
    load_last(Lesson.prepare(quick, tmp_path / "cache").learner(), run.last)


def test_where_both_are_damaged_nothing_is_trained_on(quick: Config, tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    run_until(quick, run, step=3)
    flip(run.last)
    flip(run.previous)
    with pytest.raises(DamagedError, match=r"(?s)damaged.*So is .*previous\.pt.*--overwrite"):
        resume(quick, run)
    run.previous.unlink()
    with pytest.raises(DamagedError, match=r"(?s)There is no earlier one.*--overwrite"):
        resume(quick, run)


def test_killed_between_two_renamings(quick: Config, tmp_path: Path) -> None:
    whole, run = Run(tmp_path / "whole"), Run(tmp_path / "run")
    list(experiment(quick, whole.directory, resume=False, overwrite=False))
    run_until(quick, run, step=3)
    os.replace(run.last, run.previous)
    half = run.checkpoints / ".last.pt.123.tmp"
    half.write_bytes(b"half")
    begun = resume(quick, run)[0]
    assert isinstance(begun, Begun)
    assert begun.resumed_at == 3
    assert differing(read_weights(run.best), read_weights(whole.best)) == []
    assert not half.exists()


def test_damaged_best_weights_are_named_with_what_can_be_used(trained_run: Run, tmp_path: Path) -> None:
    run = Run(tmp_path / "a run")
    shutil.copytree(trained_run.directory, run.directory)
    flip(run.best)
    newest, second = run.all_kept()[:2]
    flip(newest)
    with pytest.raises(DamagedError, match="does not match its checksum") as caught:
        Translator.load(run.directory)
    assert str(caught.value).startswith(f"{run.best}: is damaged")
    assert f"cp '{second}' '{run.best}'" in str(caught.value)
    for path in run.all_kept():
        path.unlink()
    with pytest.raises(DamagedError, match="Nothing else of this run"):
        Translator.load(run.directory)
