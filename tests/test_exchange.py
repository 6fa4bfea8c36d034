"""What one command writes, the others read: every writer with every reader that could take it, on text that breaks careless
ones."""

import gzip
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from commands import Terminal
from comparisons import comparison, evaluation
from corpora import TinyCorpus, write_lines
from hypothesis import given, settings
from hypothesis import strategies as st

from seq2seq_cli.config.loading import load
from seq2seq_cli.data.corpora import open_text
from seq2seq_cli.data.pairs import Lines
from seq2seq_cli.data.text import read_lines
from seq2seq_cli.evaluation.by_sentence import by_sentence
from seq2seq_cli.evaluation.gold import read_gold
from seq2seq_cli.report.exports import sentence_table
from seq2seq_cli.runs import Run

HOSTILE = [
    '"quoted at the beginning', 'in the "middle"', '""', "tab\there", "a,b;c|d", "||| bars |||", "carriage\rreturn",
    "line\u2028and\u2029paragraph", "next\u0085line \x0b\x0c\x1c", "nul\0nul", "\\n \\t \\", "=1+1", "#comment", "[1]", '{"a": 1}',
    "<tag> &amp; & ]]>", "\ufeffmark", " blanks  ", "", "e\u0301 𝄞", "sep=;", "'", "ta nu", "-", "~nobody/x",
]  # fmt: skip
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n"), max_size=12)
WRITERS = [".tsv", ".csv", ".jsonl"]


def as_read(text: str) -> str:
    """Tabs and line ends are all that a file of a sentence a line cannot hold within one."""
    return re.sub("[\t\r\n]", " ", text)


def written_sentences(folder: Path, suffix: str, sources: list[str], said: list[str]) -> Path:
    path = folder / f"sentences{suffix}"
    told = by_sentence(comparison(evaluation("runs/x", said, sources)))
    path.write_text(sentence_table(told, path), encoding="utf-8", newline="")
    return path


def translation_column(suffix: str) -> str:
    return "runs.1.translation" if suffix == ".jsonl" else "translation runs/x"


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("suffix", WRITERS)
def test_sentences_are_read_as_text(suffix: str, packed: bool, tmp_path: Path) -> None:
    said = HOSTILE[::-1]
    path = written_sentences(tmp_path, suffix, HOSTILE, said)
    if packed:
        content, path = path.read_bytes(), path.with_name(f"{path.name}.gz")
        path.write_bytes(gzip.compress(content))
    for columns, texts in ((("source", "reference"), HOSTILE), (("reference", translation_column(suffix)), said)):
        pairs = list(open_text(str(path), "test", *columns).pairs())
        assert [as_read(tgt) for _, tgt in pairs] == [as_read(text) for text in texts]
        assert [as_read(src) for src, _ in pairs] == [as_read(text) for text in HOSTILE]


@pytest.mark.parametrize("suffix", WRITERS)
@given(sources=st.lists(TEXT, min_size=1, max_size=4))
@settings(max_examples=40, deadline=None)
def test_any_sentences_are_read_as_text(
    tmp_path_factory: pytest.TempPathFactory, suffix: str, sources: list[str]
) -> None:
    path = written_sentences(tmp_path_factory.mktemp("exchange"), suffix, sources, sources)
    pairs = list(open_text(str(path), "test", "source", translation_column(suffix)).pairs())
    assert [as_read(src) for src, _ in pairs] == [as_read(text) for text in sources]
    assert [as_read(tgt) for _, tgt in pairs] == [as_read(text) for text in sources]


def readers(path: Path, src: Path, tgt: Path) -> dict[str, Callable[[], list[tuple[str, str]]]]:
    """Ways to read what lies in two files, called ``path`` and a language."""

    def reading(form: str | list[str]) -> Callable[[], list[tuple[str, str]]]:
        return lambda: list(open_text(form, "train", "xx", "yy").pairs())

    return {
        "prefix": reading(str(path)),
        "two files": reading([str(src), str(tgt)]),
        "pattern": reading(f"{path}.{{lang}}"),
    }


def test_a_cleaned_copy_is_read_in_every_way(terminal: Terminal, tmp_path: Path) -> None:
    pairs = [(f"{line} x{number}", f"{line} y{number}") for number, line in enumerate(HOSTILE)]
    write_lines(tmp_path / "a.xx", [src for src, _ in pairs])
    write_lines(tmp_path / "a.yy", [tgt for _, tgt in pairs])
    terminal.ok("check-data", tmp_path / "a", "--src", "xx", "--tgt", "yy", "--fix", tmp_path / "copy")
    first, *others = (
        read() for read in readers(tmp_path / "copy", tmp_path / "copy.xx", tmp_path / "copy.yy").values()
    )
    assert all(other == first for other in others)
    assert {"ta nu x22"} <= {src for src, _ in first}
    again = terminal.run("check-data", tmp_path / "copy", "--src", "xx", "--tgt", "yy", "--fix", tmp_path / "again")
    assert again.status == 0
    assert (tmp_path / "again.xx").read_bytes() == (tmp_path / "copy.xx").read_bytes()


@pytest.fixture
def hostile(tmp_path: Path) -> list[Path]:
    """Two files whose lines translate each other."""
    paths = [tmp_path / "in.xx", tmp_path / "in.yy"]
    for path in paths:
        write_lines(path, HOSTILE)
    return paths


