"""Several references for a translation, as sacreBLEU takes them."""

from __future__ import annotations

import importlib
import json
import shutil
import zipfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import tomli_w
from commands import Terminal
from corpora import TinyCorpus, write_lines
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from resampling import resamples
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF
from sacrebleu.metrics.ter import TER

from seq2seq_cli.config.loading import from_dict
from seq2seq_cli.config.sections import DataConfig
from seq2seq_cli.data.corpora import find_test, open_test, open_text
from seq2seq_cli.data.pairs import Lines
from seq2seq_cli.decoding.translator import Translator
from seq2seq_cli.errors import ConfigError, DataError
from seq2seq_cli.evaluation.metrics import RANDOMISATION, bleu, paired, score_system, sentence_scores
from seq2seq_cli.evaluation.testset import FoundTests
from seq2seq_cli.runs import Run
from seq2seq_cli.training.change import _change

FIRST = ["the small dog sleeps under the table", "we walk home through the rain today"]
SECOND = ["a little dog is asleep beneath the table", "today we are going home in the rain"]
SYSTEM = ["the little dog sleeps beneath the table", "today we walk home in the rain"]
BOTH = list(zip(FIRST, SECOND, strict=True))
FEW = replace(RANDOMISATION, trials=50)


@resamples(20)
def test_scores_are_sacrebleus_own() -> None:
    scores = score_system(SYSTEM, BOTH, "13a")
    for score, metric in zip(scores.all, (BLEU(), CHRF(), TER()), strict=True):
        assert score.value == pytest.approx(metric.corpus_score(SYSTEM, [FIRST, SECOND]).score)
        assert "nrefs:2" in score.signature
    sentences = sentence_scores(SYSTEM, BOTH, "13a")
    own = [CHRF().sentence_score(line, list(some)).score for line, some in zip(SYSTEM, BOTH, strict=True)]
    assert sentences.chrf == pytest.approx(own)


def test_any_reference_is_as_good() -> None:
    assert bleu([FIRST[0], SECOND[1]], BOTH, "13a") == pytest.approx(100)


def test_their_order_does_not_matter_and_one_twice_is_one() -> None:
    turned = list(zip(SECOND, FIRST, strict=True))
    assert bleu(SYSTEM, BOTH, "13a") == pytest.approx(bleu(SYSTEM, turned, "13a"))
    chance = [paired(SYSTEM, [FIRST], both, "13a", FEW)[0] for both in (BOTH, turned)]
    assert chance[0] == chance[1]
    twice = list(zip(FIRST, FIRST, strict=True))
    assert bleu(SYSTEM, twice, "13a") == pytest.approx(bleu(SYSTEM, FIRST, "13a"))


def test_bleu_counts_the_orders_that_any_reference_has() -> None:
    """Those of the first may all be shorter than four tokens."""
    short = ["the dog", "we walk"]
    for streams in ([short, SECOND], [SECOND, short]):
        score = score_system(SYSTEM, list(zip(*streams, strict=True)), "13a").bleu
        assert score.value == pytest.approx(BLEU().corpus_score(SYSTEM, streams).score)
        assert "eff:no" in score.signature


def test_every_translation_has_as_many() -> None:
    with pytest.raises(DataError, match="as many references"):
        bleu(SYSTEM, [BOTH[0], FIRST[1]], "13a")


@resamples(20)
def test_intervals_and_significance_take_them_all() -> None:
    own = BLEU().corpus_score(SYSTEM * 5, [FIRST * 5, SECOND * 5], n_bootstrap=20)
    score = score_system(SYSTEM * 5, BOTH * 5, "13a").bleu
    low, high = own._mean - own._ci, own._mean + own._ci
    assert [score.low, score.high] == pytest.approx([min(low, own.score), max(high, own.score)], abs=1e-6)
    assert paired(FIRST * 5, [SECOND * 5], BOTH * 5, "13a", FEW)[0].bleu == 1  # both are perfect
    assert paired(FIRST * 5, [SECOND * 5], FIRST * 5, "13a", FEW)[0].bleu < 0.05


