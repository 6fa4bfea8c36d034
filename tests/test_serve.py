"""The server, over real connections: answers, limits, and clients that are many, slow, gone or hostile."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import servers
from commands import Terminal
from corpora import sentences
from hypothesis import given, settings
from hypothesis import strategies as st
from servers import PATIENCE, Running, ask, running, until

from seq2seq_cli.decoding.hypothesis import Hypothesis
from seq2seq_cli.decoding.translator import Translator
from seq2seq_cli.report.views import TranslationView
from seq2seq_cli.runs import Run
from seq2seq_cli.serving import server
from seq2seq_cli.serving.guard import is_local
from seq2seq_cli.serving.limits import (
    IDLE_SECONDS,
    MAX_BEAM,
    MAX_BODY,
    MAX_PIECES,
    MAX_SENTENCES,
    MAX_TEXT,
    MAX_WEIGHTS,
    READ_SECONDS,
    WRITE_SECONDS,
)
from seq2seq_cli.serving.models import Served, load_runs

LINE = "ta nu ki"
JSON_HEAD = b"POST /translate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


@pytest.fixture(scope="module")
def translator(trained_run: Run) -> Translator:
    return Translator.load(trained_run.directory, "cpu", "fp32")


@pytest.fixture(scope="module")
def served(translator: Translator) -> list[Served]:
    """The same model twice, its run called "one" and, with a beam of its own, "two"."""
    decoding = translator.config.decoding.model_copy(update={"beam": 2})
    other = replace(translator, config=translator.config.model_copy(update={"decoding": decoding}))
    return [Served("one", translator, "xx", "yy"), Served("two", other, None, None)]


@pytest.fixture(scope="module")
def shared(served: list[Served]) -> Iterator[Running]:
    """A server for tests that leave no trace in it."""
    with running(served) as opened:
        yield opened


@pytest.fixture
def small(served: list[Served]) -> Iterator[Running]:
    """A server of its own for one test, with one run and two places in its queue."""
    with running(served[:1], queue=2) as opened:
        yield opened


def alone(translator: Translator, line: str, beam: int | None = None) -> list[Hypothesis]:
    """What the command line answers to one line."""
    given = {} if beam is None else {"beam": beam}
    return translator.hypotheses([line], translator.config.decoding.model_copy(update=given))[0]


def check(translations: list[dict[str, Any]], expected: list[Hypothesis]) -> None:
    assert [each["text"] for each in translations] == [each.text for each in expected]
    assert [each["score"] for each in translations] == pytest.approx([each.score for each in expected], abs=1e-4)


def test_answers_are_the_command_lines(shared: Running, translator: Translator) -> None:
    lines = [LINE, "", "umgekehrt ta nu", " \t ", "völlig unbekannt"]
    reply = shared.ask({"sentences": lines, "nbest": 3, "runs": ["two", "one"]})
    assert reply.status == 200
    assert [answer["run"] for answer in reply.body["answers"]] == ["two", "one"]
    for answer in reply.body["answers"]:  # the run's own beam is 2 for "two", but three are asked for
        assert len(answer["sentences"]) == len(lines)
        for line, sentence in zip(lines, answer["sentences"], strict=True):
            assert set(sentence) == {"translations"}
            check(sentence["translations"], alone(translator, line, 3)[:3])


def test_beam_is_the_runs_own_unless_asked_for(shared: Running, translator: Translator) -> None:
    reply = shared.ask({"sentences": sentences(20, 7)})
    assert [answer["run"] for answer in reply.body["answers"]] == ["one", "two"]
    for answer, beam in zip(reply.body["answers"], (3, 2), strict=True):
        for line, sentence in zip(sentences(20, 7), answer["sentences"], strict=True):
            check(sentence["translations"], alone(translator, line, beam)[:1])
    shared.ask({"sentences": [LINE], "beam": 1})
    (greedy,) = shared.ask({"sentences": ["umgekehrt xa ho"], "beam": 1, "runs": ["one"]}).body["answers"]
    check(greedy["sentences"][0]["translations"], alone(translator, "umgekehrt xa ho", 1))


def test_the_alignment_is_the_pages_own(shared: Running, translator: Translator) -> None:
    (answer,) = shared.ask({"sentences": [LINE], "nbest": 2, "alignment": True, "runs": ["one"]}).body["answers"]
    for told, hypothesis in zip(answer["sentences"][0]["translations"], alone(translator, LINE, 3), strict=False):
        view = json.loads(json.dumps(TranslationView.of("one", LINE, hypothesis).to_json()))
        weights, expected = told["alignment"].pop("heads")[0]["weights"], view.pop("heads")[0]["weights"]
        assert told["alignment"] == view
        for row, expected_row in zip(weights, expected, strict=True):
            assert row == pytest.approx(expected_row, abs=2e-4)


def test_a_sentence_longer_than_those_of_training_is_translated_with_a_warning(shared: Running) -> None:
    (answer,) = shared.ask({"sentences": ["ta " * 150], "runs": ["one"], "beam": 1}).body["answers"]
    assert re.fullmatch(r"\d+ pieces; the model was trained on at most 100\.", answer["sentences"][0]["warning"])


def test_two_hundred_at_once_none_lost_none_wrong(shared: Running, translator: Translator) -> None:
    some = sentences(50, 11)
    answers = [alone(translator, line, 1 + i % 3) for i, line in enumerate(some)]
    assert len({hypotheses[0].text for hypotheses in answers}) > 30
    lines, expected = 4 * some, 4 * answers
    model = shared.models["one"]
    before = len(model.asked)
    model.gate.clear()
    with ThreadPoolExecutor(200) as clients:
        questions = [{"sentences": [line], "beam": 1 + i % 50 % 3, "runs": ["one"]} for i, line in enumerate(lines)]
        replies = [clients.submit(shared.ask, question) for question in questions]
        until(lambda: shared.desk.waiting == 200)
        model.gate.set()
        for reply, hypotheses in zip(replies, expected, strict=True):
            assert reply.result().status == 200
            check(reply.result().body["answers"][0]["sentences"][0]["translations"], hypotheses[:1])
    # One that came first, and a few batches for each beam.
    assert len(model.asked) - before <= 10


def refused(reply: Any, status: int, error: str, where: str | None = None, limit: int | None = None) -> None:
    assert reply.status == status, reply
    assert re.search(error, reply.body["error"]), reply.body
    assert (reply.body.get("where"), reply.body.get("limit")) == (where, limit)


def test_limits(shared: Running) -> None:
    ask_for = shared.ask
    refused(ask_for({"sentences": [LINE] * (MAX_SENTENCES + 1)}), 422, "at most 32 items", "sentences", MAX_SENTENCES)
    long = "ta nu " * MAX_PIECES
    refused(ask_for({"sentences": [LINE, long]}), 422, r"[\d,]+ pieces to one", "sentences[1]", MAX_PIECES)
    refused(ask_for({"sentences": [LINE], "nbest": MAX_BEAM + 1}), 422, "less than or equal", "nbest", MAX_BEAM)
    refused(ask_for({"sentences": [LINE], "beam": MAX_BEAM + 1}), 422, "less than or equal", "beam", MAX_BEAM)
    refused(ask_for({"sentences": [LINE], "beam": 0}), 422, "greater than or equal", "beam")
    refused(ask_for({"sentences": ["x" * MAX_BODY]}), 413, "262,144 bytes", None, MAX_BODY)
    chunks = iter([b'{"sentences": ["', *[b"x" * 10_000] * 30, b'"]}'])
    refused(ask_for(body=chunks), 413, "262,144 bytes", None, MAX_BODY)
    assert ask_for({"sentences": [LINE] * MAX_SENTENCES}).status == 200


def test_the_size_of_an_answer_is_limited(shared: Running, served: list[Served]) -> None:
    line = "ta nu " * 60
    pieces = len(served[0].translator.subwords.src.encode([line])[0])
    lines = MAX_WEIGHTS // (2 * pieces**2 * 5) + 1  # two runs, five translations each
    assert lines <= MAX_SENTENCES
    question = {"sentences": [line] * lines, "nbest": 5, "alignment": True}
    size = f"{2 * 5 * lines * pieces**2:,}"
    refused(shared.ask(question), 422, f"are {size}; it takes 2,000,000", "sentences", MAX_WEIGHTS)
    assert shared.ask(question | {"alignment": False}).status == 200
    assert shared.ask(question | {"runs": ["one"], "nbest": 1}).status == 200
    question = {"sentences": [line] * MAX_SENTENCES, "nbest": 20}
    assert 2 * 20 * MAX_SENTENCES * pieces > MAX_TEXT
    refused(shared.ask(question), 422, "pieces of all .* 100,000", "sentences", MAX_TEXT)


def test_a_run_is_translated_with_once(shared: Running) -> None:
    before = len(shared.models["one"].asked)
    refused(shared.ask({"sentences": [LINE], "runs": ["one"] * 20_000}), 422, "more than once", "runs")
    assert len(shared.models["one"].asked) == before


def test_more_translations_than_the_beam_is_wide_are_refused(shared: Running) -> None:
    refused(shared.ask({"sentences": [LINE], "nbest": 3, "beam": 2}), 422, "at least as many, not 2", "nbest", 2)
    (answer,) = shared.ask({"sentences": [LINE], "nbest": 3, "beam": 3, "runs": ["two"]}).body["answers"]
    assert len(answer["sentences"][0]["translations"]) == 3


def test_what_is_asked_must_be_there(shared: Running) -> None:
    refused(shared.ask({"sentences": [LINE], "runs": ["onne"]}), 422, 'Did you mean "one"', "runs")
    refused(shared.ask({"sentences": [LINE], "runs": []}), 422, "at least 1 item", "runs")
    refused(shared.ask({"sentence": [LINE]}), 422, "sentences: Field required. sentence: Extra", "sentences")
    refused(shared.ask({"sentences": LINE}), 422, "valid array", "sentences")
    refused(shared.ask({"sentences": [LINE, 3]}), 422, "valid string", "sentences[1]")
    refused(shared.ask({"sentences": [LINE], "nbest": "2"}), 422, "valid integer", "nbest")
    refused(shared.ask([LINE]), 422, "object", "the request")
    refused(shared.ask({"sentences": [1] * 30}), 422, "25 more", "sentences[0]")


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b'{"sentences": ["\xff"]}', b'{"sentences": ["\\ud800"]}', b"[" * 100_000,
     b"\xef\xbb\xbf{}", b'{"sentences": ["\x00"]}'],
)  # fmt: skip
def test_what_is_no_json_is_told_so(shared: Running, data: bytes) -> None:
    refused(shared.ask(body=data), 400, "this is not JSON in UTF-8")


ODD = [
    "\0",
    "a\nb\r\nc",
    "\x1b[31m",
    "\u202e",
    "\u200b",
    "<script>",
    "\U0010ffff",
    "e\u0301" * 50,
    "\ufeff",
    "٣ שלום 你好",
]


def test_odd_text_is_translated_as_the_command_line_does(shared: Running, translator: Translator) -> None:
    (answer,) = shared.ask({"sentences": ODD, "runs": ["one"]}).body["answers"]
    for line, sentence in zip(ODD, answer["sentences"], strict=True):
        check(sentence["translations"], alone(translator, line)[:1])


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4),
    max_leaves=8,
)
near_misses = st.fixed_dictionaries(
    {"sentences": st.lists(st.text(st.characters(codec=None), max_size=20), max_size=3) | json_values},
    optional={
        name: json_values | st.integers(1, 3)
        for name in ("nbest", "beam", "alignment", "layers", "examples", "runs", "other")
    },
)


def test_no_json_is_an_error_of_ours(shared: Running) -> None:
    @settings(max_examples=150, deadline=None)
    @given(json_values | near_misses)
    def fuzz(value: object) -> None:
        reply = shared.ask(body=json.dumps(value).encode())
        assert reply.status in (200, 400, 422), reply
        assert reply.status == 200 or reply.body["error"]

    fuzz()


def test_no_bytes_are_an_error_of_ours(shared: Running) -> None:
    @settings(max_examples=60, deadline=None)
    @given(st.binary(max_size=60))
    def fuzz(data: bytes) -> None:
        assert shared.ask(body=data).status in (400, 422)

    fuzz()


def test_only_json_is_taken(shared: Running) -> None:
    """A form of another site's page can send other types without our consent, this one it cannot."""
    for kind in ("text/plain", "application/x-www-form-urlencoded", "", "application/jsonp"):
        refused(shared.ask({"sentences": [LINE]}, content_type=kind), 415, "Content-Type: application/json")
    assert shared.ask({"sentences": [LINE]}, content_type="Application/JSON; charset=utf-8").status == 200
    consent = ask(shared.address, "/translate", body=None, origin="http://elsewhere.example")
    assert "access-control-allow-origin" not in consent.headers


