"""Runs that start from a trained run: what they take over, refuse and leave, and whether rewards help."""

import hashlib
import json
import shutil
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
import torch
from commands import Terminal
from corpora import TinyCorpus
from learners import differing

from seq2seq_cli.config.loading import from_dict
from seq2seq_cli.config.sections import SubwordConfig
from seq2seq_cli.config.whole import Config
from seq2seq_cli.data.prepare import Prepared
from seq2seq_cli.data.subword import Subwords, train_subword
from seq2seq_cli.errors import ConfigError, RunError
from seq2seq_cli.evaluation.metrics import PValues, Score, Scores
from seq2seq_cli.model.weights import read_weights
from seq2seq_cli.runs import Run
from seq2seq_cli.training import sitting
from seq2seq_cli.training.change import Change
from seq2seq_cli.training.experiment import Happening, default_run, experiment
from seq2seq_cli.training.progress import Evaluated, Stepped
from seq2seq_cli.training.sitting import with_vocabulary
from seq2seq_cli.training.start import load_settings


@pytest.fixture(scope="module")
def beginner(tiny_corpus: TinyCorpus, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that knows its language badly, with a test set."""
    directory = tmp_path_factory.mktemp("runs") / "beginner"
    run_all(tiny_corpus.config(training={"epochs": 14}), directory)
    return Run(directory)


def run_all(config: Config, directory: Path, resume: bool = False) -> list[Happening]:
    return list(experiment(config, directory, resume, overwrite=False))


def rewarded(start: Run, *overrides: str, **flags: object) -> Config:
    """From ``start``, as the command line would have it."""
    named = {
        "training.batch_tokens": 300,
        "training.threads": 1,
        "training.precision": "fp32",
        "training.device": "cpu",
    }
    given = {"objective.kind": "scst", "objective.from_run": str(start.directory), **named}
    return load_settings(None, overrides, {**given, **{key.replace("__", "."): value for key, value in flags.items()}})


def test_what_is_taken_over(beginner: Run, tiny_corpus: TinyCorpus) -> None:
    before = tiny_corpus.config().resolved()
    config = rewarded(beginner, "training.seed=9")
    sections = ("data", "subword", "model", "attention", "decoding")
    assert [getattr(config, one) for one in sections] == [getattr(before, one) for one in sections]
    assert (config.training.learning_rate, config.training.epochs, config.training.seed) == (1e-4, 3, 9)
    assert rewarded(beginner, "training.learning_rate=0.5").training.learning_rate == 0.5
    assert rewarded(beginner, "model.dropout=0.3").model.dropout == 0.3
    assert rewarded(beginner, "data.corpus=bible-es-en").data.train is None
    assert rewarded(beginner, "data.max_length=9").data.train == before.data.train
    assert default_run(config).name.endswith("-bahdanau-scst")


def test_self_attention_is_taken_over(transformer_run: Run) -> None:
    """Its heads are in no shape of a parameter: with others the same weights would be another model."""
    assert rewarded(transformer_run).self_attention.numbers.heads == 2
    with pytest.raises(ConfigError, match=r"self_attention.heads is 2 there and 4 here"):
        rewarded(transformer_run, "self_attention.heads=4")
    assert rewarded(transformer_run, "self_attention.dropout=0.1").self_attention.numbers.dropout == 0.1


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["objective.kind=scst"], "an untrained one draws noise: name a trained run as from_run (--from)"),
        (["objective.kind=rl"], "'cross-entropy', 'scst' or 'mrt'"),
        (["objective.samples=3"], 'samples given, which the objective "cross-entropy" has no use for'),
        (["objective.kind=scst", "objective.from_run=x", "objective.alpha=1"], 'alpha given, which the objective "scst"'),
        (["objective.kind=mrt", "objective.from_run=x", "objective.cross_entropy_weight=1"], "must be below 1"),
        (["objective.kind=mrt", "objective.from_run=x", "objective.reward=ter"], "'bleu' or 'chrf'"),
        (
            ["objective.kind=scst", "objective.from_run=x", "training.guided_alignment=y"],
            "trains on translations that have no links",
        ),
        (
            ["objective.kind=scst", "objective.from_run=x", "objective.cross_entropy_weight=0", "attention.kind=hard",
             "attention.estimator=reinforce"],
            'cross_entropy_weight = 0: the estimator "reinforce" of hard attention',
        ),
    ],
)  # fmt: skip
def test_settings_that_make_no_sense(overrides: list[str], said: str) -> None:
    values: dict[str, dict[str, object]] = {}
    for override in overrides:
        key, value = override.split("=")
        section, name = key.split(".")
        values.setdefault(section, {})[name] = int(value) if value.isdigit() else value
    with pytest.raises(ConfigError) as caught:
        from_dict(values)
    assert said in str(caught.value)


def test_text_is_tokenised_anew_where_either_vocabulary_is_another(monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = (train_subword([text], SubwordConfig(type="char", vocab_size=9)) for text in ("ab ba", "cd dc"))
    prepared, anew = (cast(Prepared, SimpleNamespace(subwords=Subwords(one, one))) for _ in range(2))
    monkeypatch.setattr(sitting, "prepared_text", lambda *_: anew)
    for src, tgt, found in ((one, one, prepared), (other, one, anew), (one, other, anew), (other, other, anew)):
        assert with_vocabulary(prepared, Subwords(src, tgt), Config(), threads=1) is found


def test_what_cannot_be_started_from(beginner: Run, tmp_path: Path, terminal: Terminal) -> None:
    with pytest.raises(ConfigError, match=r"model.hidden_size is 32 there and 64 here.*\nLeave these settings out"):
        rewarded(beginner, "model.hidden_size=64")
    with pytest.raises(ConfigError, match=r"attention.kind is bahdanau there and luong-dot here"):
        rewarded(beginner, attention__kind="luong-dot")
    said = terminal.refused("train", "--objective", "mrt", "--from", tmp_path / "none")
    assert "there is no such run directory" in said
    said = terminal.refused("train", "--objective", "scst", "--from", beginner.directory, "--run", beginner.directory)
    assert "this run directory exists already" in said
    config = rewarded(beginner)
    with pytest.raises(RunError, match="a run cannot start from itself"):
        list(experiment(config, beginner.directory, resume=False, overwrite=True))
    assert beginner.best.is_file()
    said = terminal.refused("compare", "--run", tmp_path / "cmp", "--set", f"objective.from_run={beginner.directory}")
    assert "kinds are compared that learn from nothing" in said
    untrained = Run(tmp_path / "untrained")
    untrained.directory.mkdir()
    untrained.config.write_text(beginner.config.read_text(encoding="utf-8"), encoding="utf-8")
    with pytest.raises(RunError, match="there are no weights here yet"):
        run_all(rewarded(untrained), tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("kind", ["scst", pytest.param("mrt", marks=pytest.mark.slow)])
def test_the_reward_rises(kind: str, beginner: Run, tmp_path: Path) -> None:
    config = rewarded(
        beginner, "training.learning_rate=0.003", "training.epochs=6", "training.warmup_steps=5",
        "objective.cross_entropy_weight=0.0", "training.schedule=constant", objective__kind=kind,
    )  # fmt: skip
    before = {path: path.read_bytes() for path in beginner.directory.rglob("*") if path.is_file()}
    events = run_all(config, tmp_path / "run")
    rewards = [event.reward for event in events if isinstance(event, Stepped) and event.reward is not None]
    steps = [event for event in events if isinstance(event, Stepped)]
    assert len(rewards) == len(steps)
    third = len(rewards) // 3
    assert sum(rewards[-third:]) / third > sum(rewards[:third]) / third + 5
    first = next(event for event in events if isinstance(event, Evaluated))
    assert (first.step, first.number) == (0, 1)
    dev, test = [event for event in events if isinstance(event, Change)]
    assert (dev.split, test.split) == ("dev", "test")
    run = Run(tmp_path / "run")
    assert [one["split"] for one in json.loads(run.change.read_text(encoding="utf-8"))] == ["dev", "test"]
    own = json.loads(beginner.evaluation.read_text(encoding="utf-8"))
    assert test.before.bleu.value == pytest.approx(own["bleu"])
    assert '"reward"' in run.metrics.read_text(encoding="utf-8")
    assert ", reward " in run.log.read_text(encoding="utf-8")
    # The run that it started from is as it was, and named.
    assert {path: path.read_bytes() for path in beginner.directory.rglob("*") if path.is_file()} == before
    started = json.loads(run.info.read_text(encoding="utf-8"))["start"]
    assert started["run"] == str(beginner.directory.resolve())
    assert started["weights_sha256"] == hashlib.sha256(before[beginner.best]).hexdigest()


def test_where_nothing_gets_better_the_start_is_kept_and_said(
    beginner: Run, tmp_path: Path, terminal: Terminal
) -> None:
    run = Run(tmp_path / "run")
    answer = terminal.ok(
        "train", "--from", beginner.directory, "--run", run.directory, "--epochs", 1, "--set", "training.learning_rate=9.0",
        "--set", "training.warmup_steps=0", "--set", "training.average=1", "--threads", 1, "--precision", "fp32",
        "--device", "cpu",
    )  # fmt: skip
    assert differing(read_weights(run.best), read_weights(beginner.best)) == []
    for split in ("dev", "test"):
        assert f"{split}, beam 3: BLEU" in answer.out
    assert answer.out.count("(+0.00, p 1.000)") == 4
    assert answer.out.count(": no significant change") == 2
    assert "starting from" in answer.err


def test_significance_in_words() -> None:
    def scores(bleu: float, chrf: float) -> Scores:
        return Scores(*(Score(name, value, 0, 0, "") for name, value in (("BLEU", bleu), ("chrF", chrf), ("TER", 1))))

    change = Change("test", 5, scores(10, 20), scores(12, 19), PValues(0.04, 0.06, 1))
    assert str(change) == (
        "test, beam 5: BLEU 10.00 before, 12.00 now (+2.00, p 0.040), chrF 20.00 before, 19.00 now (-1.00, p 0.060): "
        "BLEU is significantly better"
    )
    worse = Change("test", 1, scores(10, 20), scores(12, 19), PValues(0.05, 0.001, 1))
    assert worse.verdict == "chrF is significantly worse"


def test_a_resumed_run_is_the_unbroken_one_without_the_run_it_started_from(beginner: Run, tmp_path: Path) -> None:
    copied = Run(tmp_path / "copied")
    shutil.copytree(beginner.directory, copied.directory)
    config = rewarded(copied, "training.epochs=1", "training.evaluate_every=2", "objective.samples=2")
    whole, broken, early = (Run(tmp_path / name) for name in ("whole", "broken", "early"))
    run_all(config, whole.directory)
    with closing(experiment(config, broken.directory, False, False)) as events:  # type: ignore[type-var]
        steps = 0
        while steps < 3:
            steps += isinstance(next(events), Stepped)
    next(experiment(config, early.directory, False, False))  # cut off before its first checkpoint
    shutil.rmtree(copied.directory)
    for resumed in (broken, early):
        run_all(config, resumed.directory, resume=True)
        assert differing(read_weights(resumed.best), read_weights(whole.best)) == []
        assert differing(torch.load(resumed.last)["weights"], torch.load(whole.last)["weights"]) == []
        assert json.loads(resumed.change.read_text()) == json.loads(whole.change.read_text())
