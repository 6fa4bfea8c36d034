"""``~`` in every place where a path is asked for, and what stands behind an option that takes several files."""

import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

import pytest
import typer
from commands import Terminal
from corpora import TinyCorpus
from hypothesis import given
from hypothesis import strategies as st

from seq2seq_cli import Translator
from seq2seq_cli.cli.app import app
from seq2seq_cli.cli.arguments import TEXT_OPTIONS, Command, gathered
from seq2seq_cli.cli.config import app as config_app
from seq2seq_cli.cli.memory import app as memory_app
from seq2seq_cli.data.cache import cache_root
from seq2seq_cli.errors import UserError
from seq2seq_cli.files import expanded
from seq2seq_cli.runs import Run

NOBODY = "~no-such-user-here/x"
LANGUAGES = ["--src", "xx", "--tgt", "yy"]
NEEDED: dict[str, list[str]] = {
    "compare": ["--run", "r", "--attentions", "bahdanau"],
    "score": ["s", "t"],
    "align": ["--source", "s", "--target", "t"],
    "plot": ["a sentence"],
    "check": ["c"],
    "export": ["--run", "r", "--format", "onnx", "--output", "o"],
    "build": ["--output", "o"],
    "add": ["m"],
    "tune": ["m"],
    "index": ["m"],
}
"""What a command does not run without, by its name."""
WORDS = {
    "attention", "corpus", "src", "tgt", "overrides", "objective", "device", "precision", "attentions", "significance",
    "symmetrize", "sentence", "target", "host", "kind", "version", "tokenizer", "references",
    "encoder", "decoder", "models", "form", "keys", "context",
}  # fmt: skip
"""Parameters that are words and no paths."""
PLACES: dict[str, list[str]] = {
    "train_text": ["--train", NOBODY, "--dev", "P/dev", "--test", "P/test", *LANGUAGES],
    "dev": ["--train", "P/train", "--dev", NOBODY, "--test", "P/test", *LANGUAGES],
    "test": ["--test", NOBODY],
    "text": [NOBODY, *LANGUAGES],
    "fix": ["--fix", NOBODY],
    "from_run": ["--from", NOBODY],
    "guided_alignment": ["--guided-alignment", NOBODY],
}
"""Parameters that are texts, and become paths only where they are none of the hub: how to give one that is wrong."""


def commands() -> Iterator[tuple[list[str], Callable[..., None]]]:
    for words, typer_app in (([], app), (["config"], config_app), (["memory"], memory_app)):
        for command in typer_app.registered_commands:
            assert command.cls is Command
            assert command.callback is not None
            yield [*words, command.name or command.callback.__name__], command.callback


def parameters() -> Iterator[Any]:
    for words, callback in commands():
        for name, parameter in inspect.signature(callback, eval_str=True).parameters.items():  # those in blocks as well
            yield pytest.param(words, callback, name, parameter.annotation, id=f"{words[-1]}-{name}")


def is_path(hint: Any) -> bool:
    return hint is Path or any(is_path(part) for part in get_args(hint) if get_origin(hint) is not None)


def is_text(hint: Any) -> bool:
    return hint is str or any(is_text(part) for part in get_args(hint))


def given_as(name: str, hint: Any, value: str) -> list[str]:
    """The words that give a parameter this value."""
    (info,) = hint.__metadata__
    declared = [word for word in (info.default, *(info.param_decls or ())) if str(word).startswith("--")]
    if isinstance(info, typer.models.ArgumentInfo):
        return [value]
    return [f"{declared[0] if declared else '--' + name.replace('_', '-')}={value}"]


def others(words: list[str], callback: Callable[..., None], name: str) -> list[str]:
    """What is needed beside a parameter: options, and the arguments that stand before or behind it."""
    needed = NEEDED.get(words[-1], [])
    if f"--{name}" in needed:
        at = needed.index(f"--{name}")
        return needed[:at] + needed[at + 2 :]
    required = [key for key, each in inspect.signature(callback).parameters.items() if each.default is each.empty]
    return needed[1:] if name in required else needed


@pytest.mark.parametrize(("words", "callback", "name", "hint"), [*parameters()])
def test_a_user_that_there_is_not_is_the_users_to_mend(
    words: list[str],
    callback: Callable[..., None],
    name: str,
    hint: Any,
    terminal: Terminal,
    tiny_corpus: TinyCorpus,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "P").symlink_to(tiny_corpus.folder)
    if is_path(hint):
        said = terminal.refused(*words, *given_as(name, hint, NOBODY), *others(words, callback, name))
    elif not is_text(hint) or name in WORDS:
        return
    elif words[-1] in ("eval", "report"):  # the runs are looked for only after the files of the test text
        said = terminal.refused(*words, *PLACES[name])
    elif words[0] == "memory":
        said = terminal.refused(*words, PLACES[name][PLACES[name].index(NOBODY) - 1], NOBODY, *NEEDED[words[-1]])
    else:
        said = terminal.refused(*words, *PLACES[name], *NEEDED.get(words[-1], []))
    assert f"{NOBODY}: there is no home directory for ~no-such-user-here" in said
    assert [path.name for path in tmp_path.iterdir()] == ["P"]


