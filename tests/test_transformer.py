"""Layers of a Transformer against torch's own, with the same weights: values and gradients."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import pytest
import torch
from models import tiny_config
from torch import Tensor, nn

from seq2seq_cli.config.whole import Config
from seq2seq_cli.inputs import TEXT
from seq2seq_cli.model.build import build, build_decoder, build_encoder
from seq2seq_cli.model.maps import Pass
from seq2seq_cli.model.types import Source

SIZE, HEADS, FEED_FORWARD = 16, 4, 24
PRECISIONS = pytest.mark.parametrize(("dtype", "near"), [(torch.float32, 1e-6), (torch.float64, 1e-13)], ids=str)
LAYERS = pytest.mark.parametrize("layers", [1, 3])


def config_of(layers: int, **itself: object) -> Config:
    return tiny_config(
        "multi-head",
        attention={"heads": HEADS},
        self_attention={"heads": HEADS, **itself},
        model={
            "encoder": "transformer",
            "decoder": "transformer",
            "embedding_size": SIZE,
            "hidden_size": SIZE,
            "feed_forward_size": FEED_FORWARD,
            "encoder_layers": layers,
            "decoder_layers": layers,
        },
    )


def drawn(module: nn.Module, dtype: torch.dtype) -> Any:
    """Its weights around those of an initialised model: biases and the norms' own numbers too. (Any: its parts are looked at.)"""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_((parameter.dim() == 1) * parameter + 0.25 * torch.randn(parameter.shape))
    return module.to(dtype)


Same = list[tuple[nn.Parameter, Sequence[nn.Parameter]]]


class Torchs(NamedTuple):
    """A module of torch's with our weights. ``same``: each of its parameters, and ours that stand in it, one below the
    other."""

    module: Any
    same: Same

    @torch.no_grad()
    def filled(self, dtype: torch.dtype) -> Self:
        """Biases that ours has not are zero."""
        for parameter in self.module.parameters():
            parameter.zero_()
        for their, our in self.same:
            their.copy_(torch.cat(list(our)))
        self.module.to(dtype)
        return self

    def assert_same_gradients(self, near: float) -> None:
        for their, our in self.same:
            gradients = [one.grad for one in our if one.grad is not None]
            assert their.grad is not None
            torch.testing.assert_close(torch.cat(gradients), their.grad, rtol=near, atol=near)


def same(their: nn.Module, our: nn.Module) -> Same:
    """Of two linear maps or norms."""
    return [(getattr(their, name), [parameter]) for name, parameter in our.named_parameters()]


def same_attention(their: nn.MultiheadAttention, inputs: Sequence[nn.Parameter], output: nn.Module) -> Same:
    return [(their.in_proj_weight, inputs), *same(their.out_proj, output)]


def torchs_encoder(ours: Any, dtype: torch.dtype) -> Torchs:
    layer = nn.TransformerEncoderLayer(SIZE, HEADS, FEED_FORWARD, 0.0, batch_first=True, norm_first=True)
    theirs: Any = nn.TransformerEncoder(layer, len(ours.layers), nn.LayerNorm(SIZE), enable_nested_tensor=False)
    found = same(theirs.norm, ours.norm)
    for their, our in zip(theirs.layers, ours.layers, strict=True):
        found += same_attention(their.self_attn, [our.self_attention.project.weight], our.self_attention.output)
        found += same(their.norm1, our.attending.norm) + same(their.norm2, our.feeding.norm)
        found += same(their.linear1, our.feed_forward.widen) + same(their.linear2, our.feed_forward.narrow)
    return Torchs(theirs, found).filled(dtype)


def torchs_decoder(ours: Any, dtype: torch.dtype) -> Torchs:
    layer = nn.TransformerDecoderLayer(SIZE, HEADS, FEED_FORWARD, 0.0, batch_first=True, norm_first=True)
    theirs: Any = nn.TransformerDecoder(layer, len(ours.layers), nn.LayerNorm(SIZE))
    found = same(theirs.norm, ours.norm)
    for their, our in zip(theirs.layers, ours.layers, strict=True):
        cross = our.attention
        found += same_attention(their.self_attn, [our.mixer.project.weight], our.mixer.output)
        inputs = [part.weight for part in (cross.score.query, cross.score.key, cross.value)]
        found += same_attention(their.multihead_attn, inputs, cross.output)
        for name, residual in (("norm1", our.mixing), ("norm2", our.attending), ("norm3", our.feeding)):
            found += same(getattr(their, name), residual.norm)
        found += same(their.linear1, our.feed_forward.widen) + same(their.linear2, our.feed_forward.narrow)
    return Torchs(theirs, found).filled(dtype)


