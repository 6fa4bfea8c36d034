"""Text as people have it: every form is read without conversion, or the error says what to do."""

import gzip
import io
import json
import zipfile
from collections.abc import Callable
from html import escape
from pathlib import Path

import pytest
from commands import Terminal
from corpora import TinyCorpus

from seq2seq_cli.config.loading import from_dict
from seq2seq_cli.config.sections import DataConfig, languages_in
from seq2seq_cli.data import archives, corpora
from seq2seq_cli.data.aligned import SegmentFiles
from seq2seq_cli.data.corpora import open_test, open_text
from seq2seq_cli.data.formats import FORMATS, REFUSED
from seq2seq_cli.data.languages import find_language
from seq2seq_cli.data.pairs import Lines
from seq2seq_cli.data.readers.xml_events import DEEPEST
from seq2seq_cli.errors import ConfigError, DataError
from seq2seq_cli.runs import Run

Pairs = list[tuple[str, str]]
PAIRS: Pairs = [
    ("Der Zug hält.", "The train stops."),
    ('Er sagte: "ja & nein".', "He said <yes>; or | no, perhaps."),
    ("Öl\u2028Ä\u0085 x", "oil  𝄞"),
    ("", "no source"),
]


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    data = content.encode() if isinstance(content, str) else content
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def lines(texts: list[str]) -> str:
    return "".join(f"{text}\n" for text in texts)


def sides(pairs: Pairs) -> tuple[str, str]:
    return lines([src for src, _ in pairs]), lines([tgt for _, tgt in pairs])


def objects(pairs: Pairs) -> list[dict[str, object]]:
    return [{"id": 1, "de": src, "en": tgt} for src, tgt in pairs]


def quoted(pairs: Pairs, separator: str) -> str:
    rows = [
        ["de", "en"],
        *(['"{}"'.format(text.replace('"', '""')) for text in pair] for pair in pairs),
    ]
    return lines([separator.join(row) for row in rows])


def tmx_of(pairs: Pairs, head: str = "") -> str:
    units = "".join(
        f'<tu tuid="1"><prop type="x">no text</prop>\n<tuv xml:lang="DE-at"><seg>{escape(src)}</seg></tuv>'
        f'<tuv xml:lang="en"><seg><hi>{escape(tgt)}</hi><ph>{{1}}</ph></seg></tuv></tu>\n'
        for src, tgt in pairs
    )
    doctype = '<!DOCTYPE tmx SYSTEM "http://127.0.0.1:9/tmx14.dtd">'
    return f'<?xml version="1.0"?>\n{head or doctype}<tmx version="1.4"><header/><body>{units}</body></tmx>'


def xliff_1(pairs: Pairs) -> str:
    units = "".join(
        f'<trans-unit id="u"><source>{escape(src)}</source><seg-source>no</seg-source>'
        f"<target><g>{escape(tgt)}</g><x/></target><alt-trans><target>other</target></alt-trans></trans-unit>"
        for src, tgt in pairs
    )
    return (
        f'<xliff version="1.2"><file source-language="de" target-language="en-GB"><body>{units}</body></file></xliff>'
    )


def xliff_2(pairs: Pairs) -> str:
    units = "".join(
        f"<unit><notes><note>no</note></notes><segment><source>{escape(src)}</source>"
        f"<target><pc>{escape(tgt)}</pc></target></segment></unit>"
        for src, tgt in pairs
    )
    return (
        f'<xliff xmlns="urn:oasis:names:tc:xliff:document:2.0" srcLang="de" trgLang="en"><file>{units}</file></xliff>'
    )


def wmt_xml(pairs: Pairs) -> str:
    def side(index: int) -> str:
        return "".join(f'<p><seg id="{n}">{escape(pair[index])}</seg></p>' for n, pair in enumerate(pairs, start=1))

    return (
        f'<dataset id="d"><doc id="a"><src lang="de">{side(0)}</src><ref lang="en" translator="A">{side(1)}</ref>'
        f'<ref lang="en" translator="B">{side(0)}</ref><hyp system="x"><p><seg id="1">no</seg></p></hyp></doc></dataset>'
    )


def sgm(texts: list[str], kind: str) -> str:
    """As these files are: no XML, for their ampersands stand alone."""
    segments = lines([f'<seg id="{number}"> {text} </seg>' for number, text in enumerate(texts, start=1)])
    return f'<{kind} setid="d">\n<DOC sysid="s" docid="a">\n<p>\n{segments}</p>\n</DOC>\n</{kind}>\n'


