"""Comparisons of kinds: the same training but for the attention, taken up where it stopped."""

import json
import signal
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from unittest.mock import create_autospec

import pytest
from commands import Terminal
from comparisons import SOURCE, WORSE, comparison, evaluation
from corpora import TinyCorpus, write_lines

from seq2seq_cli.config.loading import load
from seq2seq_cli.config.whole import Config, all_keys, value_of
from seq2seq_cli.errors import ConfigError, RunError
from seq2seq_cli.evaluation.seeds import SystemSummary, sizes, summaries
from seq2seq_cli.kinds.attentions import KINDS
from seq2seq_cli.report.document import write_report
from seq2seq_cli.runs import ComparisonFiles
from seq2seq_cli.training.comparison import planned_runs


def settings(corpus: TinyCorpus, epochs: int = 1) -> list[str]:
    """Options of a training of seconds."""
    path = corpus.folder / f"{epochs}.toml"
    path.write_text(corpus.config(training={"epochs": epochs}).to_toml().replace('kind = "bahdanau"', ""))
    return ["--config", str(path)]


@pytest.fixture
def corpus(tmp_path: Path) -> TinyCorpus:
    return TinyCorpus.write(tmp_path / "text", train=30, dev=4, test=12)


@pytest.fixture
def no_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """The page that a comparison ends with takes longer than all its trainings: one test looks at it."""
    monkeypatch.setattr("seq2seq_cli.report.document.write_report", create_autospec(write_report))


def made(run: Path) -> dict[str, float]:
    """When each run's chosen weights were written."""
    return {path.parents[1].name: path.stat().st_mtime_ns for path in run.glob("*/checkpoints/best.safetensors")}


def test_kinds_are_trained_tested_and_shown_side_by_side(
    terminal: Terminal, corpus: TinyCorpus, tmp_path: Path
) -> None:
    run = tmp_path / "cmp"
    answer = terminal.ok("compare", "--attentions", "none, luong", *settings(corpus), "--run", run)
    assert sorted(made(run)) == ["luong-general-seed1", "none-seed1"]
    assert "run 2 of 2: luong-general, seed 1" in answer.err
    assert "none-seed1" in answer.out
    whole = json.loads((run / "comparison.json").read_text(encoding="utf-8"))
    record = whole["runs"]
    assert [(row["system"], row["seeds"], row["bleu"]) for row in whole["systems"]] == [
        (row["system"], 1, row["bleu"]) for row in record
    ]
    assert [Path(row["run"]).name for row in record] == ["none-seed1", "luong-general-seed1"]
    assert "luong-general-seed1" in (run / "report.html").read_text(encoding="utf-8")
    assert record[0]["p_against_first"] is None
    assert record[1]["p_against_first"] is not None
    more = record[1]["parameters"] / record[0]["parameters"] - 1
    assert f"parameters, against the {record[0]['parameters']:,} of none: luong-general {more:+.1%}" in answer.err
    # What train alone does with the same settings and seed.
    terminal.ok("train", "--attention", "luong-general", *settings(corpus), "--run", tmp_path / "alone")
    alone, compared = (
        path / "checkpoints/best.safetensors" for path in (tmp_path / "alone", run / "luong-general-seed1")
    )
    assert alone.read_bytes() == compared.read_bytes()


@pytest.mark.usefixtures("no_page")
def test_what_is_done_stays_and_what_is_not_is_added(terminal: Terminal, corpus: TinyCorpus, tmp_path: Path) -> None:
    run = tmp_path / "cmp"
    command = ["compare", "--run", run, *settings(corpus), "--attentions"]
    terminal.ok(*command, "none")
    before = made(run)
    answer = terminal.ok(*command, "none,luong-dot", "--seeds", "2")
    assert "run 1 of 4: none, seed 1: done before" in answer.err
    assert "run 2 of 4: none, seed 2\n" in answer.err
    assert "mean of 2 seeds" in answer.out
    after = made(run)
    assert after.keys() == {f"{kind}-seed{seed}" for kind in ("none", "luong-dot") for seed in (1, 2)}
    assert after["none-seed1"] == before["none-seed1"]
    terminal.ok(*command, "none", "--overwrite")
    assert made(run)["none-seed1"] > after["none-seed1"]
    assert made(run)["none-seed2"] == after["none-seed2"]


