"""Batches shared out among the cores: a thread computes one by itself.

Threads inside a product wait for each other after every product, thousands of times a second; a thread that has a whole
batch waits for nobody. Torch lets other Python threads run while it computes, and all of them read the same weights.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

import torch

R = TypeVar("R")

Check = Callable[[], None]
"""Called often by whoever computes a batch; it raises where the work is to end."""
Compute = Callable[[list[int], Check], Sequence[R]]
"""Computes the items of these numbers together, one result each."""

SECONDS = 0.05
"""Seconds between two calls of a watch while other threads compute."""


def compute_all(
    compute: Compute[R], batches: Sequence[list[int]], threads: int, watch: Callable[[int], None]
) -> dict[int, R]:
    """What ``compute`` makes of every item of ``batches``, by its number; the first batches begin first. ``threads``:
    how many cores to use. What is computed does not depend on it, except that a single batch is left to torch's own
    threads, whose number may change the last digits of what is not in 8-bit integers.

    ``watch`` hears again and again, in the calling thread, how many items are done. What it raises, what ``compute``
    raises and what a signal raises ends the work, and all of its threads.
    """
    at_once = min(threads, len(batches))
    if at_once > 1:
        return _Sharing(compute, deque(batches)).made(at_once, watch)
    made: dict[int, R] = {}
    for batch in batches:
        made |= zip(batch, compute(batch, partial(watch, len(made))), strict=True)
    return made


class _UnwantedError(Exception):
    """Raised in a thread whose result nobody waits for any more."""


@dataclass
class _Sharing(Generic[R]):
    """The ``waiting`` batches, the ``results`` of those that are computed, and whether the work is ``over``."""

    compute: Compute[R]
    waiting: deque[list[int]]
    results: SimpleQueue[dict[int, R] | BaseException] = field(default_factory=SimpleQueue)
    over: threading.Event = field(default_factory=threading.Event)

    def made(self, at_once: int, watch: Callable[[int], None]) -> dict[int, R]:
        """All results, by ``at_once`` threads."""
        items = sum(map(len, self.waiting))
        before = torch.get_num_threads()
        threads = [threading.Thread(target=self._work, name="batches") for _ in range(at_once)]
        made: dict[int, R] = {}
        try:
            for thread in threads:
                thread.start()
            while len(made) < items:
                watch(len(made))
                made |= self._next()
        finally:
            self.over.set()
            for thread in threads:
                if thread.ident is not None:
                    thread.join()
            torch.set_num_threads(before)  # some of torch's libraries have one number for all threads
        return made

    def _next(self) -> dict[int, R]:
        try:
            result = self.results.get(timeout=SECONDS)
        except Empty:
            return {}
        if isinstance(result, BaseException):
            raise result
        return result

    def _work(self) -> None:
        try:
            torch.set_num_threads(1)  # for what this thread computes
            while (batch := self._take()) is not None:
                self.results.put(dict(zip(batch, self.compute(batch, self._check), strict=True)))
        except BaseException as problem:  # carried over to the thread that waits for the result
            self.results.put(problem)

    def _take(self) -> list[int] | None:
        try:
            return None if self.over.is_set() else self.waiting.popleft()
        except IndexError:
            return None

    def _check(self) -> None:
        if self.over.is_set():
            raise _UnwantedError
