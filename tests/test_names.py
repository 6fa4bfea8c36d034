"""Names that a file system allows: not UTF-8, with line breaks, markup, escapes, dashes. Nothing ends in a traceback, and what is
written can be read."""

import json
import os
import shutil
from pathlib import Path

import pytest
from commands import Terminal
from corpora import TinyCorpus

from seq2seq_cli.config.loading import load
from seq2seq_cli.runs import Run, open_run
from seq2seq_cli.serving.models import load_runs

LATIN1 = b"caf\xe9"
EVERYTHING = b"-\n[bold]x 50%{y} \xe9\x1b[31m \"q'`$(z) a:b \xf0\x9f\x98\x80\xe2\x80\xae"
LONGEST = b"n" * 255


@pytest.fixture(
    params=[
        pytest.param(LATIN1, id="latin-1", marks=pytest.mark.slow),
        pytest.param(EVERYTHING, id="everything"),
        pytest.param(LONGEST, id="longest", marks=pytest.mark.slow),
    ]
)
def folder(request: pytest.FixtureRequest, tmp_path: Path, trained_run: Run, tiny_corpus: TinyCorpus) -> Path:
    """A folder of that name, with a run, a corpus and a link to the run of that name in it."""
    path = tmp_path / os.fsdecode(request.param)
    try:
        path.mkdir()
    except OSError:
        pytest.skip("this file system allows no such name")
    shutil.copytree(trained_run.directory, path / "run")
    shutil.copytree(tiny_corpus.folder, path / "corpus")
    (path / path.name).symlink_to("run", target_is_directory=True)
    return path


def test_runs_are_used_under_any_name(folder: Path, terminal: Terminal) -> None:
    run, text = folder / folder.name, folder / "corpus" / "test"
    named = f"--run={run}"
    terminal.ok("translate", f"{text}.xx", named, "-o", folder / "out")
    terminal.ok("score", f"{text}.xx", folder / "out", named, "-o", folder / "scores")
    terminal.ok(
        "align",
        named,
        "--source",
        f"{text}.xx",
        "--target",
        f"{text}.yy",
        "-o",
        folder / "links",
        "--soft",
        folder / "w.npz",
    )
    terminal.ok("plot", "ta nu", named, "-o", folder / "plot.png")
    names = {"json": "r.json", "csv": "r.csv", "latex": "r.tex", "sentences": "s.jsonl", "plot": "p.svg"}
    files = [f"--{option}={folder / name}" for option, name in names.items()]
    shown = terminal.ok("eval", run, "--test", text, "--by-length", *files)
    assert "\x1b" not in shown.out + shown.err
    terminal.ok("report", run, "--test", text, "-o", folder / "page.html", "--sentences", 2)
    for name in ("out", "scores", "links", "r.csv", "r.tex", "p.svg", "page.html"):
        assert (folder / name).read_text(encoding="utf-8")
    [record] = json.loads((folder / "r.json").read_text(encoding="utf-8"))
    assert record["run"] == str(run)
    assert load_runs([run], "cpu", "fp32")[0].name.isprintable()
    assert terminal.run("translate", f"{text}.none", named).status == 2
    assert terminal.run("translate", "--run", folder / "none").status == 2
    assert terminal.run("config", "check", run / "config.toml", folder / "none").status == 2


def test_runs_are_made_under_any_name(folder: Path, terminal: Terminal) -> None:
    text = folder / "corpus"
    splits = [f"--{split}={text / split}" for split in ("train", "dev", "test")]
    small = ["subword.vocab_size=60", "model.hidden_size=4", "model.embedding_size=4"]
    common = [*splits, "--src", "xx", "--tgt", "yy", *(f"--set={one}" for one in small)]
    terminal.ok("prepare", *common)
    made = terminal.ok("train", *common, f"--run={folder / 'new'}", "--epochs", 1, "--threads", 1)
    assert "test BLEU" in made.out
    run = open_run(folder / "new")
    assert load(run.config).data.train == str(text / "train")
    assert run.record()["sittings"][0]["command"][1:] == [
        "train",
        *common,
        f"--run={folder / 'new'}",
        "--epochs",
        "1",
        "--threads",
        "1",
    ]
    terminal.ok("train", "--resume", f"--run={folder / 'new'}", "--epochs", 2)
    terminal.ok("check-data", text / "train", "--src", "xx", "--tgt", "yy", "--json")
    terminal.ok("check-data", text / "train", "--src", "xx", "--tgt", "yy", "--fix", folder / "fixed")


