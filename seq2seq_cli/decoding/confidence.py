"""How sure a translation is: for each of its words the chance that a reference has it, as dev has shown.

What a model thinks of a word is the probability of its pieces, given all before them. That is no chance of being right:
models are surer than they should be (Wang et al. 2020). But on dev one can count how many of the words that it thought so
likely stand in the reference. Isotonic regression makes a chance of that: what the model thinks likelier is never less sure.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np

from seq2seq_cli.data.boundaries import is_open, joined, joint
from seq2seq_cli.data.subword import SPACE, as_written, readable
from seq2seq_cli.data.text import sha256
from seq2seq_cli.errors import DamagedError, DataError, RunError
from seq2seq_cli.files import parse_json, read_bytes
from seq2seq_cli.runs import Run, check_format, write_json

FORMAT = 1
LARGEST_FILE = 1 << 20
LEAST = 50
"""Fewest words of dev that a chance is counted from."""
MOST_STEPS = 100
"""Into at most so many groups of equally many words, from the least likely to the likeliest, those of dev are put."""
BINS = 10
"""Of equally many words, or lines, over which the expected calibration error is taken."""


class RatedWord(NamedTuple):
    """A word of a translation, a mark of punctuation included, and the chance that a reference has it."""

    text: str
    chance: float


@dataclass(frozen=True)
class Confidence:
    """``line``: the share of the words of such a translation that a reference is expected to have, the mean of the chances of
    its ``words``; 1 for a line without a word, 0 where there should be words and are none."""

    line: float
    words: tuple[RatedWord, ...] = ()

    @property
    def shown(self) -> str:
        """To three decimal places."""
        return f"{self.line:.3f}"

    def to_json(self) -> dict[str, object]:
        """For programs."""
        return {"line": self.line, "words": [word._asdict() for word in self.words]}


class PieceWord(NamedTuple):
    """A word as the pieces show it, and the numbers of its pieces."""

    text: str
    pieces: tuple[int, ...]


def words_in(pieces: Sequence[str]) -> list[PieceWord]:
    """The words that pieces, as `Subword.pieces` gives them, make up: where there is a boundary of words between two pieces a
    new one begins. Marks of punctuation are words of their own where they are pieces of their own."""
    found: list[list[int]] = []
    opened, blank = False, True
    for number, piece in enumerate(pieces):
        text = as_written(piece)
        if not found or not (blank or joined(opened, joint(text[0]))):
            found.append([])
        found[-1].append(number)
        # A lone ▁ belongs to what follows.
        opened, blank = is_open(text[-1]), text == SPACE
    spelled = ("".join(readable(pieces[number].replace(SPACE, " ")) for number in numbers).strip() for numbers in found)
    return [PieceWord(text, tuple(numbers)) for text, numbers in zip(spelled, found, strict=True)]


class Judged(NamedTuple):
    """Words of lines: the natural log-probability of each, whether the reference has it, and the number of its line."""

    log_prob_N: np.ndarray
    right_N: np.ndarray
    line_N: np.ndarray

    @classmethod
    def of(cls, log_probs: Sequence[np.ndarray], pieces: Sequence[Sequence[str]], references: Sequence[Sequence[Sequence[str]]]) -> Self:  # fmt: skip
        """From the log-probabilities of the pieces of each translation, the pieces, and those of its references. A word of which
        a reference has fewer than the translation is right as often as it is there; of several references the one counts
        with the most words right."""
        rows = []
        for number, (own, spelled, several) in enumerate(zip(log_probs, pieces, references, strict=True)):
            words = words_in(spelled)
            right = max((_right(words, reference) for reference in several), key=sum)
            rows += [
                (own[list(word.pieces)].sum(), is_right, number) for word, is_right in zip(words, right, strict=True)
            ]
        columns = np.array(rows, dtype=np.float64).reshape(-1, 3).T
        return cls(columns[0], columns[1], columns[2].astype(np.int64))


def _right(words: Sequence[PieceWord], reference: Sequence[str]) -> list[bool]:
    left = Counter(word.text for word in words_in(reference))
    right = []
    for word in words:
        right.append(left[word.text] > 0)
        left[word.text] -= 1
    return right


@dataclass(frozen=True)
class CalibrationError:
    """Expected calibration error: by how much chances differ from the shares that are right, on average over bins of equally many
    words, and of equally many lines. ``right``: the share of all words that is right."""

    words: float
    lines: float
    right: float

    def __str__(self) -> str:
        return (
            f"expected calibration error {100 * self.words:.1f} points of words, {100 * self.lines:.1f} of lines "
            f"({100 * self.right:.1f}% of the words are right)"
        )


@dataclass(frozen=True)
class Calibration:
    """From what a model thinks of a word to the chance that it is right. Between the ``log_probs``, which rise, the ``chances``
    are interpolated; outside them they stay. ``weights``: the digest of the weights it was made for; ``words`` and
    ``lines``: how many of dev it was made from."""

    log_probs: tuple[float, ...]
    chances: tuple[float, ...]
    weights: str
    words: int
    lines: int

    @classmethod
    def fitted(cls, judged: Judged, weights: str) -> Self:
        """Raises DataError where there are too few words."""
        size = len(judged.log_prob_N)
        if size < LEAST:
            raise DataError(f"{size} words of translations are too few to calibrate on; it takes {LEAST}.", "dev")
        order = judged.log_prob_N.argsort(kind="stable")
        groups = np.array_split(order, min(MOST_STEPS, size // LEAST))
        # One more that is right and one that is not: nothing is certain.
        steps = [
            _Step(
                float(judged.log_prob_N[group].mean()), (judged.right_N[group].sum() + 1) / (len(group) + 2), len(group)
            )
            for group in groups
        ]
        rising = _isotonic(steps)
        lines = len(np.unique(judged.line_N))
        return cls(tuple(step.log_prob for step in rising), tuple(step.chance for step in rising), weights, size, lines)

    def chance(self, log_prob_N: np.ndarray) -> np.ndarray:
        """The chances of words with these log-probabilities."""
        return np.asarray(np.interp(log_prob_N, self.log_probs, self.chances))

    def rated(self, pieces: Sequence[str], log_probs: np.ndarray) -> Confidence:
        """The confidence of a translation, given the log-probabilities of its pieces."""
        words = words_in(pieces)
        if not words:
            return Confidence(0.0)
        chances = self.chance(np.array([log_probs[list(word.pieces)].sum() for word in words])).tolist()
        rated = (RatedWord(word.text, chance) for word, chance in zip(words, chances, strict=True))
        return Confidence(sum(chances) / len(chances), tuple(rated))

    def error(self, judged: Judged) -> CalibrationError:
        """On other lines than it was made from, if that is to say anything."""
        chance_N = self.chance(judged.log_prob_N)
        size = np.maximum(1, np.bincount(judged.line_N))
        by_line = np.bincount(judged.line_N, chance_N) / size, np.bincount(judged.line_N, judged.right_N) / size
        there = np.unique(judged.line_N)
        return CalibrationError(
            _error(chance_N, judged.right_N), _error(by_line[0][there], by_line[1][there]), float(judged.right_N.mean())
        )

    def save(self, path: Path) -> None:
        """As JSON."""
        write_json(path, {"format": FORMAT, **asdict(self)})

    @classmethod
    def load(cls, path: Path) -> Self:
        """Raises DamagedError for a file that holds none, RunError for one of a later version, OSError where it is missing."""
        hint = "Delete it and make it again: seq2seq eval RUN --calibrate."
        try:
            told = parse_json(read_bytes(path, LARGEST_FILE))
            check_format(told.pop("format"), FORMAT, str(path))
            read = cls(
                tuple(map(float, told["log_probs"])), tuple(map(float, told["chances"])),
                str(told["weights"]), int(told["words"]), int(told["lines"]),
            )  # fmt: skip
        except (ValueError, KeyError, TypeError, AttributeError, json.JSONDecodeError):
            raise DamagedError("cannot be read as a calibration.", str(path), hint) from None
        steps, chances = np.array(read.log_probs), np.array(read.chances)
        rising = len(steps) == len(chances) > 0 and bool((np.diff(steps) >= 0).all() and (np.diff(chances) >= 0).all())
        if not rising or not bool(np.isfinite(steps).all()) or not 0 <= chances[0] <= chances[-1] <= 1:
            raise DamagedError("is no calibration: its chances do not rise from 0 to 1 at most.", str(path), hint)
        return read


def none_yet(directory: Path, what: str = "is not calibrated yet, so it does not know how sure it is.") -> RunError:
    """The error that a run has no calibration that is of use."""
    hint = f"Calibrate it on its dev text, once: seq2seq eval {directory} --calibrate"
    return RunError(what, str(directory), hint)


class _Step(NamedTuple):
    """Words with about this log-probability: their chance, and how many there are."""

    log_prob: float
    chance: float
    words: int


def _isotonic(steps: Sequence[_Step]) -> list[_Step]:
    """The nearest steps that rise, by pooling neighbours that fall (Ayer et al. 1955)."""
    pooled: list[_Step] = []
    for step in steps:
        pooled.append(step)
        while len(pooled) > 1 and pooled[-2].chance >= pooled[-1].chance:
            last, before = pooled.pop(), pooled.pop()
            words = last.words + before.words
            log_prob = (last.log_prob * last.words + before.log_prob * before.words) / words
            chance = (last.chance * last.words + before.chance * before.words) / words
            pooled.append(_Step(log_prob, chance, words))
    return pooled


def _error(chance_N: np.ndarray, right_N: np.ndarray) -> float:
    parts = np.array_split(chance_N.argsort(kind="stable"), BINS)
    gaps = (abs(chance_N[part].sum() - right_N[part].sum()) for part in parts)
    return float(sum(gaps) / max(1, len(chance_N)))


def calibration_of(run: Run) -> Calibration:
    """The calibration that a run holds. Raises RunError where there is none, or that of other weights; DamagedError where it is
    damaged."""
    try:
        found = Calibration.load(run.calibration)
    except OSError:
        raise none_yet(run.directory) from None
    if found.weights != sha256(run.best):
        raise none_yet(run.directory, "has been trained further since it was calibrated.")
    return found


def is_calibrated(run: Run | None) -> bool:
    """Whether there is one of use. Raises DamagedError as `calibration_of`."""
    try:
        return run is not None and bool(calibration_of(run))
    except DamagedError:
        raise
    except RunError:
        return False
