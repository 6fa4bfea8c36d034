"""Lines as they arrive: one alone is answered at once, many together are taken as one batch."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator
from itertools import islice

WAITING = 2000
"""Most lines that are read ahead, and most that are handed on together: enough for full batches, few enough to hold in
memory."""


def groups_of(lines: Iterable[str]) -> Iterator[list[str]]:
    """All of ``lines``, in order, in groups of ``WAITING``; the last may be smaller."""
    remaining = iter(lines)
    while group := list(islice(remaining, WAITING)):
        yield group


def gather_ready(lines: Iterable[str]) -> Iterator[list[str]]:
    """All of ``lines``, in order, in groups. A group holds the lines that have arrived while the group before was dealt
    with, at least one and at most ``WAITING``.

    ``lines`` is read in a thread of its own. An exception of the reading is raised here, after the lines read before
    it.
    """
    waiting: queue.Queue[str | BaseException | None] = queue.Queue(maxsize=WAITING)

    def read() -> None:
        try:
            for line in lines:
                waiting.put(line)
            waiting.put(None)
        except BaseException as error:  # carried over to the thread that asked
            waiting.put(error)

    threading.Thread(target=read, daemon=True).start()
    item = waiting.get()
    while isinstance(item, str):
        group = [item]
        while len(group) < WAITING and isinstance(item, str):
            try:
                item = waiting.get_nowait()
            except queue.Empty:
                break
            if isinstance(item, str):
                group.append(item)
        yield group
        if isinstance(item, str):
            item = waiting.get()
    if item is not None:
        raise item
