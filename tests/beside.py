"""What the processes do that the tests of `siblings` start. (A module that loads little.)"""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

import numpy as np

from seq2seq_cli.errors import DataError
from seq2seq_cli.ranks import Ranks
from seq2seq_cli.siblings import OverPipes

if TYPE_CHECKING:
    from torch import Tensor


def talk(ranks: Ranks) -> list[object]:
    """Everything that processes can say to each other, and then some memory that all have written to."""
    exchange = ranks.exchange
    assert isinstance(exchange, OverPipes)
    mine = ranks.share(range(7))
    said: list[object] = [
        ranks.gather([number * number for number in mine]),
        ranks.sum(0.1 * (ranks.rank + 1), 1),
        ranks.any(ranks.rank == 2),
        ranks.any(False),
        ranks.tell(f"from {ranks.rank}"),
    ]
    memory = np.frombuffer(exchange.shared_memory(8 * ranks.size), dtype=np.float64)
    memory[ranks.rank] = ranks.rank + 0.5
    ranks.meet()
    return [*said, memory.tolist()]


def talk_and_tell(ranks: Ranks) -> None:
    ranks.gather([talk(ranks)])


def fail(ranks: Ranks) -> None:
    ranks.meet()
    raise DataError("a line too many.", "train.en:7", "Take it out.")


def die(ranks: Ranks) -> None:
    ranks.meet()
    os.kill(os.getpid(), signal.SIGKILL)


def dawdle(ranks: Ranks) -> None:
    ranks.tell(None)
    time.sleep(60)


def wait_for_ever(ranks: Ranks) -> None:
    ranks.gather([os.getpid()])
    ranks.meet()


def share_slowly(ranks: Ranks) -> None:
    """Another process, which is slower than the first to move its new weights into the shared memory."""
    from unittest.mock import patch

    from seq2seq_cli.training.shared import SharedUpdate

    adopt = SharedUpdate.adopt

    def slowly(self: SharedUpdate) -> None:
        time.sleep(0.3)
        adopt(self)

    with patch.object(SharedUpdate, "adopt", slowly):
        shared_weights(ranks)
    ranks.meet()


def shared_weights(ranks: Ranks) -> Tensor:
    """The weights of a new model of a single number, which is 1, as all processes share it."""
    import torch

    from seq2seq_cli.training.shared import SharedUpdate

    assert isinstance(ranks.exchange, OverPipes)
    parameter = torch.nn.Parameter(torch.ones(1))
    SharedUpdate(ranks, ranks.exchange, torch.optim.Adam([parameter]))
    return parameter.data
