"""A training that is killed without warning, and resumed, ends as one that was never killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from corpora import TinyCorpus
from learners import differing

from seq2seq_cli.model.weights import read_weights
from seq2seq_cli.runs import Run


def command(corpus: TinyCorpus, run: Path, precision: str, *more: str) -> list[str]:
    data = [f"--{split}={corpus.folder / split}" for split in ("train", "dev", "test")]
    sizes = {"model.hidden_size": 32, "model.embedding_size": 24, "subword.vocab_size": 60}
    often = {"training.batch_tokens": 150, "training.save_minutes": 0.001, "training.evaluate_every": 7}
    overrides = [f"--set={key}={value}" for key, value in {**sizes, **often}.items()]
    return [
        sys.executable, "-m", "seq2seq_cli", "train", "--attention=luong-general", *data, "--src=xx", "--tgt=yy",
        *overrides, f"--run={run}", f"--precision={precision}", "--threads=1", "--epochs=6", *more,
    ]  # fmt: skip


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_sigkill_at_any_moment_changes_nothing(precision: str, tiny_corpus: TinyCorpus, tmp_path: Path) -> None:
    whole, killed = Run(tmp_path / "whole"), Run(tmp_path / "killed")
    subprocess.run(command(tiny_corpus, whole.directory, precision), check=True, capture_output=True)

    seed = time.time_ns()  # another moment each time: the claim is about all of them
    more: list[str] = []
    kills = 0
    for attempt in range(2):
        process = subprocess.Popen(
            command(tiny_corpus, killed.directory, precision, *more), stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        wait_for_training(process, killed)
        time.sleep((seed // 7**attempt % 1000) / 1000)
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
            kills += 1
        process.communicate()
        more = ["--resume"]
    subprocess.run(command(tiny_corpus, killed.directory, precision, "--resume"), check=True, capture_output=True)
    assert kills, "every training was over before it was to be killed"
    assert differing(read_weights(killed.best), read_weights(whole.best)) == [], f"moments drawn from {seed}"
    last = [torch.load(run.last, weights_only=True)["weights"] for run in (killed, whole)]
    assert differing(*last) == [], f"moments drawn from {seed}"


def wait_for_training(process: "subprocess.Popen[bytes]", run: Run) -> None:
    """Until this process has written its first checkpoint, or ended."""
    before = run.last.stat().st_mtime_ns if run.last.exists() else 0
    while process.poll() is None and not (run.last.exists() and run.last.stat().st_mtime_ns > before):
        time.sleep(0.01)
