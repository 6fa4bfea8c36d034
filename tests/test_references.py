"""Several references for a translation, as sacreBLEU takes them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import tomli_w
from commands import Terminal
from corpora import TinyCorpus, write_lines
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF
from sacrebleu.metrics.ter import TER

from seq2seq_cli.config import from_dict
from seq2seq_cli.data.corpora import find_test, open_test
from seq2seq_cli.data.pairs import Lines
from seq2seq_cli.decoding.translator import Translator
from seq2seq_cli.errors import ConfigError, DataError
from seq2seq_cli.evaluation.metrics import bleu, paired, score_system, sentence_scores
from seq2seq_cli.runs import Run
from seq2seq_cli.training.change import _change

FIRST = ["the small dog sleeps under the table", "we walk home through the rain today"]
SECOND = ["a little dog is asleep beneath the table", "today we are going home in the rain"]
SYSTEM = ["the little dog sleeps beneath the table", "today we walk home in the rain"]
BOTH = list(zip(FIRST, SECOND, strict=True))


def test_scores_are_sacrebleus_own() -> None:
    scores = score_system(SYSTEM, BOTH, "13a", bootstrap=20)
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
    chance = [paired(SYSTEM, [FIRST], both, "13a", trials=50)[0] for both in (BOTH, turned)]
    assert chance[0] == chance[1]
    twice = list(zip(FIRST, FIRST, strict=True))
    assert bleu(SYSTEM, twice, "13a") == pytest.approx(bleu(SYSTEM, FIRST, "13a"))


def test_every_translation_has_as_many() -> None:
    with pytest.raises(DataError, match="as many references"):
        bleu(SYSTEM, [BOTH[0], FIRST[1]], "13a")


def test_intervals_and_significance_take_them_all() -> None:
    own = BLEU().corpus_score(SYSTEM * 5, [FIRST * 5, SECOND * 5], n_bootstrap=20)
    score = score_system(SYSTEM * 5, BOTH * 5, "13a", bootstrap=20).bleu
    low, high = own._mean - own._ci, own._mean + own._ci
    assert [score.low, score.high] == pytest.approx([min(low, own.score), max(high, own.score)], abs=1e-6)
    assert paired(FIRST * 5, [SECOND * 5], BOTH * 5, "13a", trials=50)[0].bleu == 1  # both are perfect
    assert paired(FIRST * 5, [SECOND * 5], FIRST * 5, "13a", trials=50)[0].bleu < 0.05


def test_what_rewards_changed_is_scored_with_them_all(trained_run: Run) -> None:
    start = Translator.load(trained_run.directory, "cpu", "fp32")
    change = _change("test", Lines(["ba", "du"], FIRST, (SECOND,)), start, [FIRST[0], SECOND[1]], "13a", None)
    assert change.after.bleu.value == pytest.approx(100)
    assert all("nrefs:2" in scores.bleu.signature for scores in (change.before, change.after))


def test_an_empty_reference_beside_others_is_missing() -> None:
    some = [(FIRST[0], SECOND[0]), (FIRST[1], "\u200b ")]
    scores = score_system(SYSTEM, some, "13a", bootstrap=20)
    for score, metric in zip(scores.all, (BLEU(), CHRF(), TER()), strict=True):
        own = metric.corpus_score(SYSTEM, [FIRST, [SECOND[0], None]])  # type: ignore[list-item]
        assert score.value == pytest.approx(own.score)
        assert "nrefs:var" in score.signature
    assert all("nrefs:var" in each for each in sentence_scores(SYSTEM, some, "13a").signatures[:2])
    turned = [(second, first) for first, second in some]
    assert score_system(SYSTEM, turned, "13a", bootstrap=20) == scores
    none = [(line, "") for line in FIRST]
    assert score_system(SYSTEM, none, "13a", bootstrap=20) == score_system(SYSTEM, FIRST, "13a", bootstrap=20)
    assert score_system(["", "x"], [("", ""), ("x", "y")], "13a", bootstrap=20).ter.value == 0


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


def test_references_that_translate_other_sentences_are_refused(tmp_path: Path) -> None:
    units = [{"xx": "a", "yy": "A", "zz": "1"}, {"xx": "b", "yy": "B"}, {"xx": "c", "yy": "C", "zz": "3"}]
    tuvs = ["".join(f'<tuv xml:lang="{code}"><seg>{text}</seg></tuv>' for code, text in unit.items()) for unit in units]
    write_lines(
        tmp_path / "t.tmx", ['<tmx version="1.4"><body>', *(f"<tu>{each}</tu>" for each in tuvs), "</body></tmx>"]
    )
    with pytest.raises(DataError, match="pair 2 of a further reference does not translate"):
        Lines.read(open_test(str(tmp_path / "t.tmx"), "xx", "yy", ["zz"]))


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
    columns = ["--test", tmp_path / "t.tsv", "--set", 'data.references=["r2"]', "--run", again.directory]
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