def states(*shape: int, dtype: torch.dtype, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


MASK_BS = torch.arange(9) < torch.tensor([[9], [1], [6], [8]])
"""Of padding among others; and none (`everything`)."""
MASKS = pytest.mark.parametrize("mask_BS", [MASK_BS, torch.ones_like(MASK_BS)], ids=["padded", "full"])


@PRECISIONS
@LAYERS
@MASKS
def test_the_encoder_is_torchs(dtype: torch.dtype, near: float, layers: int, mask_BS: Tensor) -> None:
    ours = drawn(build_encoder(config_of(layers)), dtype)
    theirs = torchs_encoder(ours, dtype)
    run, embedded_BSI = Pass(dtype), states(4, 9, SIZE, dtype=dtype, seed=1) / 4
    source = ours(embedded_BSI, mask_BS, run)
    found = source.states_BSE
    assert [look.weights_BTS.shape for look in source.looks] == [(4, 9, 0)] * layers  # nobody asks for them
    expected = theirs.module(ours.entry(embedded_BSI, 0, run), src_key_padding_mask=~mask_BS)
    assert expected[mask_BS].std() > 0.2
    torch.testing.assert_close(found[mask_BS], expected[mask_BS], rtol=near, atol=near)
    direction = states(int(mask_BS.sum()), SIZE, dtype=dtype, seed=2)
    for out in (found, expected):
        (out[mask_BS] * direction).sum().backward()
    theirs.assert_same_gradients(30 * near)


@PRECISIONS
@LAYERS
@MASKS
@pytest.mark.parametrize("looking", [True, False], ids=["looked at", "quick"])
def test_the_decoder_is_torchs(dtype: torch.dtype, near: float, layers: int, mask_BS: Tensor, looking: bool) -> None:
    config = config_of(layers)
    ours = drawn(build_decoder(config, build_encoder(config), ()), dtype)
    theirs = torchs_decoder(ours, dtype)
    run, memory_BSE = Pass(dtype, looking=looking, inward=looking), states(4, 9, SIZE, dtype=dtype, seed=3)
    sources = {TEXT: Source(memory_BSE, memory_BSE[:, 0], mask_BS)}
    memories = ours.prepare(sources, run)
    embedded_BTI = states(4, 7, SIZE, dtype=dtype, seed=1) / 4
    found = ours(embedded_BTI, memories, ours.begin(sources, memories, run), run)
    later_TT = torch.ones(7, 7, dtype=torch.bool).triu(1)
    expected = theirs.module(
        ours.entry(embedded_BTI, 0, run), memory_BSE, tgt_mask=later_TT, memory_key_padding_mask=~mask_BS
    )
    assert expected.std() > 0.2
    torch.testing.assert_close(found.features_BTF, expected, rtol=near, atol=near)
    direction = states(4, 7, SIZE, dtype=dtype, seed=2)
    for out in (found.features_BTF, expected):
        (out * direction).sum().backward()
    theirs.assert_same_gradients(30 * near)


@torch.no_grad()
def test_the_weights_shown_are_torchs() -> None:
    """Of each head, in the layer that is chosen."""
    config, dtype = config_of(2), torch.float64
    ours = drawn(build_decoder(config, build_encoder(config), ()), dtype)
    theirs = torchs_decoder(ours, dtype)
    run, memory_BSE = Pass(dtype, inward=True), states(4, 9, SIZE, dtype=dtype, seed=3)
    sources = {TEXT: Source(memory_BSE, memory_BSE[:, 0], MASK_BS)}
    memories = ours.prepare(sources, run)
    embedded_BTI = states(4, 7, SIZE, dtype=dtype, seed=1) / 4
    output = ours(embedded_BTI, memories, ours.begin(sources, memories, run), run)
    layer, x_BTD = theirs.module.layers[0], ours.entry(embedded_BTI, 0, run)
    normed_BTD = layer.norm1(x_BTD)
    later_TT = torch.ones(7, 7, dtype=torch.bool).triu(1)
    asked = {"need_weights": True, "average_attn_weights": False}
    inward_BTD, inward_BHTT = layer.self_attn(normed_BTD, normed_BTD, normed_BTD, attn_mask=later_TT, **asked)
    x_BTD = x_BTD + inward_BTD
    _, weights_BHTS = layer.multihead_attn(
        layer.norm2(x_BTD), memory_BSE, memory_BSE, key_padding_mask=~MASK_BS, **asked
    )
    for look, heads_BHTS in (
        (output.looks[0]["itself"], inward_BHTT),
        (output.looks[0][TEXT], weights_BHTS),
        (output.shown, weights_BHTS),  # of two layers the last but one
    ):
        assert look.heads_BTHS is not None
        torch.testing.assert_close(look.heads_BTHS, heads_BHTS.transpose(1, 2), rtol=0, atol=1e-13)
        torch.testing.assert_close(look.weights_BTS, heads_BHTS.mean(1), rtol=0, atol=1e-13)


@pytest.mark.parametrize("window", ["global", "local"])
@pytest.mark.parametrize("huge", [1e30, -1e30])
def test_what_padding_holds_is_not_read(window: str, huge: float) -> None:
    """Neither by what goes forward nor by what goes back, to the last bit."""
    itself = {"window": window, "radius": 1} if window == "local" else {}
    ours = drawn(build_encoder(config_of(2, **itself)), torch.float64)
    plain_BSI = states(4, 14, SIZE, dtype=torch.float64, seed=1)
    mask_BS = torch.arange(14) < torch.tensor([[14], [1], [12], [5]])
    found = []
    for embedded_BSI in (plain_BSI, torch.where(mask_BS[..., None], plain_BSI, huge)):
        embedded_BSI = embedded_BSI.clone().requires_grad_()
        source = ours(embedded_BSI, mask_BS, Pass(torch.float64))
        assert not source.states_BSE[~mask_BS].any()
        (source.states_BSE * plain_BSI).sum().backward()
        assert embedded_BSI.grad is not None
        assert not embedded_BSI.grad[~mask_BS].any()
        assert (embedded_BSI.grad[mask_BS] != 0).all()
        found.append((source.states_BSE, source.summary_BE, embedded_BSI.grad))
    for a, b in zip(*found, strict=True):
        assert torch.equal(a, b)


def test_the_summary_is_the_mean_of_the_real_states() -> None:
    ours = drawn(build_encoder(config_of(1)), torch.float64)
    source = ours(states(4, 9, SIZE, dtype=torch.float64, seed=1), MASK_BS, Pass(torch.float64))
    for row, length in enumerate(MASK_BS.sum(1).tolist()):
        expected_E = source.states_BSE[row, :length].mean(0)
        torch.testing.assert_close(source.summary_BE[row], expected_E, rtol=0, atol=1e-14)


@torch.no_grad()
def test_the_encoders_weights_are_torchs() -> None:
    """Of each layer and head."""
    ours = drawn(build_encoder(config_of(2)), torch.float64)
    theirs = torchs_encoder(ours, torch.float64).module
    embedded_BSI = states(4, 9, SIZE, dtype=torch.float64, seed=1) / 4
    looks = ours(embedded_BSI, MASK_BS, Pass(torch.float64, inward=True)).looks
    x_BSD = ours.entry(embedded_BSI, 0, Pass(torch.float64))
    for layer, look in zip(theirs.layers, looks, strict=True):
        normed_BSD = layer.norm1(x_BSD)
        asked = {"key_padding_mask": ~MASK_BS, "average_attn_weights": False}
        _, heads_BHSS = layer.self_attn(normed_BSD, normed_BSD, normed_BSD, **asked)
        found_BSHS, expected_BSHS = look.heads_BTHS[MASK_BS], heads_BHSS.transpose(1, 2)[MASK_BS]
        torch.testing.assert_close(found_BSHS, expected_BSHS, rtol=0, atol=1e-13)
        x_BSD = layer(x_BSD, src_key_padding_mask=~MASK_BS)


def test_norms_change_nothing_at_first() -> None:
    config = config_of(2)
    model = build(config, 9, 9)
    norms = [module for module in model.modules() if isinstance(module, nn.LayerNorm)]
    assert len(norms) == 2 * 2 + 1 + 2 * 3 + 1
    for norm in norms:
        assert (norm.weight == 1).all()
        assert (norm.bias == 0).all()
