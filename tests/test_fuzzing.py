"""Readers on damaged files: see `fuzzing`, which does more of the same on its own."""

import gzip
import io
import random
import tracemalloc
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pytest
from fuzzing import BROKEN, READERS, answer_to, fuzz, mutated
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet
from sentencepiece import SentencePieceTrainer

from seq2seq_cli.config.loading import load
from seq2seq_cli.config.sections import SubwordConfig
from seq2seq_cli.data import text
from seq2seq_cli.data.corpora import open_text
from seq2seq_cli.data.links import read_marked
from seq2seq_cli.data.subword import Subword, train_subword
from seq2seq_cli.data.text import LONGEST, read_lines
from seq2seq_cli.errors import ConfigError, DataError, RunError
from seq2seq_cli.model.build import build
from seq2seq_cli.model.weights import read_weights, save_weights, state_of
from seq2seq_cli.runs import Run

IN_PROCESS = (
    "text",
    "gzip",
    "tsv",
    "csv",
    "numbered",
    "jsonl",
    "xliff",
    "wmt",
    "segments",
    "po",
    "zip",
    "config",
    "links",
)
"""Readers that are Python all through: they cannot take the tests' own process down."""
NATIVE = ("parquet", "json", "tmx", "tokenizer", "weights")

Made = tuple[list[bytes], Callable[[bytes], object]]


@pytest.fixture(scope="module", params=IN_PROCESS)
def reader(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Made:
    return READERS[request.param].make(tmp_path_factory.mktemp("fuzzing"))


@pytest.mark.slow
@given(seed=st.integers(0, 2**63))
@settings(max_examples=60, deadline=None)
def test_damaged_files_are_read_or_refused(reader: Made, seed: int) -> None:
    contents, read = reader
    assert answer_to(read, mutated(random.Random(seed), contents))[0] in ("result", "error")


@pytest.mark.slow
@given(content=st.binary(max_size=300))
@settings(max_examples=60, deadline=None)
def test_any_bytes_are_read_or_refused(reader: Made, content: bytes) -> None:
    assert answer_to(reader[1], content)[0] in ("result", "error")


@pytest.mark.slow
@pytest.mark.parametrize("name", NATIVE)
def test_native_readers_survive(name: str) -> None:
    answers = fuzz(name, 60, seed=7)
    assert answers.wrong == []
    assert answers.counts.total() == 60


@pytest.mark.slow
@pytest.mark.parametrize(("name", "kind"), [*zip(BROKEN, ("crash", "memory", "other"), strict=True)])
def test_what_must_not_be_is_seen(name: str, kind: str) -> None:
    wrong = [how for _, how, _ in fuzz(name, 3, seed=1).wrong]
    assert wrong
    assert set(wrong) == {kind}


# Files that are too much, one by one.


def peak_of(work: Callable[[], object]) -> int:
    """Bytes that Python holds at most, while an error of ours is on its way."""
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="longer than 8 MiB"):
            work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("packed", [False, True])
def test_a_line_of_a_gigabyte_is_refused_before_it_fills_memory(packed: bool, tmp_path: Path) -> None:
    path = tmp_path / ("bomb.gz" if packed else "line")
    with open(path, "wb") as file:
        if packed:
            file.write(gzip.compress(bytes(1 << 20)) * 1024)
        else:
            file.truncate(1 << 30)
    assert path.stat().st_size < 2_000_000 or not packed
    assert peak_of(lambda: list(read_lines(path))) < 4 * LONGEST


def test_a_gzip_bomb_of_lines_is_read_as_it_comes(tmp_path: Path) -> None:
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(b"line\n" * 200_000) * 1000)
    tracemalloc.start()
    assert sum(1 for _ in islice(read_lines(path), 250_000)) == 250_000
    assert tracemalloc.get_traced_memory()[1] < 2_000_000
    tracemalloc.stop()


