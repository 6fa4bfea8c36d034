"""Trained runs on a test set: their translations, scores, sizes and speeds."""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from seq2seq_cli.config.loading import decoding_with, load
from seq2seq_cli.config.sections import DecodingConfig, TokenizerName
from seq2seq_cli.config.whole import Config
from seq2seq_cli.data.corpora import Form, languages
from seq2seq_cli.data.glossary import Glossary, Obeyed
from seq2seq_cli.data.pairs import Lines
from seq2seq_cli.data.rows import Note, quiet
from seq2seq_cli.data.text import CLEANING
from seq2seq_cli.decoding.attentions import AttentionLayers
from seq2seq_cli.decoding.confidence import CalibrationError
from seq2seq_cli.decoding.every_line import MOST_PIECES, best_of_each
from seq2seq_cli.decoding.hypothesis import Hypothesis
from seq2seq_cli.decoding.recalling import AS_IT_SAYS, Given, memories_of, open_memory
from seq2seq_cli.decoding.sentences import Sentence
from seq2seq_cli.decoding.translator import Translator, Watch
from seq2seq_cli.errors import DataError, RunError
from seq2seq_cli.evaluation.by_layer import diagnose_layers
from seq2seq_cli.evaluation.calibration import calibrate, judged
from seq2seq_cli.evaluation.contexts import Control, before_each_line
from seq2seq_cli.evaluation.diagnostics import Diagnostics, diagnose
from seq2seq_cli.evaluation.lengths import LengthScores, score_by_length
from seq2seq_cli.evaluation.metrics import (
    RANDOMISATION,
    PairedTest,
    PValues,
    Reference,
    Scores,
    paired,
    require_tokenizer,
    score_system,
)
from seq2seq_cli.evaluation.testset import FoundTests, with_test
from seq2seq_cli.evaluation.tokenizers import Tokenizer, choose_tokenizer
from seq2seq_cli.files import parse_json
from seq2seq_cli.kinds.attentions import find
from seq2seq_cli.runs import Run, write_json, write_text
from seq2seq_cli.wording import counted, numbered, short_names, without_folders

Keep = Callable[[Sequence[str]], Sequence[int]]
"""Given the source text, returns the rows whose hypotheses are to be kept in full."""


class UsedMemory(NamedTuple):
    """A memory that takes part in translations: what it is called, its digest, what it holds and how neighbours are weighed."""

    name: str
    digest: str
    told: str

    @classmethod
    def of(cls, translator: Translator) -> UsedMemory | None:
        """That of a translator, if it has one."""
        memory = translator.memory
        return None if memory is None else cls(memory.store.name, memory.digest, str(memory))


