"""Documents of a text: how they are told, who stands before whom, and what batches hold of it."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from corpora import write_lines
from hypothesis import given
from hypothesis import strategies as st
from pronouns import Stories

from seq2seq_cli.config.context import Context
from seq2seq_cli.config.loading import from_dict
from seq2seq_cli.config.sections import DataConfig
from seq2seq_cli.config.whole import Config
from seq2seq_cli.data import tokenised
from seq2seq_cli.data.batching import load_batch, plan
from seq2seq_cli.data.corpora import open_text
from seq2seq_cli.data.documents import find_documents, lines_of
from seq2seq_cli.data.pairs import ParallelText
from seq2seq_cli.data.preceding import after_blanks, before_each, previous_lines, previous_of
from seq2seq_cli.data.prepare import Prepared, prepare
from seq2seq_cli.data.subword import EOS
from seq2seq_cli.decoding.documents import documents, lines_before
from seq2seq_cli.errors import DataError
from seq2seq_cli.inputs import Before
from seq2seq_cli.kinds.contexts import CONTEXTS

PAIRS = [("a", "A"), ("b", "B"), ("c", "C"), ("d", "D"), ("e", "E"), ("f", "F")]
NAMES = ["x", "x", "x", "y", "y", "x"]
BEGINS = [True, False, False, True, False, True]
READS = Context(CONTEXTS["han-both"], 3, 100)


def as_lines(folder: Path, ids: list[str], ending: str = "ids", pairs: list[tuple[str, str]] = PAIRS) -> None:
    for suffix, lines in (("xx", [src for src, _ in pairs]), ("yy", [tgt for _, tgt in pairs]), (ending, ids)):
        write_lines(folder / f"t.{suffix}", lines)


def as_table(folder: Path, separator: str, suffix: str, column: str) -> None:
    rows = [f"{src}{separator}{tgt}{separator}{name}" for (src, tgt), name in zip(PAIRS, NAMES, strict=True)]
    write_lines(folder / f"t.{suffix}", [separator.join(("xx", "yy", column)), *rows])


def as_objects(folder: Path, column: str, within: bool = False) -> None:
    named = [{column: {"name": name} if within else name} for name in NAMES]
    rows = [{"xx": src, "yy": tgt, **name} for (src, tgt), name in zip(PAIRS, named, strict=True)]
    write_lines(folder / "t.jsonl", list(map(json.dumps, rows)))


def as_segments(folder: Path) -> None:
    for suffix, side in (("xx", 0), ("yy", 1)):
        lines, before = list[str](), ""
        for number, (pair, name) in enumerate(zip(PAIRS, [*NAMES[:5], "z"], strict=True)):
            lines += [*(["</doc>"] if before else []), f'<doc docid="{name}">'] if name != before else []
            lines.append(f'<seg id="{number}">{pair[side]}</seg>')
            before = name
        write_lines(folder / f"t.{suffix}.sgm", [*lines, "</doc>"])


FORMS: dict[str, tuple[Callable[[Path], None], str | list[str], dict[str, str]]] = {
    "a file of ids, with numbers": (lambda at: as_lines(at, [f"{name}:{i}" for i, name in enumerate(NAMES)]), "t", {}),
    "a file of ids": (lambda at: as_lines(at, NAMES), "t", {}),
    "a file that is named": (lambda at: as_lines(at, NAMES, "talk"), "t", {"document": "talk"}),
    "a table with ids": (lambda at: as_table(at, "\t", "tsv", "ids"), "t.tsv", {}),
    "a column that is named": (lambda at: as_table(at, ",", "csv", "talk"), "t.csv", {"document": "talk"}),
    "objects with ids": (lambda at: as_objects(at, "ids"), "t.jsonl", {"documents": "names"}),
    "a column within another": (lambda at: as_objects(at, "talk", True), "t.jsonl", {"document": "talk.name"}),
    "segments": (as_segments, ["t.xx.sgm", "t.yy.sgm"], {}),
}


def text_in(folder: Path, form: str | list[str]) -> ParallelText:
    names = [form] if isinstance(form, str) else form
    return open_text([str(folder / name) for name in names], "train", "xx", "yy")


@pytest.mark.parametrize("form", FORMS)
def test_documents_are_told_in_every_form(form: str, tmp_path: Path) -> None:
    write, name, settings = FORMS[form]
    write(tmp_path)
    text = text_in(tmp_path, name)
    assert list(text.pairs()) == PAIRS
    found = find_documents(text, DataConfig.model_validate(settings), np.zeros(6, dtype=bool))
    assert found.begins_N.tolist() == BEGINS
    assert lines_of(text, DataConfig.model_validate(settings), READS).previous == [-1, 0, 1, -1, 3, -1]


def test_blank_lines_part_documents(tmp_path: Path) -> None:
    """Where both sides are blank; where one is, a translation is missing, and the sentence is passed over."""
    pairs = [("a", "A"), ("b", "B"), ("", ""), ("c", "C"), ("", "D"), ("e", "E"), (" ", ""), ("", "\t"), ("f", "F")]
    as_lines(tmp_path, [], "none", pairs)
    text = text_in(tmp_path, "t")
    for settings in ({}, {"documents": "blank-lines"}):
        lines = lines_of(text, DataConfig.model_validate(settings), READS)
        assert lines.previous is not None
        assert [lines.previous[row] for row in (0, 1, 3, 5, 8)] == [-1, 0, -1, 3, -1]
    assert lines_of(text, DataConfig(), None).previous is None
    as_lines(tmp_path, [], "none")
    with pytest.raises(DataError, match="nothing tells documents"):
        lines_of(text, DataConfig(), READS)
    whole = lines_of(text, DataConfig.model_validate({"documents": "blank-lines"}), READS)
    assert whole.previous == [-1, 0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("ids", "settings", "said"),
    [
        (None, {}, "nothing tells documents of more than one sentence here"),
        ([str(number) for number in range(6)], {}, "nothing tells documents"),  # every sentence one of its own
        (["x"] * 6, {"documents": "segments"}, 'data.documents = "segments"'),
        (["x"] * 6, {"document": "talk"}, r"there is no file .*t.talk"),
        (["x"] * 4, {}, r'there are 6 pairs, but names of documents for 4\..*\n.*"ids" names'),
        ([""] * 6, {}, "nothing tells documents"),
    ],
)  # fmt: skip
def test_what_tells_no_documents(ids: list[str] | None, settings: dict[str, str], said: str, tmp_path: Path) -> None:
    as_lines(tmp_path, ids or [], "ids" if ids else "none")
    with pytest.raises(DataError, match=said):
        find_documents(text_in(tmp_path, "t"), DataConfig.model_validate(settings), np.zeros(6, dtype=bool))
    as_table(tmp_path, "\t", "tsv", "talk")
    with pytest.raises(DataError, match=r'there is no column "tolk".*\n.*"talk"'):
        find_documents(
            text_in(tmp_path, "t.tsv"), DataConfig.model_validate({"document": "tolk"}), np.zeros(6, dtype=bool)
        )


def test_a_sentence_without_a_name_is_a_document_of_its_own(tmp_path: Path) -> None:
    """Also where the next one has none either, in a column, in a file and in several files."""
    names: list[str | None] = ["x", "x", None, None, "y", "y"]
    rows = [{"xx": src, "yy": tgt, "ids": name} for (src, tgt), name in zip(PAIRS, names, strict=True)]
    write_lines(tmp_path / "t.jsonl", list(map(json.dumps, rows)))
    for folder in ("0", "1"):
        (tmp_path / folder).mkdir()
        as_lines(tmp_path / folder, [name or "" for name in names])
    blank_N, begins = np.zeros(6, dtype=bool), [1, 0, 1, 1, 1, 0]
    for form in ("t.jsonl", "0/t"):
        assert find_documents(text_in(tmp_path, form), DataConfig(), blank_N).begins_N.tolist() == begins
    joined = text_in(tmp_path, "*/t")
    assert find_documents(joined, DataConfig(), np.tile(blank_N, 2)).begins_N.tolist() == begins * 2


def test_no_document_goes_over_the_end_of_a_file(tmp_path: Path) -> None:
    for number, pairs in enumerate((PAIRS[:2], PAIRS[2:])):
        folder = tmp_path / str(number)
        folder.mkdir()
        as_lines(folder, ["x"] * len(pairs), pairs=pairs)
    text = open_text(str(tmp_path / "*" / "t"), "train", "xx", "yy")
    assert find_documents(text, DataConfig(), np.zeros(6, dtype=bool)).begins_N.tolist() == [1, 0, 1, 0, 0, 0]
    by_blanks = DataConfig.model_validate({"documents": "blank-lines"})
    blank_N = np.array([False, False, False, True, False, False])
    assert find_documents(text, by_blanks, blank_N).begins_N.tolist() == [1, 0, 1, 0, 1, 0]


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=30), st.integers(1, 4))
def test_who_stands_before_whom_is_what_a_loop_finds(pairs: list[tuple[bool, bool]], sentences: int) -> None:
    begins_N, usable_N = (np.array(side) for side in zip(*pairs, strict=True))
    previous_N = previous_of(begins_N, usable_N)
    expected = []
    for number in range(len(pairs)):
        chain, place = list[int](), number
        while not begins_N[place] and place:
            place -= 1
            chain += [place] if usable_N[place] else []
        expected.append((chain + [-1] * sentences)[:sentences])
    assert before_each(previous_N, np.arange(len(pairs)), sentences).tolist() == expected
    assert lines_before(previous_N.tolist(), sentences) == [[n for n in row if n >= 0] for row in expected]


def test_lines_of_a_file_are_parted_by_its_blank_lines() -> None:
    lines = ["a", "b", "", " ", "c", "d", ""]
    previous = previous_lines(lines)
    assert [previous[row] for row in (0, 1, 4, 5)] == [-1, 0, -1, 4]
    assert documents([0, 1, 4, 5], previous) == [[0, 1], [4, 5]]
    assert after_blanks(np.zeros(0, dtype=bool)).tolist() == []
    assert previous_lines([]) == []


def stories_config(folder: Path, context: str, **data: object) -> Config:
    """The pronouns' language, for a model that is small and untrained."""
    files = {split: str(folder / split) for split in ("train", "dev")}
    han = {"heads": 2, "feed_forward_size": 8} if context.startswith("han") else {}
    return from_dict(
        {
            "data": {**files, "src": "xx", "tgt": "yy", **data},
            "subword": {"type": "word", "vocab_size": 60},
            "model": {"embedding_size": 8, "hidden_size": 8, "context": context},
            "context": {"sentences": 2, **han},
        }
    )


