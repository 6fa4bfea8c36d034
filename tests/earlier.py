"""Tokenizers as versions before this one made them, which runs of those versions still have."""

import io
from collections.abc import Sequence

from sentencepiece import SentencePieceTrainer

from seq2seq_cli.data.subword import BOS, EOS, PAD, UNK, Subword


def earlier_subword(sentences: Sequence[str], kind: str, vocab_size: int) -> Subword:
    """A model whose marks are called as people read them."""
    model = io.BytesIO()
    SentencePieceTrainer.train(
        sentence_iterator=iter(sentences),
        model_writer=model,
        model_type=kind,
        vocab_size=vocab_size,
        hard_vocab_limit=False,
        character_coverage=1.0,
        normalization_rule_name="identity",
        pad_id=PAD,
        unk_id=UNK,
        bos_id=BOS,
        eos_id=EOS,
        num_threads=4,
        minloglevel=2,
    )
    return Subword(model.getvalue())