@dataclass(frozen=True)
class Evaluation:
    """One run on one test set, ``lines``. Its attention is of ``kind``; ``system`` is what it is called beside others.

    ``decoding_seconds``: time for search and detokenisation, with the model already loaded. ``too_long``: how many
    lines are left untranslated. ``kept``: for some rows, from 0, the hypotheses with everything that is known of them,
    such as alignments, of all layers and heads where there are several. ``layers``: the diagnostics of each layer of a
    Transformer decoder, the bottom layer first. ``attention_layers``: which layers and heads there are. ``memory``: the one
    that takes part, if one does. ``obeyed``: how many terms of a glossary, where there is one. ``calibration_error``: of the
    confidence, where the run has just been calibrated. ``control``: which sentences a model looked back at that reads the
    sentences before (None: another model).
    """

    run: Run
    kind: str
    system: str
    lines: Lines
    tokenizer: Tokenizer
    scores: Scores
    by_length: list[LengthScores]
    hypotheses: list[str]
    decoding: DecodingConfig
    precision: str
    decoding_seconds: float
    parameters: int
    training_minutes: float
    test_sha256: str
    diagnostics: Diagnostics | None
    kept: dict[int, Hypothesis] = field(default_factory=dict)
    too_long: int = 0
    layers: Sequence[Diagnostics | None] = ()
    attention_layers: AttentionLayers | None = None
    obeyed: Obeyed | None = None
    calibration_error: CalibrationError | None = None
    memory: UsedMemory | None = None
    control: Control | None = None

    @property
    def label(self) -> str:
        """The directory of its run, and its ``ending``."""
        return f"{self.run.directory}{self.ending}"

    @property
    def ending(self) -> str:
        """What distinguishes it from other evaluations of its run: the memory's name, and whose sentences it looked back at, if
        at others than those before."""
        memory = "" if self.memory is None else f" + {self.memory.name}"
        return memory if self.control in (None, "real") else f"{memory}, context {self.control}"

    @property
    def attends(self) -> bool:
        """Whether its kind of attention has weights at all."""
        return find(self.kind).attends

    @property
    def shown(self) -> int:
        """The decoder's layer, from 1, that ``diagnostics`` are of."""
        return 1 if self.attention_layers is None else self.attention_layers.shown

    @property
    def sentences_per_second(self) -> float:
        return len(self.hypotheses) / self.decoding_seconds

    @property
    def search(self) -> str:
        """The settings that decide which translations are found, for people."""
        decoding = self.decoding
        words = [f"beam {decoding.beam}", f"length penalty {decoding.length_penalty:g}"]
        for name, pieces in (("min", decoding.min_length), ("max", decoding.max_length)):
            if pieces:
                words.append(f"{name} length {pieces}")
        if decoding.shortlist:
            words.append(f"shortlist {decoding.shortlist}")
        if self.memory is not None:
            words.append(f"memory {self.memory.name} ({self.memory.told})")
        return ", ".join([*words, self.precision])

    @property
    def notes(self) -> list[str]:
        """Notes on the test lines, if there are any."""
        if not self.too_long:
            return []
        are = "test line is" if self.too_long == 1 else "test lines are"
        return [f"{self.too_long:,} {are} longer than {MOST_PIECES:,} pieces: left untranslated, and scored so."]

    @property
    def attention_lines(self) -> list[str]:
        """How attention is distributed, for people: a line, or where there are several layers a line for each."""
        if not self.layers:
            return [] if self.diagnostics is None else [f"{self.label}: {self.diagnostics}"]
        return [
            f"{self.label}, layer {number}{' (shown)' if number == self.shown else ''}: {found or 'nothing to measure'}"
            for number, found in enumerate(self.layers, start=1)
        ]

    def to_json(self) -> dict[str, object]:
        """Plain keys; scores as numbers, with their intervals and signatures as keys of their own."""
        scores = self.scores.all
        record: dict[str, object] = {"run": str(self.run.directory), "attention": self.kind, "system": self.system}
        record |= {score.name.lower(): score.value for score in scores}
        record["signature"] = {score.name.lower(): score.signature for score in scores}
        record["text"] = CLEANING
        record["interval_95"] = {score.name.lower(): [score.low, score.high] for score in scores}
        if self.obeyed is not None:
            record["glossary"] = self.obeyed._asdict()
        if self.calibration_error is not None:
            record["calibration"] = asdict(self.calibration_error)
        if self.control is not None:
            record["context"] = self.control
        if self.layers:
            record["layers"] = [
                {"layer": number, "shown": number == self.shown}
                | {"diagnostics": None if found is None else found.to_json()}
                for number, found in enumerate(self.layers, start=1)
            ]
        if self.memory is not None:
            record["memory"] = self.memory._asdict()
        return record | {
            "sentences": len(self.hypotheses),
            "parameters": self.parameters,
            "training_minutes": self.training_minutes,
            "decoding_seconds": self.decoding_seconds,
            "sentences_per_second": self.sentences_per_second,
            "decoding": self.decoding.model_dump(),
            "precision": self.precision,
            "test_sha256": self.test_sha256,
            "by_length": [scores.to_json() for scores in self.by_length],
            "diagnostics": None if self.diagnostics is None else self.diagnostics.to_json(),
        }


class Instead(NamedTuple):
    """What an evaluation takes that is not the run's own: settings of the search and a tokenizer, None where they are, and
    whether the test is ``another`` than the run's. ``context``: what a model that looks back is given to look at."""

    decoding: DecodingConfig | None = None
    tokenizer: Tokenizer | None = None
    another: bool = False
    context: Control = "real"


NOTHING = Instead()


