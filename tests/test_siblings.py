"""Processes that one command starts: what they tell each other, share, and how they end."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from beside import dawdle, die, fail, share_slowly, shared_weights, talk, talk_and_tell
from hypothesis import given
from hypothesis import strategies as st

from seq2seq_cli.config.sections import TrainingConfig
from seq2seq_cli.device import WORTH_SHARING, WORTH_STARTING, choose_processes
from seq2seq_cli.errors import ConfigError, DataError, RunError
from seq2seq_cli.ranks import ALONE, Ranks
from seq2seq_cli.siblings import siblings
from seq2seq_cli.training.gradients import _share
from seq2seq_cli.training.shared import dealt

CPU = torch.device("cpu")


def test_all_hear_the_same_in_order() -> None:
    with siblings(2, talk_and_tell) as ranks:
        mine = talk(ranks)
        heard = ranks.gather([mine])
    assert mine == [[0, 1, 4, 9, 16, 25, 36], [0.1 + 0.2 + 0.1 * 3, 3], True, False, "from 0", [0.5, 1.5, 2.5]]
    assert heard == [mine] * 3


def meet_twice(entry: Callable[[Ranks], None]) -> None:
    with siblings(1, entry) as ranks:
        ranks.meet()
        ranks.meet()


def test_what_goes_wrong_in_another_process_is_raised_in_the_first() -> None:
    with pytest.raises(DataError, match="a line too many") as caught:
        meet_twice(fail)
    assert (caught.value.where, caught.value.hint) == ("train.en:7", "Take it out.")


def test_a_process_that_dies_is_missed() -> None:
    with pytest.raises(RunError, match="process 2 of this command has died") as caught:
        meet_twice(die)
    assert "--resume" in (caught.value.hint or "")


class Hurried(subprocess.Popen[bytes]):
    """A process that hears of Ctrl-C before it is ready."""

    def __init__(self, *arguments: Any, **others: Any) -> None:
        super().__init__(*arguments, **others)
        self.send_signal(signal.SIGINT)


def test_a_signal_is_for_the_first_process_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("seq2seq_cli.siblings.subprocess.Popen", Hurried)
        with pytest.raises(DataError, match="a line too many"):
            meet_twice(fail)


@pytest.mark.slow
def test_what_the_first_loads_is_not_written_over_by_a_slow_one() -> None:
    with siblings(1, share_slowly) as ranks:
        weights = shared_weights(ranks)
        weights.fill_(7.0)
        ranks.meet()
        assert float(weights) == 7.0


def running(parent: int) -> list[str]:
    listed = subprocess.run(["ps", "-ww", "--ppid", str(parent), "-o", "pid=,args="], capture_output=True, text=True)
    return [line for line in listed.stdout.splitlines() if "seq2seq_cli.siblings" in line]


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="lists processes as Linux does")
def test_none_is_left_when_the_first_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seq2seq_cli.siblings.SECONDS", 0.2)
    with siblings(1, dawdle) as ranks:
        ranks.tell(None)
        assert len(running(os.getpid())) == 1
    assert running(os.getpid()) == []


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="lists processes as Linux does")
def test_the_first_waits_once_for_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seq2seq_cli.siblings.SECONDS", 1.0)
    with siblings(4, dawdle) as ranks:
        ranks.tell(None)
        began = time.monotonic()
    assert time.monotonic() - began < 3.0
    assert running(os.getpid()) == []


def test_a_process_that_cannot_be_started_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr("seq2seq_cli.siblings.subprocess.Popen", full)
    with pytest.raises(RunError, match="cannot be started: Resource temporarily unavailable"):
        meet_twice(fail)


KILLED = """
import os, signal, sys
sys.path[:] = {path!r}
from seq2seq_cli.siblings import siblings
from beside import wait_for_ever
with siblings(1, wait_for_ever) as ranks:
    print(ranks.gather([os.getpid()])[1], flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_others_end_when_the_first_is_killed() -> None:
    path = [str(Path(__file__).parent), *sys.path]
    done = subprocess.run([sys.executable, "-c", KILLED.format(path=path)], capture_output=True, text=True, timeout=60)
    assert done.returncode == -signal.SIGKILL
    until = time.monotonic() + 20
    while time.monotonic() < until:
        try:
            os.kill(int(done.stdout), 0)
        except ProcessLookupError:
            break
        time.sleep(0.05)
    else:
        pytest.fail("it is still there")
    assert done.stderr == ""


@given(st.lists(st.integers(0, 10**7), max_size=40), st.integers(1, 9))
def test_parameters_are_dealt_once_and_fairly(sizes: list[int], hands: int) -> None:
    owners = dealt(sizes, hands)
    assert len(owners) == len(sizes)
    assert all(0 <= owner < hands for owner in owners)
    has = np.bincount(owners, sizes, minlength=hands) if sizes else np.zeros(hands)
    # Whoever got the last item of the one who has most had least at that time.
    assert has.max() - has.min() <= max(sizes, default=0)


@given(st.lists(st.integers(1, 30), min_size=1, max_size=9), st.integers(1, 4))
def test_a_step_is_shared_out_without_rest(rows: list[int], size: int) -> None:
    ends = np.cumsum(rows)
    group = [np.arange(end - count, end) for end, count in zip(ends, rows, strict=True)]
    shares = [_share(Ranks(rank, size), group) for rank in range(size)]
    counted = [row for batches, weight in shares if weight for batch in batches for row in batch.tolist()]
    assert sorted(counted) == list(range(sum(rows)))
    whole = len(group) // size
    assert all(len(batches) >= whole for batches, _ in shares)
    if len(group) % size == 0:  # as many whole batches for each
        assert {len(batches) for batches, _ in shares} == {whole}
        assert all(any(batch is one for one in group) for batches, _ in shares for batch in batches)


def chosen(threads: int, ranks: Ranks = ALONE, pairs: int | None = 10**6, device: str = "cpu", **given: Any) -> int:
    return choose_processes(TrainingConfig.model_validate(given), torch.device(device), threads, ranks, pairs)


def test_processes_are_started_where_that_pays() -> None:
    large: dict[str, Any] = {"batch_tokens": 2 * WORTH_SHARING}
    assert chosen(2, **large) == 2
    assert chosen(2, batch_tokens=WORTH_SHARING, accumulate=2) == 2
    assert chosen(4, **large) == 1  # too little for each
    assert chosen(2, pairs=WORTH_STARTING - 1, **large) == 1
    assert chosen(2, pairs=None, **large) == 1
    assert chosen(2) == 1
    assert chosen(4, processes=2) == 2
    assert chosen(4, processes=4, pairs=1) == 4
    assert chosen(2, Ranks(0, 2), **large) == 1
    meeting: Any = object()
    assert chosen(2, Ranks(meeting=meeting), **large) == 1  # torchrun, with one process
    assert chosen(2, device="cuda", **large) == 1
    assert chosen(2, precision="fp16", **large) == 1


@pytest.mark.parametrize(
    ("threads", "ranks", "device", "precision", "told"),
    [
        (1, ALONE, "cpu", "fp32", "there is 1 thread for all"),
        (4, Ranks(0, 2), "cpu", "fp32", "torchrun has started"),
        (4, ALONE, "cuda", "fp32", "use torchrun"),
        (4, ALONE, "cpu", "fp16", "in fp16"),
    ],
)
def test_processes_that_cannot_be_are_refused(
    threads: int, ranks: Ranks, device: str, precision: str, told: str
) -> None:
    with pytest.raises(ConfigError, match=told):
        chosen(threads, ranks, device=device, precision=precision, processes=2)
    assert chosen(threads, ranks, device=device, precision=precision, processes=1) == 1
