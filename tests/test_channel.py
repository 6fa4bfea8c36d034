"""A weight for each dimension, by hand. tanh(ln 2) = 0.6."""

import math

import torch
from attending import assert_close, look, made, memory_of, put

LN2 = math.log(2)


@torch.no_grad()
def test_by_hand() -> None:
    attention = made("channel", 1, 2, size=1)
    put(attention.score.query.weight, [[1]])
    put(attention.score.key.weight, [[1, 0]])
    put(attention.score.energy.weight, [[math.log(3) / 0.6], [-math.log(4) / 0.6]])
    memory = memory_of(attention, [[LN2, 10.0], [0.0, 30.0]])
    # Inner 0.6 and 0: energies (ln 3, 0) of the first dimension, (-ln 4, 0) of the second.
    attended, _ = look(attention, memory, [0.0])
    # Weights 3/4, 1/4 and 1/5, 4/5
    assert_close(attended.context_BTE[0, 0], [3 / 4 * LN2, 10 / 5 + 30 * 4 / 5])
    assert_close(attended.look.weights_BTS[0, 0], [(3 / 4 + 1 / 5) / 2, (1 / 4 + 4 / 5) / 2])
