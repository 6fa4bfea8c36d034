"""What was measured on one machine, as a file: JSON, one in benchmarks/results/ for each processor."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from benchmarks.processor import Processor
from seq2seq_cli.errors import DataError

FOLDER = Path(__file__).parent / "results"
LARGEST_FILE = 4 << 20


@dataclass(frozen=True)
class Section:
    """One kind of measurement: of the records that its command prints, what tells one from another (``keys``), and what was
    measured (``figures``)."""

    name: str
    keys: tuple[str, ...]
    figures: tuple[str, ...]


_TRAINED = ("attention", "input_feeding", "precision", "threads")
RATES = Section(
    "rates", ("precision", "library", "weights", "threads", "rows", "inputs", "outputs"), ("gflop_per_second",)
)
TRAINING = Section(
    "training",
    (*_TRAINED, "processes"),
    ("target_tokens_per_second", "utilisation_percent", "matrix_gflop_per_second", "peak_memory_mib"),
)
COMMAND = Section(
    "command",
    ("attention", "threads", "processes"),
    ("target_tokens_per_second", "largest_process_mib", "updates", "minutes", "bleu"),
)
COMPILING = Section(
    "compiling",
    _TRAINED,
    ("share_percent", "compiled_per_update", "milliseconds_each", "after_updates"),
)
DECODING = Section(
    "decoding",
    ("attention", "precision", "threads", "beam", "batch"),
    ("sentences_per_second", "median_milliseconds", "target_tokens_per_second", "bleu", "peak_memory_mib"),
)
START_UP = Section("start-up", ("command",), ("seconds", "cpu_seconds", "peak_memory_mib"))
NEIGHBOUR = Section(
    "neighbour",
    ("attention", "threads", "neighbours"),
    ("ratio", "alone_tokens_per_second", "beside_tokens_per_second"),
)
PEERS = Section("peers", ("what", "ours", "theirs", "threads"), ("our_rate", "their_rate", "ratio"))
SECTIONS = {
    section.name: section
    for section in (RATES, TRAINING, COMMAND, COMPILING, DECODING, START_UP, NEIGHBOUR, PEERS)
}  # fmt: skip


class Figure(BaseModel):
    """Over ``times`` repetitions."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    median: float
    lowest: float
    highest: float
    times: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Figure:
        return cls(median=median(values), lowest=min(values), highest=max(values), times=len(values))


class Measured(BaseModel):
    """Figures ``of`` one thing, by name; ``section`` is one of SECTIONS. ``commit``: of which they are, where that is another
    one than that of the other results."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    section: str
    of: dict[str, str]
    figures: dict[str, Figure]
    commit: str | None = None

    @field_validator("section")
    @classmethod
    def _is_known(cls, name: str) -> str:
        if name not in SECTIONS:
            raise ValueError(f"unknown; known are {', '.join(SECTIONS)}")
        return name


class Results(BaseModel):
    """All that was measured on one machine."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    processor: Processor
    measured: tuple[Measured, ...]


def gathered(section: Section, records: Iterable[Mapping[str, object]]) -> list[Measured]:
    """The records of all repetitions, those of the same thing together. What a record does not tell is not among its keys."""
    groups: dict[tuple[tuple[str, str], ...], list[Mapping[str, object]]] = {}
    for record in records:
        told = tuple((key, str(record[key])) for key in section.keys if key in record)
        groups.setdefault(told, []).append(record)
    return [
        Measured(
            section=section.name,
            of=dict(told),
            figures={name: Figure.of(found) for name in section.figures if (found := _numbers(group, name))},
        )
        for told, group in groups.items()
    ]


def _numbers(records: Iterable[Mapping[str, object]], name: str) -> list[float]:
    values = (record[name] for record in records)
    return [float(value) for value in values if isinstance(value, int | float)]


def merged(new: Results, old: Results) -> Results:
    """The new ones, with those of the old that were not measured again, which name their commit."""
    again = [(it.section, it.of) for it in new.measured]
    rest = [it for it in old.measured if (it.section, it.of) not in again]
    commits = [it.commit or old.processor.commit for it in rest]
    named = [
        it.model_copy(update={"commit": None if commit == new.processor.commit else commit})
        for it, commit in zip(rest, commits, strict=True)
    ]
    return new.model_copy(update={"measured": (*new.measured, *named)})


def read(path: Path) -> Results:
    """The results in a file. Raises DataError where it cannot be read or is not made of results."""
    try:
        with open(path, "rb") as file:
            text = file.read(LARGEST_FILE)
        return Results.model_validate_json(text)
    except OSError as problem:
        raise DataError(f"cannot be read ({problem.strerror}).", str(path)) from None
    except ValidationError as problem:
        first = problem.errors()[0]
        place = ".".join(map(str, first["loc"]))
        hint = "Make it anew: python -m benchmarks.all --keep"
        raise DataError(f"{f'{place}: ' if place else ''}{first['msg']}.", str(path), hint) from None


def written(results: Results) -> str:
    """The text of such a file."""
    return results.model_dump_json(indent=1, exclude_none=True) + "\n"
