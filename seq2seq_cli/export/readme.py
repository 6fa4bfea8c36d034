"""The README.md of an export: Python that translates with it, written for this very run, and what to know of it."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

from seq2seq_cli.config.sections import DecodingConfig
from seq2seq_cli.data.subword import BOS, EOS, PAD, Subwords
from seq2seq_cli.decoding.every_line import MOST_PIECES
from seq2seq_cli.decoding.translator import Translator

README = "README.md"
EXAMPLES = {"de": "Ein Hund schläft.", "es": "Un perro duerme.", "fr": "Un chien dort."}
ELSE = "A dog is asleep."
"""A sentence to try, by the source language."""


def names_of(subwords: Subwords) -> tuple[str, str]:
    """The names of the tokenizers' files: source and target."""
    return ("subword.model",) * 2 if subwords.joint else ("subword.src.model", "subword.tgt.model")


def save_tokenizers(translator: Translator, folder: Path) -> None:
    """Write both sides' SentencePiece models."""
    src, tgt = names_of(translator.subwords)
    translator.subwords.src.save(folder / src)
    translator.subwords.tgt.save(folder / tgt)


def for_ctranslate2(translator: Translator) -> str:
    """How an export to CTranslate2 is used."""
    src, tgt = names_of(translator.subwords)
    example = EXAMPLES.get(translator.config.data.src or "", ELSE)
    decoding = translator.config.decoding
    by_word = translator.subwords.src.word_by_word
    pieces = '["▁" + word for word in line.split()]' if by_word else "src.encode(line, out_type=str)"
    code = f"""import unicodedata, ctranslate2, sentencepiece

model = ctranslate2.Translator(".", compute_type="float32")
src, tgt = (sentencepiece.SentencePieceProcessor(name) for name in ("{src}", "{tgt}"))
lines = [" ".join(unicodedata.normalize("NFC", line).split()) for line in ["{example}"]]

pieces = [{pieces} for line in lines]
found = model.translate_batch(pieces, {_search(decoding)})
print(*(tgt.decode(each.hypotheses[0]) for each in found), sep="\\n")
"""
    return _page(
        translator,
        "CTranslate2",
        "pip install ctranslate2 sentencepiece",
        code,
        [
            "Of the lines above, the last three translate; `lines` may hold any number of sentences. "
            '`compute_type="int8"` is quicker; `inter_threads` and `intra_threads` say on how many cores.',
            "`length_penalty` means the same as in seq2seq: scores are log-probabilities over (pieces + 1) to its power. "
            "`</s>` at the end of a source and `<s>` at the beginning of a translation are put by the model itself.",
            *_of_length(decoding),
        ],
    )


def _search(decoding: DecodingConfig) -> str:
    longest = decoding.max_length or "min(2 * (n := max(map(len, pieces))) + 20, n + 200)"
    return (
        f"beam_size={decoding.beam}, length_penalty={decoding.length_penalty}, max_input_length=0,\n"
        f"                              min_decoding_length={decoding.min_length}, max_decoding_length={longest}"
    )


def _of_length(decoding: DecodingConfig) -> list[str]:
    notes = []
    if not decoding.max_length:
        notes.append(
            "`max_decoding_length` is seq2seq's, of the longest line; there every line has its own. Positions are known for lines "
            f"of up to {MOST_PIECES:,} pieces."
        )
    if decoding.min_length:
        notes.append(
            "While a translation may not end, CTranslate2 shares out the probability of `</s>` among the other pieces, and seq2seq "
            "does not: with a `min_decoding_length` their scores, and some translations, differ."
        )
    return notes


def for_onnx(translator: Translator) -> str:
    """How an export to ONNX is used."""
    src, tgt = names_of(translator.subwords)
    example = EXAMPLES.get(translator.config.data.src or "", ELSE)
    decoding = translator.config.decoding
    longest = decoding.max_length or "min(2 * len(ids) + 18, len(ids) + 199)"
    ending = f" + [{EOS}] * (len(written) < {decoding.min_length})" if decoding.min_length else ""
    by_word = translator.subwords.src.word_by_word
    ids = 'src.piece_to_id(["▁" + word for word in line.split()])' if by_word else "src.encode(line)"
    code = f"""import unicodedata, numpy, onnxruntime, sentencepiece

encoder, step = (onnxruntime.InferenceSession(name) for name in ("encoder.onnx", "step.onnx"))
src, tgt = (sentencepiece.SentencePieceProcessor(name) for name in ("{src}", "{tgt}"))
line = " ".join(unicodedata.normalize("NFC", "{example}").split())

ids = [*{ids}, {EOS}]
source = numpy.array([ids])
given = dict(zip([it.name for it in encoder.get_outputs()], encoder.run(None, {{"source": source, "mask": source > -1}})))
token, written = {BOS}, []
while token != {EOS} and len(written) < {longest}:
    given |= {{"token": numpy.array([token]), "step": numpy.array(len(written))}}
    said = dict(zip([it.name for it in step.get_outputs()], step.run(None, given)))
    given |= {{name.removeprefix("next_"): value for name, value in said.items() if name.startswith("next_")}}
    said["logits"][0, [{PAD}, {BOS}]{ending}] = -numpy.inf
    token = int(said["logits"][0].argmax())
    written.append(token)
print(tgt.decode([token for token in written if token != {EOS}]))
"""
    return _page(
        translator,
        "ONNX",
        "pip install numpy onnxruntime sentencepiece",
        code,
        [
            "`encoder.onnx`: `source`, piece ids with `</s>` (B x S, 64-bit integers), and `mask`, True at real ones (B x S) -> "
            "all that the steps need: `memory_...`, which stays, and `state_...`, before the first step.",
            "`step.onnx`: these, `token`, the piece written last (B; `<s>` first), and `step`, the number of steps taken before "
            "-> `logits` over the next piece (B x V), `weights` over the source (B x S, where the attention has any), and "
            "`next_state_...`. B, S and the number of steps may be any.",
            "For a search with a beam, give the encoder each source as often as the beam is wide, and re-order the rows of the "
            "states; the memory of those rows is the same.",
        ],
    )


def _page(translator: Translator, form: str, install: str, code: str, notes: list[str]) -> str:
    data, run = translator.config.data, translator.run
    languages = f"{data.src} to {data.tgt}" if data.src and data.tgt else "A translator"
    name = "" if run is None else f" from the run {run.directory.name}"
    reading = (
        "Text is read as in training: normal form NFC, and single spaces. seq2seq itself also drops characters that cannot be seen "
        "(zero-width spaces, soft hyphens, direction marks) and reads a literal ▁ as itself, where SentencePiece makes a space of "
        "it. `⁇` stands for an unknown piece. A line without a word has an empty translation."
    )
    if translator.config.decoding.shortlist:
        notes = [*notes, "The run's shortlist is left out: the whole vocabulary is searched."]
    return "\n".join(
        [
            f"# {languages}, for {form}",
            "",
            f"Exported{name} by seq2seq {version('seq2seq-cli')}. `{install}`, and in this folder:",
            "",
            f"```python\n{code}```",
            "",
            *(f"- {note}" for note in [*notes, reading]),
            "",
        ]
    )
