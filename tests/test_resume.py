"""A training that was cut off and resumed is the same, bit for bit, as one that never was."""

import copy
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from corpora import TinyCorpus
from learners import Event, Lesson, differing, weights

from seq2seq_cli.data import epochs, tokenised
from seq2seq_cli.training.checkpoint import State, load_last, save_last, snapshot, take_over
from seq2seq_cli.training.loop import DevScores
from seq2seq_cli.training.progress import Ended, Evaluated, Progress, Stepped


def timeless(events: list[Event]) -> list[Event]:
    """The events without what the clock says."""
    return [replace(event, seconds=0.0) for event in events]


def flat(state: object) -> list[object]:
    """Everything in an optimiser's state, tensors as lists, for comparing."""
    if isinstance(state, dict):
        return [item for key in sorted(state, key=str) for item in (key, *flat(state[key]))]
    if isinstance(state, list | tuple):
        return [item for part in state for item in flat(part)]
    return [state.tolist() if isinstance(state, torch.Tensor) else state]


CASES = {
    "fp32": {},
    "bf16": {"precision": "bf16"},
    "evaluations amid the epoch": {"evaluate_every": 2},
    "accumulated batches": {"accumulate": 2, "evaluate_every": 3, "schedule": "plateau"},
    "stopped early": {"patience": 1, "evaluate_every": 1},
    "text of several buffers": {"evaluate_every": 4},
}


@pytest.mark.parametrize(("case", "training"), CASES.items(), ids=CASES.keys())
def test_going_on_from_any_event_is_never_having_stopped(
    case: str, training: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if case == "text of several buffers":
        monkeypatch.setattr(tokenised, "CHUNK", 8)
        monkeypatch.setattr(epochs, "BUFFER", 3)
    corpus = TinyCorpus.write(tmp_path / "tiny", train=60, dev=4)
    config = corpus.config(training={"epochs": 2, "batch_tokens": 150, **training}, model={"dropout": 0.3})
    lesson = Lesson.prepare(config, tmp_path / "cache")
    learner, progress = lesson.learner(), Progress()
    events: list[Event] = []
    for event in lesson.train(learner, progress):
        events.append(event)
        save_last(learner, progress, tmp_path / f"{len(events)}.pt")
    assert isinstance(events[-1], Ended)
    assert sum(isinstance(event, Evaluated) for event in events) >= 2
    shares = [event.share for event in events if isinstance(event, Stepped)]
    assert all(one < other for one, other in pairwise(shares))
    assert 0 <= shares[0] < shares[-1] < 1

    for done in range(1, len(events) + 1):
        resumed = lesson.learner(seed=77)  # other weights, another random state
        came_to = load_last(resumed, tmp_path / f"{done}.pt")
        rest = list(lesson.train(resumed, came_to))
        expected = events[done:] or [events[-1]]  # where it had ended, it says so again
        assert timeless(rest) == timeless(expected), f"after event {done}: {events[done - 1]}"
        assert differing(weights(resumed), weights(learner)) == []
        assert flat(resumed.optimizer.state_dict()) == flat(learner.optimizer.state_dict())
        assert asdict(replace(came_to, seconds=0)) == asdict(replace(progress, seconds=0))


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_two_threads_make_no_difference(precision: str, tmp_path: Path) -> None:
    """At sizes at which torch shares the work out; what searching dev is like is seen above."""
    corpus = TinyCorpus.write(tmp_path / "tiny", train=80, dev=1)
    config = corpus.config(
        training={"epochs": 4, "batch_tokens": 1000, "precision": precision},
        model={"dropout": 0.3, "hidden_size": 128, "embedding_size": 128},
        attention={"kind": "luong-general"},
    )
    lesson = Lesson.prepare(config, tmp_path / "cache")
    learner, progress = lesson.learner(), Progress()
    for number, _ in enumerate(lesson.train(learner, progress, lambda model: DevScores(1.0, 1.0))):
        if number == 2:
            save_last(learner, progress, tmp_path / "last.pt")
    for _ in range(3):
        resumed = lesson.learner(seed=77)
        list(lesson.train(resumed, load_last(resumed, tmp_path / "last.pt"), lambda model: DevScores(1.0, 1.0)))
        assert differing(weights(resumed), weights(learner)) == []
        assert flat(resumed.optimizer.state_dict()) == flat(learner.optimizer.state_dict())


def test_the_loss_scale_of_fp16_comes_back(tmp_path: Path) -> None:
    lesson = Lesson.prepare(TinyCorpus.write(tmp_path / "tiny", train=20, dev=4).config(), tmp_path / "cache")
    learner, resumed = (
        lesson.learner()._replace(scaler=torch.amp.GradScaler("cpu", init_scale=scale)) for scale in (8.0, 2.0)
    )
    save_last(learner, Progress(), tmp_path / "last.pt")
    load_last(resumed, tmp_path / "last.pt")
    assert resumed.scaler.get_scale() == 8


def test_an_optimisers_numbers_go_by_the_names_of_the_parameters(tmp_path: Path) -> None:
    """A version that has the parameters in another order, and calls them otherwise, left this checkpoint."""
    corpus = TinyCorpus.write(tmp_path / "tiny", train=60, dev=4)
    lesson = Lesson.prepare(corpus.config(training={"epochs": 2, "batch_tokens": 150}), tmp_path / "cache")
    learner, progress = lesson.learner(), Progress()
    events = lesson.train(learner, progress)
    for _ in range(5):
        next(events)
    state = snapshot(learner, progress)
    names = list(state["weights"])
    order = sorted(range(len(names)), key=lambda number: names[number])
    assert order != sorted(order)
    former = {names[i].replace("decoder.layers.0.recurrence", "decoder.wiring.recurrence"): i for i in order}
    assert len(former.keys() - set(names)) == 4
    moments = {new: state["optimizer"]["state"][old] for new, old in enumerate(order)}
    earlier = copy.deepcopy(
        State(
            weights={name: state["weights"][names[i]] for name, i in former.items()},
            optimizer=state["optimizer"] | {"state": moments},
            scaler=state["scaler"],
            progress=state["progress"],
        )
    )
    resumed = lesson.learner(seed=2)
    later = take_over(resumed, earlier, "earlier")
    assert differing(weights(resumed), weights(learner)) == []
    assert flat(resumed.optimizer.state_dict()) == flat(learner.optimizer.state_dict())
    assert timeless(list(lesson.train(resumed, later))) == timeless(list(events))
