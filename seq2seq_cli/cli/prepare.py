"""``seq2seq prepare``: the data step of train on its own."""

from __future__ import annotations

from seq2seq_cli.cli import options, streams


def prepare(
    texts: options.Texts,
    settings: options.Settings,
) -> None:
    """Learn the vocabulary and tokenise the text; train finds the result by itself.

    Examples:

        seq2seq prepare --corpus bible-es-en

        seq2seq prepare --train P/train --dev P/dev --src de --tgt en --set subword.vocab_size=4000
    """
    from seq2seq_cli import console
    from seq2seq_cli.config.loading import load
    from seq2seq_cli.data.prepare import prepare as prepare_data

    streams.do_without_output()
    config = load(settings.config, settings.changes, texts.flags)
    with console.stages() as report:
        prepared = prepare_data(config.data, config.subword, report=report, context=config.reads_before)
    for note in prepared.notes:
        console.notice(note)
    counts = prepared.train.counts
    rows = [
        ("corpus", f"{prepared.corpus_name} ({prepared.src} to {prepared.tgt})"),
        ("training pairs", f"{len(prepared.train):,}"),
        ("dev pairs", f"{len(prepared.dev):,}"),
        ("test pairs", f"{len(prepared.test_lines.src):,}" if prepared.test_lines else "none"),
        ("pieces", f"{len(prepared.subwords.src):,} / {len(prepared.subwords.tgt):,}"),
        ("source pieces a sentence", f"{counts.src_pieces / counts.kept:.1f}"),
        ("target pieces a sentence", f"{counts.tgt_pieces / counts.kept:.1f}"),
        ("written to", str(prepared.directory)),
    ]
    console.facts(rows)
