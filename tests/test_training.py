"""The training loop: it learns, it looks at dev when it should, and it ends when it should."""

import gc
import weakref
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from corpora import TinyCorpus
from learners import Event, Lesson, differing, weights
from torch import Tensor, nn

from seq2seq_cli.data.batching import load_batch, plan
from seq2seq_cli.data.tokenised import TokenisedSplit
from seq2seq_cli.inputs import Batch
from seq2seq_cli.model.seq2seq import Seq2Seq
from seq2seq_cli.ranks import ALONE
from seq2seq_cli.training import gradients, loop
from seq2seq_cli.training.loop import DevScores
from seq2seq_cli.training.progress import Ended, Evaluated, Interval, Intervals, Progress, Stepped

NEVER = 10**6


@pytest.fixture
def lesson(tmp_path: Path) -> Callable[..., Lesson]:
    """A tiny lesson with these training settings: three steps an epoch."""
    corpus = TinyCorpus.write(tmp_path / "tiny", train=60, dev=4)

    def make(**training: object) -> Lesson:
        training = {"batch_tokens": 150, "epochs": 3, **training}
        return Lesson.prepare(corpus.config(training=training, model={"dropout": 0.3}), tmp_path / "cache")

    return make


def scripted(*bleu: float, loss: float | list[float] = 1.0) -> Callable[[Seq2Seq], DevScores]:
    """Looks at dev that find these scores, one after the other."""
    losses = iter(loss) if isinstance(loss, list) else (loss for _ in count())
    scores = iter(bleu)
    return lambda model: DevScores(next(losses), next(scores))


def evaluations(events: list[Event]) -> list[Evaluated]:
    return [event for event in events if isinstance(event, Evaluated)]


@pytest.mark.parametrize("kind", ["bahdanau", "luong-general"])
def test_eight_pairs_are_learned_by_heart(kind: str, tmp_path: Path) -> None:
    corpus = TinyCorpus.write(tmp_path / "tiny", train=8)
    config = corpus.config(
        data={"dev": str(corpus.folder / "train")},
        model={"dropout": 0.0},
        attention={"kind": kind},
        training={"epochs": 70, "evaluate_every": NEVER, "label_smoothing": 0.0, "schedule": "constant"},
    )
    lesson = Lesson.prepare(config, tmp_path / "cache")
    learner = lesson.learner()
    before = weights(learner)
    events = list(lesson.train(learner, Progress()))
    steps = [event for event in events if isinstance(event, Stepped)]
    assert steps[0].loss > 3
    assert steps[-1].loss < 0.01
    assert set(differing(weights(learner), before)) == before.keys()
    learner.model.eval()
    lines = lesson.prepared.dev_lines
    assert len(lines.src) == 8
    assert lesson.translations(learner.model, lines.src) == lines.tgt


def test_a_step_is_what_the_configuration_says(lesson: Callable[..., Lesson]) -> None:
    """One step of plain gradient descent, done over by torch alone: smoothing, mean, clipping, rate, dropout."""
    settings = {"label_smoothing": 0.3, "accumulate": 2, "clip_norm": 0.1, "learning_rate": 2.0, "warmup_steps": 4}
    one = lesson(**settings, seed=5)
    learner = one.learner()
    learner = learner._replace(optimizer=torch.optim.SGD(learner.model.parameters()))
    learner.model.eval()  # training begins by turning dropout on
    event = next(one.train(learner, Progress()))

    expected, tokens = one.learner().model.train(), 0
    [pairs] = one.prepared.train.parts()
    loop._seed(5, Progress(), ALONE)  # dropout draws the same masks
    for rows in plan(pairs, 150, seed=5, epoch=0)[:2]:
        batch = load_batch(pairs, rows)
        expected.loss(batch, smoothing=0.3).smoothed.backward()
        tokens += int(batch.target.real_BT.sum())
    for parameter in expected.parameters():
        assert parameter.grad is not None
        parameter.grad /= tokens
    norm = nn.utils.clip_grad_norm_(expected.parameters(), 0.1)
    torch.optim.SGD(expected.parameters(), lr=2.0 / 4).step()  # the first of four steps of warm-up
    assert isinstance(event, Stepped)
    assert event.gradient_norm == pytest.approx(float(norm), rel=1e-5)
    assert event.gradient_norm > 0.1
    for name, parameter in learner.model.named_parameters():
        torch.testing.assert_close(parameter, expected.get_parameter(name), msg=name)


def test_every_epoch_has_its_own_plan(lesson: Callable[..., Lesson], monkeypatch: pytest.MonkeyPatch) -> None:
    three, seen = lesson(seed=5), list[list[int]]()

    def load(data: TokenisedSplit, rows: np.ndarray) -> Batch:
        seen.append(rows.tolist())
        return load_batch(data, rows)

    monkeypatch.setattr(gradients, "load_batch", load)
    list(three.train(three.learner(), Progress(), scripted(1, 2, 3)))
    [pairs] = three.prepared.train.parts()
    assert seen == [rows.tolist() for epoch in range(3) for rows in plan(pairs, 150, 5, epoch)]


