"""A real server on loopback around a model that can be held up, and clients good and bad."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import uvicorn

from seq2seq_cli.config.sections import DecodingConfig
from seq2seq_cli.decoding.hypothesis import Hypothesis
from seq2seq_cli.decoding.sentences import Sentence
from seq2seq_cli.serving.app import make_app
from seq2seq_cli.serving.desk import Desk
from seq2seq_cli.serving.limits import QUEUE
from seq2seq_cli.serving.models import Served
from seq2seq_cli.serving.server import new_server, open_socket, url_of
from seq2seq_cli.serving.worker import Searcher, Worker

PATIENCE = 20
"""Seconds after which a test has failed."""


@dataclass
class Held:
    """A model that writes down what it is asked, and answers only while ``gate`` is open."""

    model: Searcher
    asked: list[list[str]] = field(default_factory=list)
    gate: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.gate.set()

    def search(self, sentences: Sequence[Sentence], decoding: DecodingConfig) -> list[list[Hypothesis]]:
        self.asked.append([sentence.line for sentence in sentences])
        assert self.gate.wait(PATIENCE)
        return self.model.search(sentences, decoding)


class Reply(NamedTuple):
    """What came back: ``body`` from its JSON, None where it is none."""

    status: int
    headers: http.client.HTTPMessage
    body: Any


def ask(
    address: tuple[str, int],
    path: str = "/translate",
    question: object = None,
    body: bytes | Iterator[bytes] | None = None,
    **headers: str,
) -> Reply:
    """POST ``question`` as JSON, or ``body`` as it is; GET where there is neither. Headers are named with _ for -."""
    connection = http.client.HTTPConnection(*address, timeout=PATIENCE)
    try:
        given = {"content-type": "application/json"} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        data = json.dumps(question).encode() if question is not None else body
        connection.request("GET" if data is None else "POST", path, data, given)
        response = connection.getresponse()
        text = response.read()
        is_json = response.headers.get_content_type() == "application/json"
        return Reply(response.status, response.headers, json.loads(text) if is_json else None)
    finally:
        connection.close()


def until(holds: Callable[[], bool]) -> None:
    """Wait for something that another thread does."""
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.005)


@dataclass
class Running:
    """A server, where it is, and the models behind it by their runs' names."""

    server: uvicorn.Server
    address: tuple[str, int]
    url: str
    desk: Desk
    models: dict[str, Held]

    def ask(self, question: object = None, path: str = "/translate", **more: Any) -> Reply:
        return ask(self.address, path, question, **more)

    def connect(self, sent: bytes) -> socket.socket:
        """A client that says so much, and nothing more for the time being."""
        client = socket.create_connection(self.address, timeout=PATIENCE)
        client.sendall(sent)
        return client

    def pass_time(self, seconds: float) -> None:
        """Put the server's clock forward, so that its time limits pass at once. Tests with the real limits do not mind
        a machine that stands still for a while."""
        loop = self.server.servers[0].get_loop()
        before = loop.time

        def later() -> float:
            return before() + seconds

        def put_forward() -> None:
            loop.time = later  # type: ignore[method-assign]

        loop.call_soon_threadsafe(put_forward)


@contextmanager
def running(served: Sequence[Served], queue: int = QUEUE) -> Iterator[Running]:
    """The server in a thread of its own."""
    models = {each.name: Held(each.translator) for each in served}
    worker = Worker(models)
    desk = Desk(served, worker, queue)
    with open_socket("127.0.0.1", 0) as listening:
        server = new_server(make_app(desk))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield Running(server, listening.getsockname(), url_of(listening), desk, models)
        finally:
            for model in models.values():
                model.gate.set()
            server.should_exit = True
            thread.join(PATIENCE)
            worker.close()
    assert not thread.is_alive()
