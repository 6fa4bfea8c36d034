"""Which sentences are searched together: one rule, for files and for a server's requests."""

from collections import Counter
from collections.abc import Sequence
from itertools import chain

from hypothesis import given, settings
from hypothesis import strategies as st
from servers import PATIENCE, Held

from seq2seq_cli.config.sections import DecodingConfig
from seq2seq_cli.decoding.batches import batches, even_batches, fit_together
from seq2seq_cli.decoding.hypothesis import Hypothesis
from seq2seq_cli.decoding.sentences import Sentence
from seq2seq_cli.serving.worker import Search, Worker

LENGTHS = st.lists(st.integers(0, 40), min_size=1, max_size=30)
SETTINGS = st.builds(DecodingConfig, beam=st.integers(1, 6), batch_tokens=st.integers(1, 600))


def test_by_hand() -> None:
    # A sentence of four pieces and its end are five positions, each for two hypotheses and once more.
    room = DecodingConfig(beam=2, batch_tokens=45)
    assert fit_together(3, 4, room)
    assert not fit_together(4, 4, room)
    assert not fit_together(3, 5, room)
    assert fit_together(1, 1000, room)  # who is too long for any batch is one alone
    assert list(batches([4, 9, 4, 1000, 3, 4], room)) == [[3], [1], [0, 2, 5], [4]]
    assert list(batches([], room)) == []


@given(LENGTHS, SETTINGS)
def test_every_sentence_is_in_one_batch_and_each_batch_is_full(lengths: list[int], room: DecodingConfig) -> None:
    found = list(batches(lengths, room))
    assert Counter(i for batch in found for i in batch) == Counter(range(len(lengths)))
    order = [lengths[i] for batch in found for i in batch]
    assert order == sorted(lengths, reverse=True)
    for batch in found:
        assert fit_together(len(batch), max(lengths[i] for i in batch), room)
    for batch in found[:-1]:
        assert not fit_together(len(batch) + 1, lengths[batch[0]], room)


class Mute:
    """Finds nothing."""

    def search(self, sentences: Sequence[Sentence], decoding: DecodingConfig) -> list[list[Hypothesis]]:
        return [[] for _ in sentences]


@given(st.lists(LENGTHS, min_size=1, max_size=5), SETTINGS)
@settings(max_examples=30)
def test_what_the_server_takes_together_is_one_batch_of_the_search(
    requests: list[list[int]], room: DecodingConfig
) -> None:
    model = Held(Mute())
    model.gate.clear()
    worker = Worker({"x": model})
    answers = [
        worker.submit(Search("x", room), [Sentence(str(length), [9] * length) for length in lengths])
        for lengths in requests
    ]
    model.gate.set()
    for answer in answers:
        answer.result(PATIENCE)
    worker.close()
    assert sorted(int(line) for asked in model.asked for line in asked) == sorted(chain.from_iterable(requests))
    for asked in model.asked:
        assert len(list(batches([int(line) for line in asked], room))) == 1


@given(st.lists(st.integers(0, 40), min_size=1, max_size=120), SETTINGS)
def test_even_batches_hold_the_same_and_are_as_even_as_they_can_be(lengths: list[int], room: DecodingConfig) -> None:
    full, even = list(batches(lengths, room)), even_batches(lengths, room)
    assert [lengths[i] for batch in even for i in batch] == sorted(lengths, reverse=True)
    assert all(fit_together(len(batch), max(lengths[i] for i in batch), room) for batch in even)
    assert len(even) <= len(full) + 3
    assert len(even) == len(full) or len(full) in range(2, 17)
    assert (len(even) == 1) == (len(full) == 1)


def test_even_batches_by_hand() -> None:
    # Five positions each, for one hypothesis and once more: eight lines fit, so twenty make two full batches and half a one.
    assert [len(batch) for batch in even_batches([4] * 20, DecodingConfig(beam=1, batch_tokens=80))] == [5, 5, 5, 5]
    assert [len(batch) for batch in even_batches([4] * 11, DecodingConfig(beam=1, batch_tokens=80))] == [6, 5]
    assert even_batches([4] * 8, DecodingConfig(beam=1, batch_tokens=80)) == [list(range(8))]
    assert even_batches([], DecodingConfig()) == []