@pytest.mark.parametrize(("words", "callback", "name", "hint"), [*parameters()])
def test_every_path_is_expanded(
    words: list[str],
    callback: Callable[..., None],
    name: str,
    hint: Any,
    terminal: Terminal,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if not is_path(hint):
        return
    monkeypatch.setenv("HOME", str(tmp_path))
    seen: dict[str, Any] = {}
    # In the place of the command itself, which is all that its wrapper holds.
    assert callback.__closure__ is not None
    (cell,) = callback.__closure__
    monkeypatch.setattr(cell, "cell_contents", lambda **values: seen.update(values))
    mine, beside = given_as(name, hint, "~/x"), others(words, callback, name)
    terminal.ok(*words, *(beside + mine if name == "target" else mine + beside))
    values = seen[name] if isinstance(seen[name], list) else [seen[name]]
    assert tmp_path / "x" in values


def test_a_run_in_the_home_directory(
    terminal: Terminal, tiny_corpus: TinyCorpus, trained_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text").symlink_to(tiny_corpus.folder)
    (tmp_path / "run").symlink_to(trained_run.directory)
    data = ["--train=~/text/train", "--dev=~/text/dev", "--src", "xx", "--tgt", "yy"]
    said = terminal.ok("prepare", *data, "--set", "subword.vocab_size=60", "--set", "data.test=~/text/test").out
    assert "test pairs\t24\n" in said
    assert terminal.ok("translate", "--run=~/run", stdin=b"ta\n").out
    assert Translator.load("~/run", "cpu").translate(["ta"])
    assert not (tmp_path / "~").exists()
    monkeypatch.setenv("SEQ2SEQ_CACHE", "~/c")
    assert cache_root() == tmp_path / "c"
    monkeypatch.delenv("SEQ2SEQ_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache_root() == tmp_path / ".cache" / "seq2seq"


@pytest.mark.parametrize(
    "setting", ["data.train", "data.dev", "data.test", "training.guided_alignment", "objective.from_run"]
)
def test_a_user_that_there_is_not_in_the_settings(setting: str, terminal: Terminal, tiny_corpus: TinyCorpus) -> None:
    overrides = [word for key in ("train", "dev") for word in ("--set", f"data.{key}={tiny_corpus.folder / key}")]
    overrides += ["--set", "data.src=xx", "--set", "data.tgt=yy", "--set", f"{setting}={NOBODY}"]
    assert "there is no home directory for ~no-such-user-here" in terminal.refused("train", *overrides)


def test_what_is_no_home_directory_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "~lock.txt").touch()
    for path in ("a/~", "~lock.txt", "-", "a~", ""):
        assert expanded(path) == Path(path)
    with pytest.raises(UserError, match=r"no home directory for ~no-such-user-here\.\nWrite the whole path"):
        expanded(NOBODY)


@pytest.mark.parametrize(
    "words",
    [
        ["check-data", "x" * 300, *LANGUAGES],
        ["train", "--train", f"{'x' * 300}/train", "--dev", "d", *LANGUAGES],
        ["eval", "--test", "x" * 300],
        ["translate", "--run", "x" * 300],
    ],
)
def test_a_name_that_no_file_can_have(words: list[str], terminal: Terminal) -> None:
    assert re.search("File name too long|there is no trained run|does not exist", terminal.refused(*words))


# Several values behind one option.


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("--train A B --dev C", "--train A --train B --dev C"),
        ("--train=A B C", "--train=A --train B --train C"),
        ("--train A --run R B", "--train A --run R B"),
        ("X --train A B -- C --dev D E", "X --train A --train B -- C --dev D E"),
        ("--train", "--train"),
        ("--test A - --set B", "--test A --test - --set B"),
        ("--tests A B", "--tests A B"),
        ("--train A B --overwrite --epochs 1", "--train A --train B --overwrite --epochs 1"),
    ],
)
def test_values_up_to_the_next_option(words: str, expected: str) -> None:
    assert list(gathered(words.split(), has_arguments=False)) == expected.split()


def test_beside_arguments_only_files_are_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a.de", "a.en"):
        (tmp_path / name).touch()
    (tmp_path / "run").mkdir()
    for words, expected in (
        ("--test a.de a.en run", "--test a.de --test a.en run"),
        ("run --test=a.de a.en run", "run --test=a.de --test a.en run"),
        ("--test P/test run a.de", "--test P/test run a.de"),
        ("--test a.de run a.en", "--test a.de run a.en"),
    ):
        assert list(gathered(words.split(), has_arguments=True)) == expected.split()


@given(st.lists(st.sampled_from(["a", "--train", "--dev=x", "--run", "-o", "--", "-"])), st.booleans())
def test_no_word_is_lost(words: list[str], has_arguments: bool) -> None:
    found = list(gathered(words, has_arguments))
    assert [word for word in found if word not in TEXT_OPTIONS] == [word for word in words if word not in TEXT_OPTIONS]


def test_the_parameters_are_seen() -> None:
    """What the tests above walk over."""
    names = {param.id for param in parameters()}
    assert {"train-run", "align-gold", "check-files", "eval-sentences", "report-output", "serve-runs"} <= names
    assert is_path(Annotated[list[Path] | None, 1])
    assert not is_path(Annotated[str, 1])
