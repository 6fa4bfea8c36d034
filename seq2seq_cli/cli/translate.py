"""``seq2seq translate``: lines in, translations out, in the same order."""

from __future__ import annotations

from collections import Counter
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seq2seq_cli.cli import checks, opening, options, quick
from seq2seq_cli.wording import counted

if TYPE_CHECKING:
    from seq2seq_cli.decoding.every_line import Matter, Remark
    from seq2seq_cli.decoding.files import Ends, TextTranslation
    from seq2seq_cli.decoding.translator import Translator
    from seq2seq_cli.decoding.wanted import Wanted
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
        typer.Option(
            callback=options.setting("decoding.beam"),
            help="Translations a line, as: line number, score, translation (tab-separated).",
        ),
    ] = None,
    scores: Annotated[bool, typer.Option("--scores", help="Line number and score before each translation.")] = False,
    confidence: Annotated[
        bool,
        typer.Option(
            "--confidence", help="Before each translation, the share of its words expected in a reference, and a tab."
        ),
    ] = False,
    pieces: Annotated[bool, typer.Option("--pieces", help="Subword pieces instead of text.")] = False,
    replace_unk: Annotated[
        bool, typer.Option("--replace-unk", help="Replace an unknown piece by the source word it attended to most.")
    ] = False,
    length_penalty: options.LengthPenalty = None,
    min_length: options.MinLength = None,
    max_length: options.MaxLength = None,
    batch_tokens: options.BatchTokens = None,
    shortlist: options.ShortlistSize = None,
    glossary: options.GlossaryFile = None,
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
    seed: Annotated[
        int | None,
        typer.Option(callback=options.setting("training.seed"), help="With --sample.", rich_help_panel="Search"),
    ] = None,
    form: Annotated[
        str,
        typer.Option(
            "--format",
            metavar="text|json",
            help="json: an object a line, with pieces and scores, --confidence of each word, and a memory's examples of each piece.",
        ),
    ] = "text",
    device: options.Device = "auto",
    precision: options.SearchPrecision = "auto",
    threads: options.Threads = None,
    *,
    recall: options.OneMemory,
) -> None:
    """Translate a file, or standard input line by line. An empty line gives an empty line.

    What is not UTF-8 becomes the replacement character U+FFFD, with a warning. A line of more than 2,000 pieces, or on
    which the search fails, gives an empty line, with a warning: every line has its line.

    Examples:

        seq2seq translate input.txt -o output.txt --run runs/x

        seq2seq translate input.txt -o output.txt --run runs/x --resume

        echo "Guten Morgen!" | seq2seq translate --beam 5 --nbest 3

        seq2seq translate input.txt -o output.txt --glossary terms.tsv
    """
    checks.refuse(not sample, {"--temperature": temperature, "--top-k": top_k, "--seed": seed}, "needs --sample")
    checks.refuse(sample, {"--beam": beam, "--nbest": nbest}, "is not for --sample, which draws one translation")
    checks.refuse(sample, {"--glossary": glossary}, "is not for --sample: terms are searched for, not drawn")
    recall.require(recall.memory)
    checks.refuse(
        confidence, {"--memory": recall.memory}, "is not for --confidence, which was learned without a memory"
    )
    structured = checks.is_json(form, {"--pieces": pieces, "--scores": scores})
    checks.refuse(pieces, {"--replace-unk": replace_unk or None}, "is not for --pieces, which shows <unk> as it is")
    opened = opening.chosen_run(run)
    quick.load_torch()
    from seq2seq_cli.decoding.files import Ends
    from seq2seq_cli.decoding.translator import Sampling, Translator
    from seq2seq_cli.decoding.wanted import Wanted
    from seq2seq_cli.device import set_threads
    from seq2seq_cli.errors import ConfigError

    set_threads(threads)
    translator = Translator.load(opened.directory, device, precision)
    translator = opening.with_glossary(opening.remembering(translator, opened, recall), glossary)
    best = nbest or 1
    decoding = opening.decoding_settings(
        translator.config,
        beam=beam if beam is not None else max(best, translator.config.decoding.beam),
        length_penalty=length_penalty,
        min_length=min_length,
        max_length=max_length,
        batch_tokens=batch_tokens,
        shortlist=shortlist,
    )
    checks.check_paths([source, glossary], {"-o": output})
    if best > decoding.beam:
        raise ConfigError(f"--nbest {nbest} needs a beam of at least as many, not {decoding.beam}.", "--nbest")
    if replace_unk and not translator.config.attention.row.attends:
        raise ConfigError("this run has no attention to tell which word an <unk> stands for.", "--replace-unk")
    given = {"temperature": temperature, "top_k": top_k, "seed": seed}
    drawing: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    sampling = Sampling(**drawing) if sample else None
    translator.get_ready(decoding)
    wanted = Wanted(
        decoding,
        sampling,
        best,
        numbered=(scores or best > 1) and not structured,
        pieces=pieces,
        replace_unknown=replace_unk,
        glossary=None if translator.glossary is None else translator.glossary.digest,
        calibration=translator.calibration if confidence else None,
        structured=structured,
        memory=None if translator.memory is None else translator.memory.digest,
    )
    _translate(translator, wanted, Ends.named(source, output), opened, resume)


