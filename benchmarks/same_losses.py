"""Whether a change of the code changes what is computed: every kind, wiring and recurrence, trained and translated with.

python -m benchmarks.same_losses -o before.json          # in a checkout of the one commit
python -m benchmarks.same_losses --against before.json   # in a checkout of the other

Each combination makes some twenty updates in float32 by one thread, on the first pairs of a built-in corpus, and translates
other lines. All of it is compared bit for bit: the losses, the weights whatever they are called, and the translations.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer

from benchmarks import common
from seq2seq_cli import console
from seq2seq_cli.cli.app import main
from seq2seq_cli.kinds.attentions import KINDS
from seq2seq_cli.model.weights import read_weights
from seq2seq_cli.runs import Run

PAIRS, DEV_PAIRS, LINES = 240, 20, 200
SETTINGS = {
    "subword.vocab_size": 400, "model.embedding_size": 32, "model.hidden_size": 48, "training.batch_tokens": 140,
    "training.warmup_steps": 5, "training.epochs": 1, "training.precision": "fp32", "training.threads": 1,
    "training.device": "cpu",
    # The norm of all gradients is a sum in the order of the parameters, which may be another one.
    "training.clip_norm": 0,
}  # fmt: skip
RECURRENCES: tuple[dict[str, object], ...] = (
    {},
    {"model.cell": "gru"},
    {"model.encoder_layers": 2, "model.decoder_layers": 2},
)


class _RefusedError(Exception):
    """A combination that the program refuses, with the reason."""


@dataclass(frozen=True)
class Computed:
    """What one combination came to: the dev ``loss`` in full, and digests of the weights and the translations."""

    combination: str
    loss: str
    weights: str
    translations: str


def combinations() -> Iterator[dict[str, object]]:
    """The settings of each."""
    for kind in KINDS:
        wirings: list[dict[str, object]] = [{}]
        if kind.attends:
            wirings = [{"attention.wiring": "before"}]
            wirings += [{"attention.wiring": "after", "attention.input_feeding": fed} for fed in ("true", "false")]
        wirings += [{"attention.estimator": other} for other in ("reinforce",) if "estimator" in kind.options]
        for wiring in wirings:
            for recurrence in RECURRENCES:
                yield {"attention.kind": kind.name, **wiring, **recurrence}


def computed(settings: dict[str, object], text: Path, run: Run) -> Computed:
    """Train and translate."""
    lines, out = text / "lines.de", text / "out.en"
    options = [f"--set={key}={value}" for key, value in (SETTINGS | settings).items()]
    _command("train", "--train", text / "train", "--dev", text / "dev", "--src", "de", "--tgt", "en", "--run",
             run.directory, "--overwrite", *options)  # fmt: skip
    _command("translate", lines, "-o", out, "--run", run.directory, "--precision", "fp32", "--threads", 1)
    losses = [record["loss"] for record in map(json.loads, run.metrics_lines()) if record.get("event") == "evaluation"]
    tensors = sorted(hashlib.sha256(tensor.numpy().tobytes()).hexdigest() for tensor in read_weights(run.best).values())
    name = " ".join(f"{key.partition('.')[2]}={value}" for key, value in settings.items())
    return Computed(name, repr(losses), _digest("".join(tensors).encode()), _digest(out.read_bytes()))


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def _command(*arguments: object) -> None:
    """Run ``seq2seq ARGUMENTS`` within this process, in silence. Raises _RefusedError where the settings do not go together,
    RuntimeError where it does not end well for another reason."""
    sys.argv = ["seq2seq", *map(str, arguments)]
    told = io.StringIO()
    try:
        with contextlib.redirect_stderr(told), contextlib.redirect_stdout(told):
            main()
    except SystemExit as end:
        if end.code == 2 and sys.argv[1] == "train":
            raise _RefusedError from None
        if end.code:
            raise RuntimeError(f"{' '.join(sys.argv)}\n{told.getvalue()}") from None


def _write_text(folder: Path) -> None:
    data = Path(__file__).parents[1] / "data" / "tatoeba-de-en"
    for side in ("de", "en"):
        lines = (data / f"train.{side}").read_text(encoding="utf-8").splitlines(keepends=True)
        (folder / f"train.{side}").write_text("".join(lines[:PAIRS]), encoding="utf-8")
        (folder / f"dev.{side}").write_text("".join(lines[PAIRS : PAIRS + DEV_PAIRS]), encoding="utf-8")
        (folder / f"lines.{side}").write_text("".join(lines[-LINES:]), encoding="utf-8")


def _differences(results: Sequence[Computed], before: Sequence[dict[str, str]]) -> list[str]:
    known = {record["combination"]: record for record in before}
    told = []
    for result in results:
        record = known.pop(result.combination, None)
        if record is None:
            told.append(f"{result.combination}: new")
            continue
        changed = [key for key, value in asdict(result).items() if record[key] != value]
        if changed:
            told.append(f"{result.combination}: other {', '.join(changed)}")
    return [*told, *(f"{name}: missing" for name in known)]


def same_losses(
    output: Annotated[Path | None, typer.Option("-o", help="Write what was computed.")] = None,
    against: Annotated[Path | None, typer.Option(help="What another commit computed.")] = None,
    kind: common.Kind = None,
) -> None:
    """Train every combination and compare it with what another commit made of it. Exit status 3 where anything differs."""
    results = []
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SEQ2SEQ_CACHE"] = str(Path(folder) / "cache")
        _write_text(Path(folder))
        chosen = [it for it in combinations() if kind is None or it["attention.kind"] == kind]
        for number, settings in enumerate(chosen, start=1):
            console.notice(f"{number}/{len(chosen)}: {' '.join(map(str, settings.values()))}")
            with contextlib.suppress(_RefusedError):
                results.append(computed(settings, Path(folder), Run(Path(folder) / "run")))
    if output is not None:
        output.write_text(json.dumps([asdict(result) for result in results], indent=1) + "\n", encoding="utf-8")
    console.notice(f"{len(results)} combinations")
    if against is not None:
        differences = _differences(results, json.loads(against.read_text(encoding="utf-8")))
        for line in differences or ["all the same, bit for bit"]:
            console.result(line)
        if differences:
            raise typer.Exit(3)


if __name__ == "__main__":
    common.command(same_losses)
