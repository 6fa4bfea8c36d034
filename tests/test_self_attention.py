"""Self-attention by itself: which positions look where, by which way it is computed, and what that costs."""

from itertools import product
from typing import Any, get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from seq2seq_cli.config.self_attention import SelfAttentionConfig
from seq2seq_cli.kinds.attentions import Normaliser
from seq2seq_cli.kinds.layers import Span
from seq2seq_cli.model.attention import heads
from seq2seq_cli.model.attention.heads import mixed, weighed
from seq2seq_cli.model.attention.normalisers import Entmax15, Softmax, Sparsemax, TopK
from seq2seq_cli.model.layers import self_attention
from seq2seq_cli.model.layers.self_attention import SelfAttention
from seq2seq_cli.model.maps import Linear, Pass
from seq2seq_cli.model.packing import Packing
from seq2seq_cli.model.types import Look

SIZE, HEADS = 8, 2
NORMALISERS: tuple[Normaliser, ...] = get_args(Normaliser)


def made(causal: bool, rotary: bool = False, **options: Any) -> SelfAttention:
    """With random weights, in double precision."""
    torch.manual_seed(0)
    config = SelfAttentionConfig.model_validate({"heads": HEADS, **options})
    attention = SelfAttention(SIZE, config, causal, rotary).double()
    with torch.no_grad():
        for parameter in attention.parameters():
            parameter.copy_(torch.randn(parameter.shape))
    return attention


def chosen(normaliser: str, window: str, radius: int) -> dict[str, Any]:
    """Options that go together."""
    top_k: dict[str, Any] = {"top_k": 2} if normaliser == "top-k" else {}
    return {"normaliser": normaliser, "window": window, **top_k, **({"radius": radius} if window == "local" else {})}


