"""Some sentences of a comparison, with everything that a page shows of them: translations, differences, attention."""

from __future__ import annotations

import base64
import difflib
import json
import re
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from seq2seq_cli.data.words import is_spaceless
from seq2seq_cli.evaluation.by_sentence import ComparedSentence, ComparedTranslation, by_sentence
from seq2seq_cli.evaluation.lengths import length_bins
from seq2seq_cli.evaluation.systems import Comparison
from seq2seq_cli.report.pictures import spread
from seq2seq_cli.report.views import TranslationView

HOW_CHOSEN = "the same number from every range of source lengths where there are as many, each evenly over the test set"


@dataclass(frozen=True)
class Mark:
    """A stretch of text that is in both (``same``), only in the translation (``added``) or only in the reference
    (``missing``)."""

    kind: Literal["same", "added", "missing"]
    text: str


@dataclass(frozen=True)
class Shown:
    """A run's translation of a sentence: its scores in points, its differences from the reference, its attention."""

    bleu: float
    chrf: float
    marks: list[Mark]
    view: TranslationView


@dataclass(frozen=True)
class ShownSentence:
    """A line of the test set, ``number`` from 1, and the translations of all runs, in the order of the runs."""

    number: int
    source_words: int
    source: str
    reference: str
    runs: list[Shown]

    def to_json(self) -> dict[str, object]:
        """Plain keys."""
        runs = [
            {
                "bleu": round(run.bleu, 2),
                "chrf": round(run.chrf, 2),
                "marks": [asdict(mark) for mark in run.marks],
                "view": _packed(run.view.to_json()),
            }
            for run in self.runs
        ]
        return vars(self) | {"runs": runs}


@dataclass(frozen=True)
class ShownSentences:
    """The chosen sentences, and sacreBLEU's ``signatures`` of sentence BLEU and chrF."""

    sentences: list[ShownSentence]
    signatures: list[str]


def _packed(view: dict[str, object]) -> dict[str, object]:
    """The same; its ``layers`` and ``back``, if there are any, as JSON that zlib has compressed, in base64. As such they take a
    third of the room (25 KB a sentence of 13 words, of four and four layers with four heads), and only a browser that shows them
    reads them."""
    return view | {name: _compressed(view[name]) for name in ("layers", "back") if name in view}


def _compressed(value: object) -> str:
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return base64.b64encode(zlib.compress(text.encode(), 9)).decode()


def chosen_rows(source: Sequence[str], count: int) -> list[int]:
    """Up to ``count`` rows of ``source``, from 0, in order: equally many from each bin of lengths (or all it has),
    evenly spread over the bin. Empty lines are never chosen; equal text gives equal rows."""
    bins = sorted((found for found in length_bins(source) if found.last != 0), key=lambda found: len(found.rows))
    rows: list[int] = []
    for place, found in enumerate(bins):
        # What small bins cannot fill goes to the larger bins, which come later.
        share = (count - len(rows)) // (len(bins) - place)
        rows += spread(list(found.rows), share)
    return sorted(rows)


def shown_sentences(comparison: Comparison) -> ShownSentences:
    """The sentences whose hypotheses the comparison has kept. Its runs translate the same source text."""
    told = by_sentence(comparison)
    rows = sorted(comparison.evaluations[0].kept)
    return ShownSentences([_shown(comparison, row, told.sentences[row]) for row in rows], told.signatures)


def _shown(comparison: Comparison, row: int, sentence: ComparedSentence) -> ShownSentence:
    views = [
        TranslationView.of(name, sentence.source, evaluation.kept[row])
        for name, evaluation in zip(comparison.names, comparison.evaluations, strict=True)
    ]
    runs = [_of_run(run, view, sentence.reference) for run, view in zip(sentence.runs, views, strict=True)]
    return ShownSentence(sentence.number, sentence.source_words, sentence.source, sentence.reference, runs)


def _of_run(run: ComparedTranslation, view: TranslationView, reference: str) -> Shown:
    return Shown(run.bleu, run.chrf, differences(reference, run.translation), view)


def differences(reference: str, translation: str) -> list[Mark]:
    """The translation and its differences from the reference, word by word; character by character in scripts that
    write no spaces."""
    wanted, found = _words(reference), _words(translation)
    bare = [[word.rstrip() for word in side] for side in (wanted, found)]
    matcher = difflib.SequenceMatcher(a=bare[0], b=bare[1], autojunk=False)
    marks = []
    for tag, i, j, k, m in matcher.get_opcodes():
        if tag == "equal":
            marks.append(Mark("same", "".join(found[k:m])))
            continue
        if i < j:
            marks.append(Mark("missing", "".join(wanted[i:j])))
        if k < m:
            marks.append(Mark("added", "".join(found[k:m])))
    return marks


def _words(line: str) -> list[str]:
    """The words of a line, each with a space behind it, the last one too."""
    words = []
    for word in re.findall(r"\S+\s*", f"{line.rstrip()} "):
        starts = [i for i, character in enumerate(word) if i == 0 or is_spaceless(character)]
        words += [word[i:j] for i, j in zip(starts, [*starts[1:], len(word)], strict=True)]
    return words
