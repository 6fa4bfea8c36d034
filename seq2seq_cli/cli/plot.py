"""``seq2seq plot``: where a model looks while it translates one sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from seq2seq_cli.cli import checks, opening, options, quick


def plot(
    sentence: Annotated[str, typer.Argument(help="A source sentence.")],
    target: Annotated[str | None, typer.Option(help="Its translation; default: the model's own.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A .png, .svg or .pdf file; default: the terminal.")
    ] = None,
    run: options.RunOption = None,
    pieces: Annotated[bool, typer.Option("--pieces", help="Show subword pieces, not words.")] = False,
    head: Annotated[
        int | None, typer.Option(help="One head of multi-head attention, 1 the first; default: their mean.", min=1)
    ] = None,
    beam: options.Beam = None,
    device: options.Device = "auto",
) -> None:
    """Draw the attention of one sentence: source words across, target words down.

    With -o the numbers are written beside the picture, as JSON.

    Examples:

        seq2seq plot --run runs/x "Ein Hund schläft." -o alignment.png

        seq2seq plot "Ein Hund schläft." --target "A dog is asleep."

        seq2seq plot --run runs/multi-head "Ein Hund schläft." --head 2
    """
    opened = opening.chosen_run(run)
    quick.load_torch()
    from seq2seq_cli import console
    from seq2seq_cli.data.text import clean
    from seq2seq_cli.decoding.sentences import BEST
    from seq2seq_cli.decoding.translator import Scoring
    from seq2seq_cli.errors import DataError
    from seq2seq_cli.report.terminal import terminal_heatmap

    translator = opening.load_attending(opened, device, "fp32")
    sentence, target = checks.text_argument(sentence, "SENTENCE"), checks.text_argument(target, "--target")
    if not clean(sentence):
        raise DataError("there is no word in this sentence.", "SENTENCE")
    scoring = Scoring(head=None if head is None else head - 1)
    if target is None:
        settings = opening.decoding_settings(translator.config, beam=beam)
        hypothesis = translator.search(translator.sentences([sentence], BEST), settings)[0][0]
        if head is not None:
            ids = translator.subwords.tgt.ids(list(hypothesis.pieces))
            hypothesis = translator.score_pieces([sentence], [ids], scoring)[0]
    else:
        hypothesis = translator.score([sentence], [target], scoring)[0]
    assert hypothesis.alignment is not None
    if output is None:
        console.out().print(terminal_heatmap(hypothesis.alignment, merge=not pieces))
        console.notice(hypothesis.text)
        return
    from seq2seq_cli.report.heatmaps import save_picture

    for warning in save_picture(hypothesis.alignment, output, hypothesis.text, merge=not pieces):
        console.warn(warning)
    console.notice(f"{hypothesis.text}\nwritten to {output} and {output.with_suffix('.json')}")
