"""The tables of docs/performance.md: what was measured on each processor, side by side.

python -m benchmarks.tables                                  # of all files in benchmarks/results/
python -m benchmarks.tables a.json b.json                    # of these
python -m benchmarks.tables --write docs/performance.md      # puts them between the marks in that file

A later machine is one more column: `python -m benchmarks.all --keep`, then the last of these.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from benchmarks import results
from benchmarks.common import command
from benchmarks.processor import Processor
from benchmarks.results import FOLDER, Figure, Measured, Results, read
from seq2seq_cli import console
from seq2seq_cli.errors import DataError
from seq2seq_cli.runs import write_text
from seq2seq_cli.wording import counted

BEGIN, END = "<!-- tables: python -m benchmarks.tables --write docs/performance.md -->", "<!-- end of tables -->"
NOTHING = "-"


@dataclass(frozen=True)
class Shown:
    """One table: its title, a sentence that says what a cell holds, and of each thing measured the figures, with how they
    are written. ``with_range``: whether the first figure's lowest and highest follow it; ``across``: what measured things may differ in and stand in one cell,
    in the order in which they were measured."""

    section: results.Section
    title: str
    explained: str
    figures: Mapping[str, str]
    with_range: bool = True
    across: frozenset[str] = frozenset()


TABLES = (
    Shown(
        results.RATES,
        "Matrix products",
        "GFLOP/s of 2,048 rows x 2,048 x 2,048, then of 16, 32, 64, 96 and 160 rows x 768 x 2,048.",
        {"gflop_per_second": "{:,.0f}"},
        with_range=False,
        across=frozenset({"rows", "inputs", "outputs"}),
    ),
    Shown(
        results.TRAINING,
        "Training steps",
        "Target tokens a second, share of the matrix rate of large squares, peak memory.",
        {"target_tokens_per_second": "{:,.0f}", "utilisation_percent": "{:.0f}%", "peak_memory_mib": "{:,.0f} MiB"},
    ),
    Shown(
        results.COMMAND,
        "`seq2seq train`",
        "Target tokens a second by its own log without the first updates, memory of its largest process.",
        {"target_tokens_per_second": "{:,.0f}", "largest_process_mib": "{:,.0f} MiB"},
    ),
    Shown(
        results.COMPILING,
        "Compiling",
        "Share of a training step, after the first updates, in which oneDNN compiles; how often an update.",
        {"share_percent": "{:.1f}%", "compiled_per_update": "{:.0f} times"},
    ),
    Shown(
        results.DECODING,
        "Translating",
        "Sentences a second, the model loaded; of one by one, the median time of a sentence.",
        {"sentences_per_second": "{:,.1f}", "median_milliseconds": "{:.1f} ms"},
    ),
    Shown(
        results.START_UP,
        "Start-up",
        "Seconds of a whole command (`translate`: of one line), peak memory.",
        {"seconds": "{:.2f} s", "peak_memory_mib": "{:,.0f} MiB"},
    ),
    Shown(
        results.NEIGHBOUR,
        "Beside programs that spin",
        "Training speed over that without them, tokens a second.",
        {"ratio": "{:.2f}", "beside_tokens_per_second": "{:,.0f}"},
    ),
    Shown(
        results.PEERS,
        "Beside OpenNMT-py",
        "How many times as fast, in turn in one sitting; ours and theirs, in target tokens or sentences a second.",
        {"ratio": "{:.2f}", "our_rate": "{:,.0f}", "their_rate": "{:,.0f}"},
    ),
)


def _threads(value: str) -> str:
    return "" if value == "0" else counted(int(value), "thread")


WORDS: dict[str, Callable[[str], str]] = {
    "attention": "`{}`".format,
    "command": "`{}`".format,
    "theirs": "against `{}`".format,
    "input_feeding": lambda value: "without input feeding" if value == "false" else "",
    "threads": _threads,
    "processes": lambda value: "" if value == "1" else f"{value} processes",
    "neighbours": lambda value: f"beside {value}",
    "beam": lambda value: "greedy" if value == "1" else f"beam {value}",
    "batch": lambda value: "one by one" if value == "1" else "in batches",
}
"""How what tells one measurement from another is called in the first column; otherwise as it is."""


def label(measured: Measured, across: Collection[str] = ()) -> str:
    """What was measured, in words, without what it may differ in."""
    words = (WORDS.get(key, str)(value) for key, value in measured.of.items() if key not in across)
    return ", ".join(filter(None, words))


def cell(measured: Measured, shown: Shown) -> str:
    """Its figures."""
    given = [(measured.figures[name], form) for name, form in shown.figures.items() if name in measured.figures]
    parts = [form.format(figure.median) for figure, form in given]
    if shown.with_range and given:
        parts[0] += _range(*given[0])
    if measured.commit is not None:
        parts.append(f"at {measured.commit}")
    return ", ".join(parts) or NOTHING


def _range(figure: Figure, form: str) -> str:
    low, high = form.format(figure.lowest), form.format(figure.highest)
    return "" if low == high else f" ({low} to {high})"


def _called(processor: Processor) -> str:
    numbers = (("family", processor.family), ("model", processor.model_number))
    told = [str(processor.model or NOTHING), *(f"{name} {number}" for name, number in numbers if number is not None)]
    return ", ".join(told)


FACTS: Mapping[str, Callable[[Results], object]] = {
    "called": lambda it: _called(it.processor),
    "cores": lambda it: it.processor.cores,
    "instructions": lambda it: it.processor.instructions and " ".join(it.processor.instructions),
    "torch, oneDNN, MKL": lambda it: ", ".join(
        version or "?" for version in (it.processor.torch, it.processor.onednn, it.processor.mkl)
    ),
    "commit": lambda it: it.processor.commit,
    "date": lambda it: it.processor.date,
    "note": lambda it: it.processor.note,
}


def markdown(machines: Sequence[Results]) -> str:
    """All tables, a column a machine."""
    heads = [machine.processor.full_name for machine in machines]
    facts = [(name, [str(fact(machine) or NOTHING) for machine in machines]) for name, fact in FACTS.items()]
    known = [(name, cells) for name, cells in facts if set(cells) != {NOTHING}]
    parts = [_table(["", *heads], known)]
    for shown in TABLES:
        rows = list(_rows(machines, shown))
        if rows:
            parts.append(f"**{shown.title}.** {shown.explained}\n\n{_table(['', *heads], rows)}")
    return "\n\n".join(parts)


def _rows(machines: Sequence[Results], shown: Shown) -> Iterator[tuple[str, list[str]]]:
    """What any of the machines has measured, in the order of the one that has most."""
    by_label: list[dict[str, list[str]]] = []
    for machine in machines:
        by_label.append({})
        for it in machine.measured:
            if it.section == shown.section.name:
                by_label[-1].setdefault(label(it, shown.across), []).append(cell(it, shown))
    for name in dict.fromkeys(name for found in sorted(by_label, key=len, reverse=True) for name in found):
        yield name, [" / ".join(found.get(name, [NOTHING])) for found in by_label]


def _table(heads: Sequence[str], rows: Sequence[tuple[str, Sequence[str]]]) -> str:
    lines = [heads, ["---"] * len(heads), *([name, *cells] for name, cells in rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def with_tables(document: str, tables: str, where: str) -> str:
    """The document with other tables between its marks. Raises DataError where it has not both marks, in this order."""
    before, begin, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise DataError("there is no place for the tables.", where, f"Put these two lines there:\n{BEGIN}\n{END}")
    return f"{before}{BEGIN}\n\n{tables}\n\n{END}{after}"


def kept() -> list[Path]:
    """The files in benchmarks/results/."""
    return sorted(FOLDER.glob("*.json"))


def main(
    files: Annotated[list[Path] | None, typer.Argument(help="Results; default: all in benchmarks/results/.")] = None,
    write: Annotated[Path | None, typer.Option(help="A Markdown file with marks that takes the tables.")] = None,
) -> None:
    """Print or write the tables."""
    tables = markdown([read(path) for path in files or kept()])
    if write is None:
        console.result(tables)
        return
    write_text(write, with_tables(write.read_text(encoding="utf-8"), tables, str(write)))
    console.notice(f"written to {write}")


if __name__ == "__main__":
    command(main)