def zipped(path: Path, contents: dict[str, str]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return path


def opus(folder: Path, pairs: Pairs) -> str:
    src, tgt = sides(pairs)
    names = {"README": "x", "LICENSE": "x", "b.de-en.de": src, "b.de-en.en": tgt, "b.de-en.xml": "<cesAlign/>"}
    return str(zipped(folder / "b.zip", names))


def folder_by_language(folder: Path, pairs: Pairs) -> str:
    for number, part in enumerate((pairs[:1], pairs[1:])):
        for language, content in zip(("de", "en"), sides(part), strict=True):
            write(folder / "f" / language / "sub" / f"{number}.txt{'.gz' * number}", content)
    return str(folder / "f")


def folder_by_ending(folder: Path, pairs: Pairs) -> str:
    for language, content in zip(("de", "en"), sides(pairs), strict=True):
        write(folder / "f" / f"a.b.{language}.txt", content)
        write(folder / "f" / f"test.{language}.txt", "not for training\n")
    return str(folder / "f")


def many_by_pattern(folder: Path, pairs: Pairs) -> str:
    for number, part in enumerate((pairs[:1], pairs[1:])):
        for language, content in zip(("de", "en"), sides(part), strict=True):
            write(folder / language / f"x{number}.txt", content)
    return str(folder / "{lang}" / "x[01]*.txt")


def one_pattern(folder: Path, pairs: Pairs) -> str:
    for language, content in zip(("de", "en"), sides(pairs), strict=True):
        write(folder / f"src-{language}.txt.gz", content)
    return str(folder / "src-{lang}.txt")


Form = Callable[[Path, Pairs], str]
FORMS: dict[str, Form] = {
    "semicolons": lambda folder, pairs: str(write(folder / "a.csv", quoted(pairs, ";"))),
    "bars": lambda folder, pairs: str(write(folder / "a.CSV", quoted(pairs, "|"))),
    "tabs": lambda folder, pairs: str(write(folder / "a.csv.gz", quoted(pairs, "\t"))),
    "spreadsheet": lambda folder, pairs: str(write(folder / "a.csv", ("sep=;\r\n" + quoted(pairs, ";")).encode("utf-16"))),
    "capitals": lambda folder, pairs: str(write(folder / "a.TSV", lines(["de\ten", *map("\t".join, pairs)]))),
    "blanks": lambda folder, pairs: str(write(folder / "a.csv", quoted(pairs, ", "))),
    "list": lambda folder, pairs: str(write(folder / "a.json", json.dumps(objects(pairs)))),
    "indented": lambda folder, pairs: str(write(folder / "a.jsonl", json.dumps(objects(pairs), indent=2))),
    "inside": lambda folder, pairs: str(write(folder / "a.json", json.dumps({"n": [1], "data": objects(pairs)}, indent=1))),
    "one by one": lambda folder, pairs: str(
        write(folder / "a.json", "".join(json.dumps(row, indent=1) for row in objects(pairs)))
    ),
    "lines": lambda folder, pairs: str(write(folder / "a.json.gz", lines([json.dumps(row) for row in objects(pairs)]))),
    "tmx": lambda folder, pairs: str(write(folder / "a.tmx", tmx_of(pairs))),
    "tmx, UTF-16": lambda folder, pairs: str(write(folder / "a.tmx.gz", tmx_of(pairs).encode("utf-16"))),
    "xliff 1.2": lambda folder, pairs: str(write(folder / "a.xlf", xliff_1(pairs))),
    "xliff 2.0": lambda folder, pairs: str(write(folder / "a.xliff", xliff_2(pairs))),
    "wmt": lambda folder, pairs: str(write(folder / "a.xml", wmt_xml(pairs))),
    "opus": opus,
    "zip of tmx": lambda folder, pairs: str(zipped(folder / "a.zip", {"d/a.tmx": tmx_of(pairs), "__MACOSX/._a": "x"})),
    "zip of txt": lambda folder, pairs: str(
        zipped(folder / "a.ZIP", dict(zip(("x.DE.txt", "x.EN.txt"), sides(pairs), strict=True)))
    ),
    "folder by language": folder_by_language,
    "folder by ending": folder_by_ending,
    "pattern": one_pattern,
    "patterns": many_by_pattern,
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_every_form_gives_the_same_pairs(form: Form, tmp_path: Path) -> None:
    text = open_text(form(tmp_path, PAIRS), "train", "de", "en")
    assert list(text.pairs()) == list(text.pairs()) == PAIRS
    assert all(file.is_file() for file in text.files)
    assert text.files


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_a_missing_language_is_named(form: Form, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"xx") as caught:
        list(open_text(form(tmp_path, PAIRS), "train", "xx", "de").pairs())
    assert "Traceback" not in str(caught.value)


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_the_digest_follows_the_text(form: Form, tmp_path: Path) -> None:
    digests = []
    for number, pairs in enumerate((PAIRS, PAIRS, [*PAIRS[:2], ("Öl", "oils"), PAIRS[3]])):
        (tmp_path / str(number)).mkdir()
        digests.append(open_text(form(tmp_path / str(number), pairs), "train", "de", "en").digest())
    assert digests[0] == digests[1] != digests[2]


# Columns by number, and what first lines are.


TABBED = ["Geh weg.\tGo away.\tCC-BY", "Wirklich?\tReally?\tCC-BY"]


@pytest.mark.parametrize("name", ["deu.txt", "a.tsv", "a.tab", "noending"])
def test_columns_by_number(name: str, tmp_path: Path) -> None:
    path = write(tmp_path / name, lines(TABBED))
    assert list(open_text(str(path), "train", "2", "1").pairs()) == [("Go away.", "Geh weg."), ("Really?", "Wirklich?")]
    with pytest.raises(
        DataError, match=r":1: there is no column 4; there are 3 in the first line\.\nColumns are counted"
    ):
        list(open_text(str(path), "train", "4", "1").pairs())
    with pytest.raises(
        DataError, match=r"the first line is no header: name columns by number, --src 1 --tgt 2\.\nIt holds"
    ):
        list(open_text(str(path), "train", "de", "en").pairs())
    write(path, lines([*TABBED, "Ja."]))
    with pytest.raises(DataError, match=r":3: 1 cell in this row, where the first line has 3"):
        list(open_text(str(path), "train", "1", "2").pairs())


def test_columns_by_number_of_other_tables(tmp_path: Path) -> None:
    rows = [["a; b", "c"], ["d", 'e "f"']]
    by_semicolon = write(tmp_path / "a.csv", '"a; b";c\nd;"e ""f"""\n')
    as_lists = write(tmp_path / "a.jsonl", lines([json.dumps(row) for row in rows]))
    as_list = write(tmp_path / "a.json", json.dumps(rows))
    for path in (by_semicolon, as_lists, as_list):
        assert list(open_text(str(path), "train", "1", "2").pairs()) == [("a; b", "c"), ("d", 'e "f"')]
    named = write(tmp_path / "n.tsv", "1\t2\na\tb\n")
    assert list(open_text(str(named), "train", "1", "2").pairs()) == [("a", "b")]


def heard(form: str | list[str], src: str = "de", tgt: str = "en") -> str:
    notes: list[str] = []
    list(open_text(form, "train", src, tgt, note=notes.append).pairs())
    return "\n".join(notes)


def test_what_was_guessed_is_said(tmp_path: Path) -> None:
    semicolons = write(tmp_path / "a.csv", "de;en\na;b\n")
    assert heard(str(semicolons)) == f"{semicolons}: the cells are read as separated by semicolons."
    header = write(tmp_path / "h.tsv", "de\ten\na\tb\n")
    assert "the first line (de, en) is read as a pair" in heard(str(header), "1", "2")
    blanks = write(tmp_path / "b.csv", 'de, en\nx, "y, z"\n')
    assert heard(str(blanks)) == f"{blanks}: the blanks behind the commas are left out."
    ends = write(tmp_path / "e.tsv", "de \ten\nx\ty\n")
    assert "the blanks around the names in the first line are left out" in heard(str(ends))
    assert list(open_text(str(blanks), "train", "de", "en").pairs()) == [("x", "y, z")]
    plain = write(tmp_path / "p.csv", "de,en\na;b,c;d\n")
    assert heard(str(plain)) == ""
    assert list(open_text(str(plain), "train", "de", "en").pairs()) == [("a;b", "c;d")]


def test_headers_that_may_be_none(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tsv", "Tom weiß\tTom knows\nJa\tYes\n")
    with pytest.raises(
        DataError, match=r'no column "de"; there are Tom weiß, Tom knows(.|\n)*no header, name columns by n'
    ):
        list(open_text(str(path), "train", "de", "en").pairs())
    path = write(tmp_path / "b.tsv", "DE\tEN\nJa\tYes\n")
    with pytest.raises(DataError, match=r'no column "de"; there are DE, EN(.|\n)*Did you mean "de"\?'):
        list(open_text(str(path), "train", "de", "en").pairs())
    path = write(tmp_path / "c.tsv", "de\ten\tde\na\tb\tc\n")
    with pytest.raises(DataError, match='there are 2 columns "de"'):
        list(open_text(str(path), "train", "de", "en").pairs())


def test_bars_between_the_languages(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", "ja ||| yes\nnein|||no\n |||nothing\n")
    assert list(open_text(str(path), "train", "de", "en").pairs()) == [("ja", "yes"), ("nein", "no"), ("", "nothing")]
    write(path, "ja ||| yes ||| 0-0\n")
    with pytest.raises(DataError, match=r"a\.txt:1: \|\|\| stands 2 times in this line"):
        list(open_text(str(path), "train", "de", "en").pairs())


def test_nested_fields(tmp_path: Path) -> None:
    row = {"translation": {"de": "ja", "en": "yes"}, "a.b": "dotted", "runs": [{"text": "one"}, {"text": "two"}]}
    path = str(write(tmp_path / "a.jsonl", json.dumps(row)))
    assert list(open_text(path, "train", "translation.de", "runs.2.text").pairs()) == [("ja", "two")]
    assert list(open_text(path, "train", "a.b", "translation.en").pairs()) == [("dotted", "yes")]
    with pytest.raises(
        DataError, match=r'no column "translation\.fr"; there are translation\.de, translation\.en, a\.b'
    ):
        list(open_text(path, "train", "translation.fr", "a.b").pairs())


# CSV that is damaged, or large.


def test_a_quote_that_is_not_closed_is_found_where_it_opens(tmp_path: Path) -> None:
    rows = ["de,en", '"ja","yes"', '"nein,no', *(f"n{number},m{number}" for number in range(50))]
    path = write(tmp_path / "a.csv", lines(rows))
    with pytest.raises(DataError, match=r"a\.csv:3: not readable as CSV: .* A quote that opens in this line"):
        list(open_text(str(path), "train", "de", "en").pairs())
    write(path, lines([*rows, '"x","y"']))  # where the next quote would close it
    with pytest.raises(DataError, match=r"a\.csv:3: not readable as CSV: .* not before line 54"):
        list(open_text(str(path), "train", "de", "en").pairs())
    write(path, lines(["de,en", '"two', 'lines",x', 'ja,"yes"x']))
    with pytest.raises(DataError, match=r"a\.csv:4: not readable as CSV: [^.]*\.$"):
        list(open_text(str(path), "train", "de", "en").pairs())


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.json", "a.tmx"])
def test_a_long_cell_is_read_in_every_form(name: str, tmp_path: Path) -> None:
    pairs = [("x" * 140_000, "long"), ("ja", "yes")]
    contents = {
        "a.csv": quoted(pairs, ","),
        "a.tsv": lines(["de\ten", *map("\t".join, pairs)]),
        "a.json": json.dumps(objects(pairs)),
        "a.tmx": tmx_of(pairs),
    }
    assert list(open_text(str(write(tmp_path / name, contents[name])), "train", "de", "en").pairs()) == pairs


def test_a_lone_surrogate_in_json_becomes_what_files_can_hold(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", '{"de": "a\\ud800b\\r\\nc", "en": "x"}\n')
    assert list(open_text(str(path), "train", "de", "en").pairs()) == [("a\ufffdb c", "x")]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('[{"de": "a", "en": "b"}, {"de": ', "not JSON behind object 1"),
        ("[1, 2]\n[3", "not a JSON object with named values"),
        ('[{"de": 3, "en": "b"}]', 'object 1: column "de" holds 3'),
        ('["a", "b"]', "Where it is a list, name its values by number"),
        ("[]", "there are no pairs in this file"),
        ("[" * 5000, "nested deeper than 200 lists and objects"),
        ('{"a": [\n' * 3000, "nested deeper than 200 lists and objects"),
        ('[{"a": ' + "[" * 100_000, "nested deeper than 200 lists and objects"),
        ('{"de": "a",\n', "not JSON"),
    ],
)
def test_json_that_is_damaged(content: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=said):
        list(open_text(str(write(tmp_path / "a.json", content)), "train", "de", "en").pairs())


# Two files, patterns and folders.


def two(folder: Path, names: tuple[str, str] = ("one.txt", "other.txt"), pairs: Pairs = PAIRS) -> list[str]:
    return [str(write(folder / name, content)) for name, content in zip(names, sides(pairs), strict=True)]


def test_two_files_source_first_or_as_their_names_say(tmp_path: Path) -> None:
    assert list(open_text(two(tmp_path), "train", "de", "en").pairs()) == PAIRS
    named = two(tmp_path, ("a.de", "b.en.txt.gz"))
    for files in (named, named[::-1]):
        assert list(open_text(files, "train", "de", "en").pairs()) == PAIRS


def test_of_more_than_two_files_the_others_are_references(tmp_path: Path) -> None:
    files = two(tmp_path)
    read = Lines.read(open_test([*files, files[0]], "de", "en"))
    assert read.further == (read.src,)
    with pytest.raises(DataError, match=r"3 files for one text: more than two are not read\.\nName source and target"):
        open_text([*files, files[0]], "dev", "de", "en")


def test_lists_that_are_no_files_of_a_text(tmp_path: Path) -> None:
    files = two(tmp_path)
    table = str(write(tmp_path / "a.tsv", "de\ten\n"))
    with pytest.raises(DataError, match=r"a\.tsv: holds both languages, and is named alone"):
        open_text([files[0], table], "test", "de", "en")
    with pytest.raises(DataError, match=r"nowhere: is no file, and a list of names is one of files"):
        open_text([files[0], "nowhere"], "test", "de", "en")
    with pytest.raises(DataError, match=r"x\.docx: cannot be read as text\.\nSave it as plain text"):
        open_text([files[0], str(write(tmp_path / "x.docx", b"PK"))], "test", "de", "en")


@pytest.mark.parametrize(
    ("files", "languages"),
    [
        (["A.de", "B.en"], ("de", "en")),
        (["x/A.pt-BR.txt", "x/B.zh_Hant.gz"], ("pt-BR", "zh_Hant")),
        (["A.de", "B.de"], None),
        (["A.txt", "B.txt"], None),
        (["A.de", "B"], None),
        (["v1.de/A", "v1.en/B"], None),
        (["A.de"], None),
    ],
)
def test_languages_in_the_names_of_files(files: list[str], languages: tuple[str, str] | None) -> None:
    assert languages_in(files) == languages


def test_files_name_the_languages_in_the_settings() -> None:
    values: dict[str, object] = {"train": ["A.de", "B.en"], "dev": ["x", "y"]}
    data = from_dict({"data": values}).data
    assert (data.train, data.src, data.tgt) == (["A.de", "B.en"], "de", "en")
    assert from_dict({"data": {**values, "src": "xx", "tgt": "yy"}}).data.src == "xx"
    assert from_dict({"data": {"train": ["one"], "dev": "d", "src": 1, "tgt": 2}}).data.train == "one"
    assert from_dict({"data": {"train": "one", "dev": "d", "src": 1, "tgt": 2}}).data.src == "1"
    for wrong in (["A.txt", "B.txt"], [], ["A.de", 3], 7):
        with pytest.raises(ConfigError, match=r"data(\.train = .*a list of files' names|: train is given, so src)"):
            from_dict({"data": {"train": wrong, "dev": "x"}})


@pytest.mark.parametrize(
    ("train", "name"),
    [
        (["P/x-a.de", "P/x-b.en"], "x-de-en"),
        (["P/one.txt", "P/other.txt"], "o-de-en"),
        (["P/a", "P/b"], "a-de-en"),
        ("P/src-{lang}.txt", "src-de-en"),
        ("P/news/{lang}/*.txt", "news-de-en"),
        ("P/books.zip", "books-de-en"),
        ("P/books.de-en.tmx.gz", "books.de-en"),
    ],
)
def test_the_name_of_ones_own_corpus(train: str | list[str], name: str) -> None:
    assert corpora._name(train, "de", "en") == name


def test_patterns_over_files_that_hold_both_languages(tmp_path: Path) -> None:
    for number, pair in enumerate(PAIRS):
        write(tmp_path / f"{number}.json", json.dumps(objects([pair])))
        write(tmp_path / f"{number}.tmx", tmx_of([pair]))
    for pattern in ("*.json", "?.tmx"):
        assert list(open_text(str(tmp_path / pattern), "train", "de", "en").pairs()) == PAIRS
    with pytest.raises(DataError, match=r"no files are called .*/\*\.jsonl\."):
        open_text(str(tmp_path / "*.jsonl"), "train", "de", "en")
    write(tmp_path / "1.dat", "one side\n")
    with pytest.raises(DataError, match=r"1\.dat: this is one file, without named columns\.\n.*\.tmx"):
        open_text(str(tmp_path / "*.dat"), "train", "de", "en")


def test_files_without_a_partner(tmp_path: Path) -> None:
    pattern, folder = many_by_pattern(tmp_path, PAIRS), folder_by_language(tmp_path, PAIRS)
    (tmp_path / "en" / "x1.txt").unlink()
    with pytest.raises(DataError, match=r"there is no such file in the other language: .*/de/x1\.txt"):
        open_text(pattern, "train", "de", "en")
    with pytest.raises(DataError, match=r"no files are called .*/fr/x\[01\]\*\.txt"):
        open_text(pattern, "train", "fr", "en")
    (tmp_path / "f" / "de" / "sub" / "0.txt").unlink()
    with pytest.raises(DataError, match=r"no such file in the other language: .*/en/sub/0\.txt"):
        open_text(folder, "train", "de", "en")


def test_a_folder_for_all_roles(tmp_path: Path) -> None:
    for role, name in (("train", "train"), ("dev", "valid"), ("test", "test")):
        for language in ("de", "en"):
            write(tmp_path / f"{name}.{language}.txt", f"{role} {language}\n")
    for role in ("train", "dev", "test"):
        assert list(open_text(str(tmp_path), role, "de", "en").pairs()) == [(f"{role} de", f"{role} en")]  # type: ignore[arg-type]


# Archives.


def test_an_archive_for_all_roles_and_parts_of_it(tmp_path: Path) -> None:
    names = {f"{role}.{side}": f"{role} {side}\n" for role in ("train", "dev", "test") for side in ("de", "en")}
    path = zipped(tmp_path / "a.zip", names)
    assert list(open_text(str(path), "dev", "de", "en").pairs()) == [("dev de", "dev en")]
    assert list(open_text(f"{path}:test", "dev", "de", "en").pairs()) == [("test de", "test en")]
    with pytest.raises(DataError, match=r"a\.zip: holds no text of de and fr; it holds train\.de, train\.en"):
        open_text(str(path), "train", "de", "fr")


def test_archives_that_cannot_be_read(tmp_path: Path) -> None:
    path = write(tmp_path / "a.zip", b"PK no archive")
    with pytest.raises(DataError, match=r"a\.zip: not a whole \.zip"):
        open_text(str(path), "train", "de", "en")
    whole = Path(opus(tmp_path, PAIRS * 200)).read_bytes()
    begin = whole.index(b"b.de-en.de") + 40
    write(path, whole[:begin] + bytes(20) + whole[begin + 20 :])
    with pytest.raises(DataError, match=r"a\.zip: not a whole \.zip"):
        list(open_text(str(path), "train", "de", "en").pairs())


def test_a_bomb_in_an_archive_is_read_as_it_comes(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.de", b"a" * (40 << 20))
        archive.writestr("x.en", b"b\n")
    assert path.stat().st_size < 100_000
    with pytest.raises(DataError, match=r"a\.zip/x\.de:1: this line is longer than 8 MiB"):
        list(open_text(str(path), "train", "de", "en").pairs())


def test_an_archive_with_no_end_of_files_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "LARGEST_DIRECTORY", 200)
    with pytest.raises(DataError, match="the list of its files is longer than"):
        open_text(opus(tmp_path, PAIRS), "train", "de", "en")


# XML.


def test_xml_declares_and_fetches_nothing(tmp_path: Path) -> None:
    bomb = '<!DOCTYPE tmx [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]>'
    for head in (
        bomb,
        '<!DOCTYPE tmx [<!ENTITY x SYSTEM "file:///etc/hostname">]>',
        '<!DOCTYPE a [<!ENTITY % p "x">]>',
    ):
        path = write(tmp_path / "a.tmx", tmx_of(PAIRS, head))
        with pytest.raises(DataError, match=r"a\.tmx:2: the entity \w is declared here, and entities are not read"):
            list(open_text(str(path), "train", "de", "en").pairs())
    named = tmx_of([("A", "B")]).replace(">A<", ">a&nbsp;b&unknown;<")
    text = open_text(str(write(tmp_path / "b.tmx", named)), "train", "de", "en")
    assert list(text.pairs()) == [("a\u00a0b&unknown;", "B")]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("<tmx><body><tu>", r"a\.xml:1: not readable as XML"),
        ("<a>" * (DEEPEST + 1), f"nested deeper than {DEEPEST}"),
        ("<tmx>" + "<tu " + "a" * (9 << 20), r"longer than 8 MiB|not readable as XML"),
        ("<tmx><tu>" + "<x/>" * 120_000 + "</tu></tmx>", "<tu> is too long for a piece of text"),
        ("<tmx><tu><seg>" + "long " * (2 << 20) + "</seg></tu></tmx>", "<tu> is too long for a piece of text"),
        ("<html><p>x</p></html>", "its outermost element is <html>, and none of <tmx>, <xliff>, <dataset>"),
        ('<?xml version="1.0" encoding="no-such"?><tmx/>', "not readable as XML"),
        ("<tmx/>", "there are no pairs"),
        ("", "not readable as XML"),
    ],
    ids=["cut", "deep", "markup", "elements", "text", "other", "encoding", "none", "empty"],
)
def test_xml_of_monsters(content: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=said):
        list(open_text(str(write(tmp_path / "a.xml", content)), "train", "de", "en").pairs())


def test_units_in_one_language_are_left_out_and_counted(tmp_path: Path) -> None:
    one = '<tu><tuv xml:lang="fr"><seg>oui</seg></tuv></tu>'
    content = tmx_of(PAIRS[:2]).replace("</body>", f"{one}</body>")
    path = str(write(tmp_path / "a.tmx", content))
    assert list(open_text(path, "train", "de", "en").pairs()) == PAIRS[:2]
    assert "1 of 3 units have no finished text in both languages: left out" in heard(path)
    with pytest.raises(
        DataError, match=r"none of 3 units has a text in both it and en; there are DE-at in 2, en in 2, fr"
    ):
        list(open_text(path, "train", "it", "en").pairs())


def test_which_language_is_meant() -> None:
    assert find_language(["en-GB", "de"], "en", "x") == "en-GB"
    assert find_language(["en", "de"], "en-US", "x") == "en"
    assert find_language(["EN", "de"], "en", "x") == "EN"
    assert find_language(["en-GB", "en-US", "en"], "en", "x") == "en"
    assert find_language(["zh-Hans", "de"], "zh_hans", "x") == "zh-Hans"
    assert find_language(["eng", "den"], "en", "x") is None
    with pytest.raises(DataError, match="en-GB and en-US are both en"):
        find_language(["en-US", "en-GB"], "en", "x")


def test_translations_that_are_not_finished(tmp_path: Path) -> None:
    units = [
        '<trans-unit id="1"><source>Ja</source><target state="translated">Yes</target></trans-unit>',
        '<trans-unit id="2"><source>Nein</source><target state="new">Nein</target></trans-unit>',
        '<trans-unit id="3"><source>Doch</source></trans-unit>',
        '<trans-unit id="4"><source>Gut</source><target/></trans-unit>',
    ]
    content = f'<xliff version="1.2"><file source-language="de" target-language="en">{"".join(units)}</file></xliff>'
    path = str(write(tmp_path / "a.xlf", content))
    assert list(open_text(path, "train", "en", "de").pairs()) == [("Yes", "Ja")]
    assert "3 of 4 units" in heard(path)


PO = """# Kommentar
msgid ""
msgstr ""
"Project-Id-Version: x\\n"
{language}"Content-Type: text/plain; charset={charset}\\n"

#: a.c:1
msgid "Open"
msgstr "Öffnen"

#, fuzzy
msgid "Close"
msgstr "Wegnehmen"

msgid "Untranslated"
msgstr ""

msgctxt "menu"
msgid "A "
"\\"long\\"\u2028 one\\n"
msgstr "Ein\\tlanger"

msgid "%d file"
msgid_plural "%d files"
msgstr[0] "%d Datei"
msgstr[1] "%d Dateien"

#~ msgid "Old"
#~ msgstr "Alt"
"""


@pytest.mark.parametrize("language", ['"Language: de_AT\\n"\n', '"Language: \\n"\n', ""])
def test_messages_of_gettext(language: str, tmp_path: Path) -> None:
    path = str(write(tmp_path / "de.po", PO.format(language=language, charset="UTF-8")))
    expected = [
        ("Open", "Öffnen"),
        ('A "long"\u2028 one ', "Ein\tlanger"),
        ("%d file", "%d Datei"),
        ("%d files", "%d Dateien"),
    ]
    assert list(open_text(path, "train", "en", "de").pairs()) == expected
    assert "3 of 7 units" in heard(path, "en", "de")
    if "de_AT" in language:  # the file says which of the two its translations are
        turned = [(tgt, src) for src, tgt in expected]
        assert list(open_text(path, "train", "de", "en").pairs()) == turned
        with pytest.raises(DataError, match=r"none of 7 units .* there are the messages in 7, de_AT in 4"):
            list(open_text(path, "train", "fr", "en").pairs())


def test_messages_in_another_encoding_or_damaged(tmp_path: Path) -> None:
    content = PO.format(language="", charset="ISO-8859-1").replace("\u2028", "")
    path = write(tmp_path / "de.po", content.encode("latin-1"))
    assert next(iter(open_text(str(path), "train", "en", "de").pairs())) == ("Open", "Öffnen")
    for charset, said in (("utf-8", "not in the encoding that it names, utf-8"), ("no-such", "that it names, no-such")):
        write(path, content.replace("ISO-8859-1", charset).encode("latin-1"))
        with pytest.raises(DataError, match=said):
            list(open_text(str(path), "train", "en", "de").pairs())
    write(path, 'msgid "a"\nmsgsrt "b"\n')
    with pytest.raises(DataError, match=r"de\.po: not readable as a \.po file"):
        list(open_text(str(path), "train", "en", "de").pairs())


def test_a_po_file_is_never_the_name_of_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "secret", PO.format(language="", charset="UTF-8"))
    path = write(tmp_path / "a.po", "secret")
    with pytest.raises(DataError):
        list(open_text(str(path), "train", "en", "de").pairs())


