"""Export to CTranslate2, a translator in C++: Transformers with multi-head attention."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from seq2seq_cli.config.whole import Config
from seq2seq_cli.data.subword import BOS, EOS, UNK, Subword
from seq2seq_cli.decoding.every_line import MOST_PIECES
from seq2seq_cli.decoding.translator import Translator, longest_translation
from seq2seq_cli.errors import ConfigError
from seq2seq_cli.model.attention.multi_head import MultiHeadAttention
from seq2seq_cli.model.attention.normalisers import Softmax
from seq2seq_cli.model.attention.scores import ProjectedScore
from seq2seq_cli.model.encoders.transformer import TransformerEncoder, TransformerEncoderLayer
from seq2seq_cli.model.layers.self_attention import SelfAttention
from seq2seq_cli.model.layers.sublayers import Entry, FeedForward
from seq2seq_cli.model.layers.transformer import TransformerLayer
from seq2seq_cli.model.readout import VocabularyReadout

if TYPE_CHECKING:
    from ctranslate2.specs import TransformerSpec

NAME = "CTranslate2"
PACKAGES = ("ctranslate2",)
"""What must be installed."""

POSITIONS = longest_translation(MOST_PIECES) + 1
"""How many positions are written out: of the longest translation of the longest line that is translated, with `</s>`."""


def refusals(config: Config) -> list[str]:
    """What in a configuration CTranslate2 cannot hold, and why."""
    model, attention, itself = config.model, config.attention, config.self_attention.numbers
    choices, reasons = attention.choices, list[str]()
    if model.encoder != "transformer":
        reasons.append(f'model.encoder = "{model.encoder}": {NAME} encodes by Transformers only')
    if model.decoder != "transformer":
        reasons.append(f'model.decoder = "{model.decoder}": {NAME} decodes by Transformers with self-attention only')
    if attention.kind != "multi-head":
        reasons.append(
            f'attention.kind = "{attention.kind}": {NAME} attends to the source by multi-head attention only'
        )
    if choices.window != "global":
        reasons.append(f'attention.window = "{choices.window}": in {NAME} a step sees the whole source')
    if choices.normaliser != "softmax":
        reasons.append(f'attention.normaliser = "{choices.normaliser}": {NAME} makes weights by a softmax')
    if model.copy:
        reasons.append(f"model.copy = true: {NAME} writes pieces of the vocabulary only")
    if not model.attends_to_itself:
        return reasons
    if itself.window != "global":
        reasons.append(f'self_attention.window = "{itself.window}": in {NAME} self-attention sees the whole sentence')
    if itself.normaliser != "softmax":
        reasons.append(f'self_attention.normaliser = "{itself.normaliser}": {NAME} makes weights by a softmax')
    if attention.kind == "multi-head" and attention.numbers.heads != itself.heads:
        reasons.append(
            f"attention.heads = {attention.numbers.heads} and self_attention.heads = {itself.heads}: "
            f"a decoder of {NAME} has one number of heads"
        )
    return reasons


def check(config: Config) -> None:
    """Raises ConfigError, with all the reasons, where CTranslate2 cannot hold the model."""
    reasons = refusals(config)
    if reasons:
        what = f"{NAME} cannot hold this model: {'; '.join(reasons)}."
        raise ConfigError(what, "--format ctranslate2", "`--format onnx` takes every model.")


@torch.no_grad()
def specification(translator: Translator) -> TransformerSpec:
    """The model as CTranslate2 writes it to a folder, by ``save``. Raises what `check` does."""
    check(translator.config)
    from ctranslate2.specs import TransformerDecoderSpec, TransformerEncoderSpec, TransformerSpec

    model, config = translator.model, translator.config
    encoder, decoder = model.encoder, model.decoder
    assert isinstance(encoder, TransformerEncoder)
    assert decoder.entry is not None
    assert decoder.norm is not None
    rotary = {"rotary_dim": 0, "rotary_interleave": False} if config.model.numbers.positions == "rotary" else {}
    heads, shown = config.self_attention.numbers.heads, decoder.shown
    spec = TransformerSpec(
        TransformerEncoderSpec(config.model.encoder_depth, heads, **rotary),
        TransformerDecoderSpec(
            config.model.decoder_depth, heads, alignment_layer=shown, alignment_heads=heads, **rotary
        ),
    )
    _set_entry(spec.encoder, spec.encoder.embeddings[0], encoder.entry, model.source_embedding)
    _set_norm(spec.encoder.layer_norm, encoder.norm)
    for place, layer in zip(spec.encoder.layer, encoder.layers, strict=True):
        assert isinstance(layer, TransformerEncoderLayer)
        _set_self_attention(place.self_attention, layer.attending.norm, layer.self_attention)
        _set_feed_forward(place.ffn, layer.feeding.norm, layer.feed_forward)
    _set_entry(spec.decoder, spec.decoder.embeddings, decoder.entry, model.target_embedding)
    _set_norm(spec.decoder.layer_norm, decoder.norm)
    for place, step in zip(spec.decoder.layer, decoder.stack, strict=True):
        assert isinstance(step, TransformerLayer)
        assert isinstance(step.mixer, SelfAttention)
        _set_self_attention(place.self_attention, step.mixing.norm, step.mixer)
        _set_attention(place.attention, step.attending.norm, step.attention)
        _set_feed_forward(place.ffn, step.feeding.norm, step.feed_forward)
    _set_readout(spec.decoder.projection, model.readout)
    _set_vocabularies(spec, translator)
    spec.validate()
    spec.optimize()
    return spec


def save(translator: Translator, folder: Path) -> None:
    """Write the model to a folder."""
    specification(translator).save(str(folder))


def _set_vocabularies(spec: TransformerSpec, translator: Translator) -> None:
    source, target = (_names(subword) for subword in (translator.subwords.src, translator.subwords.tgt))
    spec.register_source_vocabulary(source)
    spec.register_target_vocabulary(target)
    spec.config.unk_token, spec.config.bos_token, spec.config.eos_token = (source[mark] for mark in (UNK, BOS, EOS))
    spec.config.decoder_start_token = target[BOS]
    spec.config.add_source_eos = True
    spec.config.layer_norm_epsilon = nn.LayerNorm(1).eps


def _names(subword: Subword) -> list[str]:
    return [subword.name_within(number) for number in range(len(subword))]


def _numbers(x: Tensor) -> np.ndarray:
    numbers: np.ndarray = x.detach().float().contiguous().numpy()
    return numbers


def _set_entry(spec: Any, embeddings: Any, entry: Entry, embedding: nn.Embedding) -> None:
    """Embeddings and positions. Embeddings of another size than the layers are scaled and projected to theirs beforehand."""
    spec.scale_embeddings = entry.project is None
    if entry.project is None:
        embeddings.weight = _numbers(embedding.weight)
    else:
        embeddings.weight = _numbers(embedding.weight * entry.scale @ entry.project.weight.T)
    if entry.positions is not None:
        nothing_1PD = torch.zeros(1, POSITIONS, embeddings.weight.shape[1])
        spec.position_encodings.encodings = _numbers(entry.positions(nothing_1PD, 0)[0])


def _set_norm(spec: Any, norm: nn.Module) -> None:
    spec.gamma, spec.beta = _numbers(norm.get_parameter("weight")), _numbers(norm.get_parameter("bias"))


def _set_linear(spec: Any, linear: nn.Linear) -> None:
    spec.weight = _numbers(linear.weight)
    if linear.bias is not None:
        spec.bias = _numbers(linear.bias)


def _cooled(query: Tensor, normaliser: nn.Module) -> Tensor:
    """The projection of the queries, divided by the softmax's temperature."""
    assert isinstance(normaliser, Softmax)
    return query / normaliser.temperature


