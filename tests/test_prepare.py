"""What training reads: right ids, right pairs left out, made once, never half."""

import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import numpy as np
import pytest

from seq2seq_cli.config.sections import DataConfig, SubwordConfig
from seq2seq_cli.data import epochs, tokenised
from seq2seq_cli.data.cache import STALE_SECONDS, cache_root, cached
from seq2seq_cli.data.epochs import TrainingText
from seq2seq_cli.data.pairs import LineFiles
from seq2seq_cli.data.prepare import Prepared, prepare
from seq2seq_cli.data.ragged import RaggedIds
from seq2seq_cli.data.subword import UNK, Subwords
from seq2seq_cli.data.tokenised import TokenisedSplit, TokenisedText, write_shards
from seq2seq_cli.errors import BrokenOffError, DataError

SUBWORD = SubwordConfig(type="char", vocab_size=30)


def write_pairs(prefix: Path, pairs: list[tuple[str, str]]) -> None:
    prefix.parent.mkdir(exist_ok=True)
    for language, lines in zip(("de", "en"), zip(*pairs, strict=True), strict=True):
        Path(f"{prefix}.{language}").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="")


TRAIN = [("ab", "ba"), ("", "b"), ("abc", "c"), ("a", " \0"), ("a" * 9, "b"), ("c", "b" * 9), ("bc a", "a"), ("c", "c")]
DEV = [("a", "b"), ("", "b"), ("b" * 20, "c" * 20), ("c", "")]


