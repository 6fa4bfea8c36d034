"""Subword models (SentencePiece): text to piece ids and back."""

import io
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from sentencepiece import SentencePieceProcessor, SentencePieceTrainer

from seq2seq_cli.config import SubwordConfig
from seq2seq_cli.data.text import clean
from seq2seq_cli.errors import ConfigError, DataError, RunError
from seq2seq_cli.files import read_bytes
from seq2seq_cli.runs import Run, written_whole

PAD, UNK, BOS, EOS = range(4)
END = "</s>"

SPACE = "▁"
"""SentencePiece's sign for the space before a word."""

LARGEST_MODEL = 64 << 20
"""Bytes of a model's file: two million pieces."""

CLOSING = "\"'”’»)]}"
"""What may follow the end of a sentence and still belong to it."""

THREADS = 4
"""Of the trainer; a constant, because sums over threads depend on their number, and so would the model."""

LONGEST = 1000
"""Characters of a line the trainer sees at once. It leaves out lines of more than 4192 bytes and cannot take words
of more than 65535 characters, so longer lines reach it in parts."""


class Subword:
    """One SentencePiece model.

    Text is put through `text.clean` and then taken as it is: SentencePiece's own default (nmt_nfkc) would
    rewrite the target text for good, full-width commas and the character for an ellipsis included, and a model that
    never sees them cannot write them. Case and punctuation come back from `decode` exactly as they were; white space
    comes back as single spaces, decomposed accents composed.
    """

    def __init__(self, model: bytes) -> None:
        self.model = model
        self._processor = SentencePieceProcessor()
        self._processor.load_from_serialized_proto(model)

    @classmethod
    def load(cls, path: Path) -> "Subword":
        """The model in a file. Raises RunError where it is missing, no SentencePiece model, or not one made here."""
        try:
            subword = cls(read_bytes(path, LARGEST_MODEL))
            subword.pieces(list(range(len(subword))))  # text, every one
            processor = subword._processor
            special = processor.pad_id(), processor.unk_id(), processor.bos_id(), processor.eos_id()
        except OSError as error:
            raise RunError(f"the tokenizer cannot be read: {error.strerror}.", str(path)) from None
        except (RuntimeError, UnicodeDecodeError):
            raise RunError("this is not a SentencePiece model.", str(path)) from None
        if special != (PAD, UNK, BOS, EOS):
            raise RunError(
                "this SentencePiece model was not made by seq2seq: it numbers its marks otherwise.", str(path)
            )
        return subword

    def save(self, path: Path) -> None:
        """The model into a file, in one piece."""
        with written_whole(path) as temporary:
            temporary.write_bytes(self.model)

    def __len__(self) -> int:
        return int(self._processor.get_piece_size())

    def encode(self, lines: list[str], threads: int = 1) -> list[list[int]]:
        """The piece ids of each line, ``<s>`` and ``</s>`` not among them; none at all for a blank line."""
        ids: list[list[int]] = self._processor.encode([clean(line) for line in lines], num_threads=threads)
        return ids

    def decode(self, ids: list[int]) -> str:
        """The text of piece ids; ``<s>``, ``</s>`` and padding are nothing, an unknown piece is ⁇."""
        # SentencePiece decodes a list of lists through a thread pool: 1 ms a call, against 2 us here.
        text: str = self._processor.decode(ids)
        return text

    def pieces(self, ids: list[int]) -> list[str]:
        """The pieces as people read them: "▁Haus", "</s>"."""
        names: list[str] = self._processor.id_to_piece(ids)
        return names

    def written_pieces(self, line: str) -> list[str]:
        """The pieces of a line, one for each of its ids, unknown ones as they are written there. Several unknown
        words in a row can be one piece: "▁foo▁bar"."""
        pieces: list[str] = self._processor.encode(clean(line), out_type=str)
        return pieces

    def ids(self, pieces: list[str]) -> list[int]:
        """The ids of pieces written as `pieces` gives them; an unknown one's is UNK."""
        numbers: list[int] = self._processor.piece_to_id(pieces)
        return numbers

    def ending(self, marks: str) -> list[int]:
        """The ids of the pieces whose text ends with one of the characters ``marks``, or so before closing quotes and
        brackets. Where pieces are words, "house." is one, and so is "Mr."."""
        texts = (piece.rstrip(CLOSING) for piece in self.pieces(list(range(len(self)))))
        return [number for number, text in enumerate(texts) if text.endswith(tuple(marks))]


@dataclass(frozen=True)
class Subwords:
    """The models of both sides: one and the same object for a joint vocabulary."""

    src: Subword
    tgt: Subword

    @property
    def joint(self) -> bool:
        return self.src is self.tgt

    def save(self, run: Run) -> None:
        """Into the run's own files for them."""
        if self.joint:
            self.src.save(run.subword("joint"))
        else:
            self.src.save(run.subword("src"))
            self.tgt.save(run.subword("tgt"))

    @classmethod
    def load(cls, run: Run, joint: bool) -> "Subwords":
        """From the run's files. Raises RunError where one is missing or damaged."""
        if joint:
            both = Subword.load(run.subword("joint"))
            return cls(both, both)
        return cls(Subword.load(run.subword("src")), Subword.load(run.subword("tgt")))


def train_subword(sentences: Iterable[str], config: SubwordConfig) -> Subword:
    """A model of ``config.vocab_size`` pieces, or of as many as the text can feed where these are fewer.

    The same text and settings give the same model. Raises ConfigError where vocab_size is too small for the
    characters of the text. At least one sentence must hold a visible character.
    """
    model, problems = io.BytesIO(), list[DataError]()
    try:
        SentencePieceTrainer.train(
            sentence_iterator=_parts(_noting(problems, sentences)),
            model_writer=model,
            model_type=config.type,
            vocab_size=config.vocab_size,
            hard_vocab_limit=False,  # the largest size that works, instead of an error that names it
            character_coverage=config.character_coverage,
            normalization_rule_name="identity",
            pad_id=PAD,
            unk_id=UNK,
            bos_id=BOS,
            eos_id=EOS,
            num_threads=THREADS,
            minloglevel=2,
        )
    except RuntimeError as error:
        if problems:
            raise problems[0] from None
        if needed := re.search(r"smaller than required_chars\. \d+ vs (\d+)", str(error)):
            what = f"{config.vocab_size} pieces are too few: the characters of this text alone need {needed[1]}."
            hint = f"Set it to {needed[1]} or more, or lower subword.character_coverage."
            raise ConfigError(what, "subword.vocab_size", hint) from None
        raise
    return Subword(model.getvalue())


def _noting(problems: list[DataError], sentences: Iterable[str]) -> Iterator[str]:
    """``sentences``; what goes wrong in reading them is noted, of which SentencePiece makes an error of its own."""
    try:
        yield from sentences
    except DataError as problem:
        problems.append(problem)
        raise


def _parts(sentences: Iterable[str]) -> Iterator[str]:
    for sentence in sentences:
        line = clean(sentence)
        yield from (line[start : start + LONGEST] for start in range(0, len(line), LONGEST))