def test_what_rewards_changed_is_scored_with_them_all(trained_run: Run) -> None:
    start = Translator.load(trained_run.directory, "cpu", "fp32")
    change = _change(
        "test", Lines(["ba", "du"], FIRST, (SECOND,)), start, [FIRST[0], SECOND[1]], "13a", lambda done, total: None
    )
    assert change.after.bleu.value == pytest.approx(100)
    assert all("nrefs:2" in scores.bleu.signature for scores in (change.before, change.after))


@resamples(20)
def test_an_empty_reference_beside_others_is_missing() -> None:
    some = [(FIRST[0], SECOND[0]), (FIRST[1], "\u200b ")]
    scores = score_system(SYSTEM, some, "13a")
    for score, metric in zip(scores.all, (BLEU(), CHRF(), TER()), strict=True):
        own = metric.corpus_score(SYSTEM, [FIRST, [SECOND[0], None]])  # type: ignore[list-item]
        assert score.value == pytest.approx(own.score)
        assert "nrefs:var" in score.signature
    assert all("nrefs:var" in each for each in sentence_scores(SYSTEM, some, "13a").signatures[:2])
    turned = [(second, first) for first, second in some]
    assert score_system(SYSTEM, turned, "13a") == scores
    none = [(line, "") for line in FIRST]
    assert score_system(SYSTEM, none, "13a") == score_system(SYSTEM, FIRST, "13a")
    assert score_system(["", "x"], [("", ""), ("x", "y")], "13a").ter.value == 0


WORD = st.sampled_from(["the", "a", "dog", "cat", "sits", "sat", "on", "under", "mat", "table", "today"])
LONG_LINE = st.lists(WORD, min_size=4, max_size=7).map(" ".join)
MAYBE_NONE = st.one_of(LONG_LINE, st.sampled_from(["", " ", "\u200b"]))


@given(st.integers(2, 4).flatmap(lambda n: st.lists(st.tuples(LONG_LINE, st.tuples(*[MAYBE_NONE] * n)), min_size=2)))
@settings(max_examples=40, deadline=None)
@resamples(2)
def test_whichever_are_missing_scores_are_sacrebleus_own(drawn: list[tuple[str, tuple[str, ...]]]) -> None:
    system, wanted = [line for line, _ in drawn], [references for _, references in drawn]
    assume(any(line.strip("\u200b ") for references in wanted for line in references))
    rows = [[line if line.strip("\u200b ") else None for line in references] for references in wanted]
    streams = [list(stream) for stream in zip(*(row if any(row) else ["", *row[1:]] for row in rows), strict=True)]
    scores = score_system(system, wanted, "13a")
    for score, metric in zip(scores.all, (BLEU(), CHRF(), TER()), strict=True):
        own = metric.corpus_score(system, streams)
        assert score.value == pytest.approx(own.score)
        assert f"nrefs:{metric.get_signature().info['nrefs']}|" in score.signature


FILES = ("a.xx", "r1.yy", "r2.yy")


def written(folder: Path) -> list[str]:
    """A source and two files of references."""
    for name, lines in zip(FILES, (["a b", "c d"], FIRST, SECOND), strict=True):
        write_lines(folder / name, lines)
    return [str(folder / name) for name in FILES]


