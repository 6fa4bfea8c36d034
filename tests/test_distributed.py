"""Several processes on one training are one training."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
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
    try:
        told, _ = process.communicate(timeout=120)
    except subprocess.TimeoutExpired:
        process.kill()
        told, _ = process.communicate()
        pytest.fail(told)
    assert process.returncode == 0, told
    return told


def last_weights(run: Path) -> dict[str, Tensor]:
    """Of the last evaluation."""
    return load_file(sorted((run / "checkpoints").glob("evaluation-*.safetensors"))[-1])


def mean_gradients(run: Path) -> list[Tensor]:
    """Adam's running mean of the gradients, at the end."""
    state = torch.load(run / "checkpoints" / "last.pt", weights_only=True)
    return [moments["exp_avg"] for moments in state["optimizer"]["state"].values()]


def assert_same_training(run: Path, other: Path) -> None:
    for one, two in zip(mean_gradients(run), mean_gradients(other), strict=True):
        torch.testing.assert_close(two, one, rtol=0, atol=1e-7)
    weights, others = last_weights(run), last_weights(other)
    for name, weight in weights.items():
        # Adam divides a gradient by its own size, so that of one next to zero it is rounding that takes the step.
        torch.testing.assert_close(others[name], weight, rtol=0, atol=1e-5, msg=name)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> tuple[Config, Path, str]:
    """Trained by one process: the settings, the run, and what was said."""
    folder = tmp_path_factory.mktemp("alone")
    config = settings(folder)
    return config, folder / "one", finish(start(SINGLE, config, folder / "one"))


def test_two_processes_train_what_one_does(alone: tuple[Config, Path, str], tmp_path: Path) -> None:
    config, one, told = alone
    together = finish(start([*TORCHRUN, "--nproc-per-node=2"], config, tmp_path / "two"))
    assert together.count("Run directory") == 1  # the first one alone speaks
    assert together.count("epoch 3") == told.count("epoch 3")
    assert_same_training(one, tmp_path / "two")
    assert (tmp_path / "two" / "eval.json").is_file()


@pytest.fixture
def hosts() -> Iterator[dict[str, str]]:
    """Two network namespaces with a wire between them, by their addresses: two machines, as far as they can tell."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("network namespaces need root and iproute2")
    names = {f"10.98.76.{number}": f"seq2seq-{os.getpid()}-{number}" for number in (1, 2)}
    first, second = names.values()

    def ip(*words: str) -> None:
        subprocess.run(["ip", *words], check=True, capture_output=True)

    try:
        try:
            for name in names.values():
                ip("netns", "add", name)
            ip("link", "add", "wire", "netns", first, "type", "veth", "peer", "name", "wire", "netns", second)
            for address, name in names.items():
                ip("-n", name, "address", "add", f"{address}/24", "dev", "wire")
                ip("-n", name, "link", "set", "wire", "up")
                ip("-n", name, "link", "set", "lo", "up")
        except subprocess.CalledProcessError as problem:
            pytest.skip(f"no network namespaces here: {problem.stderr.decode().strip()}")
        yield names
    finally:
        for name in names.values():
            subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)


def test_two_machines_train_what_one_process_does(
    alone: tuple[Config, Path, str], hosts: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, one, _ = alone
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "wire")
    first = next(iter(hosts))
    meet = ["--nnodes=2", "--nproc-per-node=1", "--rdzv-backend=c10d", f"--rdzv-endpoint={first}:29500"]
    launch = [sys.executable, "-m", "torch.distributed.run", *meet]
    processes = [
        # Which of them the endpoint is cannot be seen from the name of a host, which both share.
        start(
            [
                "ip",
                "netns",
                "exec",
                name,
                *launch,
                f"--local-addr={address}",
                f"--rdzv-conf=is_host={address == first}",
            ],
            config,
            tmp_path / "two",
        )
        for address, name in hosts.items()
    ]
    for process in processes:
        finish(process)
    assert_same_training(one, tmp_path / "two")


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