def test_translations_are_read_by_all(
    terminal: Terminal, trained_run: Run, hostile: list[Path], tmp_path: Path
) -> None:
    run, out = ["--run", trained_run.directory], tmp_path / "out"
    terminal.ok("translate", *run, hostile[0], "-o", out)
    translations = list(read_lines(out))
    assert len(translations) == len(HOSTILE)
    pairs = open_text([str(hostile[0]), str(out)], "test", "xx", "yy").pairs()
    assert list(pairs) == list(zip(read_lines(hostile[0]), translations, strict=True))
    scores = tmp_path / "scores"
    terminal.ok("score", *run, hostile[0], out, "-o", scores)
    assert len(list(open_text(str(scores), "test", "1", "3").pairs())) == len(HOSTILE)
    best = tmp_path / "best"
    terminal.ok("translate", *run, hostile[0], "--scores", "-o", best)
    assert [text for _, text in open_text(str(best), "test", "1", "3").pairs()] == translations
    terminal.ok("translate", *run, hostile[0], "--nbest", 2, "-o", best)
    numbers = [number for number, _ in open_text(str(best), "test", "1", "3").pairs()]
    assert sorted(set(map(int, numbers))) == list(range(1, len(HOSTILE) + 1))
    pieces = tmp_path / "pieces"
    terminal.ok("translate", *run, hostile[0], "--pieces", "-o", pieces)
    terminal.ok("score", *run, hostile[0], pieces, "--pieces", "-o", scores)
    assert len(list(read_lines(scores))) == len(HOSTILE)


def test_links_are_read_as_gold_and_as_guidance(
    terminal: Terminal, trained_run: Run, tiny_corpus: TinyCorpus, hostile: list[Path], tmp_path: Path
) -> None:
    links = tmp_path / "links"
    words = ["align", "--run", trained_run.directory, "--source", hostile[0], "--target", hostile[1]]
    terminal.ok(*words, "-o", links)
    assert re.search(r"alignment error rate\t0\.0000", terminal.ok(*words, "--gold", links).out)
    sizes = [(len(line.split()), len(line.split())) for line in read_lines(hostile[0])]
    assert len(read_gold(links, sizes)) == len(HOSTILE)
    text = [tiny_corpus.folder / f"train.{side}" for side in ("xx", "yy")]
    terminal.ok("align", "--run", trained_run.directory, "--source", text[0], "--target", text[1], "-o", links)
    config = tmp_path / "c.toml"
    config.write_text(tiny_corpus.config(training={"epochs": 1}).to_toml())
    said = terminal.ok("train", "--config", config, "--guided-alignment", links, "--run", tmp_path / "run").err
    assert "Attention is guided at" in said
    assert "counted from" not in said
    from_one = re.sub(r"[0-9]+", lambda number: str(int(number[0]) + 1), links.read_text())
    links.write_text(from_one)
    again = ["train", "--config", config, "--guided-alignment", links, "--run", tmp_path / "again"]
    said = terminal.ok(*again).err
    assert "no link names a word 0, so that words are counted from 1" in said
    losses = [(tmp_path / run / "metrics.jsonl").read_text() for run in ("run", "again")]
    guidance = [re.findall(r'"guidance": ([0-9.]+)', text) for text in losses]
    assert guidance[0] == guidance[1] != []
    assert "is outside this pair" in terminal.refused(*again, "--overwrite", "--set", "training.guided_from=0")
    target = ["--source", text[0], "--target", text[1], "--gold", links]
    scored = terminal.ok("align", "--run", trained_run.directory, *target)
    assert "counted from 1" in scored.err
    assert "alignment error rate\t0.0000" in scored.out
    assert "is outside this pair" in terminal.refused(
        "align", "--run", trained_run.directory, *target, "--gold-from", 0
    )
    assert "--gold-from needs --gold" in terminal.refused("align", *target[:4], "--gold-from", 0)


def test_evaluations_are_read(terminal: Terminal, trained_run: Run, tiny_corpus: TinyCorpus, tmp_path: Path) -> None:
    lines = list(read_lines(tiny_corpus.folder / "test.xx"))
    for suffix in WRITERS:
        path = tmp_path / f"s{suffix}"
        terminal.ok("eval", trained_run.directory, "--sentences", path)
        text = open_text(str(path), "test", "source", "reference")
        assert Lines.read(text).src == lines
        terminal.run(
            "check-data", path, "--src", "source", "--tgt", "reference", "--fix", tmp_path / f"copy{suffix[1:]}"
        )
        assert set(read_lines(tmp_path / f"copy{suffix[1:]}.source")) <= set(lines)
    decoded = next(trained_run.decodes.glob("*.txt"))
    terminal.ok("score", "--run", trained_run.directory, tiny_corpus.folder / "test.xx", decoded)


def test_settings_are_read(terminal: Terminal, trained_run: Run, tmp_path: Path) -> None:
    shown = tmp_path / "shown.toml"
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):  # as some editors write a file, and PowerShell
        shown.write_text(terminal.ok("config", "show", "--config", trained_run.config).out, encoding=encoding)
        assert load(shown) == load(trained_run.config)
        assert terminal.ok("config", "check", shown).out == f"{shown}: ok\n"