def _set_self_attention(spec: Any, norm: nn.Module, attention: SelfAttention) -> None:
    _set_norm(spec.layer_norm, norm)
    query, key, value = attention.project.weight.chunk(3)
    spec.linear[0].weight = _numbers(torch.cat([_cooled(query, attention.normaliser), key, value]))
    _set_linear(spec.linear[1], attention.output)


def _set_attention(spec: Any, norm: nn.Module, attention: object) -> None:
    assert isinstance(attention, MultiHeadAttention)
    assert isinstance(attention.score, ProjectedScore)
    _set_norm(spec.layer_norm, norm)
    spec.linear[0].weight = _numbers(_cooled(attention.score.query.weight, attention.normaliser))
    spec.linear[1].weight = _numbers(torch.cat([attention.score.key.weight, attention.value.weight]))
    _set_linear(spec.linear[2], attention.output)


def _set_feed_forward(spec: Any, norm: nn.Module, feed_forward: FeedForward) -> None:
    _set_norm(spec.layer_norm, norm)
    _set_linear(spec.linear_0, feed_forward.widen)
    _set_linear(spec.linear_1, feed_forward.narrow)


def _set_readout(spec: Any, readout: nn.Module) -> None:
    assert isinstance(readout, VocabularyReadout)
    matrix_VR = readout.embedding.weight
    spec.weight = _numbers(matrix_VR if readout.hidden is None else matrix_VR @ readout.hidden.get_parameter("weight"))
    spec.bias = _numbers(readout.bias_V)