@pytest.mark.usefixtures("no_page")
def test_an_interrupted_comparison_goes_on_where_it_stopped(
    terminal: Terminal, corpus: TinyCorpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    options = ["--attentions", "none,luong-dot", *settings(corpus, epochs=3)]
    terminal.ok("compare", *options, "--run", whole)

    class Now:
        """An interruption asked for at the fourth update of the second run."""

        sittings = 0

        def __enter__(self) -> "Now":
            Now.sittings += 1
            self.updates = 0
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def held(self) -> AbstractContextManager[None]:
            return nullcontext()

        def let_through(self, work: Callable[..., object]) -> Callable[..., object]:
            return work

        number = signal.SIGUSR1

        @property
        def asked(self) -> bool:
            self.updates += 1
            return Now.sittings == 2 and self.updates == 2

    monkeypatch.setattr("seq2seq_cli.training.experiment.Interruption", Now)
    stopped = terminal.run("compare", *options, "--run", broken)
    assert stopped.status == 128 + signal.SIGUSR1
    assert "Stopped. Go on with: the same command" in stopped.err
    assert not (broken / "comparison.json").exists()
    answer = terminal.ok("compare", *options, "--run", broken)
    assert "run 1 of 2: none, seed 1: done before" in answer.err
    assert "resumed after step 2" in answer.err
    for kind in ("none", "luong-dot"):
        weights = Path(f"{kind}-seed1") / "checkpoints/best.safetensors"
        assert (whole / weights).read_bytes() == (broken / weights).read_bytes()


@pytest.mark.usefixtures("no_page")
def test_all_runs_get_the_same_budget(terminal: Terminal, corpus: TinyCorpus, tmp_path: Path) -> None:
    run = tmp_path / "cmp"
    terminal.ok("compare", "--attentions", "none", *settings(corpus), "--run", run)
    said = terminal.refused(
        "compare", "--attentions", "none,luong-dot", *settings(corpus), "--epochs", "2", "--run", run
    )
    assert "begun with training.epochs = 1, and all runs of a comparison get the same, now 2" in said
    assert list(made(run)) == ["none-seed1"]


@pytest.mark.usefixtures("no_page")
def test_a_run_looked_at_before_its_end_is_not_done(terminal: Terminal, corpus: TinyCorpus, tmp_path: Path) -> None:
    run = tmp_path / "cmp"
    command = ["compare", "--attentions", "none", *settings(corpus), "--run", run]
    terminal.ok(*command)
    info = run / "none-seed1/run.json"
    record = json.loads(info.read_text(encoding="utf-8"))
    del record["sittings"][-1]["ended"]
    info.write_text(json.dumps(record), encoding="utf-8")
    terminal.ok("eval", run / "none-seed1")
    assert "done before" not in terminal.ok(*command).err
    assert "done before" in terminal.ok(*command).err
    info.unlink()
    assert "whether this run has ended" in terminal.refused(*command)


@pytest.mark.usefixtures("no_page")
def test_text_that_has_moved_is_found_where_it_is_said_to_be(
    terminal: Terminal, corpus: TinyCorpus, tmp_path: Path
) -> None:
    run = tmp_path / "cmp"
    terminal.ok("compare", "--attentions", "none", *settings(corpus), "--run", run)
    moved = TinyCorpus(corpus.folder.rename(tmp_path / "moved"))
    answer = terminal.ok("compare", "--attentions", "none", *settings(moved), "--run", run)
    assert "done before" in answer.err


@pytest.mark.usefixtures("no_page")
def test_other_settings_or_text_are_not_mixed(terminal: Terminal, corpus: TinyCorpus, tmp_path: Path) -> None:
    run = tmp_path / "cmp"
    command = ["compare", "--attentions", "none", *settings(corpus), "--run", run]
    terminal.ok(*command)
    assert "model.dropout was" in terminal.refused(*command, "--set", "model.dropout=0.7")
    write_lines(corpus.folder / "train.xx", ["ta nu"] * 30)
    assert "text has changed" in terminal.refused(*command)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--attentions", "none,bahdanua"], 'Did you mean "bahdanau"?'),
        (["--attentions", "luong,luong-general"], "luong-general is named 2 times"),
        (["--attentions", "none", "--set", "attention.radius=3"], "attention: radius is not an option of none"),
        (["--attentions", ""], 'attention kind "" is unknown'),
    ],
)
def test_mistakes_are_explained(
    terminal: Terminal, words: list[str], said: str, corpus: TinyCorpus, tmp_path: Path
) -> None:
    assert said in terminal.refused("compare", *words, *settings(corpus), "--run", tmp_path / "cmp")
    assert not (tmp_path / "cmp").exists()


def test_a_comparison_needs_a_test_set(corpus: TinyCorpus, tmp_path: Path) -> None:
    flags = {f"data.{key}": value for key, value in corpus.config().data.model_dump().items() if key != "test"}
    with pytest.raises(ConfigError, match="there is none"):
        planned_runs(None, "none", 1, ComparisonFiles(tmp_path), None, (), flags)


def test_the_directory_of_a_run_is_none_of_a_comparison(tmp_path: Path) -> None:
    (tmp_path / "config.toml").touch()
    with pytest.raises(RunError, match="is the directory of a run"):
        planned_runs(None, "none", 1, ComparisonFiles(tmp_path), None, (), {})


def test_the_plan_changes_kind_and_seed_alone(tmp_path: Path) -> None:
    plan = planned_runs(None, "all", 2, ComparisonFiles(tmp_path), None, (), {"training.seed": 7})
    assert [(planned.system, planned.seed) for planned in plan] == [
        (kind.name, seed) for kind in KINDS for seed in (7, 8)
    ]
    assert len({planned.run.directory for planned in plan}) == len(plan)
    for planned in plan:
        for key in all_keys():
            if key not in ("attention.kind", "training.seed"):
                assert value_of(planned.config, key) == value_of(plan[0].config, key)