@pytest.mark.parametrize(
    "words",
    [
        "translate {} --run {run}", "translate --run {}", "translate {file} -o {} --run {run}", "score {} {} --run {run}",
        "train --run {} --train {text} --dev {text} --src xx --tgt yy", "train --from {}", "train --train {} --dev {} --src x --tgt y", "train --config {}", "compare --run {} --train {text} --dev {text} --test {text} --src xx --tgt yy",
        "report {run} -o {}", "report {}", "eval {run} --csv {}", "eval {run} --test {}", "plot ta --run {run} -o {}.png",
        "align --run {run} --source {file} --target {file} --soft {}", "check-data {} --src x --tgt y",
        "check-data {text} --src xx --tgt yy --fix {}", "config check {}", "serve {}",
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["too long", "a circle", "below a file"])
def test_a_name_that_can_be_no_file(
    words: str, kind: str, terminal: Terminal, trained_run: Run, tiny_corpus: TinyCorpus, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("ta\n")
    for circle in ("circle", "circle.png", "circle.x", "circle.xx"):
        (tmp_path / circle).symlink_to(circle)
    path = {"too long": "n" * 300, "a circle": "circle", "below a file": "file/below"}[kind]
    places = {"run": trained_run.directory, "file": tmp_path / "file", "text": tiny_corpus.folder / "train"}
    if kind == "a circle" and (words.startswith("plot") or "--fix" in words):
        pytest.skip("the link gives way to the file")
    terminal.refused(*(word.format(tmp_path / path, **places) for word in words.split(" ")))


def test_a_setting_that_can_be_no_name(terminal: Terminal, tmp_path: Path) -> None:
    said = terminal.refused("train", "--run", tmp_path / "run", "--set", 'data.train="a\\u0000b"')
    assert "data.train" in said
    assert "NUL" in said


def test_a_page_tells_nothing_of_the_folders_it_came_from(
    trained_run: Run, tiny_corpus: TinyCorpus, tmp_path: Path, terminal: Terminal
) -> None:
    """It is sent to others."""
    for name in ("one", "two"):
        run = Run(tmp_path / "users" / "joe" / name)
        shutil.copytree(trained_run.directory, run.directory)
        record = run.record()
        command = [
            "/home/joe/venv/bin/seq2seq",
            "train",
            "--train",
            "/home/joe/my texts/train",
            f"--test={tmp_path}/test",
            "~joe/x",
        ]
        record["sittings"][0]["command"] = command
        run.info.write_text(json.dumps(record))
        with open(run.metrics, "a", encoding="utf-8") as file:
            file.write("{half a li\n")
    runs = [tmp_path / "users" / "joe" / name for name in ("one", "two")]
    shown = terminal.ok("eval", *runs, "--latex", tmp_path / "r.tex", "--plot", tmp_path / "p.svg")
    terminal.ok("report", *runs, "-o", tmp_path / "page.html", "--sentences", 2)
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    for text in (page, shown.out, (tmp_path / "r.tex").read_text(), (tmp_path / "p.svg").read_text()):
        for told in (str(tmp_path), str(tmp_path.parent), str(tiny_corpus.folder), "joe", "my texts"):
            assert told not in text
    assert "<h1>one, two on <bdi>test.xx and test.yy</bdi></h1>" in page
    assert ".../seq2seq train --train .../train --test=.../test .../x" in page
    assert "train = &#34;.../train&#34;" in page
    assert "1 line of <bdi>one/metrics.jsonl</bdi> could not be read." in page
