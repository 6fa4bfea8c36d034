"""The commands from end to end, on an invented language."""

import json
import re
import shutil
from pathlib import Path

import pytest
from commands import Terminal
from corpora import TinyCorpus, translation
from matplotlib.image import imread

from seq2seq_cli.cli.app import app
from seq2seq_cli.config.whole import all_keys
from seq2seq_cli.data.text import read_lines
from seq2seq_cli.decoding.translator import Translator
from seq2seq_cli.evaluation.diagnostics import Diagnostics, diagnose
from seq2seq_cli.kinds.attentions import KINDS, Kind
from seq2seq_cli.runs import Run

TINY = ("model.hidden_size=16", "model.embedding_size=16", "subword.vocab_size=60", "training.batch_tokens=200",
        "training.threads=1", "training.precision=fp32")  # fmt: skip


def settings(*overrides: str) -> list[str]:
    return [word for override in (*TINY, *overrides) for word in ("--set", override)]


def texts(corpus: TinyCorpus, *splits: str) -> list[str]:
    named = [word for split in splits for word in (f"--{split}", str(corpus.folder / split))]
    return [*named, "--src", "xx", "--tgt", "yy"]


def test_every_command_has_help_with_an_example(terminal: Terminal) -> None:
    names = [command.name or "" for command in app.registered_commands]
    known = {
        "train",
        "compare",
        "report",
        "check-data",
        "prepare",
        "translate",
        "eval",
        "plot",
        "score",
        "align",
        "serve",
        "export",
        "attentions",
    }
    assert set(names) == known
    overview = terminal.ok("--help").out
    for name in [*names, "config", "memory"]:
        assert re.search(rf"\b{name}\b", overview)
    for words in ([name] for name in names):
        assert "Example" in terminal.ok(*words, "--help").out, words
    for words in (
        ["config", "show"],
        ["config", "check"],
        ["memory", "build"],
        ["memory", "add"],
        ["memory", "tune"],
        ["memory", "index"],
    ):
        assert "Example" in terminal.ok(*words, "--help").out, words


def test_version(terminal: Terminal) -> None:
    assert re.fullmatch(r"seq2seq \d+\.\d+\.\d+\n", terminal.ok("--version").out)


def test_attentions_in_a_pipe_is_a_table_of_tabs(terminal: Terminal) -> None:
    rows = [line.split("\t") for line in terminal.ok("attentions").out.splitlines()]
    assert {len(row) for row in rows} == {5}
    assert {"bahdanau", "luong-general, luong", "local-p, local", "none"} <= {row[0] for row in rows}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_each_attention_is_explained(terminal: Terminal, kind: Kind) -> None:
    said = terminal.ok("attentions", kind.name).out
    assert kind.formula in said
    assert kind.paper in said
    for option in kind.options:
        assert f"  {option}\t" in said
    assert ("Wenn" in said) == (kind.attends)
    for alias in kind.aliases:
        assert said == terminal.ok("attentions", alias).out


def test_an_attention_that_is_none_of_them(terminal: Terminal) -> None:
    assert 'KIND: attention kind "harrd" is unknown.' in terminal.refused("attentions", "harrd")


def test_config_show_and_check(terminal: Terminal, tmp_path: Path) -> None:
    shown = terminal.ok("config", "show", "--set", "training.seed=7").out
    assert "seed = 7" in shown
    assert all(key.split(".")[1] in shown for key in all_keys())
    good, bad = tmp_path / "good.toml", tmp_path / "bad.toml"
    good.write_text(shown)
    bad.write_text("[training]\nseeed = 7\n")
    assert terminal.ok("config", "check", good).out == f"{good}: ok\n"
    said = terminal.refused("config", "check", good, bad)
    assert f'{bad}: training.seeed is unknown. Did you mean "training.seed"?' in said


