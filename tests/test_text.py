"""A line is what a newline ends; bytes that are no text are named by file, line and byte."""

import gzip
import hashlib
import io
import unicodedata
from itertools import chain
from pathlib import Path

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from seq2seq_cli.data.invisible import BECOMES, INVISIBLE, JOINING
from seq2seq_cli.data.text import clean, iter_lines, read_lines, sha256, shorten
from seq2seq_cli.errors import DataError


def lines_of(content: bytes) -> list[str]:
    return list(iter_lines(io.BytesIO(content), "x"))


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (b"", []),
        (b"\n", [""]),
        (b"a\nb", ["a", "b"]),
        (b"a\nb\n", ["a", "b"]),
        (b"a\r\nb\r\r\n\r", ["a", "b\r", ""]),
        (b"\xef\xbb\xbfa\n\xef\xbb\xbfb\n", ["a", "\ufeffb"]),
        (b"\xef\xbb\xbf", [""]),
        ("a\u2028b\u0085c\x0bd\x0ce\x1cf\0g\rh\n".encode(), ["a\u2028b\u0085c\x0bd\x0ce\x1cf\0g\rh"]),
    ],
)
def test_a_line_is_what_a_newline_ends(content: bytes, lines: list[str]) -> None:
    assert lines_of(content) == lines


@given(st.lists(st.text(st.characters(exclude_characters="\n\r", exclude_categories=["Cs"]))))
def test_any_lines_come_back(lines: list[str]) -> None:
    assert lines_of(b"\xef\xbb\xbf" + "".join(f"{line}\n" for line in lines).encode()) == (lines or [""])


def test_lines_come_as_they_arrive() -> None:
    class Pipe(io.BytesIO):
        """Ends in an error where more than one line is asked for."""

        def readline(self, size: int | None = -1, /) -> bytes:
            assert self.tell() == 0
            return super().readline(size)

    assert next(iter_lines(Pipe(b"one\ntwo\n"), "pipe")) == "one"


def test_undecodable_bytes_are_named(tmp_path: Path) -> None:
    path = tmp_path / "train.de"
    path.write_bytes(b"\xef\xbb\xbfgut\nsch\xf6n\n")
    with pytest.raises(DataError) as caught:
        list(read_lines(path))
    assert caught.value.where == f"{path}:2"
    assert caught.value.what == "byte 0xf6, number 4 of this line, is not UTF-8 (offset 10)."
    assert "iconv -f LATIN1" in str(caught.value)
    excused: list[DataError] = []
    assert list(read_lines(path, excused.append)) == ["gut", "sch\ufffdn"]
    assert [problem.what for problem in excused] == [caught.value.what]


MARKED = ["utf-16", "utf-32", "utf-8-sig"]


@pytest.mark.parametrize("encoding", [*MARKED, "utf-16-be", "utf-32-le"])
@given(lines=st.lists(st.text(st.characters(exclude_characters="\n\r\ufeff", exclude_categories=["Cs"]))))
def test_a_byte_order_mark_says_how_to_read(encoding: str, lines: list[str]) -> None:
    lines = [line.lstrip("\0") for line in lines]  # UTF-16's mark and a NUL are UTF-32's mark
    mark = "" if encoding in MARKED else "\ufeff"
    content = (mark + "".join(f"{line}\r\n" for line in lines)).encode(encoding)
    assert lines_of(content) == (lines or [""] * (encoding == "utf-8-sig"))
    cut_off = (mark + "\n".join([*lines, "end"])).encode(encoding)
    assert lines_of(cut_off) == [*lines, "end"]


def test_marked_text_that_is_damaged() -> None:
    content = "eins\nzwei\ndrei".encode("utf-16-le")
    damaged = b"\xff\xfe" + content.replace("w".encode("utf-16-le"), b"\x00\xd8")
    with pytest.raises(DataError, match=r"x:2: not UTF-16, as its byte order mark says"):
        lines_of(damaged)
    excused: list[DataError] = []
    assert list(iter_lines(io.BytesIO(damaged), "x", excused.append)) == ["eins", "z\ufffdei", "drei"]
    assert [problem.where for problem in excused] == ["x:2"]


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf16_without_a_mark_is_named(encoding: str) -> None:
    name = encoding.replace("utf-16-", "UTF-16").upper()
    for text in ("Schöne Grüße aus Köln\nund noch eine Zeile\n", "Regards from London\n"):
        with pytest.raises(DataError, match=rf"x:1: this looks like {name} without a .*\n.*iconv -f {name} "):
            lines_of(text.encode(encoding))
    with pytest.raises(DataError, match=rf"x:2: .* is not UTF-8.*\n.*iconv -f {name} "):
        lines_of("kurz\nSchöne Grüße aus Köln\n".encode(encoding))
    excused: list[DataError] = []
    content = "Regards from London\nand from Paris".encode(encoding)
    assert len(list(iter_lines(io.BytesIO(content), "x", excused.append))) == 2
    assert len(excused) == 1


