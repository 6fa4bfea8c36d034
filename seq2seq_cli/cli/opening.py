"""The run that a command is about, opened as its options say."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from seq2seq_cli.cli.options import OneMemory
    from seq2seq_cli.config.sections import DecodingConfig
    from seq2seq_cli.config.whole import Config
    from seq2seq_cli.decoding.translator import Translator
    from seq2seq_cli.runs import Run


def chosen_run(directory: Path | None) -> Run:
    """The run that was named, or else the newest, whose name is then printed. Raises RunError as ``open_run`` does."""
    from seq2seq_cli import console
    from seq2seq_cli.ranks import first_of_its_job
    from seq2seq_cli.runs import open_run

    run = open_run(directory)
    if directory is None and first_of_its_job():
        console.notice(f"run: {run.directory} (the newest)")
    return run


def load_attending(run: Run, device: str, precision: str, layer: int | None = None) -> Translator:
    """The model of a run, whose alignments show the ``layer`` of a Transformer decoder (None: as its settings say).
    Raises RunError where it has no attention to look at, ConfigError where it has no such layer."""
    from seq2seq_cli.config.loading import load
    from seq2seq_cli.decoding.attentions import require_layer
    from seq2seq_cli.decoding.hypothesis import Role
    from seq2seq_cli.decoding.translator import Translator
    from seq2seq_cli.errors import RunError

    config = load(run.config)
    if not config.attention.row.attends:
        hint = "Train a run with attention, for example `seq2seq train --attention bahdanau`."
        raise RunError(f"attention kind {config.attention.kind} gives no weights.", str(run.directory), hint)
    if layer is not None:
        require_layer(layer, config.model.decoder_depth, Role.CROSS, config.model.decoder)
    return Translator.of(run, load(run.config, flags={"attention.layer": layer}), device, precision)


def with_glossary(translator: Translator, glossary: Path | None) -> Translator:
    """The same, obeying the glossary of a file, if there is one; warns of its terms that cannot be written. Raises DataError for
    a file that is no glossary."""
    from seq2seq_cli import console
    from seq2seq_cli.data.glossary import Glossary
    from seq2seq_cli.ranks import first_of_its_job

    if glossary is None:
        return translator
    obeying = translator.obeying(Glossary.read(glossary))
    for remark in obeying.glossary_remarks if first_of_its_job() else ():
        console.warn(remark)
    return obeying


def remembering(translator: Translator, run: Run, asked: OneMemory) -> Translator:
    """The same with the memory that was named, if one was. Raises RunError where that is none of this run."""
    if asked.memory is None:
        return translator
    from seq2seq_cli import console
    from seq2seq_cli.decoding.recalling import open_memory
    from seq2seq_cli.ranks import first_of_its_job

    opened = open_memory(run, asked.memory, translator.device, asked.given(asked.memory))
    if first_of_its_job():
        console.notice(f"memory {asked.memory}: {opened}")
    return translator.remembering(opened)


def decoding_settings(config: Config, **given: int | float | None) -> DecodingConfig:
    """A run's decoding settings with the given options laid over them. Raises ConfigError for values that no settings
    file may hold either."""
    from seq2seq_cli.config.loading import decoding_with

    return decoding_with(config.decoding, given)
