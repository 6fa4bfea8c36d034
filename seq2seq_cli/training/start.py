"""Training that starts from a trained run, and what it takes over from it.

That run's best weights are copied, so that the new run does not need the old one later.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from torch import nn

from seq2seq_cli.config.context import OF_HAN
from seq2seq_cli.config.loading import Given, given, load
from seq2seq_cli.config.sections import FINE_TUNING
from seq2seq_cli.config.whole import DEFAULTS, Config, all_keys, changed_settings
from seq2seq_cli.data.subword import Subwords
from seq2seq_cli.data.text import sha256
from seq2seq_cli.errors import ConfigError, RunError
from seq2seq_cli.files import expanded
from seq2seq_cli.kinds.contexts import CONTEXTS
from seq2seq_cli.model.hierarchical_context import is_of_context
from seq2seq_cli.model.weights import read_weights, restore, state_of
from seq2seq_cli.runs import Run, open_run, write_bytes
from seq2seq_cli.training.learner import Learner
from seq2seq_cli.training.progress import Progress

SHAPE = ("subword", "model", "attention", "self_attention", "context")
"""Sections that decide which parameters a model has, and what they mean."""
MAY_DIFFER = {"model.dropout", "model.feed_forward_dropout", "self_attention.dropout", "context.sentences"}
"""Settings in these sections that parameters do not depend on."""


def load_settings(path: Path | None, overrides: Iterable[str], flags: Mapping[str, object] | None) -> Config:
    """As ``config.load``. But where objective.from_run names a run, settings that are not given come from that run,
    except training settings, whose defaults are then FINE_TUNING.

    Raises ConfigError where the given settings do not fit the run's weights, RunError where there is no such run.
    """
    return with_start(given(path, overrides, flags))


def with_start(here: Given) -> Config:
    """The same of settings that are given already."""
    objective = here.values.get("objective")
    name = objective.get("from_run") if isinstance(objective, dict) else None
    if not isinstance(name, str) or not all(
        isinstance(here.values.get(section, {}), dict) for section in Config.model_fields
    ):
        return here.checked()
    before = load(open_run(expanded(name)).config)
    _check_context(before, here.values.get("model", {}).get("context"), name)
    config = here.over(_taken_over(before.to_values(), here.values)).checked()
    fixed = [key for key in all_keys() if key.startswith(SHAPE) and key not in MAY_DIFFER | _may_be_new(before)]
    changed = [
        f"{one.key} is {one.before} there and {one.after} here" for one in changed_settings(before, config, fixed)
    ]
    if changed:
        what = f"vocabulary, sizes and attention are those of the run that training starts from: {'; '.join(changed)}."
        raise ConfigError(what, name, "Leave these settings out.")
    return config


def _check_context(before: Config, wanted: object, name: str) -> None:
    """Raises ConfigError where a model that looks back at the sentences before is to do so no more."""
    had, has = before.model.back, next((back for kind, back in CONTEXTS.items() if kind == wanted), before.model.back)
    if had.encoder > has.encoder or had.decoder > has.decoder:
        what = f"model.context is {before.model.context} there and {wanted} here: what it looks back by would be lost."
        raise ConfigError(what, name, "Leave it as it is there, or add to it.")


def _may_be_new(before: Config) -> set[str]:
    """Settings that may differ because training may start with a model that does not look back at the sentences before, or in
    one place only, and add what is missing."""
    return (
        {"model.context"}
        if before.model.back.hierarchical
        else {"model.context", *(f"context.{one}" for one in OF_HAN)}
    )


def _taken_over(before: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    """The settings of the earlier run that the given settings, ``values``, are laid over."""
    text = values.get("data", {})
    other_text = "train" in text or "corpus" in text
    sections = [*SHAPE, "decoding", *(() if other_text else ("data",))]
    defaults = [key for key in before.get(DEFAULTS, []) if key.partition(".")[0] in sections]
    return {section: before[section] for section in sections} | {"training": FINE_TUNING, DEFAULTS: defaults}


def check_start(run: Run, config: Config) -> None:
    """Raises RunError where the run that the new ``run`` starts from is ``run`` itself, or has no readable weights."""
    start = _starting_run(config)
    if start is None:
        return
    if start.directory.resolve() == run.directory.resolve():
        hint = "Name another run directory with --run."
        raise RunError("a run cannot start from itself.", str(run.directory), hint)
    read_weights(start.best)


def starting_vocabulary(run: Run, config: Config, resume: bool) -> Subwords | None:
    """The vocabulary of the run that training starts from; None if it starts from none."""
    start = _starting_run(config) if not resume else run if config.objective.from_run else None
    return None if start is None else Subwords.load(start, config.subword.joint)


def keep_start(run: Run, config: Config) -> list[str]:
    """Copy the weights that training starts from into ``run``; returns notes for the user."""
    start = _starting_run(config)
    if start is None:
        return []
    write_bytes(run.start, start.best.read_bytes())
    return [f"starting from {start.best}, SHA-256 {weights_digest(run)[:16]}..."]


def weights_digest(run: Run) -> str:
    """SHA-256 of the file with the weights that ``run`` started from."""
    return sha256(run.start)


def begin(learner: Learner, run: Run, config: Config) -> Progress:
    """Bring a new learner to where training begins. Weights of another run are evaluated on dev before the first step:
    if training finds nothing better, they are kept. If the model looks back at the sentences before and that run's did not,
    what it does so by is new."""
    if config.objective.from_run is None:
        return Progress()
    restore_start(learner.model, run)
    return Progress(evaluated_step=-1)


def restore_start(model: nn.Module, run: Run) -> bool:
    """Bring ``model`` to the weights that ``run`` started from. What looks back at the sentences before may be new: it stays as
    it is. Returns whether the model looked back at them in every place where it does now."""
    trained = read_weights(run.start)
    new = {name: value for name, value in state_of(model).items() if is_of_context(name) and name not in trained}
    restore(model, trained | new, str(run.start))
    return not new


def started_looking_back(config: Config) -> bool:
    """Whether the run that training started from reads the sentences before; where it is gone, whether this one does."""
    try:
        start = _starting_run(config)
    except RunError:
        start = None
    before = config if start is None else load(start.config)
    return before.model.back.anywhere


def _starting_run(config: Config) -> Run | None:
    name = config.objective.from_run
    return None if name is None else open_run(expanded(name))
