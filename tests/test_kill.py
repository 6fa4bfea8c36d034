"""A training that is killed or asked to stop at any moment, and resumed, ends as one that never was.

SEQ2SEQ_KILLS=100 kills a hundred times.
"""

import multiprocessing
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
import torch
from corpora import TinyCorpus
from learners import differing

from seq2seq_cli.config.whole import Config
from seq2seq_cli.model.weights import read_weights
from seq2seq_cli.runs import Run

pytestmark = pytest.mark.slow

KILLS = int(os.environ.get("SEQ2SEQ_KILLS", "4"))


@pytest.fixture(scope="module")
def context() -> ForkServerContext:
    """Processes that have torch loaded already: each begins within milliseconds."""
    forking = multiprocessing.get_context("forkserver")
    forking.set_forkserver_preload(["seq2seq_cli.training.experiment"])
    return forking


def train(config: Config, directory: Path) -> None:
    """Train, from wherever the run is, to the mean of the last weights."""
    os.environ["OMP_NUM_THREADS"] = "1"
    from seq2seq_cli.training.experiment import Averaged, experiment

    run = Run(directory)
    for event in experiment(config, directory, resume=run.config.is_file(), overwrite=False):
        if isinstance(event, Averaged):  # intervals and pictures would take longer than all the rest
            break


def finish(process: BaseProcess) -> None:
    process.join()
    assert process.exitcode == 0


@pytest.mark.parametrize(("precision", "threads"), [("fp32", 1), ("bf16", 1), ("fp32", 2)])
def test_sigkill_at_any_moment_changes_nothing(
    precision: str, threads: int, context: ForkServerContext, tmp_path: Path
) -> None:
    """Epochs that are shuffled each its own way, evaluations amid them, averaging, and a checkpoint after every step."""
    corpus = TinyCorpus.write(tmp_path / "tiny", train=40, dev=3, test=3)
    training = {"epochs": 6, "batch_tokens": 100, "evaluate_every": 4, "save_minutes": 1e-6, "average": 3}
    sizes = {}
    if threads > 1:  # large enough for torch to share the work out
        training |= {"epochs": 3, "batch_tokens": 1000, "evaluate_every": 1}
        sizes = {"hidden_size": 240, "embedding_size": 240}
    config = corpus.config(
        training={**training, "precision": precision, "threads": threads},
        model={"dropout": 0.3, **sizes},
        attention={"kind": "luong-general"},
    )
    whole = Run(tmp_path / "whole")
    finish(begin(context, config, whole))
    began = time.monotonic()
    finish(begin(context, config, Run(tmp_path / "timed")))
    seconds = time.monotonic() - began

    drawn = random.Random(seed := time.time_ns())  # other moments each time: the claim is about all of them
    kills = number = 0
    while kills < (KILLS + 1) // 2:
        number += 1
        run = Run(tmp_path / f"killed-{number}")
        while True:
            process = begin(context, config, run)
            process.join(drawn.uniform(0, seconds))
            if process.exitcode is not None:
                break
            process.kill()
            process.join()
            kills += 1
        assert process.exitcode == 0
        assert same(run, whole), f"moments drawn from {seed}, run {number}"
        shutil.rmtree(run.directory)
    print(f"{precision}, {threads} threads: {kills} kills in {number} runs, each run as an unbroken one")


def begin(context: ForkServerContext, config: Config, run: Run) -> BaseProcess:
    process = context.Process(target=train, args=(config, run.directory))
    process.start()
    return process


def same(run: Run, whole: Run) -> bool:
    """Whether all weights, optimiser states and counters are the same bit for bit."""
    names = [path.name for path in whole.checkpoints.glob("*.safetensors")]
    pairs = [(read_weights(run.checkpoints / name), read_weights(whole.checkpoints / name)) for name in names]
    one, other = (torch.load(each.last, weights_only=True) for each in (run, whole))
    for state in (one, other):
        state["progress"]["seconds"] = 0
    rest = [repr({**state, "weights": None}) for state in (one, other)]
    return (
        len(names) == 4
        and all(not differing(*pair) for pair in [*pairs, (one["weights"], other["weights"])])
        and (rest[0] == rest[1])
    )


def command(corpus: TinyCorpus, run: Path, *more: str) -> list[str]:
    data = [f"--{split}={corpus.folder / split}" for split in ("train", "dev", "test")]
    sizes = {"model.hidden_size": 32, "model.embedding_size": 24, "subword.vocab_size": 60}
    often = {"training.batch_tokens": 150, "training.evaluate_every": 7}
    overrides = [f"--set={key}={value}" for key, value in {**sizes, **often}.items()]
    return [
        sys.executable, "-m", "seq2seq_cli", "train", "--attention=luong-general", *data, "--src=xx", "--tgt=yy",
        *overrides, f"--run={run}", "--precision=fp32", "--threads=1", "--epochs=500", *more,
    ]  # fmt: skip


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_says_how_to_go_on(number: signal.Signals, tiny_corpus: TinyCorpus, tmp_path: Path) -> None:
    run = Run(tmp_path / "a run")
    # Where the tests run in a shell's background, SIGINT is ignored, and a child would inherit that.
    process = subprocess.Popen(
        command(tiny_corpus, run.directory),
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    while process.poll() is None and not run.last.exists():
        time.sleep(0.01)
    before = run.last.stat().st_mtime_ns
    os.kill(process.pid, number)
    _, told = process.communicate()
    assert process.returncode == 128 + number
    assert f"Go on with: seq2seq train --run '{run.directory}' --resume" in re.sub(r"\s+", " ", told.decode())
    assert b"Traceback" not in told
    assert run.last.stat().st_mtime_ns > before
    assert not list(run.directory.rglob("*.tmp"))
