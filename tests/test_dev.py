"""A look at dev takes no more memory than an update, whatever dev holds, and what is left out of it is said."""

import math
import random
from pathlib import Path

import pytest
import torch
from combinations import few_cases
from corpora import WORDS, TinyCorpus, sentences, translation, write_lines
from learners import Lesson
from models import VOCABULARY, Case, Sentences, tiny_model

from seq2seq_cli.config.whole import Config
from seq2seq_cli.decoding import every_line
from seq2seq_cli.errors import DataError
from seq2seq_cli.evaluation import systems
from seq2seq_cli.training import dev as dev_module
from seq2seq_cli.training.dev import AtATime, dev_evaluator, dev_loss, is_of_a_length
from seq2seq_cli.training.experiment import Begun, experiment

MOST = 30


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines of more than MOST pieces are too long, so that the tests are quick."""
    for module in (dev_module, every_line, systems):
        monkeypatch.setattr(module, "MOST_PIECES", MOST)


def with_long_lines(folder: Path, sources: list[str], targets: list[str]) -> Config:
    """A tiny corpus whose dev and test text are of these lines."""
    corpus = TinyCorpus.write(folder, train=20, dev=1, test=1)
    for split in ("dev", "test"):
        write_lines(folder / f"{split}.xx", sources)
        write_lines(folder / f"{split}.yy", targets)
    return corpus.config(training={"epochs": 1}, attention={"kind": "luong-dot"})


SHORT = sentences(4, seed=5)
LONG = " ".join([*WORDS] * 3)


def unwatched(done: int, total: int) -> None:
    """Hears of a look at dev."""


@pytest.mark.usefixtures("short")
def test_a_long_dev_line_is_said_and_is_not_in_the_loss_and_not_searched_through(tmp_path: Path) -> None:
    references = [translation(line) for line in SHORT]
    plain = Lesson.prepare(with_long_lines(tmp_path / "plain", SHORT, references), tmp_path / "cache")
    both = [*SHORT, LONG, SHORT[0], SHORT[1]], [*references, "la", translation(LONG), references[1]]
    config = with_long_lines(tmp_path / "long", *both)
    long = Lesson.prepare(config, tmp_path / "cache")
    assert is_of_a_length(long.prepared.dev).tolist() == [True, True, True, True, False, False, True]

    learner = plain.learner()
    learner.model.eval()
    expected = dev_loss(learner.model, plain.prepared.dev, [0, 1, 2, 3, 1], AtATime(200, 10**6), learner, unwatched)
    found = dev_loss(learner.model, long.prepared.dev, range(7), AtATime(200, 10**6), learner, unwatched)
    assert found == pytest.approx(expected, rel=1e-6)

    begun, *_ = happened = list(experiment(config, tmp_path / "run", resume=False, overwrite=False))
    assert isinstance(begun, Begun)
    [note] = [note for note in begun.notes if "dev pairs" in note]
    assert note.startswith("2 dev pairs have more than 30 pieces on a side: ")
    [tested] = [event for event in happened if isinstance(event, systems.Evaluation)]
    assert tested.hypotheses[4] == ""
    assert tested.notes == ["1 test line is longer than 30 pieces: left untranslated, and scored so."]


@pytest.mark.usefixtures("short")
def test_dev_of_long_lines_alone_is_refused(tmp_path: Path) -> None:
    lesson = Lesson.prepare(with_long_lines(tmp_path / "long", [LONG], [LONG]), tmp_path / "cache")
    with pytest.raises(DataError, match=r"every dev line is longer than 30 pieces\.\nCut these lines into sentences"):
        dev_evaluator(lesson.sitting(lesson.learner()))


def test_ordinary_text_has_nothing_to_be_said_of(tiny_corpus: TinyCorpus, tmp_path: Path) -> None:
    begun = next(experiment(tiny_corpus.config(), tmp_path / "run", resume=False, overwrite=False))
    assert isinstance(begun, Begun)
    assert not any("dev pair" in note for note in begun.notes)


@pytest.mark.parametrize("case", few_cases(), ids=lambda case: case.name)
def test_the_loss_is_the_same_however_many_steps_are_taken_at_a_time(case: Case) -> None:
    model, drawn = tiny_model(case.config), random.Random(3)
    source, reads, says = (
        torch.tensor([[drawn.randrange(4, VOCABULARY) for _ in range(length)] for _ in range(2)])
        for length in (6, 7, 7)
    )
    mask, real = torch.arange(6) < torch.tensor([[6], [3]]), torch.arange(7) < torch.tensor([[4], [7]])
    batch = Sentences(source, mask, reads).batch(says, real)
    calls: list[int] = []
    model.decoder.register_forward_pre_hook(lambda _, inputs: calls.append(inputs[0].shape[1]))
    with torch.inference_mode():
        whole = float(model.loss(batch, 0.0).nll)
        for steps in (1, 3, 7, 100):
            calls.clear()
            parts = float(model.nll(batch, most_cells=2 * 6 * steps))
            assert parts == pytest.approx(whole, rel=1e-9)
            assert max(calls) == min(steps, 7)
        assert float(model.nll(batch)) == whole
    assert math.isfinite(whole)
