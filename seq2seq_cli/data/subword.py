"""Subword models (SentencePiece): text to piece ids and back."""

import io
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from sentencepiece import SentencePieceProcessor, SentencePieceTrainer

from seq2seq_cli.config.sections import SubwordConfig
from seq2seq_cli.data.invisible import NONCHARACTERS
from seq2seq_cli.data.text import clean
from seq2seq_cli.errors import ConfigError, DataError, RunError
from seq2seq_cli.files import read_bytes
from seq2seq_cli.runs import Run, written_whole

PAD, UNK, BOS, EOS = range(4)
UNKNOWN, BEGIN, END = "<unk>", "<s>", "</s>"
MARKS = ("<pad>", UNKNOWN, BEGIN, END)
"""The pieces PAD, UNK, BOS and EOS, as people read them."""

SPACE = "▁"
"""SentencePiece's sign for the space before a word."""

UNREADABLE = "⁇"
"""Stands in a text for a piece that is not in the vocabulary."""

OWN, _SPACE_WITHIN, _BLOCK_WITHIN = list(NONCHARACTERS)[:3]
"""Characters that no cleaned text holds. Within the model the name of a mark has OWN before it, so that text may hold
the plain name: otherwise SentencePiece would keep the characters of the name out of the vocabulary."""
_ESCAPES = ((SPACE, _SPACE_WITHIN), ("▅", _BLOCK_WITHIN))
"""Characters that SentencePiece reserves for itself (it would not learn from a line with the second one), and what
stands for them within a model."""

LARGEST_MODEL = 64 << 20
"""Most bytes of a model's file: two million pieces."""

CLOSING = "\"'”’»)]}"
"""Characters that may follow the end of a sentence and still belong to it."""

THREADS = 4
"""Threads of the trainer. A constant, because sums over threads, and so the model, depend on the number of threads."""

LONGEST = 1000
"""Most characters that the trainer is given as one line; longer lines are given in parts. The trainer leaves out lines
of more than 4192 bytes and cannot take words of more than 65535 characters."""


class Subword:
    """One SentencePiece model.

    Text is put through `text.clean` and otherwise left as it is. SentencePiece's own default (nmt_nfkc) would rewrite
    the target text for good, for instance full-width commas and the ellipsis character, and a model that never sees
    them cannot write them. `decode` gives back whatever a line holds, if the training text held its characters: its
    case and punctuation, white space as single spaces, and whatever looks like a mark or a space of SentencePiece's
    own.

    Models of earlier versions give marks the names that people read. They keep the rules by which they were trained:
    other characters became spaces, a literal ▁ is a space, and unknown words in a row are one piece.
    """

    def __init__(self, model: bytes) -> None:
        self.model = model
        self._processor = SentencePieceProcessor()
        self._processor.load_from_serialized_proto(model)
        self._escapes = self.name_within(PAD).startswith(OWN)

    @classmethod
    def load(cls, path: Path) -> "Subword":
        """The model in a file. Raises RunError where it is missing, is no SentencePiece model, or was not made here."""
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
        """Write the model to a file, whole or not at all."""
        with written_whole(path) as temporary:
            temporary.write_bytes(self.model)

    def __len__(self) -> int:
        return int(self._processor.get_piece_size())

    def encode(self, lines: list[str], threads: int = 1) -> list[list[int]]:
        """The piece ids of each line, without ``<s>`` and ``</s>``; none for a blank line."""
        read = [self._read(line) for line in lines]
        if self.word_by_word:
            return [self._processor.piece_to_id(_words(line)) for line in read]
        ids: list[list[int]] = self._processor.encode(read, num_threads=threads)
        return ids

    def decode(self, ids: list[int]) -> str:
        """The text of piece ids, with single spaces. ``<s>``, ``</s>`` and padding are left out; an unknown piece is
        ⁇."""
        if UNK in ids:  # SentencePiece puts spaces around an unknown piece, wherever it stands
            unknown = SPACE + UNREADABLE if self._of_words else UNREADABLE
            written = [number for number in ids if number not in (PAD, BOS, EOS)]
            return self.text([unknown if number == UNK else self.pieces([number])[0] for number in written])
        # SentencePiece decodes a list of lists through a thread pool: 1 ms a call, against 2 us here.
        return self._clean(_unescaped(self._processor.decode(ids)))

    def text(self, pieces: Sequence[str]) -> str:
        """The text that pieces spell, as `pieces` or `written_pieces` gives them, without marks."""
        return self._clean(_unescaped("".join(piece.removeprefix(OWN) for piece in pieces).replace(SPACE, " ")))

    def pieces(self, ids: list[int]) -> list[str]:
        """The pieces as people read them: "▁Haus", "</s>". Marks can be told from pieces of text that look like one;
        see `readable`."""
        names: list[str] = self._processor.id_to_piece(ids)
        return [_other_name(name) for name in names] if self._escapes else names

    def name_within(self, number: int) -> str:
        """The piece as the model itself names it: what other programs that read the model call it."""
        return str(self._processor.id_to_piece(number))

    def written_pieces(self, line: str) -> list[str]:
        """The pieces of a line, one for each of its ids; unknown ones are spelled as in the line."""
        read = self._read(line)
        if self.word_by_word:
            return _words(read)
        pieces: list[str] = self._processor.encode(read, out_type=str)
        return pieces

    def ids(self, pieces: list[str]) -> list[int]:
        """The ids of pieces as `pieces` gives them; UNK for an unknown one."""
        names = [_other_name(piece) for piece in pieces] if self._escapes else pieces
        numbers: list[int] = self._processor.piece_to_id(names)
        return numbers

    def _read(self, line: str) -> str:
        """``line`` in the form that the model is given."""
        return _escaped(clean(line)) if self._escapes else _clean_as_before(line)

    def _clean(self, text: str) -> str:
        return clean(text) if self._escapes else _clean_as_before(text)

    @cached_property
    def _of_words(self) -> bool:
        """Whether pieces are whole words. (Every other kind of model also has the single characters.)"""
        pieces = (self.name_within(number) for number in range(EOS + 1, len(self)))
        return all(piece.startswith(SPACE) and piece != SPACE for piece in pieces)

    @property
    def word_by_word(self) -> bool:
        """Whether words are encoded one by one: SentencePiece itself makes one piece of several unknown words in a
        row."""
        return self._escapes and self._of_words

    def ending(self, marks: str) -> list[int]:
        """The ids of the pieces whose text ends with one of the characters ``marks``, perhaps followed by closing
        quotes and brackets. Where pieces are words, "house." is such a piece, and so is "Mr."."""
        texts = (piece.rstrip(CLOSING) for piece in self.pieces(list(range(len(self)))))
        return [number for number, text in enumerate(texts) if text.endswith(tuple(marks))]