def evaluate_run(
    run: Run,
    test: Lines,
    translator: Translator,
    watch: Watch | None = None,
    instead: Instead = NOTHING,
    keep: Keep | None = None,
    by_layer: bool = False,
    sure: bool = False,
) -> Evaluation:
    """Translate ``test``, score the translations, and write both into the run's ``decodes/``. If nothing is given
    ``instead`` of what is the run's own, also write ``eval.json``. A line of more than MOST_PIECES is left untranslated,
    as by ``translate``. ``watch`` hears how far the search has come. ``by_layer``: whether the attention of each layer of a
    Transformer decoder is measured, which takes about a quarter of the time of the search. ``sure``: whether it is
    measured how well its confidence is calibrated."""
    settings = instead.decoding or translator.config.decoding
    own_tokenizer = _tokenizer(translator.config, test)
    tokenizer = instead.tokenizer or own_tokenizer
    minutes, terms = training_seconds(run) / 60, translator.glossary
    context = translator.config.reads_before
    before = before_each_line(test, context, instead.context)
    begin = time.perf_counter()
    found, too_long, sentences = best_of_each(translator, test.src, settings, watch, before=before)
    seconds = time.perf_counter() - begin
    hypotheses = [hypothesis.text for hypothesis in found]
    memory = UsedMemory.of(translator)
    digest = hashlib.sha256("\n".join(chain(test.src, test.tgt, *test.further)).encode()).hexdigest()
    evaluation = Evaluation(
        run=run,
        kind=translator.config.attention.kind,
        system=translator.config.system if memory is None else f"{translator.config.system} + {memory.name}",
        lines=test,
        tokenizer=tokenizer,
        scores=score_system(hypotheses, test.references, tokenizer.name),
        by_length=score_by_length(test.src, hypotheses, test.references, tokenizer.name),
        hypotheses=hypotheses,
        decoding=settings,
        precision=translator.precision.name,
        decoding_seconds=seconds,
        parameters=translator.model.parameter_count(),
        training_minutes=minutes,
        test_sha256=digest,
        diagnostics=diagnose(hypothesis.alignment for hypothesis in found),
        kept={} if keep is None else _kept(translator, sentences, found, keep(test.src)),
        too_long=too_long,
        layers=diagnose_layers(translator, sentences, found) if by_layer else (),
        attention_layers=translator.attention_layers,
        calibration_error=(translator.calibration.error(judged(translator, test, sentences, found)) if sure else None),
        obeyed=None if terms is None else terms.glossary.judge(test.src, hypotheses),
        memory=memory,
        control=None if context is None else instead.context,
    )
    name = f"{digest[:8]}-beam{settings.beam}-penalty{settings.length_penalty:g}-{translator.precision.name}"
    if terms is not None:
        name += f"-glossary-{terms.digest[:8]}"
    name += "" if memory is None else f"-memory-{memory.digest[:8]}"
    name += "" if instead.context == "real" else f"-context-{instead.context}"
    write_text(run.decodes / f"{name}.txt", "".join(f"{line}\n" for line in hypotheses))
    write_json(run.decodes / f"{name}.json", evaluation.to_json())
    own = instead.decoding is None and tokenizer == own_tokenizer and instead.context == "real"
    if own and not instead.another:
        write_json(run.evaluation, evaluation.to_json())
    return evaluation


def _kept(
    translator: Translator, sentences: Sequence[Sentence], found: Sequence[Hypothesis], rows: Sequence[int]
) -> dict[int, Hypothesis]:
    """What was found for these rows; with all layers and heads, where there is more than one to see, or with where they looked
    back; and with the examples of a memory, where there is one."""
    kept = {row: found[row] for row in rows}
    written = {row: sentences[row] for row in rows if sentences[row].ids and found[row].pieces}
    looked = [found[row] for row in written]
    if translator.attention_layers.several or translator.config.reads_before is not None:
        looked = translator.forced_decoder.looked_into(list(written.values()), looked)
    if translator.memory is not None:
        looked = translator.forced_decoder.with_origins(translator.memory, list(written.values()), looked)
    return kept | dict(zip(written, looked, strict=True))


def _tokenizer(config: Config, test: Lines, given: TokenizerName | None = None) -> Tokenizer:
    """The tokenizer that is ``given``, or else the run's own."""
    return choose_tokenizer(given or config.evaluation.tokenizer, languages(config.data)[1], test.tgt)


def training_seconds(run: Run) -> float:
    """Time spent on training and on evaluating on dev, over all sittings. Raises RunError where none is recorded."""
    for line in reversed(run.metrics_lines()):
        with contextlib.suppress(ValueError, KeyError, TypeError, OverflowError):
            return float(parse_json(line)["seconds"])
    raise RunError("there is no record of a training here.", str(run.metrics))


