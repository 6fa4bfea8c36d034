"""A time limit holds, however slow the machine is: in a simulated time, in which updates and searches take what a case says."""

import json
import math
from collections.abc import Callable
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from corpora import TinyCorpus
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from seq2seq_cli.config.sections import TrainingConfig
from seq2seq_cli.config.whole import Config
from seq2seq_cli.data.pairs import Lines
from seq2seq_cli.decoding.state import ModelState
from seq2seq_cli.decoding.translator import Translator
from seq2seq_cli.evaluation.systems import Evaluation
from seq2seq_cli.report.pictures import Pictures
from seq2seq_cli.runs import Run
from seq2seq_cli.training import closing, limit, loop, optim
from seq2seq_cli.training import experiment as experiment_module
from seq2seq_cli.training.closing import Averaged, Closing, Following, LeftOut
from seq2seq_cli.training.experiment import Happening, experiment
from seq2seq_cli.training.limit import Deadline, OutOfTimeError, look_seconds, sitting_seconds, updating_seconds
from seq2seq_cli.training.progress import Ended, Evaluated, Progress, Unjudged

LINES = 100
MINUTES = 2.0


class Machine:
    """Its clock goes on by ``update`` seconds an update and ``row`` a hypothesis and step of a search."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.now, self.update, self.row = 0.0, 4.0, 0.001
        clock = SimpleNamespace(monotonic=lambda: self.now)
        for module in (limit, loop, experiment_module):
            patch.setattr(module, "time", clock)
        plain_step, plain_search = optim.step, ModelState.step

        def step(*arguments: Any, **named: Any) -> float:
            self.now += self.update
            return plain_step(*arguments, **named)

        def search(state: ModelState, tokens_R: Tensor) -> object:
            self.now += self.row * len(tokens_R)
            return plain_search(state, tokens_R)

        patch.setattr(optim, "step", step)
        patch.setattr(ModelState, "step", search)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> TinyCorpus:
    return TinyCorpus.write(tmp_path_factory.mktemp("limited") / "tiny", train=60, dev=LINES, test=LINES)


def limited(corpus: TinyCorpus, **training: object) -> Config:
    values = {"epochs": 1000, "patience": 1000, "batch_tokens": 150, "max_minutes": MINUTES, "evaluate_every": 8}
    # However little was learned, each translation takes some steps.
    return corpus.config(training={**values, **training}, decoding={"min_length": 6})


def looks(happened: list[Happening]) -> list[Evaluated]:
    return [event for event in happened if isinstance(event, Evaluated)]


def only(happened: list[Happening], kind: type) -> Any:
    [event] = [event for event in happened if isinstance(event, kind)]
    return event


@pytest.mark.parametrize(
    ("update", "row"),
    [
        (3.0, 0.0001),
        (3.0, 0.03),
        pytest.param(12.0, 0.003, marks=pytest.mark.slow),
        pytest.param(3.0, 0.1, marks=pytest.mark.slow),
    ],
)
def test_the_limit_holds_however_slow_the_machine(
    update: float, row: float, corpus: TinyCorpus, machine: Machine, tmp_path: Path
) -> None:
    machine.update, machine.row = update, row
    ended_at, run = math.inf, Run(tmp_path / "run")
    happened: list[Happening] = []
    for event in experiment(limited(corpus), run.directory, resume=False, overwrite=False):
        happened.append(event)
        ended_at = machine.now if isinstance(event, Ended) else ended_at
    assert only(happened, Ended).reason == "2 minutes are over"
    # A step of the search cannot be stopped: here it takes up to all lines times the hypotheses.
    assert 0.7 * 60 * MINUTES <= ended_at <= 1.05 * 60 * MINUTES + 2.5 + 4 * LINES * row
    assert machine.now <= 1.1 * 60 * MINUTES + 5 + 4 * LINES * row
    assert run.best.is_file()
    left_out = {event.what for event in happened if isinstance(event, LeftOut)}
    tested = any(isinstance(event, Evaluation) for event in happened)
    drawn = any(isinstance(event, Pictures) for event in happened)
    assert tested == ("the test" not in left_out)
    assert drawn == ("the pictures" not in left_out)
    assert str(only(happened, Following)).startswith("still to come, within ")
    if row == 0.0001:
        assert not left_out
        assert only(happened, Averaged)
        assert {look.dev_lines for look in looks(happened)} == {None}
    if row == 0.1:
        assert "the test" in left_out


def test_looks_that_take_too_long_are_at_one_part_of_dev(corpus: TinyCorpus, machine: Machine, tmp_path: Path) -> None:
    machine.row, run = 0.03, Run(tmp_path / "run")
    happened = list(experiment(limited(corpus), run.directory, resume=False, overwrite=False))
    [lines] = {look.dev_lines for look in looks(happened)}
    assert lines is not None
    assert 0 < lines < LINES
    assert len(looks(happened)) >= 2
    assert f" of {lines} dev lines, for which there is time" in str(looks(happened)[0])
    records = [json.loads(line) for line in run.metrics.read_text(encoding="utf-8").splitlines()]
    assert {record["dev_lines"] for record in records if record["event"] == "evaluation"} == {lines}


def test_where_no_look_fits_the_last_weights_are_kept_and_said_to_be_unjudged(
    corpus: TinyCorpus, machine: Machine, tmp_path: Path
) -> None:
    machine.row, run = 1.0, Run(tmp_path / "run")
    happened = list(experiment(limited(corpus), run.directory, resume=False, overwrite=False))
    assert not looks(happened)
    unjudged = next(event for event in happened if isinstance(event, Unjudged))
    assert unjudged.kept
    assert "no time was left to look at dev; these weights are kept all the same" in str(unjudged)
    assert run.best.is_file()
    assert "no time was left to look at dev" in run.log.read_text(encoding="utf-8")


def test_a_look_that_is_cut_short_takes_nothing_from_the_best(
    corpus: TinyCorpus, machine: Machine, tmp_path: Path
) -> None:
    """The machine becomes slow amid training."""
    run, happened = Run(tmp_path / "run"), list[Happening]()
    for event in experiment(limited(corpus), run.directory, resume=False, overwrite=False):
        happened.append(event)
        if isinstance(event, Evaluated):
            best = run.best.read_bytes()
            machine.row = 1.0
    assert len(looks(happened)) == 1
    assert not any(event.kept for event in happened if isinstance(event, Unjudged))
    assert any(isinstance(event, Unjudged) for event in happened)
    assert run.best.read_bytes() == best


def test_what_was_left_out_is_made_up_for(corpus: TinyCorpus, machine: Machine, tmp_path: Path) -> None:
    run, config = Run(tmp_path / "run"), limited(corpus)
    happened = list[Happening]()
    for event in experiment(config, run.directory, resume=False, overwrite=False):
        happened.append(event)
        machine.row = 0.5 if isinstance(event, Ended) else machine.row
    left = {event.what: event.command for event in happened if isinstance(event, LeftOut)}
    assert left["the test"] == f"seq2seq eval {run.directory}"
    assert left["the mean of the last weights"] == run.resume_command
    assert all(str(event).endswith(event.command) for event in happened if isinstance(event, LeftOut))
    assert not run.evaluation.exists()
    machine.row = 0.001
    again = list(experiment(config, run.directory, resume=True, overwrite=False))
    assert only(again, Averaged)
    assert only(again, Evaluation)
    assert not any(isinstance(event, LeftOut) for event in again)


@pytest.mark.parametrize("row", [0.0002, 0.001])
def test_how_long_the_test_takes_is_known_beforehand(
    row: float, corpus: TinyCorpus, machine: Machine, tmp_path: Path
) -> None:
    machine.row = row
    expected = began = took = 0.0
    for event in experiment(limited(corpus), tmp_path / "run", resume=False, overwrite=False):
        if isinstance(event, Evaluation):
            took = machine.now - began
        began = machine.now
        expected = event.test_seconds or 0.0 if isinstance(event, Following) else expected
    assert 0.5 < expected / took < 2


def test_how_long_the_test_takes_goes_by_its_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines of a test may be longer than those that are tried."""
    lines, deadline = ["ab"] * 39 + ["x" * 1000], SimpleNamespace(left=500.0)

    def best_of_each(translator: object, every: list[str], watch: object, before: object, rows: list[int]) -> None:
        assert before is None
        assert len(rows) < len(lines)
        deadline.left -= 0.25 * sum(len(every[row]) for row in rows)

    monkeypatch.setattr(closing, "best_of_each", best_of_each)
    told = SimpleNamespace(
        prepared=SimpleNamespace(test_lines=Lines(lines, lines)),
        deadline=deadline,
        config=Config(),
        _watch=lambda what: None,
    )
    assert Closing._test_seconds(cast(Closing, told), cast(Translator, None)) == pytest.approx(0.25 * (39 * 2 + 1000))


