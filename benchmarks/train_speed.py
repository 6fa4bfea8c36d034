"""How fast a model trains, and what share of the processor's matrix rate it uses.

python -m benchmarks.train_speed --attention bahdanau --threads 1
python -m benchmarks.train_speed --attention luong-general --set attention.input_feeding=false --json
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import numpy as np
import torch
import typer
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import common
from seq2seq_cli.config.whole import Config
from seq2seq_cli.data.batching import load_batch, plan
from seq2seq_cli.data.prepare import Prepared
from seq2seq_cli.data.tokenised import TokenisedSplit
from seq2seq_cli.device import DTYPES, choose_device, choose_processes, set_threads
from seq2seq_cli.model import products
from seq2seq_cli.model.seq2seq import Seq2Seq
from seq2seq_cli.ranks import ALONE, Ranks
from seq2seq_cli.siblings import siblings
from seq2seq_cli.training.learner import Learner, new_learner
from seq2seq_cli.training.loop import DevScores, train
from seq2seq_cli.training.progress import Progress, Stepped
from seq2seq_cli.training.sitting import prepared_text

COUNTED = 4
"""Batches over which FLOPs and loading are counted."""


@dataclass(frozen=True)
class TrainSpeed:
    """Target tokens count ``</s>`` and no padding. Threads and memory are those of each process. Utilisation: the model's
    FLOPs a second over the matrix rate of its processes."""

    attention: str
    input_feeding: str
    precision: str
    processes: int
    threads: int
    parameters: int
    steps: int
    target_tokens_per_second: float
    sentences_per_second: float
    milliseconds_per_step: float
    loading_share_percent: float
    peak_memory_mib: float
    mflop_per_target_token: float
    model_gflop_per_second: float
    matrix_gflop_per_second: float
    utilisation_percent: float


class Timed(NamedTuple):
    """Updates, what they learned from, and the seconds they took."""

    steps: int
    tokens: int
    seconds: float

    @property
    def tokens_per_second(self) -> float:
        return self.tokens / self.seconds


class Work(NamedTuple):
    """What each process does."""

    config: Config
    threads: int
    steps: int
    warm_up: int
    most_seconds: float


def measure(config: Config, steps: int, warm_up: int, most_seconds: float = math.inf) -> TrainSpeed:
    """Train ``warm_up`` and then ``steps`` updates of ``config`` and time the latter; fewer where either takes longer than
    ``most_seconds``."""
    threads = set_threads(config.training.threads)
    processes = choose_processes(config.training, choose_device(config.training.device), threads, ALONE, pairs=None)
    with siblings(processes - 1, train_beside) as ranks:
        work = ranks.tell(Work(config, threads // processes, steps, warm_up, most_seconds))
        return _measured(work, ranks)


def train_beside(ranks: Ranks) -> None:
    """What the other processes do."""
    work = ranks.tell(None)
    assert work is not None
    set_threads(work.threads)
    prepared = prepared_text(work.config, work.threads)
    learner = new_learner(work.config, prepared.subwords, ranks)
    timed_updates(work.config, prepared, learner, work.steps, work.warm_up, work.most_seconds)


def _measured(work: Work, ranks: Ranks) -> TrainSpeed:
    config, _, steps, warm_up, most_seconds = work
    threads = set_threads(work.threads)
    prepared = prepared_text(config, threads)
    learner = new_learner(config, prepared.subwords, ranks)
    rate = common.matrix_rate(DTYPES[learner.precision.name], learner.device)
    timed = timed_updates(config, prepared, learner, steps, warm_up, most_seconds)
    memory = common.peak_memory_mib()
    pairs = next(prepared.train.parts())
    batches = plan(pairs, config.training.batch_tokens, config.training.seed, 0)[:COUNTED]
    flop = _flop_per_token(learner, pairs, batches)
    per_sentence = prepared.train.counts.tgt_pieces / len(prepared.train) + 1
    feeding = "-" if config.attention.input_feeding is None else str(config.attention.input_feeding).lower()
    # A second look at the rate: the machine may have become slower or faster meanwhile.
    rate = (rate + common.matrix_rate(DTYPES[learner.precision.name], learner.device)) / 2
    return TrainSpeed(
        attention=config.attention.kind,
        input_feeding=feeding,
        precision=learner.precision.name,
        processes=ranks.size,
        threads=threads,
        parameters=learner.model.parameter_count(),
        steps=timed.steps,
        target_tokens_per_second=timed.tokens_per_second,
        sentences_per_second=timed.tokens_per_second / per_sentence,
        milliseconds_per_step=1000 * timed.seconds / timed.steps,
        loading_share_percent=100 * _loading_seconds(pairs, batches) / (timed.seconds / timed.steps),
        peak_memory_mib=memory,
        mflop_per_target_token=flop / 1e6,
        model_gflop_per_second=flop * timed.tokens_per_second / 1e9,
        matrix_gflop_per_second=rate / 1e9,
        utilisation_percent=100 * flop * timed.tokens_per_second / (rate * ranks.size),
    )


def timed_updates(
    config: Config, prepared: Prepared, learner: Learner, steps: int, warm_up: int, most_seconds: float = math.inf
) -> Timed:
    """``steps`` updates, after ``warm_up`` others; of both, those of ``most_seconds`` at most."""
    events = updates(config, prepared, learner)
    take(events, warm_up, most_seconds)
    return take(events, steps, most_seconds)


def take(events: Iterator[Stepped], steps: int, most_seconds: float = math.inf) -> Timed:
    """The next ``steps`` updates, or those of ``most_seconds``, at least one."""
    begin = now = time.perf_counter()
    done = tokens = 0
    while done < steps and (not done or now < begin + most_seconds):
        tokens += next(events).target_tokens
        done += 1
        now = time.perf_counter()
    return Timed(done, tokens, now - begin)


def updates(config: Config, prepared: Prepared, learner: Learner) -> Iterator[Stepped]:
    """The training loop itself, with nothing to evaluate."""

    def unseen(model: Seq2Seq) -> DevScores:
        return DevScores(0.0, 0.0)

    endless = config.training.model_copy(update={"epochs": 10_000, "patience": 10_000})
    for event in train(learner, prepared.train, endless, Progress(), unseen):
        if isinstance(event, Stepped):
            yield event


def _loading_seconds(pairs: TokenisedSplit, batches: list[np.ndarray]) -> float:
    """Seconds to read, pad and mask one batch."""
    begin = time.perf_counter()
    for indices in batches:
        load_batch(pairs, indices)
    return (time.perf_counter() - begin) / len(batches)


def _flop_per_token(learner: Learner, pairs: TokenisedSplit, batches: list[np.ndarray]) -> float:
    """FLOPs of the products of an update, forward and backward, a target token. Element-wise work is not counted."""
    counter = FlopCounterMode(display=False)
    tokens = 0
    # Without oneDNN and in float32 the recurrent layers are products that the counter sees.
    with counter, _without_onednn():
        for indices in batches:
            batch = load_batch(pairs, indices).to(learner.device)
            tokens += batch.target_tokens
            torch.autograd.backward(learner.model.loss(batch, 0.1).smoothed)
    learner.optimizer.zero_grad()
    return counter.get_total_flops() / tokens


@contextmanager
def _without_onednn() -> Iterator[None]:
    was = torch.backends.mkldnn.is_available() and torch._C._get_mkldnn_enabled()
    torch._C._set_mkldnn_enabled(False)
    chosen, products.CHOSEN = products.CHOSEN, products.CHOSEN._replace(onednn_fp32=False)
    try:
        yield
    finally:
        torch._C._set_mkldnn_enabled(was)
        products.CHOSEN = chosen


def main(
    training: common.Training,
    texts: common.Texts,
    run: common.RunOption = None,
    steps: int = 60,
    warm_up: int = 30,
    most_seconds: Annotated[
        float, typer.Option(help="Fewer updates where they, or those to warm up, take longer.")
    ] = math.inf,
    as_json: common.JsonOption = False,
) -> None:
    """Steady training speed of one kind."""
    from benchmarks import train_speed  # the other processes cannot find what is in "__main__"

    chosen = training.settings(run, texts.flags)
    common.show([train_speed.measure(chosen, steps, warm_up, most_seconds)], as_json, "training speed")


if __name__ == "__main__":
    common.command(main)