def segment_files(folder: Path, src: list[str], tgt: list[str]) -> SegmentFiles:
    files = [write(folder / f"{kind}.sgm", sgm(texts, kind)) for kind, texts in (("srcset", src), ("refset", tgt))]
    text = open_text([str(file) for file in files], "test", "de", "en")
    assert isinstance(text, SegmentFiles)
    return text


def test_segments_of_a_test_set(tmp_path: Path) -> None:
    src, tgt = ["Müller & Söhne", "5 < 6 &amp; &quot;ja&quot;"], ["Müller & Sons", "two\nlines"]
    assert list(segment_files(tmp_path, src, tgt).pairs()) == [
        ("Müller & Söhne", "Müller & Sons"),
        ('5 < 6 & "ja"', "two lines"),
    ]
    with pytest.raises(
        DataError, match=r"srcset\.sgm: cannot be read as text in two languages \(\.sgm\)\.\nIt holds one"
    ):
        open_text(str(tmp_path / "srcset.sgm"), "test", "de", "en")


def test_segments_that_do_not_belong_together(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"refset\.sgm: has only 1 segment, and .*srcset\.sgm has more"):
        list(segment_files(tmp_path, ["a", "b"], ["c"]).pairs())
    text = segment_files(tmp_path, ["a", "b"], ["c", "d"])
    write(tmp_path / "refset.sgm", sgm(["c", "d"], "refset").replace('id="2"', 'id="7"'))
    with pytest.raises(DataError, match=r'srcset\.sgm:5: this is segment "2" of "a", but line 5 of .* is "7"'):
        list(text.pairs())
    write(tmp_path / "refset.sgm", sgm(["c", "d"], "refset").replace("</seg>", ""))
    with pytest.raises(DataError, match=r"refset\.sgm:5: a segment begins here within another"):
        list(text.pairs())
    write(tmp_path / "srcset.sgm", "no segments\n")
    write(tmp_path / "refset.sgm", "no segments\n")
    with pytest.raises(DataError, match="there are no segments"):
        list(text.pairs())


