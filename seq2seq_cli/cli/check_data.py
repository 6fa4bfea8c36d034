"""``seq2seq check-data``: what is wrong with parallel text, and a cleaned copy."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from seq2seq_cli.cli import checks, options
from seq2seq_cli.wording import counted

if TYPE_CHECKING:
    from rich.table import Table

    from seq2seq_cli.data.checks.cleaning import Cleaned
    from seq2seq_cli.data.checks.corpus import Checked, Example, Finding
    from seq2seq_cli.data.checks.realigning import Realigned

DAMAGED = 3
"""Exit status where something was found that is always wrong, and no cleaned copy was asked for."""
BLOCKS = 20
"""How many shifted blocks are listed."""


def check_data(
    text: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[TEXT]...",
            help="P/train, two files, a table, a dataset: what `train --train` takes; none: built-in.",
        ),
    ] = None,
    test: options.Test = None,
    references: options.References = None,
    src: options.Src = None,
    tgt: options.Tgt = None,
    corpus: options.Corpus = None,
    fix: Annotated[str | None, typer.Option(metavar="OUT", help="Write a cleaned copy: OUT.SRC and OUT.TGT.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Let --fix replace files that are there.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was found as JSON.")] = False,
) -> None:
    """Look for what is wrong with training text, before a model learns it.

    Every finding tells how many pairs it concerns, on which side, and shows the first three. Those marked ! are never
    right. With --test, also what the training text shares with the test text. --fix writes a copy with both sides kept
    parallel, pairs lines anew where they do not stand beside their translations, and says what it removed and repaired;
    the text itself is never written to. Where the two sides do not belong together, nothing is written.

    Exit status: 0 nothing marked ! was found, or a cleaned copy was written; 3 it was, or no pair was left to be written;
    2 the text cannot be read.

    Examples:

        seq2seq check-data P/train --test P/test --src de --tgt en

        seq2seq check-data P/train --src de --tgt en --fix clean/train
    """
    from seq2seq_cli import console
    from seq2seq_cli.config.sections import DataConfig, languages_in
    from seq2seq_cli.data.checks.cleaning import Copy, check_copy, write_copy
    from seq2seq_cli.data.checks.corpus import check
    from seq2seq_cli.data.corpora import find_corpus, open_test, open_text
    from seq2seq_cli.errors import ConfigError

    checks.refuse(fix is None, {"--overwrite": overwrite or None}, "needs --fix")
    checks.refuse(not test, {"--reference": references}, "needs --test")
    notes: list[str] = []
    if not text:
        checks.refuse(True, {"--src": src, "--tgt": tgt}, "needs a text of your own")
        found = find_corpus(DataConfig(corpus=corpus), notes.append)
        pairs, against, languages = found.train, found.test, (found.src, found.tgt)
    else:
        checks.refuse(True, {"--corpus": corpus}, "is the built-in text, and you name your own")
        src, tgt = languages_in(text) or (src, tgt) if (src, tgt) == (None, None) else (src, tgt)
        if src is None or tgt is None or src == tgt:
            raise ConfigError("two languages are needed.", "command line", "Name them as --src and --tgt.")
        pairs, languages = open_text(text, "train", src, tgt, note=notes.append), (src, tgt)
        against = None
    if test:
        against = open_test(test, *languages, references or (), notes.append)
    copy = None if fix is None else Copy.at(fix, languages)
    if copy is not None:
        check_copy(copy, [pairs, *([against] if against else [])], overwrite)
    cleaned = None
    with console.stages() as report, check(pairs, languages, against, report) as checked:
        if copy is not None and checked.mendable:
            cleaned = write_copy(checked, languages, against, copy, report)
    for note in dict.fromkeys(notes):
        console.notice(note)
    if as_json:
        console.result(json.dumps(_as_json(checked, cleaned), ensure_ascii=True, indent=2))
    else:
        _show(checked, languages)
    if copy is not None and cleaned is not None:
        _tell(cleaned, copy.src, copy.tgt)
        if not cleaned.written:
            raise typer.Exit(DAMAGED)
        return
    if copy is not None:
        console.notice(f"nothing is written: {_why_not(checked)}")
    if checked.damaged:
        raise typer.Exit(DAMAGED)


def _why_not(checked: Checked) -> str:
    """Why there is no cleaned copy."""
    if checked.unrelated:
        return "the two sides do not belong together. Find out which file is the wrong one, or in another order."
    return (
        "which lines belong together cannot be told with confidence. Mend the lines named above by hand, or leave the "
        "part out."
    )


def _show(checked: Checked, languages: tuple[str, str]) -> None:
    from seq2seq_cli import console

    found = [finding for finding in checked.findings if finding.pairs]
    if found or checked.unpaired:
        console.table(_table(checked, found))
    else:
        console.result(f"{counted(checked.pairs, 'pair')}: nothing is the matter with them")
    for line in _details(checked, languages):
        console.result(line)
    kinds = [one.kind.row.name for one in checked.findings if not one.pairs]
    names = [name for name in kinds if checked.test_pairs or not name.startswith("overlap")]
    console.result(f"\nlooked for and not found: {', '.join(names)}")


def _table(checked: Checked, found: list[Finding]) -> Table:
    """A row for each kind of finding that occurs."""
    from rich.table import Table

    table = Table(title=counted(checked.pairs, "pair"), title_justify="left", box=None, padding=(0, 2, 0, 0))
    for name in ("", "finding", "pairs", "%", "source", "target", "in a copy", "meaning"):
        right, prose = name in ("pairs", "%", "source", "target"), name == "meaning"
        table.add_column(name, justify="right" if right else "left", no_wrap=not prose, min_width=12 if prose else None)
    unpaired = checked.unpaired
    if unpaired:
        table.add_row(
            "!",
            "unequal",
            f"{unpaired:,}",
            "",
            *map("{:,}".format, checked.lines),
            "realigned",
            "lines without a partner",
        )
    for finding in found:
        row, per_side = finding.kind.row, [f"{count:,}" for count in finding.sides]
        share = f"{100 * finding.pairs / checked.pairs:.2f}"
        table.add_row(
            "!" if row.damage else "", row.name, f"{finding.pairs:,}", share, *per_side, row.remedy, row.meaning
        )
    return table


def _details(checked: Checked, languages: tuple[str, str]) -> list[str]:
    """What stands below the table: counts of lines, blocks, files that were converted, examples."""
    from seq2seq_cli.data.checks.flaws import Flaw

    lines = []
    if checked.unpaired:
        lines.append(
            f"unequal: {counted(checked.lines[0], 'source line')} and {counted(checked.lines[1], 'target line')}"
        )
    if checked.swapped:
        src, tgt = languages
        lines.append(
            f"swapped: the two sides as a whole: what should be {src} reads like {tgt}, and what should be {tgt}, like {src}; "
            "name them the other way round, or let --fix exchange them"
        )
    for block in checked.blocks[:BLOCKS]:
        where = f"lines {block.first + 1:,} to {block.last + 1:,}"
        lines.append(f"shifted: {where}: {_beside(block.offset)}")
    if len(checked.blocks) > BLOCKS:
        lines.append(f"shifted: {len(checked.blocks) - BLOCKS:,} more blocks (--json names all)")
    for done in checked.conversions:
        if encoded := done.lines[Flaw.ENCODING]:
            name = done.encoding.name if done.encoding else ""
            how = f"iconv -f {name} -t UTF-8 converts it, and so does --fix"
            lines.append(f"encoding: {done.path}: {counted(encoded, 'line')} in {name}; {how}")
        if ended := done.lines[Flaw.LINE_ENDS]:
            lines.append(f"line-ends: {done.path}: {counted(ended, 'line')} ended by CR alone")
    if checked.test_met:
        lines.append(
            f"overlap: {checked.test_met:,} of {counted(checked.test_pairs, 'test pair')} with a side in this text"
        )
    for finding in checked.findings:
        lines += [f"{finding.kind.row.name}: {_example(example)}" for example in finding.examples]
    return ["", *lines] if lines else []


def _beside(offset: int | None) -> str:
    """Where the translations of a block are."""
    if offset is None:
        return "no neighbour fits either"
    return f"the translation stands {counted(abs(offset), 'line')} {'later' if offset > 0 else 'earlier'}"


def _example(example: Example) -> str:
    from seq2seq_cli.data.text import shorten

    texts = [shorten(text) for text, chosen in zip(example.texts, example.sides, strict=True) if chosen]
    side = "" if all(example.sides) else (" source" if example.sides[0] else " target")
    like = "" if example.repeats is None else f" (as line {example.repeats + 1})"
    return f"line {example.row + 1}{side}{like}: {' | '.join(texts)}"


def _tell(cleaned: Cleaned, *files: object) -> None:
    """Say what was left out of a copy, and what was repaired in it."""
    from seq2seq_cli import console

    if (done := cleaned.realigned) is not None:
        console.notice(
            f"paired anew: {counted(done.kept, 'pair')} as they stood, {done.moved:,} with another line than stood beside them, "
            f"{done.merged:,} of several lines; confidence {100 * done.confidence:.0f}%"
        )
    for word, kinds in (("removed", cleaned.removed), ("repaired", cleaned.repaired)):
        said = ", ".join(f"{kind.row.name} {count:,}" for kind, count in kinds.items())
        console.notice(
            f"{word}: {counted(sum(kinds.values()), 'pair')}{f' ({said})' if said else ''}"
            if word == "removed"
            else f"{word}: {said or 'nothing'}"
        )
    if cleaned.unpaired:
        console.notice(f"left out: {counted(cleaned.unpaired, 'line')} without a partner")
    if cleaned.written:
        console.notice(f"{counted(cleaned.written, 'pair')} written to {' and '.join(map(str, files))}")
    else:
        console.notice("nothing is written: no pair is left.")


def _as_json(checked: Checked, cleaned: Cleaned | None) -> dict[str, object]:
    """Plain keys; lines are counted from 1."""
    record: dict[str, object] = {
        "text": checked.where,
        "pairs": checked.pairs,
        "lines": list(checked.lines),
        "unpaired": checked.unpaired,
        "damaged": checked.damaged,
        "findings": [_finding(finding, checked.pairs) for finding in checked.findings],
        "blocks": [
            {"first": block.first + 1, "last": block.last + 1, "offset": block.offset} for block in checked.blocks
        ],
        "files": [
            {
                "path": str(done.path),
                "encoding": done.encoding.name if done.encoding else None,
                "lines": {kind.row.name: lines for kind, lines in done.lines.items()},
            }
            for done in checked.conversions
        ],
        "test_pairs": checked.test_pairs,
        "test_pairs_met": checked.test_met,
    }
    if cleaned is not None:
        record["copy"] = {
            "written": cleaned.written,
            "removed": {kind.row.name: count for kind, count in cleaned.removed.items()},
            "repaired": {kind.row.name: count for kind, count in cleaned.repaired.items()},
            "realigned": _realigned(cleaned.realigned),
        }
    return record


def _realigned(done: Realigned | None) -> dict[str, object] | None:
    if done is None:
        return None
    return {
        "kept": done.kept,
        "moved": done.moved,
        "merged": done.merged,
        "left_out": {"source": done.left_out[0], "target": done.left_out[1]},
        "confidence": done.confidence,
    }


def _finding(finding: Finding, pairs: int) -> dict[str, object]:
    row = finding.kind.row
    return {
        "name": row.name,
        "meaning": row.meaning,
        "damage": row.damage,
        "remedy": row.remedy,
        "pairs": finding.pairs,
        "percent": 100 * finding.pairs / pairs,
        "source": finding.sides[0],
        "target": finding.sides[1],
        "examples": [
            {
                "line": example.row + 1,
                "source": example.texts[0] if example.sides[0] else None,
                "target": example.texts[1] if example.sides[1] else None,
                "repeats_line": None if example.repeats is None else example.repeats + 1,
            }
            for example in finding.examples
        ],
    }