def test_requests_by_another_name_are_refused(shared: Running) -> None:
    for host in ("elsewhere.example", "localhost.elsewhere.example", "127.0.0.1.elsewhere.example:80", "10.0.0.1", ""):
        refused(shared.ask(path="/runs", host=host), 400, "ask for localhost", "Host")
        refused(shared.ask({"sentences": [LINE]}, host=host), 400, "ask for localhost", "Host")
    for host in ("localhost", "LOCALHOST:99", "127.0.0.1:1", "[::1]:8000"):
        assert shared.ask(path="/runs", host=host).status == 200


def test_names_of_this_machine() -> None:
    assert all(map(is_local, ("localhost", "127.0.0.1", "127.9.9.9:1", "[::1]", "[::1]:80", "localhost:")))
    assert not any(map(is_local, ("", ":80", "[::2]", "localhost:80:80", "localhost:http", "0.0.0.0", "example.org")))


def test_what_is_served_is_described(shared: Running) -> None:
    told = shared.ask(path="/runs").body
    assert told["limits"] == {
        "sentences": MAX_SENTENCES, "pieces": MAX_PIECES, "beam": MAX_BEAM, "text": MAX_TEXT, "weights": MAX_WEIGHTS,
    }  # fmt: skip
    one_layer = {"cross_attention": [0], "self_attention": [], "masked_self_attention": [], "shown": 1}
    expected = {
        "attention": "bahdanau",
        "system": "bahdanau",
        "precision": "fp32",
        "trained_on": 100,
        "context": "none",
        "layers": one_layer,
        "memory": None,
        "terms": 0,
        "calibrated": False,
    }
    assert told["runs"] == [
        {"name": "one", "src": "xx", "tgt": "yy", "beam": 3} | expected,
        {"name": "two", "src": None, "tgt": None, "beam": 2} | expected,
    ]
    assert shared.ask(path="/health").body["status"] == "ok"


