"""Every form a corpus may come in gives the same pairs, and what is wrong with one is named."""

import gzip
import hashlib
import json
import random
import re
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import datasets
import pyarrow as pa
import pytest
from pyarrow import parquet

from seq2seq_cli.config.sections import DataConfig
from seq2seq_cli.data import corpora
from seq2seq_cli.data.corpora import BUILT_IN, find_corpus, open_text
from seq2seq_cli.data.hub import DatasetRows
from seq2seq_cli.data.pairs import LineFiles, Lines, first_shifted
from seq2seq_cli.errors import BrokenOffError, DataError

PAIRS = [("Ja, bitte!", 'He said "yes".'), ("Zwei", "two"), ("", "no source"), ("D\u2028rei", "three")]
Pairs = list[tuple[str, str]]


def write_lines(path: Path, lines: list[str]) -> Path:
    path.parent.mkdir(exist_ok=True)
    content = "".join(f"{line}\n" for line in lines).encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def rows(pairs: Pairs) -> list[dict[str, object]]:
    return [{"id": number, "de": de, "en": en} for number, (de, en) in enumerate(pairs)]


def prefix(folder: Path, pairs: Pairs) -> str:
    write_lines(folder / "train.de", [de for de, _ in pairs])
    write_lines(folder / "train.en", [en for _, en in pairs])
    return str(folder / "train")


def zipped_prefix(folder: Path, pairs: Pairs) -> str:
    write_lines(folder / "train.de.gz", [de for de, _ in pairs])
    write_lines(folder / "train.en", [en for _, en in pairs])
    return str(folder / "train")


def tsv(folder: Path, pairs: Pairs) -> str:
    return str(write_lines(folder / "t.tsv", ["en\tid\tde", *(f"{en}\t7\t{de}" for de, en in pairs)]))


def csv(folder: Path, pairs: Pairs) -> str:
    cells = ((de, en.replace('"', '""')) for de, en in pairs)
    return str(write_lines(folder / "t.csv.gz", ["de,en", *(f'"{de}","{en}"' for de, en in cells), ""]))


def shards(folder: Path, pairs: Pairs) -> str:
    for number, part in enumerate((pairs[:1], pairs[1:])):
        write_lines(folder / f"train-{number}.de", [de for de, _ in part])
        write_lines(folder / f"train-{number}.en.gz", [en for _, en in part])
    write_lines(folder / "train-1.fr", ["not", "of", "these"])
    return str(folder / "train-*")


def tables(folder: Path, pairs: Pairs) -> str:
    for number, part in enumerate((pairs[:3], pairs[3:])):
        parquet.write_table(pa.Table.from_pylist(rows(part)), (folder / f"{number}.parquet").absolute())
    return str(folder / "?.parquet")


def jsonl(folder: Path, pairs: Pairs) -> str:
    lines = [{"de": de or None, "en": en} for de, en in pairs[:3]]
    nested = [{"translation": {"en": en, "de": de}} for de, en in pairs[3:]]
    return str(write_lines(folder / "t.jsonl", [*(json.dumps(row, ensure_ascii=False) for row in lines + nested), ""]))


def parquet_file(folder: Path, pairs: Pairs) -> str:
    parquet.write_table(pa.Table.from_pylist(rows(pairs)), folder / "t.parquet")
    return str(folder / "t.parquet")


def saved_dataset(folder: Path, pairs: Pairs) -> str:
    datasets.Dataset.from_list(rows(pairs)).save_to_disk(folder / "saved")
    return str(folder / "saved")


def saved_splits(folder: Path, pairs: Pairs) -> str:
    nested = datasets.Dataset.from_list([{"translation": {"de": de, "en": en}} for de, en in pairs])
    datasets.DatasetDict({"test": nested.select([0]), "train": nested}).save_to_disk(folder / "saved")
    return str(folder / "saved")


def data_folder(folder: Path, pairs: Pairs) -> str:
    inside = folder / "hub"
    inside.mkdir()
    write_lines(inside / "train.jsonl", [json.dumps(row) for row in rows(pairs)])
    write_lines(inside / "validation.jsonl", [json.dumps(row) for row in rows(pairs[:1])])
    return str(inside)


