"""Checking a whole text: every pair once, then what only all pairs together can tell."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import BinaryIO

import numpy as np

from seq2seq_cli.cores import available_cores
from seq2seq_cli.data.checks.belonging import Sample, evidence
from seq2seq_cli.data.checks.characters import codes_of, counts_by_class
from seq2seq_cli.data.checks.chunk import RECORD, Chunk, Expected
from seq2seq_cli.data.checks.conversion import Conversion, converted
from seq2seq_cli.data.checks.duplicates import Duplicates
from seq2seq_cli.data.checks.flaws import FLAGS, SOURCE, TARGET, Flaw
from seq2seq_cli.data.checks.languages import Languages
from seq2seq_cli.data.checks.lengths import LengthLimits, Lengths
from seq2seq_cli.data.checks.overlap import TestKeys
from seq2seq_cli.data.checks.quoting import all_quoted
from seq2seq_cli.data.checks.reading import Reading
from seq2seq_cli.data.checks.realigning import Realigned, realign, regions_of
from seq2seq_cli.data.checks.scripts import common_scripts, letters_by_script, scripts_of
from seq2seq_cli.data.checks.shifts import Block, suspicious_blocks
from seq2seq_cli.data.checks.workers import looked_at
from seq2seq_cli.data.identification import look_swapped
from seq2seq_cli.data.pairs import ParallelText
from seq2seq_cli.errors import DataError

PAIRS, CHARACTERS = 4096, 1 << 20
"""A chunk ends with the pair that completes either number."""
PAGE = 1 << 18
"""How many records are in memory at a time."""
EXAMPLES = 3
LEARNED_FROM = 4
"""How many chunks, at the beginning of a text, its two languages are learned from."""

Report = Callable[[str, int, int], None]
"""A callback that hears of the stage, how much of it is done, and how much there is, in pairs (0: not known yet)."""


@dataclass(frozen=True)
class Example:
    """A pair with a finding: its row (from 0), the text of both sides, whether each side is concerned, and the row of
    the pair that it repeats, if it does."""

    row: int
    texts: tuple[str, str]
    sides: tuple[bool, bool]
    repeats: int | None


@dataclass(frozen=True)
class Finding:
    """How many pairs have a finding of one kind, how many on each side, and the first of them as examples."""

    kind: Flaw
    pairs: int
    sides: tuple[int, int]
    examples: list[Example]


@dataclass(frozen=True)
class Checked:
    """What was found in a text of ``pairs`` pairs, whose sides have ``lines``; there is one finding for each kind.

    ``text``: the text as it is read, with copies of files that had to be converted; ``where``: its name for people.
    ``test_pairs``: pairs of the test text, of which ``test_met`` have a side that occurs in the text (0 without a test
    text). ``flags``: a file with the flags of every pair (FLAGS), which exists within `check`. ``realigned``: the
    result of pairing lines anew, if they do not stand beside their translations.
    """

    text: ParallelText
    where: str
    pairs: int
    lines: tuple[int, int]
    findings: list[Finding]
    blocks: list[Block]
    limits: LengthLimits
    test_pairs: int
    test_met: int
    flags: Path
    conversions: list[Conversion]
    realigned: Realigned | None

    @property
    def unrelated(self) -> bool:
        """Whether the two sides do not belong together."""
        return any(finding.pairs for finding in self.findings if finding.kind is Flaw.UNRELATED)

    @property
    def swapped(self) -> bool:
        """Whether the text as a whole has the two languages in each other's place."""
        return any(2 * finding.pairs > self.pairs for finding in self.findings if finding.kind is Flaw.SWAPPED)

    @property
    def mendable(self) -> bool:
        """Whether a cleaned copy would be better than the text itself."""
        return not self.unrelated and (self.realigned is None or self.realigned.trusted)

    @property
    def unpaired(self) -> int:
        """How many lines have no partner."""
        return abs(self.lines[0] - self.lines[1])

    @property
    def damaged(self) -> bool:
        """Whether anything was found that is always wrong."""
        return bool(self.unpaired) or any(finding.pairs for finding in self.findings if finding.kind.row.damage)