def test_the_description_is_complete(shared: Running) -> None:
    described = shared.ask(path="/openapi.json").body
    assert set(described["paths"]) == {"/translate", "/runs", "/health"}
    operation = described["paths"]["/translate"]["post"]
    assert set(operation["responses"]) == {"200", "400", "408", "413", "415", "422", "503"}
    question = operation["requestBody"]["content"]["application/json"]["schema"]
    assert set(question["properties"]) == {
        "sentences", "runs", "nbest", "beam", "alignment", "confidence", "layers", "examples", "document",
    }  # fmt: skip
    assert question["properties"]["sentences"]["maxItems"] == MAX_SENTENCES
    schemas = described["components"]["schemas"]
    for reference in re.findall(r'"\$ref": "([^"]+)"', json.dumps(described)):
        assert reference.removeprefix("#/components/schemas/") in schemas


def test_pages_are_guarded_and_nothing_else_is_there(shared: Running) -> None:
    for path, kind in (("/", "text/html"), ("/serve.js", "text/javascript"), ("/page.css", "text/css")):
        reply = shared.ask(path=path)
        assert (reply.status, reply.headers.get_content_type()) == (200, kind)
        assert "default-src 'none'" in reply.headers["content-security-policy"]
        assert reply.headers["x-content-type-options"] == "nosniff"
    for path in ("/docs", "/redoc", "/nothing", "/../limits.py", "/..%2flimits.py", "/%00", "/page/index.html"):
        reply = shared.ask(path=path)
        refused(reply, 404, "Not Found")
        assert reply.headers["x-content-type-options"] == "nosniff"
    refused(shared.ask(path="/translate"), 405, "Method Not Allowed")


