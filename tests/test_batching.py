"""Batches: every row once, within the budget, little padding; and what their tensors hold."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from corpora import TinyCorpus
from hypothesis import given
from hypothesis import strategies as st

from seq2seq_cli.config.sections import DataConfig, SubwordConfig
from seq2seq_cli.data.batching import cut, in_units, inputs_of, load_batch, pad, plan
from seq2seq_cli.data.corpora import find_corpus
from seq2seq_cli.data.prepare import prepare
from seq2seq_cli.data.subword import BOS, EOS, PAD
from seq2seq_cli.data.tokenised import MappedPairs, TokenisedSplit


def split_of(src_lengths: Sequence[int] | np.ndarray, tgt_lengths: Sequence[int] | np.ndarray) -> TokenisedSplit:
    """A split of which only the lengths are known: all that a plan reads."""
    src, tgt = (np.asarray(lengths, dtype=np.int32) for lengths in (src_lengths, tgt_lengths))
    return TokenisedSplit(src, tgt, np.arange(len(src)), MappedPairs((), np.zeros(0, dtype=np.int64)))


@pytest.fixture(scope="module")
def drawn() -> TokenisedSplit:
    """5,000 pairs of related lengths."""
    rng = np.random.default_rng(0)
    tgt = rng.integers(1, 60, 5000)
    return split_of(np.maximum(1, tgt + rng.integers(-5, 6, 5000)), tgt)


def ids(array: np.ndarray | list[int]) -> np.ndarray:
    return np.array(array, dtype=np.int32)


def test_every_row_is_in_exactly_one_batch_of_each_epoch(drawn: TokenisedSplit) -> None:
    for epoch in range(3):
        batches = plan(drawn, 500, seed=1, epoch=epoch)
        assert sorted(np.concatenate(batches).tolist()) == list(range(len(drawn)))


def test_the_plan_depends_on_seed_and_epoch_and_on_nothing_else(drawn: TokenisedSplit) -> None:
    def told(seed: int, epoch: int) -> list[list[int]]:
        return [batch.tolist() for batch in plan(drawn, 500, seed, epoch)]

    first = told(1, 0)
    np.random.seed(99)
    assert told(1, 0) == first
    # Other seeds and epochs mix other rows together, not only the same batches in another order.
    for other in (told(1, 1), told(2, 0)):
        assert len({frozenset(batch) for batch in other} & {frozenset(batch) for batch in first}) < len(first) / 10


def test_batches_come_in_no_order_of_length(drawn: TokenisedSplit) -> None:
    longest = [drawn.tgt_lengths[batch].max() for batch in plan(drawn, 500, 1, 0)]
    assert abs(np.corrcoef(longest, np.arange(len(longest)))[0, 1]) < 0.2


def test_no_batch_exceeds_its_budget(drawn: TokenisedSplit) -> None:
    for batch in plan(drawn, 500, 1, 0):
        assert len(batch) * (drawn.tgt_lengths[batch].max() + 1) <= 500  # one more for </s>
        assert len(batch) * (drawn.src_lengths[batch].max() + 1) <= 1000


def test_the_source_has_twice_the_targets_budget() -> None:
    long_sources = split_of([99] * 40, [4] * 40)
    assert {len(batch) for batch in plan(long_sources, 500, 1, 0)} == {10}  # 10 x 100 = 2 x 500
    long_targets = split_of([4] * 40, [99] * 40)
    assert {len(batch) for batch in plan(long_targets, 500, 1, 0)} == {5}


def test_a_pair_longer_than_the_budget_is_a_batch_of_its_own() -> None:
    mixed = split_of([3, 2000, 3, 3], [3, 3, 700, 3])
    batches = {frozenset(batch.tolist()) for batch in plan(mixed, 500, 1, 0)}
    assert {frozenset({1}), frozenset({2})} <= batches


def test_cut_by_hand() -> None:
    # 3 rows x 4 = 12 fit in 12; a fourth does not. Then one of 5 and one of 6: 2 x 6 = 12.
    target = np.array([4, 4, 4, 4, 5, 6])
    assert cut(target, np.ones(6, dtype=int), 12) == [slice(0, 3), slice(3, 5), slice(5, 6)]
    # Sources decide: 2 x 12 = 24 = 2 x 12.
    assert cut(np.ones(5, dtype=int), np.array([12, 12, 12, 1, 1]), 12) == [slice(0, 2), slice(2, 4), slice(4, 5)]
    assert cut(np.zeros(0, dtype=int), np.zeros(0, dtype=int), 12) == []
    # 23 rows would fit, and 20 are taken; the other three go to the next part, of which 20 is not all.
    ones = np.ones(45, dtype=int)
    assert cut(ones, ones, 23) == [slice(0, 20), slice(20, 40), slice(40, 45)]


def test_few_numbers_of_rows_by_hand() -> None:
    few = {1: 1, 7: 7, 8: 8, 9: 8, 15: 14, 16: 16, 19: 16, 31: 28, 39: 32, 63: 56, 64: 64, 79: 64, 127: 112, 300: 288}
    assert {rows: in_units(rows) for rows in few} == few


@given(st.integers(1, 10_000))
def test_few_numbers_of_rows(rows: int) -> None:
    """Multiples of 16 but for few rows, and never much less than there might be."""
    chosen = in_units(rows)
    assert 0.8 * rows <= chosen <= rows
    assert in_units(chosen) == chosen
    assert chosen < 64 or chosen % 16 == 0


def test_batches_have_few_numbers_of_rows(drawn: TokenisedSplit) -> None:
    """oneDNN compiles its products for each of them."""
    batches = plan(drawn, 1500, 1, 0)
    numbers = [len(batch) for batch in batches]
    odd = [rows for rows in numbers if in_units(rows) != rows]
    assert len(odd) <= 1  # the last one of the only pool
    assert len(set(numbers)) <= 18
    assert sum(numbers) == len(drawn)


LENGTHS = st.lists(st.tuples(st.integers(1, 40), st.integers(1, 80)), max_size=30)


@given(LENGTHS, st.integers(1, 100))
def test_a_part_is_as_long_as_it_may_be_and_no_longer(lengths: list[tuple[int, int]], budget: int) -> None:
    """What stood before a cut does not count after it."""

    def fits(rows: list[tuple[int, int]]) -> bool:
        most_target, most_source = max(t for t, _ in rows), max(s for _, s in rows)
        return len(rows) == 1 or (len(rows) * most_target <= budget and len(rows) * most_source <= 2 * budget)

    target, source = (np.array([pair[side] for pair in lengths], dtype=int) for side in (0, 1))
    parts = cut(target, source, budget)
    assert [row for part in parts for row in range(len(lengths))[part]] == [*range(len(lengths))]
    for part in parts:
        room = max(rows for rows in range(1, len(lengths) + 1) if fits(lengths[part.start : part.start + rows]))
        room = min(room, len(lengths) - part.start)
        assert len(lengths[part]) == (room if part.start + room == len(lengths) else in_units(room))


def padded_share(split: TokenisedSplit, batches: list[np.ndarray]) -> float:
    """Share of the decoder's positions that hold padding."""
    positions = sum(len(batch) * (int(split.tgt_lengths[batch].max()) + 1) for batch in batches)
    return 1 - (int(split.tgt_lengths.sum()) + len(split)) / positions