def test_from_text_to_pictures(terminal: Terminal, tiny_corpus: TinyCorpus, tmp_path: Path,
                               monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    """Train without naming a run, then everything that a run is for, without naming it either."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("seq2seq_cli.training.experiment.PICTURES", 6)  # as many as users get
    data = texts(tiny_corpus, "train", "dev", "test")
    trained = terminal.ok("train", "--attention", "local-p", *data, *settings(), "--epochs", 2, "--seed", 5)
    run = Run(next(Path("runs").iterdir()))
    assert run.directory.name.endswith("-local-p")
    assert re.search(r"^test BLEU \d+\.\d\d \(95% interval", trained.out)
    for said in (
        "300 training pairs, 24 dev pairs",
        "epoch 1, step",
        "dev BLEU",
        "; attention ",
        "6 alignment pictures",
        "2 epochs done",
    ):
        assert said in trained.err
    assert str(run.directory) in trained.err
    assert json.loads(run.info.read_text())["seed"] == 5

    test = tiny_corpus.folder / "test"
    answered = terminal.ok("translate", f"{test}.xx", "-o", "out.txt")
    assert "24 lines translated into out.txt" in answered.err
    assert (answered.out, len(Path("out.txt").read_text().splitlines())) == ("", 24)

    scored = terminal.ok("score", f"{test}.xx", "out.txt").out.splitlines()
    assert len(scored) == 24
    assert all(float(line.split("\t")[0]) < 0 for line in scored)

    compared = terminal.ok("eval", "--json", "eval.json")
    table = compared.out
    assert run.directory.name in table
    (record,) = json.loads(Path("eval.json").read_text())
    measured = diagnose(
        candidates[0].alignment
        for candidates in Translator.load(run.directory, precision="fp32").hypotheses(
            list(read_lines(Path(f"{test}.xx")))
        )
    )
    assert measured is not None
    assert record["diagnostics"] == pytest.approx(measured.to_json(), abs=1e-4)
    assert f"{run.directory}: {Diagnostics(**record['diagnostics'])}\n" in compared.err
    assert f"{record['bleu']:.2f} [" in table
    for metric in ("bleu", "chrf", "ter"):
        assert isinstance(record[metric], float)
        assert "version:" in record["signature"][metric]

    drawn = terminal.ok("plot", "ta nu ki", "--target", translation("ta nu ki"))
    assert "la" in drawn.out
    assert drawn.err == f"run: {run.directory} (the newest)\nla ro se\n"
    for suffix in (".png", ".svg", ".pdf"):
        assert f"picture{suffix}" in terminal.ok("plot", "ta nu ki", "-o", f"picture{suffix}").err
    assert imread("picture.png").ndim == 3
    assert Path("picture.svg").read_text(encoding="utf-8").count("</svg>") == 1
    assert Path("picture.pdf").read_bytes().startswith(b"%PDF")
    assert json.loads(Path("picture.json").read_text())["radius"] == 10


def test_plot_calls_unknown_words_what_they_are(terminal: Terminal, trained_run: Run, tmp_path: Path) -> None:
    run, picture = ["--run", trained_run.directory], tmp_path / "x.png"
    drawn = terminal.ok("plot", *run, "ta Ωmega <unk> nu", "--target", "la ЖЖ </s> ro")
    assert "Ωmega" in drawn.out
    assert "ЖЖ" in drawn.out
    assert drawn.out.count("<unk>") == 1  # the word of that name
    terminal.ok("plot", *run, "ta Ωmega nu", "--target", "la ЖЖ", "--pieces", "-o", picture)
    record = json.loads(picture.with_suffix(".json").read_text(encoding="utf-8"))
    assert "Ω" in "".join(record["source"])
    assert "ЖЖ" in "".join(record["target"])
    assert "<unk>" not in record["source"] + record["target"]


def test_plot_warns_of_bytes_that_are_no_text(terminal: Terminal, trained_run: Run) -> None:
    """As translate does, and the word stays one."""
    drawn = terminal.ok("plot", "--run", trained_run.directory, "ta n\udcfcki", "--target", "la \udce4")
    assert "warning: SENTENCE: not UTF-8; U+FFFD stands for each byte that cannot be read." in drawn.err
    assert "warning: --target: not UTF-8" in drawn.err
    assert "n\ufffdki" in drawn.out


def test_prepare_says_what_it_made_and_train_finds_it(terminal: Terminal, tiny_corpus: TinyCorpus, tmp_path: Path,
                                                      monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.setenv("SEQ2SEQ_CACHE", str(tmp_path / "cache"))
    data = texts(tiny_corpus, "train", "dev")
    facts = dict(line.split("\t") for line in terminal.ok("prepare", *data, *settings()).out.splitlines())
    assert (facts["training pairs"], facts["test pairs"]) == ("300", "none")
    made = Path(facts["written to"])
    before = {path: path.stat().st_mtime_ns for path in made.rglob("*")}
    assert made.is_relative_to(tmp_path / "cache")
    terminal.ok("train", *data, *settings(), "--epochs", 1, "--run", tmp_path / "run")
    assert {path: path.stat().st_mtime_ns for path in made.rglob("*")} == before


def test_a_run_is_not_written_over(terminal: Terminal, tiny_corpus: TinyCorpus, tmp_path: Path) -> None:
    words = ["train", *texts(tiny_corpus, "train", "dev"), *settings(), "--epochs", 1, "--run", tmp_path / "run"]
    terminal.ok(*words)
    assert "exists already. Use --resume to go on with it, --overwrite" in terminal.refused(*words)
    assert "exclude each other" in terminal.refused(*words, "--resume", "--overwrite")
    terminal.ok(*words, "--overwrite")
    # What is over stays over; more epochs go on.
    assert "resumed after step" in terminal.ok("train", "--run", tmp_path / "run", "--resume", "--epochs", 2).err


def test_a_run_moved_elsewhere_still_translates(terminal: Terminal, trained_run: Run, tmp_path: Path) -> None:
    moved = tmp_path / "another name"
    shutil.copytree(trained_run.directory, moved)
    here = terminal.ok("translate", "--run", trained_run.directory, stdin=b"ta nu\n").out
    assert terminal.ok("translate", "--run", moved, stdin=b"ta nu\n").out == here != ""


def test_two_runs_are_compared(terminal: Terminal, trained_run: Run, tmp_path: Path) -> None:
    answer = terminal.ok("eval", trained_run.directory, trained_run.directory, "--json", "-")
    first, second = json.loads(answer.out)
    assert first["bleu"] == second["bleu"]


def test_nbest_scores_and_pieces(terminal: Terminal, trained_run: Run) -> None:
    run = ["--run", trained_run.directory]
    rows = [
        line.split("\t")
        for line in terminal.ok("translate", *run, "--nbest", 3, stdin=b"ta nu\n\nki\n").out.splitlines()
    ]
    assert [row[0] for row in rows] == ["1", "1", "1", "2", "3", "3", "3"]
    scores = [float(row[1]) for row in rows if row[0] == "1"]
    assert scores == sorted(scores, reverse=True)
    best = terminal.ok("translate", *run, stdin=b"ta nu\n\nki\n").out.splitlines()
    assert best == [rows[0][2], "", rows[4][2]]
    scored = terminal.ok("translate", *run, "--scores", stdin=b"ta nu\n").out
    number, score, text = scored.rstrip("\n").split("\t")
    assert (number, text) == ("1", rows[0][2])
    assert float(score) == pytest.approx(scores[0], abs=1e-4)
    pieces = terminal.ok("translate", *run, "--pieces", stdin=b"ta nu\n").out
    assert pieces.replace(" ", "").replace("▁", " ").strip() == best[0]


def test_samples_follow_the_seed(terminal: Terminal, trained_run: Run) -> None:
    words = ["translate", "--run", trained_run.directory, "--sample", "--temperature", 3]
    text = b"ta nu ki\n" * 20
    first = terminal.ok(*words, "--seed", 1, stdin=text).out
    assert first == terminal.ok(*words, "--seed", 1, stdin=text).out
    assert first != terminal.ok(*words, "--seed", 2, stdin=text).out
    assert first != terminal.ok(*words, "--seed", 0, stdin=text).out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["train", "--attention", "bahdanow"], 'attention kind "bahdanow" is unknown. Did you mean "bahdanau"?'),
        (["train", "--corpus", "tatoeba"], "tatoeba-de-en"),
        (["train", "--train", "nowhere/train", "--dev", "nowhere/dev", "--src", "de", "--tgt", "en"], "nowhere/train"),
        (["train", "--config", "nowhere.toml"], "nowhere.toml: there is no such configuration file"),
        (["train", "--resume", "--run", "nowhere"], "nowhere: there is no such run directory"),
        (["train", "--set", "model.size=3"], "model.size is unknown. Did you mean"),
        (["translate", "--run", "nowhere"], "nowhere: there is no such run directory. Train it with"),
        (["eval", "nowhere"], "nowhere: there is no such run directory"),
        (["plot", "--run", "nowhere", "ta"], "nowhere: there is no such run directory"),
        (["score", "nowhere.txt", "nowhere.txt"], "nowhere.txt: cannot be read: No such file"),
        (["translate"], "there is no trained run here. Train one with"),
    ],
)  # fmt: skip
def test_mistakes_are_explained(terminal: Terminal, words: list[str], said: str, tmp_path: Path,
                                monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert said in terminal.refused(*words)
    assert list(tmp_path.iterdir()) == []


def test_mistakes_with_a_run(terminal: Terminal, trained_run: Run, tmp_path: Path) -> None:
    run = ["--run", trained_run.directory]
    assert "--nbest 4 needs a beam" in terminal.refused("translate", *run, "--nbest", 4, "--beam", 2)
    assert "no-such-folder/x: its folder does not exist" in terminal.refused(
        "translate", *run, "-o", "no-such-folder/x"
    )
    assert "missing.txt: cannot be read" in terminal.refused("translate", *run, tmp_path / "missing.txt")
    assert "there is no word in this sentence" in terminal.refused("plot", *run, " ")
    assert "there is no head 1: this model's attention has no heads" in terminal.refused(
        "plot", *run, "ta", "--head", "1"
    )
    assert "written as .png, .svg or .pdf" in terminal.refused("plot", *run, "ta", "-o", tmp_path / "x.gif")
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_text("ta\n")
    two.write_text("la\nro\n")
    scored = terminal.refused("score", *run, one, two)
    assert f"{one} and {two}: 1 line in one file but 2 in the other. Here the one ends:" in scored


def odd_lines() -> list[bytes]:
    """A thousand lines of every kind that comes in a pipe: none is valid UTF-8 by promise."""
    odd = [
        b"", b" ", b"\t", b"\0", b"\xff\xfe", b"sch\xf6n", "\u2028 \u0085 \u200b".encode(), b"\r", b"ta\r",
        b"ta\x0bnu\x0cki", "日本語のテキスト".encode(), "שלום עולם".encode(), "😀 😀".encode(), b"</s>", b"<unk> <s>",
        "▁ta ▁".encode(), b"ta " * 60, b"x" * 300, b"\x1b[31mred", b"\xed\xa0\x80", "e\u0301".encode(), b"[bold]ta[/bold]",
    ]  # fmt: skip
    return [odd[i % len(odd)] if i % 3 else f"ta nu {' '.join(['ki'] * (i % 7))}".encode() for i in range(1000)]


def test_a_thousand_lines_keep_their_order_and_number(terminal: Terminal, trained_run: Run, tmp_path: Path) -> None:
    lines = odd_lines()
    words = ["translate", "--run", trained_run.directory, "--beam", 1, "--max-length", 12, "--threads", 1]
    answer = terminal.ok(*words, stdin=b"\n".join(lines))
    together = answer.out.split("\n")
    assert together.pop() == ""
    assert len(together) == 1000
    assert answer.err.count("is not UTF-8") == 5
    assert "more lines: not UTF-8" in answer.err
    # Each where it belongs: equal lines have equal answers, blank ones none, and these few their own.
    by_line: dict[bytes, set[str]] = {}
    for line, found in zip(lines, together, strict=True):
        by_line.setdefault(line, set()).add(found)
    assert all(len(found) == 1 for found in by_line.values())
    assert by_line[b""] == by_line[b"\0"] == {""}
    for line in (b"ta nu ki", b"ta " * 60, b"x" * 300):
        assert by_line[line] == {terminal.ok(*words, stdin=line).out.removesuffix("\n")}
    # A file with and without a last line feed, to a file, gives the same.
    source, target = tmp_path / "in.txt", tmp_path / "out.txt"
    source.write_bytes(b"\n".join(lines) + b"\n")
    terminal.ok(*words, source, "-o", target)
    assert target.read_bytes().decode() == answer.out
    assert len(list(read_lines(target))) == 1000


def test_options_that_would_do_nothing_are_refused(terminal: Terminal, trained_run: Run, tmp_path: Path) -> None:
    run = ["translate", "--run", trained_run.directory]
    for option in ("--temperature", "--top-k", "--seed"):
        assert f"{option} needs --sample" in terminal.refused(*run, option, 1)
    for option in ("--beam", "--nbest"):
        assert f"{option} is not for --sample" in terminal.refused(*run, "--sample", option, 2)
    assert "--replace-unk is not for --pieces" in terminal.refused(*run, "--pieces", "--replace-unk")
    both = ["--corpus", "bible-es-en", "--train", "x", "--dev", "x", "--src", "a", "--tgt", "b"]
    assert "corpus and train are both given" in terminal.refused("train", *both)


def test_nothing_is_emptied_by_mistake(terminal: Terminal, trained_run: Run, tmp_path: Path) -> None:
    text, old = tmp_path / "text", tmp_path / "old"
    text.write_text("ta\n")
    old.write_text("precious\n")
    run = ["--run", trained_run.directory]
    assert "is both input and output" in terminal.refused("translate", *run, text, "-o", text)
    assert "cannot be read" in terminal.refused("translate", *run, tmp_path / "missing", "-o", old)
    assert (text.read_text(), old.read_text()) == ("ta\n", "precious\n")


def test_a_sentence_over_the_length_limit_is_translated_with_a_warning(terminal: Terminal, trained_run: Run) -> None:
    answer = terminal.ok(
        "translate", "--run", trained_run.directory, "--beam", 1, stdin=b"ta\n" + b"ta " * 200 + b"\nnu\n"
    )
    assert answer.out.count("\n") == 3
    assert "line 2 has 2" in answer.err
    assert "at most 100" in answer.err


def test_samples_do_not_depend_on_the_lines_around(terminal: Terminal, trained_run: Run) -> None:
    words = ["translate", "--run", trained_run.directory, "--sample", "--temperature", 3]
    lines = [b"ta nu ki", b"po ze", b"ta nu ki", b"wu bi ho"]
    together = terminal.ok(*words, stdin=b"\n".join(lines)).out.splitlines()
    apart = terminal.ok(*words, "--batch-tokens", 1, stdin=b"\n".join(lines)).out.splitlines()
    assert together == apart


def test_a_broken_run_is_named(terminal: Terminal, trained_run: Run, tiny_corpus: TinyCorpus, tmp_path: Path) -> None:
    broken = Run(tmp_path / "run")
    shutil.copytree(trained_run.directory, broken.directory)
    broken.info.unlink()
    with open(broken.metrics, "a", encoding="utf-8") as file:
        file.write('{"event": "tra')
    terminal.ok("eval", broken.directory, "--test", tiny_corpus.folder / "test")
    broken.metrics.unlink()
    assert "no record of a training" in terminal.refused("eval", broken.directory)
    assert "its folder does not exist" in terminal.refused(
        "eval", broken.directory, "--json", tmp_path / "no" / "x.json"
    )
    assert '"gpu" is unknown' in terminal.refused("translate", "--run", broken.directory, "--device", "gpu")
    assert '"bf8" is unknown. Did you mean "bf16"?' in terminal.refused("eval", broken.directory, "--precision", "bf8")