def states(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def attend(attention: SelfAttention, x_BSD: Tensor, mask_BS: Tensor | None, inward: bool) -> tuple[Tensor, Look]:
    """All positions of an encoder's sentences, or (without a mask) of a decoder's."""
    run = Pass(x_BSD.dtype, inward=inward)
    if mask_BS is None:
        packing = Packing.all(x_BSD)
        nothing = attention.nothing(len(x_BSD), x_BSD)
        out_ND, _, look = attention(packing.packed(x_BSD), packing, nothing, 0, run)
    else:
        packing = Packing.real(mask_BS)
        out_ND, look = attention.whole(packing.packed(x_BSD), packing, mask_BS, run)
    return packing.spread(out_ND), look


def mask_of(lengths: list[int], positions: int) -> Tensor:
    return torch.arange(positions) < torch.tensor(lengths)[:, None]


@pytest.mark.parametrize(("normaliser", "window", "causal"), [*product(NORMALISERS, get_args(Span), (False, True))])
@torch.no_grad()
def test_weights_sum_to_one_where_a_position_may_look_and_are_zero_elsewhere(
    normaliser: str, window: str, causal: bool
) -> None:
    positions, radius = 15, 2
    attention, mask_BS = made(causal, **chosen(normaliser, window, radius)), mask_of([15, 1, 9], positions)
    x_BSD = states(3, positions, SIZE)
    _, look = attend(attention, x_BSD, None if causal else mask_BS, inward=True)
    heads_BTHS = look.heads_BTHS
    assert heads_BTHS is not None
    assert heads_BTHS.shape == (3, positions, HEADS, positions)
    t_T1, s_S = torch.arange(positions)[:, None], torch.arange(positions)
    seen_BTS = (torch.ones_like(mask_BS) if causal else mask_BS)[:, None] & ((s_S <= t_T1) | (not causal))
    if window == "local":
        seen_BTS = seen_BTS & ((s_S - t_T1).abs() <= radius)
    real_BTHS = heads_BTHS.transpose(2, 3)[mask_BS]
    assert (heads_BTHS >= 0).all()
    assert not heads_BTHS.transpose(2, 3)[~seen_BTS & mask_BS[..., None]].any()
    torch.testing.assert_close(real_BTHS.sum(1), torch.ones_like(real_BTHS[:, 0]), rtol=0, atol=1e-12)
    torch.testing.assert_close(look.weights_BTS, heads_BTHS.mean(2), rtol=0, atol=0)
    counts = (real_BTHS > 0).sum(1)
    room = seen_BTS.sum(-1)[mask_BS][:, None].expand_as(counts)
    if normaliser == "softmax":
        assert (counts == room).all()
    elif normaliser == "top-k":
        assert (counts == room.clamp(max=2)).all()
    else:
        assert (counts < room).any()


@pytest.mark.parametrize("causal", [False, True])
@torch.no_grad()
def test_it_is_torchs_scaled_dot_product_of_the_heads(causal: bool) -> None:
    attention, x_BSD, mask_BS = made(causal), states(3, 7, SIZE), mask_of([7, 2, 5], 7)
    found_BSD, _ = attend(attention, x_BSD, None if causal else mask_BS, inward=False)
    parts = (x_BSD @ attention.project.weight.T).chunk(3, -1)
    queries, keys, values = (part.unflatten(2, (HEADS, -1)).transpose(1, 2) for part in parts)
    mask = torch.ones(7, 7, dtype=torch.bool).tril() if causal else mask_BS[:, None, None]
    mixed_BHSI = nn.functional.scaled_dot_product_attention(queries, keys, values, mask)
    expected_BSD = mixed_BHSI.transpose(1, 2).flatten(2) @ attention.output.weight.T
    real_BS = torch.ones_like(mask_BS) if causal else mask_BS
    torch.testing.assert_close(found_BSD[real_BS], expected_BSD[real_BS], rtol=0, atol=1e-12)


@torch.no_grad()
def test_by_hand() -> None:
    """One head of size 1: queries 1 and 2, keys 0 and ln 3, values 4 and 8. The first query's weights are 1/4 and 3/4, the
    second's 1/10 and 9/10. A decoder's first position sees itself alone."""
    attention = SelfAttention(1, SelfAttentionConfig(heads=1), causal=False, rotary=False).double()
    x_BSD = torch.tensor([[[1.0], [2.0]]], dtype=torch.float64)
    for parameter in attention.parameters():
        parameter.fill_(1.0)

    def projected(x_ND: Tensor) -> Any:
        queries, keys, values = x_ND, (x_ND - 1) * torch.tensor(3.0, dtype=torch.float64).log(), 4 * x_ND
        return type("Fixed", (), {"product": lambda self, _: torch.cat([queries, keys, values], -1)})()

    class Fixing(Pass):
        def map(self, linear: Linear) -> Any:
            return projected(x_BSD[0]) if linear is attention.project else super().map(linear)

    packing, everything = Packing.all(x_BSD), torch.ones(1, 2, dtype=torch.bool)
    for inward in (False, True):
        run = Fixing(torch.float64, inward=inward)
        out_ND, _ = attention.whole(x_BSD[0], packing, everything, run)
        torch.testing.assert_close(out_ND, torch.tensor([[7.0], [7.6]], dtype=torch.float64))
        attention.causal = True
        out_ND, _, _ = attention(x_BSD[0], packing, attention.nothing(1, x_BSD), 0, run)
        torch.testing.assert_close(out_ND, torch.tensor([[4.0], [7.6]], dtype=torch.float64))
        attention.causal = False


def reach(attention: SelfAttention, x_BSD: Tensor, mask_BS: Tensor | None) -> Tensor:
    """T x S: the largest gradient of what comes out at t by what goes in at s, of the first sentence."""
    x_BSD = x_BSD.clone().requires_grad_()
    out_BSD, _ = attend(attention, x_BSD, mask_BS, inward=False)
    gradients = [torch.autograd.grad(out_D.sum(), x_BSD, retain_graph=True)[0][0] for out_D in out_BSD[0]]
    return torch.stack(gradients).abs().amax(-1)


@pytest.mark.parametrize("normaliser", ["softmax", "entmax15"])
@pytest.mark.parametrize("window", get_args(Span))
@pytest.mark.parametrize("positions", [6, 17], ids=["masked", "blocks"])
def test_what_a_decoder_sees_by_gradient(normaliser: str, window: str, positions: int) -> None:
    """What comes later, exactly nothing; and what came before, as far as the window goes."""
    attention = made(causal=True, **chosen(normaliser, window, 1))
    reach_TS = reach(attention, states(2, positions, SIZE), None)
    t_T1, s_S = torch.arange(positions)[:, None], torch.arange(positions)
    seen_TS = (s_S <= t_T1) & ((t_T1 - s_S <= 1) | (window == "global"))
    assert not reach_TS[~seen_TS].any()
    if normaliser == "softmax":
        assert (reach_TS[seen_TS] > 0).all()
    else:
        assert (reach_TS[seen_TS] > 0).sum() > positions


@pytest.mark.parametrize("positions", [6, 17], ids=["masked", "blocks"])
def test_what_an_encoder_sees_by_gradient(positions: int) -> None:
    """Both sides, as far as the window goes, and no padding."""
    attention = made(causal=False, window="local", radius=1)
    mask_BS = mask_of([positions - 2, positions], positions)
    reach_TS = reach(attention, states(2, positions, SIZE), mask_BS)
    t_T1, s_S = torch.arange(positions)[:, None], torch.arange(positions)
    seen_TS = ((t_T1 - s_S).abs() <= 1) & mask_BS[0] & mask_BS[0][:, None]
    assert torch.equal(reach_TS > 0, seen_TS)


@given(
    radius=st.integers(1, 4),
    edge=st.integers(0, 9),
    shorter=st.integers(1, 60),
    causal=st.booleans(),
    normaliser=st.sampled_from(NORMALISERS),
    rotary=st.booleans(),
)
@settings(max_examples=50)
def test_blocks_are_the_masked_form(
    radius: int, edge: int, shorter: int, causal: bool, normaliser: str, rotary: bool
) -> None:
    """Of lengths from where blocks begin to two blocks later: values and gradients."""
    positions = 4 * (2 * radius + 1) + edge
    attention = made(causal, rotary, **chosen(normaliser, "local", radius))
    mask_BS = None if causal else mask_of([positions, min(shorter, positions)], positions)
    x_BSD, found = states(2, positions, SIZE).requires_grad_(), []
    direction_BSD = states(2, positions, SIZE, seed=2)
    for inward in (False, True):
        out_BSD, look = attend(attention, x_BSD, mask_BS, inward)
        assert (look.heads_BTHS is None) != inward
        gradients = torch.autograd.grad((out_BSD * direction_BSD).sum(), [x_BSD, *attention.parameters()])
        found.append([out_BSD, *gradients])
    for blocks, masked in zip(*found, strict=True):
        torch.testing.assert_close(blocks, masked, rtol=1e-9, atol=1e-9)


def scores_of(monkeypatch: pytest.MonkeyPatch, attention: SelfAttention, positions: int, inward: bool = False) -> int:
    """How many scores are computed for one sentence, in all heads."""
    counts = []

    def counted(queries: Tensor, keys: Tensor, *rest: Any) -> Tensor:
        counts.append(queries.shape[:-1].numel() * keys.shape[-2])
        return mixed(queries, keys, *rest)

    def counted_weights(queries: Tensor, keys: Tensor, *rest: Any) -> Tensor:
        counts.append(queries.shape[:-1].numel() * keys.shape[-2])
        return weighed(queries, keys, *rest)

    monkeypatch.setattr(self_attention, "mixed", counted)
    monkeypatch.setattr(self_attention, "weighed", counted_weights)
    mask_BS = None if attention.causal else torch.ones(1, positions, dtype=torch.bool)
    attend(attention, states(1, positions, SIZE), mask_BS, inward)
    [count] = counts
    return count


@pytest.mark.parametrize("normaliser", ["softmax", "sparsemax"])
@pytest.mark.parametrize(("causal", "blocks"), [(False, 3), (True, 2)])
@torch.no_grad()
def test_a_local_window_costs_as_much_a_position_however_long_the_sentence_is(
    monkeypatch: pytest.MonkeyPatch, normaliser: str, causal: bool, blocks: int
) -> None:
    radius, local = 5, made(causal, **chosen(normaliser, "local", 5))
    for positions in (100, 200, 400):
        assert scores_of(monkeypatch, local, positions) == HEADS * positions * blocks * radius
    everywhere = made(causal, **chosen(normaliser, "global", 5))
    assert scores_of(monkeypatch, everywhere, 400) == HEADS * 400 * 400
    assert scores_of(monkeypatch, local, 400, inward=True) == HEADS * 400 * 400  # whoever wants to see them all


@pytest.mark.parametrize("rotary", [False, True])
@pytest.mark.parametrize("options", [{}, {"window": "local", "radius": 2}, {"normaliser": "sparsemax"}], ids=str)
@torch.no_grad()
def test_step_by_step_it_is_the_whole(rotary: bool, options: dict[str, Any]) -> None:
    """And no more is carried than will be looked at."""
    attention, x_BTD = made(True, rotary, **options), states(2, 23, SIZE)
    whole_BTD, _ = attend(attention, x_BTD, None, inward=False)
    for sizes in ([1] * 23, [3, 1, 1, 9, 2, 7], [14, 9], [1, 22]):
        past, start, parts = attention.nothing(2, x_BTD), 0, []
        for part_BTD in x_BTD.split(sizes, 1):
            packing = Packing.all(part_BTD)
            run = Pass(torch.float64)
            out_ND, past, _ = attention(packing.packed(part_BTD), packing, past, start, run)
            start += part_BTD.shape[1]
            parts.append(packing.spread(out_ND))
            carried = start if "window" not in options else min(start, 2)
            assert past.keys_BHPI.shape == past.values_BHPI.shape == (2, HEADS, carried, SIZE // HEADS)
        torch.testing.assert_close(torch.cat(parts, 1), whole_BTD, rtol=0, atol=1e-12)


# The core.

SHAPES = (
    ((2, 3, 5, 4), (2, 3, 7, 4), (2, 1, 1, 7)),  # a mask of padding
    ((2, 3, 7, 4), (2, 3, 7, 4), (7, 7)),  # of what comes later
    ((2, 3, 4, 5, 4), (2, 3, 4, 9, 4), (2, 1, 4, 5, 9)),  # of blocks
    ((2, 3, 5, 4), (2, 3, 7, 4), None),
    ((2, 3, 5, 4), (2, 3, 17, 4), (2, 1, 1, 17)),  # more positions than are padded
)


def inputs_of(
    shapes: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...] | None],
) -> tuple[list[Tensor], Tensor | None]:
    queries, keys, mask = shapes
    torch.manual_seed(0)
    tensors = [torch.randn(shape, dtype=torch.float64) for shape in (queries, keys, keys)]
    return tensors, None if mask is None else (torch.rand(mask) < 0.6) | (torch.arange(mask[-1]) == 0)