def test_padding_takes_less_than_4_percent_of_the_decoder_on_real_text() -> None:
    # Words and marks stand in for pieces: no vocabulary needs to be learned to see how lengths go together.
    pairs = list(find_corpus(DataConfig()).train.pairs())
    lengths = (
        np.array([len(re.findall(r"\w{1,5}|[^\w\s]", text)) for text in side]) for side in zip(*pairs, strict=True)
    )
    split = split_of(*lengths)
    assert padded_share(split, plan(split, 1500, 1, 0)) < 0.04
    # The same rows at random would waste several times as much: the sorting is what saves it.
    order = np.random.default_rng(1).permutation(len(split))
    chance = [order[part] for part in cut(split.tgt_lengths[order] + 1, split.src_lengths[order] + 1, 1500)]
    assert padded_share(split, chance) > 0.3


def test_pad_by_hand() -> None:
    values, lengths = ids([7, 8, 9, 5]), ids([3, 0, 1])
    plain = pad(values, lengths)
    assert plain.ids_BL.tolist() == [[7, 8, 9], [PAD, PAD, PAD], [5, PAD, PAD]]
    assert plain.mask_BL.tolist() == [[True, True, True], [False, False, False], [True, False, False]]
    closed = pad(values, lengths, last=EOS)
    assert closed.ids_BL.tolist() == [[7, 8, 9, EOS], [EOS, PAD, PAD, PAD], [5, EOS, PAD, PAD]]
    assert closed.mask_BL.sum(1).tolist() == [4, 1, 2]
    opened = pad(values, lengths, first=BOS)
    assert opened.ids_BL.tolist() == [[BOS, 7, 8, 9], [BOS, PAD, PAD, PAD], [BOS, 5, PAD, PAD]]
    both = pad(values, lengths, first=BOS, last=EOS)
    assert both.ids_BL.tolist() == [[BOS, 7, 8, 9, EOS], [BOS, EOS, PAD, PAD, PAD], [BOS, 5, EOS, PAD, PAD]]
    assert both.mask_BL.sum(1).tolist() == [5, 2, 3]
    assert both.ids_BL.dtype == torch.int64
    assert both.mask_BL.dtype == torch.bool


def test_pad_of_nothing() -> None:
    assert pad(ids([]), ids([])).ids_BL.shape == (0, 0)
    assert pad(ids([]), ids([0, 0]), last=EOS).ids_BL.tolist() == [[EOS], [EOS]]


def test_sources_are_closed_and_padded() -> None:
    source = inputs_of([[5, 6], [], [7]]).text
    assert source.ids_BL.tolist() == [[5, 6, EOS], [EOS, PAD, PAD], [7, EOS, PAD]]
    assert source.mask_BL.tolist() == [[True] * 3, [True, False, False], [True, True, False]]


def test_a_batch_reads_what_it_is_to_say_one_step_later(tmp_path: Path) -> None:
    corpus = TinyCorpus.write(tmp_path / "tiny", train=50)
    config = corpus.config()
    prepared = prepare(config.data, SubwordConfig(vocab_size=60))
    rows = np.array([11, 3, 40])
    batch = load_batch(next(prepared.train.parts()), rows)
    pairs = list(find_corpus(config.data).train.pairs())
    for row, number in enumerate(rows):
        src, tgt = pairs[number]
        assert batch.text.ids_BL[row][batch.text.mask_BL[row]].tolist() == [
            *prepared.subwords.src.encode([src])[0],
            EOS,
        ]
        wanted = prepared.subwords.tgt.encode([tgt])[0]
        real = batch.target.real_BT[row]
        assert batch.target.says_BT[row][real].tolist() == [*wanted, EOS]
        assert batch.target.reads_BT[row][real].tolist() == [BOS, *wanted]
    assert batch.target_tokens == int(batch.target.real_BT.sum())
    assert (batch.target.says_BT[~batch.target.real_BT] == PAD).all()
    assert (batch.text.ids_BL[~batch.text.mask_BL] == PAD).all()
