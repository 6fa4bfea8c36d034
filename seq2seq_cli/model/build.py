"""From a configuration to a module: the only place that does it."""

import torch
from torch import nn

from seq2seq_cli import kinds
from seq2seq_cli.config import MAX_POSITIONS, RADIUS, AttentionConfig, Config, ModelConfig, SubwordConfig
from seq2seq_cli.errors import ConfigError
from seq2seq_cli.model.attention.none import NoAttention
from seq2seq_cli.model.attention.normalisers import Softmax
from seq2seq_cli.model.attention.scored import ScoredAttention
from seq2seq_cli.model.attention.scores import AdditiveScore, DotScore, GeneralScore, LocationScore, Score
from seq2seq_cli.model.attention.windows import GlobalWindow, LocalMonotonicWindow, LocalPredictiveWindow
from seq2seq_cli.model.decoder import AttendAfter, AttendBefore, Decoder, Wiring
from seq2seq_cli.model.encoder import Encoder
from seq2seq_cli.model.seq2seq import Seq2Seq
from seq2seq_cli.model.types import Attention

MOST_PARAMETERS = 2_000_000_000
"""Of a model. A configuration may come with a run from anywhere."""


def build(config: Config, src_vocabulary: int, tgt_vocabulary: int) -> Seq2Seq:
    """The model of ``config``, freshly initialised from torch's current random state.

    ``src_vocabulary`` and ``tgt_vocabulary`` are numbers of pieces. Raises ConfigError where it would have more than
    MOST_PARAMETERS, before any memory is taken, or there is no memory for them.
    """
    with torch.device("meta"):
        parameters = _build(config, src_vocabulary, tgt_vocabulary).parameter_count()
    what = f"a model of these sizes has {parameters:,} parameters"
    hint = "Check the sizes and layers of the section model."
    if parameters > MOST_PARAMETERS:
        raise ConfigError(f"{what}; at most {MOST_PARAMETERS:,} are built.", "model", hint)
    try:
        return _build(config, src_vocabulary, tgt_vocabulary)
    except RuntimeError as error:
        if "allocate" not in str(error):
            raise
        raise ConfigError(f"{what}, for which there is no memory.", "model", hint) from None


def _build(config: Config, src_vocabulary: int, tgt_vocabulary: int) -> Seq2Seq:
    model = config.model
    tying = resolve_tying(model, config.subword)
    target = nn.Embedding(tgt_vocabulary, model.embedding_size)
    source = target if tying == "all" else nn.Embedding(src_vocabulary, model.embedding_size)
    encoder = Encoder(model)
    attention = build_attention(config.attention, model.hidden_size, encoder.output_size)
    readout_size = model.hidden_size if tying == "none" else model.embedding_size
    wiring = build_wiring(config.attention, model, attention, readout_size)
    decoder = Decoder(model, wiring, attention, encoder.output_size)
    output = nn.Embedding(tgt_vocabulary, readout_size) if tying == "none" else target
    return Seq2Seq(model, encoder, decoder, source, target, output)


def resolve_tying(model: ModelConfig, subword: SubwordConfig) -> str:
    """What "auto" stands for: everything shared with a joint vocabulary, target and output otherwise."""
    if model.tying != "auto":
        return model.tying
    return "all" if subword.joint else "target"


def build_wiring(config: AttentionConfig, model: ModelConfig, attention: Attention, readout_size: int) -> Wiring:
    """Where the kind's context enters, or where the user wants it to."""
    if (config.wiring or kinds.find(config.kind).wiring) == "before":
        return AttendBefore(model, attention, readout_size)
    return AttendAfter(model, attention, readout_size, config.input_feeding is not False)


def build_attention(config: AttentionConfig, query_size: int, encoder_size: int) -> Attention:
    """The mechanism of a row of the table of kinds, with the user's options."""
    kind = kinds.find(config.kind)
    if kind.score is None:
        return NoAttention(encoder_size, config.summary or "every-step")
    score = _score(config, config.score or kind.score, query_size, encoder_size)
    return ScoredAttention(encoder_size, score, _window(config, kind.window, query_size), Softmax())


def local_radius(config: AttentionConfig) -> int | None:
    """D of a local window, None for a global one."""
    return None if kinds.find(config.kind).window == "global" else config.radius or RADIUS


def _score(config: AttentionConfig, name: kinds.Score, query_size: int, encoder_size: int) -> Score:
    match name:
        case "dot":
            return DotScore(query_size, encoder_size)
        case "scaled-dot":
            return DotScore(query_size, encoder_size, scale=query_size**-0.5)
        case "general":
            return GeneralScore(query_size, encoder_size)
        case "additive":
            return AdditiveScore(query_size, encoder_size, config.size or query_size)
        case "location":
            return LocationScore(query_size, config.max_positions or MAX_POSITIONS)


def _window(config: AttentionConfig, name: kinds.Window, query_size: int) -> nn.Module:
    radius = config.radius or RADIUS
    match name:
        case "global":
            return GlobalWindow()
        case "local-m":
            return LocalMonotonicWindow(radius)
        case "local-p":
            return LocalPredictiveWindow(query_size, radius)
