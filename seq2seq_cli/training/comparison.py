"""One experiment with several models, attention kinds and seeds: which runs it takes, and which of them are done."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from seq2seq_cli.config.loading import from_dict, load
from seq2seq_cli.config.whole import Config, changed_settings
from seq2seq_cli.data.corpora import find_test
from seq2seq_cli.data.prepare import Prepared, Report
from seq2seq_cli.errors import ConfigError, RunError, suggestion
from seq2seq_cli.kinds.attentions import RESERVED, find, kinds
from seq2seq_cli.kinds.layers import MODELS
from seq2seq_cli.runs import ComparisonFiles, Run
from seq2seq_cli.training.directory import BUDGET, check_directory, check_same_settings, check_same_text, has_ended
from seq2seq_cli.training.experiment import Happening, experiment
from seq2seq_cli.training.fitting import fitting


@dataclass(frozen=True)
class Planned:
    """One run of a comparison. ``left_out``: what the file sets, and this run does not take."""

    config: Config
    run: Run
    left_out: Sequence[str] = ()

    @property
    def system(self) -> str:
        """What its model is called."""
        return self.config.system

    @property
    def seed(self) -> int:
        return self.config.training.seed

    @property
    def begun(self) -> bool:
        return self.run.config.is_file()

    def check(self, overwrite: bool) -> None:
        """Raises RunError or ConfigError where its directory holds something other than the beginning of this very
        run."""
        resume = self.begun and not overwrite
        check_directory(self.run, resume, overwrite)
        if resume:
            check_same_settings(self.run, self.config)
            self._check_same_budget()

    def _check_same_budget(self) -> None:
        for key, old, new in changed_settings(load(self.run.config), self.config, (*BUDGET, "training.precision")):
            what = f"this run was begun with {key} = {old}, and all runs of a comparison get the same, now {new}."
            hint = "Leave it as it was, use --overwrite to start anew, or name another directory with --run."
            raise ConfigError(what, str(self.run.config), hint)

    def experiment(self, overwrite: bool, report: Report) -> Iterator[Happening]:
        """Train and test the run, from where it stopped."""
        return experiment(self.config, self.run.directory, self.begun and not overwrite, overwrite, report)

    def is_done(self, prepared: Prepared) -> bool:
        """Whether the run was trained to its end and tested. Raises DataError where that was done on another text."""
        if not self.begun or not has_ended(self.run):
            return False
        check_same_text(self.run, prepared)
        return True


def planned_runs(
    models: str | None,
    attentions: str | None,
    seeds: int,
    files: ComparisonFiles,
    file: Path | None,
    overrides: Sequence[str],
    flags: Mapping[str, object],
) -> list[Planned]:
    """The runs that compare ``models`` and ``attentions`` (names with commas between them; None: as the settings say) with
    ``seeds`` seeds each, model by model and kind by kind. Apart from these, and from what belongs to them, all
    have the same settings (see `fitting`).

    Raises ConfigError for an unknown or repeated name, for settings that one of them does not take, and where
    there is no test text; RunError where the directory is that of a run.
    """
    if Run(files.directory).config.is_file():
        what = "is the directory of a run: a comparison has one of its own, with runs in it."
        raise RunError(what, str(files.directory), "Name another one with --run.")
    runs = []
    for pair, kind in product(_models(models), _kinds(attentions)):
        chosen = {"attention.kind": kind} | {f"model.{part}": name for part, name in pair.items()}
        config, left_out = fitting(file, overrides, {**flags, **chosen})
        if config.objective.from_run is not None:
            what = "kinds are compared that learn from nothing: a trained run has one of them already."
            raise ConfigError(what, "objective.from_run", "Use train with --from, then eval with both runs.")
        if find_test(config.data) is None:
            raise ConfigError(
                "kinds are compared on a test set, and there is none.", "data.test", "Name one with --test."
            )
        for seed in range(config.training.seed, config.training.seed + seeds):
            values = config.to_values()
            values["training"]["seed"] = seed
            runs.append(Planned(from_dict(values, "--seeds"), files.run(config.system, seed), left_out))
    return runs


def _models(models: str | None) -> list[dict[str, str]]:
    """What each of the ``models`` sets in the section model."""
    if models is None:
        return [{}]
    names = [name.strip() for name in models.split(",")]
    for name in names:
        if name not in MODELS:
            near = suggestion(name, MODELS) or f"Known models: {', '.join(MODELS)}."
            raise ConfigError(f'model "{name}" is unknown.', "--models", near)
    _require_different(names, "--models", "model")
    return [MODELS[name]._asdict() for name in names]


def _kinds(attentions: str | None) -> list[str | None]:
    if attentions is None:
        return [None]
    if attentions.strip() == RESERVED:
        return [kind.name for kind in kinds()]
    names = [find(name.strip(), "--attentions").name for name in attentions.split(",")]
    _require_different(names, "--attentions", "kind")
    return list(names)


def _require_different(names: list[str], where: str, what: str) -> None:
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"{name} is named {names.count(name)} times.", where, f"Name each {what} once.")
