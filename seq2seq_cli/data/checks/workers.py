"""Several processes look at chunks; the results come in order."""

from __future__ import annotations

import multiprocessing
import signal
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from itertools import chain, islice

from seq2seq_cli.data.checks.chunk import Chunk, Expected, Seen, look_at
from seq2seq_cli.signals import STOPPING

FEW = 4
"""So many chunks are looked at sooner than new processes would have started."""
AHEAD = 2
"""How many chunks for each process may be waiting, for it or for the result of an earlier chunk."""

_expected: list[Expected] = []


def looked_at(chunks: Iterable[Chunk], expected: Expected, processes: int) -> Iterator[Seen]:
    """`look_at` of each chunk, in order. Only a few chunks are in memory at any time."""
    iterator = iter(chunks)
    first = list(islice(iterator, FEW + 1))
    if len(first) <= FEW or processes < 2:
        yield from (look_at(chunk, expected) for chunk in chain(first, iterator))
        return
    # Not forked: threads (of the progress display) do not survive a fork.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(processes, context, initializer=_begin, initargs=(expected,))
    try:
        waiting: deque[Future[Seen]] = deque()
        for chunk in chain(first, iterator):
            waiting.append(pool.submit(_look_at, chunk))
            if len(waiting) > AHEAD * processes:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _begin(expected: Expected) -> None:
    for number in STOPPING:  # where a terminal or a scheduler sends these to all processes, the parent handles them
        signal.signal(number, signal.SIG_IGN)
    _expected.append(expected)


def _look_at(chunk: Chunk) -> Seen:
    return look_at(chunk, _expected[0])