def test_a_place_behind_the_last_batch_is_the_end_of_the_buffer(lesson: Callable[..., Lesson]) -> None:
    """A version that cuts batches in another way may have left it."""
    three = lesson(seed=5)
    progress = Progress(batch=10_000)
    steps = [event for event in three.train(three.learner(), progress, scripted(1, 2)) if isinstance(event, Stepped)]
    assert {step.epoch for step in steps} == {1, 2}
    assert progress.epoch == 3


def test_dev_is_looked_at_without_dropout(lesson: Callable[..., Lesson]) -> None:
    three, training = lesson(), list[bool]()
    learner = three.learner()

    def evaluate(model: Seq2Seq) -> DevScores:
        training.append(model.training)
        return DevScores(1.0, 1.0)

    for _ in three.train(learner, Progress(), evaluate):
        assert learner.model.training
    assert training == [False] * 3


def test_dev_is_looked_at_once_an_epoch(lesson: Callable[..., Lesson]) -> None:
    three = lesson()
    events = list(three.train(three.learner(), Progress(), scripted(1, 2, 3)))
    assert [type(event).__name__ for event in events] == 3 * (3 * ["Stepped"] + ["Evaluated"]) + ["Ended"]
    assert [(event.step, event.number, event.best) for event in evaluations(events)] == [
        (3, 1, True), (6, 2, True), (9, 3, True),
    ]  # fmt: skip
    assert events[-1] == Ended("3 epochs done", 9, events[-1].seconds)


def test_dev_is_looked_at_every_so_many_steps_and_at_the_end(lesson: Callable[..., Lesson]) -> None:
    for every, steps in ((2, [2, 4, 6, 8, 9]), (3, [3, 6, 9]), (NEVER, [9])):
        often = lesson(evaluate_every=every)
        events = list(often.train(often.learner(), Progress(), scripted(1, 1, 1, 1, 1)))
        assert [event.step for event in evaluations(events)] == steps
        assert [event.epoch for event in evaluations(events)] == [-(-step // 3) for step in steps]


def test_training_ends_when_patience_does(lesson: Callable[..., Lesson]) -> None:
    patient = lesson(evaluate_every=1, patience=2)
    progress = Progress()
    events = list(patient.train(patient.learner(), progress, scripted(1, 3, 2, 4, 4, 3.9)))
    assert [event.best for event in evaluations(events)] == [True, True, False, True, False, False]
    assert events[-1] == Ended("no better on dev for 2 evaluations", 6, events[-1].seconds)
    assert (progress.best_score, progress.best_step, progress.stale) == (4, 4, 2)


def test_best_can_be_judged_by_dev_loss(lesson: Callable[..., Lesson]) -> None:
    patient = lesson(evaluate_every=1, patience=1, stop_on="loss")
    events = list(patient.train(patient.learner(), Progress(), scripted(9, 8, 99, loss=[3.0, 2.5, 2.6])))
    assert [event.best for event in evaluations(events)] == [True, True, False]
    assert isinstance(events[-1], Ended)
    assert events[-1].steps == 3


def test_the_plateau_halves_the_rate_where_dev_loss_does_not_fall(lesson: Callable[..., Lesson]) -> None:
    """Below the lowest so far: less than the last one is not enough."""
    flat = lesson(evaluate_every=1, epochs=3, schedule="plateau", warmup_steps=0)
    losses = [3.0, 2.0, 2.0, 2.5, 2.2, 1.5, 1.6, 1.0, 0.9]
    events = list(flat.train(flat.learner(), Progress(), scripted(*range(9), loss=losses)))
    rates = [event.learning_rate for event in events if isinstance(event, Stepped)]
    assert rates == pytest.approx([0.01 / 2**halved for halved in (0, 0, 0, 1, 2, 3, 3, 4, 4)])


class Ring:
    """Garbage that only Python's collector finds."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture
def real_collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The loop's own, which most tests leave out, and which nobody calls meanwhile."""
    monkeypatch.setattr(loop, "gc", gc)
    gc.disable()
    yield
    gc.unfreeze()
    gc.enable()


@pytest.mark.usefixtures("real_collector")
def test_what_an_earlier_training_left_is_given_up_and_the_rest_is_looked_through_no_more(
    lesson: Callable[..., Lesson],
) -> None:
    short = lesson(epochs=1)
    lost, kept = Ring(), Ring()
    before, after = weakref.ref(lost), weakref.ref(kept)
    del lost
    next(short.train(short.learner(), Progress()))
    assert before() is None
    assert gc.get_freeze_count() > 1000
    del kept
    assert after() is not None
    next(short.train(short.learner(), Progress()))
    assert after() is None


@pytest.fixture
def ticking(monkeypatch: pytest.MonkeyPatch) -> Callable[[], float]:
    """A clock that is a second later every time it is looked at."""
    ticks = count()

    def clock() -> float:
        return float(next(ticks))

    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=clock))
    return clock


