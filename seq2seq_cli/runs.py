"""The run directory, where every file name of a run stands once; and writing files whole."""

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
"""The format of the run directories that this version makes, as in run.json. In format 1, which run.json does not name,
config.toml lacks the settings that were left to the defaults."""
LARGEST_RECORD = 16 << 20
"""Most bytes of run.json."""
LARGEST_METRICS = 512 << 20
"""Most bytes of metrics.jsonl: a million evaluations."""
PACKAGES = ("seq2seq-cli", "torch", "sentencepiece", "datasets", "sacrebleu", "numpy")
"""The packages whose versions may change a result."""
HALF_WRITTEN = ".tmp"
"""How the name of a file ends while the file is being written."""
DISK_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
"""Numbers of the OSErrors that mean: no room on the disk, in the quota, or within the limit for one file."""


def check_format(number: object, known: int, where: str) -> None:
    """Raises RunError where something has a format of a later version: a ``number`` above ``known``, the latest that
    this version knows."""
    if not isinstance(number, int) or number > known:
        raise RunError(
            f"a later version of seq2seq made it: it is of format {number!s:.20}, and this one knows none after {known}.",
            where,
            "Update seq2seq to the version that made it.",
        )


def versions(*others: str) -> dict[str, str]:
    """The installed versions of Python and of the packages that may change a result; ``others``: names of further
    packages."""
    return {"python": platform.python_version(), **{name: version(name) for name in (*PACKAGES, *others)}}


def _is_installed(package: object) -> bool:
    try:
        return isinstance(package, str) and bool(version(package))
    except (PackageNotFoundError, ValueError):
        return False


def beginning_of(name: str) -> str:
    """The beginning of a file's name, short enough that more can be appended: systems allow names of 255 bytes."""
    return os.fsencode(name)[:200].decode("utf-8", errors="ignore")


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside ``path``, which is renamed to ``path`` when the block ends without an error. After
    a crash or a power cut there is the whole old file or the whole new one."""
    # At most one folder is made, so that a run directory removed in the meantime does not come back half filled.
    path.parent.mkdir(exist_ok=True)
    # The name of the file may already be as long as names can be.
    temporary = path.with_name(f".{beginning_of(path.name)}.{os.getpid()}{HALF_WRITTEN}")
    try:
        yield temporary
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
        sync_folder(path.parent)
    except OSError as problem:
        problem.filename = str(path)  # the name of the temporary file would tell the user little
        raise
    finally:
        temporary.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make new names in ``folder`` survive a power cut, where the system can (on Windows folders cannot be opened)."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def write_bytes(path: Path, data: bytes | bytearray | memoryview) -> None:
    """Write ``data`` to ``path``, whole or not at all."""
    with written_whole(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    r"""Write ``text`` to ``path``, whole or not at all, in UTF-8, with its line ends unchanged. Bytes of a name that
    are not UTF-8 become escapes such as ``\udce9``, which JSON reads back."""
    with written_whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace", newline="")


def write_json(path: Path, value: object) -> None:
    """Write ``value`` to ``path`` as indented JSON, whole or not at all."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def unwritable(problem: OSError, directory: Path) -> RunError:
    """The error to raise for a ``problem`` in writing into a run directory."""
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
    """The files of one run. The directory is self-contained: moved to another machine, the run still translates."""

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
        """The weights chosen on dev, which translate and eval load."""
        return self.checkpoints / "best.safetensors"

    @property
    def start(self) -> Path:
        """The weights that training began with, if they came from another run."""
        return self.checkpoints / "start.safetensors"

    @property
    def last(self) -> Path:
        """Weights and everything else that exact resumption needs."""
        return self.checkpoints / "last.pt"

    @property
    def previous(self) -> Path:
        """An earlier ``last``: for when ``last`` is damaged, and for going back."""
        return self.checkpoints / "previous.pt"

    @property
    def shortlist(self) -> Path:
        """Which target pieces translate each source piece. Made when a search with a shortlist first asks for it."""
        return self.directory / "shortlist.safetensors"

    @property
    def calibration(self) -> Path:
        """How sure its translations may be, as dev has shown."""
        return self.directory / "calibration.json"

    @property
    def lock(self) -> Path:
        """Locked by the process that trains this run. The file stays; the lock ends with the process."""
        return self.directory / "train.lock"

    @property
    def resume_command(self) -> str:
        return f"seq2seq train --run {shell_word(self.directory)} --resume"

    def kept(self, evaluation: int) -> Path:
        """The weights of the evaluation with this number, kept for averaging."""
        return self.checkpoints / f"evaluation-{evaluation:05d}.safetensors"

    def all_kept(self) -> list[Path]:
        """All kept weights that are there, the newest first."""
        return sorted(self.checkpoints.glob("evaluation-*.safetensors"), reverse=True)

    def sweep(self) -> None:
        """Remove files that killed processes have left half written."""
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
        """What training has changed compared with the run that it started from."""
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

    @property
    def tokenizers(self) -> list[Path]:
        """Those that there are."""
        return [path for side in ("joint", "src", "tgt") if (path := self.subword(side)).is_file()]

    def record(self) -> Any:
        """The content of ``run.json``. Raises OSError or ValueError where it is missing or damaged, RunError where a
        later version wrote it."""
        record = parse_json(read_bytes(self.info, LARGEST_RECORD))
        if isinstance(record, dict):
            check_format(record.get("format", 1), FORMAT, str(self.info))
        return record

    def check_version(self) -> None:
        """Raises RunError where a later version made the run. That ``run.json`` is missing or incomplete is reported
        only where its content is needed."""
        with suppress(OSError, ValueError):
            self.record()

    def metrics_lines(self) -> list[str]:
        """The lines of ``metrics.jsonl``; none where it cannot be read. The last line may be half a line, if training
        was cut off. Bytes that are not UTF-8 spoil only their own line."""
        try:
            return read_bytes(self.metrics, LARGEST_METRICS).decode("utf-8", errors="replace").splitlines()
        except OSError:
            return []

    def languages(self) -> tuple[str, str]:
        """Source and target language according to ``run.json``. Raises RunError where it is missing or damaged."""
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
        """Whether there is anything at its path: a file, or a directory with a file in it."""
        if not self.directory.is_dir():
            return self.directory.exists()
        return any(not path.is_dir() and path != self.lock for path in self.directory.rglob("*"))


@dataclass(frozen=True)
class ComparisonFiles:
    """The files of one comparison of kinds: a run directory for each kind and seed, and the results over all of
    them."""

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
    """The run in ``directory``; None means the newest under ``runs/``.

    Raises RunError where there is no trained run, where a later version made it, and where anything in it leads out of
    its directory.
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
