"""``seq2seq align``: which source word each target word comes from."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seq2seq_cli.cli import checks, opening, options, quick
from seq2seq_cli.cli.too_long import warn_of, without
from seq2seq_cli.wording import counted

if TYPE_CHECKING:
    from seq2seq_cli.data.pairs import Lines
    from seq2seq_cli.decoding.translator import Translator
    from seq2seq_cli.evaluation.gold import Agreement, Gold
    from seq2seq_cli.runs import Run


@dataclass(frozen=True)
class Judging:
    """The options about links that were set by hand."""

    gold: Annotated[
        Path | None,
        typer.Option(help="Links set by hand, i-j sure and i?j possible: print error rate, precision and recall."),
    ] = None
    gold_from: Annotated[
        int | None,
        typer.Option(min=0, max=1, help="With --gold: the number of its first word; default: 1 if it names no word 0."),
    ] = None
    by_layer: Annotated[
        bool,
        typer.Option(
            "--by-layer", help="With --gold: print the error rate of each layer of a Transformer decoder, too."
        ),
    ] = False

    def check(self, layer: int | None) -> None:
        """Raises ConfigError for options that would do nothing, or contradict the ``layer`` that is named."""
        by_layer: dict[str, object] = {"--by-layer": self.by_layer or None}
        checks.refuse(self.gold is None, {"--gold-from": self.gold_from, **by_layer}, "needs --gold")
        checks.refuse(layer is not None, by_layer, "is about all layers, --layer about one")

    def links(self, lines: Lines) -> list[Gold] | None:
        """The links of each pair, where any are given."""
        from seq2seq_cli import console
        from seq2seq_cli.evaluation.gold import read_gold

        sizes = [(len(src.split()), len(tgt.split())) for src, tgt in zip(lines.src, lines.tgt, strict=True)]
        return None if self.gold is None else read_gold(self.gold, sizes, self.gold_from, console.notice)


@dataclass(frozen=True)
class Joining:
    """The options about a run of the opposite direction."""

    reverse_run: Annotated[
        Path | None, typer.Option(help="A run of the opposite direction, whose links are joined with the run's own.")
    ] = None
    symmetrize: Annotated[
        str | None,
        typer.Option(help="With --reverse-run: intersection, union or grow-diag-final-and (the default)."),
    ] = None

    def method(self) -> str:
        """How links are joined. Raises ConfigError for a way that there is not, or that would do nothing."""
        from seq2seq_cli.evaluation.linking import check_method

        checks.refuse(self.reverse_run is None, {"--symmetrize": self.symmetrize}, "needs --reverse-run")
        method = self.symmetrize or "grow-diag-final-and"
        check_method(method)
        return method

    def backward(self, run: Run, device: str, precision: str) -> Translator | None:
        """The model of the opposite direction of ``run``, where one is given."""
        from seq2seq_cli.evaluation.aligner import check_reverse
        from seq2seq_cli.runs import open_run

        if self.reverse_run is None:
            return None
        reverse = open_run(self.reverse_run)
        check_reverse(run, reverse)
        return opening.load_attending(reverse, device, precision)


def align(
    source: Annotated[Path, typer.Option("--source", help="Source text, a sentence a line.")],
    target: Annotated[Path, typer.Option("--target", help="Its translations, line by line.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Where to write the links; default: standard output, with --gold nowhere."),
    ] = None,
    run: options.RunOption = None,
    *,
    judging: Judging,
    joining: Joining,
    soft: Annotated[
        Path | None,
        typer.Option(help="Also write the run's weights from word to word here, as an .npz of arrays."),
    ] = None,
    posterior: Annotated[
        bool,
        typer.Option(
            "--posterior/--attention",
            help="Take how well each source word explains the target word into account, or the attention alone.",
        ),
    ] = True,
    layer: Annotated[
        int | None,
        typer.Option(
            help="The run's layer that is aligned by, of a Transformer decoder; default: attention.layer.", min=1
        ),
    ] = None,
    device: options.Device = "auto",
    precision: options.Precision = "fp32",
    threads: options.Threads = None,
) -> None:
    """Link the words of given translations by forced decoding: a line a pair, `i-j` a link (Pharaoh format).

    i is the source word, j the target word, both counted from 0 and separated by white space. Each target word is
    linked to the source word of the largest weight: the mean over the target word's pieces of the sum over the source
    word's. Weights are those of the attention times how likely the target piece is from that source piece alone
    (Shankar & Sarawagi 2019), made to sum to one; with --attention, where the model looked before the piece was known.
    The end of the sentence, `</s>`, is left out, so that only a word that looked at no word has no link. The words of a pair
    of which a side has more than 2,000 pieces are not linked, with a warning. Models that read the sentences before see the pairs
    before, up to a blank line.

    With --gold: alignment error rate (Och & Ney 2003), precision against the sure and possible links, recall of the
    sure ones. Gold links may also be written 1p2, 1-2P, 1-2:0.9, behind the texts (`source ||| target ||| 1-2`), or one a
    line as in WPT (`1 2 2 S`); a file that names no word 0 counts from 1, which is said. --soft: `weights_0` is the first pair's, a row a target word, a column a source word, `</s>` the last;
    `centres_0` is where a local attention's windows lay.

    Examples:

        seq2seq align --run runs/x --source P/test.de --target P/test.en -o test.pharaoh

        seq2seq align --run runs/x --reverse-run runs/y --source P/test.de --target P/test.en --gold test.gold
    """
    judging.check(layer)
    method = joining.method()
    checks.check_paths([source, target, judging.gold], {"-o": output, "--soft": soft})
    checks.refuse_int8(precision)
    opened = opening.chosen_run(run)
    quick.load_torch()
    from seq2seq_cli import console
    from seq2seq_cli.data.pairs import LineFiles, Lines
    from seq2seq_cli.data.preceding import previous_lines
    from seq2seq_cli.decoding.given_pairs import overlong_pairs
    from seq2seq_cli.device import set_threads
    from seq2seq_cli.evaluation.aligner import aligned, weights_file
    from seq2seq_cli.evaluation.gold import Agreement, agreement
    from seq2seq_cli.evaluation.linking import pharaoh

    by_layer = judging.by_layer
    set_threads(threads)
    lines = Lines.read(LineFiles(source, target))
    wanted = judging.links(lines)
    forward = opening.load_attending(opened, device, precision, layer)
    if by_layer:
        _require_layers(forward)
    backward = joining.backward(opened, device, precision)
    long = overlong_pairs(forward, lines.src, lines.tgt)
    if backward is not None:
        long |= overlong_pairs(backward, lines.tgt, lines.src)
    warn_of(long, "Its words are not linked.")
    previous = previous_lines(lines.src, lines.tgt)
    lines = Lines(without(lines.src, long), without(lines.tgt, long), previous=previous)
    found: list[str] = []
    agreed, of_layers = Agreement(), [Agreement()] * (len(forward.attention_layers.cross) if by_layer else 0)
    printed = console.text_output(output) if output is not None or wanted is None else nullcontext()
    with printed as file:
        with weights_file(soft) if soft is not None else nullcontext() as keep, console.stages() as report:
            for number, pair in enumerate(aligned(lines, forward, backward, method, posterior, by_layer)):
                found.append(pharaoh(pair.links))
                if wanted is not None:
                    agreed += agreement(pair.links, wanted[number])
                    each = zip(of_layers, pair.by_layer, strict=True)
                    of_layers = [sum_ + agreement(links, wanted[number]) for sum_, links in each]
                if keep is not None:
                    keep(number, pair.grid)
                report("aligning", number + 1, len(lines.src))
        if file is not None:  # not before: on a terminal, links and progress would mix
            file.writelines(f"{line}\n" for line in found)
    for path in (output, soft):
        if path is not None and str(path) != "-":
            console.notice(f"written to {path}")
    if wanted is not None:
        shown = forward.attention_layers.shown
        console.facts(_rows(agreed) + [_row(n, one, n == shown) for n, one in enumerate(of_layers, start=1)])


def _require_layers(translator: Translator) -> None:
    from seq2seq_cli.errors import ConfigError

    if len(translator.attention_layers.cross) == 1:
        raise ConfigError("this model attends to the source in one layer only.", "--by-layer", "Leave it out.")


def _row(layer: int, agreed: Agreement, shown: bool) -> tuple[str, str]:
    """The figures of a layer of the model, which may be the one that is shown."""
    figures = (("error rate", agreed.error_rate), ("precision", agreed.precision), ("recall", agreed.recall))
    told = ", ".join(f"{name} {_written(value)}" for name, value in figures)
    return f"layer {layer}", told + (" (attention.layer)" if shown else "")


def _written(value: float | None) -> str:
    return "none" if value is None else f"{value:.4f}"


def _rows(agreed: Agreement) -> list[tuple[str, str]]:
    """Each figure, with a cell that says what it was computed from."""
    both = f"{agreed.sure_found:,} + {agreed.possible_found:,}"
    figures = [
        ("alignment error rate", agreed.error_rate, f"1 - ({both}) / ({agreed.links:,} + {agreed.sure:,})"),
        (
            "precision",
            agreed.precision,
            f"{agreed.possible_found:,} of {counted(agreed.links, 'link')} sure or possible",
        ),
        ("recall", agreed.recall, f"{agreed.sure_found:,} of {counted(agreed.sure, 'sure link')} found"),
    ]
    return [(name, f"{_written(value)}\t{counts}") for name, value, counts in figures]
