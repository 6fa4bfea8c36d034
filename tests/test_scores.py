"""Scores, worked out by hand. tanh(ln 2) = (4 - 1)/(4 + 1) = 0.6 and tanh(ln 3) = (9 - 1)/(9 + 1) = 0.8."""

import math

import pytest
import torch
from torch import Tensor, nn

from seq2seq_cli.config.attention import AttentionConfig
from seq2seq_cli.errors import ConfigError
from seq2seq_cli.model.attention.scored import ScoredAttention
from seq2seq_cli.model.attention.scores import AdditiveScore, DotScore, GeneralScore, LocationScore, Score
from seq2seq_cli.model.build import build_attention
from seq2seq_cli.model.maps import Pass, StepMatrix
from seq2seq_cli.model.types import Memory, Source

LN2, LN3 = math.log(2), math.log(3)


def energies(score: Score, query: list[float], states: list[list[float]]) -> Tensor:
    """One query's energies over one sentence's states."""
    states_BSE = torch.tensor([states])
    mask_BS = torch.ones(states_BSE.shape[:2], dtype=torch.bool)
    memory = Memory(StepMatrix(states_BSE), score.shared(score.keys(states_BSE, Pass())), mask_BS, states_BSE[:, 0])
    energies_BTS: Tensor = score(score.queries(torch.tensor([[query]]), Pass()), memory)
    assert energies_BTS.shape[:2] == (1, 1)
    return energies_BTS[0, 0]


def assert_energies(score: Score, query: list[float], states: list[list[float]], expected: list[float]) -> None:
    torch.testing.assert_close(energies(score, query, states), torch.tensor(expected))


def set_weight(layer: nn.Linear, rows: list[list[float]]) -> None:
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(rows))


def test_dot() -> None:
    # 1*3 + 2*(-1) = 1; 1*0.5 + 2*4 = 8.5
    assert_energies(DotScore(2, 2), [1.0, 2.0], [[3.0, -1.0], [0.5, 4.0]], [1.0, 8.5])


def test_dot_needs_one_size() -> None:
    with pytest.raises(ConfigError, match=r'not 4 and 6.*\n.*"general"') as caught:
        DotScore(4, 6)
    assert caught.value.where == "attention.kind"


def test_scaled_dot_divides_by_the_root_of_the_size() -> None:
    attention = build_attention(AttentionConfig(kind="scaled-dot"), 4, 4)
    assert isinstance(attention, ScoredAttention)
    # sqrt(4) = 2: (2 + 2 + 0 + 0)/2 = 2; (0 + 2 + 0 + 4)/2 = 3
    assert_energies(attention.score, [1.0, 2.0, 0.0, 1.0], [[2.0, 1.0, 5.0, 0.0], [0.0, 1.0, 1.0, 4.0]], [2.0, 3.0])


def test_general() -> None:
    score = GeneralScore(2, 3)
    set_weight(score.key, [[1.0, 2.0, 0.0], [0.0, -1.0, 1.0]])
    # q^T W = (1, 2 - 3, 3) = (1, -1, 3); times (4, 1, 0): 4 - 1 = 3; times (0, 2, 1): -2 + 3 = 1
    assert_energies(score, [1.0, 3.0], [[4.0, 1.0, 0.0], [0.0, 2.0, 1.0]], [3.0, 1.0])


def test_additive() -> None:
    score = AdditiveScore(2, 3, 2)
    set_weight(score.query, [[LN2, 0.0], [0.0, LN3]])
    set_weight(score.key, [[0.0, LN2, 0.0], [0.0, 0.0, LN3]])
    set_weight(score.energy, [[10.0, 5.0]])
    # W_1 q = (ln 2, 0). W_2 h_0 = (0, ln 3): 10 tanh(ln 2) + 5 tanh(ln 3) = 6 + 4 = 10.
    # W_2 h_1 = (-ln 2, -ln 3): 10 tanh(0) - 5 tanh(ln 3) = -4.
    assert_energies(score, [1.0, 0.0], [[7.0, 0.0, 1.0], [7.0, -1.0, -1.0]], [10.0, -4.0])