def test_a_marked_line_that_is_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seq2seq_cli.data.text.LONGEST", 10)
    content = "short\n{}\n0123456789\nend".format("x" * 95).encode("utf-16")
    with pytest.raises(DataError, match="x:2: this line is longer than"):
        lines_of(content)
    excused: list[DataError] = []
    assert list(iter_lines(io.BytesIO(content), "x", excused.append)) == ["short", "x" * 11, "0123456789", "end"]
    assert [problem.where for problem in excused] == ["x:2"]


def test_gzip_reads_the_same(tmp_path: Path) -> None:
    plain, packed = tmp_path / "a", tmp_path / "a.gz"
    plain.write_bytes("eins\nzwei \u2028\n".encode())
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    assert list(read_lines(packed)) == list(read_lines(plain)) == ["eins", "zwei \u2028"]


@pytest.mark.parametrize("content", [b"no gzip", gzip.compress(b"text" * 999)[:-9]], ids=["no gzip", "cut off"])
def test_damaged_gzip_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.gz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"a.gz: not a whole gzip file"):
        list(read_lines(path))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    for read in (lambda path: list(read_lines(path)), sha256):
        with pytest.raises(DataError, match="nothing: cannot be read: No such file"):
            read(tmp_path / "nothing")


def test_the_digest_is_that_of_the_files_joined(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1")
    (tmp_path / "b").write_bytes(b"2" * 3_000_000)
    assert sha256(tmp_path / "a", tmp_path / "b") == hashlib.sha256(b"1" + b"2" * 3_000_000).hexdigest()


@pytest.mark.parametrize(
    ("line", "cleaned"),
    [
        ("  Ein\t\u00a0Satz\u3000.\u2028 ", "Ein Satz ."),
        ("a\0b\x1b\u200b\ufeffc\u200bd", "a b cd"),
        ("u\u0308ber", "\u00fcber"),
        ("Fu\u00dfball \u2026 \uff0c \ufb01n", "Fu\u00dfball \u2026 \uff0c \ufb01n"),
        ("\ud800x", "\ufffdx"),
        ("x\ufdd0\uffffy", "x\ufffd\ufffdy"),
        ("k\u200bm\u2060s\u00ad\u200e.\u2067 \u202c", "kms."),
        ("\u200b \u00ad", ""),
        ("a\u3164b", "a b"),
        ("e\u00ad\u0301", "\u00e9"),
        (" \0\t", ""),
    ],
)
def test_cleaning(line: str, cleaned: str) -> None:
    assert clean(line) == cleaned


EVERY = st.text(st.characters(exclude_categories=[]))
"""Of all code points, surrogates and unassigned ones among them."""


@given(EVERY)
def test_cleaning_twice_is_cleaning_once(line: str) -> None:
    cleaned = clean(line)
    assert clean(cleaned) == cleaned
    assert unicodedata.is_normalized("NFC", cleaned)
    assert cleaned == " ".join(cleaned.split())
    assert not BECOMES.keys() & set(map(ord, cleaned))


def test_every_code_point_is_cleaned() -> None:
    """By itself, between two letters, and between a letter and the accent that it keeps apart."""
    for code in range(0x110000):
        character = chr(code)
        expected = "".join(BECOMES.get(code, character).split())
        assert clean(character) == unicodedata.normalize("NFC", expected)
    line = "a" + "a".join(map(chr, range(0x110000))) + "e\u200b\u0301"
    cleaned = clean(line)
    assert cleaned.endswith("\u00e9")
    assert clean(cleaned) == cleaned
    assert unicodedata.is_normalized("NFC", cleaned)


def test_what_is_not_seen_is_dropped_unless_it_spells() -> None:
    """All that Unicode calls ignorable has its place in one of the tables, or becomes a space."""
    every = "".join(map(chr, chain(range(0xD800), range(0xE000, 0x110000))))
    ignorable = set(regex.findall(r"\p{Default_Ignorable_Code_Point}", every))
    assert not set(INVISIBLE) & set(JOINING)
    assert set(INVISIBLE) | set(JOINING) | {"\u3164", "\uffa0"} == ignorable | {"\ufff9", "\ufffa", "\ufffb"}


@pytest.mark.parametrize(
    "kept",
    [
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",  # Persian: a joiner that does not join
        "\u0915\u094d\u200d\u0937",  # Devanagari: half of a letter
        "\U0001f469\u200d\U0001f52c",  # a scientist: a woman and a microscope, joined
        "\u2764\ufe0f",  # a red heart
        "\U0001f3f4\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f",  # the flag of Scotland
        "\u1820\u180e\u1820",  # Mongolian: a vowel that stands off
        "\ue000",  # of someone's own
    ],
)
def test_what_spells_is_kept(kept: str) -> None:
    assert clean(kept) == kept


def test_shortening() -> None:
    assert shorten("kurz\0") == r"'kurz\x00'"
    assert shorten("x" * 11, width=10) == "'xxxxxxx...'"
