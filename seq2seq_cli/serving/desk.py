"""From a question to its answer: what may be asked, which worker translates, how the answer is written."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import replace
from importlib.metadata import version
from typing import Any, NamedTuple

from seq2seq_cli.config.loading import decoding_with
from seq2seq_cli.config.sections import DecodingConfig
from seq2seq_cli.data.preceding import previous_lines
from seq2seq_cli.decoding.documents import InContext, lines_before
from seq2seq_cli.decoding.hypothesis import Hypothesis, Role
from seq2seq_cli.decoding.sentences import Details, Sentence
from seq2seq_cli.errors import suggestion
from seq2seq_cli.report.views import TranslationView
from seq2seq_cli.serving.limits import BATCH_TOKENS, MAX_PIECES, MAX_TEXT, MAX_WEIGHTS
from seq2seq_cli.serving.messages import Health, LayerHeads, Question, RunDescription, Runs
from seq2seq_cli.serving.models import Served
from seq2seq_cli.serving.refusals import RefusedError
from seq2seq_cli.serving.worker import Search, Worker
from seq2seq_cli.wording import counted

Job = Future[list[list[Hypothesis]]]
"""Translations that are waited for."""


class Desk:
    """Takes questions about the served runs, at most ``queue`` at a time, and lets the worker answer them."""

    def __init__(self, served: Sequence[Served], worker: Worker, queue: int) -> None:
        self.served = {each.name: each for each in served}
        self.worker = worker
        self.queue = queue
        self.waiting = 0

    async def answer(self, question: Question) -> bytes:
        """The answer as JSON. If this is cancelled or fails, sentences that have not been begun are dropped.

        Raises RefusedError: 422 for a question about what is not served, that contradicts itself or asks too much; 503
        where too many are waiting.
        """
        if self.waiting >= self.queue:
            raise RefusedError(503, f"{self.waiting} requests are waiting already. Try again soon.", limit=self.queue)
        self.waiting += 1
        jobs: list[Job] = []
        try:
            runs = self._runs(question)
            _check_options(question)
            # In a thread, like everything that would hold up the event loop.
            read = await asyncio.to_thread(_tokenised, runs, question)
            _check_size(question, runs, read)
            pairs = zip(runs, read, strict=True)
            found = await asyncio.gather(*(self._found(run, sentences, question, jobs) for run, sentences in pairs))
            answered = [_Answered(*each) for each in zip(runs, read, found, strict=True)]
            return await asyncio.to_thread(_write, question, answered)
        finally:
            for job in jobs:
                job.cancel()
            self.waiting -= 1

    async def _found(
        self, run: Served, sentences: Sequence[Sentence], question: Question, jobs: list[Job]
    ) -> list[list[Hypothesis]]:
        """The translations of each sentence; of a document, with those before it. ``jobs`` gets what is waited for."""
        search, context = Search(run.name, _settings(run, question)), run.translator.config.reads_before

        async def together(some: Sequence[Sentence]) -> list[list[Hypothesis]]:
            jobs.append(self.worker.submit(search, some))
            return await asyncio.wrap_future(jobs[-1])

        if context is None or not question.document:
            return await together(sentences)
        before = lines_before(previous_lines([sentence.line for sentence in sentences]), context.sentences)
        text = InContext(sentences, before, context, {})
        if not context.back.decoder:
            return await together([text.of(row) for row in range(len(sentences))])
        found: list[list[Hypothesis]] = []
        for row in range(len(sentences)):  # each waits for the translations before it
            found += await together([text.of(row)])
            pieces = run.translator.subwords.tgt.ids(list(found[row][0].pieces))
            text = replace(text, said={**text.said, row: tuple(pieces)})
        return found

    def health(self) -> Health:
        """That the server is alive, and how busy it is."""
        return Health(version=version("seq2seq-cli"), waiting=self.waiting)

    def runs(self) -> Runs:
        """The runs that are served."""
        return Runs(runs=[_describe(run) for run in self.served.values()])

    def _runs(self, question: Question) -> list[Served]:
        names = question.runs or list(self.served)
        if len(set(names)) < len(names):
            raise RefusedError(422, "a run is named more than once.", "runs")
        return [self._run(name) for name in names]

    def _run(self, name: str) -> Served:
        if name not in self.served:
            hint = suggestion(name, self.served) or f"Served: {', '.join(self.served)}."
            raise RefusedError(422, f"no run of this name is served. {hint}", "runs")
        return self.served[name]


def _describe(run: Served) -> RunDescription:
    config = run.translator.config
    return RunDescription(
        name=run.name,
        attention=config.attention.kind,
        system=config.system,
        src=run.src,
        tgt=run.tgt,
        precision=run.translator.precision.name,
        beam=config.decoding.beam,
        layers=LayerHeads.model_validate(run.translator.attention_layers.to_json()),
        memory=run.memory,
        trained_on=config.data.max_length,
        terms=0 if (terms := run.translator.glossary) is None else len(terms.glossary.terms) - len(terms.unwritable),
        calibrated=run.calibrated,
        context=config.model.context,
    )


def _check_options(question: Question) -> None:
    if question.layers and not question.alignment:
        raise RefusedError(422, "layers are part of an alignment. Ask for that as well.", "layers")
    if question.examples and not question.alignment:
        raise RefusedError(422, "examples are told with an alignment. Ask for that as well.", "examples")
    if question.beam is not None and question.beam < question.nbest:
        what = f"{question.nbest} translations need a beam of at least as many, not {question.beam}."
        raise RefusedError(422, what, "nbest", question.beam)


def _settings(run: Served, question: Question) -> DecodingConfig:
    """The settings with which ``seq2seq translate`` would search, given the same options."""
    decoding = run.translator.config.decoding
    beam = question.beam or max(question.nbest, decoding.beam)
    return decoding_with(decoding, {"beam": beam, "batch_tokens": min(BATCH_TOKENS, decoding.batch_tokens)})


def _tokenised(runs: Sequence[Served], question: Question) -> list[list[Sentence]]:
    """The sentences as tokenised by each run. Raises RefusedError where one has too many pieces."""
    details = Details(
        best=question.nbest, alignment=question.alignment, attentions=question.layers, origins=question.examples
    )
    read = [
        run.translator.sentences(
            question.sentences,
            replace(
                details,
                attentions=question.layers or _shows_back(run, question),
                confidence=question.confidence and run.calibrated,
            ),
        )
        for run in runs
    ]
    for run, sentences in zip(runs, read, strict=True):
        for sentence in sentences:
            if len(sentence.ids) > MAX_PIECES:
                what = f"{counted(len(sentence.ids), 'piece')} to {run.name}; it takes {MAX_PIECES} at a time."
                raise RefusedError(422, what, f"sentences[{sentence.number}]", MAX_PIECES)
    return read


def _shows_back(run: Served, question: Question) -> bool:
    """Whether the answer tells where a model looked in the sentences before."""
    return question.document and question.alignment and run.translator.config.reads_before is not None


def _check_size(question: Question, runs: Sequence[Served], read: list[list[Sentence]]) -> None:
    """Raises RefusedError where the answer might become too large: a translation can be twice as long as its source."""
    if question.alignment:
        power, limit, of = 2, MAX_WEIGHTS, "squares of the pieces"
    else:
        power, limit, of = 1, MAX_TEXT, "pieces"
    each = [_weights(run, question) for run in runs]
    if question.layers:
        of += " times layers and heads"
    elif any(_shows_back(run, question) for run in runs):
        of += " times the sentences that are looked at"
    sizes = [sum(len(sentence.ids) ** power for sentence in sentences) for sentences in read]
    size = sum(weights * one for weights, one in zip(each, sizes, strict=True))
    if size > limit:
        what = f"{of} of all sentences for all runs, times nbest, are {size:,}; it takes {limit:,} at a time."
        raise RefusedError(422, what, "sentences", limit)


def _weights(run: Served, question: Question) -> int:
    """How many weights a pair of words of a sentence has in all of its translations, about."""
    weights = question.nbest
    if question.layers:
        weights = max(weights, run.translator.attention_layers.weights(question.nbest))
    if not _shows_back(run, question):
        return weights
    return weights + question.nbest * 2 * run.translator.config.context.numbers.sentences


class _Answered(NamedTuple):
    """A run's hypotheses of each sentence."""

    run: Served
    sentences: list[Sentence]
    found: list[list[Hypothesis]]


