"""A training loop around a tiny model, without a run directory."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor

from seq2seq_cli.config.whole import Config
from seq2seq_cli.data.prepare import Prepared, prepare, silent
from seq2seq_cli.decoding.translator import Translator
from seq2seq_cli.device import choose_precision
from seq2seq_cli.model.seq2seq import Seq2Seq
from seq2seq_cli.runs import Run
from seq2seq_cli.training.interruption import Interruption
from seq2seq_cli.training.learner import Learner, new_learner
from seq2seq_cli.training.loop import DevScores, train
from seq2seq_cli.training.progress import Diverged, Progress
from seq2seq_cli.training.progress import Event as Recorded
from seq2seq_cli.training.sitting import Sitting

CPU = torch.device("cpu")
Event = Recorded | Diverged
"""What the loop tells."""


@dataclass(frozen=True)
class Lesson:
    """A configuration and its text, ready to be learned."""

    config: Config
    prepared: Prepared

    @classmethod
    def prepare(cls, config: Config, cache: Path) -> "Lesson":
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SEQ2SEQ_CACHE", str(cache))
            return cls(config, prepare(config.data, config.subword, context=config.reads_before))

    def learner(self, seed: int = 1) -> Learner:
        """A new model and optimiser, and torch's random state, from ``seed``."""
        training = self.config.training.model_copy(update={"seed": seed})
        return new_learner(self.config.model_copy(update={"training": training}), self.prepared.subwords)

    def train(
        self, learner: Learner, progress: Progress, evaluate: Callable[[Seq2Seq], DevScores] | None = None
    ) -> Iterator[Event]:
        """What happens in training; dev is judged by ``evaluate``, or by the share of exact translations."""
        return train(learner, self.prepared.train, self.config.training, progress, evaluate or self.exact_matches)

    def sitting(self, learner: Learner) -> Sitting:
        """One without a step, which is not to write anywhere."""
        return Sitting(self.config, Run(Path("nowhere")), self.prepared, learner, Progress(), Interruption(), silent)

    def exact_matches(self, model: Seq2Seq) -> DevScores:
        """Percent of the dev sentences that greedy search translates exactly, in the place of BLEU; no loss."""
        translations = self.translations(model, self.prepared.dev_lines.src)
        right = sum(map(str.__eq__, translations, self.prepared.dev_lines.tgt))
        return DevScores(0.0, 100 * right / len(translations))

    def translations(self, model: Seq2Seq, lines: list[str]) -> list[str]:
        """Greedy translations."""
        translator = Translator(model, self.prepared.subwords, self.config, CPU, choose_precision("fp32", CPU))
        return translator.translate(lines, self.config.decoding.with_beam(1))


def weights(learner: Learner) -> dict[str, Tensor]:
    """A copy of every parameter."""
    return {name: parameter.detach().clone() for name, parameter in learner.model.named_parameters()}


def differing(one: dict[str, Tensor], other: dict[str, Tensor]) -> list[str]:
    """Names of the tensors that are not the same bit for bit."""
    assert one.keys() == other.keys()
    return [name for name in one if not torch.equal(one[name], other[name])]
