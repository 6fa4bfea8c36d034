"""Whether a change of the code makes training slower: steps of this checkout and of another one, in turn.

python -m benchmarks.against --checkout ../before
python -m benchmarks.against --checkout ../before --isa AVX2 --isa AVX512_CORE --attention bahdanau
git worktree add ../before COMMIT      # makes such a checkout

Each checkout has one process, and they take turns: while one trains, the other waits for its next line. Both use this
Python and its packages. ``--isa`` caps the instruction sets of both, as on a lesser processor.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import typer

from benchmarks import common
from benchmarks.steps_of import WARM_UP
from seq2seq_cli import console
from seq2seq_cli.errors import RunError
from seq2seq_cli.kinds.attentions import KINDS

HERE = Path(__file__).parents[1]
OF_TORCH = {"AVX2": "avx2"}
"""What torch calls instruction sets of oneDNN, in ATEN_CPU_CAPABILITY. It has no name for those that differ in products alone."""


@dataclass(frozen=True)
class Against:
    """Median speeds in target tokens a second, and the median, lowest and highest of the rounds' own ratios. ``isa``: the
    cap of the instruction sets."""

    attention: str
    isa: str
    rounds: int
    other_tokens_per_second: float
    tokens_per_second: float
    ratio: float
    lowest_ratio: float
    highest_ratio: float


@dataclass(frozen=True)
class Checkout:
    """A process that trains by the code in ``folder``, when it is asked to."""

    folder: Path
    process: subprocess.Popen[str]

    def ask(self, wanted: dict[str, object]) -> dict[str, Any]:
        """Its answer. Raises RunError where it has ended instead."""
        pipes = self.process.stdin, self.process.stdout
        assert pipes[0] is not None
        assert pipes[1] is not None
        try:
            pipes[0].write(json.dumps(wanted) + "\n")
            pipes[0].flush()
            answer = pipes[1].readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            raise RunError("its training ended; see above.", str(self.folder))
        told: dict[str, Any] = json.loads(answer)
        return told

    def begin(self, settings: Sequence[str]) -> float:
        """Make a model. Returns the seconds of one of its first steps. Raises RunError where it is not this checkout's."""
        told = self.ask({"settings": list(settings)})
        code = Path(told["of"])
        if self.folder.resolve() not in code.resolve().parents:
            raise RunError(
                f"its code was not used, but {code.parents[1]}.", str(self.folder), "Is it a whole checkout?"
            )
        return float(told["seconds"] / WARM_UP)

    def speed(self, steps: int) -> float:
        """Target tokens a second, over the next steps."""
        told = self.ask({"steps": steps})
        return float(told["tokens"] / told["seconds"])


@contextmanager
def opened(folder: Path, environment: dict[str, str]) -> Iterator[Checkout]:
    """The process of a checkout, which ends with the block."""
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("steps_of.py"))],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=folder,
        env={**os.environ, **environment, "PYTHONPATH": str(folder.resolve()), "PYTHONSAFEPATH": "1"},
    )  # fmt: skip
    try:
        yield Checkout(folder, process)
    finally:
        process.kill()
        process.communicate()


def capped(isa: str | None) -> dict[str, str]:
    """The environment that caps the instruction sets of oneDNN and of torch."""
    if isa is None:
        return {}
    of_torch = {"ATEN_CPU_CAPABILITY": OF_TORCH[isa]} if isa in OF_TORCH else {}
    return {"ONEDNN_MAX_CPU_ISA": isa, **of_torch}


def compare(
    kind: str, isa: str | None, pair: tuple[Checkout, Checkout], settings: Sequence[str], rounds: int, seconds: float
) -> Against:
    """One kind: other, ours, other, ours, ... Both take the same steps, as many as fit into ``seconds``: batches differ."""
    slowest = max([checkout.begin([f"attention.kind={kind}", *settings]) for checkout in pair])
    steps = max(2, math.ceil(seconds / slowest))
    speeds = [tuple(checkout.speed(steps) for checkout in pair) for _ in range(rounds)]
    ratios = [ours / other for other, ours in speeds]
    other, ours = (median(column) for column in zip(*speeds, strict=True))
    return Against(kind, isa or "-", rounds, other, ours, median(ratios), min(ratios), max(ratios))


def main(
    checkout: Annotated[Path, typer.Option(help="Of the other commit.")],
    kinds: Annotated[list[str] | None, typer.Option("--attention", help="Kinds; repeatable. Default: all.")] = None,
    isas: Annotated[
        list[str] | None,
        typer.Option("--isa", help="Cap of the instruction sets, e.g. AVX2; repeatable. Default: none."),
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Turns of each checkout.")] = 3,
    seconds: Annotated[float, typer.Option(min=0, help="Of each turn, about.")] = 1.0,
    threads: common.Threads = 1,
    overrides: common.Overrides = None,
    as_json: common.JsonOption = False,
) -> None:
    """Compare training steps, kind after kind."""
    if not (checkout / "benchmarks" / "train_speed.py").is_file():
        raise RunError("there is no checkout here.", str(checkout), "Make one with `git worktree add FOLDER COMMIT`.")
    settings = [f"training.threads={threads}", *(overrides or ())]
    rows = []
    caps: list[str | None] = [*(isas or ())] or [None]
    for isa in caps:
        with opened(checkout, capped(isa)) as other, opened(HERE, capped(isa)) as ours:
            for kind in kinds or [kind.name for kind in KINDS]:
                row = compare(kind, isa, (other, ours), settings, rounds, seconds)
                console.notice(
                    f"{kind} {isa or ''}: {row.ratio:.2f} ({row.lowest_ratio:.2f} to {row.highest_ratio:.2f})"
                )
                rows.append(row)
    common.show(rows, as_json, f"training steps against {checkout}")


if __name__ == "__main__":
    common.command(main)