def _write(question: Question, answered: Sequence[_Answered]) -> bytes:
    answers = [
        {
            "run": run.name,
            "sentences": [
                _sentence([_translation(question, run, sentence.line, each) for each in hypotheses])
                | _warning(run, len(sentence.ids))
                for sentence, hypotheses in zip(sentences, found, strict=True)
            ],
        }
        for run, sentences, found in answered
    ]
    return json.dumps({"answers": answers}, ensure_ascii=False, allow_nan=False).encode()


def _sentence(translations: list[dict[str, Any]]) -> dict[str, object]:
    """The translations of a sentence; where the source looked in itself, which is the same for all, is told once."""
    layers = [each["alignment"]["layers"] for each in translations if "layers" in each.get("alignment", {})]
    itself = [each.pop(Role.ITSELF) for each in layers]
    return {"translations": translations} | ({Role.ITSELF.value: itself[0]} if itself else {})


def _translation(question: Question, run: Served, sentence: str, hypothesis: Hypothesis) -> dict[str, Any]:
    told: dict[str, Any] = {"text": hypothesis.text, "score": hypothesis.score}
    if hypothesis.confidence is not None:
        told["confidence"] = hypothesis.confidence.to_json()
    if question.alignment:
        told["alignment"] = TranslationView.of(run.name, sentence, hypothesis, question.layers).to_json()
    return told


def _warning(run: Served, size: int) -> dict[str, object]:
    limit = run.translator.config.data.max_length
    return {"warning": f"{size} pieces; the model was trained on at most {limit}."} if size > limit else {}
