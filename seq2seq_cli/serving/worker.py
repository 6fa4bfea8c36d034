"""One thread that owns the models. Sentences that wait are translated together, and every request has its turn."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import NamedTuple, Protocol

from seq2seq_cli.config.sections import DecodingConfig
from seq2seq_cli.decoding.batches import fit_together
from seq2seq_cli.decoding.hypothesis import Hypothesis
from seq2seq_cli.decoding.sentences import Sentence


class Searcher(Protocol):
    """What the worker needs of a model: `Translator.search`."""

    def search(self, sentences: Sequence[Sentence], decoding: DecodingConfig) -> list[list[Hypothesis]]:
        """The translations of each sentence."""
        ...


class Search(NamedTuple):
    """Which model searches, with which settings. Sentences whose searches are equal can share a batch."""

    run: str
    settings: DecodingConfig


@dataclass(eq=False)
class Job:
    """The sentences of one request for one run. The first ``begun`` of them have been taken into a batch."""

    search: Search
    sentences: Sequence[Sentence]
    begun: int = 0
    found: dict[int, list[Hypothesis]] = field(default_factory=dict)
    answer: Future[list[list[Hypothesis]]] = field(default_factory=Future)

    def waiting(self) -> Iterator[Place]:
        """The sentences that have not been taken into a batch yet."""
        return (Place(self, number) for number in range(self.begun, len(self.sentences)))

    def accept(self, number: int, hypotheses: list[Hypothesis]) -> None:
        """Store the translations of a sentence. With the last sentence the job is done."""
        self.found[number] = hypotheses
        if len(self.found) == len(self.sentences):
            with suppress(InvalidStateError):  # nobody waits for it any more
                self.answer.set_result([self.found[i] for i in range(len(self.sentences))])


class Place(NamedTuple):
    """A sentence of a job."""

    job: Job
    number: int

    @property
    def sentence(self) -> Sentence:
        return self.job.sentences[self.number]


class Worker:
    """Translates jobs, in one thread for all models, until it is closed.

    Whenever the thread is free, it takes the next batch from what waits: sentences of equal searches, one of each job
    in turn, as many as ``fit_together`` allows. So a single sentence is answered at once, many together are fast, and a
    request of many sentences does not hold up small ones behind it. A job whose ``answer`` is cancelled gets no further
    batch.
    """

    def __init__(self, models: Mapping[str, Searcher]) -> None:
        self.models = models
        self._jobs: deque[Job] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="translating", daemon=True)
        self._thread.start()

    def submit(self, search: Search, sentences: Sequence[Sentence]) -> Future[list[list[Hypothesis]]]:
        """A future of the translations of each sentence."""
        job = Job(search, sentences)
        if not sentences:
            job.answer.set_result([])
            return job.answer
        with self._changed:
            if self._closed:
                job.answer.cancel()
            else:
                self._jobs.append(job)
                self._changed.notify()
        return job.answer

    def close(self) -> None:
        """Finish the batch under way, drop what waits, and end the thread."""
        with self._changed:
            self._closed = True
            for job in self._jobs:
                job.answer.cancel()
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        while batch := self._next():
            search = batch[0].job.search
            try:
                found = self.models[search.run].search([place.sentence for place in batch], search.settings)
                # Checked before any is accepted: if some were missing, the others might go to the wrong sentences.
                answered = list(zip(batch, found, strict=True))
                for (job, number), hypotheses in answered:
                    job.accept(number, hypotheses)
            except Exception as problem:  # told to those it concerns; the others are still served
                for job, _ in batch:
                    with suppress(InvalidStateError):
                        job.answer.set_exception(problem)

    def _next(self) -> list[Place]:
        """Wait for the next batch and return it; an empty one when the worker is closed."""
        with self._changed:
            while True:
                self._jobs = deque(job for job in self._jobs if not job.answer.done())
                if self._jobs:
                    return self._gather()
                if self._closed:
                    return []
                self._changed.wait()

    def _gather(self) -> list[Place]:
        search = self._jobs[0].search
        alike = [job for job in self._jobs if job.search == search]
        batch: list[Place] = []
        longest = 0
        for place in _in_turn(alike):
            longest = max(longest, len(place.sentence.ids))
            if not fit_together(len(batch) + 1, longest, search.settings):
                break
            batch.append(place)
        for job, _ in batch:
            job.begun += 1
        # Jobs that have their turn now go to the end of the queue.
        others = [job for job in self._jobs if job.search != search]
        self._jobs = deque([*others, *(job for job in alike if job.begun < len(job.sentences))])
        return batch


def _in_turn(jobs: Sequence[Job]) -> Iterator[Place]:
    """The first sentence of each job, the second of each, and so on."""
    for round_ in zip_longest(*(job.waiting() for job in jobs)):
        yield from (place for place in round_ if place is not None)
