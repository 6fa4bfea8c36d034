"""An invented language in which a word cannot be translated without the sentence before the last: a document has three sentences,
of which the first names something, the second does not matter, and the third says "ono" of what was named, which is translated by
one of two pronouns, as the noun's gender has it."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from corpora import write_lines
from models import set_by_name

from seq2seq_cli.config.loading import from_dict
from seq2seq_cli.data.prepare import prepare
from seq2seq_cli.decoding.translator import Translator
from seq2seq_cli.device import choose_precision
from seq2seq_cli.model.build import build

NOUNS = {"ba": ("bor", 0), "de": ("dun", 1), "fi": ("fal", 0), "go": ("gim", 1), "hu": ("hep", 0), "ja": ("jol", 1)}
"""The translation of each noun, and its gender."""
VERBS = {"kess": "ruk", "lomm": "siv", "mutt": "tef", "nill": "vaz"}
PRONOUN, PRONOUNS = "ono", ("er", "sie")
FILLERS = {"paq": "wen", "qit": "xom", "rux": "yab", "sev": "zid"}


@dataclass(frozen=True)
class Stories:
    """Their sentences, ``src`` and ``tgt``, and the document of each, ``ids``."""

    src: list[str]
    tgt: list[str]
    ids: list[str]

    @classmethod
    def drawn(cls, count: int, seed: int) -> "Stories":
        """``count`` documents, half of them with each gender."""
        rng, src, tgt, ids = random.Random(seed), list[str](), list[str](), list[str]()
        for number in range(count):
            noun, verb, other = rng.choice(list(NOUNS)), rng.choice(list(VERBS)), rng.choice(list(VERBS))
            fillers = rng.choices(list(FILLERS), k=rng.randint(1, 3))
            name, gender = NOUNS[noun]
            src += [f"{noun} {verb}", " ".join(fillers), f"{PRONOUN} {other}"]
            tgt += [f"{name} {VERBS[verb]}", " ".join(map(FILLERS.__getitem__, fillers))]
            tgt.append(f"{PRONOUNS[gender]} {VERBS[other]}")
            ids += [f"story {number}:{place}" for place in (1, 2, 3)]
        return cls(src, tgt, ids)

    def write(self, folder: Path, split: str) -> None:
        """As files of lines, with one of ids beside them."""
        for ending, lines in (("xx", self.src), ("yy", self.tgt), ("ids", self.ids)):
            write_lines(folder / f"{split}.{ending}", lines)

    def right(self, translations: Sequence[str]) -> float:
        """The share of pronouns that are translated rightly."""
        places = range(2, len(self.tgt), 3)
        return sum(translations[place].split()[:1] == self.tgt[place].split()[:1] for place in places) / len(places)


def translator_of(
    context: str, folder: Path, copy: bool = False, layers: Mapping[str, dict[str, object]] | None = None
) -> Translator:
    """A model of the language, whose text is in ``folder``, with any weights, which are the same wherever the models are.
    ``layers``: sections that are laid over its settings."""
    files = {split: str(folder / split) for split in ("train", "dev")}
    han: dict[str, object] = {"heads": 2, "feed_forward_size": 8} if context.startswith("han") else {}
    values: dict[str, dict[str, object]] = {
        "data": {**files, "src": "xx", "tgt": "yy"},
        "subword": {"type": "word", "vocab_size": 60, "joint": copy},
        "model": {"embedding_size": 8, "hidden_size": 8, "context": context, "copy": copy},
        "context": han,
        "decoding": {"beam": 2, "max_length": 6},
    }
    values |= {name: values.get(name, {}) | section for name, section in (layers or {}).items()}
    config = from_dict(values)
    subwords = prepare(config.data, config.subword, context=config.reads_before).subwords
    network = build(config, len(subwords.src), len(subwords.tgt)).eval()
    set_by_name(network)
    device = torch.device("cpu")
    return Translator(network, subwords, config, device, choose_precision("fp32", device))
