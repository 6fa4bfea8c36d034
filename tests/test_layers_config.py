"""Which settings go with which layers; what is said of those that do not; and that each one does something."""

from itertools import product
from typing import Any, get_args

import pytest
import torch
from models import SEGMENT_ENDS, VOCABULARY, log_probs, set_by_name, tiny_config, tiny_sentences

from seq2seq_cli.config.loading import load
from seq2seq_cli.errors import ConfigError
from seq2seq_cli.kinds.layers import DecoderKind, EncoderKind
from seq2seq_cli.model.build import build
from seq2seq_cli.model.decoder import Decoder
from seq2seq_cli.model.encoders.rnn import RecurrentEncoder
from seq2seq_cli.model.encoders.transformer import TransformerEncoder
from seq2seq_cli.model.layers.recurrent import RecurrentLayer
from seq2seq_cli.model.layers.self_attention import SelfAttention
from seq2seq_cli.model.layers.ssru import SSRU
from seq2seq_cli.model.layers.transformer import TransformerLayer

SENTENCES = tiny_sentences()
TRANSFORMER = ("model.encoder=transformer", "model.decoder=transformer")


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["model.encoder=transfomer"], 'Did you mean "transformer"?'),
        (["model.decoder=ssr"], 'Did you mean "ssru"?'),
        (["model.decoder=transformer", "model.positions=rotory"], 'Did you mean "rotary"?'),
        (["model.decoder=transformer", "self_attention.window=locl"], 'Did you mean "local"?'),
        (
            ["model.feed_forward_size=64"],
            "feed_forward_size belongs to Transformer layers; encoder and decoder are RNNs",
        ),
        (["model.feed_forward_dropout=0.1"], "feed_forward_dropout belongs to Transformer layers"),
        (["model.positions=learned"], "positions belongs to Transformer layers"),
        (["model.max_positions=64"], "max_positions belongs to Transformer layers"),
        ([*TRANSFORMER, "model.max_positions=64"], "max_positions belongs to learned positions; these are sinusoidal"),
        (
            [*TRANSFORMER, "model.positions=rotary", "model.max_positions=64"],
            "max_positions belongs to learned positions; these are rotary",
        ),
        (
            ["model.decoder=ssru", "model.positions=rotary"],
            "rotary positions turn queries and keys of self-attention; an SSRU has none",
        ),
        ([*TRANSFORMER, "model.cell=gru"], "cell belongs to RNNs; there is none"),
        (["model.encoder=transformer", "model.decoder=ssru", "model.cell=gru"], "cell belongs to RNNs; there is none"),
        (
            ["model.decoder=transformer", "model.bridge=zeros"],
            "bridge belongs to RNN decoders; this one is transformer",
        ),
        (["model.decoder=ssru", "model.bridge=zeros"], "bridge belongs to RNN decoders; this one is ssru"),
        (
            ["self_attention.heads=4"],
            "self_attention.heads: there is no self-attention where model.encoder is rnn and model.decoder rnn",
        ),
        (
            ["model.decoder=ssru", "self_attention.dropout=0.1"],
            "self_attention.dropout: there is no self-attention where model.encoder is rnn and model.decoder ssru",
        ),
        (
            [*TRANSFORMER, "self_attention.heads=7"],
            "self_attention.heads = 7 does not divide model.hidden_size = 512",
        ),
        ([*TRANSFORMER, "model.hidden_size=20"], "self_attention.heads = 8 does not divide model.hidden_size = 20"),
        (
            [*TRANSFORMER, "model.positions=rotary", "model.hidden_size=24"],
            'model.positions = "rotary" turns pairs of numbers: the size of a head, 3, is odd',
        ),
        ([*TRANSFORMER, "self_attention.radius=3"], "radius belongs to local windows; this one is global"),
        (
            [*TRANSFORMER, "self_attention.normaliser=entmax15", "self_attention.temperature=2"],
            "temperature belongs to the normalisers softmax and top-k; this one is entmax15",
        ),
        ([*TRANSFORMER, "self_attention.top_k=3"], "top_k belongs to the normaliser top-k; this one is softmax"),
        (
            [*TRANSFORMER, "attention.kind=multi-head", "attention.heads=3"],
            "attention.heads = 3 does not divide model.hidden_size = 512",
        ),
        (["attention.layer=1"], "attention.layer belongs to Transformer decoders; an RNN attends in one layer only"),
        (["model.encoder=transformer", "attention.layer=1"], "attention.layer belongs to Transformer decoders"),
        ([*TRANSFORMER, "attention.layer=5"], "attention.layer = 5: the decoder has 4 layers"),
        ([*TRANSFORMER, "attention.layer=0"], "must be above 0"),
        (
            ["model.decoder=ssru", "model.decoder_layers=2", "attention.layer=3"],
            "attention.layer = 3: the decoder has 2 layers",
        ),
        ([*TRANSFORMER, "attention.kind=none", "attention.layer=1"], "layer is not an option of none"),
        (
            [*TRANSFORMER, "attention.wiring=after"],
            "attention.wiring belongs to RNN decoders; in a Transformer layer attention comes between self-attention and "
            "the feed-forward network",
        ),
        (
            ["model.decoder=ssru", "attention.kind=luong", "attention.input_feeding=false"],
            "attention.input_feeding belongs to RNN decoders",
        ),
        (
            [*TRANSFORMER, "attention.kind=none", "attention.summary=start"],
            'attention.summary = "start" starts the state of an RNN decoder; a Transformer reads the summary at every step: '
            '"every-step"',
        ),
        (
            [*TRANSFORMER, "attention.kind=hard", "attention.estimator=marginal"],
            'attention.estimator = "marginal" sums over the positions of each step by itself; in a Transformer later steps '
            "depend on where earlier ones looked, and the sum would go over all their histories",
        ),
    ],
)
def test_what_does_not_go_together_is_refused_with_the_reason(overrides: list[str], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(None, overrides)
    assert said in " ".join(str(caught.value).split())


def test_rnns_are_not_taken_for_an_ssru() -> None:
    with pytest.raises(ConfigError) as caught:
        load(None, ["model.positions=rotary"])
    assert "SSRU" not in str(caught.value)


def test_all_that_does_not_go_together_is_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        load(
            None,
            ["model.decoder=transformer", "attention.wiring=before", "attention.layer=9", "self_attention.heads=5"],
        )
    for key in ("attention.wiring", "attention.layer = 9", "self_attention.heads = 5"):
        assert key in str(caught.value)
    with pytest.raises(ConfigError) as caught:
        load(None, ["model.decoder=ssru", "model.positions=rotary", "model.bridge=zeros"])
    for key in ("rotary", "bridge"):
        assert key in str(caught.value)


@pytest.mark.parametrize(
    "overrides",
    [
        ["model.encoder=transformer", "model.cell=gru", "model.bridge=zeros", "attention.wiring=after"],
        ["model.decoder=transformer", "model.cell=gru"],
        ["model.encoder=transformer", "model.decoder=ssru", "model.positions=rotary", "self_attention.heads=4"],
        ["model.decoder=ssru", "model.positions=learned", "model.max_positions=9", "model.feed_forward_dropout=0.1"],
        [*TRANSFORMER, "attention.kind=none", "attention.summary=every-step"],
        [*TRANSFORMER, "attention.kind=hard", "attention.estimator=reinforce", "attention.layer=4"],
        [*TRANSFORMER, "self_attention.window=local", "self_attention.normaliser=top-k", "self_attention.top_k=2"],
    ],
    ids=str,
)
def test_what_goes_together_is_taken(overrides: list[str]) -> None:
    assert load(None, overrides).resolved().resolved() == load(None, overrides).resolved()


@pytest.mark.parametrize(("encoder", "decoder"), [*product(get_args(EncoderKind), get_args(DecoderKind))])
def test_the_layers_are_those_that_are_asked_for(encoder: str, decoder: str) -> None:
    """Four of a Transformer and one of an RNN where nobody says how many."""
    config = tiny_config("multi-head", model={"encoder": encoder, "decoder": decoder})
    for layers in (None, 3):
        if layers is not None:
            config = tiny_config(
                "multi-head",
                model={"encoder": encoder, "decoder": decoder, "encoder_layers": layers, "decoder_layers": layers},
            )
        model = build(config, VOCABULARY, VOCABULARY)
        if encoder == "rnn":
            assert isinstance(model.encoder, RecurrentEncoder)
            assert len(model.encoder.forwards) == (layers or 1)
        else:
            assert isinstance(model.encoder, TransformerEncoder)
            assert len(model.encoder.layers) == (layers or 4)
        assert isinstance(model.decoder, Decoder)
        if decoder == "rnn":
            [layer] = model.decoder.stack
            assert isinstance(layer, RecurrentLayer)
            assert layer.recurrence.layers == (layers or 1)
        else:
            assert len(model.decoder.stack) == (layers or 4)
            for layer in model.decoder.stack:
                assert isinstance(layer, TransformerLayer)
                assert isinstance(layer.mixer, SSRU if decoder == "ssru" else SelfAttention)


BOTH: dict[str, dict[str, Any]] = {
    "model": {
        "encoder": "transformer",
        "decoder": "transformer",
        "encoder_layers": 2,
        "decoder_layers": 2,
        "feed_forward_size": 12,
    },
    "self_attention": {"heads": 2},
}


def over(base: dict[str, dict[str, Any]], **change: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {name: base.get(name, {}) | change.get(name, {}) for name in base | change}


LOCAL = over(BOTH, self_attention={"window": "local", "radius": 2})
BEST = over(BOTH, self_attention={"normaliser": "top-k", "top_k": 3})
TABLED = over(BOTH, model={"positions": "learned", "max_positions": 100})
OTHERWISE: list[tuple[dict[str, dict[str, Any]], dict[str, dict[str, Any]]]] = [
    *((BOTH, {"model": change}) for change in (
        {"encoder": "rnn", "encoder_layers": 1}, {"decoder": "rnn", "decoder_layers": 1}, {"decoder": "ssru"}, {"encoder_layers": 3},
        {"decoder_layers": 3}, {"feed_forward_size": 16}, {"positions": "rotary"}, {"positions": "learned", "max_positions": 100},
    )),
    (TABLED, {"model": {"max_positions": 3}}),
    *((BOTH, {"self_attention": change}) for change in (
        {"heads": 4}, {"window": "local", "radius": 2}, {"normaliser": "sparsemax"}, {"normaliser": "entmax15"},
        {"normaliser": "top-k", "top_k": 2}, {"temperature": 0.5},
    )),
    (LOCAL, {"self_attention": {"radius": 1}}),
    (BEST, {"self_attention": {"top_k": 2}}),
    (BEST, {"self_attention": {"temperature": 0.5}}),
]  # fmt: skip


@pytest.mark.parametrize(("base", "change"), OTHERWISE, ids=[str(change) for _, change in OTHERWISE])
@torch.no_grad()
def test_every_option_changes_what_is_said(base: dict[str, dict[str, Any]], change: dict[str, dict[str, Any]]) -> None:
    outputs = []
    for sections in (base, over(base, **change)):
        model = build(tiny_config("scaled-dot", **sections), VOCABULARY, VOCABULARY, SEGMENT_ENDS).double().eval()
        set_by_name(model)
        outputs.append(log_probs(model, SENTENCES))
    assert (outputs[0] - outputs[1]).abs().max() > 1e-6


@pytest.mark.parametrize(
    "change",
    [{"model": {"dropout": 0.3}}, {"model": {"feed_forward_dropout": 0.3}}, {"self_attention": {"dropout": 0.3}}],
    ids=str,
)
@pytest.mark.parametrize(
    ("encoder", "decoder"), [("transformer", "transformer"), ("transformer", "rnn"), ("rnn", "transformer")]
)
@torch.no_grad()
def test_every_dropout_falls_in_training_alone(change: dict[str, dict[str, Any]], encoder: str, decoder: str) -> None:
    said = []
    for sections in (BOTH, over(BOTH, **change)):
        model = over(sections, model={"encoder": encoder, "decoder": decoder, "encoder_layers": 1, "decoder_layers": 1})
        built = build(tiny_config("scaled-dot", **model), VOCABULARY, VOCABULARY, SEGMENT_ENDS).double()
        set_by_name(built)
        said.append(log_probs(built.eval(), SENTENCES))
        torch.manual_seed(0)
        said.append(log_probs(built.train(), SENTENCES))
    assert torch.equal(said[0], said[1])
    assert torch.equal(said[0], said[2])
    assert (said[2] - said[3]).abs().max() > 1e-6


@pytest.mark.parametrize("decoder", ["transformer", "ssru"])
@torch.no_grad()
def test_the_layer_decides_what_is_shown_and_nothing_else(decoder: str) -> None:
    shown, said, looks = [], [], []
    for layer in (None, 1, 2, 3):
        sections = over(BOTH, model={"decoder": decoder, "decoder_layers": 3}, attention={"layer": layer})
        model = build(tiny_config("scaled-dot", **sections), VOCABULARY, VOCABULARY, SEGMENT_ENDS).double().eval()
        set_by_name(model)
        start = model.start(SENTENCES.inputs, model.new_pass())
        output = model.decoder(model.embed(SENTENCES.reads_BT), *start, model.new_pass())
        shown.append(output.shown.weights_BTS)
        looks.append([look["text"].weights_BTS for look in output.looks])
        said.append(output.features_BTF)
    assert all(torch.equal(one, said[0]) for one in said)
    # Where nobody chooses, the last but one.
    for weights_BTS, layer in zip(shown, (1, 0, 1, 2), strict=True):
        assert torch.equal(weights_BTS, looks[0][layer])
    assert not torch.allclose(shown[1], shown[2])
    assert not torch.allclose(shown[2], shown[3])


def test_of_a_single_layer_that_one_is_shown() -> None:
    for layers, shown in ((1, 1), (2, 1), (4, 3)):
        config = load(None, [*TRANSFORMER, f"model.decoder_layers={layers}"])
        assert config.resolved().attention.layer == shown
