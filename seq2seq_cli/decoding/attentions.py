"""Where every layer and head looked: which there are, and what each of them shows of one translation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from seq2seq_cli.decoding.hypothesis import Alignment, Attentions, LayerAttention
from seq2seq_cli.decoding.looking_back import Read, both_levels, in_front
from seq2seq_cli.decoding.search import Trace
from seq2seq_cli.decoding.spelling import Spelling
from seq2seq_cli.errors import ConfigError
from seq2seq_cli.model.layers.context import SAID
from seq2seq_cli.model.types import SHOWN, Look, Looks
from seq2seq_cli.wording import counted


class Picked(NamedTuple):
    """One layer, or one head of it (None: the mean of its heads), both counted from 0; of the encoder's self-attention if
    ``itself``, otherwise of the decoder's attention to the source."""

    itself: bool
    layer: int
    head: int | None

    def of(self, attentions: Attentions) -> Alignment:
        """What it looked at."""
        layer = (attentions.itself if self.itself else attentions.cross)[self.layer]
        return layer.mean if self.head is None else layer.heads[self.head]


@dataclass(frozen=True)
class AttentionLayers:
    """The layers that have attention weights, the bottom layer first, and how many heads each has (0: its weights are not
    those of heads): ``cross``, the decoder's, and ``itself``, the encoder's. ``shown``: the number of the decoder's layer
    that alignments show, from 1. ``recurrent``: whether the decoder is an RNN."""

    cross: tuple[int, ...]
    itself: tuple[int, ...]
    shown: int
    recurrent: bool

    @property
    def several(self) -> bool:
        """Whether there is anything to choose from."""
        return bool(self.itself) or len(self.cross) > 1 or any(self.cross)

    @property
    def weights(self) -> int:
        """How many weights a pair of pieces has, means included."""
        return sum(heads + 1 for heads in (*self.cross, *self.itself))

    def to_json(self) -> dict[str, object]:
        """Plain keys."""
        return {"cross_attention": list(self.cross), "self_attention": list(self.itself), "shown": self.shown}

    def pick(self, itself: bool, layer: int | None, head: int | None) -> Picked:
        """The layer and the head of these numbers, from 1. By default the layer is the one that is shown, or the encoder's
        last, and the head is the mean of all. Raises ConfigError where there is no such thing."""
        if itself and not self.itself:
            hint = "Leave out --self, or train a run with --encoder transformer."
            raise ConfigError("this model's encoder is an RNN, which has no self-attention.", "--self", hint)
        layers = self.itself if itself else self.cross
        number = len(layers) if itself else self.shown
        if layer is not None:
            require_layer(layer, len(layers), itself, self.recurrent)
            number = layer
        heads = layers[number - 1]
        if head is not None and not 1 <= head <= heads:
            whose = "self-attention" if itself else "attention"
            has = f"has {counted(heads, 'head')}" if heads else "has no heads of which one could be shown"
            hint = f"Name one from 1 to {heads}, or none for their mean." if heads else "Leave out --head."
            raise ConfigError(f"there is no head {head}: this model's {whose} {has}.", "--head", hint)
        return Picked(itself, number - 1, None if head is None else head - 1)

    def name(self, picked: Picked) -> str:
        """What was picked, for people: ``layer 2 of 4, head 1 of 8``."""
        layers = self.itself if picked.itself else self.cross
        heads = layers[picked.layer]
        parts = ["self-attention"] if picked.itself else []
        if len(layers) > 1:
            parts.append(f"layer {picked.layer + 1} of {len(layers)}")
        if heads:
            parts.append(f"mean of {heads} heads" if picked.head is None else f"head {picked.head + 1} of {heads}")
        return ", ".join(parts)


def require_layer(layer: int, layers: int, itself: bool, recurrent: bool) -> None:
    """Raises ConfigError unless ``layer``, counted from 1, is one of ``layers`` to choose from: of the encoder's
    self-attention if ``itself``, otherwise of a decoder, which may be ``recurrent``."""
    if not itself and recurrent:
        what = f"there is no layer {layer} to choose: this model's decoder is an RNN, which attends in one layer only."
        raise ConfigError(what, "--layer", "Leave out --layer.")
    if not 1 <= layer <= layers:
        whose = "encoder" if itself else "decoder"
        what = f"there is no layer {layer}: this model's {whose} has {counted(layers, 'layer')}."
        raise ConfigError(what, "--layer", f"Name one from 1, the bottom one, to {layers}.")


class LayerLooks(NamedTuple):
    """Where a batch looked: each layer of the decoder, and each layer of the encoder in the source itself; and where the
    encoder's states looked in the sentences before."""

    decoder: Sequence[Looks]
    encoder: Sequence[Look]
    back: Look | None = None

    @property
    def _cross(self) -> list[Look]:
        looks = [layer[SHOWN] for layer in self.decoder if SHOWN in layer]
        return [look for look in looks if look.weights_BTS.shape[-1]]

    def layers(self, shown: int, recurrent: bool) -> AttentionLayers:
        """The layers and heads that there are."""
        return AttentionLayers(tuple(map(_heads, self._cross)), tuple(map(_heads, self.encoder)), shown, recurrent)

    def attentions(self, row: int, target_pieces: Sequence[str], spelling: Spelling) -> Attentions:
        """What the layers looked at in row ``row``, whose steps wrote ``target_pieces`` and at last ``</s>``."""
        pieces, steps = tuple(target_pieces), len(target_pieces) + 1

        def across(look: Look) -> LayerAttention:
            centre_T = None if look.centre_BT is None else look.centre_BT[row, :steps]
            return _layer(look, row, lambda weights_TS: spelling.aligned(pieces, Trace(weights_TS[:steps], centre_T)))

        itself = tuple(_layer(look, row, spelling.of_itself) for look in self.encoder)
        back = tuple(self._back(row, pieces, spelling)) if spelling.sentence.before else ()
        return Attentions(tuple(map(across, self._cross)), itself, back)

    def _back(self, row: int, pieces: Sequence[str], spelling: Spelling) -> Iterator[Alignment]:
        """Where row ``row`` looked in the sentences before."""
        config, before = spelling.config, spelling.sentence.before
        sentences = config.context.numbers.sentences
        sources = [spelling.subwords.src.pieces(list(one.src)) for one in before]
        if config.model.back.joins:
            look = self.decoder[config.attention.layer_of(config.model) - 1][SHOWN]
            if look.weights_BTS.shape[-1]:
                yield in_front(look.weights_BTS[row], Read(pieces, sources))
        if self.back is not None and self.back.kept_BT is not None:
            yield both_levels(self.back, row, Read(spelling.source_pieces, sources), sentences, itself=True)
        said = self.decoder[-1].get(SAID)
        if said is not None and said.kept_BT is not None:
            # Step t of a translation, which reads what comes before piece t, is shown as that piece.
            told = [spelling.subwords.tgt.pieces(list(one.tgt)) for one in before]
            yield both_levels(said, row, Read(pieces, told), sentences, itself=False)


def _heads(look: Look) -> int:
    return 0 if look.heads_BTHS is None else look.heads_BTHS.shape[2]


def _layer(look: Look, row: int, aligned: Callable[[Tensor], Alignment]) -> LayerAttention:
    heads = () if look.heads_BTHS is None else look.heads_BTHS[row].unbind(1)
    return LayerAttention(aligned(look.weights_BTS[row]), tuple(map(aligned, heads)))
