"""Sentence pairs: what every form of a corpus provides, and the simplest form, two line-aligned files."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise, zip_longest
from pathlib import Path
from typing import Protocol

import numpy as np

from seq2seq_cli.data.text import TextFile, read_lines, sha256, shorten
from seq2seq_cli.errors import DataError
from seq2seq_cli.wording import counted


class ParallelText(Protocol):
    """One split of a corpus in any form. It may be read any number of times, and is never held in memory as a whole."""

    @property
    def where(self) -> str:
        """The file or dataset, for messages."""

    @property
    def files(self) -> list[Path]:
        """The files it is read from; none for a dataset."""

    def digest(self) -> str:
        """SHA-256 of the text: changes whenever a pair does."""

    def pairs(self) -> Iterator[tuple[str, str]]:
        """Source and target of each pair, in order. Raises DataError where the text is unusable or empty."""


@dataclass(frozen=True)
class Lines:
    """The raw text of a small split: line i of ``tgt`` translates line i of ``src``."""

    src: list[str]
    tgt: list[str]
    further: tuple[list[str], ...] = ()
    """More references for every line, as good as ``tgt``; an empty one is missing."""
    previous: list[int] | None = None
    """For each line the number of the line before it in its document, -1 where there is none; None where nobody asks for
    documents."""

    @property
    def references(self) -> Sequence[str | tuple[str, ...]]:
        """For each line, what its translation is compared with."""
        return list(zip(self.tgt, *self.further, strict=True)) if self.further else self.tgt

    @classmethod
    def read(cls, text: ParallelText) -> "Lines":
        """All lines of ``text``, in memory. Raises DataError also where a further reference belongs to another source
        text."""
        src, tgt = zip(*text.pairs(), strict=True)
        further = text.further if isinstance(text, Referenced) else ()
        return cls(list(src), list(tgt), tuple(_beside(src, one) for one in further))


def _beside(src: Sequence[str], text: ParallelText) -> list[str]:
    """The target side of ``text``, after checking that its source is ``src``."""
    tgt = list[str]()
    for number, (pair, wanted) in enumerate(zip_longest(text.pairs(), src), start=1):
        if pair is None or pair[0] != wanted:
            what = f"pair {number:,} of a further reference does not translate the sentence that the first one does."
            raise DataError(what, text.where, "Every reference must translate the same sentences, in the same order.")
        tgt.append(pair[1])
    return tgt


@dataclass(frozen=True)
class TwoFiles:
    """A file for each language. ``name``: what people call them; empty: their paths."""

    src: TextFile
    tgt: TextFile
    name: str = ""

    @property
    def where(self) -> str:
        return self.name or f"{self.src} and {self.tgt}"

    @property
    def files(self) -> list[Path]:
        return [Path(self.src), Path(self.tgt)]

    def digest(self) -> str:
        return sha256(self.src, self.tgt)


@dataclass(frozen=True)
class LineFiles(TwoFiles):
    """Line i of one file translates line i of the other."""

    def pairs(self) -> Iterator[tuple[str, str]]:
        read = 0
        for src, tgt in zip_longest(read_lines(self.src), read_lines(self.tgt)):
            if src is None or tgt is None:
                raise self._unequal()
            read += 1
            yield src, tgt
        if not read:
            raise DataError("both files are empty.", self.where)

    def _unequal(self) -> DataError:
        src, tgt = list(read_lines(self.src)), list(read_lines(self.tgt))
        for path, lines in ((self.src, src), (self.tgt, tgt)):
            if not lines:
                return DataError("the file is empty.", str(path))
        clear = clearly_shifted(src, tgt)
        line = min(len(src), len(tgt)) if clear is None else clear
        texts = [shorten(lines[line]) if line < len(lines) else "(no such line)" for lines in (src, tgt)]
        where = f"They look shifted from line {line + 1} on" if clear is not None else "Here the one ends"
        what = (
            f"{counted(len(src), 'line')} in one file but {len(tgt):,} in the other. {where}:\n"
            f"  {self.src}:{line + 1}: {texts[0]}\n"
            f"  {self.tgt}:{line + 1}: {texts[1]}"
        )
        hint = (
            "Line N of one file must translate line N of the other: `seq2seq check-data` shows where they part, and its --fix "
            "pairs lines anew."
        )
        return DataError(what, self.where, hint)


@dataclass(frozen=True)
class Referenced:
    """A test text, ``first``, and ``further`` ones that hold other translations of the same source."""

    first: ParallelText
    further: tuple[ParallelText, ...]

    @property
    def parts(self) -> tuple[ParallelText, ...]:
        return self.first, *self.further

    @property
    def where(self) -> str:
        return " and ".join(dict.fromkeys(chain.from_iterable(map(_names, self.parts))))

    @property
    def files(self) -> list[Path]:
        return list(dict.fromkeys(file for part in self.parts for file in part.files))

    def digest(self) -> str:
        return hashlib.sha256("".join(part.digest() for part in self.parts).encode()).hexdigest()

    def pairs(self) -> Iterator[tuple[str, str]]:
        """The pairs of ``first``; `Lines.read` reads all references."""
        return self.first.pairs()


@dataclass(frozen=True)
class Joined:
    """Several texts, one after the other."""

    parts: tuple[ParallelText, ...]
    where: str

    @classmethod
    def of(cls, parts: Sequence[ParallelText], name: object) -> ParallelText:
        """``parts`` as one text called ``name``; a single part is returned as it is."""
        return parts[0] if len(parts) == 1 else cls(tuple(parts), f"{name} ({counted(len(parts), 'part')})")

    @property
    def files(self) -> list[Path]:
        return [file for part in self.parts for file in part.files]

    def digest(self) -> str:
        return hashlib.sha256("".join(part.digest() for part in self.parts).encode()).hexdigest()

    def pairs(self) -> Iterator[tuple[str, str]]:
        for part in self.parts:
            yield from part.pairs()


def _names(text: ParallelText) -> list[str]:
    """The names that make up `where`."""
    return [str(text.src), str(text.tgt)] if isinstance(text, TwoFiles) and not text.name else [text.where]


AGREE, BETTER = 0.5, 0.2
"""The lengths of lines that translate each other must have at least this correlation, and one that is higher by this
much than the correlation of lines that would otherwise stand beside each other."""
STRETCH, FEWEST = 8, 3
"""Pairs of a stretch that has to agree, and the fewest where there are not as many."""


def clearly_shifted(src: list[str], tgt: list[str]) -> int | None:
    """The line of `first_shifted`, if lengths confirm it: in each stretch of the text, before and behind that line, the
    lengths fit the lines they would then stand beside, and do not fit the lines that they would stand beside otherwise.
    None where they do not confirm it: lines may be missing in several places, or the text is sorted by length."""
    place = first_shifted(src, tgt)
    longer, shorter = (
        np.log([len(line) + 1.0 for line in lines]) for lines in sorted((src, tgt), key=len, reverse=True)
    )
    count, extra = len(shorter), len(longer) - len(shorter)
    beside, moved = longer[:count], longer[extra:]
    stretches = [
        (shorter[part], right[part], wrong[part])
        for begin, end, right, wrong in ((0, place, beside, moved), (place, count, moved, beside))
        for part in _parted(begin, end)
    ]
    agree = [
        _correlation(own, right) > max(AGREE, _correlation(own, wrong) + BETTER) for own, right, wrong in stretches
    ]
    return place if agree and all(agree) else None


def _parted(begin: int, end: int) -> list[slice]:
    """Up to four stretches that make up some of the pairs."""
    if end - begin < FEWEST:
        return []
    edges = np.linspace(begin, end, max(1, min(4, (end - begin) // STRETCH)) + 1).astype(int).tolist()
    return [slice(first, last) for first, last in pairwise(edges)]


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
    one, other = one - one.mean(), other - other.mean()
    scale = float(np.sqrt((one @ one) * (other @ other)))
    return float(one @ other) / scale if scale else 0.0


def first_shifted(src: list[str], tgt: list[str]) -> int:
    """The line (from 0) where the longer of two texts most likely has its extra lines.

    Lines that translate each other have lengths in a nearly fixed ratio. Of all places where the extra lines
    may stand as one block, the answer is the one that leaves the log-ratios of all other pairs with the smallest
    variance; the last one where several do.
    """
    lengths = (np.array([len(line) + 1 for line in lines]) for lines in sorted((src, tgt), key=len, reverse=True))
    longer, shorter = lengths
    aligned, moved = (np.log(part / shorter) for part in (longer[: len(shorter)], longer[-len(shorter) :]))

    def total(power: int) -> np.ndarray:
        """For each place: the sum over the pairs before it, as they stand, and those behind it, moved."""
        before, behind = np.cumsum(aligned**power), np.cumsum((moved**power)[::-1])[::-1]
        return np.concatenate(([0.0], before)) + np.concatenate((behind, [0.0]))

    variance = total(2) / len(shorter) - (total(1) / len(shorter)) ** 2
    return int(np.flatnonzero(variance <= variance.min() + 1e-12)[-1])
