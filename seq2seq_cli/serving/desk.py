"""From a question to its answer: what it may ask, who translates, how it is written down."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from concurrent.futures import Future
from importlib.metadata import version

from seq2seq_cli.config.loading import decoding_with
from seq2seq_cli.config.sections import DecodingConfig
from seq2seq_cli.decoding.hypothesis import Hypothesis
from seq2seq_cli.errors import suggestion
from seq2seq_cli.report.views import TranslationView
from seq2seq_cli.serving.limits import BATCH_TOKENS, MAX_PIECES, MAX_TEXT, MAX_WEIGHTS
from seq2seq_cli.serving.messages import Health, Question, RunDescription, Runs
from seq2seq_cli.serving.models import Served
from seq2seq_cli.serving.refusals import RefusedError
from seq2seq_cli.serving.worker import Search, Worker
from seq2seq_cli.wording import counted


class Desk:
    """Takes questions about the served runs, at most ``queue`` at a time, and has the worker answer them."""

    def __init__(self, served: Sequence[Served], worker: Worker, queue: int) -> None:
        self.served = {each.name: each for each in served}
        self.worker = worker
        self.queue = queue
        self.waiting = 0

    async def answer(self, question: Question) -> bytes:
        """The answer as JSON. When it is cancelled or fails, what has not begun of it never does.

        Raises RefusedError: 422 for what is not served, contradicts itself or is too much, 503 where too many wait.
        """
        if self.waiting >= self.queue:
            raise RefusedError(503, f"{self.waiting} requests are waiting already. Try again soon.", limit=self.queue)
        self.waiting += 1
        jobs: list[Future[list[list[Hypothesis]]]] = []
        try:
            runs = self._runs(question)
            _check_beam(question)
            # Beside the event loop, as all that takes more than a moment.
            sizes = await asyncio.to_thread(_sizes, runs, question.sentences)
            _check_size(question, sizes)
            for run, sizes_of_run in zip(runs, sizes, strict=True):
                search = Search(run.name, _settings(run, question))
                jobs.append(self.worker.submit(search, question.sentences, sizes_of_run))
            found = await asyncio.gather(*map(asyncio.wrap_future, jobs))
            return await asyncio.to_thread(_write, question, runs, sizes, found)
        finally:
            for job in jobs:
                job.cancel()
            self.waiting -= 1

    def health(self) -> Health:
        """That it is alive, and how busy."""
        return Health(version=version("seq2seq-cli"), waiting=self.waiting)

    def runs(self) -> Runs:
        """What is served."""
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
        src=run.src,
        tgt=run.tgt,
        precision=run.translator.precision.name,
        beam=config.decoding.beam,
        trained_on=config.data.max_length,
    )


def _check_beam(question: Question) -> None:
    if question.beam is not None and question.beam < question.nbest:
        what = f"{question.nbest} translations need a beam of at least as many, not {question.beam}."
        raise RefusedError(422, what, "nbest", question.beam)


def _settings(run: Served, question: Question) -> DecodingConfig:
    """As ``seq2seq translate`` searches with the same options."""
    decoding = run.translator.config.decoding
    beam = question.beam or max(question.nbest, decoding.beam)
    return decoding_with(decoding, {"beam": beam, "batch_tokens": min(BATCH_TOKENS, decoding.batch_tokens)})


def _sizes(runs: Sequence[Served], sentences: list[str]) -> list[list[int]]:
    """Pieces of each sentence, for each run. Raises RefusedError where there are too many."""
    sizes = [[len(ids) for ids in run.translator.subwords.src.encode(sentences)] for run in runs]
    for run, sizes_of_run in zip(runs, sizes, strict=True):
        for number, size in enumerate(sizes_of_run):
            if size > MAX_PIECES:
                what = f"{counted(size, 'piece')} to {run.name}; it takes {MAX_PIECES} at a time."
                raise RefusedError(422, what, f"sentences[{number}]", MAX_PIECES)
    return sizes


def _check_size(question: Question, sizes: list[list[int]]) -> None:
    """Raises RefusedError where the answer could become too large. A translation can be as long as its source, or twice."""
    if question.alignment:
        power, limit, of = 2, MAX_WEIGHTS, "squares of the pieces"
    else:
        power, limit, of = 1, MAX_TEXT, "pieces"
    size = question.nbest * sum(pieces**power for sizes_of_run in sizes for pieces in sizes_of_run)
    if size > limit:
        what = f"{of} of all sentences for all runs, times nbest, are {size:,}; it takes {limit:,} at a time."
        raise RefusedError(422, what, "sentences", limit)


def _write(
    question: Question, runs: Sequence[Served], sizes: list[list[int]], found: Sequence[list[list[Hypothesis]]]
) -> bytes:
    answers = [
        {
            "run": run.name,
            "sentences": [
                {"translations": [_translation(question, run, sentence, each) for each in hypotheses[: question.nbest]]}
                | _warning(run, size)
                for sentence, size, hypotheses in zip(question.sentences, sizes_of_run, found_of_run, strict=True)
            ],
        }
        for run, sizes_of_run, found_of_run in zip(runs, sizes, found, strict=True)
    ]
    return json.dumps({"answers": answers}, ensure_ascii=False, allow_nan=False).encode()


def _translation(question: Question, run: Served, sentence: str, hypothesis: Hypothesis) -> dict[str, object]:
    told: dict[str, object] = {"text": hypothesis.text, "score": hypothesis.score}
    if question.alignment:
        told["alignment"] = TranslationView.of(run.name, sentence, hypothesis).to_json()
    return told


def _warning(run: Served, size: int) -> dict[str, object]:
    limit = run.translator.config.data.max_length
    return {"warning": f"{size} pieces; the model was trained on at most {limit}."} if size > limit else {}
