"""Rows that a search keeps."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from seq2seq_cli.model.carry import Kept, numbers, rows_of

GOING = st.lists(st.booleans(), max_size=20).map(lambda going: torch.tensor(going, dtype=torch.bool))


@given(GOING)
def test_rows_that_stay_keep_their_places(going_N: torch.Tensor) -> None:
    kept = Kept.of(going_N)
    assert sorted(kept.rows.tolist()) == going_N.nonzero().squeeze(1).tolist()
    moved = [row for place, row in enumerate(kept.rows.tolist()) if row != place]
    assert len(moved) == len(kept.gaps_G)
    assert all(row >= len(kept.rows) for row in moved)


@given(GOING, st.booleans(), st.booleans())
def test_kept_rows_are_those_of_their_numbers(going_N: torch.Tensor, of_a_search: bool, all_the_same: bool) -> None:
    with torch.inference_mode(of_a_search):
        shape = (len(going_N), 3, 2)
        x = torch.rand(1, 3, 2).expand(shape) if all_the_same else torch.rand(shape)
        before, kept = x.clone(), Kept.of(going_N)
        for _ in range(2):  # two names of one tensor: what is moved twice is moved once
            assert torch.equal(rows_of(x, kept), before[numbers(kept)])


def test_little_is_moved_and_nothing_outside_of_a_search() -> None:
    kept = Kept.of(torch.tensor([True, False, True, True]))
    with torch.inference_mode():
        x = torch.arange(4.0)
        assert rows_of(x, kept).data_ptr() == x.data_ptr()
        assert x.tolist() == [0, 3, 2, 3]
    weights = torch.nn.Parameter(torch.arange(4.0))
    with torch.inference_mode():
        assert rows_of(weights, kept).tolist() == [0, 3, 2]
    assert weights.tolist() == [0, 1, 2, 3]