@contextmanager
def check(
    text: ParallelText,
    languages: tuple[str, str],
    test: ParallelText | None,
    progress: Report,
) -> Iterator[Checked]:
    """While entered, the result of checking a training text, against a test text if there is one.

    Memory does not grow with the text, except for 64 bytes a pair of the test text. The temporary folder takes 63 bytes
    a pair, and copies of files that must be converted and of texts whose lines are paired anew. Raises DataError where
    there is no text to read, or no room.
    """
    conversions: list[Conversion] = []
    of_test: list[Conversion] = []
    with tempfile.TemporaryDirectory(prefix="seq2seq-check-") as folder:
        try:
            readable, conversions = converted(text, languages, Path(folder))
            against = None
            if test is not None:
                against, of_test = converted(test, languages, Path(folder))
            found = _Check(readable, languages, against, progress, Path(folder)).run(available_cores())
        except DataError as error:
            for done in (*conversions, *of_test):
                error.where = error.where and done.named(error.where)
            raise
        except OSError as error:
            hint = "It takes 63 bytes a pair there; TMPDIR names another folder."
            raise DataError(f"what is found cannot be kept: {error.strerror}.", folder, hint) from error
        findings = [_of_files(finding, conversions, found.pairs) for finding in found.findings]
        yield replace(found, where=text.where, findings=findings, conversions=conversions)


def _of_files(finding: Finding, conversions: list[Conversion], count: int) -> Finding:
    """``finding`` with what concerns whole files instead of single pairs. It counts lines, of which a header is one
    too, but at most ``count``, the number of pairs."""
    if finding.kind not in (Flaw.ENCODING, Flaw.LINE_ENDS):
        return finding
    src, tgt = (
        sum(done.lines[finding.kind] for done in conversions if side in done.sides) for side in (SOURCE, TARGET)
    )
    return replace(finding, pairs=min(max(src, tgt), count), sides=(src, tgt))


