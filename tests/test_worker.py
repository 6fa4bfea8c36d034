"""The thread that translates: what it takes together, in which order, and what becomes of those it fails."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError, Future

import pytest
from servers import PATIENCE, Held, until

from seq2seq_cli.config.sections import DecodingConfig
from seq2seq_cli.decoding.hypothesis import Hypothesis
from seq2seq_cli.decoding.sentences import Sentence
from seq2seq_cli.serving.worker import Search, Worker

# A sentence of four pieces takes (4 + 1) positions times a beam of 1 and one more: ten of these.
FOUR_AT_A_TIME = DecodingConfig(beam=1, batch_tokens=40)


def sentence(line: str, pieces: int) -> Sentence:
    return Sentence(line, [9] * pieces)


class Echo:
    """Says what it hears; chokes on "bad", leaves out "lost"."""

    def search(self, sentences: Sequence[Sentence], decoding: DecodingConfig) -> list[list[Hypothesis]]:
        lines = [sentence.line for sentence in sentences]
        if "bad" in lines:
            raise ZeroDivisionError
        return [[Hypothesis(line, (), 0.0, 0.0, None)] for line in lines if line != "lost"]


class Shop:
    """A worker with the models "x" and "y", busy with one sentence until ``x`` is let go."""

    def __init__(self) -> None:
        self.x, self.y = Held(Echo()), Held(Echo())
        self.worker = Worker({"x": self.x, "y": self.y})
        self.x.gate.clear()
        self.first = self.submit(["busy"])
        until(lambda: self.x.asked == [["busy"]])

    def submit(
        self, lines: list[str], run: str = "x", settings: DecodingConfig = FOUR_AT_A_TIME
    ) -> Future[list[list[Hypothesis]]]:
        return self.worker.submit(Search(run, settings), [sentence(line, 4) for line in lines])

    def let_go(self) -> None:
        self.x.gate.set()


@pytest.fixture
def shop() -> Iterator[Shop]:
    shop = Shop()
    yield shop
    shop.let_go()
    shop.worker.close()


def heard(answer: Future[list[list[Hypothesis]]]) -> list[str]:
    return [hypotheses[0].text for hypotheses in answer.result(PATIENCE)]


def test_what_waits_is_translated_together(shop: Shop) -> None:
    answers = [shop.submit([line]) for line in "abcd"]
    shop.let_go()
    assert [heard(answer) for answer in [shop.first, *answers]] == [["busy"], ["a"], ["b"], ["c"], ["d"]]
    assert shop.x.asked == [["busy"], ["a", "b", "c", "d"]]


def test_everyone_has_a_turn(shop: Shop) -> None:
    many = shop.submit([f"m{i}" for i in range(8)])
    few, one = shop.submit(["f0", "f1"]), shop.submit(["o0"])
    shop.let_go()
    assert heard(many) == [f"m{i}" for i in range(8)]
    assert (heard(few), heard(one)) == (["f0", "f1"], ["o0"])
    assert shop.x.asked[1:] == [["m0", "f0", "o0", "m1"], ["m2", "f1", "m3", "m4"], ["m5", "m6", "m7"]]


def test_one_who_asks_for_another_search_waits_for_one_batch_of_many(shop: Shop) -> None:
    many = shop.submit([f"m{i}" for i in range(9)])
    other = shop.submit(["o"], settings=DecodingConfig(beam=2, batch_tokens=100))
    shop.let_go()
    assert (heard(other), len(heard(many))) == (["o"], 9)
    assert [len(batch) for batch in shop.x.asked[1:]] == [4, 1, 4, 1]
    assert shop.x.asked[2] == ["o"]


def test_long_sentences_make_small_batches(shop: Shop) -> None:
    search = Search("x", FOUR_AT_A_TIME)
    answers = [
        shop.worker.submit(search, [sentence(line, size)]) for line, size in (("a", 4), ("b", 9), ("c", 4), ("d", 99))
    ]
    shop.let_go()
    for answer in answers:
        answer.result(PATIENCE)
    assert shop.x.asked[1:] == [["a", "b"], ["c"], ["d"]]


def test_other_settings_and_other_runs_are_other_batches(shop: Shop) -> None:
    wide = DecodingConfig(beam=2, batch_tokens=100)
    answers = [shop.submit(["a"]), shop.submit(["b"], settings=wide), shop.submit(["c"], run="y"), shop.submit(["d"])]
    shop.let_go()
    assert [heard(answer) for answer in answers] == [["a"], ["b"], ["c"], ["d"]]
    assert shop.x.asked[1:] == [["a", "d"], ["b"]]
    assert shop.y.asked == [["c"]]


def test_what_nobody_waits_for_is_not_begun(shop: Shop) -> None:
    dropped, kept = shop.submit([f"m{i}" for i in range(9)]), shop.submit(["k"])
    dropped.cancel()
    shop.first.cancel()  # begun: finished, for nobody
    shop.let_go()
    assert heard(kept) == ["k"]
    assert shop.x.asked == [["busy"], ["k"]]


def test_an_error_is_told_to_those_it_concerns(shop: Shop) -> None:
    bad, beside = shop.submit(["bad"]), shop.submit(["a"])
    other = shop.submit(["b"], run="y")
    shop.let_go()
    for answer in (bad, beside):
        with pytest.raises(ZeroDivisionError):
            answer.result(PATIENCE)
    assert heard(other) == ["b"]
    assert heard(shop.submit(["c"])) == ["c"]


def test_an_answer_too_few_is_an_error_as_well(shop: Shop) -> None:
    answers = [shop.submit(["lost"]), shop.submit(["a"])]
    shop.let_go()
    for answer in answers:
        with pytest.raises(ValueError, match="shorter"):
            answer.result(PATIENCE)
    assert heard(shop.submit(["c"])) == ["c"]


def test_nothing_to_translate_is_done_at_once(shop: Shop) -> None:
    assert shop.submit([]).result(0) == []


def test_closing_finishes_the_batch_and_drops_the_rest(shop: Shop) -> None:
    waiting = shop.submit(["a"])
    thread = threading.Thread(target=shop.worker.close)
    thread.start()
    with pytest.raises(CancelledError):
        waiting.result(PATIENCE)
    shop.let_go()
    thread.join(PATIENCE)
    assert heard(shop.first) == ["busy"]
    assert shop.x.asked == [["busy"]]
    assert shop.submit(["late"]).cancelled()
