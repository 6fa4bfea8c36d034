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
from commands import Terminal
from corpora import TinyCorpus
from safetensors.torch import load_file
from torch import Tensor
from torch._C._distributed_c10d import HashStore, TCPStore

from seq2seq_cli.config.whole import Config
from seq2seq_cli.errors import DataError, RunError
from seq2seq_cli.ranks import ALONE, Ranks, joined
from seq2seq_cli.runs import Run
from seq2seq_cli.training import experiment as experiment_module
from seq2seq_cli.training import loop
from seq2seq_cli.training.experiment import Begun, experiment
from seq2seq_cli.training.progress import Progress

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


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
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


def by_two(*words: object) -> str:
    """The command by two processes; what they say."""
    launcher = [*TORCHRUN, "--nproc-per-node=2", *MODULE]
    answer = subprocess.run([*launcher, *map(str, words)], capture_output=True, text=True, timeout=120)
    assert answer.returncode == 0, answer.stderr
    return answer.stderr


@pytest.mark.slow
def test_two_processes_translate_and_score_in_order(trained_run: Run, tmp_path: Path, terminal: Terminal) -> None:
    source = TinyCorpus.write(tmp_path / "text", train=47).folder / "train.xx"
    shown: dict[str, list[str]] = {}
    for name, command in (("one", lambda *words: terminal.ok(*words).err), ("two", by_two)):
        output, scores = tmp_path / f"{name}.txt", tmp_path / f"{name}.scores"
        told = command("translate", source, "-o", output, "--run", trained_run.directory, "--nbest", 2)
        assert told.count("47 lines translated") == 1
        best = [line.split("\t")[2] for line in output.read_text(encoding="utf-8").splitlines()[::2]]
        (tmp_path / f"{name}.best").write_text("".join(f"{line}\n" for line in best), encoding="utf-8")
        command("score", source, tmp_path / f"{name}.best", "-o", scores, "--run", trained_run.directory)
        shown[name] = [output.read_text(encoding="utf-8"), scores.read_text(encoding="utf-8")]
    assert shown["one"] == shown["two"]


def test_what_is_random_is_another_in_each_step_and_process() -> None:
    """Processes that dropped the same would learn from fewer cases than they are."""
    seeds = set()
    for seed, step, rank in ((1, 4, 0), (2, 4, 0), (1, 5, 0), (1, 4, 1), (1, 4, 0)):
        loop._seed(seed, Progress(step=step), Ranks(rank, size=2))
        seeds.add(torch.initial_seed())
    assert len(seeds) == 4


@pytest.mark.parametrize("items", [0, 1, 5, 6])
def test_one_process_alone_is_all_there_is(items: int) -> None:
    assert list(ALONE.share(range(items))) == ALONE.gather(range(items)) == list(range(items))
    assert ALONE.sum(1.5, 2) == [1.5, 2]
    assert ALONE.tell("word") == "word"
    assert ALONE.any(True)
    assert not ALONE.any(False)


# What a job that is started again goes on with.


@pytest.fixture
def quick(tmp_path: Path) -> Config:
    """An evaluation or two, without attention, so that nothing is drawn."""
    corpus = TinyCorpus.write(tmp_path / "quick", train=20, dev=3, test=3)
    return corpus.config(training={"epochs": 2}, attention={"kind": "none"})


@pytest.fixture
def meeting(monkeypatch: pytest.MonkeyPatch) -> TCPStore:
    """Where the one process of a job finds the store that ``torchrun`` keeps."""
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    given = {"RANK": 0, "WORLD_SIZE": 1, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": store.port}
    for name, value in (given | {"TORCHELASTIC_USE_AGENT_STORE": True, "TORCHELASTIC_RESTART_COUNT": 0}).items():
        monkeypatch.setenv(name, str(value))
    return store


@pytest.mark.usefixtures("meeting")
def test_a_job_remembers_over_its_restarts_what_it_has_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["seq2seq", "train", "--run", "\udcff"])
    for before, restarts in enumerate((0, 1, 2)):
        monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", str(restarts))
        with joined() as ranks:
            assert (ranks.size, ranks.first, ranks.begun) == (1, True, before == 2)
            if restarts == 1:
                ranks.note_begun()
    monkeypatch.setattr(sys, "argv", ["seq2seq", "train", "--run", "other"])
    with joined() as ranks:
        assert not ranks.begun


