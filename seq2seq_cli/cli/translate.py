"""``seq2seq translate``: lines in, translations out, in the same order."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seq2seq_cli.cli import options
from seq2seq_cli.wording import counted

if TYPE_CHECKING:
    from seq2seq_cli.config import DecodingConfig
    from seq2seq_cli.decoding.hypothesis import Hypothesis
    from seq2seq_cli.decoding.translator import Translator
    from seq2seq_cli.decoding.unfinished import Unfinished
    from seq2seq_cli.errors import DataError
    from seq2seq_cli.ranks import Ranks
    from seq2seq_cli.runs import Run


def translate(
    source: Annotated[
        Path | None, typer.Argument(metavar="[INPUT]", help="Text file, a sentence a line; none or -: standard input.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Where to write; default: standard output.")
    ] = None,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Go on with an OUTPUT that was cut off, without repeating or losing a line."),
    ] = False,
    run: options.RunOption = None,
    beam: options.Beam = None,
    nbest: Annotated[
        int | None,
        typer.Option(min=1, max=1000, help="Translations a line, as: line number, score, translation (tab-separated)."),
    ] = None,
    scores: Annotated[bool, typer.Option("--scores", help="Line number and score before each translation.")] = False,
    pieces: Annotated[bool, typer.Option("--pieces", help="Subword pieces instead of text.")] = False,
    replace_unk: Annotated[
        bool, typer.Option("--replace-unk", help="Replace an unknown piece by the source word it attended to most.")
    ] = False,
    length_penalty: options.LengthPenalty = None,
    min_length: options.MinLength = None,
    max_length: options.MaxLength = None,
    batch_tokens: options.BatchTokens = None,
    sample: Annotated[
        bool, typer.Option("--sample", help="Draw translations at random.", rich_help_panel="Search")
    ] = False,
    temperature: Annotated[
        float | None,
        typer.Option(
            min=0.01, max=1e6, help="With --sample: below 1 sharper, above 1 flatter.", rich_help_panel="Search"
        ),
    ] = None,
    top_k: Annotated[
        int | None, typer.Option(min=0, help="With --sample: among the k likeliest; 0: all.", rich_help_panel="Search")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="With --sample.", rich_help_panel="Search")] = None,
    device: options.Device = "auto",
    precision: options.SearchPrecision = "auto",
    threads: options.Threads = None,
) -> None:
    """Translate a file, or standard input line by line. An empty line gives an empty line.

    What is not UTF-8 becomes the replacement character U+FFFD, with a warning. A line of more than 2,000 pieces, or on
    which the search fails, gives an empty line, with a warning: every line has its line.

    Examples:

        seq2seq translate input.txt -o output.txt --run runs/x

        seq2seq translate input.txt -o output.txt --run runs/x --resume

        echo "Guten Morgen!" | seq2seq translate --beam 5 --nbest 3
    """
    from seq2seq_cli import console
    from seq2seq_cli.decoding.translator import Translator
    from seq2seq_cli.device import set_threads
    from seq2seq_cli.errors import ConfigError
    from seq2seq_cli.ranks import joined

    options.refuse(not sample, {"--temperature": temperature, "--top-k": top_k, "--seed": seed}, "needs --sample")
    options.refuse(sample, {"--beam": beam, "--nbest": nbest}, "is not for --sample, which draws one translation")
    options.refuse(pieces, {"--replace-unk": replace_unk or None}, "is not for --pieces, which shows <unk> as it is")
    set_threads(threads or 0)
    opened = options.chosen_run(run)
    translator = Translator.load(opened.directory, device or "auto", precision or "auto")
    shown = nbest or 1
    settings = options.decoding_settings(
        translator.config,
        beam=beam if beam is not None else max(shown, translator.config.decoding.beam),
        length_penalty=length_penalty,
        min_length=min_length,
        max_length=max_length,
        batch_tokens=batch_tokens,
    )
    options.check_paths([source], {"-o": output})
    if shown > settings.beam:
        raise ConfigError(f"--nbest {nbest} needs a beam of at least as many, not {settings.beam}.", "--nbest")
    if replace_unk and translator.config.attention.kind == "none":
        raise ConfigError("this run has no attention to tell which word an <unk> stands for.", "--replace-unk")
    drawing = {"temperature": temperature, "top_k": top_k, "seed": seed}
    given: dict[str, Any] = {name: value for name, value in drawing.items() if value is not None}
    wanted = _Wanted(settings, given if sample else None, shown, scores or shown > 1, pieces, replace_unk)
    unfinished = _unfinished(opened, translator, wanted, source, output)
    if resume and unfinished is None:
        raise ConfigError(
            "goes on with a file that a file is translated into.", "--resume", "Name both: INPUT -o OUTPUT."
        )
    with joined() as ranks:
        if ranks.size > 1 and unfinished is None:
            raise ConfigError(
                "several processes translate a file into a file.", "torchrun", "Name both: INPUT -o OUTPUT."
            )
        done = 0
        if unfinished is not None and ranks.first:
            done = unfinished.go_on().lines if resume or ranks.begun else unfinished.begin().lines
            ranks.note_begun()
        done = ranks.tell(done)
        try:
            number = _write(translator, wanted, source, output, done, unfinished is not None, ranks)
        except KeyboardInterrupt:
            if unfinished is not None and ranks.first:
                console.notice("Stopped. The same command with --resume goes on.")
            raise
    if not ranks.first:
        return
    if unfinished is not None:
        unfinished.finish()
    if output is not None:
        before = f", {done:,} of them before" if done else ""
        console.notice(f"{counted(number, 'line')} translated into {output}{before}")


@dataclass(frozen=True)
class _Wanted:
    """What is to be written of each line: the ``shown`` best translations, found by ``decoding`` or, where ``drawing``
    is not None, drawn with it."""

    decoding: DecodingConfig
    drawing: dict[str, Any] | None
    shown: int
    numbered: bool
    pieces: bool
    replace_unk: bool


def _unfinished(
    run: Run, translator: Translator, wanted: _Wanted, source: Path | None, output: Path | None
) -> Unfinished | None:
    """What is noted of the translation while it is not finished; None where it cannot be gone on with."""
    from seq2seq_cli.data.text import sha256
    from seq2seq_cli.decoding.stream import WAITING
    from seq2seq_cli.decoding.unfinished import Unfinished

    if source is None or output is None or not source.is_file() or (output.exists() and not output.is_file()):
        return None
    tokenizers = [path for side in ("joint", "src", "tgt") if (path := run.subword(side)).is_file()]
    description: dict[str, object] = {
        "model": sha256(run.best, *tokenizers),
        "input text": sha256(source),
        "settings": {**asdict(wanted), "decoding": wanted.decoding.model_dump()},
        "precision": translator.precision.name,
    }
    return Unfinished(output, description, WAITING, wanted.numbered)


def _write(
    translator: Translator,
    wanted: _Wanted,
    source: Path | None,
    output: Path | None,
    done: int,
    in_groups: bool,
    ranks: Ranks,
) -> int:
    """Translate what is behind the first ``done`` lines, and write it as it is made; the number of all lines.

    Several processes take a group each, and the first one writes them in their order.
    """
    from seq2seq_cli import console
    from seq2seq_cli.decoding.every_line import translate_every_line
    from seq2seq_cli.decoding.stream import gather_ready, groups_of
    from seq2seq_cli.decoding.translator import Sampling

    number = done
    mended = _Warnings("not UTF-8")
    longer = _Warnings("longer than any the model was trained on")
    left_out = _Warnings("left empty", " It is left empty.")

    def translated(group: list[str], before: int) -> Iterator[str]:
        sampling = None if wanted.drawing is None else Sampling(**wanted.drawing, first=before)
        tellers = {"long": longer.of_group(before + 1), "left_out": left_out.of_group(before + 1)}
        found = translate_every_line(translator, group, wanted.decoding, sampling, wanted.replace_unk, **tellers)
        for line, hypotheses in enumerate(found, start=before + 1):
            for hypothesis in hypotheses[: wanted.shown]:
                yield _format(hypothesis, line, wanted.numbered, wanted.pieces) + "\n"

    with console.text_output(output, append=in_groups) if ranks.first else nullcontext(io.StringIO()) as file:
        lines = islice(_lines(source, mended), done, None)
        groups = groups_of(lines) if in_groups else gather_ready(lines)
        while together := list(islice(groups, ranks.size)):
            before = number + sum(map(len, together[: ranks.rank]))
            mine = ranks.share(together)
            for text in ranks.gather(["".join(translated(group, before)) for group in mine]):
                if ranks.first:
                    file.write(text)
            number += sum(map(len, together))
            file.flush()
    for warnings in (mended, longer, left_out):
        warnings.conclude()
    return number


def _format(hypothesis: Hypothesis, number: int, scored: bool, pieces: bool) -> str:
    # Nothing in a translation may look like the end of a line.
    text = " ".join(hypothesis.pieces) if pieces else hypothesis.text.replace("\n", " ")
    return f"{number}\t{hypothesis.shown_score}\t{text}" if scored else text


class _Warnings:
    """Warnings of one kind: the first few one by one, of the others the number."""

    SHOWN = 5

    def __init__(self, kind: str, consequence: str = "") -> None:
        self.kind, self.consequence = kind, consequence
        self.count = 0

    def of_group(self, first: int) -> Callable[[int, str], None]:
        """Takes warnings of lines by their place in a group whose first line has this number."""
        return lambda i, what: self.add(f"line {first + i} {what}{self.consequence}")

    def add(self, text: str) -> None:
        from seq2seq_cli import console

        self.count += 1
        if self.count <= self.SHOWN:
            console.warn(text)

    def conclude(self) -> None:
        from seq2seq_cli import console

        if self.count > self.SHOWN:
            console.warn(f"{counted(self.count - self.SHOWN, 'more line')}: {self.kind}.")


def _lines(source: Path | None, mended: _Warnings) -> Iterator[str]:
    from seq2seq_cli.console import standard_input
    from seq2seq_cli.data.text import iter_lines, read_lines

    def excuse(problem: DataError) -> None:
        mended.add(f"{problem.where}: {problem.what} Read all the same.")

    if source is None or str(source) == "-":
        return iter_lines(standard_input(), "standard input", excuse)
    return read_lines(source, excuse)
