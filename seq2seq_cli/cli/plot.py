"""``seq2seq plot``: where a model looks while it translates one sentence."""

from __future__ import annotations

from dataclasses import replace
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
    itself: Annotated[
        bool, typer.Option("--self", help="Self-attention of the encoder, source by source, of a Transformer.")
    ] = False,
    masked: Annotated[
        bool,
        typer.Option("--masked-self", help="Self-attention of the decoder, target by target so far, of a Transformer."),
    ] = False,
    layer: Annotated[
        int | None,
        typer.Option(
            help="A Transformer's layer, 1 at the bottom; default: attention.layer, of self-attention the last.", min=1
        ),
    ] = None,
    head: Annotated[
        int | None, typer.Option(help="One head of several, 1 the first; default: their mean.", min=1)
    ] = None,
    beam: options.Beam = None,
    device: options.Device = "auto",
) -> None:
    """Draw the attention of one sentence: source words across, target words down.

    With --self: how the words of the source look at each other; the words that look stand down the side. With
    --masked-self: how the words of the translation look at those before them, `<s>` the first; what a word sees there
    makes the word after it. With -o the numbers are written beside the picture, as JSON.

    Examples:

        seq2seq plot --run runs/x "Ein Hund schläft." -o alignment.png

        seq2seq plot "Ein Hund schläft." --target "A dog is asleep."

        seq2seq plot --run runs/multi-head "Ein Hund schläft." --head 2

        seq2seq plot --run runs/transformer "Ein Hund schläft." --self --layer 2 --head 1 -o self.png

        seq2seq plot --run runs/transformer "Ein Hund schläft." --masked-self --target "A dog is asleep."
    """
    alone = "would change nothing with --self, which shows the source alone"
    checks.refuse(itself, {"--target": target, "--beam": beam}, alone)
    checks.refuse(
        itself, {"--masked-self": masked or None}, "shows the translation, --self the source: name one of them"
    )
    opened = opening.chosen_run(run)
    quick.load_torch()
    from seq2seq_cli import console
    from seq2seq_cli.data.text import clean
    from seq2seq_cli.decoding.hypothesis import Role
    from seq2seq_cli.decoding.sentences import BEST
    from seq2seq_cli.decoding.translator import Translator, nothing
    from seq2seq_cli.errors import DataError
    from seq2seq_cli.report.terminal import terminal_heatmap

    role = Role.ITSELF if itself else Role.MASKED if masked else Role.CROSS
    translator = (
        opening.load_attending(opened, device, "fp32")
        if role is Role.CROSS
        else Translator.load(opened.directory, device, "fp32")
    )
    layers = translator.attention_layers
    picked = layers.pick(role, layer, head)
    sentence, target = checks.text_argument(sentence, "SENTENCE"), checks.text_argument(target, "--target")
    if not clean(sentence):
        raise DataError("there is no word in this sentence.", "SENTENCE")
    sentences = translator.sentences([sentence], BEST)
    if itself:
        hypothesis = replace(nothing(), text=sentence)
    elif target is None:
        settings = opening.decoding_settings(translator.config, beam=beam)
        hypothesis = translator.search(sentences, settings)[0][0]
    else:
        hypothesis = translator.score([sentence], [target])[0]
    alignment, title = hypothesis.alignment, hypothesis.text
    if role is not Role.CROSS or layer is not None or head is not None:
        attentions = translator.looked_into(sentences, [hypothesis])[0].attentions
        assert attentions is not None
        alignment, title = picked.of(attentions), f"{title} ({layers.name(picked)})"
    assert alignment is not None
    if output is None:
        console.out().print(terminal_heatmap(alignment, merge=not pieces))
        console.notice(title)
        return
    from seq2seq_cli.report.heatmaps import save_picture

    for warning in save_picture(alignment, output, title, merge=not pieces):
        console.warn(warning)
    console.notice(f"{title}\nwritten to {output} and {output.with_suffix('.json')}")
