"""Text in other encodings than UTF-8: named, and read all the same where a copy of it is to be made."""

import gzip
from pathlib import Path

import pytest
from checked import found
from commands import Terminal

from seq2seq_cli.data.encodings import Encoding, detect, wide
from seq2seq_cli.data.text import read_lines

TEXTS = {
    "de": ["Schöne Grüße aus München!", "Über den Wäldern hängt Nebel.", "Das weiß ich nicht genau."],
    "fr": ["Où est la gare, s'il vous plaît ?", "L'été dernier, ça allait très bien.", "Elle a préféré rester là."],
    "pl": ["Gdzie jest najbliższa stacja?", "Wczoraj kupiłem książkę i żółty zeszyt.", "Dziękuję, śpię."],
    "ru": ["Я хочу домой, сказала она мужу.", "Где находится вокзал?", "Мы долго говорили о погоде."],
    "el": ["Πού είναι ο σταθμός;", "Θέλω να πάω σπίτι.", "Δεν ξέρω τίποτα."],
    "tr": ["İstasyon nerede acaba?", "Dün güzel bir şişe aldım.", "Işığı söndür lütfen."],
    "ja": ["駅はどこですか。", "私は昨日本を買いました。", "とても楽しかったです。"],
    "zh": ["车站在哪里？", "我昨天买了一本书。", "他不知道该怎么办。"],
}


def encoded(language: str, codec: str) -> bytes:
    return "".join(f"{line}\n" for line in TEXTS[language] * 10).encode(codec)


@pytest.mark.parametrize(
    ("language", "codec"),
    [
        *(("de", codec) for codec in ("latin_1", "mac_roman", "cp850", "utf-16", "utf-16-le", "utf-16-be", "utf-32")),
        *(("fr", codec) for codec in ("latin_1", "cp1252")),
        *(("pl", codec) for codec in ("cp1250", "iso8859_2", "utf-16-le")),
        *(("ru", codec) for codec in ("cp1251", "koi8_r", "iso8859_5", "cp866", "utf-16-be")),
        *(("el", codec) for codec in ("cp1253", "iso8859_7")),
        ("tr", "cp1254"),
        *(("ja", codec) for codec in ("cp932", "euc_jp", "utf-16-le", "utf-16-be")),
        *(("zh", codec) for codec in ("gb18030", "big5", "utf-16-le")),
        *((language, "utf-8") for language in TEXTS),
    ],
)
def test_an_encoding_is_told(language: str, codec: str) -> None:
    raw = "".join(line.encode(codec, "ignore").decode(codec) + "\n" for line in TEXTS[language] * 10).encode(codec)
    told = detect(raw, language)
    assert told is not None
    assert raw.decode(told.codec) == raw.decode(codec)


def test_names_are_those_of_iconv() -> None:
    assert detect(encoded("fr", "latin_1"), "fr") == Encoding("ISO-8859-1", "latin_1")
    assert detect("„Grün“ – schön, fährt\n".encode("cp1252") * 20, "de") == Encoding("CP1252", "cp1252")
    assert detect(b"\xff\xfeG\0u\0t\0") == Encoding("UTF-16", "utf-16")
    assert detect(b"\xef\xbb\xbfGut\n") == Encoding("UTF-8", "utf-8-sig")


@pytest.mark.parametrize(
    "raw", [b"", b"a", b"a\0b\n", b"\0" * 100, b"Sch\xf6n\0\n" * 3, "Grüße\n".encode(), b"x\0y\n" * 50]
)
def test_what_is_not_of_wide_characters(raw: bytes) -> None:
    assert wide(raw) is None


def test_nothing_is_said_of_what_is_no_text() -> None:
    assert detect(bytes(range(256)) * 20, "de") is None
    assert detect(b"Sch\xf6n\n", "de") is None  # too little to tell


LINES = [
    "Schöne Grüße!",
    "Ja, das weiß ich.",
    "Nein, nicht für mich.",
    "Wir gehen heute Abend aus.",
    "Täglich öfter.",
] * 6
OTHERS = ["Kind regards!", "Yes, I know that.", "No, not for me.", "We are going out tonight.", "More often daily."] * 6


def damaged(record: dict[str, object]) -> set[str]:
    findings = record["findings"]
    assert isinstance(findings, list)
    return {finding["name"] for finding in findings if finding["pairs"] and finding["damage"]}


@pytest.mark.parametrize(
    ("codec", "name", "lines"),
    [
        ("latin_1", "ISO-8859-1", 24),
        ("utf-16", "UTF-16", 30),
        ("utf-16-le", "UTF-16LE", 30),
        ("mac_roman", "MAC-ROMAN", 24),
    ],
)
@pytest.mark.parametrize("ending", ["", ".gz"])
def test_a_file_is_converted(
    codec: str, name: str, lines: int, ending: str, tmp_path: Path, terminal: Terminal
) -> None:
    raw = "".join(f"{line}\r\n" for line in LINES).encode(codec)
    (tmp_path / f"train.de{ending}").write_bytes(gzip.compress(raw) if ending else raw)
    (tmp_path / "train.en").write_text("".join(f"{line}\n" for line in OTHERS), encoding="utf-8")
    prefix = tmp_path / "train"
    status, record = found(terminal, prefix)
    assert (status, damaged(record)) == (3, {"encoding"})
    assert (record["encoding"]["source"], record["encoding"]["target"]) == (lines, 0)
    assert [(done["path"], done["encoding"]) for done in record["files"]] == [(f"{prefix}.de{ending}", name)]
    assert str(prefix) in record["text"]
    _, record = found(terminal, prefix, "--fix", tmp_path / "copy")
    assert record["copy"]["repaired"] == {"encoding": lines}
    assert set(read_lines(tmp_path / "copy.de")) == set(LINES)
    assert damaged(found(terminal, tmp_path / "copy")[1]) == set()


