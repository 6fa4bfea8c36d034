"""Batches shared out among cores: the same answers as with one, the same errors, and no thread left behind."""

import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple
from typing import Any

import pytest
import torch
from corpora import sentences

from seq2seq_cli.config.loading import from_dict
from seq2seq_cli.data.subword import Subwords, train_subword
from seq2seq_cli.decoding.batches import even_batches
from seq2seq_cli.decoding.every_line import LineGroup, translate_every_line
from seq2seq_cli.decoding.forced_decoding import Scoring
from seq2seq_cli.decoding.hypothesis import Hypothesis
from seq2seq_cli.decoding.sentences import Details
from seq2seq_cli.decoding.sharing import Check, compute_all
from seq2seq_cli.decoding.translator import Decoding, Sampling, Translator
from seq2seq_cli.decoding.wanted import Wanted
from seq2seq_cli.device import Precision, choose_search_precision
from seq2seq_cli.errors import UnsearchableError
from seq2seq_cli.model.build import build
from seq2seq_cli.model.maps import Linear, Pass

LINES = [*sentences(12, seed=4, longest=8), "", "ta"]
TARGETS = [*sentences(12, seed=5, longest=6), "nu", ""]
SMALL: Decoding = {"batch_tokens": 80, "max_length": 8}
"""Settings with which LINES are several batches."""
PATIENCE = 30.0
"""Seconds after which a thread that was waited for never comes."""


@pytest.fixture(autouse=True)
def no_thread_left_behind() -> Iterator[None]:
    before, threads = set(threading.enumerate()), torch.get_num_threads()
    yield
    assert set(threading.enumerate()) == before
    assert torch.get_num_threads() == threads