def results(tensors: list[Tensor], mask: Tensor | None, dtype: torch.dtype, temperature: float) -> list[Tensor]:
    """What comes out, and the gradients, in float64."""
    given = [x.to(dtype).requires_grad_() for x in tensors]
    out = mixed(given[0], given[1], given[2], mask, temperature)
    direction = torch.arange(out.numel(), dtype=torch.float64).view(out.shape).sin()
    gradients = torch.autograd.grad((out.double() * direction).sum(), given)
    return [x.detach().double() for x in (out, *gradients)]


@pytest.mark.parametrize("shapes", SHAPES, ids=str)
@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_without_weights_it_is_as_with_them(shapes: Any, temperature: float) -> None:
    tensors, mask = inputs_of(shapes)
    found = results(tensors, mask, torch.float64, temperature)
    given = [x.requires_grad_() for x in tensors]
    out = weighed(given[0], given[1], mask, Softmax(temperature)) @ given[2]
    direction = torch.arange(out.numel(), dtype=torch.float64).view(out.shape).sin()
    expected = [out, *torch.autograd.grad((out * direction).sum(), given)]
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


@pytest.mark.parametrize("shapes", SHAPES, ids=str)
@pytest.mark.parametrize("temperature", [1.0, 0.5])
@pytest.mark.parametrize(("dtype", "near"), [(torch.float32, 1e-6), (torch.bfloat16, 0.01)], ids=str)
def test_lower_precisions_are_near_float64(shapes: Any, temperature: float, dtype: torch.dtype, near: float) -> None:
    """Forwards and backwards. (bfloat16 has 8 bits: a number is rounded by up to 0.2%, of the largest here by 0.01.)"""
    tensors, mask = inputs_of(shapes)
    rounded = [x.to(dtype).double() for x in tensors]
    for found, exact in zip(
        results(tensors, mask, dtype, temperature), results(rounded, mask, torch.float64, temperature), strict=True
    ):
        assert (found - exact).norm() < near * exact.norm()


