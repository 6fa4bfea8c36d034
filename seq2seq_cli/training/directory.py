"""The run directory of a training: checked before it is written to, held against other processes, compared with the
settings and text of a resumed run, and described in ``run.json``."""

from __future__ import annotations

import platform
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import torch
from filelock import FileLock, Timeout

from seq2seq_cli.config.loading import encoded, load
from seq2seq_cli.config.whole import Config, all_keys, changed_settings
from seq2seq_cli.data.prepare import Prepared
from seq2seq_cli.errors import ConfigError, DataError, RunError
from seq2seq_cli.files import expanded
from seq2seq_cli.model.products import CHOSEN
from seq2seq_cli.runs import FORMAT, Run, unwritable, versions, write_bytes, write_json
from seq2seq_cli.training.optim import learning_rate
from seq2seq_cli.training.sitting import Sitting
from seq2seq_cli.training.start import weights_digest
from seq2seq_cli.wording import shell_word

BUDGET = ("training.epochs", "training.max_minutes", "training.patience")
"""Settings that say when training ends."""
JUMP = 0.02
"""Relative change of the learning rate from which the user is told."""
MAY_CHANGE = {
    # Where the text and its links are. That their content is the same is checked by their hashes.
    *("data.train", "data.dev", "data.test", "data.references", "data.streaming", "data.documents", "data.document"),
    "training.guided_alignment",
    *(*BUDGET, "training.save_minutes"),
    *("training.device", "training.precision", "training.threads", "training.processes", "training.tensorboard"),
}
"""Settings that may be changed when a run is resumed, apart from those of decoding, which always may."""


def check_directory(run: Run, resume: bool, overwrite: bool) -> None:
    """Raises RunError rather than overwrite a run, resume one that is not there, or resume one that a later version
    made.

    A run that was cut off before its first checkpoint is resumed from its beginning.
    """
    if resume:
        if not run.config.is_file():
            raise RunError("there is no run to resume here.", str(run.directory), "Start without --resume.")
        run.check_version()
        return
    if run.exists:
        if not run.config.is_file():
            what = "this is not a run directory, so it is not overwritten."
            raise RunError(what, str(run.directory), "Name another one with --run.")
        if not overwrite:
            hint = "Use --resume to go on with it, --overwrite to start it anew, or --run to name another one."
            raise RunError("this run directory exists already.", str(run.directory), hint)


@contextmanager
def sole_training(run: Run) -> Iterator[None]:
    """Lock the run directory against other trainings (making it if need be); readers are not hindered.

    The lock belongs to the operating system: it goes with the process that holds it, however that ends. Raises RunError
    where another process holds it, and for errors in writing into the directory.
    """
    with _writing(run):
        run.directory.mkdir(parents=True, exist_ok=True)
        lock = FileLock(run.lock)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            hint = "Wait until it is over or stop it, or name another run directory with --run."
            raise RunError("another process is training in this run directory.", str(run.directory), hint) from None
        try:
            yield
        finally:
            lock.release()


@contextmanager
def _writing(run: Run) -> Iterator[None]:
    try:
        yield
    except OSError as problem:
        raise unwritable(problem, run.directory) from problem


def empty(run: Run) -> None:
    """Delete everything in the run directory except the lock, which this process holds."""
    # The configuration last: if this is interrupted, it is still a run directory, which may be overwritten.
    for path in sorted(run.directory.iterdir(), key=lambda path: path == run.config):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path != run.lock:
            path.unlink()


def check_same_settings(run: Run, config: Config) -> None:
    """Raises ConfigError where ``config`` would change the training of a resumed run."""
    fixed = [key for key in all_keys() if not key.startswith("decoding.") and key not in MAY_CHANGE]
    changed = [
        f"{one.key} was {one.before} and is now {one.after}"
        for one in changed_settings(load(run.config), config, fixed)
    ]
    if changed:
        hint = "Leave it as it was, or name another run directory with --run."
        raise ConfigError(f"a resumed run keeps its settings: {'; '.join(changed)}.", str(run.config), hint)


def check_same_text(run: Run, prepared: Prepared) -> None:
    """Raises DataError where training text, dev text or word links differ from those that a resumed run began with;
    RunError where ``run.json`` does not say what these were."""
    with _reading(run, "what text this run began with"):
        before = dict(run.record()["data_sha256"])
    texts = {
        "train": "train text",
        "dev": "dev text",
        "links": "links file of training.guided_alignment",
        "documents": "train text's documents",
    }
    changed = [text for name, text in texts.items() if before.get(name) != prepared.hashes.get(name)]
    if changed:
        what = f"the {' and the '.join(changed)} has changed since this run began."
        raise DataError(what, str(run.directory), "Give it the same one, or name another run directory with --run.")