def test_a_line_that_is_too_long_is_cut_off_where_that_is_excused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text, "LONGEST", 10)
    path = tmp_path / "a"
    path.write_bytes(b"short\n" + b"x" * 95 + b"\n" + b"0123456789\nlast\xff\n" + b"y" * 11)
    excused: list[DataError] = []
    lines = list(read_lines(path, excused.append))
    assert lines == ["short", "x" * 11, "0123456789", "last\ufffd", "y" * 11]
    assert [problem.where for problem in excused] == [f"{path}:{number}" for number in (2, 4, 5)]
    assert "offset 117" in excused[1].what


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ('{"de": ' + "[" * 100_000, "nested too deeply"),
        ('{"de": "a", "en": "b", "n": ' + "9" * 5000 + "}", "not JSON"),
        ('{"de": ' + "9" * 4000 + ', "en": "b"}', r"which is no text\.$"),
        ("{" + ", ".join(f'"a{n}": 1' for n in range(200_000)) + "}", 'no column "de"'),
    ],
    ids=["nested", "number", "no text", "columns"],
)  # fmt: skip
def test_json_of_monsters(line: str, what: str, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(line)
    with pytest.raises(DataError, match=what) as caught:
        list(open_text(str(tmp_path / "a.jsonl"), "train", "de", "en").pairs())
    assert len(str(caught.value)) < 2000


def test_parquet_that_is_not_utf8(tmp_path: Path) -> None:
    column = pa.array([b"\xff\xfe"], pa.binary())
    bad = pa.Array.from_buffers(pa.string(), 1, column.buffers())
    parquet.write_table(pa.table({"de": bad, "en": ["x"]}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match="not readable as Parquet"):
        list(open_text(str(tmp_path / "a.parquet"), "train", "de", "en").pairs())


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ("a." * 3900 + "b = 1\n", "a is unknown"),
        ("a." * 5000 + "b = 1\n", "a line is longer than 8,192 bytes"),
        ("# more\n" * 10_000, "larger than 65,536 bytes"),
        ("[data]\nx = " + "[" * 5000, "nested too deeply"),
        ("[training]\nseed = " + "9" * 5000, "not readable as TOML"),
        ("[training]\nepochs = 0x" + "f" * 5000, "epochs = a number of thousands of digits"),
        ("[model]\nhidden_size = 1000000000", "hidden_size = 1000000000"),
        ("[model]\nencoder_layers = 1000000000", "encoder_layers = 1000000000"),
        ("[data]\ntrain = [" + ",".join(["1"] * 3000) + "]", r"data\.train = \[1, 1, 1, 1, 1, 1, \.\.\.\]"),
    ],
)
def test_configurations_of_monsters(content: str, what: str, tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(content)
    with pytest.raises(ConfigError, match=what) as caught:
        load(tmp_path / "a.toml")
    assert len(str(caught.value)) < 2000


def test_a_model_that_no_memory_holds_is_not_built(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("[model]\nhidden_size = 65536\nembedding_size = 65536\n")
    with pytest.raises(ConfigError, match=r"has [\d,]{14,} parameters; at most 2,000,000,000 are built"):
        build(load(tmp_path / "a.toml"), 8000, 8000)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e30])
def test_weights_that_no_model_can_compute_with(value: float, tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("[model]\nhidden_size = 8\nembedding_size = 8\n")
    model = build(load(tmp_path / "a.toml"), 20, 20)
    state = {name: tensor.clone() for name, tensor in state_of(model).items()}
    state["decoder.layers.0.bridge.cell.bias"][3] = value
    save_weights(state, tmp_path / "a.safetensors")
    with pytest.raises(RunError, match=r"bridge\.cell\.bias holds what no training leaves"):
        read_weights(tmp_path / "a.safetensors")


def test_more_lines_of_links_than_pairs_are_counted_not_kept(tmp_path: Path) -> None:
    (tmp_path / "links").write_text("0-0\n" * 1000)
    with pytest.raises(DataError, match="1,000 lines of links for 2 sentence pairs"):
        list(read_marked(tmp_path / "links", [(1, 1)] * 2, None))


def test_records_of_a_run_that_are_monsters(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.info.write_text('{"src": ' + "[" * 100_000)
    with pytest.raises(RunError, match="this run's languages are not known"):
        run.languages()


def test_a_tokenizer_of_another_make(tmp_path: Path) -> None:
    model = io.BytesIO()
    SentencePieceTrainer.train(
        sentence_iterator=iter(["ein Haus", "zwei Hunde"] * 9), model_writer=model, vocab_size=30, hard_vocab_limit=False,
        minloglevel=2,
    )  # fmt: skip
    (tmp_path / "subword.model").write_bytes(model.getvalue())
    with pytest.raises(RunError, match="it numbers its marks otherwise"):
        Subword.load(tmp_path / "subword.model")


def test_a_tokenizer_whose_pieces_are_no_text(tmp_path: Path) -> None:
    model = train_subword(["ein Haus", "zwei Hunde"] * 9, SubwordConfig(vocab_size=30)).model
    piece = "▁".encode()
    assert piece in model
    (tmp_path / "subword.model").write_bytes(model.replace(piece, b"\xf0\xe1\xf0"))
    with pytest.raises(RunError, match="not a SentencePiece model"):
        Subword.load(tmp_path / "subword.model")
