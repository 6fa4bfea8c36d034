"""The processes of one job: which of them this one is, and how they exchange messages.

``torchrun`` has started them, on one machine or several, or a command has started the others beside itself
(`siblings`). Messages pass only between processes of one job, which trust each other.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import zip_longest
from typing import TYPE_CHECKING, NoReturn, Protocol, TypeVar

if TYPE_CHECKING:
    from torch.distributed.distributed_c10d import Store

T = TypeVar("T")

PATIENCE = timedelta(hours=6)
"""How long a process waits for a message: the first one may be preparing the text. If a process dies, the others hear
of it at once."""


RESTARTS = "TORCHELASTIC_RESTART_COUNT"
"""An environment variable that only ``torchrun`` sets: how often it has restarted the job because a process died."""


class Exchange(Protocol):
    """How the processes of a job talk. Each method is called by all of them, and returns when all have called it."""

    def gather(self, value: T) -> list[T]:
        """The values of all processes, in the order of their numbers."""
        ...

    def tell(self, value: T) -> T:
        """The value of the first process; what the others give is not looked at."""
        ...

    def sum(self, values: Sequence[float]) -> list[float]:
        """The sum of each value over all processes, bit for bit the same in all of them."""
        ...


@dataclass(frozen=True)
class Ranks:
    """This process is number ``rank`` of ``size``. ``begun``: whether the same job had already begun to write its
    output when it was restarted because a process died. The default is a process that is alone.

    ``exchange`` is how they talk, if there are several. ``meeting`` is a store in which the processes of ``torchrun``
    leave messages for each other; it lives as long as the job.
    """

    rank: int = 0
    size: int = 1
    begun: bool = False
    meeting: Store | None = field(default=None, repr=False, compare=False)
    exchange: Exchange | None = field(default=None, repr=False, compare=False)

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes and prints."""
        return self.rank == 0

    @property
    def turns(self) -> slice:
        """The slice of any list of items that this process works on: every ``size``-th one. So items sorted by length
        are dealt fairly."""
        return slice(self.rank, None, self.size)

    def note_begun(self) -> None:
        """Note that this job begins to write its output now; if it is restarted, ``begun`` will say so."""
        if self.meeting is not None:
            self.meeting.set(_note(), "begun")

    def share(self, items: Sequence[T]) -> Sequence[T]:
        """The ``items`` that this process works on."""
        return items[self.turns]

    def gather(self, done: Sequence[T]) -> list[T]:
        """The results of all processes for their shares, in the order of the items."""
        parts = [done] if self.exchange is None else self.exchange.gather(done)
        total, rounds = sum(map(len, parts)), zip_longest(*parts)
        return [item for dealt in rounds for item in dealt][:total]  # only the last round may lack items, at its end

    def sum(self, *values: float) -> list[float]:
        """The sum of each of ``values`` over all processes, bit for bit the same in all of them."""
        return list(values) if self.exchange is None else self.exchange.sum(values)

    def any(self, fact: bool) -> bool:
        """Whether ``fact`` is True in any process."""
        return self.sum(float(fact))[0] > 0

    def tell(self, value: T) -> T:
        """The ``value`` of the first process, in all of them."""
        return value if self.exchange is None else self.exchange.tell(value)

    def meet(self) -> None:
        """Wait until all processes are here."""
        self.sum()


ALONE = Ranks()


def first_of_its_job() -> bool:
    """Whether this process is the first of its job; known before it has ``joined`` the others."""
    return _number("RANK") == 0


class OverNetwork:
    """Messages by ``torch.distributed``."""

    def gather(self, value: T) -> list[T]:
        import torch.distributed as dist

        values: list[T] = [value] * dist.get_world_size()
        dist.all_gather_object(values, value)
        return values

    def tell(self, value: T) -> T:
        import torch.distributed as dist

        told = [value]
        dist.broadcast_object_list(told, src=0)
        return told[0]

    def sum(self, values: Sequence[float]) -> list[float]:
        import torch
        import torch.distributed as dist

        total = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(total)
        return total.tolist()


@contextmanager
def joined() -> Iterator[Ranks]:
    """This process's place among those that ``torchrun`` has started; ``ALONE`` without ``torchrun``."""
    size = int(os.environ.get("WORLD_SIZE", 1))
    if size == 1 and RESTARTS not in os.environ:
        yield ALONE
        return
    from torch.distributed.rendezvous import rendezvous

    meeting, rank, _ = next(rendezvous("env://", timeout=PATIENCE))
    exchange = OverNetwork() if size > 1 else None
    ranks = Ranks(rank, size, meeting.check([_note()]), meeting, exchange)
    with _grouped(ranks, meeting) if size > 1 else nullcontext():
        yield ranks


@contextmanager
def _grouped(ranks: Ranks, meeting: Store) -> Iterator[None]:
    """While entered, the processes can exchange messages."""
    import torch
    import torch.distributed as dist
    from torch.distributed.distributed_c10d import PrefixStore

    if torch.cuda.is_available():
        torch.cuda.set_device(_number("LOCAL_RANK"))
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    # torchrun keeps one store for all its restarts. Each restart needs a part of its own there, or a process may find the
    # address of one that has died.
    room = PrefixStore(f"restart {_number(RESTARTS)}", meeting)
    dist.init_process_group(backend, store=room, rank=ranks.rank, world_size=ranks.size, timeout=PATIENCE)
    try:
        yield
    finally:
        dist.destroy_process_group()


def end_process() -> NoReturn:
    """End this process, whose work is done, without the interpreter's own cleaning up.

    DistributedDataParallel never releases its group (seen in torch 2.13), so the threads of Gloo live on. A thread that
    still held a tensor of the last exchange would need the interpreter after it is gone, and abort the process, and
    with it the job.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _note() -> str:
    """The key under which it is noted that this command has begun: a job may be a script of several commands."""
    return f"begun: {sys.argv[1:]!a}"


def _number(name: str) -> int:
    return int(os.environ.get(name, 0))
