"""``seq2seq translate``: lines in, translations out, in the same order."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seq2seq_cli.cli import options

if TYPE_CHECKING:
    from seq2seq_cli.decoding.hypothesis import Hypothesis
    from seq2seq_cli.errors import DataError


def translate(
    source: Annotated[
        Path | None, typer.Argument(metavar="[INPUT]", help="Text file, a sentence a line; none or -: standard input.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Where to write; default: standard output.")
    ] = None,
    run: options.RunOption = None,
    beam: options.Beam = None,
    nbest: Annotated[
        int, typer.Option(min=1, help="Translations a line, as: line number, score, translation (tab-separated).")
    ] = 1,
    scores: Annotated[bool, typer.Option("--scores", help="Line number and score before each translation.")] = False,
    pieces: Annotated[bool, typer.Option("--pieces", help="Subword pieces instead of text.")] = False,
    replace_unk: Annotated[
        bool, typer.Option("--replace-unk", help="Replace <unk> by the source word it attended to most.")
    ] = False,
    length_penalty: options.LengthPenalty = None,
    min_length: options.MinLength = None,
    max_length: options.MaxLength = None,
    batch_tokens: options.BatchTokens = None,
    sample: Annotated[
        bool, typer.Option("--sample", help="Draw translations at random.", rich_help_panel="Search")
    ] = False,
    temperature: Annotated[
        float, typer.Option(min=0.01, help="With --sample: below 1 sharper, above 1 flatter.", rich_help_panel="Search")
    ] = 1.0,
    top_k: Annotated[
        int, typer.Option(min=0, help="With --sample: among the k likeliest; 0: all.", rich_help_panel="Search")
    ] = 0,
    seed: Annotated[int, typer.Option(min=0, help="With --sample.", rich_help_panel="Search")] = 1,
    device: options.Device = "auto",
    precision: options.PrecisionOption = "fp32",
    threads: options.Threads = None,
) -> None:
    """Translate a file, or standard input line by line. An empty line gives an empty line.

    What is not UTF-8 becomes the replacement character U+FFFD, with a warning: every line has its translation.

    Examples:

        seq2seq translate input.txt -o output.txt --run runs/x

        echo "Guten Morgen!" | seq2seq translate --beam 5 --nbest 3
    """
    from seq2seq_cli import console
    from seq2seq_cli.decoding.stream import gather_ready
    from seq2seq_cli.decoding.translator import Sampling, Translator
    from seq2seq_cli.device import set_threads
    from seq2seq_cli.errors import ConfigError

    set_threads(threads or 0)
    translator = Translator.load(run, device or "auto", precision or "fp32")
    settings = options.decoding_settings(
        translator.config,
        beam=beam if beam is not None else max(nbest, translator.config.decoding.beam),
        length_penalty=length_penalty,
        min_length=min_length,
        max_length=max_length,
        batch_tokens=batch_tokens,
    )
    if nbest > settings.beam:
        raise ConfigError(f"--nbest {nbest} needs a beam of at least as many, not {settings.beam}.", "--nbest")
    drawn = Sampling(temperature, top_k, seed) if sample else None
    number = 0
    mended = _Mended()
    with console.text_output(output) as file:
        for group in gather_ready(_lines(source, mended)):
            for hypotheses in translator.hypotheses(group, settings, drawn, replace_unk):
                number += 1
                for hypothesis in hypotheses[:nbest]:
                    file.write(_format(hypothesis, number, scores or nbest > 1, pieces) + "\n")
            file.flush()
    mended.conclude()
    if output is not None:
        console.notice(f"{number:,} lines translated into {output}")


def _format(hypothesis: Hypothesis, number: int, scored: bool, pieces: bool) -> str:
    # Nothing in a translation may look like the end of a line.
    text = " ".join(hypothesis.pieces) if pieces else hypothesis.text.replace("\n", " ")
    return f"{number}\t{hypothesis.score:.6f}\t{text}" if scored else text


class _Mended:
    """Warns of lines that are not UTF-8: of the first few one by one, of the others as a number."""

    SHOWN = 5

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, problem: DataError) -> None:
        from seq2seq_cli import console

        self.count += 1
        if self.count <= self.SHOWN:
            console.warn(f"{problem.where}: {problem.what} Read with U+FFFD in its place.")

    def conclude(self) -> None:
        from seq2seq_cli import console

        if self.count > self.SHOWN:
            console.warn(f"{self.count - self.SHOWN:,} more lines are not UTF-8.")


def _lines(source: Path | None, mended: _Mended) -> Iterator[str]:
    from seq2seq_cli.data.text import iter_lines, read_lines

    if source is None or str(source) == "-":
        return iter_lines(sys.stdin.buffer, "standard input", mended)
    return read_lines(source, mended)