def test_documents_of_unequal_length(tmp_path: Path) -> None:
    content = wmt_xml(PAIRS).replace('<seg id="2">He', '<seg id="2">x</seg><seg id="2">He')
    with pytest.raises(DataError, match=r"the document a has not as many segments in each language: 4 in de, 5 in en"):
        list(open_text(str(write(tmp_path / "a.xml", content)), "test", "de", "en").pairs())


# What cannot be read says what to do.


@pytest.mark.parametrize("suffix", REFUSED)
def test_what_is_no_text_yet(suffix: str, tmp_path: Path) -> None:
    path = write(tmp_path / f"a{suffix.upper()}", b"\0\1\2")
    with pytest.raises(DataError) as caught:
        open_text(str(path), "train", "de", "en")
    assert caught.value.hint == REFUSED[suffix]
    assert suffix in str(caught.value)


def test_one_plain_file_is_told_all_there_is(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", "one side\nonly\n")
    with pytest.raises(DataError, match="this is one file, without named columns") as caught:
        open_text(str(path), "train", "de", "en")
    assert all(suffix in str(caught.value) for suffix in FORMATS)


# From the command line.


def test_two_files_behind_one_option(terminal: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SEQ2SEQ_CACHE", str(tmp_path / "cache"))
    words = [f"wort{number}" for number in range(20)]
    pairs = [(" ".join(words[n : n + 4]), " ".join(words[n + 1 : n + 5]).upper()) for n in range(15)] * 3
    train, dev = two(tmp_path, ("a.de", "a.en"), pairs), two(tmp_path, ("d.txt", "e.txt"), pairs[:5])
    small = ["--set", "subword.vocab_size=60"]
    said = terminal.ok("prepare", "--train", *train, "--dev", *dev, *small).out
    assert "corpus\ta-de-en (de to en)\ntraining pairs\t45\ndev pairs\t5\n" in said
    again = terminal.ok("prepare", "--train", train[0], f"--train={train[1]}", "--dev", dev[0], "--dev", dev[1], *small)
    assert again.out == said
    (tmp_path / "c.toml").write_text(f"[data]\ntrain = {json.dumps(train)}\ndev = {json.dumps(dev)}\n")
    assert terminal.ok("prepare", "--config", "c.toml", *small).out == said
    assert "train names 3 files: a text is a file of each language" in terminal.refused(
        "prepare", "--train", *train, dev[0], "--dev", *dev
    )


def test_check_data_of_two_files(terminal: Terminal, tmp_path: Path) -> None:
    text = two(tmp_path, ("a.de", "b.en"), [(f"Satz Nummer {n}", f"sentence number {n}") for n in range(9)])
    test = two(tmp_path, ("t.de", "t.en"), [("Satz Nummer 3", "sentence number 3")])
    found = json.loads(terminal.run("check-data", *text, "--test", *test, "--json").out)
    assert (found["pairs"], found["test_pairs_met"]) == (9, 1)
    assert json.loads(terminal.run("check-data", "--test", *test, "--json", "--", *text).out) == found
    table = write(tmp_path / "a.csv", "a;b\nc;d\n")
    answer = terminal.run("check-data", table, "--src", "1", "--tgt", "2")
    assert "the cells are read as separated by semicolons" in answer.err
    assert "is the text itself, which is never written to" in terminal.refused(
        "check-data", tmp_path / "{lang}.txt", "--src", "x", "--tgt", "y", "--fix", _beside(tmp_path), "--overwrite"
    )


def test_two_files_beside_runs(terminal: Terminal, trained_run: Run, tiny_corpus: TinyCorpus, tmp_path: Path) -> None:
    test = [tiny_corpus.folder / f"test.{side}" for side in ("xx", "yy")]
    (given,) = json.loads(terminal.ok("eval", "--test", *test, trained_run.directory, "--json", "-").out)
    (own,) = json.loads(terminal.ok("eval", trained_run.directory, "--json", "-").out)
    assert given["test_sha256"] == own["test_sha256"]
    before = test[1].read_text()
    refused = ["eval", trained_run.directory, f"--test={test[0]}", test[1], "--json", test[1]]
    assert "is both input and output" in terminal.refused(*refused)
    assert test[1].read_text() == before
    table = write(tmp_path / "t.csv", "xx;yy\nta nu;la ro\n")
    said = terminal.ok("eval", trained_run.directory, "--test", table).err
    assert f"{table}: the cells are read as separated by semicolons." in said


def _beside(folder: Path) -> Path:
    """A copy that would be one of the files ``{lang}.txt``."""
    for language in ("x", "y"):
        write(folder / f"{language}.txt", "a\n")
    (folder / "copy.x").symlink_to(folder / "x.txt")
    return folder / "copy"


def test_a_built_in_corpus_needs_no_languages() -> None:
    assert DataConfig(test="x").src is None


def test_standard_streams_of_json_are_bounded(tmp_path: Path) -> None:
    content = io.BytesIO()
    content.write(b'[{"de": "')
    content.write(b"x" * (9 << 20))
    content.write(b'", "en": "y"}]')
    with pytest.raises(DataError, match="holds an object of more than 8 MiB"):
        list(open_text(str(write(tmp_path / "a.json", content.getvalue())), "train", "de", "en").pairs())
