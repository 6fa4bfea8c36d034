"""``seq2seq export``: a trained run as files that other programs run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, cast, get_args

import typer

from seq2seq_cli.cli import opening, options, quick


def export(
    output: Annotated[Path, typer.Option("--output", "-o", help="A new folder, or an empty one.")],
    form: Annotated[str, typer.Option("--format", help="ctranslate2 or onnx.")],
    run: options.RunOption = None,
) -> None:
    """Write a run's model for other programs, with its tokenizers and a README.md of Python that translates.

    ctranslate2: Transformers with multi-head softmax attention, for the translator of that name, whose beam search runs
    without torch. onnx: every model, as two graphs for onnxruntime, the encoder and one step of the decoder. What cannot be
    exported is refused with the reason. Numbers are those of the model in float32. Both need packages of their own, the extra
    `export`.

    Examples:

        seq2seq export --run runs/transformer --format ctranslate2 -o exported

        seq2seq export --run runs/x --format onnx -o exported
    """
    from seq2seq_cli.config.loading import load
    from seq2seq_cli.errors import ConfigError, suggestion
    from seq2seq_cli.export.names import Name

    known = get_args(Name)
    if form not in known:
        hint = suggestion(form, known) or f"Known: {', '.join(known)}."
        raise ConfigError(f'the format "{form}" is unknown.', "--format", hint)
    opened = opening.chosen_run(run)
    config = load(opened.config)
    quick.load_torch()
    from seq2seq_cli import console
    from seq2seq_cli.export.formats import export_run

    export_run(opened, config, cast(Name, form), output)
    console.notice(f"written to {output}; {output / 'README.md'} has the Python that translates with it")