@pytest.fixture
def cores() -> Iterator[Callable[[int], None]]:
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def untrained(kind: str, precision: Precision, settings: Decoding = SMALL) -> Translator:
    """A model with weights large enough to have opinions."""
    values: dict[str, Any] = {
        "subword": {"vocab_size": 60},
        "model": {"embedding_size": 24, "hidden_size": 32},
        "attention": {"kind": kind},
        "decoding": dict(settings),
    }
    config = from_dict(values)
    pieces = train_subword(sentences(200, seed=1), config.subword)
    torch.manual_seed(3)
    model = build(config, len(pieces), len(pieces)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return Translator(model, Subwords(pieces, pieces), config, torch.device("cpu"), precision)


def bits(found: Sequence[Sequence[Hypothesis]]) -> list[object]:
    """All that is known of hypotheses, to be compared bit for bit."""

    def of_one(one: Hypothesis) -> object:
        looked = () if one.alignment is None else astuple(one.alignment)
        return (
            one.text,
            one.pieces,
            one.log_prob,
            one.score,
            [str(x) if x is None else repr(x) for x in looked],
            [x.tobytes() for x in looked if hasattr(x, "tobytes")],
        )

    return [[of_one(one) for one in each] for each in found]


WAYS: dict[str, Callable[[Translator], list[list[Hypothesis]]]] = {
    "greedy": lambda model: model.hypotheses(LINES, {"beam": 1}),
    "beam": lambda model: model.hypotheses(LINES, {"beam": 3}),
    "drawn": lambda model: model.hypotheses(LINES, sampling=Sampling(seed=5)),
    "scored": lambda model: [[one] for one in model.score(LINES, TARGETS)],
    "aligned": lambda model: [[one] for one in model.score(LINES, TARGETS, Scoring(posterior=True))],
}


@pytest.mark.parametrize(
    ("name", "way"),
    [
        *[("auto", way) for way in ("greedy", "beam", "drawn")],
        *[("fp32", way) for way in ("beam", "scored", "aligned")],
        *[("bf16", way) for way in ("greedy", "scored")],
    ],
)
def test_answers_are_the_same_bit_for_bit(name: str, way: str, cores: Callable[[int], None]) -> None:
    model = untrained("bahdanau", choose_search_precision(name, torch.device("cpu")))
    assert len(even_batches([len(line) for line in LINES], model.config.decoding)) > 3
    answers = []
    for count in (1, 2, 3):
        cores(count)
        answers.append(bits(WAYS[way](model)))
    assert answers[0] == answers[1] == answers[2]
    assert answers[0]


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_every_item_gets_its_own_result(threads: int, cores: Callable[[int], None]) -> None:
    cores(threads)
    batches = [[4, 2], [0], [3, 1, 5], [6]]
    heard: list[int] = []
    used: set[int] = set()

    def compute(batch: list[int], check: Check) -> list[int]:
        check()
        used.add(torch.get_num_threads())
        return [10 * i for i in batch]

    made = compute_all(compute, batches, threads, heard.append)
    assert made == {i: 10 * i for i in range(7)}
    assert heard[0] == 0
    assert heard == sorted(heard)
    assert max(heard) < 7
    assert used == {1}


def test_batches_are_computed_at_the_same_time(cores: Callable[[int], None]) -> None:
    cores(2)
    both = threading.Barrier(2, timeout=PATIENCE)

    def compute(batch: list[int], _: Check) -> list[int]:
        both.wait()
        return batch

    assert compute_all(compute, [[0], [1], [2], [3]], 2, lambda _: None) == {i: i for i in range(4)}


def waiting(begun: threading.Semaphore) -> Callable[[list[int], Check], list[int]]:
    """A computation that only ends when it is told to."""

    def compute(batch: list[int], check: Check) -> list[int]:
        begun.release()
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            check()
            time.sleep(0.001)
        raise AssertionError("nobody ended it")

    return compute


def test_an_exception_reaches_the_caller_and_ends_the_others() -> None:
    begun = threading.Semaphore(0)
    endless = waiting(begun)

    def compute(batch: list[int], check: Check) -> list[int]:
        if batch == [1]:
            begun.acquire(timeout=PATIENCE)
            raise UnsearchableError("no numbers.")
        return endless(batch, check)

    with pytest.raises(UnsearchableError, match="no numbers"):
        compute_all(compute, [[0], [1], [2]], 2, lambda _: None)


@pytest.mark.parametrize("threads", [1, 2])
def test_what_a_watch_raises_ends_the_work(threads: int) -> None:
    begun = threading.Semaphore(0)
    caller = threading.current_thread()

    def watch(done: int) -> None:
        assert threading.current_thread() is caller
        assert done == 0
        if begun.acquire(blocking=False):
            raise TimeoutError

    with pytest.raises(TimeoutError):
        compute_all(waiting(begun), [[0], [1]], threads, watch)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_a_signal_ends_the_work(number: signal.Signals) -> None:
    begun = threading.Semaphore(0)
    before = signal.signal(number, signal.default_int_handler)

    def interrupt() -> None:
        for _ in range(2):
            begun.acquire(timeout=PATIENCE)
        signal.raise_signal(number)

    def watch(_: int) -> None:
        if not sender.is_alive() and sender.ident is None:
            sender.start()

    sender = threading.Thread(target=interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            compute_all(waiting(begun), [[0], [1]], 2, watch)
        sender.join()
    finally:
        signal.signal(number, before)


def test_a_line_that_fails_does_not_stop_the_others(
    cores: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = untrained("luong-general", Precision("fp32", "as asked"))
    settings = model.config.decoding.model_copy(update={"beam": 2})
    lines = LINES[:9]
    whole, plain = model.hypotheses(lines, settings), Translator._search

    def poisoned(self: Translator, run: Pass, together: Any, *rest: Any) -> Any:
        if any(sentence.line == LINES[7] for sentence in together):
            raise RuntimeError("not enough memory: you tried to allocate 9 bytes")
        return plain(self, run, together, *rest)

    monkeypatch.setattr(Translator, "_search", poisoned)
    cores(2)
    remarks: list[str] = []
    found = translate_every_line(model, LineGroup(0, lines), Wanted(settings), lambda one: remarks.append(one.text))
    assert len(remarks) == 1
    assert "line 8 made the search fail ('not enough memory" in remarks[0]
    texts = [each[0].text for each in whole]
    assert [each[0].text for each in found] == ["" if i == 7 else text for i, text in enumerate(texts)]


def test_a_search_tells_how_far_it_is_in_the_thread_that_asked(cores: Callable[[int], None]) -> None:
    cores(2)
    model, heard, caller = untrained("none", Precision("fp32", "as asked")), [], threading.current_thread()

    def watch(done: int, of: int) -> None:
        assert threading.current_thread() is caller
        heard.append((done, of))

    model.search(model.sentences(LINES, Details(alignment=False)), watch=watch)
    assert heard == sorted(heard)
    assert {of for _, of in heard} == {len(LINES)}


def test_what_is_prepared_of_the_weights_is_made_once_for_all_threads() -> None:
    run, layer, made = Pass(), Linear(2, 2), []
    together = threading.Barrier(4, timeout=PATIENCE)

    def make() -> int:
        made.append(threading.get_ident())
        time.sleep(0.02)
        return len(made)

    def ask() -> None:
        together.wait()
        assert run.once(layer, make) == 1

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
