"""Every number that a setting may be, at its ends: it works, or is refused with the reason; and just outside."""

import math
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import is_dataclass
from decimal import Decimal, localcontext
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, get_args, get_type_hints

import pytest
import torch
from commands import Terminal
from corpora import TinyCorpus, sentences, write_lines
from hypothesis import given, settings
from hypothesis import strategies as st
from learners import Lesson
from typer.models import OptionInfo

from seq2seq_cli.cli.app import app
from seq2seq_cli.cli.opening import decoding_settings
from seq2seq_cli.config.loading import from_dict, load
from seq2seq_cli.config.sections import LONGEST_TRANSLATION, DecodingConfig
from seq2seq_cli.config.whole import Config
from seq2seq_cli.decoding.every_line import LineGroup, Matter, Remark, translate_every_line
from seq2seq_cli.decoding.forced_decoding import Scoring
from seq2seq_cli.decoding.search import Ranking, length_normalised
from seq2seq_cli.decoding.translator import Sampling, Translator
from seq2seq_cli.decoding.wanted import Wanted
from seq2seq_cli.errors import ConfigError, UnsearchableError, UserError
from seq2seq_cli.model.products import precise
from seq2seq_cli.runs import Run
from seq2seq_cli.training.progress import Progress, Stepped


class Setting(NamedTuple):
    """A number of a section: ``low`` and ``high``, its ends where it has any, and whether these may be taken themselves."""

    section: str
    name: str
    whole: bool
    low: float | None
    high: float | None
    takes_low: bool
    takes_high: bool

    @property
    def key(self) -> str:
        return f"{self.section}.{self.name}"

    def ends(self) -> list[int | float]:
        """The least and the largest that it may be."""
        step = 1 if self.whole else 0
        low, high = self.low, self.high
        least = None if low is None else low if self.takes_low else low + 1 if step else math.nextafter(low, math.inf)
        most = (
            None if high is None else high if self.takes_high else high - 1 if step else math.nextafter(high, -math.inf)
        )
        return [int(end) if self.whole else float(end) for end in (least, most) if end is not None]

    def outside(self) -> list[int | float]:
        """What is not to be taken."""
        least, most = self.low, self.high
        beyond: list[int | float] = [] if self.whole else [math.nan, math.inf, -math.inf]
        if least is not None:
            beyond.append(int(least) - self.takes_low if self.whole else math.nextafter(least, -math.inf))
        if most is not None:
            beyond.append(int(most) + self.takes_high if self.whole else math.nextafter(most, math.inf))
        return beyond


def numbers() -> Iterator[Setting]:
    for section, holder in Config.model_fields.items():
        for name, field in holder.annotation.model_fields.items():  # type: ignore[union-attr]
            told = str(field.annotation)
            if ("int" not in told and "float" not in told) or "Literal" in told:
                continue
            ends: dict[str, Any] = {}
            held = list(field.metadata)
            for part in getattr(field.annotation, "__args__", ()):
                held += [one for meta in getattr(part, "__metadata__", ()) for one in getattr(meta, "metadata", [])]
            for one in held:
                ends |= {
                    kind: value for kind in ("ge", "gt", "le", "lt") if (value := getattr(one, kind, None)) is not None
                }
            low, high = ends.get("ge", ends.get("gt")), ends.get("le", ends.get("lt"))
            yield Setting(section, name, "float" not in told, low, high, "ge" in ends, "le" in ends)


ALL = list(numbers())
DRAWING = {"--temperature", "--top-k", "--layer", "--sentences"}
"""Of ``translate --sample``, of pictures and of pages, called as settings of attention and context are."""
NEEDS: dict[str, dict[str, dict[str, object]]] = {
    "attention.temperature": {"attention": {"kind": "bahdanau"}},
    "attention.top_k": {"attention": {"normaliser": "top-k"}},
    "attention.radius": {"attention": {"kind": "local-p"}},
    "attention.max_positions": {"attention": {"kind": "luong-location"}},
    "attention.heads": {"attention": {"kind": "multi-head"}},
    "attention.slots": {"attention": {"kind": "memory"}},
    "attention.segment_length": {"attention": {"kind": "hierarchical", "split": "length"}},
    "context.sentences": {"model": {"context": "concatenation"}},
    "context.heads": {"model": {"context": "han-both"}},
    "context.feed_forward_size": {"model": {"context": "han-both"}},
    "training.guided_weight": {"training": {"guided_alignment": "links"}},
    "training.guided_final_weight": {"training": {"guided_alignment": "links"}},
    "objective.samples": {"objective": {"kind": "mrt", "from_run": "x"}},
    "objective.cross_entropy_weight": {"objective": {"kind": "mrt", "from_run": "x"}},
    "objective.alpha": {"objective": {"kind": "mrt", "from_run": "x"}},
}
"""What must be set beside a setting for it to mean something."""