def test_loading_the_model_is_no_part_of_the_expected_time(
    corpus: TinyCorpus, machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And it is loaded again only where its weights are others since."""
    loads, load = count(), Translator.load

    def slow(run: Path, device: str, precision: str) -> Translator:
        next(loads)
        machine.now += 3.0
        return load(run, device, precision)

    monkeypatch.setattr(Translator, "load", slow)
    machine.row = 0.0001
    happened = list(experiment(limited(corpus), tmp_path / "run"))
    expected = only(happened, Following).test_seconds
    assert expected is not None
    assert expected < 3
    assert next(loads) == 1 + sum(isinstance(event, Averaged) and event.kept for event in happened)


def test_a_part_of_dev_that_is_all_of_it_is_none(machine: Machine, tmp_path: Path) -> None:
    machine.row = 0.2
    few = TinyCorpus.write(tmp_path / "few", train=60, dev=18, test=4)
    happened = list(experiment(limited(few), tmp_path / "run", resume=False, overwrite=False))
    assert {look.dev_lines for look in looks(happened)} == {None}
    assert all("for which there is time" not in str(look) for look in looks(happened))


def test_without_a_limit_no_clock_is_looked_at(corpus: TinyCorpus, machine: Machine, tmp_path: Path) -> None:
    machine.row = 1000.0
    config = limited(corpus, max_minutes=None, epochs=2)
    happened = list(experiment(config, tmp_path / "run", resume=False, overwrite=False))
    assert not any(isinstance(event, Following | LeftOut | Unjudged) for event in happened)
    assert {look.dev_lines for look in looks(happened)} == {None}


SECONDS = st.floats(0, 1e6)


@given(minutes=st.floats(1e-3, 1e5), look=SECONDS, step=SECONDS, spent=SECONDS, evaluations=st.integers(0, 3))
def test_updates_get_three_quarters_at_least_and_all_together_a_tenth_more_at_most(
    minutes: float, look: float, step: float, spent: float, evaluations: int
) -> None:
    config = TrainingConfig(max_minutes=minutes)
    progress = Progress(seconds=spent, look_seconds=look, step_seconds=step, evaluations=evaluations)
    whole = 60 * minutes
    assert 0.75 * whole <= updating_seconds(config, progress) <= whole
    begun = Progress()
    assert look_seconds(config, begun) <= sitting_seconds(config, begun) <= 1.1 * whole + 5
    # A sitting that only makes up for what was left out has time for it, however long ago the limit was reached.
    assert sitting_seconds(config, progress) >= 0.1 * whole


def test_time_is_kept_for_the_looks_to_come() -> None:
    """One, and one more at the mean of the last weights, a quarter longer than the last one; and the update under way."""
    looked, begun = (Progress(look_seconds=4.0, step_seconds=1.0, evaluations=count) for count in (3, 0))
    assert updating_seconds(TrainingConfig(max_minutes=10, average=5), looked) == 600 - (2 * 5 + 1)
    assert updating_seconds(TrainingConfig(max_minutes=10, average=5), begun) == 600 - (5 + 1)
    assert updating_seconds(TrainingConfig(max_minutes=10, average=1), looked) == 600 - (5 + 1)


def test_what_was_left_out_is_made_up_for_without_a_limit() -> None:
    """By a sitting that finds training over; or the command that was named would leave it out again."""
    config = Config().training.model_copy(update={"max_minutes": 0.1})
    over = Progress(step=41, evaluations=2, seconds=6.1)
    assert math.isinf(sitting_seconds(config, over))
    assert sitting_seconds(config, Progress(step=20, evaluations=1, seconds=2.0)) < 10


def test_there_is_no_limit_by_default() -> None:
    config, progress = TrainingConfig(), Progress(seconds=1e9, look_seconds=5.0, evaluations=1)
    for seconds in (updating_seconds, look_seconds, sitting_seconds):
        assert seconds(config, progress) == math.inf


def test_a_deadline_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = count()
    monkeypatch.setattr(limit, "time", SimpleNamespace(monotonic=lambda: float(next(ticks))))
    deadline: Callable[[], None] = Deadline.after(2.5).check  # now is 0, and the next looks are at 1, 2 and 3
    deadline()
    deadline()
    with pytest.raises(OutOfTimeError):
        deadline()
    Deadline().check()