@pytest.mark.parametrize(
    ("positions", "expected"),
    [(2, [2.0, 1.0]), (3, [2.0, 1.0, 3.0]), (5, [2.0, 1.0, 3.0, -math.inf, -math.inf])],
    ids=["shorter-than-the-table", "the-table", "longer-than-the-table"],
)
def test_location(positions: int, expected: list[float]) -> None:
    score = LocationScore(2, 3)
    set_weight(score.position, [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    # q = (2, 1): 2, 1 and 2 + 1 = 3, whatever the states are
    assert_energies(score, [2.0, 1.0], [[9.0, float(s)] for s in range(positions)], expected)


def test_a_location_past_the_table_is_never_attended_to() -> None:
    attention = build_attention(AttentionConfig(kind="luong-location", max_positions=3), 2, 2)
    assert isinstance(attention, ScoredAttention)
    assert isinstance(attention.score, LocationScore)
    set_weight(attention.score.position, [[0.0, 0.0]] * 3)
    states_BSE = torch.arange(10.0).view(1, 5, 2)
    ones_BS = torch.ones(1, 5, dtype=torch.bool)
    memory = attention.prepare(Source(states_BSE, states_BSE[:, 0], ones_BS), Pass())
    attended, _ = attention(torch.ones(1, 1, 2), memory, (), 0, Pass())
    # Three equal energies: a third each; c = ((0, 1) + (2, 3) + (4, 5))/3 = (2, 3)
    torch.testing.assert_close(attended.look.weights_BTS, torch.tensor([[[1 / 3, 1 / 3, 1 / 3, 0.0, 0.0]]]))
    torch.testing.assert_close(attended.context_BTE, torch.tensor([[[2.0, 3.0]]]))


def test_scaled_dot_is_torchs() -> None:
    torch.manual_seed(0)
    attention = build_attention(AttentionConfig(kind="scaled-dot"), 8, 8)
    states_BSE, query_BTD = torch.randn(3, 5, 8).double(), torch.randn(3, 4, 8).double()
    mask_BS = torch.arange(5) < torch.tensor([[5], [2], [1]])
    assert isinstance(attention, ScoredAttention)
    memory = attention.prepare(Source(states_BSE, states_BSE[:, 0], mask_BS), Pass())
    attended, _ = attention(query_BTD, memory, (), 0, Pass())
    expected = nn.functional.scaled_dot_product_attention(query_BTD, states_BSE, states_BSE, mask_BS[:, None])
    torch.testing.assert_close(attended.context_BTE, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("kind", ["luong-dot", "luong-general", "luong-concat"])
@torch.no_grad()
def test_what_follows_the_projections_is_not_rounded_to_bfloat16(kind: str) -> None:
    torch.manual_seed(0)
    attention = build_attention(AttentionConfig(kind=kind), 8, 8)
    assert isinstance(attention, ScoredAttention)
    for name, parameter in attention.named_parameters():
        if "energy" not in name:
            parameter.copy_(torch.eye(8))
    # Numbers of 8 bits, projected by the identity: exact in bfloat16. Energies, weights and context are not.
    states_BSE, query_BTD = torch.randn(3, 5, 8).bfloat16(), torch.randn(3, 4, 8).bfloat16()
    mask_BS = torch.ones(3, 5, dtype=torch.bool)

    def attend(states_BSE: Tensor, query_BTD: Tensor) -> Tensor:
        memory = attention.prepare(Source(states_BSE, states_BSE[:, 0], mask_BS), Pass())
        context_BTE: Tensor = attention(query_BTD, memory, (), 0, Pass())[0].context_BTE
        return context_BTE

    exact = attend(states_BSE.float(), query_BTD.float())
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(attend(states_BSE, query_BTD), exact)


@pytest.mark.parametrize("kind", ["luong-general", "bahdanau", "local-p"])
@torch.no_grad()
def test_what_is_not_rounded_stays_so_when_rows_are_selected(kind: str) -> None:
    attention = build_attention(AttentionConfig(kind=kind), 8, 8)
    states_BSE = torch.randn(3, 5, 8, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", torch.bfloat16):
        memory = attention.prepare(Source(states_BSE, states_BSE[:, 0], torch.ones(3, 5, dtype=torch.bool)), Pass())
        query_BTD, rows = torch.randn(3, 1, 8).bfloat16(), torch.tensor([2, 0])
        whole, _ = attention(query_BTD, memory, (), 0, Pass())
        part, _ = attention(query_BTD[rows], memory.select(rows), (), 0, Pass())
    torch.testing.assert_close(part.context_BTE, whole.context_BTE[rows], rtol=0, atol=1e-6)
    assert part.context_BTE.dtype == torch.float32
