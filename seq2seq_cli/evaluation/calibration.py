"""Calibrating how sure a run is, and how well that is kept."""

from __future__ import annotations

from collections.abc import Sequence

from seq2seq_cli.config.sections import DecodingConfig
from seq2seq_cli.data.corpora import find_dev
from seq2seq_cli.data.documents import lines_of
from seq2seq_cli.data.pairs import Lines
from seq2seq_cli.data.text import sha256
from seq2seq_cli.decoding.confidence import Calibration, Judged
from seq2seq_cli.decoding.every_line import best_of_each
from seq2seq_cli.decoding.hypothesis import Hypothesis
from seq2seq_cli.decoding.sentences import BEST_PIECES, Sentence
from seq2seq_cli.decoding.translator import Translator, Watch
from seq2seq_cli.evaluation.contexts import before_each_line
from seq2seq_cli.runs import Run


def calibrate(run: Run, translator: Translator, decoding: DecodingConfig, watch: Watch | None = None) -> Calibration:
    """Translate the dev text of a run, which training has not learned from, learn from its references how sure the run may be
    of a word, and keep that in the run's directory.

    Raises DataError where the text is not here, or too small; OSError where the directory cannot be written.
    """
    config = translator.config
    lines = lines_of(find_dev(config.data), config.data, config.reads_before)
    before = before_each_line(lines, config.reads_before)
    found = best_of_each(translator, lines.src, decoding, watch, BEST_PIECES, before)
    calibration = Calibration.fitted(judged(translator, lines, found.sentences, found.hypotheses), sha256(run.best))
    calibration.save(run.calibration)
    return calibration


def judged(
    translator: Translator, lines: Lines, sentences: Sequence[Sentence], hypotheses: Sequence[Hypothesis]
) -> Judged:
    """The words of translations of these lines, which were read as ``sentences``, compared with the references."""
    log_probs = translator.forced_decoder.piece_log_probs(sentences, hypotheses)
    written = [list(map(translator.subwords.tgt.written_pieces, side)) for side in (lines.tgt, *lines.further)]
    return Judged.of(log_probs, [one.pieces for one in hypotheses], list(zip(*written, strict=True)))
