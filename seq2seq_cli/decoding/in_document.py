"""One sentence of a document, translated with the sentences before it, and where its states looked in these."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from seq2seq_cli.config.sections import DecodingConfig
from seq2seq_cli.data.preceding import previous_lines
from seq2seq_cli.decoding.documents import documents, lines_before
from seq2seq_cli.decoding.every_line import best_of_each
from seq2seq_cli.decoding.hypothesis import Hypothesis
from seq2seq_cli.decoding.translator import Translator, nothing
from seq2seq_cli.errors import ConfigError


def last_of(
    translator: Translator, lines: Sequence[str], decoding: DecodingConfig, target: str | None = None
) -> Hypothesis:
    """The last of the lines, of which blank ones part documents, translated (or as it was translated to ``target``), with
    its ``attentions``. Raises ConfigError where the model does not look back."""
    context = translator.config.reads_before
    if context is None:
        hint = 'Train one with --set model.context="han-encoder" or the like: docs/documents.md.'
        raise ConfigError("this model does not read the sentences before.", "--document", hint)
    previous = previous_lines(lines)
    [*_, rows] = documents(range(len(lines)), previous)
    if not context.back.decoder:  # which needs no translation of the lines before
        rows = rows[-1:]
    found = best_of_each(translator, lines, decoding, before=lines_before(previous, context.sentences), rows=rows)
    hypothesis = found.hypotheses[-1]
    if target is not None:
        [ids] = translator.subwords.tgt.encode([target])
        hypothesis = replace(nothing(), text=target, pieces=tuple(translator.subwords.tgt.pieces(ids)))
    return translator.forced_decoder.looked_into(found.sentences[-1:], [hypothesis])[0]