class _Check:
    """The work of `check`: its files, and its counts."""

    def __init__(
        self,
        text: ParallelText,
        languages: tuple[str, str],
        test: ParallelText | None,
        progress: Report,
        folder: Path,
    ) -> None:
        self.reading = Reading(text)
        self.languages = languages
        self.test = (
            None if test is None else TestKeys.of((chunk.src, chunk.tgt) for chunk in _chunks(Reading(test).pairs()))
        )
        self.progress = progress
        self.records, self.repeats, self.flags = (folder / name for name in ("records", "repeats", "flags"))
        self.folder = folder
        self.lengths = Lengths()
        self.sample = Sample()
        self.met = [np.zeros(len(keys), dtype=bool) for keys in self.test.keys] if self.test else []
        self.repeated: dict[Flaw, dict[int, int]] = {Flaw.DUPLICATE: {}, Flaw.DUPLICATE_NORMALISED: {}}

    def run(self, processes: int) -> Checked:
        with Duplicates(self.folder) as duplicates:
            count = self._look(processes, duplicates)
            self._find_duplicates(count, duplicates)
        blocks, realigned, unrelated = self._alignment(count)
        limits = self.lengths.limits()
        sides, rows = self._conclude(count, limits, blocks)
        if unrelated:
            sides[Flaw.UNRELATED], rows[Flaw.UNRELATED] = (count, count, count), self._first_rows(count)
        examples = self._examples(rows)
        findings = [Finding(kind, sides[kind][2], (sides[kind][0], sides[kind][1]), examples[kind]) for kind in Flaw]
        met = self.test.lines_met(self.met) if self.test else 0
        tested = len(self.test) if self.test else 0
        text = self.reading.text
        return Checked(
            text,
            text.where,
            count,
            self.reading.lines,
            findings,
            blocks,
            limits,
            tested,
            met,
            self.flags,
            [],
            realigned,
        )

    def _alignment(self, count: int) -> tuple[list[Block], Realigned | None, bool]:
        """Blocks of lines that do not stand beside their translations, the result of pairing them anew, and whether the
        two sides have nothing to do with each other."""
        lines = self.reading.lines
        extra = abs(lines[SOURCE] - lines[TARGET])
        blocks = suspicious_blocks(self._read, count, extra, self._stage("alignment", count))
        said = evidence(self.sample.stretches())
        strangers = said.unrelated
        if not (blocks or extra or strangers):
            return [], None, False
        regions = regions_of(blocks, lines, strangers or bool(extra and not said.related))
        realigned = realign(self.reading, regions, self.folder, self._stage("realigning", max(lines)))
        if strangers and not realigned.trusted:
            return [], None, True
        found = [_clipped(block, count) for block in realigned.blocks if block.first < count]
        if not extra:
            found = self._confirmed(found)
        elif not realigned.trusted:
            found = []  # nothing is known but that some lines have no partner
        return (found, realigned, False) if found or extra else ([], None, False)

    def _confirmed(self, blocks: list[Block]) -> list[Block]:
        """Those blocks whose lines have other partners, or whose pairs know no more of each other than strangers do."""
        lost = [block for block in blocks if block.offset is None]
        if not lost:
            return blocks
        pairs = enumerate(self.reading.pairs())
        own: dict[Block, list[tuple[str, str]]] = {block: [] for block in lost}
        for row, pair in pairs:
            for block in lost:
                if block.first <= row <= block.last and len(own[block]) < PAIRS:
                    own[block].append(pair)
            if row > lost[-1].last:
                break
        strangers = {
            block for block, some in own.items() if not evidence([Chunk(0, *map(list, zip(*some, strict=True)))]).likely
        }
        return [block for block in blocks if block.offset is not None or block in strangers]

    @staticmethod
    def _first_rows(count: int) -> list[tuple[int, int]]:
        return [(row, Flaw.UNRELATED.bits) for row in range(min(count, EXAMPLES))]

    def _stage(self, name: str, total: int) -> Callable[[int], None]:
        return lambda done: self.progress(name, done, total)

    def _look(self, processes: int, duplicates: Duplicates) -> int:
        """Look at every pair once; returns their number."""
        chunks = _chunks(self.reading.pairs())
        first = list(islice(chunks, LEARNED_FROM))
        count = 0
        with open(self.records, "wb") as file:
            for seen in looked_at(self._sampled(chain(first, chunks)), self._expected(first), processes):
                file.write(seen.records.tobytes())
                duplicates.add(seen.identities)
                self.lengths.add(seen.records["chars"])
                for met, numbers in zip(self.met, seen.met, strict=True):
                    met[numbers] = True
                count += len(seen.records)
                self.progress("checking", count, 0)
        return count

    def _sampled(self, chunks: Iterable[Chunk]) -> Iterator[Chunk]:
        for chunk in chunks:
            self.sample.add(chunk)
            yield chunk

    def _expected(self, first: list[Chunk]) -> Expected:
        """What lines are compared with, learned from the beginning of the text."""
        src, tgt = ([line for chunk in first for line in (chunk.src, chunk.tgt)[side]] for side in (SOURCE, TARGET))
        quoted = all_quoted(first[0].src), all_quoted(first[0].tgt)
        swapped = look_swapped(src, tgt, self.languages)
        return Expected(self._scripts(first[0], swapped), self.test, quoted, Languages.of(src, tgt), swapped)

    def _scripts(self, chunk: Chunk, swapped: bool) -> tuple[frozenset[str], frozenset[str]]:
        """The scripts of both languages: according to their codes or, failing that, to the beginning of the text."""
        src, tgt = (
            scripts_of(language) or common_scripts(letters_by_script(counts_by_class(codes_of(lines))))
            for language, lines in zip(
                self.languages, (chunk.tgt, chunk.src) if swapped else (chunk.src, chunk.tgt), strict=True
            )
        )
        return src, tgt

    def _read(self, begin: int, end: int) -> np.ndarray:
        return np.fromfile(self.records, dtype=RECORD, count=end - begin, offset=begin * RECORD.itemsize)

    def _find_duplicates(self, count: int, duplicates: Duplicates) -> None:
        """Write a byte for each pair: 0, or the kind of its repetition. Also note the first rows, and the rows that
        they repeat."""
        with open(self.repeats, "w+b") as file:
            file.truncate(count)
            for kind, rows, repeated in duplicates.found():
                _mark(file, rows, kind)
                order = np.argsort(rows)[:EXAMPLES]
                known = [
                    *self.repeated[kind].items(),
                    *zip(rows[order].tolist(), repeated[order].tolist(), strict=True),
                ]
                self.repeated[kind] = dict(sorted(known)[:EXAMPLES])

    def _conclude(
        self, count: int, limits: LengthLimits, blocks: list[Block]
    ) -> tuple[dict[Flaw, tuple[int, int, int]], dict[Flaw, list[tuple[int, int]]]]:
        """Write the flags of all pairs into their file. Returns, for each kind, how many pairs have it on the source
        side, on the target side and on any side; and the first of these rows, with their flags."""
        totals = np.zeros((len(Flaw), 3), dtype=np.int64)
        rows: dict[Flaw, list[tuple[int, int]]] = {kind: [] for kind in Flaw}
        with open(self.flags, "wb") as file:
            for begin in range(0, count, PAGE):
                end = min(begin + PAGE, count)
                records = self._read(begin, end)
                flags = records["flags"] | limits.flags(records["chars"])
                repeats = np.fromfile(self.repeats, dtype=np.uint8, count=end - begin, offset=begin)
                for kind in self.repeated:
                    flags[repeats == kind] |= kind.bits
                for block in blocks:
                    flags[max(0, block.first - begin) : max(0, block.last + 1 - begin)] |= Flaw.SHIFTED.bits
                file.write(flags.astype(FLAGS).tobytes())
                for kind in Flaw:
                    src, tgt, both = (flags & bits != 0 for bits in (kind.bit(SOURCE), kind.bit(TARGET), kind.bits))
                    totals[kind] += [src.sum(), tgt.sum(), both.sum()]
                    wanted = np.flatnonzero(both)[: EXAMPLES - len(rows[kind])].tolist()
                    rows[kind] += [(begin + row, int(flags[row])) for row in wanted]
        return {kind: (int(totals[kind][0]), int(totals[kind][1]), int(totals[kind][2])) for kind in Flaw}, rows

    def _examples(self, rows: dict[Flaw, list[tuple[int, int]]]) -> dict[Flaw, list[Example]]:
        """The text of these rows. For that, the text is read again up to the last of them."""
        wanted = {row for found in rows.values() for row, _ in found}
        texts: dict[int, tuple[str, str]] = {}
        if wanted:
            last = max(wanted)
            for row, pair in enumerate(Reading(self.reading.text).pairs()):
                if row in wanted:
                    texts[row] = pair
                if row == last:
                    break
        return {
            kind: [
                Example(
                    row,
                    texts[row],
                    (bool(flags & kind.bit(SOURCE)), bool(flags & kind.bit(TARGET))),
                    self.repeated.get(kind, {}).get(row),
                )
                for row, flags in found
            ]
            for kind, found in rows.items()
        }


def _clipped(block: Block, count: int) -> Block:
    """The block without its lines that have no line beside them."""
    return replace(block, last=min(block.last, count - 1))


def _chunks(pairs: Iterable[tuple[str, str]]) -> Iterator[Chunk]:
    src: list[str] = []
    tgt: list[str] = []
    characters = first = 0
    for source, target in pairs:
        src.append(source)
        tgt.append(target)
        characters += len(source) + len(target)
        if len(src) == PAIRS or characters >= CHARACTERS:
            yield Chunk(first, src, tgt)
            first += len(src)
            src, tgt, characters = [], [], 0
    if src:
        yield Chunk(first, src, tgt)


def _mark(file: BinaryIO, rows: np.ndarray, value: int) -> None:
    """Write ``value`` at the places ``rows`` of a file of bytes, a page at a time."""
    pages = rows // PAGE
    for page in np.unique(pages).tolist():
        file.seek(page * PAGE)
        content = np.frombuffer(file.read(PAGE), dtype=np.uint8).copy()
        content[rows[pages == page] - page * PAGE] = value
        file.seek(page * PAGE)
        file.write(content.tobytes())
