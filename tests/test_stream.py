"""Lines as they come: in order, at once, and with what went wrong in reading them."""

import threading
from collections.abc import Iterator
from queue import Queue

import pytest

from seq2seq_cli.decoding import stream
from seq2seq_cli.decoding.stream import gather_ready

SOON = 10.0
"""Seconds after which a test gives up waiting: it would wait for ever where it is to fail."""


@pytest.mark.parametrize("most", [1, 3, 2000])
def test_every_line_once_and_in_order(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "WAITING", most)
    lines = [str(number) for number in range(1000)]
    groups = list(gather_ready(iter(lines)))
    assert [line for group in groups for line in group] == lines
    assert all(1 <= len(group) <= most for group in groups)


def test_nothing_comes_of_nothing() -> None:
    assert list(gather_ready([])) == []


def test_empty_lines_are_lines() -> None:
    assert [line for group in gather_ready(["", "", "a"]) for line in group] == ["", "", "a"]


def test_a_lone_line_is_answered_before_the_next_one_comes() -> None:
    typed: Queue[str | None] = Queue()
    groups = gather_ready(iter(typed.get, None))
    for line in ("one", "two", "three"):
        typed.put(line)
        assert next(groups) == [line]
    typed.put(None)
    assert list(groups) == []


def test_lines_that_came_in_the_meantime_go_together() -> None:
    typed: Queue[str | None] = Queue()
    all_read = threading.Event()

    def lines() -> Iterator[str]:
        yield from iter(typed.get, None)
        all_read.set()

    groups = gather_ready(lines())
    typed.put("one")
    assert next(groups) == ["one"]
    for line in ("two", "three", None):
        typed.put(line)
    assert all_read.wait(SOON)
    assert list(groups) == [["two", "three"]]


def test_no_more_is_read_ahead_than_will_be_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "WAITING", 2)
    read = []
    third = threading.Event()

    def lines() -> Iterator[str]:
        for number in range(100):
            read.append(number)
            if number == 3:
                third.set()
            yield str(number)

    groups = gather_ready(lines())
    first = next(groups)
    assert third.wait(SOON)
    # Those handed on, two that wait and one that has no place yet.
    assert len(read) <= len(first) + 2 + 1
    groups.close()  # type: ignore[attr-defined]


def test_an_error_in_reading_comes_after_the_lines_before_it() -> None:
    def lines() -> Iterator[str]:
        yield "one"
        yield "two"
        raise ValueError("line 3 is not UTF-8")

    answered: list[str] = []
    groups = gather_ready(lines())
    while len(answered) < 2:
        answered += next(groups)
    assert answered == ["one", "two"]
    with pytest.raises(ValueError, match="line 3"):
        next(groups)
