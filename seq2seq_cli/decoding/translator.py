"""From lines of text to hypotheses, and to the scores of given translations."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from seq2seq_cli.config.loading import decoding_with, load
from seq2seq_cli.config.sections import DecodingConfig
from seq2seq_cli.config.whole import Config
from seq2seq_cli.data.glossary import Glossary
from seq2seq_cli.data.preceding import previous_lines
from seq2seq_cli.data.shortlist import Likeliest
from seq2seq_cli.data.subword import BOS, END, EOS, PAD, UNK, UNKNOWN, Subwords
from seq2seq_cli.data.text import clean
from seq2seq_cli.decoding.attentions import AttentionLayers
from seq2seq_cli.decoding.batches import even_batches
from seq2seq_cli.decoding.confidence import Calibration, Confidence, calibration_of
from seq2seq_cli.decoding.documents import InContext, lines_before
from seq2seq_cli.decoding.forced_decoding import DEFAULT_SCORING, ForcedDecoder, Pair, Scoring, require_numbers
from seq2seq_cli.decoding.hypothesis import Attentions, Hypothesis, LayerAttention
from seq2seq_cli.decoding.likeliest import Limits
from seq2seq_cli.decoding.obligations import Obligations, width_of
from seq2seq_cli.decoding.search import Result, beam, greedy, sample
from seq2seq_cli.decoding.sentences import BEST_TEXT, EVERYTHING, Details, Sentence
from seq2seq_cli.decoding.sharing import Check, compute_all
from seq2seq_cli.decoding.shortlist import shortlist_of
from seq2seq_cli.decoding.spelling import Spelling
from seq2seq_cli.decoding.state import ModelState, Watched
from seq2seq_cli.decoding.term_pieces import TermPieces
from seq2seq_cli.device import Precision, choose_device, choose_search_precision
from seq2seq_cli.errors import ConfigError, DataError, UserError
from seq2seq_cli.files import expanded
from seq2seq_cli.model.build import build
from seq2seq_cli.model.maps import Pass
from seq2seq_cli.model.seq2seq import Seq2Seq
from seq2seq_cli.model.weights import load_best
from seq2seq_cli.runs import Run, open_run
from seq2seq_cli.wording import counted

if TYPE_CHECKING:
    from seq2seq_cli.decoding.recalling import OpenMemory

Watch = Callable[[int, int], None]
"""A callback that hears, again and again while a search is under way, how many lines are translated and how many there
are; always in the thread that asked for the search. If it raises, the work ends."""


Tell = Callable[[Sequence[Sentence], Sequence[Hypothesis]], list[Hypothesis]]
"""The same hypotheses, one for each of the sentences, with something that is told of them besides."""
T = TypeVar("T")

Decoding = DecodingConfig | Mapping[str, int | float | None]
"""All settings of a search, or those to change from the run's own, as ``{"beam": 1}``."""


