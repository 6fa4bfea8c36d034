"""What the processes do that the tests of `siblings` start. (A module that loads little.)"""

import os
import signal
import time

import numpy as np

from seq2seq_cli.errors import DataError
from seq2seq_cli.ranks import Ranks
from seq2seq_cli.siblings import OverPipes


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
