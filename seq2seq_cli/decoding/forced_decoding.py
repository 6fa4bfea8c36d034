"""Translations that are given: read by forced decoding, for their probabilities and for where the model looks in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import isfinite
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np
import torch

from seq2seq_cli.config.whole import Config
from seq2seq_cli.data.batching import inputs_of, target_of
from seq2seq_cli.data.neighbours import Seen
from seq2seq_cli.data.subword import Subwords
from seq2seq_cli.decoding.attentions import AttentionLayers, LayerLooks
from seq2seq_cli.decoding.batches import even_batches, square_batches
from seq2seq_cli.decoding.hypothesis import Attentions, Hypothesis, LayerAttention, Origin
from seq2seq_cli.decoding.posterior import posterior_weights
from seq2seq_cli.decoding.search import Trace, length_normalised
from seq2seq_cli.decoding.sentences import Sentence
from seq2seq_cli.decoding.sharing import Check, Compute, compute_all
from seq2seq_cli.decoding.spelling import Spelling
from seq2seq_cli.device import Precision
from seq2seq_cli.errors import UnsearchableError
from seq2seq_cli.inputs import Inputs
from seq2seq_cli.model.forced import Forced
from seq2seq_cli.model.maps import Pass
from seq2seq_cli.model.seq2seq import Seq2Seq
from seq2seq_cli.model.types import SHOWN

if TYPE_CHECKING:
    from seq2seq_cli.decoding.recalling import OpenMemory

T = TypeVar("T")


@dataclass(frozen=True)
class Scoring:
    """How given translations are scored, and what is made of them besides.

    ``alpha``: of the length penalty (None: the run's own). ``text`` and ``alignment`` as in ``Details``. An alignment
    shows the attention weights; with ``posterior``, `posterior_weights` instead. ``by_layer``: also the alignment of each
    layer of the decoder, as the means of the ``attentions``' ``cross``.
    """

    alpha: float | None = None
    text: bool = True
    alignment: bool = True
    posterior: bool = False
    by_layer: bool = False


DEFAULT_SCORING = Scoring()
MOST_WEIGHTS = 8_000_000
"""Most attention weights, of all layers and heads, that are looked at at once: 32 MiB."""


@dataclass(frozen=True)
class ForcedDecoder:
    """A trained model that reads what is given: the sentences, their translations, and the sentences before."""

    model: Seq2Seq
    subwords: Subwords
    config: Config
    device: torch.device
    precision: Precision

    @cached_property
    def prepared(self) -> Pass:
        """What is made of the weights once, for every search; by one thread, before the others read it."""
        with self.precision.autocast(self.device):
            return self.model.new_pass(stepping=True, in_int8=self.precision.name == "int8")

    @property
    def cores(self) -> int:
        """How many cores share the batches: as many as torch may use. A GPU takes one batch after another."""
        return torch.get_num_threads() if self.device.type == "cpu" else 1

    def piece_log_probs(self, sentences: Sequence[Sentence], hypotheses: Sequence[Hypothesis]) -> list[np.ndarray]:
        """The natural log-probability of each piece of each hypothesis, one for each of the sentences, given all pieces before
        it, and of ``</s>``: by forced decoding over the whole vocabulary, however it was found."""
        pairs, run = self._pairs(sentences, hypotheses), self.prepared

        def compute(batch: list[int], check: Check) -> list[np.ndarray]:
            check()
            return self._piece_log_probs([pairs[i] for i in batch], run)

        return self._in_order(compute, self._read_alike(pairs))

    def _in_order(self, compute: Compute[T], batches: Sequence[list[int]]) -> list[T]:
        """What ``compute`` makes of every item of the batches, in the order of their numbers."""
        found = compute_all(compute, batches, self.cores, lambda _: None)
        return [found[i] for i in range(len(found))]

    def _forced(self, pairs: Sequence[Pair], run: Pass) -> Forced:
        """These translations, to be read in the pass ``run``. (In the precision that is entered.)"""
        inputs = self.inputs([pair.source for pair in pairs])
        target = target_of([pair.target for pair in pairs]).to(self.device)
        return self.model.forced(target, self.model.start(inputs, run), run)

    @torch.inference_mode()
    def _piece_log_probs(self, pairs: list[Pair], run: Pass) -> list[np.ndarray]:
        with self.precision.autocast(self.device):
            log_prob_BT = self._forced(pairs, run).log_probs_by_step()
        steps = zip(log_prob_BT.float().cpu().numpy(), pairs, strict=True)
        return [log_prob_T[: len(pair.target) + 1] for log_prob_T, pair in steps]

    @cached_property
    def attention_layers(self) -> AttentionLayers:
        """The layers and heads of this model that have attention weights."""
        looks, _ = self._layer_looks([Pair(Sentence("", []), [])], self.prepared.inwards())
        return looks.layers(self.config.attention.layer_of(self.config.model), self.config.model.decoder)

    def looked_into(
        self, sentences: Sequence[Sentence], hypotheses: Sequence[Hypothesis], within: bool = True
    ) -> list[Hypothesis]:
        """The same hypotheses, one for each of the sentences, with their ``attentions``. The search keeps what one layer looks
        at; so they are read once more, by forced decoding, in which every layer looks where it looked in the search.
        Unless ``within``, without self-attention."""
        if not hypotheses:
            return []
        pairs = self._pairs(sentences, hypotheses)
        run = self.prepared.inwards() if within else self.prepared

        def compute(batch: list[int], check: Check) -> list[Hypothesis]:
            check()
            looks, places = self._layer_looks([pairs[i] for i in batch], run)
            spellings = {
                place: Spelling(self.subwords, self.config, sentences[i])
                for i, place in zip(batch, places, strict=True)
            }
            within = {place: looks.within_source(place, spelling) for place, spelling in spellings.items()}
            looked = []
            for row, (i, place) in enumerate(zip(batch, places, strict=True)):
                known = hypotheses[i].alignment  # in which unknown pieces may be spelled as in a line that was given
                pieces = hypotheses[i].pieces if known is None else known.target_pieces[:-1]
                attentions = looks.attentions(row, pieces, spellings[place], within[place])
                looked.append(replace(hypotheses[i], attentions=attentions))
            return looked

        return self._in_order(compute, self._read_together(pairs))

    def with_origins(
        self, memory: OpenMemory, sentences: Sequence[Sentence], hypotheses: Sequence[Hypothesis]
    ) -> list[Hypothesis]:
        """The same hypotheses, one for each of the sentences, with their ``origins`` in the memory. A hypothesis of a sentence
        without pieces has none."""
        if not hypotheses:
            return []
        pairs, run = self._pairs(sentences, hypotheses), self.prepared

        def compute(batch: list[int], check: Check) -> list[Hypothesis]:
            check()
            told = self._origins(memory, [pairs[i] for i in batch], run)
            return [replace(hypotheses[i], origins=origins) for i, origins in zip(batch, told, strict=True)]

        return self._in_order(compute, self._read_alike(pairs))

    @torch.inference_mode()
    def _origins(self, memory: OpenMemory, pairs: list[Pair], run: Pass) -> list[tuple[Origin, ...]]:
        with self.precision.autocast(self.device):
            return memory.origins(self._forced(pairs, run), self.subwords.tgt)

    def _pairs(self, sentences: Sequence[Sentence], hypotheses: Sequence[Hypothesis]) -> list[Pair]:
        return [
            Pair(sentence, self.subwords.tgt.ids(list(one.pieces)))
            for sentence, one in zip(sentences, hypotheses, strict=True)
        ]

    def _read_alike(self, pairs: Sequence[Pair]) -> list[list[int]]:
        """The numbers of the pairs that are read at once, with the weights of the last layer alone."""
        return even_batches([pair.longest for pair in pairs], self.config.decoding.with_beam(1))

    def _read_together(self, pairs: Sequence[Pair]) -> list[list[int]]:
        """The numbers of the pairs that are read at once, with the weights of all layers and heads in memory."""
        return square_batches(
            [pair.longest + 1 for pair in pairs], MOST_WEIGHTS // max(1, self.attention_layers.weights())
        )

    @torch.inference_mode()
    def _layer_looks(self, pairs: list[Pair], run: Pass) -> tuple[LayerLooks, list[int]]:
        """Where each layer looks when it reads these translations, and the row of each one's source: a sentence that several
        of them translate is encoded once."""
        sentences = {id(pair.source): pair.source for pair in pairs}
        numbers = {one: number for number, one in enumerate(sentences)}
        places = [numbers[id(pair.source)] for pair in pairs]
        inputs = self.inputs(list(sentences.values()))
        target = target_of([pair.target for pair in pairs]).to(self.device)
        with self.precision.autocast(self.device):
            sources = self.model.encode(inputs, run)
            start = self.model.begin(sources, run).select(torch.tensor(places, device=self.device))
            forced = self.model.forced(target, start, run)
            looks = LayerLooks.of_layers(forced.output.looks, sources[SHOWN], run.inward)
        return looks, places

    def inputs(self, sentences: Sequence[Sentence]) -> Inputs:
        """What the model is given: the sentences, and those before them, if there are any."""
        sources, context = [sentence.ids for sentence in sentences], self.config.reads_before
        if context is None or not any(sentence.before for sentence in sentences):
            return inputs_of(sources).to(self.device)
        seen = Seen.of([sentence.before for sentence in sentences], context.sentences, context.back.decoder)
        return inputs_of(sources, seen, context.back.joins).to(self.device)

    def length(self, sentence: Sentence) -> int:
        """How many pieces the encoder reads of a sentence."""
        return len(sentence.ids) + (sentence.pieces_before if self.config.model.back.joins else 0)

    def score(self, pairs: Sequence[Pair], scoring: Scoring, alpha: float) -> list[Hypothesis]:
        """The pairs, scored as the search would score them with the length penalty ``alpha``."""

        def compute(batch: list[int], check: Check) -> list[Hypothesis]:
            return self._score_batch([pairs[i] for i in batch], scoring, alpha, check)

        return self._in_order(compute, self._read_alike(pairs))

    @torch.inference_mode()
    def _score_batch(self, pairs: list[Pair], scoring: Scoring, alpha: float, check: Check) -> list[Hypothesis]:
        with self.precision.autocast(self.device):
            forced = self._forced(pairs, self.model.new_pass())
            log_prob_B, every = forced.log_probs(), forced.output.looks
            of_source = [layer for layer, look in enumerate(every) if SHOWN in look]
            layers = of_source if scoring.by_layer else [self.model.decoder.shown]
            looks = [every[layer][SHOWN] for layer in layers]
            weights = [look.weights_BTS for look in looks]
            if scoring.alignment and scoring.posterior:
                weights = posterior_weights(replace(forced, run=self.model.new_pass(stepping=True)), layers, check)
        scored = []
        for row, (pair, log_prob) in enumerate(zip(pairs, log_prob_B.tolist(), strict=True)):
            steps = len(pair.target) + 1
            traces = {}
            for layer, look, weights_BTS in zip(layers, looks, weights, strict=True):
                centre_T = None if look.centre_BT is None else look.centre_BT[row, :steps]
                traces[layer] = Trace(weights_BTS[row, :steps], centre_T)
            scored.append(self._scored(pair, log_prob, traces, scoring, alpha))
        return scored

    def _scored(
        self, pair: Pair, log_prob: float, traces: Mapping[int, Trace], scoring: Scoring, alpha: float
    ) -> Hypothesis:
        """What is made of a pair, given the ``traces`` of its layers."""
        require_numbers([log_prob])
        pieces = tuple(self.subwords.tgt.pieces(pair.target))
        spelling = Spelling(self.subwords, self.config, pair.source)
        every = (
            [LayerAttention(spelling.aligned(pieces, trace)) for trace in traces.values()] if scoring.by_layer else []
        )
        shown = traces[self.model.decoder.shown]
        return Hypothesis(
            text=spelling.text(pair.target) if scoring.text else "",
            pieces=pieces,
            log_prob=log_prob,
            score=length_normalised(log_prob, len(pieces) + 1, alpha),
            alignment=spelling.alignment(pieces, shown) if scoring.alignment else None,
            attentions=Attentions(tuple(every), (), ()) if scoring.by_layer else None,
        )


class Pair(NamedTuple):
    """A sentence and a translation of it, as piece ids without ``</s>``."""

    source: Sentence
    target: list[int]

    @property
    def longest(self) -> int:
        return max(len(self.source.ids) + self.source.pieces_before, len(self.target))


def require_numbers(log_probs: Sequence[float]) -> None:
    """Raises UnsearchableError unless there are log-probabilities, and all of them are numbers."""
    if not log_probs or not all(map(isfinite, log_probs)):
        hint = "Its weights are spoilt. Train it anew, with a lower learning rate."
        raise UnsearchableError("this model gives no probabilities that are numbers.", None, hint)
