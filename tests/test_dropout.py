"""Dropout: how much, how scaled, from which seed, and where."""

from collections.abc import Callable

import pytest
import torch
from models import tiny_config, tiny_model, tiny_sentences, vocabulary_of
from torch import Tensor, nn

from seq2seq_cli.inputs import TEXT
from seq2seq_cli.model.dropout import Dropout
from seq2seq_cli.model.encoders.rnn import RecurrentEncoder
from seq2seq_cli.model.layers.sublayers import Residual
from seq2seq_cli.model.maps import Pass
from seq2seq_cli.model.seq2seq import Seq2Seq


def dropped(p: float, x: Tensor, seed: int = 0) -> Tensor:
    torch.manual_seed(seed)
    y: Tensor = Dropout(p).train()(x)
    return y


@pytest.mark.parametrize("p", [0.1, 0.4, 0.5, 0.9])
def test_the_share_of_zeros_is_p_and_the_rest_is_scaled(p: float) -> None:
    count = 200_001  # no multiple of four: the random words hold four elements each
    y = dropped(p, torch.ones(count))
    torch.testing.assert_close(y[y != 0], torch.full_like(y[y != 0], 1 / (1 - p)))
    assert abs(float((y == 0).double().mean()) - p) < 4 * (p * (1 - p) / count) ** 0.5
    # Neighbours fall independently: both of a pair with probability p^2.
    pairs = (y[:-1].view(-1, 2) == 0).all(1).double()
    assert abs(float(pairs.mean()) - p * p) < 4 * (p * p * (1 - p * p) / len(pairs)) ** 0.5


def test_every_element_keeps_its_place() -> None:
    x = torch.arange(1.0, 31.0).view(2, 3, 5)
    y = dropped(0.5, x)
    assert torch.equal(y[y != 0], 2 * x[y != 0])
    assert 0 < int((y == 0).sum()) < 30


def test_one_seed_one_mask() -> None:
    x = torch.ones(100)
    assert torch.equal(dropped(0.5, x), dropped(0.5, x))
    assert not torch.equal(dropped(0.5, x), dropped(0.5, x, seed=1))


def test_what_is_dropped_learns_nothing() -> None:
    x = torch.ones(100, requires_grad=True)
    y = dropped(0.4, x)
    y.sum().backward()
    assert x.grad is not None
    torch.testing.assert_close(x.grad, y.detach())


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("form", ["alone", "added"])
def test_with_what_stands_around_it(form: str, dtype: torch.dtype) -> None:
    """As plain operations with the same mask give it: in the type of what it is added to, from parts of any."""
    generator = torch.Generator().manual_seed(1)
    x, part, weight = (torch.randn(7, 9, generator=generator) for _ in range(3))
    mine, theirs = (part.to(dtype).requires_grad_() for _ in range(2))
    module = Dropout(0.3).train()
    keep = dropped(0.3, torch.ones(7, 9, dtype=torch.float64))
    torch.manual_seed(0)
    flows: list[Tensor] = []
    if form == "added":
        flows = [x.clone().requires_grad_() for _ in range(2)]
        outs = [module.added(flows[0], mine), flows[1] + theirs.double() * keep]
        assert outs[0].dtype == torch.float32
    else:
        outs = [module(mine), theirs.double() * keep]
        assert outs[0].dtype == dtype
    torch.testing.assert_close(outs[0].double(), outs[1].double(), rtol=2 * torch.finfo(dtype).eps, atol=1e-6)
    for out in outs:
        (out.double() * weight).sum().backward()
    assert mine.grad is not None
    assert theirs.grad is not None
    assert mine.grad.dtype == dtype
    torch.testing.assert_close(mine.grad, theirs.grad, rtol=4 * torch.finfo(dtype).eps, atol=1e-6)
    assert not flows or torch.equal(flows[0].grad, flows[1].grad)  # type: ignore[arg-type]


@pytest.mark.parametrize("form", ["alone", "added"])
def test_gradients_are_differences(form: str) -> None:
    module = Dropout(0.4).train()
    x, part = (torch.randn(3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(n)) for n in (1, 2))

    def made(x: Tensor, part: Tensor) -> Tensor:
        torch.manual_seed(0)
        return module.added(x, part) if form == "added" else x + module(part)

    assert torch.autograd.gradcheck(made, (x.requires_grad_(), part.requires_grad_()))


def test_types_stay() -> None:
    assert dropped(0.5, torch.ones(8, dtype=torch.bfloat16)).dtype == torch.bfloat16


def test_nothing_is_drawn_in_evaluation_or_without_dropout() -> None:
    x = torch.ones(100)
    torch.manual_seed(0)
    before = torch.get_rng_state()
    assert Dropout(0.5).eval()(x) is x
    assert Dropout(0.0).train()(x) is x
    assert torch.equal(torch.get_rng_state(), before)


def dropping_model(kind: str, **sections: dict[str, object]) -> Seq2Seq:
    sections["model"] = {"embedding_size": 64, "hidden_size": 64, **sections.get("model", {}), "dropout": 0.5}
    model = tiny_model(tiny_config(kind, **sections)).train()
    torch.manual_seed(0)
    return model


