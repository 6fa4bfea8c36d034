"""Many clients at once against a server of its own: is every answer there and right, and how long did it take?

python -m benchmarks.serve_load --run runs/x --requests 200 --threads 2
"""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Annotated

import numpy as np
import torch
import typer

from benchmarks import common
from seq2seq_cli.data.pairs import Lines
from seq2seq_cli.decoding.translator import Translator
from seq2seq_cli.device import set_threads
from seq2seq_cli.evaluation.testset import test_text, with_test
from seq2seq_cli.runs import Run, open_run
from seq2seq_cli.serving.app import make_app
from seq2seq_cli.serving.desk import Desk
from seq2seq_cli.serving.limits import QUEUE
from seq2seq_cli.serving.models import load_runs
from seq2seq_cli.serving.server import new_server, open_socket
from seq2seq_cli.serving.worker import Worker

Address = tuple[str, int]
PATIENCE = 300
"""Seconds after which an answer is lost."""


@dataclass(frozen=True)
class Load:
    """Requests of one sentence each. ``wrong``: another translation than the command line's, which is given the same
    lines as a file. Latency in milliseconds, from opening the connection to the answer's last byte."""

    clients: int
    requests: int
    precision: str
    threads: int
    lost: int
    wrong: int
    p50_ms: float
    p95_ms: float
    max_ms: float
    requests_per_second: float


@contextmanager
def serving(run: Run, device: str, precision: str) -> Iterator[tuple[Address, Translator]]:
    """A server on loopback, in a thread of this process, and the model it serves."""
    served = load_runs([run.directory], device, precision)
    worker = Worker({each.name: each.translator for each in served})
    with open_socket("127.0.0.1", 0) as listening:
        server = new_server(make_app(Desk(served, worker, QUEUE)))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield listening.getsockname(), served[0].translator
        finally:
            server.should_exit = True
            thread.join()
            worker.close()


def ask(address: Address, sentence: str) -> tuple[str | None, float]:
    """The translation, None where it is lost, and seconds."""
    begin = time.perf_counter()
    connection = http.client.HTTPConnection(*address, timeout=PATIENCE)
    try:
        body = json.dumps({"sentences": [sentence]}).encode()
        connection.request("POST", "/translate", body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        told = json.loads(response.read())
        found = told["answers"][0]["sentences"][0]["translations"][0]["text"] if response.status == 200 else None
    except (OSError, http.client.HTTPException):
        found = None
    finally:
        connection.close()
    return found, time.perf_counter() - begin


def measure(address: Address, sentences: Sequence[str], expected: Sequence[str], clients: int, precision: str) -> Load:
    """Ask for each sentence, ``clients`` of them at any time."""
    with ThreadPoolExecutor(clients) as pool:
        begin = time.perf_counter()
        answers = list(pool.map(lambda sentence: ask(address, sentence), sentences))
        seconds = time.perf_counter() - begin
    p50, p95, longest = np.percentile([1000 * taken for _, taken in answers], [50, 95, 100])
    return Load(
        clients=clients,
        requests=len(answers),
        precision=precision,
        threads=torch.get_num_threads(),
        lost=sum(found is None for found, _ in answers),
        wrong=sum(found not in (None, right) for (found, _), right in zip(answers, expected, strict=True)),
        p50_ms=float(p50),
        p95_ms=float(p95),
        max_ms=float(longest),
        requests_per_second=len(answers) / seconds,
    )


def main(
    run: common.RunOption = None,
    test: common.Test = None,
    requests: Annotated[int, typer.Option(min=1, help="Requests, of one sentence of the test set each.")] = 200,
    threads: common.Threads = None,
    precision: Annotated[str, typer.Option(help="auto, fp32, bf16, fp16 or int8.")] = "auto",
    device: str = "auto",
    as_json: common.JsonOption = False,
) -> None:
    """All requests at the same time, and one after another."""
    set_threads(threads)
    opened = open_run(run)
    with serving(opened, device, precision) as (address, translator):
        lines = Lines.read(test_text(with_test(translator.config.data, test), opened)).src
        sentences = list(islice(cycle(lines), requests))
        expected = translator.translate(sentences)
        results = [
            measure(address, sentences, expected, clients, translator.precision.name) for clients in (requests, 1)
        ]
    common.show(results, as_json, f"requests to a server of {opened.directory}")


if __name__ == "__main__":
    common.command(main)
