"""Windows, worked out by hand, on sentences of unequal length in one padded batch."""

import math

import pytest
import torch
from torch import Tensor

from seq2seq_cli.config.attention import AttentionConfig
from seq2seq_cli.model.attention.scored import ScoredAttention
from seq2seq_cli.model.attention.scores import ProductKeys
from seq2seq_cli.model.attention.windows import GlobalWindow, LocalMonotonicWindow, LocalPredictiveWindow
from seq2seq_cli.model.build import build_attention, local_radius
from seq2seq_cli.model.maps import Pass
from seq2seq_cli.model.types import Memory, Source

QUERIES_B1D = torch.tensor([[[1.0, 0.0]], [[1.0, 0.0]]])


def memory_of(*lengths: int) -> Memory:
    mask_BS = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    nothing = torch.zeros(len(lengths), max(lengths), 0)
    return Memory(ProductKeys(nothing), ProductKeys(nothing), mask_BS, nothing[:, 0])


def seen(mask_BTS: Tensor) -> list[list[list[int]]]:
    """The positions that each sentence sees at each step."""
    return [[row.nonzero().squeeze(1).tolist() for row in sentence] for sentence in mask_BTS]


def three_quarters(radius: int) -> LocalPredictiveWindow:
    """A window whose centre is three quarters of the way from the first position to the last."""
    window = LocalPredictiveWindow(2, radius)
    with torch.no_grad():
        # v_p^T tanh(W_p q) = (ln 3 / 0.6) tanh(ln 2) = ln 3, and sigmoid(ln 3) = 1/(1 + 1/3) = 3/4
        window.hidden.weight.copy_(torch.tensor([[math.log(2), 5.0], [0.0, 5.0]]))
        window.position.weight.copy_(torch.tensor([[math.log(3) / 0.6, 7.0]]))
    return window


def test_global_sees_the_real_positions() -> None:
    view = GlobalWindow()(QUERIES_B1D, memory_of(3, 1), 5, Pass())
    assert seen(view.mask_BTS) == [[[0, 1, 2]], [[0]]]
    assert view.factor_BTS is None
    assert view.centre_BT is None


def test_local_m_moves_a_position_a_step_and_stays_inside_each_sentence() -> None:
    view = LocalMonotonicWindow(1)(torch.zeros(2, 4, 2), memory_of(5, 2), 2, Pass())
    # Steps 2, 3, 4, 5. S = 5: p = 2, 3, 4, 4 (min(5, 5 - 1)). S = 2: p = 1 throughout, and nothing beyond 1.
    assert view.centre_BT is not None
    assert view.centre_BT.tolist() == [[2, 3, 4, 4], [1, 1, 1, 1]]
    assert seen(view.mask_BTS) == [[[1, 2, 3], [2, 3, 4], [3, 4], [3, 4]], [[0, 1]] * 4]
    assert view.factor_BTS is None


def test_local_m_starts_at_the_first_position() -> None:
    view = LocalMonotonicWindow(2)(torch.zeros(1, 2, 2), memory_of(9), 0, Pass())
    assert seen(view.mask_BTS) == [[[0, 1, 2], [0, 1, 2, 3]]]


def test_local_p_places_its_window_by_each_sentences_own_length() -> None:
    view = three_quarters(2)(QUERIES_B1D, memory_of(6, 3), 0, Pass())
    assert view.centre_BT is not None
    # (S - 1) 3/4: 5 * 3/4 = 3.75 and 2 * 3/4 = 1.5
    torch.testing.assert_close(view.centre_BT, torch.tensor([[3.75], [1.5]]))
    # [1.75, 5.75] of 0..5 and [-0.5, 3.5] of 0..2
    assert seen(view.mask_BTS) == [[[2, 3, 4, 5]], [[0, 1, 2]]]


def test_local_p_tells_neighbours_apart_in_every_precision() -> None:
    """Next to 496 bfloat16 has 498."""
    with torch.no_grad():
        view = three_quarters(2)(QUERIES_B1D[:1], memory_of(664), 0, Pass(torch.bfloat16))
    assert view.centre_BT is not None
    assert view.centre_BT.dtype == torch.float32


def test_local_p_weighs_by_a_gaussian_of_half_the_radius() -> None:
    # sigma = 4/2 = 2, so the factor is exp(-(s - p)^2 / 8); p = 3: squares 9, 4, 1, 0, 1
    view = three_quarters(4)(QUERIES_B1D[:1], memory_of(5), 0, Pass())
    assert view.factor_BTS is not None
    expected = [math.exp(-9 / 8), math.exp(-4 / 8), math.exp(-1 / 8), 1.0, math.exp(-1 / 8)]
    torch.testing.assert_close(view.factor_BTS[0, 0], torch.tensor(expected))