@pytest.mark.usefixtures("ticking")
def test_training_ends_when_its_minutes_do(lesson: Callable[..., Lesson]) -> None:
    # Six seconds: 3 steps, a look at dev, a step, for a quarter is kept for what is to come; then a last look at dev.
    limited = lesson(max_minutes=0.1)
    events = list(limited.train(limited.learner(), Progress(), scripted(1, 2)))
    assert [event.seconds for event in events] == [1, 2, 3, 4, 5, 6, 6]
    assert [event.step for event in evaluations(events)] == [3, 4]
    assert events[-1] == Ended("0.1 minutes are over", 4, 6)
    shares = [event.share for event in events if isinstance(event, Stepped)]
    # Of the seconds for updates, which are those but for 1.3 before the first look has been timed, and but for 1.5 after it.
    assert shares == pytest.approx([1 / 4.7, 2 / 4.7, 3 / 4.7, 1])


def test_time_between_two_sittings_is_no_training_time(
    lesson: Callable[..., Lesson], ticking: Callable[[], float]
) -> None:
    three, progress = lesson(), Progress()
    learner = three.learner()
    first = three.train(learner, progress, scripted(1, 2, 3))
    assert [next(first).seconds for _ in range(4)] == [1, 2, 3, 4]
    for _ in range(50):
        ticking()
    assert [event.seconds for event in three.train(learner, progress, scripted(2, 3))] == [
        5,
        6,
        7,
        8,
        9,
        10,
        11,
        12,
        12,
    ]


def test_the_share_done_climbs_to_nearly_all(lesson: Callable[..., Lesson]) -> None:
    three = lesson()
    events = list(three.train(three.learner(), Progress(), scripted(1, 2, 3)))
    shares = [event.share for event in events if isinstance(event, Stepped)]
    assert shares == pytest.approx([step / 9 for step in range(9)])


def test_accumulated_batches_make_one_step(lesson: Callable[..., Lesson]) -> None:
    one, two = lesson(epochs=1), lesson(epochs=1, accumulate=2)
    single, double = (
        [event for event in each.train(each.learner(), Progress(), scripted(1)) if isinstance(event, Stepped)]
        for each in (one, two)
    )
    tokens = [step.target_tokens for step in single]
    assert [step.target_tokens for step in double] == [tokens[0] + tokens[1], tokens[2]]


def timeless(events: list[Event]) -> list[Event]:
    return [replace(event, seconds=0.0) for event in events]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_one_seed_gives_one_training(precision: str, lesson: Callable[..., Lesson]) -> None:
    seeded = lesson(precision=precision, epochs=2)

    def trained(seed: int) -> tuple[list[Event], dict[str, Tensor]]:
        learner = seeded.learner(seed)
        return timeless(list(seeded.train(learner, Progress()))), weights(learner)

    (told, first), (told_again, second), (_, other) = trained(1), trained(1), trained(2)
    assert told == told_again
    assert differing(first, second) == []
    assert differing(first, other) != []


def test_bf16_is_another_arithmetic_over_the_same_fp32_weights(lesson: Callable[..., Lesson]) -> None:
    losses = []
    for precision in ("fp32", "bf16"):
        short = lesson(precision=precision, epochs=1)
        learner = short.learner()
        event = next(short.train(learner, Progress()))
        assert isinstance(event, Stepped)
        losses.append(event.loss)
        assert {parameter.dtype for parameter in learner.model.parameters()} == {torch.float32}
    assert losses[0] != losses[1]
    assert losses[0] == pytest.approx(losses[1], rel=0.01)


def steps(*losses: float) -> Iterator[Stepped]:
    """Steps of ten tokens, two seconds each."""
    for number, loss in enumerate(losses, start=1):
        yield Stepped(0, number, loss, 10 * number, 0.1 * number, 1.0, 2.0 * number, 0.0)


def test_intervals_are_means_over_tokens() -> None:
    intervals = Intervals(2)
    made = [intervals.add(event) for event in steps(4.0, 1.0, 3.0, 2.0)]
    assert made[0] is made[2] is None
    first, second = made[1], made[3]
    assert isinstance(first, Interval)
    assert isinstance(second, Interval)
    assert (first.step, first.target_tokens) == (2, 30)
    assert first.loss == pytest.approx((4 * 10 + 1 * 20) / 30)
    assert first.tokens_per_second == pytest.approx(20 / 2)  # when the first step began is not known
    assert (second.step, second.target_tokens) == (4, 70)
    assert second.loss == pytest.approx((3 * 30 + 2 * 40) / 70)
    assert second.tokens_per_second == pytest.approx(70 / 4)


def test_an_evaluation_closes_an_interval_and_is_not_in_the_next_ones_time() -> None:
    intervals, events = Intervals(100), list(steps(4.0, 1.0))
    assert intervals.add(events[0]) is None
    closed = intervals.add(Evaluated(0, 1, 1, 2.0, 5.0, True, seconds=3.0))
    assert closed is not None
    assert closed.step == 1
    assert intervals.add(events[1]) is None
    last = intervals.add(Ended("", 2, 4.0))
    assert last is not None
    assert last.tokens_per_second == pytest.approx(20 / (4 - 3))
