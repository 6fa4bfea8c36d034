"""Run directories made to do harm: nothing is executed, and nothing outside is read or written."""

import io
import json
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import datasets
import pytest
import torch
from commands import Terminal

from seq2seq_cli import console, runs
from seq2seq_cli.data.corpora import open_text
from seq2seq_cli.errors import DataError, RunError, UserError
from seq2seq_cli.files import read_bytes
from seq2seq_cli.model.build import MOST_PARAMETERS
from seq2seq_cli.model.weights import LARGEST_FILE
from seq2seq_cli.runs import Run, open_run
from seq2seq_cli.seal import BLANK, seal
from seq2seq_cli.training.checkpoint import LARGEST_LAST
from seq2seq_cli.training.directory import conclude
from seq2seq_cli.training.progress import Progress
from seq2seq_cli.training.recorders import Metrics


class Payload:
    """Pickled, it makes a file when it is loaded."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch {self.mark}",)


@pytest.fixture
def hostile(trained_run: Run, tmp_path: Path) -> Run:
    """A copy of a good run, to be made a bad one."""
    shutil.copytree(trained_run.directory, tmp_path / "run")
    return Run(tmp_path / "run")


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "secret").write_text("[data]\nsecret = 'hidden'\n")
    return folder


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    return tmp_path / "executed"


def test_the_payload_works(mark: Path) -> None:
    pickle.loads(pickle.dumps(Payload(mark)))
    assert mark.exists()


@pytest.mark.parametrize("how", ["torch", "plain"])
def test_a_checkpoint_executes_nothing(how: str, hostile: Run, mark: Path, terminal: Terminal) -> None:
    buffer = io.BytesIO()
    if how == "torch":
        torch.save({"weights": Payload(mark)}, buffer)
    else:
        buffer.write(pickle.dumps(Payload(mark)))
    # Whoever makes it can give it a right checksum.
    data = bytearray(buffer.getvalue() + BLANK.encode())
    seal(data, len(data) - len(BLANK))
    hostile.last.write_bytes(data)
    hostile.previous.unlink(missing_ok=True)
    assert "cannot be" in terminal.refused("train", "--run", hostile.directory, "--resume", "--epochs", "30")
    assert not mark.exists()


@pytest.mark.parametrize(
    ("name", "what"), [("subword.model", "not a SentencePiece model"), ("checkpoints/best.safetensors", "safetensors")]
)
def test_what_translate_loads_executes_nothing(
    name: str, what: str, hostile: Run, mark: Path, terminal: Terminal
) -> None:
    (hostile.directory / name).write_bytes(pickle.dumps(Payload(mark)))
    assert what in terminal.refused("translate", "--run", hostile.directory, stdin=b"ta\n")
    assert not mark.exists()


LINKED = (
    "config.toml",
    "run.json",
    "metrics.jsonl",
    "subword.model",
    "checkpoints/best.safetensors",
    "checkpoints/last.pt",
)


@pytest.mark.parametrize("name", LINKED)
def test_a_file_that_is_a_link_out_is_not_read(name: str, hostile: Run, outside: Path, terminal: Terminal) -> None:
    path = hostile.directory / name
    path.unlink()
    path.symlink_to(outside / "secret")
    for command in (["translate"], ["eval", str(hostile.directory)], ["train", "--resume"]):
        named = [] if command[0] == "eval" else ["--run", str(hostile.directory)]
        said = terminal.refused(*command, *named)
        assert "a symbolic link that leads out of the run directory is not followed" in said
        assert name in said
        assert "hidden" not in said


@pytest.mark.parametrize("name", ["decodes", "plots", "checkpoints", "tensorboard"])
def test_a_folder_that_is_a_link_out_is_not_written_to(
    name: str, hostile: Run, outside: Path, terminal: Terminal
) -> None:
    path = hostile.directory / name
    if path.exists():
        shutil.rmtree(path)
    path.symlink_to(outside, target_is_directory=True)
    assert "leads out of the run directory" in terminal.refused("eval", hostile.directory)
    assert [file.name for file in outside.iterdir()] == ["secret"]


def test_a_comparison_leads_nowhere_else_either(tmp_path: Path, outside: Path, terminal: Terminal) -> None:
    (tmp_path / "comparison").mkdir()
    (tmp_path / "comparison" / "bahdanau-seed1").symlink_to(outside, target_is_directory=True)
    said = terminal.refused("compare", "--attentions", "none,bahdanau", "--run", tmp_path / "comparison")
    assert "leads out of the run directory" in said


@pytest.mark.parametrize("target", ["../../outside/secret", "b", "/dev/zero"])
def test_other_links_out(target: str, hostile: Run, outside: Path) -> None:
    (hostile.plots / "b").symlink_to(hostile.plots / "c")
    (hostile.plots / "c").symlink_to(target)
    with pytest.raises(UserError, match="leads out"):
        open_run(hostile.directory)


def test_links_inside_and_to_the_run_are_good(hostile: Run, tmp_path: Path, terminal: Terminal) -> None:
    hostile.best.rename(hostile.checkpoints / "mine.safetensors")
    hostile.best.symlink_to("mine.safetensors")
    (tmp_path / "link").symlink_to(hostile.directory, target_is_directory=True)
    assert terminal.ok("translate", "--run", tmp_path / "link", stdin=b"ta\n").out


def test_a_pipe_is_not_waited_for(hostile: Run, terminal: Terminal) -> None:
    hostile.config.unlink()
    os.mkfifo(hostile.config)
    for arguments in (["translate", "--run", hostile.directory], ["config", "check", hostile.config]):
        assert "config.toml" in terminal.refused(*arguments)


@pytest.mark.slow
def test_names_in_records_are_no_paths(hostile: Run, outside: Path) -> None:
    """Whatever run.json, metrics.jsonl and eval.json name: Python opens nothing for it outside the run directory."""
    ways_out = ("../../outside/secret", "/etc/passwd", "..", "a/../../../outside/secret", "x\x1b[31m", "")
    named = dict(zip(("corpus", "src", "tgt", "run", "data", "checkpoint"), ways_out, strict=True))
    record = json.loads(hostile.info.read_text()) | named | {"command": list(ways_out)}
    hostile.info.write_text(json.dumps(record))
    hostile.evaluation.write_text(json.dumps(record))
    hostile.metrics.write_text(
        "".join(json.dumps({"event": way, "step": 1, "seconds": 1} | named) + "\n" for way in ways_out)
    )
    program = f"""