def test_an_error_of_ours_is_told_without_its_inside(small: Running, caplog: pytest.LogCaptureFixture) -> None:
    small.models["one"].model = None  # type: ignore[assignment]
    reply = small.ask({"sentences": [LINE]})
    refused(reply, 500, "an error within the server")
    assert reply.headers["x-content-type-options"] == "nosniff"
    until(lambda: "AttributeError" in caplog.text)
    assert small.ask(path="/health").body["waiting"] == 0


def test_an_error_of_one_run_ends_the_work_of_the_others(served: list[Served]) -> None:
    with running(served) as opened:
        broken, other = opened.models["one"], opened.models["two"]
        broken.model = None  # type: ignore[assignment]
        other.gate.clear()
        refused(opened.ask({"sentences": ["ta nu " * 45] * 32}), 500, "an error within the server")
        other.gate.set()
        assert opened.ask({"sentences": ["ki"], "runs": ["two"]}).status == 200
        # It may have been at its first part, or at none yet.
        *before, last = other.asked
        assert len(before) <= 1
        assert sum(map(len, before)) < 32
        assert last == ["ki"]


def test_a_full_queue_asks_to_come_back(small: Running) -> None:
    model = small.models["one"]
    model.gate.clear()
    with ThreadPoolExecutor(2) as clients:
        waiting = [clients.submit(small.ask, {"sentences": [LINE]}) for _ in range(2)]
        until(lambda: small.desk.waiting == 2)
        reply = small.ask({"sentences": [LINE]})
        refused(reply, 503, "2 requests are waiting", None, 2)
        assert int(reply.headers["retry-after"]) > 0
        model.gate.set()
        assert [each.result().status for each in waiting] == [200, 200]
    assert small.ask({"sentences": [LINE]}).status == 200


