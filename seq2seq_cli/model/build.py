"""From a configuration to a module. Nothing else builds models."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from importlib import import_module
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from seq2seq_cli.config.attention import AttentionConfig
from seq2seq_cli.config.whole import Config
from seq2seq_cli.errors import ConfigError, UserError
from seq2seq_cli.kinds.attentions import Estimator
from seq2seq_cli.kinds.installed import described, failed
from seq2seq_cli.model.attention.parts import Parts
from seq2seq_cli.model.copying import CopyingReadout
from seq2seq_cli.model.criteria.marginal import marginal_cross_entropy
from seq2seq_cli.model.criteria.reinforce import reinforced
from seq2seq_cli.model.decoder import Decoder
from seq2seq_cli.model.encoders.rnn import RecurrentEncoder
from seq2seq_cli.model.encoders.transformer import TransformerEncoder
from seq2seq_cli.model.forced import Criterion, Forced
from seq2seq_cli.model.hierarchical_context import HierarchicalContext
from seq2seq_cli.model.layers.context import ContextLayer
from seq2seq_cli.model.layers.recurrent import AttendAfter, AttendBefore
from seq2seq_cli.model.layers.sublayers import Entry
from seq2seq_cli.model.layers.transformer import TransformerLayer
from seq2seq_cli.model.maps import Linear
from seq2seq_cli.model.readout import Maxout, Projection, Readout, VocabularyReadout
from seq2seq_cli.model.seq2seq import Seq2Seq
from seq2seq_cli.model.types import Attention, Encoder, Layer
from seq2seq_cli.wording import counted

MOST_PARAMETERS = 2_000_000_000
"""Most parameters of a model: a configuration may come with a run from anywhere, and ask for anything."""

CRITERIA: Mapping[Estimator | None, Criterion] = {"marginal": marginal_cross_entropy, "reinforce": reinforced}
"""What training minimises, for the estimators that need more than cross-entropy."""


def build(
    config: Config, src_vocabulary: int, tgt_vocabulary: int, segment_ends: Sequence[int] = (), drawn: bool = True
) -> Seq2Seq:
    """The model of ``config``, with parameters drawn from torch's current random state; or, where ``drawn`` is False, with
    anything in them: for a model whose weights are loaded next.

    ``src_vocabulary`` and ``tgt_vocabulary`` are numbers of pieces; ``segment_ends`` are the ids of the source pieces
    that end with one of ``config.attention.segment_marks``. Raises ConfigError where the model would have more than
    MOST_PARAMETERS, before any memory is taken, and where memory for them cannot be had.
    """
    with torch.device("meta"), _Undrawn():
        parameters = _build(config, src_vocabulary, tgt_vocabulary, segment_ends).parameter_count()
    what = f"a model of these sizes has {counted(parameters, 'parameter')}"
    hint = "Check the sizes and layers of the section model."
    if parameters > MOST_PARAMETERS:
        raise ConfigError(f"{what}; at most {MOST_PARAMETERS:,} are built.", "model", hint)
    try:
        with nullcontext() if drawn else _Undrawn():
            return _build(config, src_vocabulary, tgt_vocabulary, segment_ends)
    except RuntimeError as error:
        if "allocate" not in str(error):
            raise
        raise ConfigError(f"{what}, for which there is no memory.", "model", hint) from None


class _Undrawn(TorchFunctionMode):
    """Leaves parameters undrawn: where they are loaded from a file next, drawing them takes as long as loading them; and
    where they are only counted, on the meta device, ``normal_`` would load torch's compiler, which takes more than a second
    at the start of every command."""

    DRAWING = ("normal_", "uniform_", "kaiming_uniform_")

    def __torch_function__(
        self, func: Callable[..., Any], types: object, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        given = kwargs or {}
        if func.__name__ in self.DRAWING:
            drawn: Tensor = args[0] if args else given["tensor"]
            if drawn.is_meta or isinstance(drawn, nn.Parameter):
                return drawn
        return func(*args, **given)


def _build(config: Config, src_vocabulary: int, tgt_vocabulary: int, segment_ends: Sequence[int]) -> Seq2Seq:
    model = config.model
    tying = model.tied(config.subword.joint)
    target = nn.Embedding(tgt_vocabulary, model.embedding_size)
    source = target if tying == "all" else nn.Embedding(src_vocabulary, model.embedding_size)
    encoder = build_encoder(config)
    decoder = build_decoder(config, encoder, segment_ends)
    readout_size = model.hidden_size if tying == "none" else model.embedding_size
    output = nn.Embedding(tgt_vocabulary, readout_size) if tying == "none" else target
    readout: Readout = build_readout(
        decoder.stack[-1 - decoder.above], output, model.dropout, bounded=not decoder.above
    )
    if model.copy:
        readout = CopyingReadout(readout, decoder.stack[-1].size)
    criterion = CRITERIA.get(config.attention.choices.estimator, Forced.cross_entropy)
    with _Undrawn():  # it is drawn with all else, after all else
        han = HierarchicalContext(model, config.context) if model.back.encoder else None
    return Seq2Seq(model, encoder, decoder, readout, source, target, criterion, han)


def build_encoder(config: Config) -> RecurrentEncoder | TransformerEncoder:
    """The encoder that the section ``model`` names."""
    if config.model.encoder == "transformer":
        return TransformerEncoder(config.model, config.self_attention)
    encoder = RecurrentEncoder(config.model)
    encoder.bounded = not config.model.back.encoder  # what is found in the sentences before may be of any size
    return encoder


def build_decoder(config: Config, encoder: Encoder, segment_ends: Sequence[int]) -> Decoder:
    """The decoder that the section ``model`` names: a recurrent layer with the wiring of the attention kind (or the one that
    the user has chosen instead), or Transformer layers, each with an attention of its own; and above them, where the section
    says so, one that looks back at the translations before."""
    layers, shown, ending = _own_layers(config, encoder, segment_ends)
    above = 0
    if config.model.back.decoder:
        with _Undrawn():  # it is drawn with all else, after all else
            layers, above = [*layers, ContextLayer(config.model, config.context, layers[-1])], 1
    return Decoder(layers, shown, ending.entry, ending.norm, above)


class _Ends(NamedTuple):
    """What comes before the first and after the last of a decoder's layers."""

    entry: Entry | None = None
    norm: nn.LayerNorm | None = None


def _own_layers(config: Config, encoder: Encoder, segment_ends: Sequence[int]) -> tuple[list[Layer], int, _Ends]:
    """The layers that attend to the text, the number of the one whose look is shown, and what is around them."""
    model, choices = config.model, config.attention.choices

    def attention() -> Attention:
        bounded = encoder.bounded and model.decoder == "rnn"
        return build_attention(config.attention, model.hidden_size, encoder.output_size, segment_ends, bounded)

    if model.decoder != "rnn":
        layers: list[Layer] = [
            TransformerLayer(model, config.self_attention, attention()) for _ in range(model.decoder_depth)
        ]
        return layers, config.attention.layer_of(model) - 1, _Ends(Entry(model), nn.LayerNorm(model.hidden_size))
    if choices.wiring == "before":
        return [AttendBefore(model, attention(), encoder)], 0, _Ends()
    return [AttendAfter(model, attention(), encoder, choices.input_feeding)], 0, _Ends()


def build_readout(layer: Layer, output: nn.Embedding, dropout: float, bounded: bool = True) -> VocabularyReadout:
    """The readout of the paper whose wiring the last layer has: a maxout (Bahdanau, Cho & Bengio 2015, A.2.2), or the
    features themselves (Luong, Pham & Manning 2015, 3), projected where the tied embeddings have another size. ``bounded``:
    whether features stay as this layer makes them."""
    hidden: Maxout | Projection | None = None
    if isinstance(layer, AttendBefore):
        hidden = Maxout(layer.size, output.embedding_dim)
    elif layer.size != output.embedding_dim:
        hidden = Projection(layer.size, output.embedding_dim, bounded=bounded and isinstance(layer, AttendAfter))
    return VocabularyReadout(hidden, output, layer.fresh_size, dropout)


def build_attention(
    config: AttentionConfig,
    query_size: int,
    encoder_size: int,
    segment_ends: Sequence[int] = (),
    bounded: bool = True,
) -> Attention:
    """The mechanism of a row of the table of kinds, with the user's options. It is made by the file that the row
    names. ``bounded``: whether queries and encoder states all lie in [-1, 1], as those of RNNs do. Raises ConfigError
    where that file is a package's, and does not make one.
    """
    attention = _made(config, Parts(config, query_size, encoder_size, segment_ends))
    if not bounded:
        attention.bounded = False
        assert isinstance(attention, nn.Module)
        for module in attention.modules():
            if isinstance(module, Linear):
                module.bounded = False
    return attention


def _made(config: AttentionConfig, parts: Parts) -> Attention:
    row = config.row
    if row.package is None:
        built_in: Attention = import_module(row.import_path).build(parts)
        return built_in
    try:
        attention = import_module(row.import_path).build(parts)
    except UserError:
        raise
    except Exception as problem:  # of whatever kind: it is somebody else's code
        what = f'cannot make its attention "{row.name}": {described(problem)}'
        raise failed(row.package, what) from problem
    if not isinstance(attention, nn.Module) or not isinstance(attention, Attention):
        what = f'makes for its attention "{row.name}" a {type(attention).__name__}, which is no {_lacking(attention)}'
        raise failed(row.package, what)
    return attention


def _lacking(attention: object) -> str:
    """What this is not, and why."""
    if not isinstance(attention, nn.Module):
        return "Attention: it is no torch.nn.Module"
    wanted = {*Attention.__annotations__, *(name for name in vars(Attention) if not name.startswith("_"))}
    missing = sorted(name for name in wanted if not hasattr(attention, name))
    return f"Attention: it has no {', '.join(missing)} (see model/types.py; a Mechanism has the defaults)"


def local_radius(config: AttentionConfig) -> int | None:
    """D of a local window in positions; None for a global one."""
    return None if config.choices.window == "global" else config.numbers.radius
