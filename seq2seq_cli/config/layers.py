"""Which attention goes with which layers of encoder and decoder, and with which context."""

from seq2seq_cli.config.attention import WIRED, AttentionConfig
from seq2seq_cli.config.context import ContextConfig
from seq2seq_cli.config.model import ModelConfig
from seq2seq_cli.config.self_attention import SelfAttentionConfig


def clashes(
    model: ModelConfig, attention: AttentionConfig, itself: SelfAttentionConfig, context: ContextConfig
) -> list[str]:
    """What in these sections does not go together, and why."""
    heads = attention.numbers.heads
    reasons = []
    if "heads" in attention.row.options and model.hidden_size % heads:
        reasons.append(f"attention.heads = {heads} does not divide model.hidden_size = {model.hidden_size}")
    if model.attends_to_itself:
        reasons += _of_self_attention(model, itself)
    else:
        reasons += [
            f"self_attention.{name}: there is no self-attention where model.encoder is {model.encoder} and model.decoder "
            f"{model.decoder}"
            for name in itself.given
        ]
    reasons += _of_context(model, attention, context)
    return reasons + (_beside_rnn(attention) if model.decoder == "rnn" else _beside_transformer(model, attention))


def _of_context(model: ModelConfig, attention: AttentionConfig, context: ContextConfig) -> list[str]:
    back, heads = model.back, context.numbers.heads
    reasons = [
        f'context.{name} means nothing where model.context is "{model.context}"'
        for name in context.given
        if name not in context.meant(back)
    ]
    if back.hierarchical and model.hidden_size % heads:
        reasons.append(f"context.heads = {heads} does not divide model.hidden_size = {model.hidden_size}")
    if back.joins:
        by_place = {
            "local-m": attention.choices.window == "local-m",
            "the location score": attention.choices.score == "location",
        }
        reasons += [
            f'model.context = "concatenation" puts other sentences before the source, and {name} goes by the number of a '
            "position: it would look at those"
            for name, goes_by_place in by_place.items()
            if goes_by_place
        ]
    return reasons


def _of_self_attention(model: ModelConfig, itself: SelfAttentionConfig) -> list[str]:
    heads = itself.numbers.heads
    if model.hidden_size % heads:
        return [f"self_attention.heads = {heads} does not divide model.hidden_size = {model.hidden_size}"]
    if model.numbers.positions == "rotary" and model.hidden_size // heads % 2:
        return [
            f'model.positions = "rotary" turns pairs of numbers: the size of a head, {model.hidden_size // heads}, is odd'
        ]
    return []


def _beside_rnn(attention: AttentionConfig) -> list[str]:
    if attention.layer is None:
        return []
    return ["attention.layer belongs to Transformer decoders; an RNN attends in one layer only"]


def _beside_transformer(model: ModelConfig, attention: AttentionConfig) -> list[str]:
    reasons = [
        f"attention.{name} belongs to RNN decoders; in a Transformer layer attention comes between self-attention and "
        "the feed-forward network"
        for name in sorted(WIRED)
        if getattr(attention, name) is not None
    ]
    if attention.choices.summary == "start":
        reasons.append(
            'attention.summary = "start" starts the state of an RNN decoder; a Transformer reads the summary at '
            'every step: "every-step"'
        )
    if attention.choices.estimator == "marginal":
        reasons.append(
            'attention.estimator = "marginal" sums over the positions of each step by itself; in a Transformer later steps '
            "depend on where earlier ones looked, and the sum would go over all their histories"
        )
    if attention.layer is not None and attention.layer > model.decoder_depth:
        reasons.append(f"attention.layer = {attention.layer}: the decoder has {model.decoder_depth} layers")
    return reasons
