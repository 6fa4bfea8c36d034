"""Where every layer and head looked: the numbers are those of the model itself, and what there is not is refused."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from seq2seq_cli.config.loading import from_dict
from seq2seq_cli.config.whole import Config
from seq2seq_cli.data.batching import inputs_of, target_of
from seq2seq_cli.data.subword import BEGIN, END
from seq2seq_cli.decoding.attentions import AttentionLayers, Picked
from seq2seq_cli.decoding.batches import square_batches
from seq2seq_cli.decoding.hypothesis import Role
from seq2seq_cli.decoding.sentences import Details
from seq2seq_cli.decoding.translator import Translator
from seq2seq_cli.errors import ConfigError
from seq2seq_cli.evaluation.alignment import by_words
from seq2seq_cli.inputs import TEXT
from seq2seq_cli.model.build import build
from seq2seq_cli.model.layers.transformer import ITSELF
from seq2seq_cli.runs import Run

LINES = ["ta nu ki", "umgekehrt po ze wu bi ho xa", "", "ge"]
SHORT = {"beam": 2, "max_length": 6}


@pytest.fixture(scope="module")
def recurrent(trained_run: Run) -> Translator:
    return Translator.load(trained_run.directory, "cpu", "fp32")


def made(recurrent: Translator, encoder: str, decoder: str, kind: str = "multi-head", layers: int = 2,
         itself: dict[str, object] | None = None, **attention: object) -> Translator:  # fmt: skip
    """A model of these layers over the pieces of a trained run, in float64, with weights large enough to have opinions."""
    config = made_config(recurrent.config, encoder, decoder, kind, layers, itself or {}, attention)
    torch.manual_seed(5)
    model = build(config, len(recurrent.subwords.src), len(recurrent.subwords.tgt)).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return replace(recurrent, model=model, config=config)


def made_config(config: Config, encoder: str, decoder: str, kind: str, layers: int, itself: dict[str, object],
                attention: dict[str, object]) -> Config:  # fmt: skip
    values: dict[str, Any] = config.model_dump(exclude_none=True)
    values["model"] = {"encoder": encoder, "decoder": decoder, "embedding_size": 24, "hidden_size": 32, "dropout": 0.0}
    if encoder == "transformer":
        values["model"]["encoder_layers"] = layers
    if decoder != "rnn":
        values["model"]["decoder_layers"] = layers
    if "transformer" in (encoder, decoder):
        values["model"]["feed_forward_size"] = 48
        values["self_attention"] = {"heads": 4} | itself
    values["attention"] = {"kind": kind, **({"heads": 2} if kind == "multi-head" else {}), **attention}
    values.pop("defaults", None)
    return from_dict(values)


@pytest.fixture(scope="module")
def transformer(recurrent: Translator) -> Translator:
    return made(recurrent, "transformer", "transformer", layers=3, layer=2)


def test_what_is_seen_is_what_the_model_computes(transformer: Translator) -> None:
    sentences = transformer.sentences(LINES, Details(attentions=True))
    found = [hypotheses[0] for hypotheses in transformer.search(sentences, SHORT)]
    assert found[2].attentions is None  # of an empty line
    for sentence, hypothesis in zip(sentences, found, strict=True):
        if not sentence.ids:
            continue
        attentions = hypothesis.attentions
        assert attentions is not None
        ids = transformer.subwords.tgt.ids(list(hypothesis.pieces))
        with torch.no_grad():
            run = transformer.model.new_pass(inward=True)
            sources = transformer.model.encode(inputs_of([sentence.ids]), run)
            forced = transformer.model.forced(target_of([ids]), transformer.model.begin(sources, run), run)
            looks, masked = ([layer[name] for layer in forced.output.looks] for name in (TEXT, ITSELF))
        wanted = {Role.CROSS: looks, Role.ITSELF: sources[TEXT].looks, Role.MASKED: masked}
        assert [len(attentions.of(role)) for role in Role] == [3, 3, 3]
        pairs = [pair for role in Role for pair in zip(attentions.of(role), wanted[role], strict=True)]
        for layer, look in pairs:
            assert look.heads_BTHS is not None
            np.testing.assert_allclose(layer.mean.weights_TS, look.weights_BTS[0].numpy(), atol=1e-7)
            for number, head in enumerate(layer.heads):
                np.testing.assert_allclose(head.weights_TS, look.heads_BTHS[0, :, number].numpy(), atol=1e-7)
                np.testing.assert_allclose(head.weights_TS.sum(1), 1, atol=1e-6)
        assert [len(layer.heads) for layer in attentions.cross] == [2, 2, 2]
        assert [len(layer.heads) for layer in attentions.itself] == [4, 4, 4]
        assert [len(layer.heads) for layer in attentions.masked] == [4, 4, 4]
        # The layer that is shown is what the search itself saw.
        assert hypothesis.alignment is not None
        np.testing.assert_allclose(attentions.cross[1].mean.weights_TS, hypothesis.alignment.weights_TS, atol=1e-6)
        source = (*transformer.subwords.src.pieces(sentence.ids), END)
        for role, text in ((Role.ITSELF, source), (Role.MASKED, (BEGIN, *hypothesis.pieces))):
            for layer in attentions.of(role):
                assert layer.mean.role is role
                assert layer.mean.source_pieces == layer.mean.target_pieces == text
        for layer in attentions.masked:
            for seen in (layer.mean, *layer.heads):
                assert not np.triu(seen.weights_TS, 1).any()  # exactly zero


@pytest.mark.parametrize("window", [{}, {"window": "local", "radius": 2}])
@pytest.mark.parametrize("normaliser", ["softmax", "sparsemax", "top-k"])
def test_a_decoder_sees_what_its_settings_let_it(
    recurrent: Translator, normaliser: str, window: dict[str, object]
) -> None:
    few: dict[str, object] = {"top_k": 2} if normaliser == "top-k" else {}
    settings = {"normaliser": normaliser, **few, **window}
    translator = made(recurrent, "rnn", "transformer", "bahdanau", itself=settings)
    (scored,) = translator.score(["ta nu ki po ze"], ["la ro mi la se ro la ro mi"])
    (found,) = translator.forced_decoder.looked_into(translator.sentences(["ta nu ki po ze"]), [scored])
    assert found.attentions is not None
    assert found.attentions.itself == ()
    for layer in found.attentions.masked:
        for seen in layer.heads:
            t, s = np.indices(seen.weights_TS.shape)
            visible = (s <= t) & (t - s <= 2) if window else s <= t
            assert not seen.weights_TS[~visible].any()
            np.testing.assert_allclose(seen.weights_TS.sum(1), 1, atol=1e-6)
            assert (seen.weights_TS[visible] == 0).any() == (normaliser != "softmax")
            if few:
                assert ((seen.weights_TS > 0).sum(1) <= 2).all()
            grid = by_words(seen)
            assert grid.seen_TS is not None
            assert not grid.weights_TS[~grid.seen_TS].any()
            assert not np.triu(grid.seen_TS, 1).any()
            assert np.diag(grid.seen_TS).all()
            assert grid.source == grid.target
            assert grid.source[0] == BEGIN


def test_translations_of_one_sentence_share_what_it_looked_at_itself(transformer: Translator) -> None:
    sentences = transformer.sentences(["ta nu ki", "po ze wu"], Details(attentions=True))
    found = transformer.search(sentences, SHORT)
    firsts = []
    for sentence, hypotheses in zip(sentences, found, strict=True):
        assert len(hypotheses) == 2
        (alone,) = transformer.forced_decoder.looked_into([sentence], hypotheses[1:])
        first, second = (one.attentions for one in hypotheses)
        assert first is not None
        assert second is not None
        assert alone.attentions is not None
        assert first.itself is second.itself
        for role in Role:
            for one, other in zip(second.of(role), alone.attentions.of(role), strict=True):
                np.testing.assert_allclose(one.mean.weights_TS, other.mean.weights_TS, atol=1e-7)
        firsts.append(first.itself[0].mean)
    assert firsts[0].source_pieces != firsts[1].source_pieces


@pytest.mark.parametrize(
    ("encoder", "decoder", "kind", "cross", "itself", "masked"),
    [
        ("transformer", "transformer", "none", (), (4, 4), (4, 4)),
        ("transformer", "rnn", "bahdanau", (0,), (4, 4), ()),
        ("transformer", "ssru", "local-p", (0, 0), (4, 4), ()),
        ("rnn", "transformer", "coverage", (0, 0), (), (4, 4)),
        ("rnn", "transformer", "none", (), (), (4, 4)),
        ("rnn", "rnn", "multi-head", (2,), (), ()),
        ("rnn", "rnn", "none", (), (), ()),
    ],
)  # fmt: skip
def test_there_are_the_layers_that_a_model_has(
    recurrent: Translator,
    encoder: str,
    decoder: str,
    kind: str,
    cross: tuple[int, ...],
    itself: tuple[int, ...],
    masked: tuple[int, ...],
) -> None:
    translator = made(recurrent, encoder, decoder, kind)
    layers = translator.attention_layers
    assert (layers.cross, layers.itself, layers.masked) == (cross, itself, masked)
    assert layers.weights() == sum(heads + 1 for heads in cross + itself + masked)
    assert layers.weights(3) == sum(heads + 1 for heads in 3 * (cross + masked) + itself)
    assert layers.several == ("transformer" in (encoder, decoder) or kind == "multi-head")
    for found in translator.search(translator.sentences(LINES, Details(attentions=True)), SHORT):
        for hypothesis in found:
            if hypothesis.attentions is None:
                continue
            for role in Role:
                assert tuple(len(layer.heads) for layer in hypothesis.attentions.of(role)) == layers.of(role)
            if hypothesis.alignment is not None:
                shown = hypothesis.attentions.cross[layers.shown - 1].mean
                np.testing.assert_allclose(shown.weights_TS, hypothesis.alignment.weights_TS, atol=1e-6)
                assert shown.radius == hypothesis.alignment.radius


def test_a_local_window_of_self_attention_lies_around_each_word(recurrent: Translator) -> None:
    translator = made(recurrent, "transformer", "rnn", "bahdanau", itself={"window": "local", "radius": 1})
    (found,), *_ = translator.search(translator.sentences(LINES, Details(best=1, attentions=True)), SHORT)
    assert found.attentions is not None
    shown = found.attentions.itself[0].mean
    positions = np.arange(len(shown.source_pieces))
    assert shown.radius == 1
    assert shown.centre_T is not None
    assert shown.centre_T.tolist() == positions.tolist()
    assert ((shown.weights_TS > 0) == (np.abs(positions - positions[:, None]) <= 1)).all()


def test_in_8_bit_integers_it_is_what_the_search_saw(transformer: Translator) -> None:
    eight = replace(transformer, model=copy.deepcopy(transformer.model).float(),
                    precision=replace(transformer.precision, name="int8"))  # fmt: skip
    sentences = eight.sentences(LINES, Details(attentions=True))
    for found in eight.search(sentences, SHORT):
        for hypothesis in found:
            if hypothesis.attentions is not None and hypothesis.alignment is not None:
                seen = hypothesis.attentions.cross[1].mean.weights_TS
                np.testing.assert_allclose(seen, hypothesis.alignment.weights_TS, atol=1e-5)


LAYERS = AttentionLayers(cross=(8, 8, 8), itself=(4, 4), masked=(4, 4, 4), shown=2, decoder="transformer")
RNNS = AttentionLayers(cross=(0,), itself=(), masked=(), shown=1, decoder="rnn")
SSRU = AttentionLayers(cross=(8, 8), itself=(4, 4), masked=(), shown=1, decoder="ssru")
CROSS, SELF, MASKED = Role


def test_layers_and_heads_are_counted_from_one() -> None:
    assert LAYERS.pick(CROSS, None, None) == Picked(CROSS, 1, None)
    assert LAYERS.pick(SELF, None, None) == Picked(SELF, 1, None)
    assert LAYERS.pick(MASKED, None, None) == Picked(MASKED, 2, None)
    assert LAYERS.pick(SELF, 1, 4) == Picked(SELF, 0, 3)
    assert LAYERS.name(LAYERS.pick(CROSS, None, None)) == "layer 2 of 3, mean of 8 heads"
    assert LAYERS.name(LAYERS.pick(SELF, 1, 4)) == "self-attention, layer 1 of 2, head 4 of 4"
    assert LAYERS.name(LAYERS.pick(MASKED, 2, 4)) == "masked self-attention, layer 2 of 3, head 4 of 4"
    one = AttentionLayers(cross=(2,), itself=(), masked=(), shown=1, decoder="rnn")
    assert one.name(one.pick(CROSS, None, 2)) == "head 2 of 2"


@pytest.mark.parametrize(
    ("layers", "asked", "said"),
    [
        (LAYERS, (CROSS, 4, None), r"--layer: there is no layer 4: .*decoder has 3 layers\.\nName one from 1, .*, to 3\."),
        (LAYERS, (SELF, 3, None), r"--layer: there is no layer 3: .*encoder has 2 layers"),
        (LAYERS, (SELF, 0, None), r"there is no layer 0"),
        (LAYERS, (MASKED, 4, None), r"--layer: there is no layer 4: .*decoder has 3 layers"),
        (LAYERS, (SELF, None, 5), r"--head: there is no head 5: .*model's self-attention has 4 heads\.\nName one from 1 to 4"),
        (LAYERS, (MASKED, 1, 5), r"--head: there is no head 5: .*masked self-attention has 4 heads\."),
        (LAYERS, (CROSS, 1, 9), r"--head: there is no head 9: .*attention has 8 heads"),
        (RNNS, (SELF, None, None), r"--self: .*encoder is an RNN.*\nLeave out --self, or .* --encoder transformer\."),
        (RNNS, (MASKED, None, None), r"--masked-self: .*decoder is an RNN.*\nLeave out --masked-self, .* --decoder transformer\."),
        (SSRU, (MASKED, None, None), r"--masked-self: .*decoder is an SSRU: a recurrence in place of self-attention\.\nLeave out"),
        (RNNS, (CROSS, 1, None), r"--layer: .*decoder is an RNN, .* one layer only\.\nLeave"),
        (RNNS, (CROSS, None, 1), r"--head: there is no head 1: .*no heads .*\nLeave out --head"),
    ],
)  # fmt: skip
def test_what_there_is_not_is_refused(
    layers: AttentionLayers, asked: tuple[Role, int | None, int | None], said: str
) -> None:
    with pytest.raises(ConfigError, match=f"(?s){said}"):
        layers.pick(*asked)


def test_squares_fill_a_batch() -> None:
    assert square_batches([1, 3, 2, 2], 18) == [[1, 2], [3, 0]]  # 9 + 9, then 4 + 4
    assert square_batches([5, 1], 1) == [[0], [1]]
    assert square_batches([], 1) == []