@dataclass(frozen=True)
class Sampling:
    """Drawing translations at random instead of searching for the best: from p^(1/temperature), among the ``top_k``
    likeliest tokens (0: all).

    What is drawn for a line depends on ``seed`` and on the line's number, and not on the lines around it (unless there
    is a shortlist, which is that of all lines of a batch).
    """

    temperature: float = 1.0
    top_k: int = 0
    seed: int = 1


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
    run: Run | None = None
    """Where it comes from. A translator that comes from no run searches without a shortlist, whatever the settings say."""
    glossary: TermPieces | None = None
    """The terms that its translations obey."""
    memory: OpenMemory | None = None
    """Whose neighbours take part in its probabilities: see `remembering`."""

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
        """The best model of an open run whose configuration has been read. Raises what ``load`` does."""
        subwords = Subwords.load(run, config.subword.joint)
        chosen = choose_device(device, "--device")
        ends = subwords.src.ending(config.attention.segment_marks)
        model = build(config, len(subwords.src), len(subwords.tgt), ends, drawn=False)
        load_best(model, run)
        return cls(model.to(chosen).eval(), subwords, config, chosen, choose_search_precision(precision, chosen), run)

    def obeying(self, glossary: Glossary) -> Translator:
        """The same, whose translations hold the terms of ``glossary`` as it says. Those of lines without such terms are the
        same as before."""
        return replace(self, glossary=TermPieces(glossary, self.subwords.tgt))

    @property
    def glossary_remarks(self) -> list[str]:
        """What is to be said of terms that cannot be written."""
        return [] if self.glossary is None else self.glossary.remarks()

    def remembering(self, memory: OpenMemory) -> Translator:
        """The same, with probabilities in which the neighbours of a memory take part: in searches and scores alike. The memory
        must be of this model (`recalling.open_memory` sees to that)."""
        # Not above: it would take time at the start of every command.
        from seq2seq_cli.neighbours.readout import RecallingReadout

        readout = RecallingReadout(self.model.readout, memory.recall)
        return replace(self, model=self.model.read_out_by(readout), memory=memory)

    @cached_property
    def forced_decoder(self) -> ForcedDecoder:
        """The same model, which reads translations that are given."""
        return ForcedDecoder(self.model, self.subwords, self.config, self.device, self.precision)

    @property
    def attention_layers(self) -> AttentionLayers:
        """The layers and heads of this model that have attention weights."""
        return self.forced_decoder.attention_layers

    @cached_property
    def _likeliest(self) -> Likeliest | None:
        return None if self.run is None else shortlist_of(self.run, self.config, self.subwords)

    @cached_property
    def calibration(self) -> Calibration:
        """How sure its translations may be. Raises what `calibration_of` does, and UserError where a memory takes part."""
        if self.memory is not None:
            what = "how sure a run is has been learned without a memory: it does not hold for translations with one."
            raise UserError(what, hint="Leave out the memory or the confidence.")
        if self.run is None:
            raise UserError("a model of no run is not calibrated: it does not know how sure it is.")
        return calibration_of(self.run)

    def get_ready(self, decoding: DecodingConfig) -> None:
        """Load, or make, what a search with these settings needs besides the model, which it would otherwise do itself.
        Raises what `shortlist_of` does."""
        if decoding.shortlist:
            _ = self._likeliest

    def translate(self, lines: Sequence[str], decoding: Decoding | None = None, document: bool = False) -> list[str]:
        """The best translation of each line, in order; an empty line for an empty line. ``document``: whether the lines are a
        text, parted by empty lines, in which a model that reads the sentences before sees the lines before. ``decoding`` and
        errors as for `search`."""
        sentences, context = self.sentences(lines, BEST_TEXT), self.config.reads_before
        if not document or context is None:
            return [hypotheses[0].text for hypotheses in self.search(sentences, decoding)]
        text = InContext(sentences, lines_before(previous_lines(lines), context.sentences), context, {})
        _, found = text.translated(range(len(lines)), lambda part: self.search(part, decoding), self.subwords.tgt)
        return [hypotheses[0].text for hypotheses in found]

    def hypotheses(
        self,
        lines: Sequence[str],
        decoding: Decoding | None = None,
        sampling: Sampling | None = None,
        replace_unknown: bool = False,
    ) -> list[list[Hypothesis]]:
        """Up to ``decoding.beam`` translations of each line, best first, in the order of the lines, with everything
        that is known of each. `search` makes only what it is asked for. ``replace_unknown`` as in ``Details``."""
        return self.search(self.sentences(lines, Details(replace_unknown=replace_unknown)), decoding, sampling)

    def sentences(self, lines: Sequence[str], details: Details = EVERYTHING, first: int = 0) -> list[Sentence]:
        """The lines, tokenised. ``first`` is the number of the first line. Raises DataError for a text that is not in lines."""
        _require_lines(lines)
        encoded = zip(lines, self.subwords.src.encode(list(lines)), strict=True)
        return [Sentence(line, ids, details, number) for number, (line, ids) in enumerate(encoded, start=first)]

    def search(
        self,
        sentences: Sequence[Sentence],
        decoding: Decoding | None = None,
        sampling: Sampling | None = None,
        watch: Watch | None = None,
    ) -> list[list[Hypothesis]]:
        """Translations of each sentence, best first, at least one, with the details that the sentence asks for.

        ``decoding``: the settings (None: the run's own). A sentence without pieces has one empty hypothesis. Raises
        UnsearchableError where the probabilities of the model are NaN, ConfigError for settings that no configuration
        file may hold, and for sentences with constraints that are to be drawn.
        """
        settings = self._settings(decoding)
        sentences = self._bound(sentences)
        if sampling is not None and any(sentence.constraints for sentence in sentences):
            raise ConfigError("translations that must hold terms are searched for; none are drawn.", "glossary")
        results: list[list[Hypothesis]] = [[nothing()] for _ in sentences]
        places = [i for i, sentence in enumerate(sentences) if sentence.ids]
        self.get_ready(settings)
        reader = self.forced_decoder
        run = reader.prepared  # made here, once, not by each thread

        def compute(batch: list[int], check: Check) -> list[list[Hypothesis]]:
            together = [sentences[places[i]] for i in batch]
            found = self._search(run, together, settings, sampling, check)
            return [self._hypotheses(found, row, sentence) for row, sentence in enumerate(together)]

        searched = [sentences[i] for i in places]
        cut = _batches(searched, list(map(reader.length, searched)), settings)
        hear = (lambda _: None) if watch is None else lambda done: watch(done, len(sentences))
        for i, hypotheses in compute_all(compute, cut, reader.cores, hear).items():
            results[places[i]] = hypotheses
        every, wanted = range(len(sentences)), [sentence.details for sentence in sentences]
        more: list[tuple[list[int], Tell]] = [
            ([i for i in places if wanted[i].attentions], reader.looked_into),
            ([i for i in every if wanted[i].confidence], self.with_confidence),
        ]
        if self.memory is not None:
            more.append(([i for i in places if wanted[i].origins], partial(reader.with_origins, self.memory)))
        for asked, tell in more:
            told = iter(
                tell([sentences[i] for i in asked for _ in results[i]], [one for i in asked for one in results[i]])
            )
            for i in asked:
                results[i] = list(islice(told, len(results[i])))
        return results

    def _bound(self, sentences: Sequence[Sentence]) -> list[Sentence]:
        """The sentences with what their translations must hold, found only now: lines that are too long for a search are not
        looked through for terms."""
        glossary = self.glossary
        if glossary is None:
            return list(sentences)
        return [
            replace(one, constraints=glossary.constraints(one.line)) if one.ids and one.constraints is None else one
            for one in sentences
        ]

    def with_confidence(self, sentences: Sequence[Sentence], hypotheses: Sequence[Hypothesis]) -> list[Hypothesis]:
        """The same hypotheses, one for each of the sentences, with their ``confidence``."""
        if not hypotheses:
            return []
        calibration, rated = self.calibration, []
        log_probs = self.forced_decoder.piece_log_probs(sentences, hypotheses)
        for sentence, one, own in zip(sentences, hypotheses, log_probs, strict=True):
            confidence = calibration.rated(one.pieces, own) if clean(sentence.line) else Confidence(1.0)
            rated.append(replace(one, confidence=confidence))
        return rated

    def _settings(self, decoding: Decoding | None) -> DecodingConfig:
        if decoding is None or isinstance(decoding, DecodingConfig):
            return decoding_with(decoding or self.config.decoding, {})
        return decoding_with(self.config.decoding, decoding, {name: name for name in decoding})

    def score(
        self,
        sources: Sequence[str],
        targets: Sequence[str],
        scoring: Scoring = DEFAULT_SCORING,
        previous: Sequence[int] | None = None,
        rows: Sequence[int] | None = None,
    ) -> list[Hypothesis]:
        """Given translations, scored by forced decoding as the search would score them. In alignments, unknown pieces
        are spelled as in the lines. ``previous`` and ``rows`` as for `score_pieces`, which raises what this does."""
        for lines in (sources, targets):
            _require_lines(lines)
        scored = self.score_pieces(sources, self.subwords.tgt.encode(list(targets)), scoring, previous, rows)
        lines = targets if rows is None else [targets[row] for row in rows]
        return [self._labelled(hypothesis, line) for hypothesis, line in zip(scored, lines, strict=True)]

    def _labelled(self, hypothesis: Hypothesis, line: str) -> Hypothesis:
        if hypothesis.alignment is None or UNKNOWN not in hypothesis.pieces:
            return hypothesis
        pieces = (*self.subwords.tgt.written_pieces(line), END)
        attentions = hypothesis.attentions
        if attentions is not None:
            cross = (LayerAttention(replace(layer.mean, target_pieces=pieces)) for layer in attentions.cross)
            attentions = Attentions(tuple(cross), (), ())
        labelled = replace(hypothesis.alignment, target_pieces=pieces)
        return replace(hypothesis, alignment=labelled, attentions=attentions)

    def score_pieces(
        self,
        sources: Sequence[str],
        targets: Sequence[Sequence[int]],
        scoring: Scoring = DEFAULT_SCORING,
        previous: Sequence[int] | None = None,
        rows: Sequence[int] | None = None,
    ) -> list[Hypothesis]:
        """As ``score``, for translations given as piece ids without ``</s>``. ``previous``: for each line the number of the line
        before it in its document (-1: none), which a model that looks back sees with its given translation. ``rows``: which
        lines are scored (None: all).

        Raises DataError where there are not as many targets as sources, ConfigError where ``alpha`` is out of range.
        """
        if len(sources) != len(targets):
            raise DataError(f"{counted(len(sources), 'source line')} but {counted(len(targets), 'translation')}.")
        given = {} if scoring.alpha is None else {"length_penalty": scoring.alpha}
        alpha = decoding_with(self.config.decoding, given, {"length_penalty": "alpha"}).length_penalty
        sentences = self.in_given_context(self.sentences(sources), targets, previous)
        chosen = range(len(sentences)) if rows is None else rows
        return self.forced_decoder.score([Pair(sentences[row], list(targets[row])) for row in chosen], scoring, alpha)

    def in_given_context(
        self, sentences: Sequence[Sentence], targets: Sequence[Sequence[int]], previous: Sequence[int] | None
    ) -> Sequence[Sentence]:
        """Sentences with those before them, which have been translated to ``targets``; ``previous`` as for `score_pieces`."""
        context = self.config.reads_before
        if context is None or previous is None:
            return sentences
        said = {line: tuple(ids) for line, ids in enumerate(targets)}
        text = InContext(sentences, lines_before(previous, context.sentences), context, said)
        return [text.of(row) for row in range(len(sentences))]

    @torch.inference_mode()
    def _search(
        self,
        run: Pass,
        sentences: list[Sentence],
        settings: DecodingConfig,
        sampling: Sampling | None,
        check: Check,
    ) -> Result:
        sources = [sentence.ids for sentence in sentences]
        inputs = self.forced_decoder.inputs(sentences)
        longest = [settings.max_length or longest_translation(len(ids)) for ids in sources]
        obligations = None
        if self.glossary is not None and sentences[0].constraints:
            obligations = Obligations([one.constraints or () for one in sentences], self.glossary.joints)
        also = list(() if obligations is None else obligations.tokens)
        if self.config.model.copy:
            also += chain.from_iterable(map(self._copied_from, sentences))
        tokens_C = self._shortlist(sources, settings.shortlist, also)
        limits = Limits(
            bos=BOS,
            eos=EOS,
            banned=(PAD, BOS) if tokens_C is None else (PAD, BOS, len(tokens_C)),
            min_length=settings.min_length,
            max_length_N=torch.tensor(longest, device=self.device).clamp(min=settings.min_length),
        )
        with self.precision.autocast(self.device):
            state = Watched(ModelState.start(self.model, run, inputs, tokens_C), check)
            if sampling is not None:
                draws = [np.random.default_rng((sampling.seed, sentence.number)) for sentence in sentences]
                found = sample(state, limits, settings.length_penalty, sampling.temperature, sampling.top_k, draws)
            elif obligations is not None:
                found = obligations.search(state, limits, settings, tokens_C)
            elif settings.beam == 1:
                found = greedy(state, limits, settings.length_penalty)
            else:
                found = beam(state, limits, settings.length_penalty, settings.beam)
        if tokens_C is None:
            return found
        # The token that stands for all others is drawn only where probabilities are NaN, which is told afterwards.
        return found.renamed(nn.functional.pad(tokens_C, (0, 1), value=UNK))

    def _shortlist(self, sources: Sequence[Sequence[int]], count: int, also: Sequence[int]) -> Tensor | None:
        """The tokens to search among, which begin with the special ones; None for the whole vocabulary."""
        if not count or self._likeliest is None:
            return None
        tokens = self._likeliest.among(sources, count, also)
        return torch.from_numpy(tokens).to(self.device) if len(tokens) < len(self.subwords.tgt) else None

    def _copied_from(self, sentence: Sentence) -> Iterator[int]:
        """The pieces that a translation may copy: those of the whole source that attention reads."""
        yield from sentence.ids
        if self.config.model.back.joins:
            yield from chain.from_iterable(one.src for one in sentence.before)

    def _hypotheses(self, result: Result, row: int, sentence: Sentence) -> list[Hypothesis]:
        found, details = result.hypotheses[row], sentence.details
        require_numbers([one.log_prob for one in found])
        spelling = Spelling(self.subwords, self.config, sentence)
        hypotheses = []
        for one in found[: details.best]:
            looks_up = details.replace_unknown and UNK in one.tokens
            trace = result.attention(one) if details.alignment or looks_up else None
            pieces = tuple(self.subwords.tgt.pieces(one.tokens))
            text = spelling.text(one.tokens, trace if looks_up else None) if details.text else ""
            alignment = spelling.alignment(pieces, trace) if details.alignment and trace is not None else None
            hypotheses.append(Hypothesis(text, pieces, one.log_prob, one.score, alignment))
        return hypotheses


def _batches(sentences: Sequence[Sentence], lengths: Sequence[int], settings: DecodingConfig) -> list[list[int]]:
    """Which sentences, read as so many pieces, are searched together. Those with constraints, whose beams may be wider, are
    apart from the others: these are searched as if they were alone."""
    cut = []
    for bound in (False, True):
        own = settings.with_beam(width_of(settings)) if bound else settings
        numbers = [i for i, sentence in enumerate(sentences) if bool(sentence.constraints) == bound]
        batches = even_batches([lengths[i] for i in numbers], own)
        cut += [[numbers[i] for i in batch] for batch in batches]
    return cut


def longest_translation(pieces: int) -> int:
    """Most pieces of a translation of a source of ``pieces`` pieces, where no setting says otherwise."""
    return min(2 * pieces + 20, pieces + 200)


def _require_lines(lines: Sequence[str]) -> None:
    if isinstance(lines, str):  # a sequence of characters
        raise DataError("a text where a list of lines is meant.", None, 'Put it into a list: ["..."].')


def nothing() -> Hypothesis:
    """The translation of a line without a word."""
    return Hypothesis("", (), 0.0, 0.0, None)