def with_setting(values: dict[str, dict[str, object]], setting: Setting, value: float) -> dict[str, dict[str, object]]:
    laid = {section: dict(held) for section, held in values.items()}
    for section, needed in NEEDS.get(setting.key, {}).items():
        laid[section] = laid.get(section, {}) | needed
    laid[setting.section] = laid.get(setting.section, {}) | {setting.name: value}
    return laid


def test_all_numbers_are_found() -> None:
    assert len(ALL) > 38
    assert {"decoding.beam", "training.seed", "attention.temperature", "model.dropout"} <= {one.key for one in ALL}


@pytest.mark.parametrize("setting", ALL, ids=lambda one: one.key)
def test_what_is_outside_is_refused(setting: Setting) -> None:
    for value in setting.outside():
        with pytest.raises(ConfigError, match=f"{setting.key} = .*: must be "):
            from_dict(with_setting({}, setting, value))


LINES = ["ta nu ki", "", "bi", "umgekehrt ho xa ge ta nu ki ze wu"]
SLOW = {"decoding.min_length": 150}
"""What takes too long at its end, and a value that asks for the same."""


@cache
def translator_of(directory: Path) -> Translator:
    return Translator.load(directory, precision="fp32")


DECODING = [
    (setting.name, min(end, SLOW.get(setting.key, end)))
    for setting in ALL
    if setting.section == "decoding"
    for end in setting.ends()
]


@pytest.mark.parametrize(("name", "value"), DECODING)
@pytest.mark.parametrize("beam", [1, 4])
def test_every_line_has_its_line(name: str, value: float, beam: int, trained_run: Run) -> None:
    decoding = from_dict({"decoding": {"beam": beam, "max_length": 0} | {name: value}}).decoding
    found = translator_of(trained_run.directory).hypotheses(LINES, decoding)
    assert len(found) == len(LINES)
    for hypotheses in found:
        assert 1 <= len(hypotheses) <= decoding.beam
        assert all(math.isfinite(one.score) and math.isfinite(one.log_prob) for one in hypotheses)
        assert [one.score for one in hypotheses] == sorted((one.score for one in hypotheses), reverse=True)
        assert all(len(one.pieces) >= decoding.min_length for one in hypotheses if one.alignment is not None)


