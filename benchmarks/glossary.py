"""What a glossary costs and gives: terms obeyed, scores and speed of a run, with terms that are made from the references.

python -m benchmarks.glossary --run runs/x --threads 1

A term is a word of the source and the word of the reference that is linked with it: the two are each other's best by the Dice
coefficient of the lines of the training text that hold them. Words of fewer than four letters, or with other signs, are left
out. From each sentence at most ``--terms`` of them are drawn; ``--missing`` draws only those whose translation the search
without a glossary does not hold.
"""

from __future__ import annotations

import random
import statistics
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from benchmarks import common
from seq2seq_cli.config.loading import decoding_with
from seq2seq_cli.config.sections import WORDS
from seq2seq_cli.data.boundaries import units
from seq2seq_cli.data.corpora import find_train
from seq2seq_cli.data.glossary import Glossary, Obeyed, Term
from seq2seq_cli.data.pairs import Lines
from seq2seq_cli.data.text import clean
from seq2seq_cli.decoding.sentences import BEST_TEXT, Sentence
from seq2seq_cli.decoding.term_pieces import TermPieces
from seq2seq_cli.decoding.translator import Translator
from seq2seq_cli.device import set_threads
from seq2seq_cli.evaluation.metrics import score_system
from seq2seq_cli.evaluation.testset import test_text, with_test
from seq2seq_cli.runs import open_run

SHORTEST = 4


@dataclass(frozen=True)
class GlossaryFigures:
    """``held_without``: of the terms, how many the translations hold that know of none."""

    system: str
    precision: str
    beam: int
    sentences: int
    terms: int
    held_without: int
    held_with: int
    bleu_without: float
    bleu_with: float
    chrf_without: float
    chrf_with: float
    seconds_without: float
    seconds_with: float
    speed: float


class Links(NamedTuple):
    """In how many lines of a text each word stands, and each pair of a source word and a target word."""

    sources: Counter[str]
    targets: Counter[str]
    both: Counter[tuple[str, str]]

    @classmethod
    def of(cls, pairs: Iterator[tuple[str, str]], wanted: set[tuple[str, str]]) -> Links:
        """Counted from ``pairs``, for the pairs of words that are ``wanted``."""
        counts = cls(Counter(), Counter(), Counter())
        for src, tgt in pairs:
            left, right = set(words(src)), set(words(tgt))
            counts.sources.update(left)
            counts.targets.update(right)
            counts.both.update((a, b) for a in left for b in right if (a, b) in wanted)
        return counts

    def dice(self, a: str, b: str) -> float:
        """How much the two belong together, from 0 to 1."""
        total = self.sources[a] + self.targets[b]
        return 2 * self.both[a, b] / total if total else 0.0


def words(line: str) -> list[str]:
    """The words of a line that may be terms."""
    return [unit for unit in units(clean(line)) if len(unit) >= SHORTEST and unit.isalpha()]


def linked(links: Links, src: str, tgt: str) -> list[Term]:
    """Words that are each other's best, and stand once on their sides."""
    left, right = Counter(words(src)), Counter(words(tgt))
    found = []
    for a, times in left.items():
        b = max(right, key=lambda b: links.dice(a, b), default=None)
        if b is None or times > 1 or right[b] > 1 or links.dice(a, b) <= 0:
            continue
        if max(left, key=lambda other: links.dice(other, b)) == a:
            found.append(Term(a, (b,), "reference"))
    return found


def drawn(
    translator: Translator, lines: Lines, most: int, missing: bool, sentences: int
) -> tuple[Lines, list[Glossary]]:
    """The first so many sentences with terms, and the glossary of each."""
    wanted = {(a, b) for src, tgt in zip(lines.src, lines.tgt, strict=True) for a in words(src) for b in words(tgt)}
    links = Links.of(find_train(translator.config.data).pairs(), wanted)
    plain = translator.translate(lines.src) if missing else lines.src
    rng = random.Random(1)
    src, tgt, glossaries = list[str](), list[str](), list[Glossary]()
    for source, target, text in zip(lines.src, lines.tgt, plain, strict=True):
        terms = linked(links, source, target)
        if missing:
            terms = [term for term in terms if not term.count_in(text)]
        if terms and len(src) < sentences:
            src.append(source)
            tgt.append(target)
            glossaries.append(Glossary(Path("references"), tuple(rng.sample(terms, min(most, len(terms))))))
    return Lines(src, tgt), glossaries


