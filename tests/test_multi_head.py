"""Multi-head attention against torch's, and by hand."""

import math

import pytest
import torch
from attending import assert_close, look, made, memory_of, put
from models import decode, tiny_config, tiny_model, tiny_sentences
from torch import nn

from seq2seq_cli.errors import ConfigError
from seq2seq_cli.model.maps import Pass
from seq2seq_cli.model.types import Source


@pytest.mark.parametrize("heads", [1, 2, 3, 4, 6, 12])
@torch.no_grad()
def test_it_is_torchs(heads: int) -> None:
    torch.manual_seed(0)
    attention = made("multi-head", 12, 10, heads=heads)
    states_BSE, query_BTD = torch.randn(3, 5, 10).double(), torch.randn(3, 4, 12).double()
    mask_BS = torch.arange(5) < torch.tensor([[5], [2], [1]])
    memory = attention.prepare(Source(states_BSE, states_BSE[:, 0], mask_BS), Pass())
    attended, _ = attention(query_BTD, memory, (), 0, Pass())

    def split(x_BLA: torch.Tensor) -> torch.Tensor:
        return x_BLA.view(*x_BLA.shape[:2], heads, 12 // heads).transpose(1, 2)

    queries, keys = split(attention.score.query(query_BTD)), split(attention.score.key(states_BSE))
    values = split(attention.value(states_BSE))
    mixed = nn.functional.scaled_dot_product_attention(queries, keys, values, mask_BS[:, None, None])
    expected = attention.output(mixed.transpose(1, 2).flatten(2))
    torch.testing.assert_close(attended.context_BTE, expected, rtol=0, atol=1e-9)
    energies = (queries @ keys.mT / math.sqrt(12 // heads)).masked_fill(~mask_BS[:, None, None], -math.inf)
    torch.testing.assert_close(attended.look.heads_BTHS, energies.softmax(-1).transpose(1, 2), rtol=0, atol=1e-9)


@torch.no_grad()
def test_by_hand() -> None:
    attention = made("multi-head", 2, 2, heads=2)
    for layer in (attention.score.query, attention.score.key, attention.value):
        put(layer.weight, [[1, 0], [0, 1]])
    put(attention.output.weight, [[1, 1], [0, 2]])
    memory = memory_of(attention, [[math.log(3), 0], [0, math.log(4)]])
    # Heads of one dimension each: energies (ln 3, 0) and (0, ln 4), weights (3/4, 1/4) and (1/5, 4/5)
    attended, _ = look(attention, memory, [1, 1])
    assert attended.look.heads_BTHS is not None
    assert_close(attended.look.heads_BTHS[0, 0], [[3 / 4, 1 / 4], [1 / 5, 4 / 5]])
    assert_close(attended.look.weights_BTS[0, 0], [(3 / 4 + 1 / 5) / 2, (1 / 4 + 4 / 5) / 2])
    first, second = 3 / 4 * math.log(3), 4 / 5 * math.log(4)
    assert_close(attended.context_BTE[0, 0], [first + second, 2 * second])


def test_heads_must_share_the_size_evenly() -> None:
    with pytest.raises(ConfigError, match=r"attention.heads = 3 does not divide model.hidden_size = 8"):
        tiny_config("multi-head", attention={"heads": 3})


@torch.no_grad()
def test_heads_reach_the_decoders_output() -> None:
    output = decode(tiny_model(tiny_config("multi-head", attention={"heads": 4}), seed=1), tiny_sentences())
    heads_BTHS = output.shown.heads_BTHS
    assert heads_BTHS is not None
    assert heads_BTHS.shape[2] == 4
    torch.testing.assert_close(heads_BTHS.mean(2), output.shown.weights_BTS)
    assert (heads_BTHS[:, :, 0] - heads_BTHS[:, :, 1]).abs().max() > 0.01
