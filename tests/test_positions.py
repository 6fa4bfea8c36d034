"""How layers know where a token stands: by hand, and that rotary scores know distances alone."""

from math import cos, sin
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from models import tiny_config
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from seq2seq_cli.model.layers.sublayers import Entry
from seq2seq_cli.model.maps import Pass
from seq2seq_cli.model.positions import Learned, Sinusoidal, sines, turned

NOTHING_BTD = torch.zeros(1, 2, 4, dtype=torch.float64)


def test_sines_by_hand() -> None:
    """Of four numbers the second pair turns a hundred times as slowly: 10000^(2/4)."""
    expected = [[sin(t), cos(t), sin(t / 100), cos(t / 100)] for t in (3, 4)]
    found_BTD = Sinusoidal(4)(NOTHING_BTD, 3)
    torch.testing.assert_close(found_BTD, torch.tensor([expected], dtype=torch.float64), rtol=0, atol=1e-15)
    assert sines(torch.arange(1), 4).tolist() == [[0, 1, 0, 1]]
    assert sines(torch.arange(2), 3).shape == (2, 3)


class WithoutDouble(TorchDispatchMode):
    """A device that has no double precision, as Apple's GPUs; the device of no numbers, meta, stands for it."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        assert not (isinstance(made, Tensor) and made.is_meta and made.dtype == torch.float64), func
        return made


def test_devices_without_double_precision_have_positions_too() -> None:
    x_BTD = torch.zeros(2, 3, 8, device="meta")
    with WithoutDouble():  # type: ignore[no-untyped-call]
        for found in (Sinusoidal(8)(x_BTD, 5), turned(x_BTD, torch.arange(5, 8))):
            assert (found.device, found.dtype, found.shape) == (x_BTD.device, x_BTD.dtype, x_BTD.shape)


def test_they_are_added_to_what_there_is_whatever_its_precision() -> None:
    x_BTD = torch.full((2, 3, 6), 0.25)
    torch.testing.assert_close(Sinusoidal(6)(x_BTD, 0) - 0.25, Sinusoidal(6)(torch.zeros(2, 3, 6), 0))
    # Single precision alone would have an angle of 123,457 as a multiple of 1/128, and its sine to two digits.
    late = Sinusoidal(6)(torch.zeros(1, 1, 6), 123_457)[0, 0]
    torch.testing.assert_close(late[:2], torch.tensor([sin(123_457), cos(123_457)]), rtol=0, atol=1e-6)


def test_learned_positions_past_the_last_have_its_vector() -> None:
    learned = Learned(2, 3)
    with torch.no_grad():
        learned.table_PD.copy_(torch.tensor([[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]]))
    found_BTD = learned(torch.full((1, 4, 2), 0.5), 1)
    assert found_BTD[0].tolist() == [[2.5, 20.5], [3.5, 30.5], [3.5, 30.5], [3.5, 30.5]]
    found_BTD.sum().backward()
    assert learned.table_PD.grad is not None
    assert learned.table_PD.grad.tolist() == [[0, 0], [1, 1], [3, 3]]


def test_a_turn_by_hand() -> None:
    """The pairs are the numbers 0 and 2, turned by t, and 1 and 3, turned by t/100."""
    x_RHTI = torch.tensor([[[[1.0, 2.0, 0.0, 0.0], [0.0, 0.0, 3.0, 5.0]]]], dtype=torch.float64)
    found = turned(x_RHTI, torch.tensor([2, 7]))[0, 0]
    expected = [
        [cos(2), 2 * cos(0.02), sin(2), 2 * sin(0.02)],
        [-3 * sin(7), -5 * sin(0.07), 3 * cos(7), 5 * cos(0.07)],
    ]
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-15)
    assert torch.equal(turned(x_RHTI, torch.tensor([0, 0])), x_RHTI)


@given(first=st.integers(0, 5000), second=st.integers(0, 5000), later=st.integers(0, 5000))
def test_rotary_scores_depend_on_the_distance_alone(first: int, second: int, later: int) -> None:
    generator = torch.Generator().manual_seed(1)
    query, key = (torch.randn(1, 1, 1, 8, generator=generator, dtype=torch.float64) for _ in range(2))

    def score(t: int, s: int) -> Tensor:
        return (turned(query, torch.tensor([t])) * turned(key, torch.tensor([s]))).sum()

    torch.testing.assert_close(score(first, second), score(first + later, second + later), rtol=0, atol=1e-10)
    assert (score(first, second) - score(first + 1, second)).abs() > 1e-6


@pytest.mark.parametrize(("positions", "added"), [("sinusoidal", True), ("learned", True), ("rotary", False)])
@pytest.mark.parametrize("embedding_size", [6, 8])
@torch.no_grad()
def test_what_a_stack_reads(positions: str, added: bool, embedding_size: int) -> None:
    """Embeddings times the root of their size, of the size of a state, and their positions, which do not depend on what is
    read."""
    model = {"encoder": "transformer", "embedding_size": embedding_size, "hidden_size": 8, "positions": positions}
    torch.manual_seed(0)
    entry, run = Entry(tiny_config("none", model=model, self_attention={"heads": 2}).model), Pass(torch.float64)
    half = torch.randn(2, 3, embedding_size).bfloat16()
    assert entry(half, 0, Pass(torch.bfloat16)).dtype == torch.float32
    entry.double()
    for parameter in entry.parameters():
        parameter.copy_(torch.randn(parameter.shape))
    assert (entry.project is None) == (embedding_size == 8)
    x_BTI = torch.randn(2, 3, embedding_size, dtype=torch.float64)
    root = torch.tensor(embedding_size, dtype=torch.float64).sqrt()
    expected = x_BTI * root if entry.project is None else (x_BTI * root) @ entry.project.weight.T
    where_BTD = entry(torch.zeros_like(x_BTI), 5, run)
    assert where_BTD.any() == added
    torch.testing.assert_close(entry(x_BTI, 5, run) - where_BTD, expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(entry(x_BTI, 4, run)[:, 1:], entry(x_BTI[:, 1:], 5, run), rtol=0, atol=1e-12)
