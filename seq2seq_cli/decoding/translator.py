"""From lines of text to hypotheses, and to the scores of given translations."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from math import isfinite
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from seq2seq_cli.config.loading import decoding_with, load
from seq2seq_cli.config.sections import DecodingConfig
from seq2seq_cli.config.whole import Config
from seq2seq_cli.data.batching import inputs_of, target_of
from seq2seq_cli.data.subword import BOS, END, EOS, PAD, SPACE, UNK, UNKNOWN, Subwords
from seq2seq_cli.decoding.hypothesis import Alignment, Hypothesis
from seq2seq_cli.decoding.likeliest import Limits
from seq2seq_cli.decoding.posterior import posterior_weights
from seq2seq_cli.decoding.search import Result, SearchState, beam, greedy, length_normalised, sample
from seq2seq_cli.decoding.state import ModelState, Watched
from seq2seq_cli.device import Precision, choose_device, choose_search_precision
from seq2seq_cli.errors import ConfigError, DataError, UnsearchableError
from seq2seq_cli.files import expanded
from seq2seq_cli.model.build import build, local_radius
from seq2seq_cli.model.maps import Pass
from seq2seq_cli.model.seq2seq import Seq2Seq
from seq2seq_cli.model.weights import load_best
from seq2seq_cli.runs import Run, open_run
from seq2seq_cli.wording import counted

Watch = Callable[[int, int], None]
"""Hears, before each step of a search, how many lines are translated and of how many; what it raises ends the work."""


@dataclass(frozen=True)
class Sampling:
    """Drawing translations at random instead of searching for the best: from p^(1/temperature), among the ``top_k``
    likeliest tokens (0: all).

    What is drawn for a line depends on ``seed`` and on its number, ``first`` being that of the first line, and not on
    the lines around it.
    """

    temperature: float = 1.0
    top_k: int = 0
    seed: int = 1
    first: int = 0


@dataclass(frozen=True)
class Translator:
    """A trained model with its tokenizers.

    >>> Translator.load("runs/x").translate(["Ein Satz."])
    ['A sentence.']
    """

    model: Seq2Seq
    subwords: Subwords
    config: Config
    device: torch.device
    precision: Precision

    @classmethod
    def load(cls, run: str | Path | None = None, device: str = "auto", precision: str = "auto") -> Translator:
        """The best model of a run directory (None: the newest under ``runs/``).

        Raises RunError where there is none, it is damaged, or its weights have another shape than its
        configuration says. Never executes code from the run.
        """
        opened = open_run(None if run is None else expanded(run))
        return cls.of(opened, load(opened.config), device, precision)

    @classmethod
    def of(cls, run: Run, config: Config, device: str = "auto", precision: str = "auto") -> Translator:
        """The best model of a run that is open, and whose configuration was read. Raises what ``load`` does."""
        subwords = Subwords.load(run, config.subword.joint)
        chosen = choose_device(device, "--device")
        ends = subwords.src.ending(config.attention.segment_marks)
        model = build(config, len(subwords.src), len(subwords.tgt), ends)
        load_best(model, run)
        return cls(model.to(chosen).eval(), subwords, config, chosen, choose_search_precision(precision, chosen))

    @cached_property
    def _run(self) -> Pass:
        """What is made ready of the weights for every search."""
        with self.precision.autocast(self.device):
            return self.model.new_pass(stepping=True, in_int8=self.precision.name == "int8")

    def translate(self, lines: Sequence[str], decoding: DecodingConfig | None = None) -> list[str]:
        """The best translation of each line, in order; an empty line for an empty line."""
        return [hypotheses[0].text for hypotheses in self.hypotheses(lines, decoding)]

    def hypotheses(
        self,
        lines: Sequence[str],
        decoding: DecodingConfig | None = None,
        sampling: Sampling | None = None,
        replace_unknown: bool = False,
        most_pieces: int | None = None,
        watch: Watch | None = None,
    ) -> list[list[Hypothesis]]:
        """Up to ``decoding.beam`` translations of each line, best first, in the order of the lines; one at least.

        ``decoding``: the run's own where None. ``replace_unknown``: each ``<unk>`` becomes the source word it
        attended to most. A line without a word has one empty hypothesis, and so has one of more than ``most_pieces``. Raises
        UnsearchableError where the model gives no probabilities that are numbers, ConfigError for settings that no file may
        hold.
        """
        settings = decoding_with(decoding or self.config.decoding, {})
        sources = self.subwords.src.encode(list(lines))
        results: list[list[Hypothesis]] = [[nothing()] for _ in sources]
        done = 0
        lengths = [len(ids) if most_pieces is None or len(ids) <= most_pieces else 0 for ids in sources]
        for indices in _batches(lengths, settings):
            batch = [sources[i] for i in indices]
            look = None if watch is None else partial(watch, done, len(sources))
            found = self._search(batch, settings, sampling, indices, look)
            done += len(indices)
            for i, row in zip(indices, range(len(batch)), strict=True):
                results[i] = self._read(found, row, batch[row], lines[i], replace_unknown)
        return results

    def score(
        self,
        sources: Sequence[str],
        targets: Sequence[str],
        alpha: float | None = None,
        posterior: bool = False,
        head: int | None = None,
    ) -> list[Hypothesis]:
        """Given translations, scored by forced decoding as the search would score them, with their alignments: the
        weights of the attention or, with ``posterior``, those of ``posterior_weights``; ``head`` as for ``score_pieces``.
        Alignments call unknown pieces as the lines do."""
        scored = self.score_pieces(sources, self.subwords.tgt.encode(list(targets)), alpha, posterior, head)
        return [self._labelled(hypothesis, line) for hypothesis, line in zip(scored, targets, strict=True)]

    def _labelled(self, hypothesis: Hypothesis, line: str) -> Hypothesis:
        if hypothesis.alignment is None or UNKNOWN not in hypothesis.pieces:
            return hypothesis
        pieces = (*self.subwords.tgt.written_pieces(line), END)
        return replace(hypothesis, alignment=replace(hypothesis.alignment, target_pieces=pieces))

    @torch.inference_mode()
    def score_pieces(
        self,
        sources: Sequence[str],
        targets: Sequence[Sequence[int]],
        alpha: float | None = None,
        posterior: bool = False,
        head: int | None = None,
    ) -> list[Hypothesis]:
        """As ``score``, of translations given as piece ids without ``</s>``. ``head``: the weights of that one alone, 0 the
        first, where attention has several.

        Raises DataError where there are not as many targets as sources, ConfigError where there is no such head, or ``alpha`` is out of range.
        """
        if len(sources) != len(targets):
            raise DataError(f"{counted(len(sources), 'source line')} but {counted(len(targets), 'translation')}.")
        searched = decoding_with(self.config.decoding, {"length_penalty": alpha}, {"length_penalty": "alpha"})
        encoded = self.subwords.src.encode(list(sources))
        lengths = [max(len(s), len(t)) for s, t in zip(encoded, targets, strict=True)]
        results: list[Hypothesis | None] = [None] * len(encoded)
        for indices in _batches(lengths, replace_beam(self.config.decoding, 1), keep_empty=True):
            batch = [encoded[i] for i in indices], [list(targets[i]) for i in indices]
            scored = self._score_batch([sources[i] for i in indices], *batch, searched.length_penalty, posterior, head)
            for i, hypothesis in zip(indices, scored, strict=True):
                results[i] = hypothesis
        return [hypothesis for hypothesis in results if hypothesis is not None]

    def _score_batch(
        self,
        lines: list[str],
        sources: list[list[int]],
        targets: list[list[int]],
        alpha: float,
        posterior: bool,
        head: int | None,
    ) -> list[Hypothesis]:
        inputs, target = inputs_of(sources).to(self.device), target_of(targets).to(self.device)
        with self.precision.autocast(self.device):
            run = self.model.new_pass()
            forced = self.model.forced(target, self.model.start(inputs, run), run)
            log_prob_B, look = forced.log_probs(), forced.output.shown
            weights_BTS = look.weights_BTS if head is None else _of_head(look.heads_BTHS, head)
            if posterior:
                weights_BTS = posterior_weights(replace(forced, run=self.model.new_pass(stepping=True)))
        scored = []
        rows = zip(lines, sources, targets, log_prob_B.tolist(), strict=True)
        for row, (line, src, tgt, log_prob) in enumerate(rows):
            _require_numbers([log_prob])
            steps = len(tgt) + 1
            centre_T = None if look.centre_BT is None else look.centre_BT[row, :steps]
            alignment = self._alignment(line, src, tgt, weights_BTS[row, :steps], centre_T)
            text = self.subwords.tgt.decode(tgt)
            score = length_normalised(log_prob, steps, alpha)
            scored.append(Hypothesis(text, tuple(self.subwords.tgt.pieces(tgt)), log_prob, score, alignment))
        return scored

    @torch.inference_mode()
    def _search(
        self,
        sources: list[list[int]],
        settings: DecodingConfig,
        sampling: Sampling | None,
        numbers: list[int],
        look: Callable[[], None] | None,
    ) -> Result:
        inputs = inputs_of(sources).to(self.device)
        longest = [settings.max_length or longest_translation(len(ids)) for ids in sources]
        limits = Limits(
            bos=BOS,
            eos=EOS,
            banned=(PAD, BOS),
            min_length=settings.min_length,
            max_length_N=torch.tensor(longest, device=self.device).clamp(min=settings.min_length),
        )
        with self.precision.autocast(self.device):
            state: SearchState = ModelState.start(self.model, self._run, inputs)
            if look is not None:
                state = Watched(state, look)
            if sampling is not None:
                draws = [np.random.default_rng((sampling.seed, sampling.first + number)) for number in numbers]
                return sample(state, limits, settings.length_penalty, sampling.temperature, sampling.top_k, draws)
            if settings.beam == 1:
                return greedy(state, limits, settings.length_penalty)
            return beam(state, limits, settings.length_penalty, settings.beam)

    def _read(self, result: Result, row: int, source: list[int], line: str, replace_unknown: bool) -> list[Hypothesis]:
        hypotheses = []
        _require_numbers([found.log_prob for found in result.hypotheses[row]])
        for found in result.hypotheses[row]:
            alignment = self._alignment(line, source, found.tokens, *result.attention(found))
            pieces = tuple(self.subwords.tgt.pieces(found.tokens))
            if replace_unknown and UNK in found.tokens and alignment is not None:
                text = self._replace_unknown(found.tokens, alignment, line)
            else:
                text = self.subwords.tgt.decode(found.tokens)
            hypotheses.append(Hypothesis(text, pieces, found.log_prob, found.score, alignment))
        return hypotheses

    def _replace_unknown(self, target: list[int], alignment: Alignment, line: str) -> str:
        """The text with each unknown piece replaced by the source word it attended to most."""
        written = self.subwords.src.written_pieces(line)
        starts = [i for i, piece in enumerate(written) if i == 0 or piece.startswith(SPACE)]
        words = ["".join(written[i:j]) for i, j in zip(starts, [*starts[1:], len(written)], strict=True)]
        # Where pieces are whole words, an unknown one is so too; elsewhere the piece before it says where a word ends.
        before = SPACE if self.config.subword.type == "word" else ""
        pieces = self.subwords.tgt.pieces(target)
        for step, position in enumerate(alignment.weights_TS[: len(target), :-1].argmax(1)):
            if target[step] == UNK:
                pieces[step] = before + words[bisect_right(starts, position) - 1].removeprefix(SPACE)
        return self.subwords.tgt.text(pieces)

    def _alignment(
        self, line: str, source: list[int], target: list[int], weights_TS: Tensor, centre_T: Tensor | None
    ) -> Alignment | None:
        if weights_TS.shape[-1] == 0:
            return None
        read = self.subwords.src
        return Alignment(
            source_pieces=(*(read.written_pieces(line) if UNK in source else read.pieces(source)), END),
            target_pieces=(*self.subwords.tgt.pieces(target), END),
            weights_TS=weights_TS[:, : len(source) + 1].float().cpu().numpy(),
            centre_T=None if centre_T is None else centre_T.float().cpu().numpy(),
            radius=local_radius(self.config.attention),
        )


def _of_head(heads_BTHS: Tensor | None, head: int) -> Tensor:
    heads = 0 if heads_BTHS is None else heads_BTHS.shape[2]
    if heads_BTHS is None or not 0 <= head < heads:
        has = f"has {heads} heads" if heads else "has no heads of which one could be shown"
        raise ConfigError(f"there is no head {head + 1}: this model's attention {has}.", "--head")
    return heads_BTHS[:, :, head]


def _require_numbers(log_probs: Sequence[float]) -> None:
    if not log_probs or not all(map(isfinite, log_probs)):
        hint = "Its weights are spoilt. Train it anew, with a lower learning rate."
        raise UnsearchableError("this model gives no probabilities that are numbers.", None, hint)


def longest_translation(pieces: int) -> int:
    """How many pieces a translation may have where nothing else is said."""
    return min(2 * pieces + 20, pieces + 200)


def nothing() -> Hypothesis:
    """The translation of a line without a word."""
    return Hypothesis("", (), 0.0, 0.0, None)


def replace_beam(decoding: DecodingConfig, beam: int) -> DecodingConfig:
    """The same settings with another beam."""
    return decoding.model_copy(update={"beam": beam})


def _batches(lengths: Sequence[int], settings: DecodingConfig, keep_empty: bool = False) -> Iterator[list[int]]:
    """Row numbers of sentences of similar length, longest first, ``settings.batch_tokens`` at a time."""
    # What attention reads of a sentence takes the room of another hypothesis.
    width = settings.beam + 1
    order = sorted((i for i, n in enumerate(lengths) if n or keep_empty), key=lambda i: -lengths[i])
    batch: list[int] = []
    for i in order:
        if batch and (len(batch) + 1) * (lengths[batch[0]] + 1) * width > settings.batch_tokens:
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch
