"""The beginning of a sitting: may it begin, is it the same training as before, and the record of how it was made."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from seq2seq_cli import config as configuration
from seq2seq_cli.config import Config
from seq2seq_cli.data.prepare import Prepared
from seq2seq_cli.errors import ConfigError, DataError, RunError
from seq2seq_cli.files import expanded
from seq2seq_cli.runs import Run, versions, write_bytes, write_json
from seq2seq_cli.training.loop import Learner
from seq2seq_cli.training.optim import learning_rate
from seq2seq_cli.training.progress import Progress
from seq2seq_cli.training.start import weights_digest
from seq2seq_cli.wording import shell_word

BUDGET = ("training.epochs", "training.max_minutes", "training.patience")
"""Settings that say when training ends."""
JUMP = 0.02
"""Of the learning rate, from which it is told."""
MAY_CHANGE = {
    # The place of the text and of its links; that they are the same is seen from their hashes.
    *("data.train", "data.dev", "data.test", "data.streaming", "training.guided_alignment"),
    *(*BUDGET, "training.save_minutes"),
    *("training.device", "training.precision", "training.threads", "training.tensorboard"),
}
"""Settings that a resumed run may have other than before, beside those of decoding."""


def check_directory(run: Run, resume: bool, overwrite: bool) -> None:
    """Raises RunError rather than write over a run, or resume where there is none.

    A run that was cut off before its first checkpoint is resumed from its beginning.
    """
    if resume:
        if not run.config.is_file():
            raise RunError("there is no run to resume here.", str(run.directory), "Start without --resume.")
        return
    if run.exists:
        if not run.config.is_file():
            what = "this is not a run directory, so it is not overwritten."
            raise RunError(what, str(run.directory), "Name another one with --run.")
        if not overwrite:
            hint = "Use --resume to go on with it, --overwrite to start it anew, or --run to name another one."
            raise RunError("this run directory exists already.", str(run.directory), hint)


def check_same_settings(run: Run, config: Config) -> None:
    """Raises ConfigError where ``config`` would make another training of a resumed run."""
    before = configuration.load(run.config)
    changed = [
        f"{key} was {old} and is now {new}"
        for key in configuration.all_keys()
        if not key.startswith("decoding.") and key not in MAY_CHANGE
        if (old := configuration.value_of(before, key)) != (new := configuration.value_of(config, key))
    ]
    if changed:
        hint = "Leave it as it was, or name another run directory with --run."
        raise ConfigError(f"a resumed run keeps its settings: {'; '.join(changed)}.", str(run.config), hint)


def check_same_text(run: Run, prepared: Prepared) -> None:
    """Raises DataError where training text, dev text or word links are not those that a resumed run began with, RunError
    where ``run.json`` does not say which."""
    with _reading(run, "what text this run began with"):
        before = dict(run.record()["data_sha256"])
    texts = {"train": "train text", "dev": "dev text", "links": "links file of training.guided_alignment"}
    changed = [text for name, text in texts.items() if before.get(name) != prepared.hashes.get(name)]
    if changed:
        what = f"the {' and the '.join(changed)} has changed since this run began."
        raise DataError(what, str(run.directory), "Give it the same one, or name another run directory with --run.")


def differences(
    run: Run, config: Config, prepared: Prepared, learner: Learner, threads: int, progress: Progress
) -> list[str]:
    """What to say of a resumed run whose length, or way of computing, is another than before."""
    return [*_of_the_rate(run, config, prepared, progress), *_of_the_machine(run, learner, threads)]


def _of_the_rate(run: Run, config: Config, prepared: Prepared, progress: Progress) -> list[str]:
    """A schedule runs over the whole of a training: where that becomes longer or shorter, the rate jumps."""
    before = configuration.load(run.config).training
    if progress.step == 0 or all(
        getattr(before, key) == getattr(config.training, key) for key in ("epochs", "max_minutes")
    ):
        return []
    targets = prepared.train.counts.tgt_pieces + len(prepared.train)
    batches = progress.batch * config.training.accumulate * config.training.batch_tokens
    epoch_share = min(1.0, progress.pairs / len(prepared.train) + batches / targets)
    old, new = (learning_rate(training, progress, epoch_share) for training in (before, config.training))
    if abs(new - old) <= JUMP * old:
        return []
    told = f"the learning rate goes from {old:.1e} to {new:.1e} at once, as it falls over another length of training"
    if new < old:
        return [f"{told} than before."]
    return [
        f"{told} than before: a warm restart. The best weights so far are kept until dev finds better ones. For more training "
        f"at a rate of your own: seq2seq train --from {shell_word(run.directory)} --set training.learning_rate=..."
    ]


def _of_the_machine(run: Run, learner: Learner, threads: int) -> list[str]:
    try:
        before = run.record()["sittings"][-1]["machine"]
        now = {"device": str(learner.device), "precision": learner.precision.name, "threads": threads}
        changed = [f"{name} {value} (before: {before[name]})" for name, value in now.items() if before[name] != value]
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return []
    if not changed:
        return []
    return [f"{', '.join(changed)}: the weights will not be, bit for bit, those of a training that was never stopped."]


def _start(run: Run, config: Config) -> dict[str, object]:
    """Where the weights came from that training started with."""
    return {
        "run": str(expanded(config.objective.from_run or "").resolve()),
        "weights_sha256": weights_digest(run),
    }


def conclude(run: Run) -> None:
    """Note in ``run.json`` that the sitting has trained, tested and drawn to the end."""
    with _reading(run, "which sitting has ended"):
        record = run.record()
        record["sittings"][-1]["ended"] = datetime.now(UTC).isoformat(timespec="seconds")
    write_json(run.info, record)


def has_ended(run: Run) -> bool:
    """Whether its last sitting came to the end. Raises RunError where ``run.json`` is missing or damaged."""
    with _reading(run, "whether this run has ended"):
        return "ended" in run.record()["sittings"][-1]


@contextmanager
def _reading(run: Run, unknown: str) -> Iterator[None]:
    """Raises RunError where ``run.json`` is missing, damaged or lacks what is looked for: then that is not known."""
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        hint = "Delete this run directory, or start it anew with --overwrite."
        raise RunError(f"cannot be read, so it is not known {unknown}.", str(run.info), hint) from None


def describe(run: Run, config: Config, prepared: Prepared, learner: Learner, threads: int) -> None:
    """Configuration, tokenizers and ``run.json``: what the run is and how it was made, sitting by sitting."""
    with _reading(run, "how this run was made before"):
        before = list(run.record()["sittings"]) if run.info.is_file() else []
    sitting = {
        "command": sys.argv,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": versions(),
        "machine": {
            "system": platform.platform(),
            "processor": platform.processor() or platform.machine(),
            "device": str(learner.device),
            "precision": learner.precision.name,
            "threads": threads,
        },
    }
    write_bytes(run.config, configuration.encoded(config.to_toml()))
    prepared.subwords.save(run)
    write_json(
        run.info,
        {
            "seed": config.training.seed,
            **({} if config.objective.from_run is None else {"start": _start(run, config)}),
            "parameters": learner.model.parameter_count(),
            "corpus": prepared.corpus_name,
            "src": prepared.src,
            "tgt": prepared.tgt,
            "pairs": {"train": len(prepared.train), "dev": len(prepared.dev)},
            "data_sha256": prepared.hashes,
            "sittings": [*before, sitting],
        },
    )
