"""A whole run, from text to a tested model: the one function behind ``seq2seq train``."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from seq2seq_cli.config import Config
from seq2seq_cli.data.corpora import find_corpus
from seq2seq_cli.data.prepare import Prepared, prepare
from seq2seq_cli.data.subword import Subwords
from seq2seq_cli.decoding.translator import Translator
from seq2seq_cli.device import choose_device, choose_precision, set_threads
from seq2seq_cli.evaluation.systems import Evaluation, evaluate_run
from seq2seq_cli.model.build import build
from seq2seq_cli.model.seq2seq import Seq2Seq
from seq2seq_cli.model.weights import restore, save_weights, state_of
from seq2seq_cli.report.pictures import Pictures, draw_pictures
from seq2seq_cli.runs import RUNS, Run
from seq2seq_cli.training.checkpoint import average, load_last, save_last
from seq2seq_cli.training.dev import dev_alignments, dev_evaluator
from seq2seq_cli.training.interruption import Interruption
from seq2seq_cli.training.loop import DevScores, Learner, train
from seq2seq_cli.training.optim import make_optimizer
from seq2seq_cli.training.progress import Ended, Evaluated, Progress, Stepped
from seq2seq_cli.training.recorders import Checkpoints, Log, Metrics, Recorder, TensorBoard
from seq2seq_cli.training.sitting import check_directory, check_same_settings, check_same_text, conclude, describe

PICTURES = 6
"""Dev sentences whose alignments are drawn at the end."""

Report = Callable[[str, int, int], None]
"""Called with a stage's name, what is done of it, and how much there is."""


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


@dataclass(frozen=True)
class Averaged:
    """The mean of the last evaluations' weights, on dev, against the best single one; ``kept`` if better."""

    checkpoints: int
    scores: DevScores
    kept: bool


Happening = Begun | Stepped | Evaluated | Ended | Averaged | Evaluation | Pictures
"""What an experiment yields."""


def default_run(config: Config) -> Path:
    """Where a run goes that nobody named: ``runs/CORPUS-KIND``."""
    return RUNS / f"{find_corpus(config.data).name}-{config.attention.kind}"


def experiment(
    config: Config, directory: Path | None, resume: bool, overwrite: bool, report: Report | None = None
) -> Iterator[Happening]:
    """Prepare, train, choose on dev, test once, draw: yields what happened, as it happens.

    The first SIGINT or SIGTERM ends training after the update or evaluation under way: ``last`` is saved, and
    KeyboardInterrupt raised. Raises RunError where ``directory`` (default: named after corpus and kind) holds a run
    and neither ``resume`` nor ``overwrite`` is set, ConfigError and DataError where a resumed run is to go on with
    other settings or text.
    """
    threads = set_threads(config.training.threads)
    # What cannot work is told before the text is prepared, which may take long.
    choose_device(config.training.device)
    run = Run(directory or default_run(config))
    check_directory(run, resume, overwrite)
    if resume:
        check_same_settings(run, config)
    prepared = _prepare(run, config, resume, threads, report)
    learner = new_learner(config, prepared.subwords)
    progress = load_last(learner, run.last) if resume and run.last.is_file() else Progress()
    if overwrite and run.exists:
        shutil.rmtree(run.directory)
    run.checkpoints.mkdir(parents=True, exist_ok=True)
    describe(run, config, prepared, learner, threads)
    # What an earlier sitting ended with does not belong to the weights that this one ends with.
    run.evaluation.unlink(missing_ok=True)
    yield Begun(
        run=run,
        notes=prepared.notes,
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

    evaluate = dev_evaluator(prepared, config, learner)
    recorders: list[Recorder] = [Metrics(run, progress), Log(run)]
    if config.training.tensorboard:
        recorders.append(TensorBoard(run, config, progress.step, dev_alignments(prepared, config, learner)))
    recorders.append(Checkpoints(run, learner, progress, config.training.average, config.training.save_minutes))
    with Interruption() as interruption:
        for event in train(learner, prepared.train, config.training, progress, evaluate):
            for recorder in recorders:
                recorder.record(event)
            yield event
            if interruption.asked:
                save_last(learner, progress, run.last)
                raise KeyboardInterrupt

    averaged = _average_last(run, learner, progress, config, evaluate)
    if averaged is not None:
        yield averaged
    translator = Translator.load(run.directory, str(learner.device), "fp32")
    if prepared.test_lines is not None:
        yield evaluate_run(run, prepared.test_lines, translator)
    if config.attention.kind != "none":
        yield draw_pictures(run, translator, prepared.dev_lines, PICTURES)
    conclude(run)


def prepared_text(
    config: Config, threads: int, report: Report | None = None, subwords: Subwords | None = None
) -> Prepared:
    """The text of ``config``, tokenised, with the word links that are to guide attention, if any."""
    guided = config.training.guided_alignment
    links = None if guided is None else Path(guided).expanduser()
    return prepare(config.data, config.subword, threads=threads, progress=report, subwords=subwords, links=links)


def _prepare(run: Run, config: Config, resume: bool, threads: int, report: Report | None) -> Prepared:
    """The same; for a resumed run as it was, even where today's SentencePiece would do it otherwise."""
    prepared = prepared_text(config, threads, report)
    if not resume or not run.info.is_file():
        return prepared
    check_same_text(run, prepared)
    saved = Subwords.load(run, config.subword.joint)
    if (saved.src.model, saved.tgt.model) == (prepared.subwords.src.model, prepared.subwords.tgt.model):
        return prepared
    return prepared_text(config, threads, report, saved)


def new_learner(config: Config, subwords: Subwords) -> Learner:
    """An untrained model and its optimiser, where and as precise as ``config`` says; seeds torch's random state."""
    device = choose_device(config.training.device)
    precision = choose_precision(config.training.precision, device)
    torch.manual_seed(config.training.seed)
    ends = subwords.src.ending(config.attention.segment_marks)
    model = build(config, len(subwords.src), len(subwords.tgt), ends).to(device)
    scaler = torch.amp.GradScaler(device.type, enabled=precision.name == "fp16")
    return Learner(model, make_optimizer(model, config.training), scaler, device, precision)


def _average_last(
    run: Run, learner: Learner, progress: Progress, config: Config, evaluate: Callable[[Seq2Seq], DevScores]
) -> Averaged | None:
    numbers = range(max(1, progress.evaluations - config.training.average + 1), progress.evaluations + 1)
    paths = [path for path in map(run.kept, numbers) if path.is_file()]
    if len(paths) < 2 or progress.best_score is None:
        return None
    restore(learner.model, average(paths), "average")
    learner.model.eval()
    scores = evaluate(learner.model)
    kept = (scores.bleu if config.training.stop_on == "bleu" else -scores.loss) > progress.best_score
    if kept:
        save_weights(state_of(learner.model), run.best)
    return Averaged(len(paths), scores, kept)
