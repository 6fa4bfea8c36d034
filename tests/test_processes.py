"""A training by several processes of one command is the training of one process."""

import os
import re
import signal
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from test_distributed import assert_same_training, settings, start
from test_kill import same
from test_siblings import running

from seq2seq_cli.config.whole import Config
from seq2seq_cli.decoding.translator import Translator
from seq2seq_cli.errors import ConfigError
from seq2seq_cli.runs import Run
from seq2seq_cli.training.closing import Closing
from seq2seq_cli.training.experiment import Begun, experiment
from seq2seq_cli.training.progress import Stepped

pytestmark = pytest.mark.slow


def by(processes: int, config: Config, **training: object) -> Config:
    changes = {"processes": processes, "threads": processes, **training}
    return config.model_copy(update={"training": config.training.model_copy(update=changes)})


def trained(config: Config, run: Path, steps: int | None = None, resume: bool = False) -> list[object]:
    """Train to the end, or for so many steps."""
    happened: list[object] = []
    events = experiment(config, run, resume)
    for event in events:
        happened.append(event)
        if steps is not None and sum(isinstance(each, Stepped) for each in happened) == steps:
            break
    events.close()  # type: ignore[attr-defined]
    return happened


@pytest.mark.parametrize("accumulate", [1, 2, 3])
def test_three_processes_train_what_one_does(accumulate: int, tmp_path: Path) -> None:
    config = settings(tmp_path, accumulate=accumulate, epochs=2, clip_norm=0.5)
    alone = trained(by(1, config), tmp_path / "one")
    together = trained(by(3, config), tmp_path / "three")
    assert_same_training(tmp_path / "one", tmp_path / "three")
    [begun] = [event for event in together if isinstance(event, Begun)]
    assert (begun.processes, begun.threads) == (3, 1)
    for one, other in zip(steps_of(alone), steps_of(together), strict=True):
        assert other.target_tokens == one.target_tokens
        assert other.loss == pytest.approx(one.loss, rel=1e-5)
        assert other.gradient_norm == pytest.approx(one.gradient_norm, rel=1e-4)


def steps_of(happened: list[object]) -> list[Stepped]:
    return [event for event in happened if isinstance(event, Stepped)]


def test_a_resumed_training_is_the_same_bit_for_bit(tmp_path: Path) -> None:
    """With dropout, a checkpoint after every step, and stopped amid an epoch."""
    config = settings(tmp_path, accumulate=1, save_minutes=1e-6, average=3)
    config = by(2, config.model_copy(update={"model": config.model.model_copy(update={"dropout": 0.3})}))
    trained(config, tmp_path / "whole")
    trained(config, tmp_path / "broken", steps=5)
    happened = trained(config, tmp_path / "broken", resume=True)
    [begun] = [event for event in happened if isinstance(event, Begun)]
    assert begun.resumed_at >= 4
    assert same(Run(tmp_path / "broken"), Run(tmp_path / "whole"))


def test_a_checkpoint_has_the_size_and_form_of_any_other(tmp_path: Path) -> None:
    """Though weights and moments lie in memory that is shared; another number of processes can go on from it."""
    config = settings(tmp_path, save_minutes=1e-6)
    trained(by(1, config), tmp_path / "one", steps=4)
    trained(by(2, config), tmp_path / "two", steps=4)
    one, two = (torch.load(Run(tmp_path / name).last, weights_only=True) for name in ("one", "two"))
    assert one["optimizer"]["state"].keys() == two["optimizer"]["state"].keys()
    for number, state in one["optimizer"]["state"].items():
        assert {name: tensor.shape for name, tensor in state.items()} == {
            name: tensor.shape for name, tensor in two["optimizer"]["state"][number].items()
        }
        assert state["step"] == two["optimizer"]["state"][number]["step"]
    sizes = [Run(tmp_path / name).last.stat().st_size for name in ("one", "two")]
    assert sizes[1] == pytest.approx(sizes[0], rel=0.1)
    happened = trained(by(1, config), tmp_path / "two", resume=True)
    [begun] = [event for event in happened if isinstance(event, Begun)]
    assert any("processes 1 (before: 2)" in note for note in begun.notes)
    assert load_file(Run(tmp_path / "two").best)


def test_ctrl_c_saves_and_ends_all(tmp_path: Path) -> None:
    config = by(2, settings(tmp_path, epochs=500, save_minutes=1e-6))
    run = Run(tmp_path / "a run")
    process = start([sys.executable], config, run.directory)
    while process.poll() is None and not run.last.exists():
        time.sleep(0.01)
    others = [int(line.split()[0]) for line in running(process.pid)]
    assert len(others) == 1
    os.kill(process.pid, signal.SIGTERM)
    told, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert "2 processes of 1 thread each" in told
    assert "Go on with: seq2seq train --run" in re.sub(r"\s+", " ", told)
    assert "Traceback" not in told
    with pytest.raises(ProcessLookupError):
        os.kill(others[0], 0)


def test_the_test_is_timed_with_all_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[int] = []
    timed = Closing._test_seconds

    def seconds(closing: Closing, translator: Translator) -> float | None:
        used.append(torch.get_num_threads())
        return timed(closing, translator)

    monkeypatch.setattr(Closing, "_test_seconds", seconds)
    trained(by(2, settings(tmp_path, epochs=1, max_minutes=5)), tmp_path / "a run")
    assert used == [2]


def test_too_many_processes_are_refused_at_once(tmp_path: Path) -> None:
    config = settings(tmp_path)
    with pytest.raises(ConfigError, match="3 processes: there is 1 thread"):
        trained(config.model_copy(update={"training": config.training.model_copy(update={"processes": 3})}), tmp_path)