def zeros(x: Tensor) -> float:
    return float((x == 0).double().mean())


@torch.no_grad()
def test_where_it_falls() -> None:
    """Half of the target embeddings, encoder states, summary and decoder states; what has lost half, not again."""
    model, sentences = dropping_model("bahdanau"), tiny_sentences((7, 7, 7, 7), steps=7)
    assert zeros(model.embed(sentences.reads_BT)) == pytest.approx(0.5, abs=0.05)
    encoded = model.encode(sentences.inputs, model.new_pass())[TEXT]
    assert zeros(encoded.states_BSE) == pytest.approx(0.5, abs=0.05)
    assert zeros(encoded.summary_BE) == pytest.approx(0.5, abs=0.15)
    features_NF: list[Tensor] = []
    readout = vocabulary_of(model).hidden
    assert isinstance(readout, nn.Module)
    readout.register_forward_pre_hook(lambda _, inputs: features_NF.append(inputs[0]))
    vocabulary_of(model).rows(torch.ones(100, 3 * 64).double(), Pass())
    assert zeros(features_NF[0][:, :64]) == pytest.approx(0.5, abs=0.05)
    assert zeros(features_NF[0][:, 64:]) == 0
    luong = dropping_model("luong-dot")
    assert zeros(vocabulary_of(luong).rows(torch.ones(100, 64).double(), Pass())) == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("kind", ["bahdanau", "none"], ids=["stepwise", "in-one-call"])
@torch.no_grad()
def test_it_falls_between_the_decoders_layers(kind: str) -> None:
    sentences = tiny_sentences()
    model = dropping_model(kind, model={"decoder_layers": 2})
    embedded_BTI = model.target_embedding(sentences.reads_BT)
    memory, state = model.start(sentences.inputs, model.new_pass())
    first, second = (
        model.decoder(embedded_BTI, memory, state, model.new_pass()).state.carries[0].hidden for _ in range(2)
    )
    steps_agree = [torch.equal(a, b) for a, b in zip(first, second, strict=True)]
    # Layer 2 differs from run to run; so does layer 1 where the context depends on layer 2.
    assert steps_agree == [kind == "none", False]
    shallow = dropping_model(kind)
    memory, state = shallow.start(sentences.inputs, shallow.new_pass())
    one, other = (
        shallow.decoder(shallow.target_embedding(sentences.reads_BT), memory, state, shallow.new_pass())
        for _ in range(2)
    )
    assert torch.equal(one.features_BTF, other.features_BTF)


@pytest.mark.parametrize(("encoder", "decoder"), [("transformer", "transformer"), ("rnn", "ssru")])
@torch.no_grad()
def test_it_falls_on_what_each_part_of_a_transformers_layer_adds(encoder: str, decoder: str) -> None:
    """And on nothing that flows past them."""
    layers = {"encoder": encoder, "decoder": decoder, "feed_forward_size": 12}
    model = dropping_model("scaled-dot", model={**layers, "encoder_layers": 2, "decoder_layers": 2})
    residuals = {name: module for name, module in model.named_modules() if isinstance(module, Residual)}
    assert len(residuals) == 2 * 3 + (2 * 2 if encoder == "transformer" else 0)
    for residual in residuals.values():
        added_NF = residual.add(torch.full((100, 64), 8.0), torch.ones(100, 64)) - 8
        assert set(added_NF.flatten().tolist()) == {0, 2}
        assert zeros(added_NF) == pytest.approx(0.5, abs=0.05)
    fallen: dict[str, int] = dict.fromkeys(residuals, 0)

    def counted(name: str, added: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
        def count(x: Tensor, part: Tensor) -> Tensor:
            fallen[name] += 1
            return added(x, part)

        return count

    for name, residual in residuals.items():
        residual.dropout.added = counted(name, residual.dropout.added)  # type: ignore[assignment,method-assign]
    sentences = tiny_sentences()
    memory, state = model.start(sentences.inputs, model.new_pass())
    model.decoder(model.target_embedding(sentences.reads_BT), memory, state, model.new_pass())
    assert set(fallen.values()) == {1}


@torch.no_grad()
def test_it_falls_on_source_embeddings_and_between_the_encoders_layers() -> None:
    sentences = tiny_sentences()
    for layers in (1, 2):
        encoder = dropping_model("bahdanau", model={"encoder_layers": layers}).encoder
        assert isinstance(encoder, RecurrentEncoder)
        seen: list[Tensor] = []
        for forwards in encoder.forwards:
            forwards.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))  # noqa: B023
        encoder(torch.ones(4, 7, 64).double(), sentences.mask_BS, Pass())
        assert [zeros(x) == 0 for x in seen] == [True, False][:layers]
    model = dropping_model("bahdanau")
    inputs_BSI: list[Tensor] = []
    assert isinstance(model.encoder, nn.Module)
    model.encoder.register_forward_pre_hook(lambda _, inputs: inputs_BSI.append(inputs[0]))
    model.encode(sentences.inputs, model.new_pass())
    assert zeros(inputs_BSI[0]) == pytest.approx(0.5, abs=0.05)