def differences(sitting: Sitting) -> list[str]:
    """Notes on a resumed run whose length, or way of computing, differs from before."""
    return [*_of_the_rate(sitting), *_of_the_machine(sitting)]


def _of_the_rate(sitting: Sitting) -> list[str]:
    """A note on the learning rate: a schedule spans the whole training, so the rate jumps where training gets longer or
    shorter."""
    run, training, progress = sitting.run, sitting.config.training, sitting.progress
    before = load(run.config).training
    if progress.step == 0 or (before.epochs, before.max_minutes) == (training.epochs, training.max_minutes):
        return []
    text = sitting.prepared.train
    batches = progress.batch * training.accumulate * training.batch_tokens
    epoch_share = min(1.0, progress.pairs / len(text) + batches / (text.counts.tgt_pieces + len(text)))
    old, new = (learning_rate(length, progress, epoch_share) for length in (before, training))
    if abs(new - old) <= JUMP * old:
        return []
    told = f"the learning rate goes from {old:.1e} to {new:.1e} at once, as it falls over another length of training"
    if new < old:
        return [f"{told} than before."]
    return [
        f"{told} than before: a warm restart. The best weights so far are kept until dev finds better ones. For more training "
        f"at a rate of your own: seq2seq train --from {shell_word(run.directory)} --set training.learning_rate=..."
    ]


def _of_the_machine(sitting: Sitting) -> list[str]:
    now = _computing(sitting)
    try:
        before = {"processes": 1} | sitting.run.record()["sittings"][-1]["machine"]
        known = {name: before[name] for name in now if name in before}  # an earlier version noted less
        changed = [f"{name} {now[name]} (before: {value})" for name, value in known.items() if now[name] != value]
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return []
    if not changed:
        return []
    return [f"{', '.join(changed)}: the weights will not be, bit for bit, those of a training that was never stopped."]


def _computing(sitting: Sitting) -> dict[str, object]:
    """What decides, besides settings and text, on the exact weights that training arrives at."""
    learner = sitting.learner
    return {
        "device": str(learner.device),
        "precision": learner.precision.name,
        "threads": torch.get_num_threads(),
        **({"products": str(CHOSEN)} if learner.device.type == "cpu" else {}),
        "processes": learner.ranks.size,
    }


def conclude(run: Run) -> None:
    """Note in ``run.json`` that the sitting came to its end: trained, tested, pictures drawn."""
    with _reading(run, "which sitting has ended"):
        record = run.record()
        record["sittings"][-1]["ended"] = datetime.now(UTC).isoformat(timespec="seconds")
    write_json(run.info, record)


def has_ended(run: Run) -> bool:
    """Whether the last sitting of ``run`` came to its end. Raises RunError where ``run.json`` is missing or damaged."""
    with _reading(run, "whether this run has ended"):
        return "ended" in run.record()["sittings"][-1]


@contextmanager
def _reading(run: Run, unknown: str) -> Iterator[None]:
    """Within, a ``run.json`` that is missing, damaged or incomplete raises RunError, which says what is ``unknown``
    because of it."""
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        hint = "Delete this run directory, or start it anew with --overwrite."
        raise RunError(f"cannot be read, so it is not known {unknown}.", str(run.info), hint) from None


def describe(sitting: Sitting) -> None:
    """Write configuration, tokenizers and ``run.json``: what the run is and, for each sitting, how it was made."""
    run, config, prepared = sitting.run, sitting.config, sitting.prepared
    with _reading(run, "how this run was made before"):
        before = list(run.record()["sittings"]) if run.info.is_file() else []
    package = config.attention.row.package
    packages = [] if package is None else [package]
    now = {
        "command": sys.argv,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": versions(*packages),
        "machine": {
            "system": platform.platform(),
            "processor": platform.processor() or platform.machine(),
            **_computing(sitting),
        },
    }
    write_bytes(run.config, encoded(config.resolved().to_toml()))
    prepared.subwords.save(run)
    write_json(
        run.info,
        {
            "format": FORMAT,
            "seed": config.training.seed,
            **_origin(run, config),
            "parameters": sitting.learner.model.parameter_count(),
            "corpus": prepared.corpus_name,
            "src": prepared.src,
            "tgt": prepared.tgt,
            "pairs": {"train": len(prepared.train), "dev": len(prepared.dev)},
            "data_sha256": prepared.hashes,
            **({"packages": packages} if packages else {}),
            "sittings": [*before, now],
        },
    )


def _origin(run: Run, config: Config) -> dict[str, object]:
    """Which run the first weights came from, if training started from another run."""
    name = config.objective.from_run
    if name is None:
        return {}
    return {"start": {"run": str(expanded(name).resolve()), "weights_sha256": weights_digest(run)}}