def test_a_client_that_leaves_takes_its_work_with_it(small: Running) -> None:
    model = small.models["one"]
    model.gate.clear()
    question = json.dumps({"sentences": ["nu"]}).encode()
    with ThreadPoolExecutor(1) as clients:
        first = clients.submit(small.ask, {"sentences": [LINE]})
        until(lambda: len(model.asked) == 1)
        leaving = small.connect(JSON_HEAD + b"Content-Length: %d\r\n\r\n" % len(question) + question)
        until(lambda: small.desk.waiting == 2)
        leaving.close()
        until(lambda: small.desk.waiting == 1)  # its place in the queue is free
        model.gate.set()
        assert first.result().status == 200
    assert small.ask({"sentences": ["ki"]}).status == 200
    assert model.asked == [[LINE], ["ki"]]


@pytest.mark.parametrize("sent", [b"", b"POST /tran", JSON_HEAD, JSON_HEAD + b"Content-Length: 50\r\n\r\n{"])
def test_slow_clients_hold_nobody_up_and_are_sent_away(small: Running, sent: bytes) -> None:
    with ExitStack() as clients:
        slow = [clients.enter_context(small.connect(sent)) for _ in range(50)]
        for _ in range(3):
            assert small.ask({"sentences": [LINE]}).status == 200
        assert len(small.server.server_state.connections) >= 50
        # The limits of the application and of the connection pass in the same moment.
        small.pass_time(3 * READ_SECONDS)
        # Only who has begun to ask is told why, if the whole head was there in time.
        assert {client.recv(10_000)[:12] for client in slow} == {b"HTTP/1.1 408" if sent.endswith(b"{") else b""}
        small.pass_time(READ_SECONDS)
        until(lambda: not small.server.server_state.connections)


def test_a_client_that_drips_is_sent_away_too(small: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "READ_SECONDS", 0.2)
    began = time.monotonic()
    with small.connect(b"GET / HTTP/1.1\r\nX: ") as dripping, pytest.raises((ConnectionResetError, BrokenPipeError)):
        _drip(dripping)
    assert time.monotonic() - began < 5


def _drip(client: socket.socket) -> None:
    for _ in range(PATIENCE * 50):
        client.sendall(b"x")
        time.sleep(0.02)


@pytest.mark.slow
def test_a_client_that_does_not_read_is_sent_away(served: list[Served], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "WRITE_SECONDS", 0.2)
    monkeypatch.setattr(servers, "open_socket", _open_with_a_small_buffer)
    with running(served[:1]) as opened:
        gate = opened.models["one"].gate
        gate.clear()
        with _with_a_small_buffer(opened):
            until(lambda: opened.desk.waiting == 1)
            gate.set()
            until(lambda: opened.desk.waiting == 0)
            began = time.monotonic()
            until(lambda: not opened.server.server_state.connections)
            assert time.monotonic() - began < IDLE_SECONDS / 2  # by its own limit, not as an idle one


def _with_a_small_buffer(opened: Running) -> socket.socket:
    """A client that asks for megabytes."""
    question = json.dumps({"sentences": ["ta nu " * 45] * 32, "nbest": 5, "alignment": True}).encode()
    client = socket.socket()
    client.settimeout(PATIENCE)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(opened.address)
    client.sendall(JSON_HEAD + b"Content-Length: %d\r\n\r\n" % len(question) + question)
    return client


@pytest.mark.slow
def test_a_client_that_reads_slowly_is_served_to_the_end(served: list[Served], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "open_socket", _open_with_a_small_buffer)
    with running(served[:1]) as opened, _with_a_small_buffer(opened) as client:
        head, _, body = client.recv(1000).partition(b"\r\n\r\n")
        told = re.search(rb"content-length: (\d+)", head)
        assert told is not None
        got, size = len(body), int(told[1])
        for part in range(1, 11):
            while got < part * size // 10:
                read = client.recv(50_000)
                assert read
                got += len(read)
            # Ten of these are five times as long as the server waits for a client that reads nothing.
            opened.pass_time(WRITE_SECONDS / 2)


