"""Several processes on one training are one training."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from corpora import TinyCorpus
from safetensors.torch import load_file
from torch import Tensor

from seq2seq_cli.config import Config
from seq2seq_cli.ranks import ALONE
from seq2seq_cli.runs import Run

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
"""Meets over the loopback device."""
SINGLE = [sys.executable]
MODULE = ["-m", "seq2seq_cli", "--"]
"""Behind the two dashes torchrun does not take --run for an option of its own."""


def settings(folder: Path, **training: object) -> Config:
    corpus = TinyCorpus.write(folder / "text", train=61, dev=5, test=4)
    values = {"epochs": 3, "batch_tokens": 150, "precision": "fp32", "threads": 1, "accumulate": 2, **training}
    return corpus.config(training=values, model={"dropout": 0.0})


def start(launcher: list[str], config: Config, run: Path, *more: str) -> "subprocess.Popen[str]":
    path = run.parent / f"{run.name}.toml"
    path.write_text(config.to_toml(), encoding="utf-8")
    module = MODULE if "torch.distributed.run" in launcher else MODULE[:2]
    command = [*launcher, *module, "train", "--config", str(path), "--run", str(run), *more]
    environment = os.environ | {"SEQ2SEQ_CACHE": str(run.parent / "cache"), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finish(process: "subprocess.Popen[str]") -> str:
    told, _ = process.communicate(timeout=120)
    assert process.returncode == 0, told
    return told


def last_weights(run: Path) -> dict[str, Tensor]:
    """Of the last evaluation."""
    return load_file(sorted((run / "checkpoints").glob("evaluation-*.safetensors"))[-1])


def mean_gradients(run: Path) -> list[Tensor]:
    """Adam's running mean of the gradients, at the end."""
    state = torch.load(run / "checkpoints" / "last.pt", weights_only=True)
    return [moments["exp_avg"] for moments in state["optimizer"]["state"].values()]


def test_two_processes_train_what_one_does(tmp_path: Path) -> None:
    config = settings(tmp_path)
    alone = finish(start(SINGLE, config, tmp_path / "one"))
    together = finish(start([*TORCHRUN, "--nproc-per-node=2"], config, tmp_path / "two"))
    assert together.count("Run directory") == 1  # the first one alone speaks
    assert together.count("epoch 3") == alone.count("epoch 3")
    for one, two in zip(mean_gradients(tmp_path / "one"), mean_gradients(tmp_path / "two"), strict=True):
        torch.testing.assert_close(two, one, rtol=0, atol=1e-7)
    weights, others = last_weights(tmp_path / "one"), last_weights(tmp_path / "two")
    for name, weight in weights.items():
        # Adam divides a gradient by its own size, so that of one next to zero it is rounding that takes the step.
        torch.testing.assert_close(others[name], weight, rtol=0, atol=1e-5, msg=name)
    assert (tmp_path / "two" / "eval.json").is_file()


def test_a_killed_process_costs_nothing(tmp_path: Path) -> None:
    config = settings(tmp_path, evaluate_every=3, save_minutes=0.001)
    config = config.model_copy(update={"model": config.model.model_copy(update={"dropout": 0.3})})
    pair = [*TORCHRUN, "--nproc-per-node=2"]
    finish(start(pair, config, tmp_path / "unbroken"))
    process = start([*pair, "--max-restarts=3"], config, tmp_path / "killed")
    deadline = time.monotonic() + 60
    while not (tmp_path / "killed" / "checkpoints" / "evaluation-00002.safetensors").is_file():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    workers = subprocess.run(
        ["pgrep", "-P", str(process.pid), "-f", "seq2seq_cli"], capture_output=True, text=True, check=True
    )
    os.kill(int(workers.stdout.split()[-1]), signal.SIGKILL)
    told = finish(process)
    assert "resumed after step" in told
    unbroken, killed = last_weights(tmp_path / "unbroken"), last_weights(tmp_path / "killed")
    for name, weight in unbroken.items():
        assert torch.equal(killed[name], weight), name


def command(launcher: list[str], *words: object) -> str:
    module = MODULE if launcher is not SINGLE else MODULE[:2]
    answer = subprocess.run(
        [*launcher, *module, *map(str, words)], capture_output=True, text=True, timeout=120, env=os.environ
    )
    assert answer.returncode == 0, answer.stderr
    return answer.stderr


def test_two_processes_translate_and_score_in_order(trained_run: Run, tmp_path: Path) -> None:
    source = TinyCorpus.write(tmp_path / "text", train=47).folder / "train.xx"
    pair = [*TORCHRUN, "--nproc-per-node=2"]
    shown: dict[str, list[str]] = {}
    for name, launcher in (("one", SINGLE), ("two", pair)):
        output, scores = tmp_path / f"{name}.txt", tmp_path / f"{name}.scores"
        told = command(launcher, "translate", source, "-o", output, "--run", trained_run.directory, "--nbest", 2)
        assert told.count("47 lines translated") == 1
        best = [line.split("\t")[2] for line in output.read_text(encoding="utf-8").splitlines()[::2]]
        (tmp_path / f"{name}.best").write_text("".join(f"{line}\n" for line in best), encoding="utf-8")
        command(launcher, "score", source, tmp_path / f"{name}.best", "-o", scores, "--run", trained_run.directory)
        shown[name] = [output.read_text(encoding="utf-8"), scores.read_text(encoding="utf-8")]
    assert shown["one"] == shown["two"]


@pytest.mark.parametrize("items", [0, 1, 5, 6])
def test_one_process_alone_is_all_there_is(items: int) -> None:
    assert list(ALONE.share(range(items))) == ALONE.gather(range(items)) == list(range(items))
    assert ALONE.sum(1.5, 2) == [1.5, 2]
    assert ALONE.tell("word") == "word"
    assert ALONE.any(True)
    assert not ALONE.any(False)
