"""A whole run, from text to a tested model: the one function behind ``seq2seq train``."""

from __future__ import annotations

import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

from seq2seq_cli.config import Config
from seq2seq_cli.data.batching import cut, load_batch
from seq2seq_cli.data.corpora import find_corpus
from seq2seq_cli.data.prepare import Prepared, TokenisedSplit, prepare
from seq2seq_cli.data.subword import Subwords
from seq2seq_cli.decoding.hypothesis import Alignment
from seq2seq_cli.decoding.translator import Translator, replace_beam
from seq2seq_cli.device import choose_device, choose_precision, set_threads
from seq2seq_cli.errors import RunError
from seq2seq_cli.evaluation.metrics import bleu
from seq2seq_cli.evaluation.systems import Evaluation, evaluate_run
from seq2seq_cli.model.build import build
from seq2seq_cli.model.seq2seq import Seq2Seq
from seq2seq_cli.model.weights import restore, save_weights, state_of
from seq2seq_cli.report.pictures import Pictures, draw_pictures, pick_sentences
from seq2seq_cli.runs import RUNS, Run, write_json, write_text
from seq2seq_cli.training.checkpoint import average, load_last
from seq2seq_cli.training.loop import DevScores, Learner, train
from seq2seq_cli.training.optim import make_optimizer
from seq2seq_cli.training.progress import Ended, Evaluated, Progress, Stepped
from seq2seq_cli.training.recorders import Checkpoints, Log, Metrics, Recorder, TensorBoard

PICTURES, WATCHED = 6, 3
"""Dev sentences whose alignments are drawn at the end, and at each evaluation for TensorBoard."""

Report = Callable[[str, int, int], None]
"""Called with a stage's name, what is done of it, and how much there is."""


@dataclass(frozen=True)
class Begun:
    """Data ready, model built. ``notes`` are sentences worth telling the user."""

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

    Raises RunError where ``directory`` (default: named after corpus and kind) holds a run and neither
    ``resume`` nor ``overwrite`` is set.
    """
    threads = set_threads(config.training.threads)
    # What cannot work is told before the text is prepared, which may take long.
    choose_device(config.training.device)
    run = Run(directory or default_run(config))
    check_directory(run, resume, overwrite)
    prepared = prepare(config.data, config.subword, progress=report)
    if overwrite and run.exists:
        shutil.rmtree(run.directory)
    run.checkpoints.mkdir(parents=True, exist_ok=True)

    learner = new_learner(config, prepared.subwords)
    progress = load_last(learner, run.last) if resume and run.last.is_file() else Progress()
    describe(run, config, prepared, learner, threads)
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
    )

    evaluate = _dev_evaluator(prepared, config, learner)
    recorders: list[Recorder] = [Metrics(run, progress), Log(run)]
    if config.training.tensorboard:
        recorders.append(TensorBoard(run, _dev_alignments(prepared, config, learner)))
    recorders.append(Checkpoints(run, learner, progress, config.training.average, config.training.save_minutes))
    for event in train(learner, prepared.train, config.training, progress, evaluate):
        for recorder in recorders:
            recorder.record(event)
        yield event

    averaged = _average_last(run, learner, progress, config, evaluate)
    if averaged is not None:
        yield averaged
    translator = Translator.load(run.directory, str(learner.device), learner.precision.name)
    if prepared.test_lines is not None:
        yield evaluate_run(run, prepared.test_lines, translator)
    if config.attention.kind != "none":
        yield draw_pictures(run, translator, prepared.dev_lines, PICTURES)


def new_learner(config: Config, subwords: Subwords) -> Learner:
    """An untrained model and its optimiser, where and as precise as ``config`` says; seeds torch's random state."""
    device = choose_device(config.training.device)
    precision = choose_precision(config.training.precision, device)
    torch.manual_seed(config.training.seed)
    model = build(config, len(subwords.src), len(subwords.tgt)).to(device)
    scaler = torch.amp.GradScaler(device.type, enabled=precision.name == "fp16")
    return Learner(model, make_optimizer(model, config.training), scaler, device, precision)


