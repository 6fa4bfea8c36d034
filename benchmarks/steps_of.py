"""Training steps on demand, in the checkout that this process runs in: what `benchmarks.against` has two of.

It is given as a file to Python, not as a module, and uses only what older checkouts have as well. Each line of its standard
input asks for something, a line of its standard output answers: {"settings": [...]} makes a model and trains a few updates,
{"steps": N} makes so many more; both answer with the target tokens and seconds of these.
"""

import json
import sys
import time
from collections.abc import Iterator
from typing import Any

import benchmarks
from benchmarks.train_speed import updates
from seq2seq_cli.config.loading import load
from seq2seq_cli.device import set_threads
from seq2seq_cli.training.learner import new_learner
from seq2seq_cli.training.sitting import prepared_text

FIRST, WARM_UP = 1, 3
"""Updates in which everything is made, and those after them."""


def learning(settings: list[str]) -> Iterator[Any]:
    """The endless updates of a new model."""
    config = load(None, settings)
    prepared = prepared_text(config, set_threads(config.training.threads))
    events = updates(config, prepared, new_learner(config, prepared.subwords))
    timed(events, FIRST)
    return events


def timed(events: Iterator[Any], steps: int) -> dict[str, object]:
    """The target tokens and seconds of the next ones."""
    begin = time.perf_counter()
    tokens = sum(next(events).target_tokens for _ in range(steps))
    return {"of": benchmarks.__file__, "tokens": tokens, "seconds": time.perf_counter() - begin}


def answers(asked: Iterator[str]) -> Iterator[dict[str, object]]:
    """One for each line."""
    events: Iterator[Any] = iter(())
    for line in asked:
        wanted = json.loads(line)
        if "settings" in wanted:
            events = iter(())  # the model before this one goes first
            events = learning(wanted["settings"])
        yield timed(events, wanted.get("steps", WARM_UP))


if __name__ == "__main__":
    for answer in answers(iter(sys.stdin.readline, "")):
        print(json.dumps(answer), flush=True)
