"""A whole run, from text to a tested model: the one function behind ``seq2seq train``."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from seq2seq_cli.config.whole import Config
from seq2seq_cli.data.corpora import find_corpus
from seq2seq_cli.data.prepare import Prepared
from seq2seq_cli.data.subword import Subwords
from seq2seq_cli.device import choose_device, set_threads
from seq2seq_cli.errors import RunError
from seq2seq_cli.evaluation.metrics import require_tokenizer
from seq2seq_cli.evaluation.systems import Evaluation
from seq2seq_cli.evaluation.tokenizers import Tokenizer
from seq2seq_cli.model.seq2seq import Seq2Seq
from seq2seq_cli.model.weights import restore, state_of
from seq2seq_cli.ranks import ALONE, Ranks
from seq2seq_cli.report.pictures import Pictures
from seq2seq_cli.runs import RUNS, Run, beginning_of, unwritable
from seq2seq_cli.signals import Stopped
from seq2seq_cli.training.change import Change
from seq2seq_cli.training.checkpoint import LastCheckpoint
from seq2seq_cli.training.closing import Averaged, Closing, Following, LeftOut
from seq2seq_cli.training.dev import dev_alignments, dev_evaluator, too_long
from seq2seq_cli.training.distributed import share_state, share_vocabulary, train_along
from seq2seq_cli.training.interruption import CutShort, Interruption
from seq2seq_cli.training.limit import Deadline, sitting_seconds
from seq2seq_cli.training.lock import sole_training
from seq2seq_cli.training.loop import SKIPPED_IN_A_ROW, DevScores, Learner, train
from seq2seq_cli.training.optim import AFTER_SETBACK
from seq2seq_cli.training.progress import Diverged, Event, Progress, WentBack
from seq2seq_cli.training.recorders import Checkpoints, Log, Metrics, Recorder, TensorBoard
from seq2seq_cli.training.setup import Report, dev_tokenizer, new_learner, prepared_text, with_vocabulary
from seq2seq_cli.training.sitting import (
    check_directory,
    check_same_settings,
    check_same_text,
    conclude,
    describe,
    differences,
)
from seq2seq_cli.training.start import begin, check_start, keep_start, starting_vocabulary

__all__ = ["Averaged", "Begun", "Following", "Happening", "LeftOut", "default_run", "experiment"]

PICTURES = 6
"""Dev sentences whose alignments are drawn at the end."""
MOST_SETBACKS = 3
"""How often training goes back to try a lower rate before it gives up."""


@dataclass(frozen=True)
class Begun:
    """Data ready, model built. ``notes`` are sentences worth telling the user; ``best`` is the best score of a
    resumed run so far."""

    run: Run
    notes: list[str]
    train_pairs: int
    dev_pairs: int
    vocabulary: int
    parameters: int
    device: str
    precision: str
    threads: int
    resumed_at: int
    best: float | None


Happening = Begun | Event | Following | Averaged | Evaluation | Change | Pictures | LeftOut
"""What an experiment yields."""


def default_run(config: Config) -> Path:
    """Where a run goes that nobody named: ``runs/CORPUS-KIND``, with the objective behind it where it starts from another."""
    objective = "" if config.objective.from_run is None else f"-{config.objective.kind}"
    corpus = beginning_of(find_corpus(config.data).name)
    return RUNS / f"{corpus}-{config.attention.kind}{objective}"


def experiment(
    config: Config,
    directory: Path | None,
    resume: bool,
    overwrite: bool,
    report: Report | None = None,
    ranks: Ranks = ALONE,
    began: float | None = None,
) -> Iterator[Happening]:
    """Prepare, train, choose on dev, test once, draw: yields what happened, as it happens.

    ``report`` hears of what takes long, before training and after it, and at each look at dev. Under
    ``training.max_minutes`` what follows training takes at most a tenth of them more; ``began``, by the monotonic clock: when
    the command did, whose loading then counts as well (None: now).

    Of several processes (``ranks``) the first one reads and writes the run directory and yields; the others train
    along. A job that had begun the run before one of its processes died, and was started again, resumes by itself.

    The first signal that asks to end (``signals.STOPPING``) ends training after the update under way, and all else at
    once: ``last`` is saved, and Stopped, a KeyboardInterrupt, raised. Raises RunError where ``directory`` (default: named after corpus and kind) holds a run
    and neither ``resume`` nor ``overwrite`` is set, is being trained in by another process or cannot be written, and
    where training diverges again and again; ConfigError and DataError where a resumed run is to go on with other
    settings or text.
    """
    began = time.monotonic() if began is None else began
    threads = set_threads(config.training.threads)
    # What cannot work is told before the text is prepared, which may take long.
    choose_device(config.training.device)
    if config.evaluation.tokenizer != "auto":
        require_tokenizer(config.evaluation.tokenizer)
    run = Run(directory or default_run(config))
    if not ranks.first:
        with Interruption() as interruption:
            train_along(config, threads, interruption, ranks)
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
        prepared = _prepare(run, config, resume, threads, report)
        began += time.monotonic() - preparing
        share_vocabulary(prepared.subwords, ranks)
        learner = new_learner(config, prepared.subwords, ranks, dev_tokenizer(config, prepared).name)
        with _writing(run), sole_training(run):
            check_directory(run, resume, overwrite)  # another process may have begun it in the meantime
            yield from _sitting(run, config, prepared, learner, resume, overwrite, threads, interruption, report, began)


def _sitting(
    run: Run,
    config: Config,
    prepared: Prepared,
    learner: Learner,
    resume: bool,
    overwrite: bool,
    threads: int,
    interruption: Interruption,
    report: Report | None,
    began: float,
) -> Iterator[Happening]:
    """What happens from the first write into the run directory on."""
    if overwrite:
        _empty(run)
    learner.ranks.note_begun()
    run.sweep()
    last = LastCheckpoint(run)
    run.checkpoints.mkdir(exist_ok=True)
    notes = [] if resume else keep_start(run, config)
    progress = begin(learner, run, config)
    if resume:
        found, told = last.load(learner)
        progress, notes = (progress if found == Progress() else found), told
    notes += differences(run, config, prepared, learner, threads, progress) if resume else []
    describe(run, config, prepared, learner, threads)
    deadline = Deadline(began + sitting_seconds(config.training, progress))
    # What an earlier sitting ended with does not belong to the weights that this one ends with.
    for path in (run.evaluation, run.change):
        path.unlink(missing_ok=True)
    yield Begun(
        run=run,
        notes=[*prepared.notes, *_scored_with(dev_tokenizer(config, prepared)), *too_long(prepared.dev), *notes],
        train_pairs=len(prepared.train),
        dev_pairs=len(prepared.dev),
        vocabulary=len(prepared.subwords.tgt),
        parameters=learner.model.parameter_count(),
        device=str(learner.device),
        precision=f"{learner.precision.name} ({learner.precision.reason})",
        threads=threads,
        resumed_at=progress.step,
        best=progress.best_score,
    )

    share_state(learner, progress)
    evaluate = dev_evaluator(prepared, config, learner, progress, report)
    recorders: list[Recorder] = [Metrics(run, progress), Log(run)]
    if config.training.tensorboard:
        recorders.append(TensorBoard(run, config, progress.step, dev_alignments(prepared, config, learner)))
    recorders.append(Checkpoints(run, learner, progress, config.training.average, config.training.save_minutes, last))
    for event in _training(learner, prepared, config, progress, interruption.let_through(evaluate), last, interruption):
        for recorder in recorders:
            recorder.record(event)
        yield event
        if learner.ranks.any(interruption.asked):
            last.save(learner, progress)
            raise Stopped(interruption.number)

    yield from Closing(run, learner, prepared, progress, config, evaluate, deadline, report).happenings(PICTURES)
    conclude(run)


@contextmanager
def _writing(run: Run) -> Iterator[None]:
    """Raises RunError for what goes wrong in writing into the run directory."""
    try:
        yield
    except OSError as problem:
        raise unwritable(problem, run.directory) from problem


def _empty(run: Run) -> None:
    """Delete all that the run directory holds, but for the lock that this process has on it."""
    # The configuration last: cut off before, it is still a run directory, which may be overwritten.
    for path in sorted(run.directory.iterdir(), key=lambda path: path == run.config):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path != run.lock:
            path.unlink()


def _scored_with(tokenizer: Tokenizer) -> list[str]:
    return [f"BLEU counts the tokens of sacreBLEU's {tokenizer.why}."] if tokenizer.why else []


def _training(
    learner: Learner,
    prepared: Prepared,
    config: Config,
    progress: Progress,
    evaluate: Callable[[Seq2Seq], DevScores],
    last: LastCheckpoint,
    interruption: Interruption,
) -> Iterator[Event]:
    """Train to the end, going back where training diverges. An evaluation that is cut short leaves ``last`` saved."""
    with interruption.held():
        while True:
            diverged = None
            try:
                for event in train(learner, prepared.train, config.training, progress, evaluate):
                    if isinstance(event, Diverged):
                        diverged = event
                    else:
                        yield event
            except CutShort:
                last.save(learner, progress)
                raise
            if diverged is None:
                return
            yield _go_back(learner, prepared, config, progress, last, diverged)


def _go_back(
    learner: Learner, prepared: Prepared, config: Config, progress: Progress, last: LastCheckpoint, diverged: Diverged
) -> WentBack:
    """Back to the latest milestone, or to the beginning. Raises RunError where that was done too often."""
    if diverged.setbacks >= MOST_SETBACKS:
        what = (
            f"training diverges: {SKIPPED_IN_A_ROW} steps in a row, up to step {diverged.step}, had no finite loss and "
            f"gradient, after going back {diverged.setbacks} times, at last with {AFTER_SETBACK**diverged.setbacks:g} of "
            "the learning rate."
        )
        hint = 'Start again with a lower training.learning_rate, training.clip_norm = 1 or training.precision = "fp32".'
        raise RunError(what, str(last.run.directory), hint)
    earlier = last.go_back(learner)
    if earlier is None:
        fresh = new_learner(config, prepared.subwords)
        earlier = begin(fresh, last.run, config)
        _forget(learner, fresh)
    progress.go_back(earlier)
    share_state(learner, progress)
    return WentBack(progress.step, diverged.step, progress.setbacks, AFTER_SETBACK**progress.setbacks, progress.seconds)


def _forget(learner: Learner, fresh: Learner) -> None:
    """Make ``learner`` what ``fresh`` is."""
    restore(learner.model, state_of(fresh.model), "a new model")
    learner.optimizer.load_state_dict(fresh.optimizer.state_dict())
    learner.scaler.load_state_dict(fresh.scaler.state_dict())


def _prepare(run: Run, config: Config, resume: bool, threads: int, report: Report | None) -> Prepared:
    """The text of ``config``; for a resumed run as it was, even where today's SentencePiece would do it otherwise."""
    begun = resume and run.info.is_file()
    prepared = prepared_text(config, threads, report, starting_vocabulary(run, config, begun))
    if not begun:
        return prepared
    check_same_text(run, prepared)
    return with_vocabulary(prepared, Subwords.load(run, config.subword.joint), config, threads, report)
