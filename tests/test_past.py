"""Keys and values of a search: what is added to one state changes no other."""

import torch
from torch import Tensor

from seq2seq_cli.model.carry import Kept
from seq2seq_cli.model.layers.past import GROWTH, Past

ROWS, HEADS, SIZE = 3, 2, 4


def new(number: float, steps: int = 1) -> Tensor:
    return torch.full((ROWS, HEADS, steps, SIZE), float(number))


def start() -> Past:
    return Past.empty(ROWS, HEADS, SIZE, torch.zeros(1))


def numbers(past: Past) -> list[list[float]]:
    """What each row holds, position by position."""
    assert torch.equal(past.values_BHPI, past.keys_BHPI + 100)
    return past.keys_BHPI[:, 0, :, 0].tolist()


def then(past: Past, number: float, steps: int = 1) -> Past:
    return past.then(new(number, steps), new(number + 100, steps))


@torch.inference_mode()
def test_what_comes_next_is_written_behind_and_once_only() -> None:
    past = then(then(start(), 1), 2)
    one, other = then(past, 3), then(past, 4)  # two ways on from one state
    assert numbers(past) == [[1, 2]] * ROWS
    assert numbers(one) == [[1, 2, 3]] * ROWS
    assert numbers(other) == [[1, 2, 4]] * ROWS
    assert one.keys_BHCI.data_ptr() == past.keys_BHCI.data_ptr(), "there was room"
    assert other.keys_BHCI.data_ptr() != past.keys_BHCI.data_ptr(), "the room was taken"


@torch.inference_mode()
def test_room_is_made_where_there_is_none() -> None:
    past = start()
    for step in range(2 * GROWTH + 1):
        past = then(past, step)
    assert numbers(past) == [list(range(2 * GROWTH + 1))] * ROWS
    assert past.keys_BHCI.shape[2] == 3 * GROWTH


@torch.inference_mode()
def test_rows_are_put_in_order_and_kept() -> None:
    rows = torch.arange(ROWS)[:, None, None, None].expand(ROWS, HEADS, 1, SIZE).float()
    past = then(start().then(rows, rows + 100), 7)
    assert numbers(past.select(torch.tensor([2, 0, 0]))) == [[2, 7], [0, 7], [0, 7]]
    assert numbers(past.select(Kept.of(torch.tensor([False, True, True])))) == [[2, 7], [1, 7]]


def test_with_gradients_nothing_is_written_over() -> None:
    first = new(1).requires_grad_()
    past = start().then(first, first + 100)
    later = then(past, 2)
    later.keys_BHPI.sum().backward()
    assert first.grad is not None
    assert (first.grad == 1).all()
    assert numbers(past) == [[1]] * ROWS


@torch.inference_mode()
def test_the_last_positions_alone() -> None:
    past = then(then(then(start(), 1), 2), 3)
    assert numbers(past.last(5)) == numbers(past)
    short = past.last(2)
    assert numbers(short) == [[2, 3]] * ROWS
    assert numbers(then(short, 4)) == [[2, 3, 4]] * ROWS
    assert numbers(then(past, 5)) == [[1, 2, 3, 5]] * ROWS