def as_written(piece: str) -> str:
    """A piece of a line as `written_pieces` has it, from the name that `pieces` gives it."""
    return piece.removeprefix(OWN)


def readable(piece: str) -> str:
    """A piece as a label shows it: as in the line, ⁇ for an unknown one. Spaces stay ▁, and so does a ▁ of the text."""
    return UNREADABLE if piece == UNKNOWN else _unescaped(piece.removeprefix(OWN))


def _other_name(name: str) -> str:
    """From the name of a mark within a model to the name that people read, and back. A piece of text that looks like a
    mark gets a name that no mark has."""
    if name.startswith(OWN):
        return name.removeprefix(OWN)
    return OWN + name if name in MARKS else name


def _escaped(line: str) -> str:
    for character, within in _ESCAPES:
        line = line.replace(character, within)
    return line


def _unescaped(text: str) -> str:
    for character, within in _ESCAPES:
        text = text.replace(within, character)
    return text


def _words(line: str) -> list[str]:
    return [SPACE + word for word in line.split(" ")] if line else []


_NO_TEXT_BEFORE = re.compile("[\x00-\x1f\x7f-\x9f\u200b\ufeff\ud800-\udfff]")


def _clean_as_before(line: str) -> str:
    """`text.clean` as it was when models gave marks the names that people read."""
    return " ".join(_NO_TEXT_BEFORE.sub(" ", unicodedata.normalize("NFC", line)).split())


@dataclass(frozen=True)
class Subwords:
    """The models of both sides; with a joint vocabulary, one and the same object twice."""

    src: Subword
    tgt: Subword

    @property
    def joint(self) -> bool:
        return self.src is self.tgt

    def save(self, run: Run) -> None:
        """Write them to the run's files for them."""
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
    """A model of ``config.vocab_size`` pieces, or of as many as the text is enough for, if these are fewer.

    The same text and settings give the same model. Raises ConfigError where vocab_size is too small for the characters
    of the text. At least one sentence must hold a visible character.
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
            pad_piece=OWN + MARKS[PAD],
            unk_piece=OWN + MARKS[UNK],
            bos_piece=OWN + MARKS[BOS],
            eos_piece=OWN + MARKS[EOS],
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
    """Yields ``sentences``, and notes an error in reading them in ``problems``: SentencePiece would turn it into an
    error of its own."""
    try:
        yield from sentences
    except DataError as problem:
        problems.append(problem)
        raise


def _parts(sentences: Iterable[str]) -> Iterator[str]:
    for sentence in sentences:
        line = _escaped(clean(sentence))
        yield from (line[start : start + LONGEST] for start in range(0, len(line), LONGEST))