def prepared_stories(folder: Path, context: str, **data: object) -> Prepared:
    for split, count in (("train", 20), ("dev", 3)):
        Stories.drawn(count, len(split)).write(folder, split)
    config = stories_config(folder, context, **data)
    return prepare(config.data, config.subword, context=config.reads_before)


def texts(prepared: Prepared, ids: torch.Tensor) -> list[str]:
    return [prepared.subwords.src.decode(row) for row in ids.tolist()]


def test_a_batch_holds_each_sentence_before_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However the text is shuffled, and whatever chunk they are in."""
    monkeypatch.setattr(tokenised, "CHUNK", 4)
    prepared, stories = prepared_stories(tmp_path, "han-both"), Stories.drawn(20, 5)
    assert any("20 documents, told by" in note for note in prepared.notes)
    seen = set[int]()
    for chunks in prepared.train.buffers(1, 0):
        split = prepared.train.load(chunks)
        for rows in plan(split, 40, 1, 0):
            batch = load_batch(split, rows)
            before = batch.before
            assert isinstance(before, Before)
            assert before.said is not None
            sources = texts(prepared, before.text.ids_BL)
            said = [prepared.subwords.tgt.decode(row) for row in before.said.says_BT.tolist()]
            assert len(set(before.index_BK[before.index_BK >= 0].tolist())) == len(sources)
            for number, index in zip(split.numbers[rows].tolist(), before.index_BK.tolist(), strict=True):
                wanted = [number - 1, number - 2][: number % 3]
                assert [sources[place] for place in index if place >= 0] == [stories.src[n] for n in wanted]
                assert [said[place] for place in index if place >= 0] == [stories.tgt[n] for n in wanted]
                seen.add(number)
    assert seen == set(range(60))


def test_a_pair_that_is_not_trained_on_still_stands_before_others(tmp_path: Path) -> None:
    """One that is too long is cut off; one without a side is passed over."""
    for name in ("train", "dev"):
        Stories(["a b c d", "e", "", "g", "h"], ["A B", "E", "F", "G", "H"], ["x"] * 5).write(tmp_path, name)
    config = stories_config(tmp_path, "han-encoder", max_length=2)
    prepared = prepare(config.data, config.subword, context=config.reads_before)
    split = prepared.train.load([0])
    assert split.numbers.tolist() == [1, 3, 4]
    before = load_batch(split, np.arange(3)).before
    assert before is not None
    assert before.said is None
    found = texts(prepared, before.text.ids_BL)
    assert [[found[place] for place in row if place >= 0] for row in before.index_BK.tolist()] == [
        ["a b"], ["e", "a b"], ["g", "e"],
    ]  # fmt: skip


def test_the_note_counts_sentences(tmp_path: Path) -> None:
    """And not the blank lines between documents."""
    for name in ("train", "dev"):
        Stories(["a", "b", "", "c", "", "d"], ["A", "B", "", "C", "", "D"], [""]).write(tmp_path, name)
        (tmp_path / f"{name}.ids").unlink()
    config = stories_config(tmp_path, "han-both")
    notes = prepare(config.data, config.subword, context=config.reads_before).notes
    assert any("3 documents, told by blank lines; 25% of the pairs have sentences before" in note for note in notes)


def test_concatenation_puts_sentences_in_front(tmp_path: Path) -> None:
    prepared, stories = prepared_stories(tmp_path, "concatenation"), Stories.drawn(20, 5)
    split, plain = prepared.train.load([0]), tokenised.TokenisedText.open(prepared.directory, "train").load()
    for rows in plan(split, 40, 1, 0):
        batch = load_batch(split, rows)
        assert batch.before is None
        lengths = batch.text.mask_BL.sum(1).tolist()
        assert lengths == (split.src_lengths[rows] + 1).tolist()
        for number, ids in zip(split.numbers[rows].tolist(), batch.text.ids_BL.tolist(), strict=True):
            parts, part = list[str](), list[int]()
            for one in ids[: lengths[rows.tolist().index(number)]]:
                part.append(one)
                if one == EOS:
                    parts.append(prepared.subwords.src.decode(part))
                    part = []
            assert parts == stories.src[number - number % 3 : number + 1]
    assert (split.src_lengths[::3] == plain.src_lengths[::3]).all()


def test_settings_of_documents(tmp_path: Path) -> None:
    for values, said in (
        ({"context": {"sentences": 2}}, "context.sentences means nothing where model.context is"),
        ({"model": {"context": "concatenation"}, "context": {"heads": 2}}, "context.heads means nothing"),
        ({"model": {"context": "han-both"}, "context": {"heads": 3}}, "context.heads = 3 does not divide"),
        ({"model": {"context": "concatenation"}, "attention": {"kind": "local-m"}}, "it would look at those"),
        ({"model": {"context": "concatenation"}, "attention": {"kind": "luong-location"}}, "it would look at those"),
        ({"data": {"document": "x", "documents": "blank-lines"}}, "document names a column"),
    ):
        with pytest.raises(Exception, match=said):
            from_dict(values)
    resolved = from_dict({"model": {"context": "concatenation"}}).resolved()
    assert resolved.context.given == ["sentences"]
    assert resolved.system == "bahdanau-concatenation"