@dataclass(frozen=True)
class Comparison:
    """Runs on one test set. ``significance``: the p-values of each run's difference from the first one, by
    ``paired_test``; None for the first run. ``against_real``: for the numbers of evaluations that look back at other sentences
    than those before, from the same run that looks back at these."""

    test: str
    evaluations: list[Evaluation]
    significance: list[PValues | None]
    paired_test: PairedTest = RANDOMISATION
    against_real: Mapping[int, PValues] = field(default_factory=dict)

    @property
    def title(self) -> str:
        beams = dict.fromkeys(str(evaluation.decoding.beam) for evaluation in self.evaluations)
        sentences = counted(len(self.evaluations[0].hypotheses), "sentence")
        return f"{self.test_name}: {sentences}, beam {', '.join(beams)}"

    @property
    def test_name(self) -> str:
        """``test`` without the folders of its files, for pages and tables that may be sent to others."""
        return without_folders(self.test)

    @property
    def names(self) -> list[str]:
        """Short names of the evaluations: what distinguishes the folders of their runs, and their ``ending``."""
        directories = list(dict.fromkeys(one.run.directory.resolve() for one in self.evaluations))
        short = dict(zip(directories, short_names(directories), strict=True))
        return numbered([short[one.run.directory.resolve()] + one.ending for one in self.evaluations])

    @property
    def signatures(self) -> list[str]:
        """sacreBLEU's description of each score, how the text was cleaned before, and the test that gave the
        p-values."""
        first = self.evaluations[0]
        described = [f"{score.name}: {score.signature}" for score in first.scores.all]
        if first.tokenizer.why:
            described.append(f"tokenizer: {first.tokenizer.why}")
        described.append(f"text: {CLEANING}")
        return described if len(self.evaluations) == 1 else [*described, f"p: {self.paired_test}"]

    def to_json(self) -> list[dict[str, object]]:
        """One object a run."""
        return [
            evaluation.to_json()
            | {
                "p_against_first": None if p is None else asdict(p),
                "significance": None if p is None else str(self.paired_test),
            }
            | ({"p_against_real": asdict(self.against_real[number])} if number in self.against_real else {})
            for number, (evaluation, p) in enumerate(zip(self.evaluations, self.significance, strict=True))
        ]


@dataclass(frozen=True)
class Terms:
    """On what runs are compared, and how.

    ``test``, with ``references`` as for `open_test`; None: the test set that all runs are configured with.
    ``decoding``: settings that replace the runs' own (None: not given), ``called`` as for `decoding_with`. ``tokenizer``:
    the one for all runs, instead of their own. ``one_source``: whether all runs must translate the same text, which results
    by sentence or by source length need. ``glossary``: the one that all translations obey.
    ``calibrate``: whether the confidence of each run is calibrated on its dev text, by the same search without a glossary.
    ``memories``: folders of memories, with which the runs that they are of are evaluated once more; ``given`` says what is to be
    weighed otherwise than they say. ``contexts``: with which sentences before each run translates that looks back at them.
    """

    test: Form | None = None
    references: Sequence[str] = ()
    decoding: Mapping[str, int | float | None] = field(default_factory=dict)
    tokenizer: TokenizerName | None = None
    paired_test: PairedTest = RANDOMISATION
    one_source: bool = False
    device: str = "auto"
    precision: str = "fp32"
    glossary: Glossary | None = None
    calibrate: bool = False
    called: Mapping[str, str] | None = None
    memories: Sequence[Path] = ()
    given: Given = AS_IT_SAYS
    contexts: Sequence[Control] = ("real",)


def compare_runs(
    runs: list[Run], terms: Terms, watch: Watch | None = None, keep: Keep | None = None, note: Note = quiet
) -> Comparison:
    """Evaluate ``runs``, which `open_run` has opened, on one test set. ``note`` as for `open_text`; ``watch`` hears how
    far each search has come.

    Raises RunError where they have no test set, or differ in references, in tokenizer or, where it must be one, in
    source.
    """
    texts = FoundTests()
    entries = [_Entry.of(run, texts, terms, note) for run in runs]
    _check_same_test(entries, terms.one_source)
    chosen = _one_tokenizer(entries, terms.tokenizer)
    entries = _with_memories(entries, terms.memories)
    changed = any(value is not None for value in terms.decoding.values())
    evaluations: list[Evaluation] = []
    for entry in entries:
        settings = decoding_with(entry.config.decoding, terms.decoding, terms.called) if changed else None
        translator = Translator.of(entry.run, entry.config, terms.device, terms.precision)
        if terms.calibrate and entry.memory is None:
            made = calibrate(entry.run, translator, settings or entry.config.decoding, watch)
            note(f"{entry.run.directory}: calibrated on {made.words:,} words of {counted(made.lines, 'dev line')}")
        if entry.memory is not None:
            memory = open_memory(entry.run, entry.memory, translator.device, terms.given)
            translator = translator.remembering(memory)
        if terms.glossary is not None:
            translator = translator.obeying(terms.glossary)
            for remark in translator.glossary_remarks:
                note(f"{entry.run.directory}: {remark}")
        another = changed or terms.glossary is not None or entry.memory is not None or not entry.is_own(texts)
        sure = terms.calibrate and entry.memory is None
        for control in terms.contexts if entry.config.model.back.anywhere else ("real",):
            instead = Instead(settings, chosen, another, control)
            evaluations.append(
                evaluate_run(entry.run, entry.lines, translator, watch, instead, keep, by_layer=True, sure=sure)
            )
    baseline, *others = (evaluation.hypotheses for evaluation in evaluations)
    wanted = entries[0].lines.references
    p_values = paired(baseline, others, wanted, chosen.name, terms.paired_test) if others else []
    compared = Comparison(entries[0].where, evaluations, [None, *p_values], terms.paired_test)
    return replace(compared, against_real=p_against_real(compared, wanted, chosen.name))


