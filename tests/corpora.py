"""An invented language, small enough to be learned in seconds: each word has one translation, and a sentence
that begins with "umgekehrt" is translated backwards.

A pytest plugin with the fixtures that share one corpus and one trained run.
"""

import gc
import os
import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import create_autospec

import pytest
from filelock import FileLock

from seq2seq_cli.config.loading import from_dict
from seq2seq_cli.config.whole import Config
from seq2seq_cli.runs import Run

WORDS = {
    "ta": "la", "nu": "ro", "ki": "se", "po": "mu", "ze": "dai", "wu": "fo", "bi": "gen", "ho": "hal", "xa": "jun",
    "ge": "vex",
}  # fmt: skip
BACKWARDS = "umgekehrt"
RESAMPLES = 100
"""Behind an interval, in these tests."""


def translation(sentence: str) -> str:
    """The one right translation."""
    words = sentence.split()
    if words[:1] == [BACKWARDS]:
        words = words[:0:-1]
    return " ".join(WORDS[word] for word in words)


def sentences(count: int, seed: int, longest: int = 6) -> list[str]:
    """``count`` sentences of one to ``longest`` words; half of them to be reversed."""
    rng = random.Random(seed)
    drawn = []
    for _ in range(count):
        words = rng.choices(list(WORDS), k=rng.randint(1, longest))
        drawn.append(" ".join([BACKWARDS, *words] if rng.random() < 0.5 else words))
    return drawn


def write_lines(path: Path, lines: list[str]) -> None:
    """``lines``, each ended by a line feed."""
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="")


@dataclass(frozen=True)
class TinyCorpus:
    """Its files in ``folder``: train, dev and test, in the languages "xx" and "yy"."""

    folder: Path

    @classmethod
    def write(cls, folder: Path, train: int = 300, dev: int = 24, test: int = 24) -> "TinyCorpus":
        """Generate it; the same every time."""
        folder.mkdir(parents=True)
        for seed, (split, count) in enumerate({"train": train, "dev": dev, "test": test}.items()):
            sources = sentences(count, seed)
            write_lines(folder / f"{split}.xx", sources)
            write_lines(folder / f"{split}.yy", [translation(source) for source in sources])
        return cls(folder)

    def settings(self, **sections: dict[str, object]) -> dict[str, dict[str, object]]:
        """A configuration that trains in a second or two, as plain values; ``sections`` are laid over it."""
        files = {split: str(self.folder / split) for split in ("train", "dev", "test")}
        values: dict[str, dict[str, object]] = {
            "data": {**files, "src": "xx", "tgt": "yy"},
            "subword": {"vocab_size": 60},
            "model": {"embedding_size": 24, "hidden_size": 32, "dropout": 0.1},
            "attention": {"kind": "bahdanau"},
            "training": {
                "epochs": 4,
                "batch_tokens": 200,
                "learning_rate": 0.01,
                "warmup_steps": 5,
                "device": "cpu",
                "precision": "fp32",
                "threads": 1,
            },
            "decoding": {"beam": 3},
        }
        for name, section in sections.items():
            values[name] = values.get(name, {}) | section
        return values

    def config(self, **sections: dict[str, object]) -> Config:
        """The same, checked."""
        return from_dict(self.settings(**sections))


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Prepared data are kept for this session alone."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEQ2SEQ_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="session", autouse=True)
def little_beside_the_training() -> Iterator[None]:
    """Six pictures, ten thousand trials of a paired test, a thousand resamples behind each interval, and a look for garbage
    through all that the tests have imported, took as long as all the rest of a tiny training."""
    from seq2seq_cli.evaluation.metrics import RANDOMISATION, PairedTest, PValues, paired

    def quickly(
        one: Any, others: Any, references: Any, tokenizer: str, test: PairedTest = RANDOMISATION
    ) -> list[PValues]:
        return paired(one, others, references, tokenizer, replace(test, trials=500))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("seq2seq_cli.training.experiment.PICTURES", 1)
        for user in ("training.change", "evaluation.systems"):
            patch.setattr(f"seq2seq_cli.{user}.paired", quickly)
        patch.setattr("seq2seq_cli.evaluation.metrics.RESAMPLES", RESAMPLES)
        # What it does is tested by itself (test_training); of other names than Python's there are none.
        patch.setattr("seq2seq_cli.training.loop.gc", create_autospec(gc))
        # Commands that choose for themselves would leave this process with a thread a core, and tests side by side would wait for
        # each other's: tiny models took twenty times as long.
        patch.setattr("seq2seq_cli.device.available_cores", lambda: 1)
        yield


@pytest.fixture(scope="session")
def shared_by_workers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of this session's, one for all of pytest-xdist's processes."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


def made_once(path: Path, make: Callable[[Path], object]) -> None:
    """``path``, made by the first process that asks for it, while the others wait."""
    with FileLock(path.with_suffix(".lock")):
        if not path.exists():
            unfinished = path.with_suffix(".unfinished")
            make(unfinished)
            unfinished.rename(path)


@pytest.fixture(scope="session")
def tiny_corpus(shared_by_workers: Path) -> TinyCorpus:
    """The language's text, for everyone to read."""
    made_once(shared_by_workers / "tiny", TinyCorpus.write)
    return TinyCorpus(shared_by_workers / "tiny")


@pytest.fixture(scope="session")
def trained_run(tiny_corpus: TinyCorpus, shared_by_workers: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that has learned something of the language, for everyone to read and nobody to change. Trained once; each process
    has a copy."""
    from seq2seq_cli.training.experiment import experiment

    def train(directory: Path) -> None:
        for _ in experiment(tiny_corpus.config(training={"epochs": 25}), directory, resume=False, overwrite=False):
            pass

    made_once(shared_by_workers / "tiny-bahdanau", train)
    copy = tmp_path_factory.mktemp("runs") / "tiny-bahdanau"
    return Run(Path(shutil.copytree(shared_by_workers / "tiny-bahdanau", copy)))


@pytest.fixture(scope="session")
def transformer_run(tiny_corpus: TinyCorpus, shared_by_workers: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of Transformer layers (two and two, of two heads each), barely trained, for everyone to read and nobody to
    change. Trained once; each process has a copy."""
    from seq2seq_cli.training.experiment import experiment

    layers: dict[str, object] = {
        "encoder": "transformer", "decoder": "transformer", "embedding_size": 24, "hidden_size": 32, "encoder_layers": 2,
        "decoder_layers": 2, "feed_forward_size": 48, "dropout": 0.1,
    }  # fmt: skip
    config = tiny_corpus.config(
        model=layers, attention={"kind": "multi-head", "heads": 2, "layer": 1}, self_attention={"heads": 2},
        training={"epochs": 3},
    )  # fmt: skip

    def train(directory: Path) -> None:
        for _ in experiment(config, directory, resume=False, overwrite=False):
            pass

    made_once(shared_by_workers / "tiny-transformer", train)
    copy = tmp_path_factory.mktemp("runs") / "tiny-transformer"
    return Run(Path(shutil.copytree(shared_by_workers / "tiny-transformer", copy)))
