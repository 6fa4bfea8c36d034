"""Steps that go wrong: no finite loss or gradient, and no memory. Failures are injected."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from commands import Terminal
from corpora import TinyCorpus
from learners import Lesson, differing, weights
from models import vocabulary_of

from seq2seq_cli.config.whole import Config
from seq2seq_cli.data.tokenised import TokenisedSplit
from seq2seq_cli.errors import RunError
from seq2seq_cli.inputs import Batch
from seq2seq_cli.model.seq2seq import Seq2Seq
from seq2seq_cli.model.weights import read_weights
from seq2seq_cli.ranks import Exchange, Ranks
from seq2seq_cli.report.history import read_history
from seq2seq_cli.runs import Run
from seq2seq_cli.training import loop
from seq2seq_cli.training.checkpoint import LastCheckpoint
from seq2seq_cli.training.experiment import Happening, experiment
from seq2seq_cli.training.gradients import Sums, add_gradients
from seq2seq_cli.training.learner import Learner
from seq2seq_cli.training.loop import DevScores
from seq2seq_cli.training.optim import make_optimizer
from seq2seq_cli.training.progress import Diverged, Ended, Evaluated, Intervals, Progress, Skipped, Stepped, WentBack

NAN, INFINITE = float("nan"), float("inf")
Spoil = Callable[[Learner, Sums], Sums]


def spoiling(patch: pytest.MonkeyPatch, spoil: Spoil) -> None:
    """``spoil`` may change every gradient and loss."""

    def add(learner: Learner, data: TokenisedSplit, group: list[np.ndarray], weight: float) -> Sums:
        return spoil(learner, add_gradients(learner, data, group, weight))

    patch.setattr(loop, "add_gradients", add)


def spoil_gradient(value: float) -> Spoil:
    def spoil(learner: Learner, sums: Sums) -> Sums:
        gradient = vocabulary_of(learner.model).bias_V.grad
        assert gradient is not None
        gradient[3] = value
        return sums

    return spoil


def spoil_loss(value: float) -> Spoil:
    return lambda learner, sums: sums._replace(loss=value)


def scores(model: Seq2Seq) -> DevScores:
    return DevScores(1.0, 1.0)


@pytest.fixture
def lesson(tmp_path: Path) -> Lesson:
    corpus = TinyCorpus.write(tmp_path / "tiny", train=60, dev=4)
    return Lesson.prepare(corpus.config(training={"batch_tokens": 150, "epochs": 2}), tmp_path / "cache")


@pytest.mark.parametrize("what", ["loss", "gradient"])
@pytest.mark.parametrize("value", [NAN, INFINITE])
def test_a_step_that_is_not_finite_changes_nothing_and_is_counted(
    what: str, value: float, lesson: Lesson, monkeypatch: pytest.MonkeyPatch
) -> None:
    learner, progress = lesson.learner(), Progress()
    events = lesson.train(learner, progress, scores)
    assert isinstance(next(events), Stepped)
    before, moments = weights(learner), repr(learner.optimizer.state_dict())
    with monkeypatch.context() as patch:
        spoiling(patch, spoil_loss(value) if what == "loss" else spoil_gradient(value))
        skipped = next(events)
    assert isinstance(skipped, Skipped)
    assert (skipped.what, skipped.step, skipped.skipped) == (what, 2, 1)
    assert differing(weights(learner), before) == []
    assert repr(learner.optimizer.state_dict()) == moments
    assert (progress.step, progress.batch, progress.skipped, progress.skipped_in_a_row) == (2, 2, 1, 1)
    *_, ended = events
    assert isinstance(ended, Ended)
    assert str(ended).endswith("2 epochs done; 1 step was skipped, not being finite")
    assert (progress.skipped, progress.skipped_in_a_row) == (1, 0)
    assert differing(weights(learner), before) != []


def test_an_overflow_of_fp16_is_no_divergence(lesson: Lesson, monkeypatch: pytest.MonkeyPatch) -> None:
    learner, progress = lesson.learner()._replace(scaler=torch.amp.GradScaler("cpu", init_scale=8.0)), Progress()
    before = weights(learner)
    spoiling(monkeypatch, spoil_gradient(INFINITE))
    assert isinstance(next(lesson.train(learner, progress, scores)), Stepped)
    assert differing(weights(learner), before) == []
    assert learner.scaler.get_scale() == 4
    assert progress.skipped == 0


def test_a_run_of_them_ends_the_loop_wherever_it_is_resumed(lesson: Lesson, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "SKIPPED_IN_A_ROW", 3)  # the last step of an epoch
    spoiling(monkeypatch, spoil_loss(NAN))
    learner, progress = lesson.learner(), Progress()
    events = list(lesson.train(learner, progress, scores))
    assert [type(event) for event in events] == [Skipped, Skipped, Skipped, Diverged]
    assert list(lesson.train(learner, progress, scores)) == [Diverged(3, 0, progress.seconds)]


def test_an_evaluation_without_numbers_is_no_best_that_cannot_be_beaten(lesson: Lesson) -> None:
    found = iter([DevScores(NAN, 0.0), DevScores(2.0, 1.0)])
    training = lesson.config.training.model_copy(update={"stop_on": "loss"})
    by_loss = Lesson(lesson.config.model_copy(update={"training": training}), lesson.prepared)
    progress = Progress()
    list(by_loss.train(by_loss.learner(), progress, lambda model: next(found)))
    assert (progress.best_score, progress.lowest_loss, progress.best_step) == (-2.0, 2.0, 6)


def test_intervals_leave_out_what_was_skipped_or_undone() -> None:
    intervals = Intervals(2)
    step = Stepped(0, 1, 4.0, 10, 0.1, 1.0, 2.0, 0.0)
    assert intervals.add(step) is None
    assert intervals.add(Skipped(0, 2, "loss", 1, 3.0)) is None
    assert intervals.add(WentBack(0, 2, 1, 0.5, 3.0)) is None
    assert intervals.add(replace(step, loss=1.0, seconds=4.0)) is None
    interval = intervals.add(replace(step, loss=2.0, seconds=5.0))
    assert interval is not None
    assert (interval.loss, interval.tokens_per_second) == (1.5, 10)


def too_fast(learner: Learner, sums: Sums) -> Sums:
    """No finite loss once the warm-up has come to a rate of 0.008."""
    return sums._replace(loss=NAN) if 0.007 < learner.optimizer.param_groups[0]["lr"] < 0.009 else sums


@pytest.fixture
def fast(tmp_path: Path) -> Config:
    """Its rate climbs to 0.01 within five steps; three steps an epoch, and an evaluation."""
    corpus = TinyCorpus.write(tmp_path / "quick", train=60, dev=3, test=3)
    training = {"epochs": 10, "batch_tokens": 150, "evaluate_every": 3, "schedule": "constant", "patience": 99}
    return corpus.config(training=training, attention={"kind": "none"})


def collect(config: Config, run: Run, resume: bool = False) -> list[Happening]:
    return list(experiment(config, run.directory, resume, overwrite=False))


def test_training_goes_back_to_the_last_good_checkpoint_with_half_the_rate(
    fast: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "SKIPPED_IN_A_ROW", 4)
    spoiling(monkeypatch, too_fast)
    run = Run(tmp_path / "run")
    good: dict[int, dict[str, torch.Tensor]] = {}
    events: list[Happening] = []
    for event in experiment(fast, run.directory, resume=False, overwrite=False):
        events.append(event)
        if isinstance(event, Evaluated):
            good[event.step] = read_weights(run.kept(event.number))
        if isinstance(event, WentBack):
            now = torch.load(run.last, weights_only=True)
            assert differing(now["weights"], good[event.step]) == []
    (went,) = (event for event in events if isinstance(event, WentBack))
    # Warm-up: 0.002, 0.004, 0.006, 0.008; from there on nothing is finite. The last sound evaluation is that of step 3.
    assert (went.step, went.diverged_step, went.setbacks, went.rate_share) == (3, 8, 1, 0.5)
    rates = [event.learning_rate for event in events if isinstance(event, Stepped)]
    assert rates[:4] == pytest.approx([0.002, 0.004, 0.006, 0.008])
    assert rates[4:] == pytest.approx([0.004, *[0.005] * 26])
    (ended,) = (event for event in events if isinstance(event, Ended))
    assert (ended.steps, ended.skipped, ended.setbacks) == (30, 4, 1)
    metrics = run.metrics.read_text(encoding="utf-8")
    assert metrics.count('"went-back"') == 1
    assert "back to step 3, with 0.5 of the learning rate" in run.log.read_text(encoding="utf-8")


def test_going_back_is_the_same_for_a_resumed_training(
    fast: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "SKIPPED_IN_A_ROW", 4)
    spoiling(monkeypatch, too_fast)
    short = fast.model_copy(
        update={"training": fast.training.model_copy(update={"epochs": 4, "save_minutes": 1e-6, "average": 1})}
    )
    whole = Run(tmp_path / "whole")
    told = []
    for event in experiment(short, whole.directory, resume=False, overwrite=False):
        told.append(event)  # what a kill would leave just now:
        shutil.copytree(whole.directory, tmp_path / f"stopped-{len(told)}")
    wanted = torch.load(whole.last, weights_only=True)
    for stop in range(2, len(told), 5):
        run = Run(tmp_path / f"stopped-{stop}")
        collect(short, run, resume=True)
        found = torch.load(run.last, weights_only=True)
        assert differing(found["weights"], wanted["weights"]) == [], f"stopped after {told[stop - 1]}"
        assert {**found["progress"], "seconds": 0} == {**wanted["progress"], "seconds": 0}
        assert run.metrics.read_text(encoding="utf-8").count('"went-back"') == 1


def test_without_a_checkpoint_it_goes_back_to_the_beginning(
    fast: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "SKIPPED_IN_A_ROW", 4)
    late = fast.model_copy(update={"training": fast.training.model_copy(update={"evaluate_every": 0, "epochs": 2})})
    training = late.training.model_copy(update={"learning_rate": late.training.learning_rate / 2})
    gentle = late.model_copy(update={"training": training})
    collect(gentle, Run(tmp_path / "gentle"))
    count = iter(range(100))
    spoiling(monkeypatch, lambda learner, sums: sums._replace(loss=NAN if 0 < next(count) < 5 else sums.loss))
    batches = late.training.model_copy(update={"batch_tokens": 60})
    many = late.model_copy(update={"training": batches})
    (went,) = (event for event in collect(many, Run(tmp_path / "many")) if isinstance(event, WentBack))
    assert went.step == 0
    # From the beginning with half the rate is what a training with half the rate is.
    count = iter(range(100, 200))
    gentle_many = many.model_copy(update={"training": batches.model_copy(update={"learning_rate": 0.005})})
    collect(gentle_many, Run(tmp_path / "gentle-many"))
    assert differing(*(read_weights(Run(tmp_path / name).best) for name in ("many", "gentle-many"))) == []


def test_training_gives_up_with_an_explanation(fast: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spoiling(monkeypatch, spoil_loss(NAN))
    told: list[Happening] = []
    with pytest.raises(RunError, match=r"training diverges: 10 steps in a row.*after going back 3 times") as caught:
        told.extend(experiment(fast, tmp_path / "run", resume=False, overwrite=False))
    assert "0.125 of the learning rate" in str(caught.value)
    assert "lower training.learning_rate" in str(caught.value)
    log = Run(tmp_path / "run").log.read_text(encoding="utf-8")
    assert log.count("back to step 0") == 3


def scarce(patch: pytest.MonkeyPatch, room: int, problem: Callable[[], Exception]) -> list[int]:
    """A model that takes at most ``room`` pairs at a time, failing after half of its work; the sizes it was given."""
    given: list[int] = []
    whole = Seq2Seq.loss

    def loss(self: Seq2Seq, batch: Batch, smoothing: float, **others: Any) -> Any:
        pairs = len(batch.text.ids_BL)
        given.append(pairs)
        found = whole(self, batch, smoothing, **others)
        if pairs > room:
            torch.autograd.backward(0.3 * found.smoothed)  # some gradients are there already
            raise problem()
        return found

    patch.setattr(Seq2Seq, "loss", loss)
    return given


def cpu_problem() -> Exception:
    return RuntimeError("[enforce fail] . DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes.")


@pytest.mark.parametrize("problem", [cpu_problem, torch.OutOfMemoryError, MemoryError])
def test_halves_have_the_gradient_of_the_whole(
    problem: Callable[[], Exception], lesson: Lesson, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = lesson.config.model_copy(update={"model": lesson.config.model.model_copy(update={"dropout": 0.0})})
    plain = Lesson(config, lesson.prepared)
    whole, split = plain.learner(), plain.learner()
    group = [np.arange(9), np.arange(9, 14)]
    [pairs] = plain.prepared.train.parts()
    wanted = add_gradients(whole, pairs, group, 1.0)
    with monkeypatch.context() as patch:
        given = scarce(patch, 3, problem)
        found = add_gradients(split, pairs, group, 1.0)
    assert given[0] == 9
    assert sorted(given[-6:]) == [1, 2, 2, 2, 2, 2] or max(given[-6:]) <= 3
    assert found.tokens == wanted.tokens
    assert found.loss == pytest.approx(wanted.loss, rel=1e-6)
    assert (wanted.parts, found.parts) == (2, 8)
    for (name, one), other in zip(whole.model.named_parameters(), split.model.parameters(), strict=True):
        assert one.grad is not None
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-5, atol=1e-5, msg=name)


class BesideOneThatHalves:
    """What another process says that has taken a batch in two: of each sum its own part."""

    def sum(self, values: Sequence[float]) -> list[float]:
        tokens, loss, guided_tokens, guidance, more, *others = values
        return [2 * tokens, 2 * loss, guided_tokens, guidance, more + 1, *others]


def test_parts_are_those_of_all_processes(lesson: Lesson, monkeypatch: pytest.MonkeyPatch) -> None:
    [pairs] = lesson.prepared.train.parts()
    learner = lesson.learner()._replace(ranks=Ranks(0, 2, exchange=cast(Exchange, BesideOneThatHalves())))
    group = [np.arange(6), np.arange(6, 12), np.arange(12, 18), np.arange(18, 24)]
    with monkeypatch.context() as patch:
        scarce(patch, 3, cpu_problem)
        found = add_gradients(learner, pairs, group, 1.0)
    assert found.parts == 4 + 2 + 1


def test_a_single_pair_without_room_and_other_errors_are_told(lesson: Lesson, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        scarce(patch, 0, cpu_problem)
        with pytest.raises(RunError, match="not enough memory to train on a single pair"):
            list(lesson.train(lesson.learner(), Progress()))
    with monkeypatch.context() as patch:
        scarce(patch, 0, lambda: RuntimeError("shapes do not match"))
        with pytest.raises(RuntimeError, match="shapes do not match"):
            list(lesson.train(lesson.learner(), Progress()))


def test_trouble_is_said_once(
    terminal: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fast: Config
) -> None:
    settings = tmp_path / "fast.toml"
    settings.write_text(fast.to_toml(), encoding="utf-8")
    scarce(monkeypatch, 10, cpu_problem)
    monkeypatch.setattr(loop, "SKIPPED_IN_A_ROW", 4)
    spoiling(monkeypatch, too_fast)
    answer = terminal.ok("train", "--config", settings, "--run", tmp_path / "run")
    assert answer.err.count("for want of memory") == 1
    assert answer.err.count("skipped: its loss is not a finite number") == 1
    assert answer.err.count("back to step 3, with 0.5 of the learning rate") == 1
    assert "4 steps were skipped, not being finite, going back once" in answer.err
    metrics, log = (
        path.read_text(encoding="utf-8") for path in (Run(tmp_path / "run").metrics, Run(tmp_path / "run").log)
    )
    assert metrics.count('"split"') >= 1
    assert log.count("parts for want of memory") >= metrics.count('"split"')
    assert log.count("skipped: its loss") == 4
    assert read_history(Run(tmp_path / "run")).spoilt == 0


def test_counters_come_back(tmp_path: Path) -> None:
    progress = Progress(step=9, skipped=3, setbacks=1, seconds=5.0, best_score=2.0)
    progress.go_back(Progress(step=4, skipped=1, setbacks=0, seconds=2.0, best_score=1.0))
    assert asdict(progress) == asdict(Progress(step=4, skipped=3, setbacks=2, seconds=5.0, best_score=1.0))


def test_the_latest_milestone_outlives_the_checkpoints_behind_it(lesson: Lesson, tmp_path: Path) -> None:
    """Whether the same sitting writes them or one that is resumed."""
    learner, milestone = lesson.learner(), Progress(step=3, evaluated_step=3)
    for is_resumed in (False, True):
        run = Run(tmp_path / str(is_resumed))
        run.checkpoints.mkdir(parents=True)
        last = LastCheckpoint(run)
        last.save(learner, milestone)
        if is_resumed:
            last = LastCheckpoint(run)
            assert last.load(learner) == (milestone, [])
        for step in (4, 5, 6):
            last.save(learner, Progress(step=step, evaluated_step=3))
        assert last.go_back(learner) == milestone


def test_the_optimiser_starts_anew_at_the_beginning(lesson: Lesson) -> None:
    learner = lesson.learner()
    next(lesson.train(learner, Progress()))
    learner.optimizer.load_state_dict(make_optimizer(learner.model, lesson.config.training).state_dict())
    assert learner.optimizer.state_dict()["state"] == {}