def p_against_real(compared: Comparison, wanted: Sequence[Reference], tokenizer: str) -> dict[int, PValues]:
    """How significant it is that a run which looks back at other sentences than those before differs from itself."""
    found: dict[int, PValues] = {}
    for real, controls in _controls(compared.evaluations).items():
        baseline, *others = (compared.evaluations[number].hypotheses for number in (real, *controls))
        known = [compared.significance[number] for number in controls] if real == 0 else None
        p_values = known or paired(baseline, others, wanted, tokenizer, compared.paired_test)
        found |= {number: p for number, p in zip(controls, p_values, strict=True) if p is not None}
    return found


def _controls(evaluations: Sequence[Evaluation]) -> dict[int, list[int]]:
    """The numbers of the evaluations with the real context, each with those of the same run, and memory, with another one."""
    found: dict[int, list[int]] = {}
    reals: dict[tuple[Path, UsedMemory | None], int] = {}
    for number, one in enumerate(evaluations):
        whose = one.run.directory, one.memory
        if one.control == "real":
            reals[whose] = number
        elif one.control is not None and whose in reals:
            found.setdefault(reals[whose], []).append(number)
    return found


@dataclass(frozen=True)
class _Entry:
    """A run of a comparison: its configuration, the test set as this run reads it, and the memory that takes part, if one
    does."""

    run: Run
    config: Config
    where: str
    lines: Lines
    memory: Path | None = None

    @classmethod
    def of(cls, run: Run, texts: FoundTests, terms: Terms, note: Note) -> _Entry:
        config = load(run.config)
        context = config.reads_before if {*terms.contexts} != {"none"} else None
        return cls(run, config, *texts.of(with_test(config.data, terms.test, terms.references), run, note, context))

    def is_own(self, texts: FoundTests) -> bool:
        """Whether the test set is the one that the run was configured with, and still to be found."""
        try:
            own = texts.of(self.config.data, self.run).lines
            return replace(self.lines, previous=None) == own
        except (DataError, RunError):
            return False


def _with_memories(entries: Sequence[_Entry], memories: Sequence[Path]) -> list[_Entry]:
    """Each run, and behind it the same with each memory that is of it. Raises RunError for a memory that is of none."""
    of_runs = memories_of([entry.run for entry in entries], memories)
    both = zip(entries, of_runs, strict=True)
    return [one for entry, own in both for one in (entry, *(replace(entry, memory=path) for path in own))]


def _check_same_test(entries: Sequence[_Entry], one_source: bool) -> None:
    first, hint = entries[0], "Name one for all with --test."
    for entry in entries:
        if entry.lines.references != first.lines.references:
            what = f"its test set is not the one of {first.run.directory}."
        elif one_source and entry.lines.src != first.lines.src:
            what = f"it does not translate the sentences that {first.run.directory} does."
        else:
            continue
        raise RunError(what, str(entry.run.directory), hint)


def _one_tokenizer(entries: Sequence[_Entry], given: TokenizerName | None) -> Tokenizer:
    """The tokenizer for all of them: scores can be compared only by one tokenizer."""
    first, *others = (_tokenizer(entry.config, entry.lines, given) for entry in entries)
    for entry, other in zip(entries[1:], others, strict=True):
        if other.name != first.name:
            what = f"it is scored with the tokenizer {other.name}, but {entries[0].run.directory} with {first.name}."
            raise RunError(what, str(entry.run.directory), "Name one for all with --tokenizer.")
    require_tokenizer(first.name)
    return first