def test_local_p_attention_as_a_whole() -> None:
    attention = build_attention(AttentionConfig(kind="local-p", radius=2), 2, 1)
    assert isinstance(attention, ScoredAttention)
    attention.window = three_quarters(2)
    torch.nn.init.zeros_(attention.score.get_parameter("key.weight"))
    states_BSE = torch.tensor([[[90.0], [90.0], [2.0], [3.0], [4.0], [5.0], [90.0]]])
    mask_BS = torch.tensor([[True] * 6 + [False]])
    memory = attention.prepare(Source(states_BSE, states_BSE[:, 0], mask_BS), Pass())
    attended, _ = attention(QUERIES_B1D[:1], memory, (), 0, Pass())
    # S = 6, p = 3.75, sigma = 1. Equal scores: a quarter each of positions 2 to 5, the softmax taken *before* the
    # Gaussian, times exp(-(s - p)^2 / 2) of the squares 3.0625, 0.5625, 0.0625, 1.5625; they do not sum to one.
    weights = [math.exp(-square / 2) / 4 for square in (3.0625, 0.5625, 0.0625, 1.5625)]
    torch.testing.assert_close(attended.look.weights_BTS[0, 0], torch.tensor([0.0, 0.0, *weights, 0.0]))
    context = 2 * weights[0] + 3 * weights[1] + 4 * weights[2] + 5 * weights[3]
    torch.testing.assert_close(attended.context_BTE, torch.tensor([[[context]]]))


def test_the_gaussian_is_what_teaches_the_centre() -> None:
    window = three_quarters(2)
    view = window(QUERIES_B1D[:1], memory_of(5), 0, Pass())
    assert view.factor_BTS is not None
    view.factor_BTS[0, 0, 4].backward()
    # d/dp exp(-(4 - p)^2 / 2) = exp(-1/2) at p = 3; dp/dx = 4 * 3/4 * 1/4 = 3/4; dx/dv_p = tanh(W_p q) = (0.6, 0)
    assert window.position.weight.grad is not None
    torch.testing.assert_close(window.position.weight.grad, torch.tensor([[math.exp(-0.5) * 0.75 * 0.6, 0.0]]))


@pytest.mark.parametrize(
    ("attention", "radius"),
    [
        (AttentionConfig(kind="local-m"), 10),
        (AttentionConfig(kind="local-p", radius=3), 3),
        (AttentionConfig(kind="luong-dot"), None),
        (AttentionConfig(kind="none"), None),
    ],
    ids=lambda value: getattr(value, "kind", None),
)
def test_the_radius_of_a_configuration(attention: AttentionConfig, radius: int | None) -> None:
    assert local_radius(attention) == radius


@pytest.mark.parametrize("score", ["general", "dot", "additive"])
@pytest.mark.parametrize("kind", ["local-m", "local-p"])
@pytest.mark.parametrize("start", [0, 3, 21, 60])
def test_a_window_picked_out_of_a_long_source_is_the_window_in_it(kind: str, score: str, start: int) -> None:
    """Two queries at once are not picked for: the first of them is the one alone, gradients included."""
    torch.manual_seed(0)
    config = AttentionConfig.model_validate({"kind": kind, "score": score, "radius": 2})
    attention = build_attention(config, 6, 6)
    assert isinstance(attention, ScoredAttention)
    attention.double()
    states_BSE = torch.randn(3, 40, 6, dtype=torch.float64, requires_grad=True)
    mask_BS = torch.arange(40) < torch.tensor([[40], [22], [1]])
    query_BTD = torch.randn(3, 2, 6, dtype=torch.float64, requires_grad=True)
    wanted = (states_BSE, query_BTD, *attention.parameters())
    results = []
    for steps in (1, 2):
        memory = attention.prepare(Source(states_BSE, states_BSE[:, 0], mask_BS), Pass())
        attended, _ = attention(query_BTD[:, :steps], memory, (), start, Pass())
        loss = attended.context_BTE[:, 0].square().sum() + attended.look.weights_BTS[:, 0].pow(3).sum()
        results.append(
            (
                *(x[:, 0] for x in (attended.context_BTE, *attended.look) if x is not None),
                *torch.autograd.grad(loss, wanted),
            )
        )
    for alone, among in zip(*results, strict=True):
        torch.testing.assert_close(alone, among, rtol=0, atol=1e-12)
