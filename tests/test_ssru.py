"""The simple recurrence: numbers worked out by hand, and a slow loop written from the paper's equations."""

import torch
from models import assert_same, tiny_config
from torch import Tensor

from seq2seq_cli.inputs import TEXT
from seq2seq_cli.model.build import build_decoder, build_encoder
from seq2seq_cli.model.layers.ssru import SSRU
from seq2seq_cli.model.maps import Pass
from seq2seq_cli.model.packing import Packing
from seq2seq_cli.model.types import Source


def made(size: int) -> SSRU:
    torch.manual_seed(0)
    ssru = SSRU(size).double()
    with torch.no_grad():
        for parameter in ssru.parameters():
            parameter.copy_(torch.randn(parameter.shape))
    return ssru


def recur(ssru: SSRU, x_BTD: Tensor, past_BD: Tensor) -> tuple[Tensor, Tensor]:
    packing = Packing.all(x_BTD)
    out_ND, past_BD, _ = ssru(packing.packed(x_BTD), packing, past_BD, 0, Pass(x_BTD.dtype))
    return packing.spread(out_ND), past_BD


@torch.no_grad()
def test_by_hand() -> None:
    """W x = 2 x, and a gate that is always a half. What is below zero is kept, though not shown."""
    ssru = SSRU(1).double()
    ssru.project.weight.copy_(torch.tensor([[2.0], [0.0]]))
    ssru.project.bias.zero_()
    x_BTD = torch.tensor([[[1.0], [1.0], [-3.0], [1.0], [3.0]]], dtype=torch.float64)
    # 0/2 + 2/2 = 1; 1/2 + 1 = 3/2; 3/4 - 3 = -9/4; -9/8 + 1 = -1/8; -1/16 + 3.
    out_BTD, past_BD = recur(ssru, x_BTD, ssru.nothing(1, x_BTD))
    assert out_BTD.flatten().tolist() == [1, 1.5, 0, 0, 2.9375]
    assert past_BD.tolist() == [[2.9375]]
    _, past_BD = recur(ssru, x_BTD[:, :3], ssru.nothing(1, x_BTD))
    assert past_BD.tolist() == [[-2.25]]
    ssru.project.bias[1] = torch.tensor(3.0, dtype=torch.float64).log()  # a gate of three quarters: 0 + 2/4; 3/8 + 2/4
    assert_same(recur(ssru, x_BTD[:, :2], ssru.nothing(1, x_BTD))[0].flatten(), torch.tensor([0.5, 0.875]).double())


def test_a_loop_from_the_papers_equations() -> None:
    """Number by number, in plain Python; values and gradients."""
    ssru, x_BTD = made(3), torch.randn(2, 4, 3, dtype=torch.float64)
    out_BTD, last_BD = recur(ssru, x_BTD, ssru.nothing(2, x_BTD))
    weights, gates = ssru.project.weight.chunk(2)
    bias, gate_bias = ssru.project.bias.chunk(2)
    expected = torch.zeros(2, 4, 3, dtype=torch.float64)
    total: Tensor = torch.zeros((), dtype=torch.float64)
    for b in range(2):
        c = [torch.zeros((), dtype=torch.float64) for _ in range(3)]
        for t in range(4):
            for d in range(3):
                f = torch.sigmoid(sum((gates[d, i] * x_BTD[b, t, i] for i in range(3)), gate_bias[d]))
                x = sum((weights[d, i] * x_BTD[b, t, i] for i in range(3)), bias[d])
                c[d] = f * c[d] + (1 - f) * x
                expected[b, t, d] = max(float(c[d].detach()), 0.0)
                total = total + (t + 1) * torch.relu(c[d])
        assert_same(last_BD[b].detach(), torch.stack(c).detach())
    assert_same(out_BTD.detach(), expected)
    assert (expected == 0).any()
    parameters = list(ssru.parameters())
    steps_T1 = torch.arange(1, 5)[:, None]
    mine = torch.autograd.grad((out_BTD * steps_T1).sum(), parameters)
    for a, b_ in zip(mine, torch.autograd.grad(total, parameters), strict=True):
        assert_same(a, b_)


@torch.no_grad()
def test_what_is_carried_is_one_vector_however_many_steps_there_were() -> None:
    ssru, x_BTD = made(4), torch.randn(2, 9, 4, dtype=torch.float64)
    whole_BTD, last_BD = recur(ssru, x_BTD, ssru.nothing(2, x_BTD))
    past_BD, parts = ssru.nothing(2, x_BTD), []
    for part_BTD in x_BTD.split([1, 4, 1, 3], 1):
        out_BTD, past_BD = recur(ssru, part_BTD, past_BD)
        assert past_BD.shape == (2, 4)
        parts.append(out_BTD)
    assert_same(torch.cat(parts, 1), whole_BTD)
    assert_same(past_BD, last_BD)


def test_nothing_comes_from_later_steps() -> None:
    """Through a decoder of two layers, exactly; and everything from those before."""
    sizes = {"decoder": "ssru", "decoder_layers": 2, "feed_forward_size": 12}
    config = tiny_config("scaled-dot", model=sizes)
    torch.manual_seed(0)
    decoder = build_decoder(config, build_encoder(config), ()).double()
    run, states_BSE = Pass(torch.float64), torch.randn(1, 3, 8, dtype=torch.float64)
    sources = {TEXT: Source(states_BSE, states_BSE[:, 0], torch.ones(1, 3, dtype=torch.bool))}
    memories = decoder.prepare(sources, run)
    x_BTI = torch.randn(1, 5, 6, dtype=torch.float64, requires_grad=True)
    features_TF = decoder(x_BTI, memories, decoder.begin(sources, memories, run), run).features_BTF[0]
    weighed_T = (features_TF * torch.randn(8, dtype=torch.float64)).sum(-1)
    reach_TT = torch.stack(
        [torch.autograd.grad(out, x_BTI, retain_graph=True)[0][0].abs().amax(-1) for out in weighed_T]
    )
    assert torch.equal(reach_TT > 0, torch.ones(5, 5, dtype=torch.bool).tril())
