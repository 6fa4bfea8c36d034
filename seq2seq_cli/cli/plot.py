"""``seq2seq plot``: where a model looks while it translates one sentence."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from seq2seq_cli.cli import checks, opening, options, quick

if TYPE_CHECKING:
    from seq2seq_cli.decoding.hypothesis import Alignment
    from seq2seq_cli.decoding.translator import Translator


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
    document: Annotated[
        Path | None,
        typer.Option(
            help="Of a model that reads the sentences before: a file of these, a line each. Shows which of them was looked at, and "
            "which of its words."
        ),
    ] = None,
    beam: options.Beam = None,
    device: options.Device = "auto",
) -> None:
    """Draw the attention of one sentence: source words across, target words down.

    With --self: how the words of the source look at each other; the words that look stand down the side. With
    --masked-self: how the words of the translation look at those before them, `<s>` the first; what a word sees there
    makes the word after it. With -o the numbers are written beside the picture, as JSON. With --document: each sentence before
    is a column [-n] with its weight, and behind it are its words, whose weights sum to one; the last column is what was kept of
    the state.

    Examples:

        seq2seq plot --run runs/x "Ein Hund schläft." -o alignment.png

        seq2seq plot "Ein Hund schläft." --target "A dog is asleep."

        seq2seq plot --run runs/multi-head "Ein Hund schläft." --head 2

        seq2seq plot --run runs/transformer "Ein Hund schläft." --self --layer 2 --head 1 -o self.png

        seq2seq plot --run runs/transformer "Ein Hund schläft." --masked-self --target "A dog is asleep."

        seq2seq plot --run runs/documents "Er ist alt." --document before.txt
    """
    _check_options(itself, masked, {"--target": target, "--beam": beam}, document, {"--layer": layer, "--head": head})
    checks.check_paths([document], {"-o": output})
    opened = opening.chosen_run(run)
    quick.load_torch()
    from seq2seq_cli.data.text import clean
    from seq2seq_cli.decoding.hypothesis import Role
    from seq2seq_cli.decoding.sentences import BEST
    from seq2seq_cli.decoding.translator import Translator, nothing
    from seq2seq_cli.errors import DataError

    role = Role.ITSELF if itself else Role.MASKED if masked else Role.CROSS
    sentence, target = checks.text_argument(sentence, "SENTENCE"), checks.text_argument(target, "--target")
    if not clean(sentence):
        raise DataError("there is no word in this sentence.", "SENTENCE")
    if document is not None:
        translator = Translator.load(opened.directory, device, "fp32")
        for picture in _looks_back(translator, document, sentence, target, beam):
            _show(picture, output, pieces)
        return
    translator = (
        opening.load_attending(opened, device, "fp32")
        if role is Role.CROSS
        else Translator.load(opened.directory, device, "fp32")
    )
    layers = translator.attention_layers
    picked = layers.pick(role, layer, head)
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
        attentions = translator.forced_decoder.looked_into(sentences, [hypothesis])[0].attentions
        assert attentions is not None
        alignment, title = picked.of(attentions), f"{title} ({layers.name(picked)})"
    assert alignment is not None
    _show(_Picture(alignment, title), output, pieces)


def _check_options(
    itself: bool,
    masked: bool,
    translated: dict[str, object],
    document: Path | None,
    chosen: dict[str, object],
) -> None:
    """Refuses options that would change nothing beside others."""
    checks.refuse(itself, translated, "would change nothing with --self, which shows the source alone")
    checks.refuse(
        itself, {"--masked-self": masked or None}, "shows the translation, --self the source: name one of them"
    )
    whole = "would change nothing with --document, which shows the sentences before"
    within = {"--self": itself or None, "--masked-self": masked or None}
    checks.refuse(document is not None, within | chosen, whole)


class _Picture(NamedTuple):
    """What is drawn, and what stands below it; ``name``: what tells it from another one of the same sentence."""

    alignment: Alignment
    title: str
    name: str = ""


def _looks_back(
    translator: Translator, document: Path, sentence: str, target: str | None, beam: int | None
) -> list[_Picture]:
    """Where the model looks in the sentences before: a picture, or one of its encoder and one of its decoder."""
    from seq2seq_cli.data.text import read_lines
    from seq2seq_cli.decoding.hypothesis import Role
    from seq2seq_cli.decoding.in_document import last_of
    from seq2seq_cli.errors import DataError

    lines = [*read_lines(document), sentence]
    found = last_of(translator, lines, opening.decoding_settings(translator.config, beam=beam), target)
    back = () if found.attentions is None else found.attentions.back
    if not back:
        hint = "Give it the sentences before, a line each, the nearest last."
        raise DataError(
            "nothing to look back at: no sentence stands before, or the model has no weights.", str(document), hint
        )
    sides = ["encoder" if one.role is Role.ITSELF else "decoder" for one in back]
    told = [f"{found.text} ({side} in the sentences before)" for side in sides]
    several = len(back) > 1
    return [_Picture(one, title, side if several else "") for one, title, side in zip(back, told, sides, strict=True)]


def _show(picture: _Picture, output: Path | None, pieces: bool) -> None:
    """Print it, or write it to a file."""
    from seq2seq_cli import console
    from seq2seq_cli.report.terminal import terminal_heatmap

    if output is None:
        console.out().print(terminal_heatmap(picture.alignment, merge=not pieces))
        console.notice(picture.title)
        return
    from seq2seq_cli.report.heatmaps import save_picture

    path = output.with_stem(f"{output.stem}-{picture.name}") if picture.name else output
    for warning in save_picture(picture.alignment, path, picture.title, merge=not pieces):
        console.warn(warning)
    console.notice(f"{picture.title}\nwritten to {path} and {path.with_suffix('.json')}")
