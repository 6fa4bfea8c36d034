"""The run directory: every file name of a run, once; and writing files whole."""

import errno
import json
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from seq2seq_cli.errors import RunError
from seq2seq_cli.files import parse_json, read_bytes, refuse_ways_out
from seq2seq_cli.wording import shell_word

RUNS = Path("runs")
FORMAT = 2
"""Of the run directories that this version makes, in run.json. 1, which was not written down: config.toml does not say what
was left to the defaults."""
LARGEST_RECORD = 16 << 20
"""Bytes of run.json."""
LARGEST_METRICS = 512 << 20
"""Bytes of metrics.jsonl: a million evaluations."""
PACKAGES = ("seq2seq-cli", "torch", "sentencepiece", "datasets", "sacrebleu", "numpy")
"""Those whose versions may change a result."""
HALF_WRITTEN = ".tmp"
"""How the names of files end that are being written."""
DISK_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
"""Of an OSError: no room on the disk, in a quota, or in what a file may hold."""


def check_format(number: object, known: int, where: str) -> None:
    """Raises RunError where a later version made what is of the format ``number``; ``known``: the latest that this one
    knows."""
    if not isinstance(number, int) or number > known:
        raise RunError(
            f"a later version of seq2seq made it: it is of format {number!s:.20}, and this one knows none after {known}.",
            where,
            "Update seq2seq to the version that made it.",
        )


def versions(*others: str) -> dict[str, str]:
    """Of Python and of the packages that may change a result, as installed; ``others``: more of them."""
    return {"python": platform.python_version(), **{name: version(name) for name in (*PACKAGES, *others)}}


def _is_installed(package: object) -> bool:
    try:
        return isinstance(package, str) and bool(version(package))
    except (PackageNotFoundError, ValueError):
        return False


def beginning_of(name: str) -> str:
    """As much of a file's name as leaves room for more behind it: systems take names of 255 bytes."""
    return os.fsencode(name)[:200].decode("utf-8", errors="ignore")


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path`` that takes its name once the block has ended well: after a crash or a power cut
    there is the old file or the new one, whole."""
    # One folder at most is made: a run directory that was removed under way does not come back half filled.
    path.parent.mkdir(exist_ok=True)
    # As long as any name may be, its own name has no room for more.
    temporary = path.with_name(f".{beginning_of(path.name)}.{os.getpid()}{HALF_WRITTEN}")
    try:
        yield temporary
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
        sync_folder(path.parent)
    except OSError as problem:
        problem.filename = str(path)  # that of the temporary file, or none, would say little
        raise
    finally:
        temporary.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make the new names in ``folder`` last, where the system can (Windows opens no folder)."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def write_bytes(path: Path, data: bytes | bytearray) -> None:
    """``data`` into ``path`` in one piece."""
    with written_whole(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    r"""``text`` into ``path`` in one piece, UTF-8, line ends as given. Of a name in it that is not UTF-8, the bytes that are
    not are escapes, ``\udce9``, which JSON reads back."""
    with written_whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace", newline="")


def write_json(path: Path, value: object) -> None:
    """``value`` as indented JSON into ``path`` in one piece."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def unwritable(problem: OSError, directory: Path) -> RunError:
    """What to tell of a ``problem`` in writing into a run directory."""
    where = str(problem.filename or directory)
    if problem.errno in DISK_FULL:
        hint = "Make room, then go on with --resume: the last checkpoint is whole."
        return RunError("there is no room left on the disk.", where, hint)
    if problem.errno == errno.ENOENT and not directory.is_dir():
        hint = "Put it back and go on with --resume, or start again."
        return RunError("this run directory was removed or renamed while it was in use.", str(directory), hint)
    hint = "Make it writable and go on with --resume, or name another run directory with --run."
    return RunError(f"cannot be written: {problem.strerror or problem}.", where, hint)