def _open_with_a_small_buffer(host: str, port: int) -> socket.socket:
    """The system keeps little of an answer, so that the client's pace is the server's."""
    listening = server.open_socket(host, port)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65_536)
    return listening


def test_too_many_connections_are_told_so(small: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "CONNECTIONS", 3)
    held = [small.connect(b"") for _ in range(3)]
    until(lambda: len(small.server.server_state.connections) == 3)
    reply = small.ask(path="/health")
    for client in held:
        client.close()
    refused(reply, 503, "too many connections", None, 3)
    assert int(reply.headers["retry-after"]) > 0
    until(lambda: not small.server.server_state.connections)
    assert small.ask(path="/health").status == 200


@pytest.mark.parametrize(
    "head", [b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\nX: " + b"x" * 70_000, b"GET / HTTP/1.1\r\n\r\n"]
)
def test_what_is_no_request_is_answered_by_400(small: Running, head: bytes) -> None:
    with small.connect(head) as client:
        assert client.recv(1000).startswith(b"HTTP/1.1 400")


def test_stopping_finishes_what_is_under_way(small: Running) -> None:
    model = small.models["one"]
    model.gate.clear()
    with ThreadPoolExecutor(1) as clients:
        waiting = clients.submit(small.ask, {"sentences": [LINE]})
        until(lambda: len(model.asked) == 1)
        small.server.should_exit = True
        until(lambda: not _accepts(small.address))
        model.gate.set()
        assert waiting.result().status == 200


def _accepts(address: tuple[str, int]) -> bool:
    try:
        socket.create_connection(address, timeout=1).close()
    except OSError:
        return False
    return True


def test_runs_are_called_by_their_directories(trained_run: Run, tmp_path: Path) -> None:
    same = tmp_path / trained_run.directory.name
    same.symlink_to(trained_run.directory)
    (only,) = load_runs([trained_run.directory], "cpu", "fp32")
    assert (only.name, only.src, only.tgt) == ("tiny-bahdanau", "xx", "yy")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_command_serves_until_it_is_told_to_stop(trained_run: Run, number: int) -> None:
    words = ["serve", "--run", str(trained_run.directory), "--port", "0", "--threads", "1"]
    process = subprocess.Popen(
        [sys.executable, "-m", "seq2seq_cli", *words],
        stderr=subprocess.PIPE,
        text=True,
        # A shell's background job ignores SIGINT, and hands that on.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stderr is not None
    said = [process.stderr.readline(), process.stderr.readline()]
    assert said[0].startswith("tiny-bahdanau: xx to yy, bahdanau, cpu, ")
    address = re.fullmatch(r"http://(127\.0\.0\.1):(\d+)/ \(Ctrl-C ends it\)\n", said[1])
    assert address is not None
    reply = ask((address[1], int(address[2])), "/translate", {"sentences": [LINE]})
    assert reply.body["answers"][0]["sentences"][0]["translations"][0]["text"]
    process.send_signal(number)
    assert process.wait(PATIENCE) == (0 if number == signal.SIGTERM else 128 + number)
    assert process.stderr.read() == ""
    process.stderr.close()


def test_what_the_user_can_mend(terminal: Terminal, trained_run: Run, tmp_path: Path,
                                monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    run = ["serve", "--run", trained_run.directory]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"port {port} is in use. Name another, or 0" in terminal.refused(*run, "--port", port)
    assert "--host: nowhere.invalid: " in terminal.refused(*run, "--port", 0, "--host", "nowhere.invalid")
    assert "named more than once" in terminal.refused(*run, trained_run.directory, "--port", 0)
    assert "no such run directory" in terminal.refused("serve", tmp_path / "nothing", "--port", 0)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert "pip install fastapi uvicorn" in terminal.refused(*run)


def test_other_addresses_are_warned_about(terminal: Terminal, trained_run: Run,
                                          monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    served_by: list[Any] = []
    monkeypatch.setattr(server, "serve", lambda app, listening: served_by.append(app))
    open_to_all = terminal.ok("serve", trained_run.directory, "--host", "0.0.0.0", "--port", 0, "--queue", 7)
    assert "there is no authentication" in open_to_all.err
    assert "no authentication" not in terminal.ok("serve", "--run", trained_run.directory, "--port", 0).err
    assert [layer.kwargs for app in served_by for layer in app.user_middleware] == [
        {"only_local": False},
        {"only_local": True},
    ]