def test_files_of_references(tmp_path: Path) -> None:
    source, *references = written(tmp_path)
    for names in ([source, *references], [*references, source]):  # their names say which is the source
        text = open_test(names, "xx", "yy")
        lines = Lines.read(text)
        assert (lines.tgt, lines.references) == (FIRST, BOTH)
        assert text.where == f"{source} and {references[0]} and {references[1]}"
        assert list(text.pairs()) == list(zip(["a b", "c d"], FIRST, strict=True))
    digests = {open_test([source, *some], "xx", "yy").digest() for some in (references, references[:1] * 2)}
    assert len(digests) == 2
    Path(references[1]).write_text("one\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"r2\.yy:\d"):
        Lines.read(open_test([source, *references], "xx", "yy"))
    with pytest.raises(DataError, match=r"r3\.yy: is no file"):
        open_test([source, references[0], str(tmp_path / "r3.yy")], "xx", "yy")


def test_columns_and_suffixes_of_references(tmp_path: Path) -> None:
    rows = [f"{first}\t{source}\t{second}" for source, (first, second) in zip(["a b", "c d"], BOTH, strict=True)]
    for name, lines in zip(("Q.de", "Q.en", "Q.en2"), (["a b", "c d"], FIRST, SECOND), strict=True):
        write_lines(tmp_path / name, lines)
    table, bare = str(tmp_path / "t.tsv"), str(tmp_path / "bare.tsv")
    write_lines(Path(table), ["yy\txx\tyy2", *rows])
    write_lines(Path(bare), rows)
    for name, lines in zip(("P.xx", "P.yy", "P.yy2"), (["a b", "c d"], FIRST, SECOND), strict=True):
        write_lines(tmp_path / name, lines)
    for name, asked in (
        (table, ("xx", "yy", "yy2")),
        (bare, ("2", "1", "3")),
        (str(tmp_path / "P"), ("xx", "yy", "yy2")),
    ):
        text = open_test(name, asked[0], asked[1], asked[2:])
        assert Lines.read(text) == Lines(["a b", "c d"], FIRST, (SECOND,))
    assert open_test(table, "xx", "yy", ["yy2"]).where == table
    own = from_dict(
        {"data": {"test": table, "references": ["yy2"], "train": "t", "dev": "d", "src": "xx", "tgt": "yy"}}
    )
    found = find_test(own.data)
    assert found is not None
    assert Lines.read(found).references == BOTH

    with pytest.raises(DataError, match=r'there is no column "yy3"'):
        Lines.read(open_test(table, "xx", "yy", ["yy3"]))
    with pytest.raises(DataError, match='"yy" is named twice'):
        open_test(table, "xx", "yy", ["yy"])
    with pytest.raises(DataError, match="files and further references are both named"):
        open_test([table, table], "xx", "yy", ["yy2"])
    with pytest.raises(ConfigError, match="references given without test"):
        from_dict({"data": {"references": ["yy2"]}})
    with pytest.raises(ConfigError, match="of a list of files they are the files after the second"):
        from_dict({"data": {"test": [table, table], "references": ["yy2"]}})
    built_in = find_test(from_dict({"data": {"test": str(tmp_path / "Q"), "references": ["en2"]}}).data)
    assert built_in is not None
    assert Lines.read(built_in).references == BOTH


def test_runs_that_differ_in_references_are_read_apart(tmp_path: Path) -> None:
    """What is read once for several runs is the same text with the same references."""
    for name, lines in zip(("P.xx", "P.yy", "P.yy2"), (["a b", "c d"], FIRST, SECOND), strict=True):
        write_lines(tmp_path / name, lines)
    data = {"test": str(tmp_path / "P"), "train": "t", "dev": "d", "src": "xx", "tgt": "yy"}
    texts, run = FoundTests(), Run(tmp_path / "run")
    found = [texts.of(DataConfig.model_validate(data | more), run) for more in ({}, {"references": ["yy2"]}, {})]
    assert [test.lines.references for test in found] == [FIRST, BOTH, FIRST]
    assert found[0] is found[2]


def test_references_that_translate_other_sentences_are_refused(tmp_path: Path) -> None:
    units = [{"xx": "a", "yy": "A", "zz": "1"}, {"xx": "b", "yy": "B"}, {"xx": "c", "yy": "C", "zz": "3"}]
    tuvs = ["".join(f'<tuv xml:lang="{code}"><seg>{text}</seg></tuv>' for code, text in unit.items()) for unit in units]
    write_lines(
        tmp_path / "t.tmx", ['<tmx version="1.4"><body>', *(f"<tu>{each}</tu>" for each in tuvs), "</body></tmx>"]
    )
    with pytest.raises(DataError, match="pair 2 of a further reference does not translate"):
        Lines.read(open_test(str(tmp_path / "t.tmx"), "xx", "yy", ["zz"]))


def wmt(*documents: dict[str, list[list[str]]]) -> str:
    """A test set: for each document the versions of each language, the first language being the source."""

    def side(kind: str, language: str, texts: list[str]) -> str:
        segments = "".join(f'<seg id="{number}">{text}</seg>' for number, text in enumerate(texts, start=1))
        return f'<{kind} lang="{language}"><p>{segments}</p></{kind}>\n'

    told = []
    for number, document in enumerate(documents):
        kinds = ["src", *["ref"] * (len(document) - 1)]
        sides = (
            side(kind, language, texts)
            for kind, (language, some) in zip(kinds, document.items(), strict=True)
            for texts in some
        )
        told.append(f'<doc id="{number}">\n{"".join(sides)}<hyp system="s"><p><seg id="1">said</seg></p></hyp>\n</doc>')
    return f"<dataset>\n{chr(10).join(told)}\n</dataset>\n"


def sgm(*versions: tuple[str, list[str]]) -> str:
    """Documents of these names, in this order."""
    said = "".join(
        f'<doc docid="{name}">\n'
        + "".join(f'<seg id="{n}">{text}</seg>\n' for n, text in enumerate(texts))
        + "</doc>\n"
        for name, texts in versions
    )
    return f'<refset setid="t">\n{said}</refset>\n'


SEVERAL = Lines(["s1", "s2", "s3"], ["a1", "a2", "a3"], (["b1", "b2", ""], ["c1", "c2", ""]))
"""Of two documents, the second of which was translated once."""


def test_a_test_set_of_wmt_gives_all_its_references(tmp_path: Path) -> None:
    path = tmp_path / "t.xml"
    first = {"xx": [["s1", "s2"]], "yy-ZZ": [["a1", "a2"], ["b1", "b2"], ["c1", "c2"]], "other": [["o", "o"]]}
    path.write_text(wmt(first, {"xx": [["s3"]], "yy-ZZ": [["a3"]]}), encoding="utf-8")
    text = open_test(str(path), "xx", "yy")
    assert Lines.read(text) == SEVERAL
    assert (text.where, text.files) == (str(path), [path])
    assert list(open_text(str(path), "dev", "xx", "yy").pairs()) == list(zip(SEVERAL.src, SEVERAL.tgt, strict=True))
    assert Lines.read(open_test(str(path), "xx", "other")) == Lines(["s1", "s2"], ["o", "o"])

    with zipfile.ZipFile(tmp_path / "t.zip", "w") as archive:
        archive.write(path, "t.xml")
    assert Lines.read(open_test(str(tmp_path / "t.zip"), "xx", "yy")) == SEVERAL
    (tmp_path / "u.xml").write_text(wmt({"xx": [["s4"]], "yy": [["a4"], ["b4"]]}), encoding="utf-8")
    both = Lines.read(open_test(str(tmp_path / "*.xml"), "xx", "yy"))
    assert both.further == (["b1", "b2", "", "b4"], ["c1", "c2", "", ""])
    path.write_text(wmt({"xx": [["s1", "s2"]], "yy": [["a1", "a2"], ["b1"]]}), encoding="utf-8")
    with pytest.raises(DataError, match=r"not as many segments in each language: 2 in xx, 2 in yy, 1 in yy"):
        Lines.read(open_test(str(path), "xx", "yy"))


def test_files_of_segments_may_hold_several_versions(tmp_path: Path) -> None:
    source, one, other = (tmp_path / f"{name}.sgm" for name in ("src", "one", "other"))
    source.write_text(sgm(("d", ["s1", "s2"]), ("e", ["s3"])), encoding="utf-8")
    a, b, c = ([("d", [f"{x}1", f"{x}2"])] for x in "abc")
    last = [("e", ["a3"])]
    within = sgm(("d", [])).replace("</doc>\n", "".join(
        f'<ref translator="{x}"><seg id="0">{x}1</seg><seg id="1">{x}2</seg></ref>\n' for x in "abc"
    ) + "</doc>\n" + sgm(*last))  # fmt: skip
    # One set after the other; document by document; and as newer files have it.
    for content in (sgm(*a, *last) + sgm(*b) + sgm(*c), sgm(*a, *b, *c, *last), within):
        one.write_text(content, encoding="utf-8")
        text = open_test([str(source), str(one)], "xx", "yy")
        assert Lines.read(text) == SEVERAL
        assert text.where == f"{source} and {one}"
    one.write_text(sgm(*a, *last), encoding="utf-8")
    other.write_text(sgm(*b, *c), encoding="utf-8")
    with pytest.raises(DataError, match=r"other\.sgm: has only 2 segments, and .*src\.sgm has more"):
        Lines.read(open_test([str(source), str(one), str(other)], "xx", "yy"))
    other.write_text(sgm(*b, ("e", ["b3"]), *c), encoding="utf-8")
    read = Lines.read(open_test([str(source), str(one), str(other)], "xx", "yy"))
    assert read.further == (["b1", "b2", "b3"], ["c1", "c2", ""])


def test_versions_that_do_not_belong_to_the_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, one = tmp_path / "src.sgm", tmp_path / "one.sgm"
    source.write_text(sgm(("d", ["s1", "s2"])), encoding="utf-8")
    for versions, message in (
        ([("d", ["b1"])], r"one\.sgm: has only 1 segment, and .*src\.sgm has more"),
        ([("d", ["b1", "b2", "b3"])], r"src\.sgm: has only 2 segments, and .*one\.sgm has more"),
    ):
        one.write_text(sgm(("d", ["a1", "a2"]), *versions), encoding="utf-8")
        with pytest.raises(DataError, match=message):
            Lines.read(open_test([str(source), str(one)], "xx", "yy"))
    monkeypatch.setattr("seq2seq_cli.data.readers.segments.MOST_DOCUMENTS", 1)
    one.write_text(sgm(("d", ["a1", "a2"]), ("e", ["a3"])), encoding="utf-8")
    with pytest.raises(DataError, match=r"one\.sgm:6: there are more than 1 documents here"):
        Lines.read(open_test([str(source), str(one)], "xx", "yy"))
    # A tag within a text is text. Names that the source repeats, too, are no versions.
    source.write_text(sgm(("d", ["s <ref> 1"])), encoding="utf-8")
    one.write_text(sgm(("d", ["a"])), encoding="utf-8")
    assert Lines.read(open_test([str(source), str(one)], "xx", "yy")).src == ["s <ref> 1"]
    for path, letter in ((source, "s"), (one, "a")):
        path.write_text(sgm(("d", [f"{letter}1"]), ("d", [f"{letter}2"])), encoding="utf-8")
    assert Lines.read(open_test([str(source), str(one)], "xx", "yy")) == Lines(["s1", "s2"], ["a1", "a2"])


def test_check_data_looks_into_all_of_them(terminal: Terminal, tmp_path: Path) -> None:
    lines = [f"word {number} of a text that is long enough" for number in range(30)]
    write_lines(tmp_path / "train.xx", [line.upper() for line in lines])
    write_lines(tmp_path / "train.yy", [*lines[:-1], "the café is café"])
    source, *references = (tmp_path / name for name in ("a.xx", "r1.yy", "r2.yy"))
    write_lines(source, [f"other {number}" for number in range(6)])
    write_lines(references[0], [f"nothing {number}" for number in range(6)])
    said = [lines[3], "the café is café", *(f"something {number}" for number in range(4))]
    references[1].write_text("".join(f"{line}\n" for line in said), encoding="utf-16-le")
    (tmp_path / "t.xml").write_text(
        wmt({"xx": [["o1", "o2"]], "yy": [["n1", "n2"], ["m1", lines[5]]]}), encoding="utf-8"
    )
    train = ["check-data", tmp_path / "train", "--src", "xx", "--tgt", "yy", "--json", "--test"]

    def met(*test: object) -> int:
        return int(json.loads(terminal.run(*train, *test).out)["test_pairs_met"])

    assert met(source, references[0]) == 0
    assert met(source, *references) == 2
    assert met(tmp_path / "t.xml") == 1
    for name, path in zip(("P.xx", "P.yy", "P.r2"), (source, references[0], tmp_path / "train.yy"), strict=True):
        write_lines(tmp_path / name, path.read_text(encoding="utf-8").splitlines()[:6])
    assert met(tmp_path / "P") == 0
    assert met(tmp_path / "P", "--reference", "r2") == 6
    assert "--reference needs --test" in terminal.refused(*train[:-1], "--reference", "r2")


def test_eval_reads_every_text_and_opens_every_run_once(
    terminal: Terminal, trained_run: Run, tiny_corpus: TinyCorpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [Path(shutil.copytree(trained_run.directory, tmp_path / name)) for name in ("one", "two")]
    done = Counter[str]()

    def counted(place: str) -> None:
        module, _, name = place.rpartition(".")
        plain = getattr(importlib.import_module(f"seq2seq_cli.{module}"), name)

        def counting(path: object, *more: object) -> object:
            done[f"{name} {path}"] += 1
            return plain(path, *more)

        monkeypatch.setattr(f"seq2seq_cli.{place}", counting)

    for place in ("data.pairs.read_lines", "runs.open_run", "decoding.translator.open_run", "evaluation.systems.load"):
        counted(place)
    texts = [f"read_lines {tiny_corpus.folder / f'test.{side}'}" for side in ("xx", "yy")]
    once = [*texts, *(f"open_run {run}" for run in runs), *(f"load {Run(run).config}" for run in runs)]
    for test in (
        [],
        ["--test", tiny_corpus.folder / "test"],
        ["--test", *(tiny_corpus.folder / f"test.{x}" for x in ("xx", "yy"))],
    ):
        done.clear()
        for run in runs:
            Run(run).evaluation.unlink()
        terminal.ok("eval", *runs, *test)
        # Files that are named otherwise are the run's own if they say the same.
        assert done == Counter(once) + Counter(texts if len(test) > 2 else [])
        assert all(Run(run).evaluation.is_file() for run in runs)


def test_eval_from_end_to_end(terminal: Terminal, trained_run: Run, tiny_corpus: TinyCorpus, tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    shutil.copytree(trained_run.directory, run.directory)
    source, first = (tiny_corpus.folder / f"test.{side}" for side in ("xx", "yy"))
    lines = first.read_text(encoding="utf-8").splitlines()
    write_lines(tmp_path / "r2.yy", [" ".join(reversed(line.split())) for line in lines])
    write_lines(tmp_path / "t.tsv", ["xx\tyy\tr2", *map("\t".join, zip(
        *((path.read_text(encoding="utf-8").splitlines()) for path in (source, first, tmp_path / "r2.yy")), strict=True
    ))])  # fmt: skip
    files = ["--test", source, first, tmp_path / "r2.yy"]
    records = {}
    for name, test in {
        "one": files[:3],
        "two": files,
        "table": ["--test", tmp_path / "t.tsv", "--reference", "r2"],
    }.items():
        written = {
            option: tmp_path / f"{name}.{ending}" for option, ending in (("--json", "json"), ("--sentences", "csv"))
        }
        answer = terminal.ok("eval", run.directory, *test, *(word for pair in written.items() for word in pair))
        assert ("nrefs:2" in answer.err) == (name != "one")
        [records[name]] = json.loads(written["--json"].read_text(encoding="utf-8"))
    assert records["two"]["bleu"] >= records["one"]["bleu"]
    assert "nrefs:2" in records["two"]["signature"]["ter"]
    assert records["two"]["test_sha256"] == records["table"]["test_sha256"] != records["one"]["test_sha256"]
    assert records["two"]["bleu"] == records["table"]["bleu"]
    [said] = run.decodes.glob(f"{records['two']['test_sha256'][:8]}-*.txt")
    wanted = [lines, (tmp_path / "r2.yy").read_text(encoding="utf-8").splitlines()]
    own = BLEU().corpus_score(said.read_text(encoding="utf-8").splitlines(), wanted)
    assert records["two"]["bleu"] == pytest.approx(own.score)
    assert "needs --test" in terminal.refused("eval", run.directory, "--reference", "r2")

    page = tmp_path / "page.html"
    terminal.ok("report", run.directory, *files, "-o", page)
    assert "test.xx and test.yy and r2.yy" in page.read_text(encoding="utf-8")
    assert "nrefs:2" in page.read_text(encoding="utf-8")


def test_training_ends_with_them_all(terminal: Terminal, tmp_path: Path) -> None:
    corpus = TinyCorpus.write(tmp_path / "text", train=30, dev=4, test=12)
    settings = tmp_path / "tiny.toml"
    settings.write_text(corpus.config(training={"epochs": 1}).to_toml(), encoding="utf-8")
    source, first = (corpus.folder / f"test.{side}" for side in ("xx", "yy"))
    write_lines(tmp_path / "r2.yy", ["la la"] * 12)
    run = Run(tmp_path / "run")
    answer = terminal.ok(
        "train", "--config", settings, "--test", source, first, tmp_path / "r2.yy", "--run", run.directory
    )
    assert "nrefs:2" in answer.err
    record = json.loads(run.evaluation.read_text(encoding="utf-8"))
    assert "nrefs:2" in record["signature"]["bleu"]
    # The run's own test set is that of both, and of no other.
    terminal.ok("eval", run.directory, "--test", source, first)
    assert json.loads(run.evaluation.read_text(encoding="utf-8"))["test_sha256"] == record["test_sha256"]
    assert "nrefs:2" in terminal.ok("eval", run.directory).err
    side_by_side = [path.read_text(encoding="utf-8").splitlines() for path in (source, first, tmp_path / "r2.yy")]
    write_lines(tmp_path / "t.tsv", ["xx\tyy\tr2", *map("\t".join, zip(*side_by_side, strict=True))])
    again = Run(tmp_path / "again")
    columns = ["--test", tmp_path / "t.tsv", "--reference", "r2", "--run", again.directory]
    terminal.ok("train", "--config", settings, *columns)
    assert json.loads(again.evaluation.read_text(encoding="utf-8"))["test_sha256"] == record["test_sha256"]
    assert "nrefs:2" in terminal.ok("eval", again.directory, run.directory).err
    checked = terminal.run("check-data", corpus.folder / "train", "--src", "xx", "--tgt", "yy", "--test", source, first,
                           tmp_path / "r2.yy")  # fmt: skip
    assert checked.status in (0, 3)


def test_suffixes_and_files_are_the_same_test_set(terminal: Terminal, trained_run: Run, tmp_path: Path) -> None:
    own_run = Run(Path(shutil.copytree(trained_run.directory, tmp_path / "own")))
    source = ["ta nu", "ki po ta"]
    said = terminal.ok("translate", "--run", own_run.directory, stdin="".join(f"{x}\n" for x in source).encode()).out
    write_lines(tmp_path / "t.xx", source)
    write_lines(tmp_path / "t.yy", ["nothing like it", "at all"])
    write_lines(tmp_path / "t.zz", said.splitlines())
    record = tmp_path / "r.json"
    ways = (
        ["--test", tmp_path / "t", "--reference", "zz"],
        ["--test", *(tmp_path / f"t.{x}" for x in ("xx", "yy", "zz"))],
    )
    digests = set()
    for way in ways:
        terminal.ok("eval", own_run.directory, *way, "--json", record, "--precision", "auto")
        [made] = json.loads(record.read_text(encoding="utf-8"))
        assert made["chrf"] == pytest.approx(100)
        assert "nrefs:2" in made["signature"]["bleu"]
        digests.add(made["test_sha256"])
    terminal.ok("eval", own_run.directory, "--test", tmp_path / "t", "--json", record)
    [alone] = json.loads(record.read_text(encoding="utf-8"))
    assert alone["chrf"] < 50
    assert len(digests) == 1
    assert alone["test_sha256"] not in digests
    write_lines(tmp_path / "t.zz", ["one"])
    assert "2 lines in one file but 1 in the other" in terminal.refused("eval", own_run.directory, *ways[1])
    assert "--reference needs --test" in terminal.refused("eval", own_run.directory, "--reference", "zz")


def test_training_ends_with_those_of_suffixes(terminal: Terminal, tiny_corpus: TinyCorpus, tmp_path: Path) -> None:
    values = tiny_corpus.settings(data={"references": ["zz"]}, training={"epochs": 1})
    for side in ("xx", "yy"):
        shutil.copy(tiny_corpus.folder / f"test.{side}", tmp_path)
    shutil.copy(tiny_corpus.folder / "test.yy", tmp_path / "test.zz")
    values["data"]["test"] = str(tmp_path / "test")
    (tmp_path / "c.toml").write_text(tomli_w.dumps(values), encoding="utf-8")
    assert "nrefs:2" in terminal.ok("train", "--config", tmp_path / "c.toml", "--run", tmp_path / "run").err