def test_files_of_two_encodings_are_converted_line_by_line(tmp_path: Path, terminal: Terminal) -> None:
    parts = [f"{line}\n".encode("utf-8" if row % 2 else "latin_1") for row, line in enumerate(LINES)]
    (tmp_path / "train.de").write_bytes(b"".join(parts))
    (tmp_path / "train.en").write_text("".join(f"{line}\n" for line in OTHERS), encoding="utf-8")
    found(terminal, tmp_path / "train", "--fix", tmp_path / "copy")
    assert set(read_lines(tmp_path / "copy.de")) == set(LINES)


def test_a_packed_file_whose_ending_is_in_capitals_is_converted(tmp_path: Path, terminal: Terminal) -> None:
    files = [tmp_path / f"train.{language}.GZ" for language in ("de", "en")]
    for file, lines in zip(files, (LINES, OTHERS), strict=True):
        file.write_bytes(gzip.compress("".join(f"{line}\n" for line in lines).encode("latin_1")))
    status, record = found(terminal, *files)
    assert (status, damaged(record)) == (3, {"encoding"})
    assert record["encoding"]["source"] == 24


def test_tables_are_converted(tmp_path: Path, terminal: Terminal) -> None:
    rows = "".join(f"{src}\t{tgt}\n" for src, tgt in zip(LINES, OTHERS, strict=True))
    (tmp_path / "t.tsv").write_bytes(f"de\ten\n{rows}".encode("utf-16"))
    status, record = found(terminal, tmp_path / "t.tsv")
    assert (status, damaged(record), record["pairs"]) == (3, {"encoding"}, len(LINES))
    assert record["text"] == str(tmp_path / "t.tsv")


def test_what_is_said_of_a_converted_table_names_the_table(tmp_path: Path, terminal: Terminal) -> None:
    """And not the copy of it, of which nothing is left."""
    rows = "".join(f'"{src}";"{tgt}"\n' for src, tgt in zip(LINES, OTHERS, strict=True))
    table = tmp_path / "t.csv"
    table.write_bytes(f"de;en\n{rows}".encode("utf-16"))
    answer = terminal.run("check-data", table, "--src", "de", "--tgt", "en")
    assert f"{table}: the cells are read as separated by semicolons." in answer.err
    assert "100.00" in answer.out  # a header is a line, and no pair
    table.write_bytes(f"de;en\n{rows}alone\n".encode("utf-16"))
    answer = terminal.run("check-data", table, "--src", "de", "--tgt", "en")
    assert answer.status == 2
    assert answer.err.splitlines()[-1].startswith(f"error: {table}:{len(LINES) + 2}: 1 cell in this row")


@pytest.mark.parametrize("codec", ["utf-8", "mac_roman", "utf-16-be"])
def test_lines_that_end_with_cr_alone(codec: str, tmp_path: Path, terminal: Terminal) -> None:
    (tmp_path / "train.de").write_bytes("".join(f"{line}\r" for line in LINES).encode(codec))
    (tmp_path / "train.en").write_text("".join(f"{line}\n" for line in OTHERS), encoding="utf-8")
    answer = terminal.run("check-data", tmp_path / "train", "--src", "de", "--tgt", "en")
    assert answer.status == 3
    assert f"{tmp_path / 'train.de'}: 30 lines ended by CR alone" in answer.out
    _, record = found(terminal, tmp_path / "train", "--fix", tmp_path / "copy")
    assert (record["line-ends"]["source"], record["unpaired"]) == (30, 0)
    assert set(read_lines(tmp_path / "copy.de")) == set(LINES)
    assert damaged(found(terminal, tmp_path / "copy")[1]) == set()


def test_the_way_to_convert_it_is_said(tmp_path: Path, terminal: Terminal) -> None:
    (tmp_path / "train.de").write_bytes("".join(f"{line}\n" for line in LINES).encode("latin_1"))
    (tmp_path / "train.en").write_text("".join(f"{line}\n" for line in OTHERS), encoding="utf-8")
    answer = terminal.run("check-data", tmp_path / "train", "--src", "de", "--tgt", "en")
    assert "24 lines in ISO-8859-1; iconv -f ISO-8859-1 -t UTF-8 converts it, and so does --fix" in answer.out


def test_bytes_that_are_no_text_are_not_converted(tmp_path: Path, terminal: Terminal) -> None:
    junk = [bytes(range(128 + row, 200 + row)) for row in range(6)]
    lines = [line.encode() for line in LINES]
    (tmp_path / "train.de").write_bytes(b"".join(line + b"\n" for line in [*lines, *junk]))
    (tmp_path / "train.en").write_text("".join(f"{line}\n" for line in [*OTHERS, *["x y z"] * 6]), encoding="utf-8")
    record = found(terminal, tmp_path / "train")[1]
    assert (record["undecodable"]["source"], record["files"]) == (6, [])