Form = Callable[[Path, Pairs], str]
FORMS = [prefix, zipped_prefix, shards, tables, tsv, csv, jsonl, parquet_file, saved_dataset, saved_splits, data_folder]


@pytest.fixture(autouse=True)
def _own_datasets_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf-cache")


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_pairs(form: Form, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    text = open_text(form(tmp_path, PAIRS), "train", "de", "en")
    capfd.readouterr()  # what writing the form has printed
    assert list(text.pairs()) == list(text.pairs()) == PAIRS
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("form", FORMS)
def test_a_missing_language_names_what_there_is(form: Form, tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"(column \"xx\"; there are .*de|train(-0)?\.xx does not exist; there are .*train(-0)?\.de)"
    ):
        list(open_text(form(tmp_path, PAIRS), "train", "xx", "de").pairs())


@pytest.mark.parametrize("form", FORMS)
def test_the_digest_follows_the_text(form: Form, tmp_path: Path) -> None:
    def digest(folder: str, pairs: Pairs) -> str:
        (tmp_path / folder).mkdir()
        return open_text(form(tmp_path / folder, pairs), "train", "de", "en").digest()

    first = digest("1", PAIRS)
    assert digest("2", PAIRS) == first
    assert digest("3", [PAIRS[0], ("Zwei", "twa"), *PAIRS[2:]]) != first


def test_the_digest_of_files_can_be_had_from_the_shell(tmp_path: Path) -> None:
    text = open_text(prefix(tmp_path, PAIRS), "train", "de", "en")
    joined = (tmp_path / "train.de").read_bytes() + (tmp_path / "train.en").read_bytes()
    assert text.digest() == hashlib.sha256(joined).hexdigest()


def test_a_streamed_dataset_gives_the_same_pairs_and_leaves_no_copy(tmp_path: Path) -> None:
    text = open_text(data_folder(tmp_path, PAIRS), "train", "de", "en", streaming=True)
    assert list(text.pairs()) == list(text.pairs()) == PAIRS
    assert text.digest() == open_text(saved_dataset(tmp_path, PAIRS), "train", "de", "en").digest()
    assert not list((tmp_path / "hf-cache").glob("**/*.arrow"))
    write_lines(tmp_path / "hub" / "train.jsonl", [])
    with pytest.raises(DataError, match=r"(no rows in this dataset|cannot be loaded)"):
        list(open_text(str(tmp_path / "hub"), "train", "de", "en", streaming=True).pairs())


def test_parts_come_in_the_order_of_their_names(tmp_path: Path) -> None:
    for number in ("02", "10", "01"):
        write_lines(tmp_path / "parts" / f"train{number}.de", [f"s{number}"])
        write_lines(tmp_path / "parts" / f"train{number}.en", [f"t{number}"])
    text = open_text(str(tmp_path / "p*" / "train[01]*"), "train", "de", "en")
    assert list(text.pairs()) == [("s01", "t01"), ("s02", "t02"), ("s10", "t10")]
    assert text.where == f"{tmp_path}/p*/train[01]* (3 parts)"
    (tmp_path / "parts" / "train02.en").unlink()
    with pytest.raises(DataError, match=r"train02\.en does not exist; there are .*train02\.de"):
        open_text(str(tmp_path / "parts" / "train*"), "train", "de", "en")
    with pytest.raises(DataError, match=r"no files are called .*/no\*\.de and .*/no\*\.en"):
        open_text(str(tmp_path / "parts" / "no*"), "train", "de", "en")
    with pytest.raises(DataError, match=r"no files are called .*/\*\.parquet\."):
        open_text(str(tmp_path / "parts" / "*.parquet"), "train", "de", "en")


def test_a_file_may_be_called_like_a_pattern(tmp_path: Path) -> None:
    for side in ("de", "en"):
        write_lines(tmp_path / f"a[1]b.{side}", [side])
    assert list(open_text(str(tmp_path / "a[1]b"), "train", "de", "en").pairs()) == [("de", "en")]


@pytest.mark.parametrize(
    ("train", "name"),
    [("P/multi/train-*", "multi-de-en"), ("P/part-*.parquet", "part-de-en"), ("P/opus*.tsv.gz", "opus-de-en")],
)
def test_the_name_of_many_files(train: str, name: str) -> None:
    assert corpora._name(train, "de", "en").endswith(name)


def test_a_dataset_gives_the_split_of_the_role_or_the_named_one(tmp_path: Path) -> None:
    folder = data_folder(tmp_path, PAIRS)
    assert len(list(open_text(folder, "dev", "de", "en").pairs())) == 1
    assert len(list(open_text(f"{folder}:validation", "train", "de", "en").pairs())) == 1
    with pytest.raises(DataError, match='there is no split "test"; there are train, validation'):
        open_text(folder, "test", "de", "en")


@pytest.mark.parametrize(
    ("form", "arguments", "split"),
    [
        ("someone/wmt", ("someone/wmt", None), "train"),
        ("someone/wmt:extra", ("someone/wmt", None), "extra"),
        ("wmt:de-en:extra", ("wmt", "de-en"), "extra"),
    ],
)
def test_a_hub_dataset_is_asked_for_by_name(
    form: str, arguments: tuple[str, str | None], split: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def load(*given: str | None, streaming: bool) -> datasets.DatasetDict:
        assert not streaming
        asked.append(given)
        return datasets.DatasetDict({split: datasets.Dataset.from_list(rows(PAIRS))})

    monkeypatch.setattr(datasets, "load_dataset", load)
    assert list(open_text(form, "train", "de", "en").pairs()) == PAIRS
    assert asked == [arguments]


def test_a_hub_out_of_reach_is_an_error_of_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(*given: str | None, streaming: bool) -> None:
        raise ConnectionError("Couldn't reach the Hub\nand much more")

    monkeypatch.setattr(datasets, "load_dataset", load)
    with pytest.raises(DataError) as caught:
        open_text("someone/wmt", "train", "de", "en")
    assert str(caught.value) == (
        "someone/wmt: cannot be loaded as a dataset: Couldn't reach the Hub.\n"
        "There are no files someone/wmt.de and someone/wmt.en either. Check the name, and the connection to the hub."
    )


@pytest.mark.parametrize(
    "error", [ConnectionError("no route\nand much more"), OSError(5, "reset"), pa.ArrowInvalid("bad")]
)
def test_a_dataset_that_breaks_off_says_where(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = open_text(saved_dataset(tmp_path, PAIRS), "train", "de", "en")
    assert isinstance(text, DatasetRows)

    def broken(self: datasets.Dataset, batch_size: int) -> Iterator[pa.Table]:
        yield pa.Table.from_pylist(rows(PAIRS[:2]))
        raise error

    monkeypatch.setattr(datasets.Dataset, "iter", broken)
    read: list[tuple[str, str]] = []
    with pytest.raises(
        BrokenOffError, match=r"could not be read further than row 2: .*\.\nCheck the connection"
    ) as caught:
        read.extend(text.pairs())
    assert "much more" not in str(caught.value)
    assert caught.value.where == text.where


# Files that are not there.


def test_a_missing_prefix_names_the_near_one(tmp_path: Path) -> None:
    prefix(tmp_path, PAIRS)
    with pytest.raises(DataError, match=r'trian\.de: does not exist\.\nDid you mean "train\.de"\?'):
        open_text(str(tmp_path / "trian"), "train", "de", "en")
    with pytest.raises(DataError, match="nor does its folder"):
        open_text("no-such-folder/train", "train", "de", "en")


def test_one_file_is_not_two(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="one file, without named columns"):
        open_text(prefix(tmp_path, PAIRS) + ".de", "train", "de", "en")


def test_a_folder_of_text_files_is_not_a_dataset(tmp_path: Path) -> None:
    prefix(tmp_path / "corpus", PAIRS)
    with pytest.raises(DataError, match=r"cannot be loaded as a dataset(.|\n)*for example .*corpus/train"):
        open_text(str(tmp_path / "corpus"), "train", "de", "en")


def test_a_missing_table(tmp_path: Path) -> None:
    tsv(tmp_path, PAIRS)
    with pytest.raises(DataError, match=r'tt\.tsv: does not exist\.\nDid you mean "t\.tsv"'):
        open_text(str(tmp_path / "tt.tsv"), "train", "de", "en")


# Files that hold something else than they should.


@pytest.mark.parametrize("src", [[], ["one"]])
def test_empty_files(src: list[str], tmp_path: Path) -> None:
    files = LineFiles(write_lines(tmp_path / "a.de", src), write_lines(tmp_path / "a.en", []))
    with pytest.raises(DataError, match=r"a\.en: (both files are|the file is) empty"):
        list(files.pairs())


def test_an_empty_table(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "t.tsv", ["de\ten"])
    with pytest.raises(DataError, match="there are no pairs in this file"):
        list(open_text(str(path), "train", "de", "en").pairs())


def test_files_of_unequal_length_show_where_they_shift(tmp_path: Path) -> None:
    sizes = [3, 40, 9, 25, 60, 5, 33, 14, 50, 8]
    src = ["d" * size for size in sizes]
    tgt = ["e" * (size + size // 5) for size in sizes]
    files = LineFiles(write_lines(tmp_path / "a.de", src), write_lines(tmp_path / "a.en", tgt[:4] + tgt[5:]))
    with pytest.raises(DataError) as caught:
        list(files.pairs())
    assert caught.value.what == (
        "10 lines in one file but 9 in the other. They look shifted from line 5 on:\n"
        f"  {files.src}:5: '{'d' * 60}'\n  {files.tgt}:5: 'eeeeee'"
    )


@pytest.mark.parametrize("extra", [1, 3])
@pytest.mark.parametrize("place", range(11))
def test_the_shift_is_found_wherever_it_is(place: int, extra: int) -> None:
    lines = ["x" * size for size in (3, 40, 9, 25, 60, 5, 33, 14, 50, 8)]
    longer = lines[:place] + ["y" * 17] * extra + lines[place:]
    assert first_shifted(longer, lines) == first_shifted(lines, longer) == place


def unequal(src: list[str], tgt: list[str], folder: Path) -> str:
    """What is said of two files of these lines."""
    files = LineFiles(write_lines(folder / "a.de", src), write_lines(folder / "a.en", tgt))
    with pytest.raises(DataError) as caught:
        list(files.pairs())
    assert "seq2seq check-data" in str(caught.value)
    return caught.value.what


@pytest.fixture(scope="module")
def some() -> tuple[list[str], list[str]]:
    """The first pairs of a corpus."""
    pairs = list(islice(find_corpus(DataConfig()).train.pairs(), 600))
    return [src for src, _ in pairs], [tgt for _, tgt in pairs]


@pytest.mark.parametrize("place", [0, 30, 300, 599])
def test_one_line_that_is_missing_is_named(place: int, some: tuple[list[str], list[str]], tmp_path: Path) -> None:
    src, tgt = some
    said = re.search("They look shifted from line ([0-9]+) on", unequal(src, tgt[:place] + tgt[place + 1 :], tmp_path))
    assert said
    assert abs(int(said[1]) - 1 - place) <= 4  # lengths tell no more


@pytest.mark.parametrize("every", [20, 50, 150, 250])
def test_no_line_is_named_where_several_places_lack_one(
    every: int, some: tuple[list[str], list[str]], tmp_path: Path
) -> None:
    src, tgt = some
    said = unequal(src, [line for row, line in enumerate(tgt) if row % every != every - 1], tmp_path)
    assert "Here the one ends" in said
    assert "shifted" not in said
    assert "(no such line)" in said


def test_no_line_is_named_where_lengths_tell_nothing(some: tuple[list[str], list[str]], tmp_path: Path) -> None:
    src, tgt = (
        list(side) for side in zip(*sorted(zip(*some, strict=True), key=lambda pair: len(pair[0])), strict=True)
    )
    assert "Here the one ends" in unequal(src, tgt[:200] + tgt[201:], tmp_path)
    shuffled = random.Random(5).sample(some[1], len(some[1]) - 7)
    assert "Here the one ends" in unequal(some[0], shuffled, tmp_path)
    assert "Here the one ends" in unequal(["a"] * 40, ["b"] * 39, tmp_path)


def test_columns_are_counted_from_one(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "t.tsv", ["ja\tyes", "nein\tno"])
    with pytest.raises(DataError, match="there is no column 0: columns are counted from 1, and there are 2"):
        list(open_text(str(path), "train", "0", "1").pairs())


def test_a_directory_in_the_place_of_a_file(tmp_path: Path) -> None:
    write_lines(tmp_path / "a.en", ["yes"])
    (tmp_path / "a.de").mkdir()
    with pytest.raises(DataError, match=r"a\.de: is a folder, not a file"):
        open_text(str(tmp_path / "a"), "train", "de", "en")


def test_lines_missing_at_the_end(tmp_path: Path) -> None:
    files = LineFiles(write_lines(tmp_path / "a.de", ["ab", "abcdefgh"]), write_lines(tmp_path / "a.en", ["ab"]))
    with pytest.raises(DataError, match=r"a\.de:2: 'abcdefgh'\n.*a\.en:2: \(no such line\)"):
        list(files.pairs())


@pytest.mark.parametrize(
    ("name", "lines", "message"),
    [
        ("t.tsv", ["de\ten", "a\tb", "a"], r"t\.tsv:3: 1 cell in this row, where the header has 2"),
        ("t.csv", ["de,en", "a,b", 'a,"b'], r"t\.csv:3: not readable as CSV: unexpected end of data"),
        ("t.jsonl", ['{"de": "a", "en": "b"}', "{"], r"t\.jsonl:2: not JSON"),
        ("t.jsonl", ["[1]"], r"t\.jsonl:1: not a JSON object"),
        ("t.jsonl", ['{"de": 1, "en": "b"}'], r'column "de" holds 1, which is no text'),
        ("t.parquet", ["nothing of the kind"], r"t\.parquet: not readable as Parquet"),
    ],
)
def test_damaged_tables(name: str, lines: list[str], message: str, tmp_path: Path) -> None:
    path = write_lines(tmp_path / name, lines)
    with pytest.raises(DataError, match=message):
        list(open_text(str(path), "train", "de", "en").pairs())


def test_a_newline_in_a_cell_does_not_break_the_line(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "t.csv", ["de,en", '"a', 'b",c'])
    assert list(open_text(str(path), "train", "de", "en").pairs()) == [("a b", "c")]


# The corpus as a whole.


@pytest.mark.parametrize("name", BUILT_IN)
def test_the_built_in_corpora_are_whole(name: str) -> None:
    corpus = find_corpus(DataConfig(corpus=name))
    assert corpus.name == name == f"{name.split('-')[0]}-{corpus.src}-{corpus.tgt}"
    assert corpus.test is not None
    for text, size in ((corpus.train, 28_000), (corpus.dev, 1000), (corpus.test, 1000)):
        assert isinstance(text, LineFiles)
        assert isinstance(text.src, Path)
        folder = text.src.parent
        lines = Lines.read(text)
        ids = text.src.with_suffix(".ids").read_text().splitlines()
        assert len(lines.src) == len(lines.tgt) == len(ids) >= size
        assert all(line.strip() for line in lines.src + lines.tgt + ids)
    assert "icence" in (folder / "README.md").read_text()


def test_the_built_in_corpora_are_found_inside_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpora, "PACKAGE", tmp_path / "package")
    with pytest.raises(DataError, match="missing from this installation"):
        find_corpus(DataConfig())
    folder = tmp_path / "package" / "corpora" / "tatoeba-de-en"
    for role in ("train", "dev", "test"):
        for language in ("de", "en"):
            folder.mkdir(parents=True, exist_ok=True)
            write_lines(folder / f"{role}.{language}", [role])
    assert list(find_corpus(DataConfig()).dev.pairs()) == [("dev", "dev")]


def test_a_test_text_of_ones_own_for_a_built_in_corpus(tmp_path: Path) -> None:
    corpus = find_corpus(DataConfig(test=prefix(tmp_path, PAIRS)))
    assert corpus.test is not None
    assert list(corpus.test.pairs()) == PAIRS


def test_an_unknown_corpus() -> None:
    with pytest.raises(DataError, match=r'data.corpus: corpus "tatoeba-de" is unknown.\nDid you mean "tatoeba-de-en"'):
        find_corpus(DataConfig(corpus="tatoeba-de"))


@pytest.mark.parametrize(
    ("train", "name"),
    [
        ("news/train", "news-de-en"),
        ("multi30k-de-en/train", "multi30k-de-en"),
        ("news/big", "big-de-en"),
        ("a/my pairs!.tsv.gz", "my-pairs-de-en"),
        ("someone/wmt:extra", "wmt-de-en"),
    ],
)
def test_the_name_of_ones_own_corpus(train: str, name: str) -> None:
    assert corpora._name(train, "de", "en") == name