@pytest.mark.slow
def test_a_process_that_no_torchrun_has_started_meets_nobody() -> None:
    code = (
        "import sys; from seq2seq_cli.ranks import joined\n"
        "with joined() as ranks: ranks.note_begun()\n"
        "assert not ranks.begun and 'torch' not in sys.modules"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TORCHELASTIC")}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)


def test_a_job_that_is_started_again_resumes_no_run_but_its_own(quick: Config, tmp_path: Path) -> None:
    run, meeting = Run(tmp_path / "run"), HashStore()

    def train(begun: bool, overwrite: bool = False) -> Begun:
        happened = list(experiment(quick, run.directory, False, overwrite, ranks=Ranks(begun=begun, meeting=meeting)))
        assert isinstance(happened[0], Begun)
        return happened[0]

    list(experiment(quick, run.directory, resume=False, overwrite=False))  # another's
    for _attempt in range(2):
        with pytest.raises(RunError, match="exists already"):
            train(begun=False)
    assert meeting.num_keys() == 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(experiment_module, "prepared_text", lambda *_: (_ for _ in ()).throw(DataError("gone")))
        with pytest.raises(DataError, match="gone"):
            train(begun=False, overwrite=True)
    assert meeting.num_keys() == 0
    assert train(begun=False, overwrite=True).resumed_at == 0
    assert meeting.num_keys() == 1
    assert train(begun=True, overwrite=True).resumed_at == 2


def test_nothing_is_noted_before_the_old_run_is_gone(
    quick: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, meeting = Run(tmp_path / "run"), HashStore()
    list(experiment(quick, run.directory, resume=False, overwrite=False))
    plain = Path.unlink

    def unlink(path: Path, missing_ok: bool = False) -> None:
        if path == run.config:
            raise KeyboardInterrupt
        plain(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", unlink)
    ranks = Ranks(meeting=meeting)
    with pytest.raises(KeyboardInterrupt):
        list(experiment(quick, run.directory, resume=False, overwrite=True, ranks=ranks))
    assert set(run.directory.iterdir()) == {run.config, run.lock}
    assert meeting.num_keys() == 0
    monkeypatch.undo()
    happened = list(experiment(quick, run.directory, resume=False, overwrite=True, ranks=ranks))
    assert isinstance(happened[0], Begun)
    assert happened[0].resumed_at == 0


@pytest.mark.slow
def test_torchrun_starts_again_but_takes_up_no_run_of_another(quick: Config, tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    list(experiment(quick, run.directory, resume=False, overwrite=False))
    before = {path: path.read_bytes() for path in run.directory.rglob("*") if path.is_file()}
    process = start([*TORCHRUN, "--nproc-per-node=1", "--max-restarts=1"], quick, run.directory)
    told, _ = process.communicate(timeout=120)
    assert process.returncode != 0
    assert told.count("exists already") == 2
    assert {path: path.read_bytes() for path in run.directory.rglob("*") if path.is_file()} == before


def test_a_translation_that_is_started_again_goes_on_with_its_own_output_alone(
    terminal: Terminal, trained_run: Run, tmp_path: Path, meeting: TCPStore
) -> None:
    text, out = tmp_path / "in", tmp_path / "out"
    text.write_text("ta nu\nnu\n", encoding="utf-8")
    out.write_text("of something else\n", encoding="utf-8")
    words = ["translate", text, "-o", out, "--run", trained_run.directory, "--beam", 1]
    keys = meeting.num_keys()
    assert "before" not in terminal.ok(*words).err  # as after a death before the first write
    whole = out.read_bytes()
    assert meeting.num_keys() > keys
    assert "it is whole, or was not begun" in terminal.refused(*words)  # as after a death behind the last one
    assert out.read_bytes() == whole
