"""Threads that wait for each other where other programs have the cores."""

import os
import subprocess
import sys

import pytest

from seq2seq_cli.waiting import _gomp, should_sleep_early, waited

RUNNING = """
import time, torch
from seq2seq_cli.waiting import EarlySleep, _gomp
torch.set_num_threads(2)
ones = torch.ones(300_000)

def used():
    "Seconds of processor time that 50 shared products and the pauses after them take."
    begun = time.process_time()
    for _ in range(50):
        torch.tanh(ones)
        time.sleep(0.01)
    return time.process_time() - begun

used()
gomp = _gomp()
for _ in range(2):
    spinning = used()
    early = EarlySleep(gomp)
    sleeping = used()
    early.end()
    print(spinning, sleeping)
"""


def needs_gnu_openmp() -> None:
    gomp = _gomp()
    if gomp is None or gomp.omp_get_num_procs() < 2:
        pytest.skip("torch has another OpenMP here, or one core, on which threads sleep early anyway")


@pytest.mark.parametrize(
    ("asleep", "waits", "wanted"),
    [
        (False, 0.04, False),  # alone
        (False, 0.7, True),  # beside a program that spins
        (False, 0.2, False),
        (True, 0.3, True),  # the same, asleep
        (True, 0.2, True),
        (True, 0.04, False),
    ],
)
def test_threads_sleep_early_while_one_waits_much_for_a_core(asleep: bool, waits: float, wanted: bool) -> None:
    before = {"1": 5.0, "2": 1.0, "ended": 0.0}
    now = {"1": 5.0 + 2 * waits, "2": 1.01, "new": 9.0}
    assert should_sleep_early(asleep, before, now, seconds=2.0) is wanted


def test_a_process_without_threads_known_does_not_sleep_early() -> None:
    assert not should_sleep_early(True, {}, {}, 1.0)


@pytest.mark.skipif(not os.path.exists("/proc/self/schedstat"), reason="the system does not say")
def test_waits_of_each_thread_are_known() -> None:
    first = waited()
    assert str(os.getpid()) in first
    assert all(later >= first.get(thread, 0.0) for thread, later in waited().items())


def test_waiting_threads_sleep_early_for_as_long_as_asked() -> None:
    needs_gnu_openmp()
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_"))}
    told = subprocess.run([sys.executable, "-c", RUNNING], env=environment, capture_output=True, text=True, check=True)
    for line in told.stdout.splitlines():
        spinning, sleeping = map(float, line.split())
        assert sleeping < 0.6 * spinning


@pytest.mark.parametrize(
    ("given", "watched"),
    [({}, True), ({"GOMP_SPINCOUNT": "7"}, False), ({"OMP_WAIT_POLICY": "active"}, False)],
)
def test_waits_are_watched_unless_the_user_says_how_to_wait(given: dict[str, str], watched: bool) -> None:
    needs_gnu_openmp()
    if not waited():
        pytest.skip("the system does not say how long threads wait")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_"))} | given
    code = """
import threading
from seq2seq_cli.device import set_threads
def watching(): return [thread.name for thread in threading.enumerate() if thread.name == "waits"]
set_threads(1); print(len(watching()))
set_threads(2); set_threads(2); print(len(watching()))
"""
    told = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert told.stdout.split() == ["0", "1" if watched else "0"]
