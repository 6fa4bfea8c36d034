"""How the attention of each layer of a Transformer decoder is distributed, in translations that were found."""

from __future__ import annotations

from collections.abc import Sequence

from seq2seq_cli.decoding.hypothesis import Hypothesis
from seq2seq_cli.decoding.sentences import Sentence
from seq2seq_cli.decoding.translator import Translator
from seq2seq_cli.evaluation.diagnostics import Diagnostics, Measured, summed_up

CHUNK = 200
"""How many translations have the weights of all their layers in memory at once."""


def diagnose_layers(
    translator: Translator, sentences: Sequence[Sentence], hypotheses: Sequence[Hypothesis]
) -> list[Diagnostics | None]:
    """The figures of each layer that looks at the source, the bottom layer first; none where there are not several. A
    hypothesis without an alignment, such as that of an empty line, is left out, as in `diagnose`."""
    layers = len(translator.attention_layers.cross)
    if layers < 2:
        return []
    found: list[list[Measured | None]] = [[] for _ in range(layers)]
    rows = [row for row, hypothesis in enumerate(hypotheses) if hypothesis.alignment is not None]
    for start in range(0, len(rows), CHUNK):
        chunk = rows[start : start + CHUNK]
        pairs = [sentences[row] for row in chunk], [hypotheses[row] for row in chunk]
        for one in translator.forced_decoder.looked_into(*pairs, within=False):
            assert one.attentions is not None
            for layer, seen in zip(found, one.attentions.cross, strict=True):
                layer.append(Measured.of(seen.mean))
    return [summed_up(layer) for layer in found]
