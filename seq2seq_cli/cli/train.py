"""``seq2seq train``: the one command a newcomer needs."""

from __future__ import annotations

import time
from collections import deque
from pathlib import Path
from typing import Annotated

import typer

from seq2seq_cli.cli import options, quick, streams
from seq2seq_cli.wording import shell_word

BEGAN = time.monotonic()
"""When the command was loaded, before anything that takes time."""


def train(
    attention: Annotated[
        str | None, typer.Option(metavar="KIND", help="Attention kind (see `seq2seq attentions`).")
    ] = None,
    encoder: options.Encoder = None,
    decoder: options.Decoder = None,
    run: Annotated[Path | None, typer.Option("--run", help="Run directory; default: runs/CORPUS-KIND.")] = None,
    *,
    texts: options.Texts,
    settings: options.Settings,
    objective: Annotated[
        str | None, typer.Option(help="cross-entropy, scst or mrt: the last two reward whole translations.")
    ] = None,
    from_run: Annotated[
        str | None, typer.Option("--from", metavar="RUN", help="A trained run to start from; scst and mrt need one.")
    ] = None,
    training: options.Training,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on where this run stopped, exactly. With other --epochs or --max-minutes the learning rate follows the "
            "new length, which may raise it again.",
        ),
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Delete what the run directory holds.")] = False,
) -> None:
    """Train a translator, choose the best weights on dev, test it once, and draw where it looks.

    Without options: Bahdanau attention on the built-in German-English corpus. Press Ctrl-C to stop; --resume goes
    on from there.

    Examples:

        seq2seq train --attention bahdanau --max-minutes 10

        seq2seq train --encoder transformer --decoder transformer

        seq2seq train --attention luong-general --train P/train --dev P/dev --test P/test --src de --tgt en --run runs/x

        seq2seq train --objective scst --from runs/x --run runs/x-scst
    """
    from seq2seq_cli import console
    from seq2seq_cli.cli.live import follow
    from seq2seq_cli.config.loading import load
    from seq2seq_cli.errors import ConfigError
    from seq2seq_cli.ranks import end_process, joined
    from seq2seq_cli.runs import open_run

    streams.do_without_output()
    for other, given in (("--overwrite", overwrite), ("--config", settings.config is not None)):
        if resume and given:
            raise ConfigError(f"--resume and {other} exclude each other: a run keeps its settings.", "command line")
    flags = {
        "attention.kind": attention,
        "model.encoder": encoder,
        "model.decoder": decoder,
        "objective.kind": objective,
        "objective.from_run": from_run,
        **texts.flags,
        **training.flags,
    }
    quick.load_torch()
    from seq2seq_cli.training.experiment import default_run, experiment
    from seq2seq_cli.training.start import load_settings

    if not resume:
        config = load_settings(settings.config, settings.changes, flags)
    else:
        # A run keeps its settings; which run it is may follow from the options.
        run = run or default_run(load_settings(None, settings.changes, flags))
        config = load(open_run(run).config, settings.changes, flags)
    with joined() as ranks:
        if not ranks.first:
            deque(experiment(config, run, resume, overwrite, ranks=ranks), maxlen=0)
            end_process()
        made = follow(
            lambda report: experiment(config, run, resume, overwrite, report, ranks, BEGAN),
            config,
            go_on=lambda begun: begun.resume_command,
        )
    console.notice(f"Run directory: {made.directory}")
    console.notice(f'Try it: echo "..." | seq2seq translate --run {shell_word(made.directory)}')
