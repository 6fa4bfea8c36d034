"""A whole run, from text to a tested model: the one function behind ``seq2seq train``."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch

from seq2seq_cli.config.whole import Config
from seq2seq_cli.data.corpora import find_corpus
from seq2seq_cli.data.prepare import Prepared, Report, silent
from seq2seq_cli.data.subword import Subword, Subwords
from seq2seq_cli.device import choose_device, choose_processes, set_threads
from seq2seq_cli.evaluation.metrics import require_tokenizer
from seq2seq_cli.evaluation.systems import Evaluation
from seq2seq_cli.model.products import CHOSEN
from seq2seq_cli.ranks import ALONE, Ranks
from seq2seq_cli.report.pictures import Pictures
from seq2seq_cli.runs import RUNS, Run, beginning_of
from seq2seq_cli.siblings import siblings
from seq2seq_cli.signals import Stopped
from seq2seq_cli.training.change import Change
from seq2seq_cli.training.closing import Averaged, Closing, Following, LeftOut
from seq2seq_cli.training.dev import dev_alignments, dev_evaluator, too_long
from seq2seq_cli.training.directory import (
    check_directory,
    check_same_settings,
    check_same_text,
    conclude,
    describe,
    differences,
    empty,
    sole_training,
)
from seq2seq_cli.training.interruption import CutShort, Interruption
from seq2seq_cli.training.limit import Deadline, OutOfTimeError, sitting_seconds
from seq2seq_cli.training.loop import Evaluate, train
from seq2seq_cli.training.progress import Diverged, Event
from seq2seq_cli.training.recorders import Checkpoints, Log, Metrics, Recorder, TensorBoard
from seq2seq_cli.training.sitting import Sitting, prepared_text, with_vocabulary
from seq2seq_cli.training.start import check_start, starting_vocabulary

__all__ = ["Averaged", "Begun", "Following", "Happening", "LeftOut", "default_run", "experiment"]

PICTURES = 6
"""Dev sentences whose alignments are drawn at the end."""


@dataclass(frozen=True)
class Begun:
    """The data is ready and the model is built. ``notes`` are sentences worth telling the user; ``best`` is the best
    score so far, of a resumed run. Each of the ``processes`` has as many ``threads``."""

    run: Run
    notes: list[str]
    train_pairs: int
    dev_pairs: int
    vocabulary: int
    parameters: int
    device: str
    precision: str
    processes: int
    threads: int
    resumed_at: int
    best: float | None

    @classmethod
    def of(cls, sitting: Sitting, notes: list[str]) -> Begun:
        """From a sitting before its first step; ``notes`` are those about where it begins."""
        prepared, learner, progress = sitting.prepared, sitting.learner, sitting.progress
        why = sitting.tokenizer.why
        scored_with = [f"BLEU counts the tokens of sacreBLEU's {why}."] if why else []
        how = f", {CHOSEN}" if learner.device.type == "cpu" else ""
        return cls(
            run=sitting.run,
            notes=[*prepared.notes, *scored_with, *too_long(prepared.dev), *notes],
            train_pairs=len(prepared.train),
            dev_pairs=len(prepared.dev),
            vocabulary=len(prepared.subwords.tgt),
            parameters=learner.model.parameter_count(),
            device=str(learner.device),
            precision=f"{learner.precision.name} ({learner.precision.reason}){how}",
            processes=sitting.ranks.size,
            threads=torch.get_num_threads(),
            resumed_at=progress.step,
            best=progress.best_score,
        )


Happening = Begun | Event | Following | Averaged | Evaluation | Change | Pictures | LeftOut
"""What an experiment yields."""


def default_run(config: Config) -> Path:
    """The directory of a run that was given no name: ``runs/CORPUS-KIND``, with the name of the model before the kind if it is
    not made of RNNs; the objective is appended if training starts
    from another run."""
    objective = "" if config.objective.from_run is None else f"-{config.objective.kind}"
    corpus = beginning_of(find_corpus(config.data).name)
    return RUNS / f"{corpus}-{config.system}{objective}"


def experiment(
    config: Config,
    directory: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    report: Report = silent,
    ranks: Ranks = ALONE,
    began: float | None = None,
) -> Iterator[Happening]:
    """Prepare, train, choose on dev, test once, draw: yields what happened, as it happens.

    >>> from seq2seq_cli.config.loading import from_dict
    >>> config = from_dict({"attention": {"kind": "bahdanau"}, "training": {"max_minutes": 10}})
    >>> for event in experiment(config, "runs/mine"):
    ...     print(event)

    Training goes on as long as events are asked for. Each checkpoint on the way is whole: with ``resume`` a run that was
    stopped comes to the same weights, bit for bit, as one that never was.

    ``report`` hears of what takes long, before training and after it, and at each look at dev. Under
    ``training.max_minutes`` what follows training takes at most a tenth of them more; ``began``, by the monotonic clock: when
    the command did, whose loading then counts as well (None: now).

    Of several processes the first one reads and writes the run directory and yields; the others train along. They are
    started here, as many as ``training.processes`` says, unless ``torchrun`` has started them (``ranks``). A job of
    ``torchrun`` that had begun the run before one of its processes died, and was started again, resumes by itself.

    The first signal that asks to end (``signals.STOPPING``) ends training after the update under way, and all else at
    once: ``last`` is saved, and Stopped, a KeyboardInterrupt, raised. Raises RunError where ``directory`` (default: named
    after corpus and kind) holds a run and neither ``resume`` nor ``overwrite`` is set, is being trained in by another
    process or cannot be written, and where training diverges again and again; ConfigError and DataError where a resumed run
    is to go on with other settings or text.
    """
    began = time.monotonic() if began is None else began
    threads = set_threads(config.training.threads)
    # Problems are reported before the text is prepared, which may take long.
    device = choose_device(config.training.device)
    choose_processes(config.training, device, threads, ranks, None)
    if config.evaluation.tokenizer != "auto":
        require_tokenizer(config.evaluation.tokenizer)
    run = Run(Path(directory or default_run(config)))
    if not ranks.first:
        _train_along(config, run, threads, ranks)
        return
    if ranks.begun:
        resume, overwrite = run.config.is_file(), False
    check_directory(run, resume, overwrite)
    if resume:
        check_same_settings(run, config)
    else:
        check_start(run, config)
    with Interruption() as interruption:
        preparing = time.monotonic()
        prepared = _prepared(run, config, resume, threads, report)
        began += time.monotonic() - preparing
        with sole_training(run), _together(config, run, threads, ranks, prepared) as all_ranks:
            all_ranks.tell((prepared.subwords.src.model, prepared.subwords.tgt.model))
            sitting = Sitting.untrained(config, run, prepared, all_ranks, interruption, report)
            check_directory(run, resume, overwrite)  # another process may have begun it in the meantime
            if overwrite:
                empty(run)
            yield from _happenings(sitting, resume, began)


def _happenings(sitting: Sitting, resume: bool, began: float) -> Iterator[Happening]:
    """What happens from the first write into the run directory onwards."""
    run, config = sitting.run, sitting.config
    sitting.ranks.note_begun()
    run.sweep()
    run.checkpoints.mkdir(exist_ok=True)
    notes = [*sitting.resume(), *differences(sitting)] if resume else sitting.begin()
    describe(sitting)
    deadline = Deadline(began + sitting_seconds(config.training, sitting.progress))
    # Scores at the end of an earlier sitting are not those of the weights that this one will end with.
    for path in (run.evaluation, run.change):
        path.unlink(missing_ok=True)
    yield Begun.of(sitting, notes)

    sitting.tell_state()
    evaluate = dev_evaluator(sitting)
    recorders = _recorders(sitting)
    for event in _training(sitting, evaluate):
        for recorder in recorders:
            recorder.record(event)
        yield event
        if sitting.is_stopped:
            sitting.save()
            raise Stopped(sitting.interruption.number)

    yield from Closing(sitting, evaluate, deadline).happenings(PICTURES)
    conclude(run)


def _recorders(sitting: Sitting) -> list[Recorder]:
    """The recorders of a sitting. Checkpoints come last, so that the others have recorded everything a checkpoint
    holds."""
    drawn = [TensorBoard(sitting, dev_alignments(sitting))] if sitting.config.training.tensorboard else []
    return [Metrics(sitting.run, sitting.progress), Log(sitting.run), *drawn, Checkpoints(sitting)]


def _training(sitting: Sitting, evaluate: Evaluate) -> Iterator[Event]:
    """Train to the end, going back where training diverges. If an evaluation is cut short, ``last`` is saved."""
    with sitting.interruption.held():
        on = True
        while on:
            on = False
            try:
                for event in _updates(sitting, evaluate):
                    if isinstance(event, Diverged):
                        on = True
                        yield sitting.go_back(event)
                    else:
                        yield event
            except CutShort:
                sitting.save()
                raise


def _updates(sitting: Sitting, evaluate: Evaluate) -> Iterator[Event | Diverged]:
    """Train from where the sitting is until training is over or diverges."""
    looking = sitting.interruption.let_through(evaluate)
    return train(sitting.learner, sitting.prepared.train, sitting.config.training, sitting.progress, looking)


def _prepared(run: Run, config: Config, resume: bool, threads: int, report: Report) -> Prepared:
    """The text of ``config``. For a resumed run it is tokenised as before, even if today's SentencePiece would do it
    differently."""
    begun = resume and run.info.is_file()
    prepared = prepared_text(config, threads, report, starting_vocabulary(run, config, begun))
    if not begun:
        return prepared
    check_same_text(run, prepared)
    return with_vocabulary(prepared, Subwords.load(run, config.subword.joint), config, threads, report)


class _Work(NamedTuple):
    """What a process that this one has started must know."""

    config: Config
    directory: Path
    threads: int


@contextmanager
def _together(config: Config, run: Run, threads: int, ranks: Ranks, prepared: Prepared) -> Iterator[Ranks]:
    """``ranks``; or this process and others, started here, that share the ``threads``, where that is the setting or
    pays."""
    device, pairs = choose_device(config.training.device), len(prepared.train)
    processes = choose_processes(config.training, device, threads, ranks, pairs)
    if processes == 1:
        yield ranks
        return
    with siblings(processes - 1, train_beside) as several:
        each = set_threads(max(1, threads // processes))
        several.tell(_Work(config, run.directory, each))
        yield several


def train_beside(ranks: Ranks) -> None:
    """What a process does that the first one has started."""
    config, directory, threads = ranks.tell(_Work(Config(), Path(), 1))
    _train_along(config, Run(directory), set_threads(threads), ranks)


def _train_along(config: Config, run: Run, threads: int, ranks: Ranks) -> None:
    """What a process other than the first does. The first tells it the vocabulary, once the text is prepared, and where
    to train from. Raises Stopped where any process is interrupted."""
    with Interruption() as interruption:
        subwords = _vocabulary(*ranks.tell((b"", b"")))
        given = None if config.objective.from_run is None else subwords
        prepared = with_vocabulary(prepared_text(config, threads, subwords=given), subwords, config, threads)
        sitting = Sitting.untrained(config, run, prepared, ranks, interruption, silent)
        evaluate = dev_evaluator(sitting)
        sitting.hear_state()
        with interruption.held():
            on = True
            while on:
                on = False
                for event in _updates(sitting, evaluate):
                    if isinstance(event, Diverged):
                        on = True
                        sitting.hear_state()
                    if sitting.is_stopped:
                        raise Stopped(interruption.number)
        if ranks.tell(False):
            sitting.hear_state()
            with suppress(OutOfTimeError):
                evaluate(sitting.learner.model.eval())


def _vocabulary(src: bytes, tgt: bytes) -> Subwords:
    both = Subword(src)
    return Subwords(both, both if src == tgt else Subword(tgt))