def _translate(translator: Translator, wanted: Wanted, ends: Ends, run: Run, resume: bool) -> None:
    """Translate, with all processes of the job together, and say how it went."""
    from seq2seq_cli import console
    from seq2seq_cli.decoding.files import TextTranslation
    from seq2seq_cli.errors import ConfigError
    from seq2seq_cli.ranks import joined

    unfinished = ends.unfinished(run, translator.precision.name, wanted)
    if resume and unfinished is None:
        what = "goes on with a file that a file is translated into."
        raise ConfigError(what, "--resume", "Name both: INPUT -o OUTPUT.")
    warnings = _Warnings()
    with joined() as ranks:
        if ranks.size > 1 and unfinished is None:
            what = "several processes translate a file into a file."
            raise ConfigError(what, "torchrun", "Name both: INPUT -o OUTPUT.")
        done = 0 if unfinished is None else unfinished.start(ranks, resume)
        text = TextTranslation(translator, wanted, warnings.hear, ranks)
        try:
            more = _print(text, ends, done, in_groups=unfinished is not None)
        except KeyboardInterrupt:
            if unfinished is not None and ranks.first:
                console.notice("Stopped. The same command with --resume goes on.")
            raise
    warnings.conclude()
    if not ranks.first:
        return
    if unfinished is not None:
        unfinished.finish()
    if ends.output is not None:
        before = f", {done:,} of them before" if done else ""
        console.notice(f"{counted(done + more, 'line')} translated into {ends.output}{before}")


def _print(text: TextTranslation, ends: Ends, done: int, in_groups: bool) -> int:
    """Write translations as they are made; returns how many input lines they are of."""
    from seq2seq_cli import console
    from seq2seq_cli.decoding.files import read_text

    more = 0
    with console.text_output(ends.output, append=in_groups) if text.ranks.first else nullcontext() as file:
        lines = read_text(ends.source or console.standard_input(), text.tell)
        for answered in text.in_groups(lines, done) if in_groups else text.as_they_come(lines):
            more += answered.lines
            if file is not None:
                file.write(answered.text)
                file.flush()
    return more


class _Warnings:
    """Says what is the matter with lines: of each kind of problem the first few lines one by one, then how many
    more."""

    SHOWN = 5

    def __init__(self) -> None:
        self.counts: Counter[Matter] = Counter()

    def hear(self, remark: Remark) -> None:
        from seq2seq_cli import console

        self.counts[remark.matter] += 1
        if self.counts[remark.matter] <= self.SHOWN:
            console.warn(remark.text)

    def conclude(self) -> None:
        from seq2seq_cli import console
        from seq2seq_cli.decoding.every_line import Matter

        for matter in Matter:
            if (more := self.counts[matter] - self.SHOWN) > 0:
                console.warn(f"{counted(more, 'more line')}: {matter.value}.")
