"""Training and evaluation for programs: what the commands ``train`` and ``eval`` do, without a terminal. See docs/python.md."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePath

from seq2seq_cli.config.loading import Given, read_toml
from seq2seq_cli.config.whole import Config
from seq2seq_cli.data.corpora import Form
from seq2seq_cli.data.prepare import Report, silent
from seq2seq_cli.errors import ConfigError
from seq2seq_cli.evaluation.contexts import find_control
from seq2seq_cli.evaluation.systems import Evaluation, Terms, compare_runs
from seq2seq_cli.evaluation.tokenizers import find_tokenizer
from seq2seq_cli.files import expanded
from seq2seq_cli.runs import open_run
from seq2seq_cli.training.experiment import Happening, default_run, experiment
from seq2seq_cli.training.start import load_settings, with_start

Settings = Config | Mapping[str, Mapping[str, object]] | str | PurePath | None
"""A whole configuration; some settings, in sections; a file of them; or none."""


def train(
    settings: Settings = None,
    run: str | Path | None = None,
    *,
    resume: bool = False,
    overwrite: bool = False,
    report: Report = silent,
) -> Iterator[Happening]:
    """Train a translator, choose the best weights on dev, test it once, and draw where it looks: yields what happened, as it
    happens, and does nothing before it is asked for the first of it.

    ``settings`` as a file has them, ``{"attention": {"kind": "local-p"}, "training": {"epochs": 5}}``; what is not given has
    its default. ``run``: the run directory (None: ``runs/CORPUS-KIND``). ``resume`` goes on where that run stopped, with its
    settings, over which those given are laid; ``overwrite`` deletes what it holds. ``report`` hears of what takes long: what it
    is, how much of it is done, and of how much.

    The first Ctrl-C saves the training and raises KeyboardInterrupt. Raises UserError for all that is the caller's to mend.
    """
    directory = None if run is None else expanded(str(run))
    config = _resumed(settings, directory) if resume else _configured(settings)
    yield from experiment(config, directory, resume, overwrite, report)


def evaluate(
    run: str | Path | None = None,
    test: Form | PurePath | None = None,
    *,
    references: Sequence[str] = (),
    decoding: Mapping[str, int | float | None] | None = None,
    tokenizer: str | None = None,
    device: str = "auto",
    precision: str = "fp32",
    context: str = "real",
) -> Evaluation:
    """Translate a test text with a run (None: the newest under ``runs/``) and score it: ``evaluation.scores.bleu.value`` and
    so on, with ``low`` and ``high``, the ends of a 95% interval; its ``hypotheses`` are the translations.

    ``test``: in the forms that ``--test`` takes, with further ``references`` as ``--reference`` (None: the run's own).
    ``decoding``: settings to change from the run's own, ``{"beam": 1}``. ``tokenizer``: sacreBLEU's, for BLEU (None: the
    run's own). ``context``: which sentences before a model reads that reads any: the real ones, those of another document
    (``shuffled``) or ``none``. Translations and scores are kept in the run's ``decodes/`` as well. Raises UserError for all that is the
    caller's to mend.
    """
    opened = open_run(None if run is None else expanded(str(run)))
    scored_with = None if tokenizer is None else find_tokenizer(tokenizer)
    form = str(test) if isinstance(test, PurePath) else test
    changes = decoding or {}
    terms = Terms(
        form,
        references,
        changes,
        scored_with,
        device=device,
        precision=precision,
        called={name: name for name in changes},
        contexts=[find_control(context)],
    )
    return compare_runs([opened], terms).evaluations[0]


def _configured(settings: Settings) -> Config:
    if isinstance(settings, Config):
        return settings
    if isinstance(settings, str | PurePath):
        return load_settings(expanded(str(settings)), (), None)
    return with_start(_given(settings))


def _resumed(settings: Settings, directory: Path | None) -> Config:
    if isinstance(settings, Config):
        return settings
    if isinstance(settings, str | PurePath):
        raise ConfigError("a resumed run keeps its settings: a file of others is not for it.", str(settings))
    given = _given(settings)
    return given.over(read_toml(open_run(directory or default_run(with_start(given))).config)).checked()


def _given(settings: Mapping[str, Mapping[str, object]] | None) -> Given:
    return Given({section: _plain(values) for section, values in (settings or {}).items()}, "settings", {})


def _plain(value: object) -> object:
    """As a file of settings may hold it: names of files are texts, and what is None is not there."""
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items() if one is not None}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return str(value) if isinstance(value, PurePath) else value
