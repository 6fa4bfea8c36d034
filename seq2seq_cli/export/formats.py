"""From a run to a folder that another program runs."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from seq2seq_cli.config.whole import Config
from seq2seq_cli.decoding.translator import Translator
from seq2seq_cli.errors import ConfigError
from seq2seq_cli.export import ctranslate, graphs
from seq2seq_cli.export.folder import check_folder, filled, require
from seq2seq_cli.export.names import Name
from seq2seq_cli.export.readme import README, for_ctranslate2, for_onnx, save_tokenizers
from seq2seq_cli.runs import Run


class Format(NamedTuple):
    """``packages``: what must be installed. ``check`` raises ConfigError where a configuration's model cannot be exported,
    ``save`` writes it to a folder, ``readme`` says how it is used."""

    packages: tuple[str, ...]
    check: Callable[[Config], None]
    save: Callable[[Translator, Path], None]
    readme: Callable[[Translator], str]


FORMATS: Mapping[Name, Format] = {
    "ctranslate2": Format(ctranslate.PACKAGES, ctranslate.check, ctranslate.save, for_ctranslate2),
    "onnx": Format(graphs.PACKAGES, lambda _: None, graphs.save, for_onnx),
}


def export_run(run: Run, config: Config, form: Name, folder: Path) -> None:
    """Fill a new or empty ``folder`` with the best model of a run, in one of FORMATS. Raises RunError where the folder is in the
    way, UserError where a package is missing, ConfigError where the model cannot be exported, and what `Translator.of` does."""
    check_folder(folder)
    chosen = FORMATS[form]
    _check_context(config)
    chosen.check(config)
    require(chosen.packages)
    export(Translator.of(run, config, "cpu", "fp32"), form, folder)


def _check_context(config: Config) -> None:
    if config.model.back.hierarchical:
        what = f'a model with model.context = "{config.model.context}" reads the sentences before, and no format has a place for them.'
        raise ConfigError(what, "--format", "Export the sentence model that it was trained from.")


def export(translator: Translator, form: Name, folder: Path) -> None:
    """The same for a translator on the CPU whose packages are there."""
    chosen = FORMATS[form]
    with filled(folder) as place:
        chosen.save(translator, place)
        save_tokenizers(translator, place)
        (place / README).write_text(chosen.readme(translator), encoding="utf-8")