@dataclass(frozen=True)
class Run:
    """The files of one run. Self-contained: moved to another machine, it still translates."""

    directory: Path

    @property
    def config(self) -> Path:
        return self.directory / "config.toml"

    @property
    def info(self) -> Path:
        return self.directory / "run.json"

    @property
    def metrics(self) -> Path:
        return self.directory / "metrics.jsonl"

    @property
    def log(self) -> Path:
        return self.directory / "train.log"

    @property
    def checkpoints(self) -> Path:
        return self.directory / "checkpoints"

    @property
    def best(self) -> Path:
        """Weights chosen on dev: what translate and eval load."""
        return self.checkpoints / "best.safetensors"

    @property
    def start(self) -> Path:
        """The weights that training began with, where it was another run's."""
        return self.checkpoints / "start.safetensors"

    @property
    def last(self) -> Path:
        """Weights and all that exact resumption needs."""
        return self.checkpoints / "last.pt"

    @property
    def previous(self) -> Path:
        """An earlier ``last``, for where ``last`` is damaged and for going back."""
        return self.checkpoints / "previous.pt"

    @property
    def lock(self) -> Path:
        """Held by the process that trains this run; the file stays, the lock goes with the process."""
        return self.directory / "train.lock"

    @property
    def resume_command(self) -> str:
        return f"seq2seq train --run {shell_word(self.directory)} --resume"

    def kept(self, evaluation: int) -> Path:
        """Weights kept for averaging, of the evaluation with this number."""
        return self.checkpoints / f"evaluation-{evaluation:05d}.safetensors"

    def all_kept(self) -> list[Path]:
        """Those there are, the newest first."""
        return sorted(self.checkpoints.glob("evaluation-*.safetensors"), reverse=True)

    def sweep(self) -> None:
        """Remove what killed processes had half written."""
        for path in self.directory.rglob(f".*{HALF_WRITTEN}"):
            path.unlink(missing_ok=True)

    @property
    def decodes(self) -> Path:
        return self.directory / "decodes"

    @property
    def evaluation(self) -> Path:
        return self.directory / "eval.json"

    @property
    def change(self) -> Path:
        """What training has changed of the run that it started from."""
        return self.directory / "change.json"

    @property
    def plots(self) -> Path:
        return self.directory / "plots"

    @property
    def tensorboard(self) -> Path:
        return self.directory / "tensorboard"

    def subword(self, side: str) -> Path:
        """The tokenizer of ``side`` ("joint", "src" or "tgt")."""
        return self.directory / ("subword.model" if side == "joint" else f"subword.{side}.model")

    def record(self) -> Any:
        """What ``run.json`` holds. Raises OSError or ValueError where it is missing or damaged, RunError where a later version
        wrote it."""
        record = parse_json(read_bytes(self.info, LARGEST_RECORD))
        if isinstance(record, dict):
            check_format(record.get("format", 1), FORMAT, str(self.info))
        return record

    def check_version(self) -> None:
        """Raises RunError where a later version made it. What ``run.json`` lacks, or that it is lost, is told where it is
        needed."""
        with suppress(OSError, ValueError):
            self.record()

    def metrics_lines(self) -> list[str]:
        """The lines of ``metrics.jsonl``; none where it cannot be read. A training that was cut off may have left half
        a line; what is not UTF-8 spoils its own line alone."""
        try:
            return read_bytes(self.metrics, LARGEST_METRICS).decode("utf-8", errors="replace").splitlines()
        except OSError:
            return []

    def languages(self) -> tuple[str, str]:
        """Source and target language, as ``run.json`` has them. Raises RunError where it is missing or damaged."""
        try:
            record = self.record()
            return str(record["src"]), str(record["tgt"])
        except (OSError, ValueError, KeyError, TypeError):
            hint = "Take the whole run directory along when you move it."
            raise RunError("cannot be read, so this run's languages are not known.", str(self.info), hint) from None

    def require_packages(self) -> None:
        """Raises RunError where a package is not installed here from which this run has a part of its model, as ``run.json``
        tells."""
        try:
            needed = self.record().get("packages", [])
        except (OSError, ValueError, AttributeError):
            return
        for name in needed if isinstance(needed, list) else []:
            if not _is_installed(name):
                what = f'this run needs the package "{name}", which is not installed here: its attention is from there.'
                hint = "Install it, from where the run's author has it and you trust it."
                raise RunError(what, str(self.directory), hint)

    @property
    def exists(self) -> bool:
        """Whether there is anything: a file of that name, or one in the directory."""
        if not self.directory.is_dir():
            return self.directory.exists()
        return any(not path.is_dir() and path != self.lock for path in self.directory.rglob("*"))


@dataclass(frozen=True)
class ComparisonFiles:
    """The files of one comparison of kinds: a run directory for each kind and seed, and what they add up to."""

    directory: Path

    def run(self, kind: str, seed: int) -> Run:
        return Run(self.directory / f"{kind}-seed{seed}")

    @property
    def results(self) -> Path:
        return self.directory / "comparison.json"

    @property
    def report(self) -> Path:
        return self.directory / "report.html"


def open_run(directory: Path | None) -> Run:
    """The run in ``directory``, or the newest under ``runs/`` where None.

    Raises RunError where there is no trained run, a later version made it, or anything in it leads out of its directory.
    """
    if directory is None:
        found = sorted(RUNS.glob("**/checkpoints/best.safetensors"), key=lambda path: path.stat().st_mtime)
        if not found:
            hint = "Train one with `seq2seq train`, or name one with --run."
            raise RunError("there is no trained run here.", str(RUNS), hint)
        directory = found[-1].parents[1]
    run = Run(directory)
    if not directory.is_dir():
        raise RunError("there is no such run directory.", str(directory), "Train it with `seq2seq train --run ...`.")
    if not run.config.is_file():
        raise RunError(f"{run.config.name} is missing, so this is no run directory.", str(directory))
    refuse_ways_out(directory)
    run.check_version()
    run.require_packages()
    return run