def check_directory(run: Run, resume: bool, overwrite: bool) -> None:
    """Raises RunError rather than write over a run, or resume where there is none.

    A run that was cut off before its first checkpoint is resumed from its beginning.
    """
    if resume:
        if not run.config.is_file():
            raise RunError("there is no run to resume here.", str(run.directory), "Start without --resume.")
        return
    if run.exists:
        if not overwrite:
            hint = "Use --resume to go on with it, --overwrite to start it anew, or --run to name another one."
            raise RunError("this run directory exists already.", str(run.directory), hint)
        if not run.directory.is_dir() or not run.config.is_file():
            raise RunError("this is not a run directory, so it is not overwritten.", str(run.directory))


def describe(run: Run, config: Config, prepared: Prepared, learner: Learner, threads: int) -> None:
    """Configuration, tokenizers and ``run.json``: what the run is and how it was made."""
    write_text(run.config, config.to_toml())
    prepared.subwords.save(run)
    packages = ("seq2seq-cli", "torch", "sentencepiece", "datasets", "sacrebleu", "numpy")
    write_json(
        run.info,
        {
            "command": sys.argv,
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
            "versions": {"python": platform.python_version(), **{name: version(name) for name in packages}},
            "seed": config.training.seed,
            "parameters": learner.model.parameter_count(),
            "corpus": prepared.corpus_name,
            "src": prepared.src,
            "tgt": prepared.tgt,
            "pairs": {"train": len(prepared.train), "dev": len(prepared.dev)},
            "data_sha256": prepared.hashes,
            "machine": {
                "system": platform.platform(),
                "processor": platform.processor() or platform.machine(),
                "device": str(learner.device),
                "precision": learner.precision.name,
                "threads": threads,
            },
        },
    )


def _dev_evaluator(prepared: Prepared, config: Config, learner: Learner) -> Callable[[Seq2Seq], DevScores]:
    greedy = replace_beam(config.decoding, 1)

    def evaluate(model: Seq2Seq) -> DevScores:
        loss = dev_loss(model, prepared.dev, config.training.batch_tokens, learner)
        translator = Translator(model, prepared.subwords, config, learner.device, learner.precision)
        return DevScores(loss, bleu(translator.translate(prepared.dev_lines.src, greedy), prepared.dev_lines.tgt))

    return evaluate


def _dev_alignments(prepared: Prepared, config: Config, learner: Learner) -> Callable[[], dict[str, Alignment]]:
    """Where the model looks by now, in its own translations of the same few dev sentences."""
    chosen = pick_sentences(prepared.dev_lines.src, WATCHED)
    lines = [prepared.dev_lines.src[i] for i in chosen]

    def look() -> dict[str, Alignment]:
        learner.model.eval()
        translator = Translator(learner.model, prepared.subwords, config, learner.device, learner.precision)
        found = [candidates[0] for candidates in translator.hypotheses(lines, replace_beam(config.decoding, 1))]
        learner.model.train()
        pairs = zip(chosen, found, strict=True)
        return {f"dev line {i + 1}": one.alignment for i, one in pairs if one.alignment is not None}

    return look


@torch.inference_mode()
def dev_loss(model: Seq2Seq, dev: TokenisedSplit, batch_tokens: int, learner: Learner) -> float:
    """Negative log-likelihood of dev, nats a target token."""
    order = np.lexsort((dev.src_lengths, dev.tgt_lengths))
    total, tokens = 0.0, 0
    for part in cut(dev.tgt_lengths[order] + 1, dev.src_lengths[order] + 1, batch_tokens):
        batch = load_batch(dev, order[part]).to(learner.device)
        with learner.precision.autocast(learner.device):
            pieces = (batch.src_BS, batch.src_mask_BS, batch.reads_BT, batch.target_BT, batch.target_mask_BT)
            total += float(model.loss(*pieces, 0.0).nll)
        tokens += batch.target_tokens
    return total / tokens


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
