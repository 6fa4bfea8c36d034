"""What is asked and answered over HTTP, as JSON. From these the server's OpenAPI description is made."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from seq2seq_cli.report.views import Head, LayerView
from seq2seq_cli.serving.limits import MAX_BEAM, MAX_PIECES, MAX_SENTENCES, MAX_TEXT, MAX_WEIGHTS


class Message(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True)


Width = Annotated[int, Field(ge=1, le=MAX_BEAM)]


class Question(Message):
    sentences: Annotated[list[str], Field(max_length=MAX_SENTENCES)]
    """Each is one sentence to the model: line breaks and control characters in it are read as spaces."""
    runs: Annotated[list[str], Field(min_length=1)] | None = None
    """Names from /runs, each once; default: all that are served."""
    nbest: Width = 1
    """Translations of each sentence, best first."""
    beam: Width | None = None
    """Beam width, at least `nbest`; default: the run's own, or as many as `nbest` asks for."""
    alignment: bool = False
    """Also tell where the model looked."""
    confidence: bool = False
    """Also tell how sure each translation is, of runs that are calibrated."""
    layers: bool = False
    """With `alignment`: also where each layer and head looked, self-attention of encoder and decoder included."""
    examples: bool = False
    """With `alignment`: also from which examples of its memory each word came, of runs that have one."""
    document: bool = False
    """The sentences are a document, in its order (an empty one parts documents): models that read the sentences before see, for
    each, those before it. With `alignment`: also where they looked there."""


class LayersLooked(Message):
    """Where each layer of the decoder looked, the bottom layer first: the mean of its heads, and each of them."""

    cross_attention: list[LayerView]
    """A row a target word, a column a source word."""
    masked_self_attention: list[LayerView]
    """Rows and columns are target words, with `<s>` before the first and no `</s>`; none looks at one behind it. Empty where
    the decoder is an RNN or an SSRU."""


class ExampleShown(Message):
    source: str
    target: list[str]
    """Its words, `</s>` the last."""
    word: int
    """Which of them came next there, from 0."""
    weight: float
    """What it adds to the probability."""


class WordFrom(Message):
    share: float
    """Of the probability of the word's pieces, on average, the share that the memory gave."""
    examples: list[ExampleShown]
    """The heaviest; those of the word itself first."""


class LookedBack(Message):
    """Where the states of one side looked in the sentences before: a row a word that looks. Of each sentence there is a column
    `[-n]` with its weight, n sentences before, and behind it are columns of its words, whose weights sum to one; the last column,
    `[kept]`, is what was kept of the state."""

    side: str
    """`encoder` or `decoder`."""
    source: list[str]
    target: list[str]
    heads: Annotated[list[Head], Field(min_length=1, max_length=1)]


class Looked(Message):
    """Where the model looked, word by word, `</s>` the last on both sides: what `TranslationView` writes."""

    run: str
    text: str
    source: list[str]
    target: list[str]
    heads: Annotated[list[Head], Field(max_length=1)]
    """One, or none for a model without attention."""
    layers: LayersLooked | None = None
    """Where they were asked for."""
    origins: list[WordFrom] | None = None
    """Where each target word came from, where examples were asked for and the run has a memory."""
    back: list[LookedBack] | None = None
    """Of a model that reads the sentences before, where there are any."""


class SureWord(Message):
    """A word of a translation, or a mark of punctuation."""

    text: str
    chance: float
    """That a reference has it, as dev has shown."""


class Sure(Message):
    """How sure a translation is."""

    line: float
    """The share of its words that a reference is expected to have: the mean of their chances."""
    words: list[SureWord]
    """In their order."""


class Translated(Message):
    text: str
    score: float
    """log p / length^alpha, what the search ranks by."""
    confidence: Sure | None = None
    """Where it was asked for, and the run is calibrated."""
    alignment: Looked | None = None
    """Words and weights, where they were asked for; in it, what a run has not is left out."""


class Sentence(Message):
    translations: list[Translated]
    """Best first. A sentence without a word has one empty translation."""
    self_attention: list[LayerView] | None = None
    """With `layers`: where each layer of the encoder looked, as for the decoder's; rows and columns are source words, and it is
    the same for all translations. Empty where the encoder is an RNN."""
    warning: str | None = None


class RunAnswer(Message):
    run: str
    sentences: list[Sentence]
    """In the order they were asked in."""


class Answer(Message):
    answers: list[RunAnswer]
    """In the order the runs were asked in."""


class LayerHeads(Message):
    """How many heads each layer has, the bottom layer first; 0 where its weights are not those of heads."""

    cross_attention: list[int]
    """Of the decoder."""
    self_attention: list[int]
    """Of the encoder."""
    masked_self_attention: list[int]
    """Of the decoder."""
    shown: int
    """The decoder's layer, from 1, that an alignment without `layers` shows."""


class RunDescription(Message):
    name: str
    attention: str
    """The attention kind."""
    system: str
    """What the model is called: its attention, before it what it is made of, if that is not RNNs, and behind it how it reads the
    sentences before, if it does."""
    src: str | None
    """Source language."""
    tgt: str | None
    """Target language."""
    precision: str
    beam: int
    """Beam width where a request names none."""
    layers: LayerHeads
    """The layers and heads that a request with `layers` is told of."""
    memory: str | None
    """The memory that takes part, and how."""
    trained_on: int
    """Most pieces of a sentence that the model was trained on."""
    terms: int
    """Terms of the glossary that its translations obey."""
    calibrated: bool
    """Whether it can tell how sure it is."""
    context: str
    """How it reads the sentences before: `model.context`; `none` where it does not."""


class Limits(Message):
    sentences: int = MAX_SENTENCES
    pieces: int = MAX_PIECES
    beam: int = MAX_BEAM
    text: int = MAX_TEXT
    """Of a request without alignment: pieces, summed over sentences and runs, times `nbest`."""
    weights: int = MAX_WEIGHTS
    """Of a request with alignment: squares of the pieces, summed over sentences and runs, times `nbest`; with `layers`,
    each times the layers and heads of the run: the sum of `heads + 1` over its layers, in which those of `self_attention` count
    once, not `nbest` times."""


class Runs(Message):
    runs: list[RunDescription]
    limits: Limits = Limits()


class Health(Message):
    status: str = "ok"
    version: str
    waiting: int
    """Requests that are not answered yet."""


class Refusal(Message):
    """Why a request was not answered as asked."""

    error: str
    where: str | None = None
    """The part of the request, such as `sentences[2]`."""
    limit: int | None = None
    """What would have been taken, where it was too much."""
