"""From text to what training reads: a vocabulary and piece ids, made once and kept in a cache."""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, compress, cycle
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import sentencepiece

from seq2seq_cli.config.context import Context
from seq2seq_cli.config.sections import DataConfig, SubwordConfig
from seq2seq_cli.cores import available_cores
from seq2seq_cli.data.cache import cache_root, cached
from seq2seq_cli.data.corpora import Corpus, find_corpus
from seq2seq_cli.data.documents import find_documents, lines_of
from seq2seq_cli.data.epochs import TrainingText, beside, training_text
from seq2seq_cli.data.guidance import GuideFile, check_links, read_piece_links
from seq2seq_cli.data.identification import swapped_notes
from seq2seq_cli.data.neighbours import Neighbours
from seq2seq_cli.data.pairs import Lines, ParallelText
from seq2seq_cli.data.preceding import NONE, previous_of
from seq2seq_cli.data.subword import Subword, Subwords, train_subword
from seq2seq_cli.data.tables import Table
from seq2seq_cli.data.text import clean, sha256
from seq2seq_cli.data.tokenised import TokenisedSplit, TokenisedText, write_shards
from seq2seq_cli.errors import DataError, RunError
from seq2seq_cli.runs import Run
from seq2seq_cli.wording import counted

FORMAT = 3
"""Part of the name of a cache entry; raised whenever the same text and settings would give another entry."""

VOCABULARY_PAIRS = 100_000
"""How many pairs a vocabulary is learnt from; of a larger text, every second, third, ... pair. SentencePiece keeps all
text that it is given in memory, and the more text there is, the longer it takes for each pair."""

SELECTING = {"max_length", "test", "references", "streaming", "documents", "document"}
"""Settings that do not decide what a cache entry holds: how it is read, and what is read beside it."""

REPORT_EVERY = 50_000

Report = Callable[[str, int, int], None]
"""A callback that hears of work that takes long: the stage, how much of it is done, and how much there is (0: not known
yet). Here it counts pairs."""


def silent(stage: str, done: int, total: int) -> None:
    """A `Report` that does nothing, for callers that show no progress."""


@dataclass(frozen=True)
class Prepared:
    """A corpus ready for training.

    ``train`` lacks the pairs that training leaves out (``notes`` counts them, in sentences for people); ``dev`` has
    every pair, in the order of ``dev_lines``. ``corpus_name`` is safe as a file name. ``hashes`` maps each split to the
    SHA-256 of its text, and ``links`` to that of the file of word links, if one guides training. ``src`` and ``tgt``
    are the languages.
    """

    directory: Path
    subwords: Subwords
    train: TrainingText
    dev: TokenisedSplit
    dev_lines: Lines
    test_lines: Lines | None
    src: str
    tgt: str
    corpus_name: str
    notes: list[str]
    hashes: dict[str, str]


def prepare(
    data: DataConfig,
    subword: SubwordConfig,
    threads: int | None = None,
    report: Report = silent,
    subwords: Subwords | None = None,
    links: GuideFile | None = None,
    context: Context | None = None,
) -> Prepared:
    """The corpus of ``data``, tokenised with ``subwords`` or, if None, with a vocabulary trained on it. If ``links`` is
    given, the training text has the word links of that file; if ``context`` is, every text has its documents.

    What was made before from the same text and settings comes from `cache_root`. ``threads`` threads tokenise (None: as
    many as there are cores). Raises DataError where the text cannot be used.
    """
    said: list[str] = []
    corpus = find_corpus(data, said.append)
    if links is not None:
        check_links(links, corpus.train, said.append)
    texts = {"train": corpus.train, "dev": corpus.dev} | ({"test": corpus.test} if corpus.test else {})
    hashes = {split: text.digest() for split, text in texts.items()}
    if isinstance(corpus.train, Table):
        next(corpus.train.pairs(), None)  # hear how it is read, also where it was tokenised before
    read = partial(lines_of, data=data, context=context)
    test_lines = read(corpus.test) if corpus.test else None

    def make(entry: Path) -> None:
        _make(entry, corpus, subword, subwords, threads or available_cores(), report)

    key = _key(data, subword, subwords, hashes)
    directory = cached(cache_root(), key, make, lambda: report("waiting for another process", 0, 0))
    try:
        pieces = subwords or Subwords.load(Run(directory), subword.joint)
        every, dev = (TokenisedText.open(directory, split) for split in ("train", "dev"))
        train = training_text(every, data.max_length)
        dev_pairs = dev.load()
    except (RunError, pa.ArrowInvalid, OSError) as error:
        raise DataError(
            "the prepared data are damaged.", str(directory), "Delete this folder and try again."
        ) from error
    notes = _left_out(train, corpus.train.where)
    if context is not None:
        trained, tested = (_neighbours(*each, data, context) for each in ((corpus.train, every), (corpus.dev, dev)))
        train, dev_pairs = replace(train, neighbours=trained.neighbours), beside(dev_pairs, tested.neighbours)
        notes += [trained.note, tested.note]
        hashes["documents"] = hashlib.sha256(trained.neighbours.previous_N.tobytes()).hexdigest()
    if links is not None:
        train, note = _guided(train, links, corpus.train, pieces, report)
        notes.append(note)
        hashes["links"] = sha256(links.path)
    if subwords is None:
        notes += _size_notes(pieces, subword)
    lines = read(corpus.dev)
    judged = {corpus.dev.where: lines} | ({corpus.test.where: test_lines} if corpus.test and test_lines else {})
    notes += swapped_notes(judged, (corpus.src, corpus.tgt))
    notes = [*dict.fromkeys(said), *notes]  # each once, however often the text was read
    return Prepared(
        directory, pieces, train, dev_pairs, lines, test_lines, corpus.src, corpus.tgt, corpus.name, notes, hashes
    )


