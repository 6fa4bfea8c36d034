"""Mechanisms that carry something from step to step, worked out by hand. tanh(ln 2) = 0.6, tanh(ln 3) = 0.8."""

import math
from decimal import Decimal, localcontext

import pytest
import torch
from attending import assert_close, look, made, memory_of, put

LN2, LN3 = math.log(2), math.log(3)


@torch.no_grad()
def test_coverage_by_hand() -> None:
    attention = made("coverage", 1, 1, size=1)
    put(attention.score.query.weight, [[1]])
    put(attention.score.key.weight, [[1]])
    put(attention.score.energy.weight, [[5]])
    put(attention.coverage_A, [-4 * LN2])
    memory = memory_of(attention, [[0.0], [LN2], [-LN2]])
    # At first nothing is covered: energies 5 tanh(0), 5 tanh(ln 2), 5 tanh(-ln 2) = 0, 3, -3.
    attended, state = look(attention, memory, [0.0])
    weights = [math.exp(e) / (1 + math.exp(3) + math.exp(-3)) for e in (0, 3, -3)]
    assert_close(attended.look.weights_BTS[0, 0], weights)
    assert_close(state[0][0], weights)
    # Covered by 1/4 of a weight, a position's inner sum falls by ln 2: tanh(-ln 2), tanh(0), tanh(-ln 4) = -15/17.
    even = (torch.full((1, 3), 0.25, dtype=torch.float64),)
    attended, state = look(attention, memory, [0.0], even)
    energies = [-3, 0, -75 / 17]
    expected = [math.exp(e) / sum(map(math.exp, energies)) for e in energies]
    assert_close(attended.look.weights_BTS[0, 0], expected)
    assert_close(state[0][0], [0.25 + w for w in expected])


@torch.no_grad()
def test_temporal_by_hand() -> None:
    attention = made("temporal", 1, 1, score="dot")
    memory = memory_of(attention, [[math.log(2)], [math.log(3)]])
    # exp(e): 2 and 3, so 2/5 and 3/5.
    attended, state = look(attention, memory, [1.0])
    assert_close(attended.look.weights_BTS[0, 0], [2 / 5, 3 / 5])
    # exp(2 ln s) = 4 and 9, divided by 2 and 3: 2/5 and 3/5 again.
    attended, state = look(attention, memory, [2.0], state)
    assert_close(attended.look.weights_BTS[0, 0], [2 / 5, 3 / 5])
    # 2 and 3, divided by 2 + 4 = 6 and 3 + 9 = 12: 1/3 and 1/4, of 7/12.
    attended, state = look(attention, memory, [1.0], state)
    assert_close(attended.look.weights_BTS[0, 0], [4 / 7, 3 / 7])
    assert_close(state[0][0].exp(), [8, 15])


@torch.no_grad()
def test_temporal_is_exact_for_two_hundred_steps_of_large_scores() -> None:
    """Against sums of 60 digits. e^1500 is no float; nor is the sum of what came before."""
    attention = made("temporal", 1, 1, score="dot")
    generator = torch.Generator().manual_seed(0)
    states = torch.randn(6, generator=generator, dtype=torch.float64)
    queries = 500 * torch.randn(200, generator=generator, dtype=torch.float64)
    memory = memory_of(attention, states[:, None].tolist())
    state = attention.initial_state(memory)
    with localcontext() as context:
        context.prec = 60
        past: list[Decimal] = []
        for query in queries.tolist():
            attended, state = look(attention, memory, [query], state)
            # The score as the model has it: rounding it is the only thing the two share.
            exps = [Decimal(float(query * state)).exp() for state in states]
            tempered = [e / p for e, p in zip(exps, past, strict=True)] if past else exps
            past = [e + p for e, p in zip(exps, past, strict=True)] if past else exps
            expected = [float(e / sum(tempered)) for e in tempered]
            torch.testing.assert_close(
                attended.look.weights_BTS[0, 0], torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-9
            )
    assert max(p.adjusted() for p in past) > 308


def test_a_location_past_the_table_gives_temporal_no_nan() -> None:
    attention = made("temporal", 2, 2, score="location", max_positions=2)
    memory = memory_of(attention, [[1.0, 0.0]] * 3)
    state, total = attention.initial_state(memory), torch.zeros(())
    for _ in range(3):
        attended, state = look(attention, memory, [1.0, 2.0], state)
        assert attended.look.weights_BTS[0, 0, 2] == 0
        total = total + attended.look.weights_BTS[0, 0, 0]
    total.backward()
    assert attention.score.position.weight.grad.isfinite().all()


@torch.no_grad()
def test_memory_by_hand() -> None:
    attention = made("memory", 1, 1, score="dot", slots=2)
    put(attention.slots_MD, [[0.0], [LN3]])
    put(attention.gates.weight, [[LN3], [LN2]])
    memory = memory_of(attention, [[5.0]])
    attended, state = look(attention, memory, [1.0])
    # softmax(0, ln 3) = 1/4, 3/4; beside the source's only state, 5
    assert_close(attended.context_BTE[0, 0], [5.0, 3 / 4 * LN3])
    # erase = sigmoid(ln 3) = 3/4, add = sigmoid(ln 2) = 2/3
    expected = [[0 + 1 / 4 * 2 / 3], [LN3 * (1 - 3 / 4 * 3 / 4) + 3 / 4 * 2 / 3]]
    assert_close(state[0][0], expected)


@pytest.mark.parametrize("kind", ["coverage", "temporal", "memory"])
@torch.no_grad()
def test_what_is_carried_matters(kind: str) -> None:
    torch.manual_seed(0)
    attention = made(kind, 4, 4)
    for parameter in attention.parameters():
        parameter.add_(torch.randn_like(parameter))
    memory = memory_of(attention, torch.randn(5, 4).tolist())
    first, state = look(attention, memory, [1.0, -1.0, 0.5, 2.0])
    again, _ = look(attention, memory, [1.0, -1.0, 0.5, 2.0], state, 1)
    assert (first.context_BTE - again.context_BTE).abs().max() > 1e-3