@pytest.mark.parametrize(
    "shapes", [((2, 2, 3, 2), *rest) for rest in (((2, 2, 4, 2), (3, 4)), ((2, 2, 17, 2), None))], ids=str
)
def test_what_is_written_out_has_the_gradients_of_differences(shapes: Any) -> None:
    tensors, mask = inputs_of(shapes)
    given = [x.requires_grad_() for x in tensors]
    assert torch.autograd.gradcheck(lambda *of: heads._Mixed.apply(*of, mask, 0.7), given)  # type: ignore[no-untyped-call]


def test_bfloat16_gives_what_is_not_seen_exactly_nothing() -> None:
    tensors, mask = inputs_of(SHAPES[0])
    assert mask is not None
    _, _, by_keys, by_values = results(tensors, mask, torch.bfloat16, 1.0)
    hidden_BHS = ~mask[:, :, 0].expand(2, 3, 7)
    for gradient in (by_keys, by_values):
        assert not gradient[hidden_BHS].any()
        assert gradient[~hidden_BHS].any(-1).all()


@pytest.mark.parametrize(
    "normaliser", [Softmax(1.0), Sparsemax(), Entmax15(), TopK(2, 1.0)], ids=lambda it: type(it).__name__
)
@pytest.mark.parametrize("given", [torch.bfloat16, torch.float16, torch.float32], ids=str)
def test_energies_are_weighed_in_float32(normaliser: nn.Module, given: torch.dtype) -> None:
    """Also where it is autocast that makes the products of less: past keys of a search are in float32."""
    queries, keys = states(2, 3, 1, 8).to(given), states(2, 3, 9, 8, seed=2).to(given)
    with torch.autocast("cpu", torch.bfloat16, enabled=given == torch.float32):
        weights = weighed(queries, keys, None, normaliser)
    assert weights.dtype == torch.float32
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 3, 1), rtol=0, atol=1e-6)
