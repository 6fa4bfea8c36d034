"""``seq2seq score``: how likely a trained model finds given translations."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from seq2seq_cli.cli import checks, opening, options, quick
from seq2seq_cli.cli.too_long import warn_of, without
from seq2seq_cli.wording import counted

UNKNOWN = "nan\tnan\tnan\n"
"""Output for a pair that is not scored."""


def score(
    source: Annotated[Path, typer.Argument(metavar="SOURCE", help="Source text, a sentence a line.")],
    target: Annotated[Path, typer.Argument(metavar="TARGET", help="Its translations, line by line.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Where to write; default: standard output.")
    ] = None,
    run: options.RunOption = None,
    pieces: Annotated[
        bool, typer.Option("--pieces", help="TARGET holds subword pieces, as `translate --pieces` writes them.")
    ] = False,
    length_penalty: options.LengthPenalty = None,
    device: options.Device = "auto",
    precision: options.Precision = "fp32",
    threads: options.Threads = None,
) -> None:
    """Score given translations by forced decoding; prints score, log-probability and length in pieces, tab-separated.

    The score is the one that translate ranks by. A translation's pieces can differ from those the search took to
    the same text; with --pieces they are the same, and so is the score. Models that read the sentences before see the lines
    before, with their translations, up to a blank one. A pair of which a side has more than 2,000 pieces
    is not scored: it gets `nan` thrice, with a warning.

    Examples:

        seq2seq score input.txt translations.txt --run runs/x

        seq2seq translate input.txt --pieces -o out.pieces; seq2seq score input.txt out.pieces --pieces
    """
    checks.check_paths([source, target], {"-o": output})
    checks.refuse_int8(precision)
    opened = opening.chosen_run(run)
    quick.load_torch()
    from seq2seq_cli import console
    from seq2seq_cli.data.pairs import LineFiles, Lines
    from seq2seq_cli.data.preceding import previous_lines
    from seq2seq_cli.decoding.forced_decoding import Scoring
    from seq2seq_cli.decoding.given_pairs import overlong_pairs
    from seq2seq_cli.decoding.translator import Translator
    from seq2seq_cli.device import set_threads
    from seq2seq_cli.ranks import joined

    set_threads(threads)
    text = Lines.read(LineFiles(source, target))
    translator = Translator.load(opened.directory, device, precision)
    alpha = opening.decoding_settings(translator.config, length_penalty=length_penalty).length_penalty
    long = overlong_pairs(translator, text.src, text.tgt, pieces)
    scoring = Scoring(alpha, text=False, alignment=False)
    src, tgt = without(text.src, long), without(text.tgt, long)
    previous = previous_lines(text.src, text.tgt) if translator.config.reads_before else None
    with joined() as ranks:
        rows = list(ranks.share(range(len(text.src))))
        if pieces:
            ids = [translator.subwords.tgt.ids(line.split(" ") if line else []) for line in tgt]
            scored = translator.score_pieces(src, ids, scoring, previous, rows)
        else:
            scored = translator.score(src, tgt, scoring, previous, rows)
        told = (f"{one.shown_score}\t{one.log_prob:.6f}\t{len(one.pieces) + 1}\n" for one in scored)
        lines = ranks.gather([UNKNOWN if row in long else line for row, line in zip(rows, told, strict=True)])
    if not ranks.first:
        return
    warn_of(long, "It has no score.")
    with console.text_output(output) as file:
        file.writelines(lines)
    if output is not None:
        console.notice(f"{counted(len(lines), 'score')} written to {output}")