@pytest.fixture(autouse=True)
def cache_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A test sees what was prepared by itself alone."""
    monkeypatch.setenv("SEQ2SEQ_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def data(tmp_path: Path) -> DataConfig:
    folder = tmp_path / "toy"
    write_pairs(folder / "train", TRAIN)
    write_pairs(folder / "dev", DEV)
    return DataConfig(train=str(folder / "train"), dev=str(folder / "dev"), src="de", tgt="en", max_length=5)


@pytest.fixture
def prepared(data: DataConfig, tmp_path: Path) -> Prepared:
    return prepare(data, SUBWORD)


def rows(ids: RaggedIds) -> list[list[int]]:
    assert ids.values.dtype == np.uint16
    assert ids.lengths.dtype == np.int32
    return [part.tolist() for part in np.split(ids.values, np.cumsum(ids.lengths))[:-1]]


def texts(split: TokenisedSplit | TrainingText, subwords: Subwords) -> list[tuple[str, str]]:
    if isinstance(split, TrainingText):
        return [pair for part in split.parts() for pair in texts(part, subwords)]
    src, tgt = split.gather(np.arange(len(split)))
    return list(zip(map(subwords.src.decode, rows(src)), map(subwords.tgt.decode, rows(tgt)), strict=True))


def test_training_leaves_out_empty_sides_and_long_pairs_and_says_so(prepared: Prepared) -> None:
    assert texts(prepared.train, prepared.subwords) == [("ab", "ba"), ("abc", "c"), ("bc a", "a"), ("c", "c")]
    [pairs] = prepared.train.parts()
    assert pairs.src_lengths.tolist() == [3, 4, 5, 2]  # each with its ▁
    assert pairs.tgt_lengths.tolist() == [3, 2, 2, 2]
    assert (prepared.train.counts.src_pieces, prepared.train.counts.tgt_pieces) == (14, 9)
    assert len(prepared.train) == 4
    assert prepared.notes == [
        "2 pairs with an empty side: dropped.",
        "2 pairs longer than 5 pieces (data.max_length): left out of training.",
        "The training text feeds 8 pieces of type char, not 30 (subword.vocab_size): the vocabulary has as many.",
    ]


def test_dev_keeps_every_pair_in_order(prepared: Prepared) -> None:
    assert texts(prepared.dev, prepared.subwords) == DEV
    assert list(zip(prepared.dev_lines.src, prepared.dev_lines.tgt, strict=True)) == DEV
    assert prepared.dev.src_lengths.tolist() == [2, 0, 21, 2]
    assert prepared.test_lines is None
    assert set(prepared.hashes) == {"train", "dev"}
    assert (prepared.corpus_name, prepared.src, prepared.tgt) == ("toy-de-en", "de", "en")


def test_a_test_text_is_read_as_it_stands(data: DataConfig, tmp_path: Path) -> None:
    write_pairs(tmp_path / "test", [("  x\u2028 ", ""), ("", "y")])
    prepared = prepare(data.model_copy(update={"test": str(tmp_path / "test")}), SUBWORD)
    assert prepared.test_lines is not None
    assert prepared.test_lines.src == ["  x\u2028 ", ""]
    assert prepared.test_lines.tgt == ["", "y"]
    assert set(prepared.hashes) == {"train", "dev", "test"}


def test_separate_vocabularies_know_their_own_side(tmp_path: Path) -> None:
    write_pairs(tmp_path / "train", [("abc", "xyz")])
    data = DataConfig(train=str(tmp_path / "train"), dev=str(tmp_path / "train"), src="de", tgt="en")
    prepared = prepare(data, SubwordConfig(type="char", vocab_size=8, joint=False))
    assert not prepared.subwords.joint
    assert prepared.notes == []
    assert texts(prepared.train, prepared.subwords) == [("abc", "xyz")]
    assert {prepared.subwords.src.decode([i]) for i in range(4, 8)} == {"", "a", "b", "c"}


def test_given_vocabularies_are_taken(prepared: Prepared, data: DataConfig, tmp_path: Path) -> None:
    again = prepare(data, SubwordConfig(), subwords=prepared.subwords)
    assert again.subwords is prepared.subwords
    assert again.directory != prepared.directory
    assert texts(again.dev, prepared.subwords) == DEV
    assert again.notes == prepared.notes[:2]


@pytest.mark.parametrize("chunk", [1, 3, 1000])
def test_gather_gives_any_pairs_in_any_order(chunk: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokenised, "CHUNK", chunk)
    rng = random.Random(1)
    pairs = [tuple("".join(rng.choices("abc", k=rng.randrange(6))) for _ in range(2)) for _ in range(20)]
    write_pairs(tmp_path / "train", pairs)  # type: ignore[arg-type]
    data = DataConfig(train=str(tmp_path / "train"), dev=str(tmp_path / "train"), src="de", tgt="en")
    prepared = prepare(data, SUBWORD)
    kept = [pair for pair in pairs if all(pair)]
    for split, expected in ((next(prepared.train.parts()), kept), (prepared.dev, pairs)):
        indices = np.array([rng.randrange(len(split)) for _ in range(30)])
        src, tgt = split.gather(indices)
        assert list(map(prepared.subwords.src.decode, rows(src))) == [expected[i][0] for i in indices]
        assert list(map(prepared.subwords.tgt.decode, rows(tgt))) == [expected[i][1] for i in indices]
        assert (src.lengths == split.src_lengths[indices]).all()
        assert (tgt.lengths == split.tgt_lengths[indices]).all()
        assert [len(side.values) for side in split.gather(indices[:0])] == [0, 0]


def test_a_selection_of_a_selection(prepared: Prepared) -> None:
    chosen = next(prepared.train.parts()).select(np.array([3, 1, 0])).select(np.array([2, 0]))
    assert texts(chosen, prepared.subwords) == [("ab", "ba"), ("c", "c")]
    assert chosen.src_lengths.tolist() == [3, 2]
    assert len(chosen) == 2


# The cache.


def test_it_is_made_once(prepared: Prepared, data: DataConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seq2seq_cli.data.prepare._make", None)
    again = prepare(data, SUBWORD)
    assert (again.directory, again.notes, again.hashes) == (prepared.directory, prepared.notes, prepared.hashes)
    assert texts(again.train, again.subwords) == texts(prepared.train, prepared.subwords)
    shorter = prepare(data.model_copy(update={"max_length": 3}), SUBWORD)
    assert texts(shorter.train, again.subwords) == [("ab", "ba"), ("c", "c")]
    # The test text is not tokenised, whichever it is.
    write_pairs(tmp_path / "test", DEV)
    Path(tmp_path / "test.en2").write_text("x\n" * len(DEV), encoding="utf-8")
    tested = prepare(data.model_copy(update={"test": str(tmp_path / "test"), "references": ["en2"]}), SUBWORD)
    assert tested.directory == prepared.directory


def test_another_text_or_setting_is_made_anew(prepared: Prepared, data: DataConfig, tmp_path: Path) -> None:
    other_setting = prepare(data, SubwordConfig(type="char", vocab_size=31))
    write_pairs(Path(str(data.train)), [*TRAIN[:-1], ("c", "b")])  # as long as before, and within the same second
    other_text = prepare(data, SUBWORD)
    write_pairs(Path(str(data.dev)), DEV[::-1])
    other_dev = prepare(data, SUBWORD)
    assert len({one.directory for one in (prepared, other_setting, other_text, other_dev)}) == 4
    assert texts(other_dev.dev, other_dev.subwords)[-1] == DEV[0]
    assert texts(other_text.train, other_text.subwords)[-1] == ("c", "b")
    assert texts(prepared.train, prepared.subwords)[-1] == ("c", "c")


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SEQ2SEQ_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", "/home/someone")
    assert cache_root() == Path("/home/someone/.cache/seq2seq")
    monkeypatch.setenv("XDG_CACHE_HOME", "/caches")
    assert cache_root() == Path("/caches/seq2seq")
    monkeypatch.setenv("SEQ2SEQ_CACHE", "/mine")
    assert cache_root() == Path("/mine")


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    def fail(entry: Path) -> None:
        (entry / "half").write_text("half")
        raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011
        cached(tmp_path, "key", fail)
    assert list(tmp_path.iterdir()) == []


def test_what_an_interrupted_one_leaves_is_taken_up(tmp_path: Path) -> None:
    def interrupted(entry: Path) -> None:
        (entry / "half").write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cached(tmp_path, "key", interrupted)
    assert not (tmp_path / "key").exists()
    entry = cached(tmp_path, "key", lambda entry: (entry / "whole").touch())
    assert {path.name for path in entry.iterdir()} == {"half", "whole"}
    assert list(tmp_path.iterdir()) == [entry]


@pytest.mark.slow
def test_a_killed_process_leaves_no_entry_and_its_rest_is_swept(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path; from seq2seq_cli.data.cache import cached\n"
        "def make(entry):\n    (entry / 'half').write_text('half'); os.kill(os.getpid(), signal.SIGKILL)\n"
        "cached(Path(sys.argv[1]), 'key', make)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)]).returncode == -9
    [rest] = (path for path in tmp_path.iterdir() if path.is_dir())
    assert rest.name != "key"
    cached(tmp_path, "young", lambda entry: None)
    assert rest.exists()  # another process may still be at it
    long_ago = time.time() - STALE_SECONDS - 60
    os.utime(rest, (long_ago, long_ago))
    cached(tmp_path, "other", lambda entry: None)
    assert {path.name for path in tmp_path.iterdir() if path.is_dir()} == {"other", "young"}


def test_two_at_once_do_no_harm(data: DataConfig, tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: prepare(data, SUBWORD), range(4)))
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [made[0].directory.name]
    assert all(texts(one.dev, one.subwords) == DEV for one in made)


def test_whoever_comes_second_waits_and_takes_what_the_first_has_made(tmp_path: Path) -> None:
    begun, waits = Event(), Event()

    def first(entry: Path) -> None:
        begun.set()
        assert waits.wait(20)
        (entry / "by").write_text("first")

    with ThreadPoolExecutor(1) as pool:
        made = pool.submit(cached, tmp_path, "key", first)
        assert begun.wait(20)
        entry = cached(tmp_path, "key", lambda entry: pytest.fail("made twice"), waits.set)
    assert entry == made.result()
    assert (entry / "by").read_text() == "first"


@pytest.mark.parametrize("name", ["train-00000.arrow", "dev-00000.arrow", "subword.model"])
@pytest.mark.parametrize("damage", ["missing", "cut"])
def test_damage_is_named(name: str, damage: str, prepared: Prepared, data: DataConfig, tmp_path: Path) -> None:
    path = prepared.directory / name
    content = path.read_bytes()
    path.unlink()
    if damage == "cut":
        path.write_bytes(content[: len(content) // 3])
    with pytest.raises(DataError, match=f"{prepared.directory}: the prepared data are damaged"):
        prepare(data, SUBWORD)


def test_a_cache_that_cannot_be_written(data: DataConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("SEQ2SEQ_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(
        DataError, match=r"file/cache: prepared data cannot be written here: Not a directory.\nSet SEQ2SEQ"
    ):
        prepare(data, SUBWORD)


# Many pairs.


@pytest.fixture
def many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DataConfig:
    """Twenty-three pairs in shards of five, chunks of two and buffers of four chunks."""
    monkeypatch.setattr(tokenised, "SHARD", 5)
    monkeypatch.setattr(tokenised, "CHUNK", 2)
    monkeypatch.setattr(tokenised, "SLICE", 1)
    monkeypatch.setattr(epochs, "BUFFER", 4)
    write_pairs(tmp_path / "many" / "train", [("c" * (i % 5), "ab"[i % 2] + "c" * i) for i in range(23)])
    write_pairs(tmp_path / "many" / "dev", DEV)
    train, dev = (str(tmp_path / "many" / split) for split in ("train", "dev"))
    return DataConfig(train=train, dev=dev, src="de", tgt="en", max_length=21)


def test_shards_and_buffers_hold_every_pair_once(many: DataConfig, tmp_path: Path) -> None:
    prepared = prepare(many, SUBWORD)
    shards = sorted(path.name for path in prepared.directory.glob("train-*"))
    assert shards == [f"train-0000{number}.arrow" for number in range(5)]
    kept = [i for i in range(23) if i % 5 and i <= 19]  # ▁, a letter and 19 more are 21 pieces
    numbers = [number for part in prepared.train.parts() for number in part.numbers.tolist()]
    assert numbers == kept
    assert len(prepared.train) == len(kept)
    everything = texts(prepared.train, prepared.subwords)
    orders = []
    for epoch in range(3):
        buffers = prepared.train.buffers(seed=1, epoch=epoch)
        assert [len(buffer) for buffer in buffers] == [4, 4, 4, 2]  # a shard of five has chunks of 2, 2 and 1
        found: dict[int, tuple[str, str]] = {}
        for buffer in buffers:
            split = prepared.train.load(buffer)
            assert len(split.numbers) == len(split)
            found |= dict(zip(split.numbers.tolist(), texts(split, prepared.subwords), strict=True))
        assert [found[number] for number in kept] == everything
        orders.append(buffers)
    assert orders[0] != orders[1] != orders[2]
    assert orders[0] == prepared.train.buffers(seed=1, epoch=0)
    assert orders[0] != prepared.train.buffers(seed=2, epoch=0)


def test_a_killed_preparation_goes_on_with_its_shards(
    many: DataConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(stage: str, done: int, total: int) -> None:
        if stage == "tokenising" and done > 13:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(many, SUBWORD, report=interrupt)
    [half] = (path for path in (tmp_path / "cache").iterdir() if path.is_dir())
    before = {path.name: path.stat().st_mtime_ns for path in half.iterdir()}
    assert set(before) == {"subword.model", "train-00000.arrow", "train-00001.arrow"}
    monkeypatch.setattr("seq2seq_cli.data.prepare.train_subword", None)
    again = prepare(many, SUBWORD)
    assert {name: (again.directory / name).stat().st_mtime_ns for name in before} == before
    monkeypatch.undo()
    monkeypatch.setenv("SEQ2SEQ_CACHE", str(tmp_path / "other"))
    unbroken = prepare(many, SUBWORD)
    assert texts(again.train, again.subwords) == texts(unbroken.train, unbroken.subwords)
    assert texts(again.dev, again.subwords) == DEV


def test_a_preparation_whose_text_breaks_off_goes_on_with_its_shards(
    many: DataConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, readings = LineFiles.pairs, 0

    def pairs(self: LineFiles) -> Iterator[tuple[str, str]]:
        nonlocal readings
        readings += self.src.name == "train.de"
        for number, pair in enumerate(plain(self)):
            if number == 13 and readings == 3:  # checked, learnt from, and now tokenised
                raise BrokenOffError("the dataset could not be read further.")
            yield pair

    monkeypatch.setattr(LineFiles, "pairs", pairs)
    with pytest.raises(BrokenOffError):
        prepare(many, SUBWORD)
    monkeypatch.setattr(LineFiles, "pairs", plain)
    [half] = (path for path in (tmp_path / "cache").iterdir() if path.is_dir())
    before = {path.name: path.stat().st_mtime_ns for path in half.iterdir()}
    assert set(before) == {"subword.model", "train-00000.arrow", "train-00001.arrow"}
    again = prepare(many, SUBWORD)
    assert {name: (again.directory / name).stat().st_mtime_ns for name in before} == before


def test_an_error_without_a_number_is_told_all_the_same(tmp_path: Path) -> None:
    def fail(entry: Path) -> None:
        raise OSError("disk on fire")

    with pytest.raises(DataError, match=r"cannot be written here: disk on fire\."):
        cached(tmp_path, "key", fail)


def test_a_vocabulary_is_learnt_from_every_nth_pair_of_a_large_text(
    many: DataConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("seq2seq_cli.data.prepare.VOCABULARY_PAIRS", 12)
    prepared = prepare(many, SUBWORD)  # 23 pairs: every second one, whose targets begin with a
    assert prepared.subwords.tgt.ids(["a", "b"])[0] != UNK
    assert prepared.subwords.tgt.ids(["a", "b"])[1] == UNK


def test_large_vocabularies_have_room(prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokenised, "SMALL", 7)
    write_shards(tmp_path, "wide", TRAIN, prepared.subwords, 1, lambda done: None)
    wide = TokenisedText.open(tmp_path, "wide").load()
    src, _ = wide.gather(np.arange(len(wide)))
    assert src.values.dtype == np.int32
    assert [
        prepared.subwords.src.decode(part.tolist()) for part in np.split(src.values, np.cumsum(src.lengths)[:-1])
    ] == [pair[0] for pair in TRAIN]


# What is said meanwhile, and what cannot be used.


def test_progress_ends_at_its_total_and_nothing_is_printed(
    data: DataConfig, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokenised, "CHUNK", 5)
    monkeypatch.setattr("seq2seq_cli.data.prepare.REPORT_EVERY", 8)
    heard: list[tuple[str, int, int]] = []
    prepare(data, SUBWORD, report=lambda *told: heard.append(told))
    assert heard == [
        ("reading", 8, 0),
        ("vocabulary", 0, 8),
        ("vocabulary", 8, 8),
        ("tokenising", 5, 12),
        ("tokenising", 8, 12),
        ("tokenising", 12, 12),
    ]
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ([("", "a"), ("a", "\0 ")], "train.de and .*train.en: 2 pairs, and none of them has two sides"),
        (
            [("", "a"), ("a" * 9, "b")],
            r"no pair is left for training. 1 pair with an empty side: dropped. 1 pair longer",
        ),
    ],
)
def test_no_pair_left(pairs: list[tuple[str, str]], message: str, data: DataConfig, tmp_path: Path) -> None:
    write_pairs(Path(str(data.train)), pairs)
    with pytest.raises(DataError, match=message):
        prepare(data, SUBWORD)


def test_unequal_files_are_refused_and_nothing_is_kept(data: DataConfig, tmp_path: Path) -> None:
    Path(f"{data.dev}.en").write_text("only one\n")
    with pytest.raises(DataError, match="4 lines in one file but 1 in the other"):
        prepare(data, SUBWORD)
    assert list((tmp_path / "cache").iterdir()) == []