def test_seeds_are_averaged_by_hand() -> None:
    lines, kinds_of = (SOURCE, WORSE, SOURCE, SOURCE), ("none", "none", "luong-dot", "luong-dot")
    four = [replace(evaluation(f"{i}", lines[i]), system=kinds_of[i]) for i in range(4)]
    first, second = summaries(comparison(*four))
    worse = four[1].scores.bleu.value
    assert (first.system, first.seeds, second.system) == ("none", 2, "luong-dot")
    assert first.bleu == pytest.approx((100 + worse) / 2)
    # Two values lie half their distance from their mean; the sample deviation is that times the root of two.
    assert first.bleu_deviation == pytest.approx((100 - worse) / 2**0.5)
    assert second.bleu == pytest.approx(100)
    assert second.bleu_deviation == pytest.approx(0)


def test_sizes_are_told_against_the_first() -> None:
    def row(system: str, parameters: int) -> SystemSummary:
        return SystemSummary(system, 1, 0, 0, 0, 0, 0, parameters)

    assert sizes([row("none", 2000), row("a", 2500), row("b", 1900)]) == (
        "parameters, against the 2,000 of none: a +25.0%, b -5.0%"
    )
    assert sizes([row("none", 2000)]) == "none has 2,000 parameters"


def test_models_are_compared_as_kinds_are(tmp_path: Path) -> None:
    flags = {"data.corpus": "tatoeba-de-en"}
    plan = planned_runs("rnn,transformer,hybrid,ssru", None, 1, ComparisonFiles(tmp_path), None, (), flags)
    assert [planned.system for planned in plan] == [
        "bahdanau",
        "transformer-multi-head",
        "hybrid-bahdanau",
        "ssru-multi-head",
    ]
    assert len({planned.run.directory for planned in plan}) == 4
    both = planned_runs("rnn,transformer", "none,bahdanau", 1, ComparisonFiles(tmp_path), None, (), flags)
    assert [planned.system for planned in both] == ["none", "bahdanau", "transformer-none", "transformer-bahdanau"]


@pytest.mark.parametrize(("models", "said"), [("rnn,transfomer", 'Did you mean "transformer"'), ("rnn,rnn", "2 times")])
def test_models_that_are_not_there_or_there_twice(tmp_path: Path, models: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        planned_runs(models, None, 1, ComparisonFiles(tmp_path), None, (), {})


def test_one_file_serves_models_and_kinds_that_have_other_settings(tmp_path: Path) -> None:
    def plan(models: str | None, kinds: str | None, *overrides: str) -> list[Config]:
        preset = Path(__file__).parents[1] / "configs/transformer.toml"
        flags = {"data.corpus": "tatoeba-de-en"}
        return [it.config for it in planned_runs(models, kinds, 1, ComparisonFiles(tmp_path), preset, overrides, flags)]

    rnn, whole, hybrid, ssru = plan("rnn,transformer,hybrid,ssru", "bahdanau")
    assert [it.model.encoder_layers for it in (rnn, whole, hybrid, ssru)] == [None, 4, 4, 4]
    assert [it.model.decoder_layers for it in (rnn, whole, hybrid, ssru)] == [None, 4, None, None]
    assert rnn.self_attention.heads is None
    assert hybrid.self_attention.heads == 4
    assert rnn.model.feed_forward_size is None
    assert {it.attention.heads for it in (rnn, whole, hybrid, ssru)} == {None}
    none, several = plan(None, "none,multi-head")
    assert (none.attention.heads, several.attention.heads) == (None, 4)
    assert none.model.encoder == "transformer"
    with pytest.raises(ConfigError, match="heads is not an option of none"):  # the command line means what it says
        plan(None, "none,multi-head", "attention.heads=4")


def test_what_a_model_does_not_take_of_the_file_is_told(tmp_path: Path) -> None:
    def left_out(path: Path, models: str | None, kinds: str | None) -> list[list[str]]:
        flags = {"data.corpus": "tatoeba-de-en"}
        return [list(it.left_out) for it in planned_runs(models, kinds, 1, ComparisonFiles(tmp_path), path, (), flags)]

    path = tmp_path / "my.toml"
    path.write_text(
        '[model]\nencoder = "transformer"\nfeed_forward_size = 64\n[attention]\nkind = "multi-head"\nheads = 2\n'
        "[self_attention]\nheads = 4\n",
        encoding="utf-8",
    )
    assert left_out(path, "rnn,hybrid", "multi-head") == [["model.feed_forward_size", "self_attention.heads"], []]
    assert left_out(path, None, "bahdanau,multi-head") == [["attention.heads"], []]
    # What only some choices of another kind give a meaning.
    local = tmp_path / "local.toml"
    local.write_text('[attention]\nkind = "local-p"\nradius = 3\n', encoding="utf-8")
    assert left_out(local, None, "bahdanau,local-p,none") == [["attention.radius"], [], ["attention.radius"]]
    # What a run's file holds, and nobody has set, is not missed.
    resolved = tmp_path / "resolved.toml"
    resolved.write_text(load(path).resolved().to_toml(), encoding="utf-8")
    assert left_out(resolved, None, "bahdanau") == [["attention.heads"]]