@pytest.mark.parametrize("alpha", [30, 60, 100])
def test_a_large_length_penalty_loses_no_line(alpha: int, trained_run: Run, terminal: Terminal, tmp_path: Path) -> None:
    write_lines(tmp_path / "in", sentences(40, seed=alpha, longest=9))
    common = ("--run", trained_run.directory, "--length-penalty", alpha, "--max-length", 200)
    lines = terminal.ok("translate", tmp_path / "in", *common, "--nbest", 2).out.splitlines()
    assert [line.split("\t")[0] for line in lines] == [str(1 + i // 2) for i in range(80)]
    scores = [float(line.split("\t")[1]) for line in lines]
    assert all(math.isfinite(score) and score < 0 for score in scores)
    assert all(best >= second for best, second in zip(scores[::2], scores[1::2], strict=True))


def single(number: float) -> float:
    return float(torch.tensor(number, dtype=torch.float32))


@given(
    alpha=st.floats(0, 100),
    lengths=st.lists(st.integers(1, LONGEST_TRANSLATION), min_size=2, max_size=2),
    log_probs=st.lists(st.floats(-1e6, -1e-6).map(single), min_size=2, max_size=2),
)
@settings(max_examples=200)
def test_the_better_score_ranks_first(alpha: float, lengths: list[int], log_probs: list[float]) -> None:
    """As decimal numbers, whose exponents have no end, say."""
    with localcontext(prec=40):
        exact = [
            Decimal(log_prob) / Decimal(length) ** Decimal(alpha)
            for log_prob, length in zip(log_probs, lengths, strict=True)
        ]
        near = abs(exact[0] - exact[1]) < max(map(abs, exact)) * Decimal("1e-5")
    ranking = Ranking(alpha)
    first, second = (
        float(ranking.value(torch.tensor(log_prob, dtype=torch.float32), length))
        for log_prob, length in zip(log_probs, lengths, strict=True)
    )
    assert math.isfinite(first)
    assert math.isfinite(second)
    assert near or (first > second) == (exact[0] > exact[1])
    for value, log_prob, length, decimal in zip((first, second), log_probs, lengths, exact, strict=True):
        assert ranking.score(value) == pytest.approx(float(decimal), rel=1e-5, abs=1e-300)
        assert length_normalised(log_prob, length, alpha) == pytest.approx(float(decimal), rel=1e-5, abs=1e-300)


@given(alpha=st.floats(0, 6), length=st.integers(1, LONGEST_TRANSLATION), log_prob=st.floats(-1e6, 0, width=32))
def test_an_ordinary_alpha_is_computed_in_single_precision(alpha: float, length: int, log_prob: float) -> None:
    plain = torch.tensor(log_prob, dtype=torch.float32) / float(length**alpha)
    ranking = Ranking(alpha)
    assert precise(ranking.value(torch.tensor(log_prob, dtype=torch.float32), length)).equal(plain)
    assert ranking.score(float(plain)) == float(plain)


def test_what_is_not_finished_stays_so() -> None:
    for alpha in (0.0, 1.0, 30.0, 100.0):
        for length in (1, 20, LONGEST_TRANSLATION):
            assert Ranking(alpha).value(torch.tensor(-math.inf), length) == -math.inf


@pytest.mark.parametrize("beam", [1, 3])
@pytest.mark.parametrize("sampling", [None, Sampling(), Sampling(top_k=2)], ids=str)
def test_a_spoilt_model_is_an_error_that_says_so(beam: int, sampling: Sampling | None, trained_run: Run) -> None:
    spoilt = deepcopy(Translator.load(trained_run.directory, precision="fp32"))
    with torch.no_grad():
        for parameter in spoilt.model.parameters():
            parameter.fill_(math.nan)
    decoding = DecodingConfig(beam=beam)
    with pytest.raises(UnsearchableError, match="no probabilities that are numbers"):
        spoilt.hypotheses(["ta nu"], decoding, sampling)
    told: list[Remark] = []
    wanted = Wanted(decoding, sampling)
    found = translate_every_line(spoilt, LineGroup(0, ["ta nu", ""]), wanted, told.append)
    assert [one[0].text for one in found] == ["", ""]
    why = "line 1 made the search fail ('this model gives no probabilities that are numbers.'). It is left empty."
    assert told == [Remark(Matter.LEFT_EMPTY, why)]
    with pytest.raises(UnsearchableError):
        translate_every_line(spoilt, LineGroup(0, ["ta nu", "ki"]), wanted, told.append)


TRAINED = {"model", "attention", "training"}
LARGE = {"model.embedding_size", "model.hidden_size", "model.encoder_layers", "model.decoder_layers", "attention.size",
         "attention.slots", "attention.max_positions", "training.threads"}  # fmt: skip
"""Whose upper end is a matter of memory and time."""
LEARNED = [
    (setting, end)
    for setting in ALL
    if setting.section in TRAINED and not setting.name.startswith("guided")
    for end in (setting.ends()[:1] if setting.key in LARGE else setting.ends())
]


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> TinyCorpus:
    return TinyCorpus.write(tmp_path_factory.mktemp("few") / "text", train=12, dev=2, test=2)


@pytest.mark.slow
@pytest.mark.parametrize(("setting", "value"), LEARNED, ids=lambda one: getattr(one, "key", str(one)))
def test_training_takes_it_or_says_why_not(setting: Setting, value: float, few: TinyCorpus, cache: Path) -> None:
    small = few.settings(model={"embedding_size": 4, "hidden_size": 8}, training={"batch_tokens": 40})
    try:
        config = from_dict(with_setting(small, setting, value))
        lesson = Lesson.prepare(config, cache)
        learner = lesson.learner(config.training.seed)
        events = list(islice(lesson.train(learner, Progress()), 4))
    except UserError:
        return
    assert all(math.isfinite(event.loss) for event in events if isinstance(event, Stepped))
    assert all(bool(parameter.isfinite().all()) for parameter in learner.model.parameters())
    assert len(lesson.translations(learner.model, LINES)) == len(LINES)


class NumericOption(NamedTuple):
    command: str
    option: str
    whole: bool


def options_of_numbers() -> Iterator[NumericOption]:
    """Every numeric option of every command."""
    for command in app.registered_commands:
        assert command.callback is not None
        for option, whole in numbers_of(command.callback):
            yield NumericOption(command.name or "", option, whole)


def numbers_of(holder: Any) -> Iterator[tuple[str, bool]]:
    """Numeric options of a command, or of a record of options that commands share; whether they are whole numbers."""
    for name, hint in get_type_hints(holder, include_extras=True).items():
        if is_dataclass(hint):
            yield from numbers_of(hint)
        kinds = {int, float} & {get_args(hint)[0], *get_args(get_args(hint)[0])} if get_args(hint) else set()
        if kinds and isinstance(info := hint.__metadata__[0], OptionInfo):
            yield (info.param_decls or [f"--{name.replace('_', '-')}"])[0], float not in kinds


def test_options_refuse_what_no_setting_may_be(terminal: Terminal, trained_run: Run, tmp_path: Path) -> None:
    """Before any work, with the option's name."""
    write_lines(tmp_path / "in", ["ta"])
    given: dict[str, tuple[object, ...]] = {
        "translate": (tmp_path / "in", "--run", trained_run.directory, "--sample"),
        "score": (tmp_path / "in", tmp_path / "in", "--run", trained_run.directory),
        "plot": ("ta", "--run", trained_run.directory),
        "align": ("--source", tmp_path / "in", "--target", tmp_path / "in", "--run", trained_run.directory),
        "eval": (trained_run.directory,),
        "report": (trained_run.directory, "-o", tmp_path / "r.html"),
        "compare": ("--run", tmp_path / "cmp"),
        "train": ("--run", tmp_path / "new"),
        "serve": ("--run", trained_run.directory),
    }
    found = list(options_of_numbers())
    assert len(found) > 35
    for command, option, whole in found:
        for value in ("-1", *(() if whole else ("nan", "inf"))):
            arguments = [
                word
                for word in given[command]
                if word != "--sample" or option in ("--temperature", "--top-k", "--seed")
            ]
            said = terminal.refused(command, *arguments, f"{option}={value}")
            assert option in said, said


@pytest.mark.parametrize(
    "option",
    ["--beam=1001", "--length-penalty=101", "--length-penalty=1e300", "--min-length=100001", "--max-length=100001",
     "--batch-tokens=2147483648", "--nbest=1001", "--threads=1025", "--temperature=1e7"],
)  # fmt: skip
def test_translate_refuses_what_a_file_may_not_hold(option: str, trained_run: Run, terminal: Terminal) -> None:
    drawn = ["--sample"] if "temperature" in option else []
    said = terminal.refused("translate", "--run", trained_run.directory, option, *drawn, stdin=b"ta\n")
    assert "must be" in said or "not in the range" in said or "less than or equal" in said
    assert option.partition("=")[0] in said


OF_SETTINGS = {
    **{f"--{name.replace('_', '-')}": f"decoding.{name}" for name in DecodingConfig.model_fields},
    **{
        f"--{name.replace('_', '-')}": f"training.{name}"
        for name in ("epochs", "max_minutes", "seed", "threads", "processes")
    },
    "--nbest": "decoding.beam",
}
"""Options of numbers, and the settings that they are."""


def test_options_and_files_are_judged_alike(terminal: Terminal) -> None:
    """In the same words, but for the name, and before the run is looked for. Every option of a setting is one."""
    by_key = {setting.key: setting for setting in ALL}
    looked_at = set()
    for command, option, _ in options_of_numbers():
        if option not in OF_SETTINGS:
            assert option.removeprefix("--").replace("-", "_") not in {one.name for one in ALL} or option in DRAWING
            continue
        key = OF_SETTINGS[option]
        for value in by_key[key].outside():
            with pytest.raises(ConfigError) as caught:
                load(None, [f"{key}={value}"])
            in_file = str(caught.value).removeprefix(f"--set {key} = ")
            needed = ["ta"] if command == "plot" else ["in", "out"] if command == "score" else []
            said = terminal.refused(command, f"{option}={value}", *needed)
            assert f"{option} = {in_file}" in said
            looked_at.add((command, option))
    assert {
        ("translate", "--nbest"),
        ("eval", "--length-penalty"),
        ("score", "--threads"),
        ("compare", "--epochs"),
    } <= looked_at


def test_from_python_they_are_judged_alike(trained_run: Run) -> None:
    translator = translator_of(trained_run.directory)
    wide = translator.config.decoding.model_copy(update={"beam": 5000})
    with pytest.raises(ConfigError, match=r"^decoding.beam = 5000: must be 1000 or less\.$"):
        translator.hypotheses(["ta"], wide)
    with pytest.raises(ConfigError, match=r"^alpha = 1000: must be 100 or less\.$"):
        translator.score(["ta"], ["bi"], Scoring(alpha=1000))
    with pytest.raises(ConfigError, match=r"(?s)^--beam = 5000: .*\n--length-penalty = 1000: "):
        decoding_settings(translator.config, beam=5000, length_penalty=1000)