def _key(data: DataConfig, subword: SubwordConfig, subwords: Subwords | None, hashes: dict[str, str]) -> str:
    """A name for everything that decides what a cache entry holds. max_length is not part of it: it selects pairs on
    reading."""
    given = (
        [] if subwords is None else [hashlib.sha256(side.model).hexdigest() for side in (subwords.src, subwords.tgt)]
    )
    parts = {
        "format": FORMAT,
        "sentencepiece": sentencepiece.__version__,
        "data": data.resolved().model_dump(exclude=SELECTING),
        "subword": given or subword.model_dump(),
        "text": [hashes["train"], hashes["dev"]],
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


def _make(
    entry: Path, corpus: Corpus, config: SubwordConfig, given: Subwords | None, threads: int, report: Report
) -> None:
    texts = {"train": corpus.train, "dev": corpus.dev}
    totals = {split: _check(text, report) for split, text in texts.items()}
    subwords = given or _vocabulary(Run(entry), corpus.train, totals["train"], config, report)
    if given is not None:
        given.save(Run(entry))
    before = 0
    for split, text in texts.items():

        def tokenised(done: int, before: int = before) -> None:
            report("tokenising", before + done, sum(totals.values()))

        write_shards(entry, split, text.pairs(), subwords, threads, tokenised)
        before += totals[split]


def _check(text: ParallelText, report: Report) -> int:
    """The number of pairs. Raises DataError where any pair cannot be read, or none has two sides."""
    count, usable = 0, False
    for count, (src, tgt) in enumerate(text.pairs(), start=1):
        usable = usable or bool(clean(src) and clean(tgt))
        if count % REPORT_EVERY == 0:
            report("reading", count, 0)
    if not usable:
        raise DataError(f"{counted(count, 'pair')}, and none of them has two sides.", text.where)
    return count


def _vocabulary(run: Run, text: ParallelText, pairs: int, config: SubwordConfig, report: Report) -> Subwords:
    """Learnt from ``text``, unless a killed preparation has left it already."""
    try:
        return Subwords.load(run, config.joint)
    except RunError:
        pass
    report("vocabulary", 0, pairs)
    subwords = _train(text, pairs, config)
    subwords.save(run)
    report("vocabulary", pairs, pairs)
    return subwords


def _train(text: ParallelText, pairs: int, config: SubwordConfig) -> Subwords:
    every = -(-pairs // VOCABULARY_PAIRS)

    def sample() -> Iterator[tuple[str, str]]:
        return compress(text.pairs(), cycle([True] + [False] * (every - 1)))

    if config.joint:
        both = train_subword(chain.from_iterable(sample()), config)
        return Subwords(both, both)
    src = train_subword((src for src, _ in sample()), config)
    return Subwords(src, train_subword((tgt for _, tgt in sample()), config))


class _Found(NamedTuple):
    """The neighbours of the pairs of a text, and a note on its documents."""

    neighbours: Neighbours
    note: str


def _neighbours(text: ParallelText, tokenised: TokenisedText, data: DataConfig, context: Context) -> _Found:
    lengths = [(split.src_lengths, split.tgt_lengths) for split in map(tokenised.load, _each(tokenised))]
    src_N, tgt_N = (np.concatenate(side) > 0 for side in zip(*lengths, strict=True))
    documents = find_documents(text, data, ~(src_N | tgt_N))
    usable_N = src_N & tgt_N
    previous_N = previous_of(documents.begins_N, usable_N)
    share = int((previous_N[usable_N] != NONE).sum()) / max(1, int(usable_N.sum()))
    note = (
        f"{text.where}: {counted(int(documents.begins_N.sum()), 'document')}, told by {documents.told_by}; {share:.0%} of the pairs "
        "have sentences before them."
    )
    return _Found(Neighbours(previous_N, tokenised.mapped(), context), note)


def _each(tokenised: TokenisedText) -> list[list[int]]:
    return [[number] for number in range(len(tokenised.chunks))]


def _left_out(train: TrainingText, where: str) -> list[str]:
    """Notes on the pairs that are not trained on. Raises DataError where no pair is left."""
    counts, notes = train.counts, []
    if counts.empty:
        notes.append(f"{counted(counts.empty, 'pair')} with an empty side: dropped.")
    if counts.long:
        notes.append(
            f"{counted(counts.long, 'pair')} longer than {train.max_length} pieces (data.max_length): left out of training."
        )
    if not counts.kept:
        raise DataError(f"no pair is left for training. {' '.join(notes)}", where, "Raise data.max_length.")
    return notes


def _guided(
    train: TrainingText, file: GuideFile, text: ParallelText, subwords: Subwords, report: Report
) -> tuple[TrainingText, str]:
    """``train`` with the links of its words, and a note on them."""
    links = read_piece_links(file, text, subwords, lambda done, total: report("linking", done, total))
    guided = sum(int(links.guided[part.numbers].sum()) for part in train.parts())
    if not guided:
        raise DataError("no word of the pairs that are trained on is linked.", str(file.path))
    share = guided / train.counts.tgt_pieces
    return replace(train, links=links), f"Attention is guided at {share:.0%} of the target pieces: {file.path}."


def _size_notes(subwords: Subwords, config: SubwordConfig) -> list[str]:
    def note(side: str, subword: Subword) -> str:
        return (
            f"The {side} text feeds {counted(len(subword), 'piece')} of type {config.type}, not {config.vocab_size:,} "
            "(subword.vocab_size): the vocabulary has as many."
        )

    sides = {"training": subwords.src} if subwords.joint else {"source": subwords.src, "target": subwords.tgt}
    return [note(side, subword) for side, subword in sides.items() if len(subword) < config.vocab_size]
