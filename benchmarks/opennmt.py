"""Training steps beside OpenNMT-py's, on the same pieces and with the same sizes, in turn.

python -m benchmarks.opennmt --environment ~/opennmt --threads 1

The environment is one with OpenNMT-py 3.5.1 in it (its folder, with bin/onmt_train), made by whoever wants to compare:
nothing of this project needs it, and it may need another torch. Both train by batches of 2,048 target positions, with joint
byte pairs and dropout of 0.3; OpenNMT-py in float32, for it has nothing else on a processor.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Annotated

import typer

from benchmarks import common
from benchmarks.children import Place, module, program
from seq2seq_cli.config.loading import load
from seq2seq_cli.config.whole import Config
from seq2seq_cli.data.corpora import find_corpus
from seq2seq_cli.data.pairs import ParallelText
from seq2seq_cli.data.prepare import prepare
from seq2seq_cli.data.subword import Subword
from seq2seq_cli.device import choose_device, choose_precision
from seq2seq_cli.errors import DataError, RunError

BATCH, VOCABULARY = 2048, 8000
SETTINGS = (
    "subword.type=bpe",
    f"subword.vocab_size={VOCABULARY}",
    f"training.batch_tokens={BATCH}",
    "model.dropout=0.3",
)
UPDATES = 50
SPEED = re.compile(r"Step +(\d+)/.*?([\d.]+)/([\d.]+) tok/s")


@dataclass(frozen=True)
class Pair:
    """Target tokens a second: ours, those of OpenNMT-py over its updates 26 to 50, and how many times as fast ours is."""

    what: str
    ours: str
    theirs: str
    threads: int
    our_rate: float
    their_rate: float
    ratio: float


@dataclass(frozen=True)
class Ours:
    """A way to train here, and the attention of OpenNMT-py that it is compared with."""

    attention: str
    theirs: str
    feeding: bool = True

    @property
    def flags(self) -> list[str]:
        return [f"--attention={self.attention}", *([] if self.feeding else ["--set=attention.input_feeding=false"])]

    def called(self, precision: str) -> str:
        """Its name in a table."""
        return f"`{self.attention}`{'' if self.feeding else ' without input feeding'}, {precision}"


PAIRS = (Ours("bahdanau", "mlp"), Ours("luong-general", "general"), Ours("luong-general", "general", feeding=False))


def require_installed(environment: Path) -> None:
    """Raises RunError where OpenNMT-py is not there."""
    if not (environment / "bin" / "onmt_train").is_file():
        hint = "Name the folder that OpenNMT-py is installed in."
        raise RunError("there is no bin/onmt_train.", str(environment), hint)


def write_pieces(text: ParallelText, subwords: Sequence[Subword], folder: Path, name: str) -> None:
    """The pieces of a text, as words in the files NAME.src and NAME.tgt."""
    for side, subword, lines in zip(("src", "tgt"), subwords, zip(*text.pairs(), strict=True), strict=True):
        pieces = (" ".join(subword.pieces(ids)) for ids in subword.encode(list(lines)))
        (folder / f"{name}.{side}").write_text("".join(f"{line}\n" for line in pieces), encoding="utf-8")


def their_settings(folder: Path, attention: str) -> dict[str, object]:
    """What OpenNMT-py is told: the sizes of our defaults."""
    texts = {
        split: {f"path_{side}": str(folder / f"{split}.{side}") for side in ("src", "tgt")}
        for split in ("train", "dev")
    }
    vocabulary = str(folder / "vocabulary")
    return {
        "data": {"corpus_1": {**texts["train"], "weight": 1}, "valid": texts["dev"]},
        "save_data": str(folder / "data"), "save_model": str(folder / "model"), "overwrite": True,
        "src_vocab": vocabulary, "tgt_vocab": vocabulary, "share_vocab": True,
        "src_vocab_size": VOCABULARY, "tgt_vocab_size": VOCABULARY,
        "encoder_type": "brnn", "decoder_type": "rnn", "rnn_type": "LSTM", "enc_layers": 1, "dec_layers": 1,
        "word_vec_size": 256, "hidden_size": 512, "bridge": True, "input_feed": 1, "global_attention": attention,
        "dropout": [0.3], "attention_dropout": [0.0], "optim": "adam", "learning_rate": 0.001, "max_grad_norm": 5,
        "label_smoothing": 0.1, "batch_type": "tokens", "normalization": "tokens", "batch_size": BATCH,
        "num_workers": 0, "bucket_size": 30000, "model_dtype": "fp32", "seed": 42,
        "train_steps": UPDATES, "report_every": UPDATES // 2, "valid_steps": 100 * UPDATES,
        "save_checkpoint_steps": 100 * UPDATES,
    }  # fmt: skip


def speed_in(log: Iterable[str]) -> float:
    """Target tokens a second in the last report of its log. Raises DataError where there is none."""
    found = [match for line in log if (match := SPEED.search(line))]
    if not found or int(found[-1][1]) != UPDATES:
        raise DataError(f"OpenNMT-py did not report its update {UPDATES}.")
    return float(found[-1][3])


def their_speed(environment: Path, folder: Path, attention: str, threads: int) -> float:
    """Of one training by OpenNMT-py."""
    settings = folder / f"{attention}.yaml"
    settings.write_text(json.dumps(their_settings(folder, attention)), encoding="utf-8")  # which is YAML as well
    if not (folder / "vocabulary").exists():
        program([str(environment / "bin" / "onmt_build_vocab"), "-config", str(settings), "-n_sample", "-1"])
    place = Place(environment={"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)})
    told = program([str(environment / "bin" / "onmt_train"), "-config", str(settings)], place)
    return speed_in(told.err.splitlines() + told.out.splitlines())


def our_speed(ours: Ours, precision: str, threads: int, texts: Sequence[str]) -> float:
    """Of one training here."""
    settings = [f"--set={setting}" for setting in SETTINGS]
    how = [*ours.flags, f"--precision={precision}", f"--threads={threads}", "--steps=25", "--warm-up=15", "--json"]
    record = json.loads(module("benchmarks.train_speed", *how, *settings, *texts))[0]
    return float(record["target_tokens_per_second"])


def prepared_pieces(config: Config, folder: Path) -> None:
    """Write the text of ``config`` in the pieces that it is trained on here."""
    corpus, subwords = find_corpus(config.data), prepare(config.data, config.subword).subwords
    for text, name in ((corpus.train, "train"), (corpus.dev, "dev")):
        write_pieces(text, (subwords.src, subwords.tgt), folder, name)


def main(
    environment: Annotated[Path, typer.Option(help="A folder with bin/onmt_train of OpenNMT-py 3.5.1.")],
    texts: common.Texts,
    threads: Annotated[int, typer.Option(min=1, help="Processor threads of both.")] = 1,
    rounds: Annotated[int, typer.Option(min=1, help="How often each trains.")] = 1,
    as_json: common.JsonOption = False,
) -> None:
    """Target tokens a second, theirs and ours in turn."""
    require_installed(environment)
    native = choose_precision("auto", choose_device("cpu")).name
    speeds: dict[tuple[Ours, str], list[float]] = {
        (ours, name): [] for name in dict.fromkeys((native, "fp32")) for ours in PAIRS
    }
    theirs: dict[str, list[float]] = {ours.theirs: [] for ours in PAIRS}
    with tempfile.TemporaryDirectory() as name:
        prepared_pieces(load(None, SETTINGS, texts.flags), Path(name))
        for _ in range(rounds):
            for attention, found in theirs.items():
                found.append(their_speed(environment, Path(name), attention, threads))
                for (ours, precision), own in speeds.items():
                    if ours.theirs == attention:
                        own.append(our_speed(ours, precision, threads, texts.options))
    rows = [
        Pair("training", ours.called(precision), ours.theirs, threads, median(own), median(other := theirs[ours.theirs]),
             median(a / b for a, b in zip(own, other, strict=True)))
        for (ours, precision), own in speeds.items()
    ]  # fmt: skip
    common.show(rows, as_json, "beside OpenNMT-py")


if __name__ == "__main__":
    common.command(main)