import sys
opened = set()
watched = ("open", "os.rename", "os.remove", "os.mkdir", "os.symlink")
sys.addaudithook(lambda event, given: opened.add(str(given[0])) if event in watched else None)
from seq2seq_cli.cli.app import main
sys.argv = ["seq2seq", "translate", "--run", {str(hostile.directory)!r}]
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
print(*sorted(opened), sep="\\n", file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", program], input=b"ta\n", capture_output=True, check=True)
    opened = done.stderr.decode().split("\n")
    assert str(hostile.config) in opened
    assert not [path for path in opened if str(outside) in path or path == "/etc/passwd"]
    inside = [path for path in opened if str(hostile.directory.parent) in path]
    assert all(Path(path).resolve().is_relative_to(hostile.directory) for path in inside)


@pytest.mark.parametrize(
    ("name", "command"),
    [("best.safetensors", ["translate"]), ("last.pt", ["train", "--resume", "--epochs", "30"])],
)
def test_a_checkpoint_larger_than_any_model_is_not_read(
    name: str, command: list[str], hostile: Run, terminal: Terminal
) -> None:
    hostile.previous.unlink()
    os.truncate(hostile.checkpoints / name, 1 << 42)  # with a hole in it, which takes no room on the disk
    said = terminal.refused(*command, "--run", hostile.directory, stdin=b"ta\n")
    assert f"{name}: " in said
    assert "cannot be read: it is larger than " in said


def test_the_largest_model_has_room_in_its_files() -> None:
    assert 4 * MOST_PARAMETERS < LARGEST_FILE
    assert 12 * MOST_PARAMETERS < LARGEST_LAST


def test_a_small_file_is_read_whatever_the_limit(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert read_bytes(tmp_path / "a", 1 << 45) == read_bytes(tmp_path / "a", 3) == b"abc"
    with pytest.raises(OSError, match="it is larger than 2 bytes"):
        read_bytes(tmp_path / "a", 2)


LINES = (b"{}", b'{"event": "evaluation"}', b'{"event": "went-back", "setbacks": []}', b"7", b"null", b'"step"', b"{",
         b'{"step": ' + b"9" * 5000 + b"}", b"[" * 100_000, b"\xff")  # fmt: skip


def test_lines_of_metrics_that_no_training_writes_are_dropped(hostile: Run) -> None:
    before = hostile.metrics.read_bytes()
    progress = Progress(step=10**9, evaluations=10**9)
    for line in LINES:
        hostile.metrics.write_bytes(line + b"\n" + before + line)
        Metrics(hostile, progress)
        assert hostile.metrics.read_bytes() == before, line[:100]


def test_metrics_that_cannot_be_read_are_not_lost(hostile: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    before = hostile.metrics.read_bytes()
    monkeypatch.setattr(runs, "LARGEST_METRICS", len(before) - 1)
    with pytest.raises(RunError, match="cannot be read, so it is not written to"):
        Metrics(hostile, Progress())
    assert hostile.metrics.read_bytes() == before


RECORDS = ("{}", "[]", "7", "{", "[" * 100_000, '{"data_sha256": 7}', '{"data_sha256": "x"}')


@pytest.mark.parametrize("record", RECORDS, ids=range(len(RECORDS)))
def test_a_record_that_no_training_writes_is_told(record: str, hostile: Run, terminal: Terminal) -> None:
    hostile.info.write_text(record)
    said = terminal.refused("train", "--run", hostile.directory, "--resume", "--epochs", "30")
    assert "run.json: cannot be read, so it is not known what text this run began with" in said


@pytest.mark.parametrize("sittings", [{}, {"sittings": 7}, {"sittings": None}])
def test_a_record_without_sittings_is_told(sittings: dict[str, object], hostile: Run, terminal: Terminal) -> None:
    record = json.loads(hostile.info.read_text(encoding="utf-8"))
    del record["sittings"]
    hostile.info.write_text(json.dumps(record | sittings))
    before = hostile.config.read_bytes()
    said = terminal.refused("train", "--run", hostile.directory, "--resume", "--epochs", "30")
    assert "run.json: cannot be read, so it is not known how this run was made before" in said
    assert hostile.config.read_bytes() == before
    with pytest.raises(RunError, match="cannot be read, so it is not known which sitting has ended"):
        conclude(hostile)


def test_a_dataset_executes_nothing(tmp_path: Path, mark: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf-cache")
    folder = tmp_path / "wmt"
    folder.mkdir()
    (folder / "wmt.py").write_text(f"import os\nos.system('touch {mark}')\n")
    with pytest.raises(DataError, match="cannot be loaded as a dataset"):
        open_text(str(folder), "train", "de", "en")
    assert not mark.exists()


@pytest.mark.parametrize("name", ["../outside/x.arrow", "/etc/passwd", ".."])
def test_a_saved_dataset_names_files_of_its_own(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "saved"
    datasets.Dataset.from_list([{"de": "a", "en": "b"}]).save_to_disk(folder)
    assert list(open_text(str(folder), "train", "de", "en").pairs()) == [("a", "b")]
    state = json.loads((folder / "state.json").read_text())
    state["_data_files"] = [{"filename": name}]
    (folder / "state.json").write_text(json.dumps(state))
    with pytest.raises(DataError, match="is not in its folder"):
        open_text(str(folder), "train", "de", "en")
    shutil.rmtree(folder)
    folder.mkdir()
    (folder / "dataset_dict.json").write_text(json.dumps({"splits": [name]}))
    with pytest.raises(DataError, match="is not in its folder"):
        open_text(str(folder), "train", "de", "en")


def test_names_cannot_command_the_terminal(terminal: Terminal, capsys: pytest.CaptureFixture[str]) -> None:
    said = terminal.run("translate", "--run", "x\x1b]0;evil\x07\u202e").err
    assert r"x\x1b]0;evil\x07\u202e" in said
    console.notice("written to \x9b31m")
    console.warn("\x1b[2J")
    assert not {"\x1b", "\x9b", "\x07", "\u202e"} & set(said + capsys.readouterr().err)
