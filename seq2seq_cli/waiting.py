"""How long threads that share a product wait for each other, on cores that other programs use too.

In GNU's OpenMP, a thread that has done its part spins for milliseconds before it sleeps. That is quick where the cores
are free. But where another program uses one of the cores, the spinning thread uses up its share of that core, and then
keeps the other threads waiting at the next product, thousands of times a second in training. So a thread of our own
checks once a second how long the others had to wait for a core, and lets them sleep early as long as that is much
(figures in docs/performance.md). What is computed stays the same.
"""

from __future__ import annotations

import ctypes
import functools
import os
import threading
import time
from pathlib import Path

import torch

SECONDS = 1.0
"""Seconds between two checks."""

MUCH, LITTLE = 0.25, 0.1
"""Shares of its time that a thread waited for a core. Above the first, threads begin to sleep early; below the second,
they spin again. Beside a program that spins they wait for 0.3 to 0.7 of their time, alone for 0.01 to 0.04."""

MOST_CORES = 64
"""On more cores nothing is done: sleeping early takes as many idle threads as there are cores."""

TASKS = Path("/proc/self/task")


@functools.cache
def watch_waits() -> None:
    """From now on, let the threads of this process sleep early while other programs use their cores. Call it once. Does
    nothing where waiting cannot be measured (only Linux reports it), where torch has another OpenMP, or where the
    environment says how to wait."""
    gomp = _gomp()
    told = {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & set(os.environ)
    if gomp is not None and not told and waited() and gomp.omp_get_num_procs() <= MOST_CORES:
        threading.Thread(target=_watch, args=(gomp,), name="waits", daemon=True).start()


def waited() -> dict[str, float]:
    """For each thread of this process, by its number: for how many seconds so far it could have run but had no core.
    Empty where the system does not say."""
    seconds = {}
    try:
        for task in TASKS.iterdir():
            ran, waiting, _ = (task / "schedstat").read_text(encoding="ascii").split()
            if int(ran):
                seconds[task.name] = int(waiting) / 1e9
    except (OSError, ValueError):  # a thread that has just ended; or a system without the file
        return seconds
    return seconds


def should_sleep_early(asleep: bool, before: dict[str, float], now: dict[str, float], seconds: float) -> bool:
    """Whether the longest wait between two checks, ``seconds`` apart, is much; ``asleep``: whether threads already
    sleep early."""
    longest = max((now[thread] - before[thread] for thread in now.keys() & before.keys()), default=0.0)
    return longest / seconds > (LITTLE if asleep else MUCH)


class EarlySleep:
    """While it lasts, GNU's OpenMP has more threads than cores; then threads that wait sleep after 100 turns instead of
    300,000. The surplus threads sleep all the time."""

    def __init__(self, gomp: ctypes.CDLL) -> None:
        self._over = threading.Event()
        begun = threading.Event()
        self._thread = threading.Thread(target=self._hold, args=(gomp, begun), name="early-sleep", daemon=True)
        self._thread.start()
        begun.wait()

    def _hold(self, gomp: ctypes.CDLL, begun: threading.Event) -> None:
        # Any C function will do that every thread can call; OpenMP keeps the threads as long as the calling thread lives.
        gomp.GOMP_parallel(gomp.omp_get_thread_num, None, gomp.omp_get_num_procs() + 1, 0)
        begun.set()
        self._over.wait()

    def end(self) -> None:
        self._over.set()
        self._thread.join()


def _gomp() -> ctypes.CDLL | None:
    """GNU's OpenMP as torch has loaded it (other packages may bring their own); None where torch has another one or
    none."""
    library = ctypes.CDLL(torch._C.__file__)
    of_llvm = hasattr(library, "kmp_get_blocktime")  # it answers to GNU's names too
    return library if hasattr(library, "GOMP_parallel") and not of_llvm else None


def _watch(gomp: ctypes.CDLL) -> None:
    early: EarlySleep | None = None
    before, then = waited(), time.monotonic()
    while True:
        time.sleep(SECONDS)
        now, this = waited(), time.monotonic()
        wanted = should_sleep_early(early is not None, before, now, this - then)
        if wanted and early is None:
            early = EarlySleep(gomp)
        elif early is not None and not wanted:
            early.end()
            early = None
        before, then = now, this