def timed(translator: Translator, sentences: Sequence[Sentence], beam: int) -> tuple[list[str], float]:
    """The best translations, and the seconds that they took."""
    settings = decoding_with(translator.config.decoding, {"beam": beam})
    begin = time.perf_counter()
    found = translator.search(sentences, settings)
    return [one[0].text for one in found], time.perf_counter() - begin


def measure(
    translator: Translator, lines: Lines, glossaries: Sequence[Glossary], beam: int, turns: int
) -> GlossaryFigures:
    """Translate with and without the terms, in turn."""
    free = translator.sentences(lines.src, BEST_TEXT)
    terms = [TermPieces(glossary, translator.subwords.tgt) for glossary in glossaries]
    bound = [
        replace(sentence, constraints=each.constraints(sentence.line))
        for sentence, each in zip(free, terms, strict=True)
    ]
    obeying = translator.obeying(Glossary(Path("all"), tuple(term for each in glossaries for term in each.terms)))
    timed(translator, free[:50], beam), timed(obeying, bound[:50], beam)
    seconds: list[tuple[float, float]] = []
    for _ in range(turns):
        without, first = timed(translator, free, beam)
        with_terms, second = timed(obeying, bound, beam)
        seconds.append((first, second))

    def held(texts: Sequence[str]) -> Obeyed:
        parts = [
            glossary.judge([line], [text]) for glossary, line, text in zip(glossaries, lines.src, texts, strict=True)
        ]
        return Obeyed(sum(part.asked for part in parts), sum(part.kept for part in parts))

    scores = [score_system(texts, lines.references, WORDS) for texts in (without, with_terms)]
    return GlossaryFigures(
        system=translator.config.system,
        precision=translator.precision.name,
        beam=beam,
        sentences=len(lines.src),
        terms=held(with_terms).asked,
        held_without=held(without).kept,
        held_with=held(with_terms).kept,
        bleu_without=scores[0].bleu.value,
        bleu_with=scores[1].bleu.value,
        chrf_without=scores[0].chrf.value,
        chrf_with=scores[1].chrf.value,
        seconds_without=statistics.median(first for first, _ in seconds),
        seconds_with=statistics.median(second for _, second in seconds),
        speed=statistics.median(first / second for first, second in seconds),
    )


def main(
    run: common.RunOption = None,
    test: common.Test = None,
    threads: common.Threads = None,
    precision: str = "auto",
    beam: Annotated[list[int] | None, typer.Option(help="Repeatable; default: the run's own.")] = None,
    sentences: Annotated[int, typer.Option(help="Sentences with terms.")] = 500,
    terms: Annotated[int, typer.Option(help="Most terms of a sentence.")] = 2,
    missing: Annotated[bool, typer.Option("--missing", help="Only what the search alone does not write.")] = False,
    turns: Annotated[int, typer.Option(help="How often each is timed.")] = 3,
    device: str = "auto",
    as_json: common.JsonOption = False,
) -> None:
    """Terms obeyed, scores and speed with and without a glossary."""
    set_threads(threads)
    opened = open_run(run)
    translator = Translator.load(opened.directory, device, precision)
    lines = Lines.read(test_text(with_test(translator.config.data, test), opened))
    some, glossaries = drawn(translator, lines, terms, missing, sentences)
    results = [
        measure(translator, some, glossaries, width, turns) for width in beam or [translator.config.decoding.beam]
    ]
    common.show(results, as_json, f"a glossary with {Path(opened.directory)}")


if __name__ == "__main__":
    common.command(main)
