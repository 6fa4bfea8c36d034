"""Memories on disk: made, added to, interrupted, damaged, of another run."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import Terminal
from corpora import TinyCorpus, sentences, translation, write_lines
from filelock import FileLock
from memories import made, quiet, remember

from seq2seq_cli.data.corpora import open_text
from seq2seq_cli.decoding import memorising
from seq2seq_cli.decoding.memorising import known_memory, memorise, new_memory
from seq2seq_cli.decoding.recalling import open_memory
from seq2seq_cli.decoding.translator import Translator
from seq2seq_cli.decoding.tuning import tune
from seq2seq_cli.errors import DamagedError, RunError, UserError
from seq2seq_cli.neighbours.growth import INDEXING
from seq2seq_cli.neighbours.index import make_index, remove_index
from seq2seq_cli.neighbours.layout import MemoryFiles, Weights, read_record, write_record
from seq2seq_cli.neighbours.store import Store
from seq2seq_cli.runs import Run

LANGUAGES = ("--src", "xx", "--tgt", "yy")


class KilledError(Exception):
    """What a test ends the work with."""


@pytest.fixture(scope="module")
def translator(trained_run: Run) -> Translator:
    return Translator.load(trained_run.directory, "cpu", "fp32")


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small text has many parts."""
    monkeypatch.setattr(memorising, "PART", 7)


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The prefix of a text of 40 pairs, of which one has an empty side and one is too long."""
    prefix = tmp_path_factory.mktemp("text") / "more"
    lines = sentences(40, seed=77)
    write_lines(Path(f"{prefix}.xx"), [*lines[:10], "", *lines[11:39], "ta " * 120])
    write_lines(Path(f"{prefix}.yy"), [*map(translation, lines[:39]), "la " * 120])
    return prefix


def held(directory: Path) -> dict[str, bytes]:
    """All files of a memory but the lock."""
    return {path.name: path.read_bytes() for path in sorted(directory.iterdir()) if path.suffix != ".lock"}


def test_what_a_memory_holds(translator: Translator, text: Path, small_parts: None, tmp_path: Path) -> None:
    remember(translator, text, tmp_path / "m")
    store = Store.open(tmp_path / "m")
    [part] = store.record.texts
    assert (part.name, part.sentences, part.left_out) == ("more.xx and more.yy", 38, 2)
    lines = sentences(40, seed=77)
    kept = [line for number, line in enumerate(lines[:39]) if number != 10]
    for number, line in enumerate(kept):
        sentence = store.sentence(number)
        assert (sentence.source, sentence.target) == (line, translation(line))
        assert translator.subwords.tgt.decode(sentence.ids) == sentence.target
    assert np.load(tmp_path / "m" / "keys.npy").shape == (len(store), store.record.size)  # as any program reads it
    places = store.places(np.arange(len(store)))
    assert [store.sentence(place.sentence).ids[place.position] for place in places] == store.values.tolist()
    assert str(text.parent) not in MemoryFiles(tmp_path / "m").record.read_text()


@pytest.mark.parametrize("parts", [0, 1, 3, 6])
def test_an_interrupted_memory_goes_on_to_the_same_bytes(
    translator: Translator, text: Path, small_parts: None, tmp_path: Path, parts: int
) -> None:
    remember(translator, text, tmp_path / "whole")
    seen: list[int] = []

    def kill(stage: str, done: int, total: int) -> None:
        seen.append(done)
        if len(seen) > parts:
            raise KilledError

    with pytest.raises(KilledError):
        remember(translator, text, tmp_path / "cut", kill)
    files = MemoryFiles(tmp_path / "cut")
    for path in (files.keys, files.values, files.source):  # cut off in the middle of what was written next
        with open(path, "ab") as file:
            file.write(b"half a ro")
    with pytest.raises(RunError, match=r"this memory is half written\.\nThe command that began it goes on"):
        Store.open(tmp_path / "cut")
    seen.clear()
    remember(translator, text, tmp_path / "cut", lambda *told: seen.append(told[1]))
    assert seen[0] == min(40, 7 * parts)  # nothing is read twice
    assert held(tmp_path / "cut") == held(tmp_path / "whole")


def test_killed_while_keys_are_coded(translator: Translator, text: Path, tmp_path: Path) -> None:
    remember(translator, text, tmp_path / "whole")

    def kill(stage: str, done: int, total: int) -> None:
        if stage == INDEXING:
            raise KilledError

    with pytest.raises(KilledError):
        remember(translator, text, tmp_path / "cut", kill)
    with pytest.raises(RunError, match="half written"):
        Store.open(tmp_path / "cut")
    remember(translator, text, tmp_path / "cut")
    assert held(tmp_path / "cut") == held(tmp_path / "whole")


def test_what_is_added_comes_behind(
    translator: Translator, text: Path, tiny_corpus: TinyCorpus, small_parts: None, tmp_path: Path
) -> None:
    """Until it is finished, the memory is what it was; and in the end what both texts make."""
    directory, other = tmp_path / "m", tiny_corpus.folder / "dev"
    remember(translator, text, directory)
    before = Store.open(directory)
    keys, values = before.keys.copy(), before.values.tolist()

    def kill(stage: str, done: int, total: int) -> None:
        if done >= 14:
            raise KilledError

    with pytest.raises(KilledError):
        remember(translator, other, directory, kill)
    meanwhile = Store.open(directory)
    assert meanwhile.record == before.record
    assert np.array_equal(meanwhile.keys, keys)
    assert np.array_equal(meanwhile.codes, before.codes)
    remember(translator, other, directory)
    after = Store.open(directory)
    assert np.array_equal(after.keys[: len(keys)], keys)
    assert after.values[: len(values)].tolist() == values
    assert [part.sentences for part in after.record.texts] == [38, 24]
    assert after.sentence(38).source == (tiny_corpus.folder / "dev.xx").read_text().splitlines()[0]
    assert sorted(path.name for path in directory.glob("codes-*")) == [f"codes-{len(after)}.npy"]
    assert not MemoryFiles(directory).growing.exists()
    with pytest.raises(UserError, match="this text is in the memory already"):
        remember(translator, other, directory)


def test_adding_goes_on_after_the_memory_was_tuned(
    translator: Translator, text: Path, tiny_corpus: TinyCorpus, small_parts: None, tmp_path: Path
) -> None:
    remember(translator, text, tmp_path / "m")
    other, files, seen = tiny_corpus.folder / "dev", MemoryFiles(tmp_path / "m"), []

    def kill(stage: str, done: int, total: int) -> None:
        if done >= 14:
            raise KilledError

    with pytest.raises(KilledError):
        remember(translator, other, tmp_path / "m", kill)
    weights = Weights(neighbours=3, temperature=2.0, mix=0.25)
    write_record(files, read_record(files).model_copy(update={"weights": weights, "index": "0" * 64}))
    remember(translator, other, tmp_path / "m", lambda *told: seen.append(told[1]))
    assert seen[0] == 14  # nothing is read twice
    assert [part.sentences for part in Store.open(tmp_path / "m").record.texts] == [38, 24]


def test_another_text_may_be_added_in_place_of_one_that_was_interrupted(
    translator: Translator, text: Path, tiny_corpus: TinyCorpus, small_parts: None, tmp_path: Path
) -> None:
    def kill(stage: str, done: int, total: int) -> None:
        if done >= 14:
            raise KilledError

    remember(translator, text, tmp_path / "m")
    shutil.copytree(tmp_path / "m", tmp_path / "plain")
    with pytest.raises(KilledError):
        remember(translator, tiny_corpus.folder / "dev", tmp_path / "m", kill)
    for directory in ("m", "plain"):
        remember(translator, tiny_corpus.folder / "test", tmp_path / directory)
    assert held(tmp_path / "m") == held(tmp_path / "plain")


def test_a_memory_that_has_changed_meanwhile_is_left_as_it_is(
    translator: Translator, text: Path, tiny_corpus: TinyCorpus, tmp_path: Path
) -> None:
    """Whoever read what a memory was before another process wrote into it writes nothing: neither a text nor a record."""
    run, directory = translator.run, tmp_path / "m"
    assert run is not None
    dev, test = (open_text(str(tiny_corpus.folder / name), name, "xx", "yy") for name in ("dev", "test"))
    nothing = new_memory(translator, run, directory, "float16")
    remember(translator, text, directory)
    late: list[Callable[[], object]] = [lambda: memorise(translator, dev, directory, nothing, quiet)]
    base, store = known_memory(run, directory), Store.open(directory)
    memory = open_memory(run, directory, translator.device)
    remember(translator, tiny_corpus.folder / "train", directory)
    late += [
        lambda: memorise(translator, dev, directory, base, quiet),
        lambda: tune(translator, memory, test, False, quiet),
        lambda: remove_index(store),
    ]
    if find_spec("faiss") is not None:
        late.append(lambda: make_index(store, quiet))
    whole = held(directory)
    for write in late:
        with pytest.raises(RunError, match=r"this memory has changed meanwhile\.\nGive the command again"):
            write()
        assert held(directory) == whole


def test_where_a_memory_cannot_be_made(
    translator: Translator, text: Path, tmp_path: Path, tiny_corpus: TinyCorpus
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").touch()
    run = translator.run
    assert run is not None
    for name, why in (("file", "is a file"), ("other", "this folder holds something else")):
        with pytest.raises(RunError, match=why):
            new_memory(translator, run, tmp_path / name, "float16")
    remember(translator, text, tmp_path / "m")
    with pytest.raises(RunError, match=r"there is a memory here already\.\n`seq2seq memory add`"):
        new_memory(translator, run, tmp_path / "m", "float16")
    with (
        FileLock(MemoryFiles(tmp_path / "m").lock),
        pytest.raises(RunError, match="another process is writing into this memory"),
    ):
        remember(translator, tiny_corpus.folder / "dev", tmp_path / "m")


def test_the_beginning_of_another_memory_is_not_gone_on_with(
    translator: Translator, text: Path, tiny_corpus: TinyCorpus, tmp_path: Path
) -> None:
    def kill(stage: str, done: int, total: int) -> None:
        raise KilledError

    with pytest.raises(KilledError):
        remember(translator, text, tmp_path / "m", kill)
    with pytest.raises(UserError, match=r"holds the beginning of another memory\.\nGive the command that began it"):
        remember(translator, tiny_corpus.folder / "dev", tmp_path / "m")
    MemoryFiles(tmp_path / "m").growing.write_text("{")
    with pytest.raises(RunError, match="how far the memory has come is not known"):
        remember(translator, text, tmp_path / "m")


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="whoever may write everywhere")
def test_a_folder_that_cannot_be_written(translator: Translator, text: Path, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(RunError, match="cannot be written: Permission denied"):
            remember(translator, text, tmp_path / "m")
    finally:
        tmp_path.chmod(0o700)


def test_a_path_that_cannot_be_a_folder(translator: Translator, text: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="cannot be written: Not a directory"):
        remember(translator, text, tmp_path / "file" / "m")


def test_a_text_without_anything_to_remember(translator: Translator, tmp_path: Path) -> None:
    for name, line in (("empty", " "), ("long", "ta " * 200)):
        for side in ("xx", "yy"):
            write_lines(tmp_path / f"{name}.{side}", [line])
    with pytest.raises(UserError, match="none of them has two sides"):
        remember(translator, tmp_path / "empty", tmp_path / "m")
    with pytest.raises(UserError, match="there is nothing to remember: 1 pair left out"):
        remember(translator, tmp_path / "long", tmp_path / "m")


DAMAGES: dict[str, Callable[[MemoryFiles, int], object]] = {
    "keys cut": lambda files, n: os.truncate(files.keys, 400),
    "keys gone": lambda files, n: files.keys.unlink(),
    "keys of another type": lambda files, n: np.save(files.keys, np.zeros((n, 3))),
    "keys empty": lambda files, n: files.keys.write_bytes(b""),
    "keys that are objects": lambda files, n: np.save(files.keys, np.array([{}] * n), allow_pickle=True),
    "values too large": lambda files, n: np.save(files.values, np.full(n, 99, np.int32)),
    "values negative": lambda files, n: np.save(files.values, np.full(n, -1, np.int32)),
    "values short": lambda files, n: np.save(files.values, np.zeros(n - 1, np.int32)),
    "ends backwards": lambda files, n: np.save(files.ends, np.load(files.ends)[::-1]),
    "ends too far": lambda files, n: np.save(files.ends, np.load(files.ends) + 1),
    "source cut": lambda files, n: os.truncate(files.source, 5),
    "target gone": lambda files, n: files.target.unlink(),
    "record no JSON": lambda files, n: files.record.write_text("{"),
    "record of a list": lambda files, n: files.record.write_text("[]"),
    "record with more": lambda files, n: files.record.write_text(
        json.dumps(json.loads(files.record.read_text()) | {"size": -1})
    ),
    "record too deep": lambda files, n: files.record.write_text("[" * 100_000),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_memory_is_refused(damage: str, tmp_path: Path) -> None:
    store = made(tmp_path / "m", torch.randn(30, 3), [1] * 30, pieces=40)
    del store
    DAMAGES[damage](MemoryFiles(tmp_path / "m"), 30)
    with pytest.raises(RunError, match=r"is damaged|is missing|cannot be read") as caught:
        Store.open(tmp_path / "m")
    assert str(tmp_path / "m") in str(caught.value)


def test_a_memory_leads_nowhere_else(tmp_path: Path) -> None:
    made(tmp_path / "m", torch.randn(3, 3), [1] * 3)
    (tmp_path / "m" / "source.txt").rename(tmp_path / "elsewhere")
    (tmp_path / "m" / "source.txt").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RunError, match="a symbolic link that leads out of the memory is not followed"):
        Store.open(tmp_path / "m")


@pytest.mark.parametrize("name", ["codes", "norms", "centre"])
def test_damaged_codes_are_refused(name: str, tmp_path: Path) -> None:
    store = made(tmp_path / "m", torch.randn(30, 3), [1] * 30)
    path: Path = getattr(store.files, name)(30)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DamagedError):
        getattr(Store.open(tmp_path / "m"), name)


def test_what_is_no_memory(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"there is no such memory\.\nMake one with `seq2seq memory build`"):
        Store.open(tmp_path / "m")
    with pytest.raises(RunError, match=r"this is no memory: there is no memory\.json"):
        Store.open(tmp_path)
    made(tmp_path / "m", torch.randn(3, 3), [1] * 3)
    files = MemoryFiles(tmp_path / "m")
    files.record.write_text(json.dumps(json.loads(files.record.read_text()) | {"format": 99}))
    with pytest.raises(RunError, match="a later version of seq2seq made it"):
        Store.open(tmp_path / "m")


def test_a_memory_is_of_one_runs_weights(
    translator: Translator, text: Path, transformer_run: Run, tmp_path: Path
) -> None:
    remember(translator, text, tmp_path / "m")
    said = f"this memory does not belong to {transformer_run.directory}: it was made with other weights"
    with pytest.raises(RunError, match=said):
        open_memory(transformer_run, tmp_path / "m", torch.device("cpu"))
    with pytest.raises(RunError, match=said):
        known_memory(transformer_run, tmp_path / "m")


# By commands.


def test_from_a_text_to_examples(
    terminal: Terminal, trained_run: Run, tiny_corpus: TinyCorpus, text: Path, tmp_path: Path
) -> None:
    memory, run = tmp_path / "m", ("--run", trained_run.directory)
    train = ("--train", tiny_corpus.folder / "train", *LANGUAGES)
    built = terminal.ok("memory", "build", *run, *train, "-o", memory, "--precision", "auto")
    assert "remembering 300 pairs ..." in built.err
    record = read_record(MemoryFiles(memory))
    assert f"indexing {record.entries:,} keys ..." in built.err
    assert record.precision in ("fp32", "bf16")  # what keys are computed in, also on a processor that searches in int8
    assert "of 300 sentences. Choose how much it counts with `seq2seq memory tune`." in built.err
    assert "there is a memory here already" in terminal.refused("memory", "build", *run, *train, "-o", memory)
    added = terminal.ok("memory", "add", memory, *run, "--train", text)  # in the run's own languages
    assert "2 pairs with an empty side, or longer than 100 pieces: left out." in added.err
    assert "of 338 sentences" in added.err
    told = terminal.ok("translate", *run, "--memory", memory, "--format", "json", stdin=b"ta nu ki\n\n")
    assert f"memory {memory}: " in told.err
    assert "8 neighbours" in told.err
    assert "not tuned on dev" in told.err
    line, blank = map(json.loads, told.out.splitlines())
    assert line["line"] == 1
    [found] = line["translations"]
    assert [one["piece"] for one in found["origins"]] == [*found["pieces"], "</s>"]
    for origin in found["origins"]:
        assert len(origin["examples"]) == 8
        for example in origin["examples"]:
            assert translation(example["source"]) == example["target"]
    assert [one["text"] for one in blank["translations"]] == [""]
    nothing = terminal.ok("translate", *run, "--memory", memory, "--lambda", 0, stdin=b"ta nu ki\n")
    assert nothing.out == terminal.ok("translate", *run, stdin=b"ta nu ki\n").out


def test_the_runs_own_text_or_a_corpus(terminal: Terminal, trained_run: Run, tmp_path: Path) -> None:
    run = ("--run", trained_run.directory)
    assert "300 sentences" in terminal.ok("memory", "build", *run, "-o", tmp_path / "own").err
    both = ("--corpus", "tatoeba-de-en", "--train", "x")
    assert "both name a text" in terminal.refused("memory", "build", *run, *both, "-o", tmp_path / "m")
    assert 'corpus "x" is unknown' in terminal.refused("memory", "build", *run, "--corpus", "x", "-o", tmp_path / "m")
    assert '"int8" is unknown' in terminal.refused("memory", "build", *run, "--keys", "int8", "-o", tmp_path / "m")


def test_keys_are_not_computed_in_8_bit_integers(terminal: Terminal, trained_run: Run, tmp_path: Path) -> None:
    run = ("--run", trained_run.directory, "--precision", "int8")
    for command in (("build", "-o", tmp_path / "m"), ("add", tmp_path / "m"), ("tune", tmp_path / "m")):
        assert "int8 is for searching" in terminal.refused("memory", *command, *run)


def test_options_that_would_do_nothing(terminal: Terminal, trained_run: Run, tmp_path: Path) -> None:
    run = ("translate", "--run", trained_run.directory)
    for option in (("--neighbours", 3), ("--memory-temperature", 3), ("--lambda", 0.5)):
        assert f"{option[0]} needs --memory" in terminal.refused(*run, *option)
    assert '"xml" is unknown' in terminal.refused(*run, "--format", "xml")
    assert "--pieces is not for json, which has it" in terminal.refused(*run, "--format", "json", "--pieces")
    assert "there is no such memory" in terminal.refused(*run, "--memory", tmp_path / "none")


def test_an_interrupted_translation_knows_its_memory(
    terminal: Terminal, trained_run: Run, text: Path, tmp_path: Path
) -> None:
    run, memory = ("--run", trained_run.directory), tmp_path / "m"
    terminal.ok("memory", "build", *run, "--train", text, "-o", memory)
    write_lines(tmp_path / "in", sentences(3, seed=5))
    command = ("translate", tmp_path / "in", "-o", tmp_path / "out", *run)
    terminal.ok(*command, "--memory", memory)
    (tmp_path / "out").write_text("la\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("seq2seq_cli.decoding.unfinished.Unfinished.finish", lambda self: None)
        terminal.ok(*command, "--memory", memory)
    said = terminal.refused(*command, "--resume", "--memory", memory, "--neighbours", 3)
    assert "was begun with another settings" in said
    assert "was begun with another settings" in terminal.refused(*command, "--resume")
    terminal.ok(*command, "--resume", "--memory", memory)
