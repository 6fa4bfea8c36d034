"""Where every layer and head looked: which there are, and what each of them shows of one translation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from seq2seq_cli.decoding.hypothesis import Alignment, Attentions, EachRole, LayerAttention, Role
from seq2seq_cli.decoding.looking_back import Read, both_levels, in_front
from seq2seq_cli.decoding.search import Trace
from seq2seq_cli.decoding.spelling import Spelling
from seq2seq_cli.errors import ConfigError
from seq2seq_cli.kinds.layers import DecoderKind
from seq2seq_cli.model.layers.context import SAID
from seq2seq_cli.model.layers.transformer import ITSELF
from seq2seq_cli.model.types import SHOWN, Look, Looks, Source
from seq2seq_cli.wording import counted

NAMES = {Role.CROSS: "attention", Role.ITSELF: "self-attention", Role.MASKED: "masked self-attention"}
"""What an attention of each role is called."""
WHOSE = {Role.CROSS: "decoder", Role.ITSELF: "encoder", Role.MASKED: "decoder"}
"""Whose layers have it."""
OPTIONS = {Role.ITSELF: "--self", Role.MASKED: "--masked-self"}
"""By which options self-attention is asked for."""
_RECURRENT = {"rnn": "an RNN, which has no self-attention", "ssru": "an SSRU: a recurrence in place of self-attention"}


class Picked(NamedTuple):
    """One layer of a role, or one head of it (None: the mean of its heads), both counted from 0."""

    role: Role
    layer: int
    head: int | None

    def of(self, attentions: Attentions) -> Alignment:
        """What it looked at."""
        layer = attentions.of(self.role)[self.layer]
        return layer.mean if self.head is None else layer.heads[self.head]


@dataclass(frozen=True)
class AttentionLayers(EachRole[tuple[int, ...]]):
    """The layers that have attention weights, the bottom layer first, and how many heads each has (0: its weights are not
    those of heads). ``shown``: the number of the decoder's layer that alignments show, from 1. ``decoder``: what that is made
    of."""

    shown: int
    decoder: DecoderKind

    @property
    def several(self) -> bool:
        """Whether there is anything to choose from."""
        return bool(self.itself) or bool(self.masked) or len(self.cross) > 1 or any(self.cross)

    def weights(self, translations: int = 1) -> int:
        """How many weights a pair of pieces has in so many translations of one sentence, means included. The source looks at
        itself in the same way whatever it is translated to."""
        each = _with_means(self.cross) + _with_means(self.masked)
        return translations * each + _with_means(self.itself)

    def to_json(self) -> dict[str, object]:
        """Plain keys."""
        return {role.value: list(self.of(role)) for role in Role} | {"shown": self.shown}

    def pick(self, role: Role, layer: int | None, head: int | None) -> Picked:
        """The layer and the head of these numbers, from 1. By default the layer is the one that is shown, or of self-attention
        the last, and the head is the mean of all. Raises ConfigError where there is no such thing."""
        layers = self.of(role)
        if role is not Role.CROSS and not layers:
            option, whose = OPTIONS[role], WHOSE[role]
            hint = f"Leave out {option}, or train a run with --{whose} transformer."
            what = _RECURRENT[self.decoder if whose == "decoder" else "rnn"]
            raise ConfigError(f"this model's {whose} is {what}.", option, hint)
        number = self.shown if role is Role.CROSS else len(layers)
        if layer is not None:
            require_layer(layer, len(layers), role, self.decoder)
            number = layer
        heads = layers[number - 1]
        if head is not None and not 1 <= head <= heads:
            has = f"has {counted(heads, 'head')}" if heads else "has no heads of which one could be shown"
            hint = f"Name one from 1 to {heads}, or none for their mean." if heads else "Leave out --head."
            raise ConfigError(f"there is no head {head}: this model's {NAMES[role]} {has}.", "--head", hint)
        return Picked(role, number - 1, None if head is None else head - 1)

    def name(self, picked: Picked) -> str:
        """What was picked, for people: ``layer 2 of 4, head 1 of 8``."""
        layers = self.of(picked.role)
        heads = layers[picked.layer]
        parts = [] if picked.role is Role.CROSS else [NAMES[picked.role]]
        if len(layers) > 1:
            parts.append(f"layer {picked.layer + 1} of {len(layers)}")
        if heads:
            parts.append(f"mean of {heads} heads" if picked.head is None else f"head {picked.head + 1} of {heads}")
        return ", ".join(parts)


def _with_means(layers: Sequence[int]) -> int:
    return sum(heads + 1 for heads in layers)


def require_layer(layer: int, layers: int, role: Role, decoder: DecoderKind) -> None:
    """Raises ConfigError unless ``layer``, counted from 1, is one of the ``layers`` of this role to choose from, in a model with
    such a decoder."""
    if role is Role.CROSS and decoder == "rnn":
        what = f"there is no layer {layer} to choose: this model's decoder is an RNN, which attends in one layer only."
        raise ConfigError(what, "--layer", "Leave out --layer.")
    if not 1 <= layer <= layers:
        what = f"there is no layer {layer}: this model's {WHOSE[role]} has {counted(layers, 'layer')}."
        raise ConfigError(what, "--layer", f"Name one from 1, the bottom one, to {layers}.")


class Within(NamedTuple):
    """What is the same for all translations of a source: where the encoder's layers looked in it (``itself``), and where its
    states looked in the sentences before (``back``)."""

    itself: tuple[LayerAttention, ...]
    back: tuple[Alignment, ...] = ()


@dataclass(frozen=True)
class LayerLooks(EachRole[list[Look]]):
    """Where the layers looked in a batch; ``back``: where the encoder's states looked in the sentences before, and ``said``: the
    decoder's. Rows are those of translations, and of ``itself`` and ``back`` those of sources."""

    back: Look | None = None
    said: Look | None = None

    @classmethod
    def of_layers(cls, decoder: Sequence[Looks], source: Source, inward: bool) -> LayerLooks:
        """From the looks of each layer of the decoder, and the source with those of the encoder in the source itself;
        self-attention only if ``inward``."""
        within = (list(source.looks), _given(decoder, ITSELF)) if inward else ([], [])
        return cls(_given(decoder, SHOWN), *within, source.back, decoder[-1].get(SAID))

    def layers(self, shown: int, decoder: DecoderKind) -> AttentionLayers:
        """The layers and heads that there are."""
        cross, itself, masked = (tuple(map(_heads, self.of(role))) for role in Role)
        return AttentionLayers(cross, itself, masked, shown, decoder)

    def within_source(self, row: int, spelling: Spelling) -> Within:
        """Where the encoder looked in the source ``row``, and from there."""
        itself = tuple(_layer(look, row, spelling.within_source) for look in self.itself)
        if self.back is None or self.back.kept_BT is None or not spelling.sentence.before:
            return Within(itself)
        read = Read(spelling.source_pieces, _sources(spelling))
        return Within(itself, (both_levels(self.back, row, read, _room(spelling), Role.ITSELF),))

    def attentions(self, row: int, target_pieces: Sequence[str], spelling: Spelling, within: Within) -> Attentions:
        """What the layers looked at in the translation ``row``, whose steps wrote ``target_pieces`` and at last ``</s>``, with
        what is the same for all translations of its source."""
        pieces, steps = tuple(target_pieces), len(target_pieces) + 1

        def across(look: Look) -> LayerAttention:
            centre_T = None if look.centre_BT is None else look.centre_BT[row, :steps]
            return _layer(look, row, lambda weights_TS: spelling.aligned(pieces, Trace(weights_TS[:steps], centre_T)))

        def masked(look: Look) -> LayerAttention:
            return _layer(look, row, lambda weights_TT: spelling.within_target(pieces, weights_TT))

        back = (*within.back, *self._back(row, pieces, spelling)) if spelling.sentence.before else ()
        return Attentions(tuple(map(across, self.cross)), within.itself, tuple(map(masked, self.masked)), back)

    def _back(self, row: int, pieces: Sequence[str], spelling: Spelling) -> Iterator[Alignment]:
        """Where the translation ``row`` looked in the sentences before."""
        config = spelling.config
        if config.model.back.joins and self.cross:
            look = self.cross[config.attention.layer_of(config.model) - 1]
            yield in_front(look.weights_BTS[row], Read(pieces, _sources(spelling)))
        if self.said is not None and self.said.kept_BT is not None:
            # Step t of a translation, which reads what comes before piece t, is shown as that piece.
            told = [spelling.subwords.tgt.pieces(list(one.tgt)) for one in spelling.sentence.before]
            yield both_levels(self.said, row, Read(pieces, told), _room(spelling), Role.CROSS)


def _sources(spelling: Spelling) -> list[list[str]]:
    return [spelling.subwords.src.pieces(list(one.src)) for one in spelling.sentence.before]


def _room(spelling: Spelling) -> int:
    """How many sentences before a model looks at."""
    return spelling.config.context.numbers.sentences


def _given(layers: Sequence[Looks], name: str) -> list[Look]:
    """The looks of this name that have weights."""
    looks = [layer[name] for layer in layers if name in layer]
    return [look for look in looks if look.weights_BTS.shape[-1]]


def _heads(look: Look) -> int:
    return 0 if look.heads_BTHS is None else look.heads_BTHS.shape[2]


def _layer(look: Look, row: int, aligned: Callable[[Tensor], Alignment]) -> LayerAttention:
    heads = () if look.heads_BTHS is None else look.heads_BTHS[row].unbind(1)
    return LayerAttention(aligned(look.weights_BTS[row]), tuple(map(aligned, heads)))
