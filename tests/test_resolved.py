"""A run's configuration has every default of its kind written out, once: what that does, and what may be laid over it."""

import json
import re
import shutil
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import pytest
from commands import Terminal
from corpora import TinyCorpus
from hypothesis import given, settings
from hypothesis import strategies as st

from seq2seq_cli.config import attention  # FIXME
from seq2seq_cli.config.attention import AttentionConfig, Numbers
from seq2seq_cli.config.loading import from_dict, load
from seq2seq_cli.config.model import ModelConfig, RecurrentNumbers, TransformerNumbers
from seq2seq_cli.config.sections import ObjectiveConfig, Rewarding
from seq2seq_cli.config.self_attention import SelfAttentionConfig, SelfNumbers
from seq2seq_cli.config.whole import Config, all_keys, changed_settings
from seq2seq_cli.errors import ConfigError, RunError
from seq2seq_cli.kinds.attentions import KINDS, Estimator, Normaliser, Score, Split, Window
from seq2seq_cli.kinds.clashes import CONDITIONS
from seq2seq_cli.kinds.layers import DecoderKind, EncoderKind, Positions, Wiring
from seq2seq_cli.model.build import build
from seq2seq_cli.runs import FORMAT, Run, open_run
from seq2seq_cli.training.experiment import experiment


def chosen(*values: Any) -> st.SearchStrategy[Any]:
    return st.sampled_from([None, *values])


ATTENTION = st.fixed_dictionaries(
    {"kind": st.sampled_from([kind.name for kind in KINDS])},
    optional={
        "score": chosen(*get_args(Score)),
        "window": chosen(*get_args(Window)),
        "normaliser": chosen(*get_args(Normaliser)),
        "wiring": chosen(*get_args(Wiring)),
        "estimator": chosen(*get_args(Estimator)),
        "split": chosen(*get_args(Split)),
        "radius": chosen(1, 7),
        "size": chosen(24),
        "heads": chosen(2),
        "layer": chosen(None, 1, 2),
    },
)
OBJECTIVES: tuple[dict[str, object], ...] = (
    {},
    {"kind": "scst", "from_run": "x"},
    {"kind": "mrt", "from_run": "x", "alpha": 0.5},
)
REST = st.fixed_dictionaries(
    {
        "model": st.fixed_dictionaries(
            {
                "hidden_size": st.sampled_from([16, 64]),
                "tying": st.sampled_from(["auto", "none"]),
                "encoder": st.sampled_from(["rnn", *get_args(EncoderKind)]),
                "decoder": st.sampled_from(["rnn", *get_args(DecoderKind)]),
            },
            optional={"positions": chosen(*get_args(Positions)), "decoder_layers": chosen(1, 2)},
        ),
        "self_attention": st.fixed_dictionaries(
            {},
            optional={"window": chosen("local"), "normaliser": chosen("top-k", "sparsemax"), "radius": chosen(3)},
        ),
        "subword": st.fixed_dictionaries({"joint": st.booleans()}),
        "objective": st.sampled_from(OBJECTIVES),
        "training": st.sampled_from(
            [{}, {"guided_alignment": "links"}, {"guided_alignment": "links", "guided_weight": 0.25}]
        ),
    }
)


def config_of(values: dict[str, Any]) -> Config | None:
    """None for what does not go together."""
    try:
        return from_dict(values)
    except ConfigError:
        return None


@given(kind=ATTENTION, rest=REST)
@settings(max_examples=200, deadline=None)
def test_resolved_it_means_the_same_and_is_read_back(kind: dict[str, Any], rest: dict[str, Any]) -> None:
    config = config_of({"attention": kind, **rest})
    if config is None:
        return
    resolved = config.resolved()
    for text in (resolved.to_toml(), resolved.to_commented_toml()):
        read = from_dict(tomllib.loads(text))  # every option in it is one of the kind's, or this would be refused
        assert read == resolved
        assert read.defaults == resolved.defaults
    assert resolved.resolved() == resolved
    assert resolved.attention.choices == config.attention.choices
    assert resolved.attention.numbers == config.attention.numbers
    assert resolved.attention.layer_of(resolved.model) == config.attention.layer_of(config.model)
    assert resolved.self_attention.numbers == config.self_attention.numbers
    assert resolved.model.numbers == config.model.numbers
    assert resolved.model.recurrent == config.model.recurrent
    both = {config.model.encoder, config.model.decoder}
    assert (resolved.model.cell is None) == ("rnn" not in both)
    assert (resolved.model.bridge is None) == (config.model.decoder != "rnn")
    assert resolved.model.encoder_layers == config.model.encoder_depth
    assert resolved.model.decoder_layers == config.model.decoder_depth
    assert resolved.objective.rewarding == config.objective.rewarding
    assert resolved.training.guidance == config.training.guidance
    assert resolved.model.tying == config.model.tied(config.subword.joint)
    assert not changed_settings(config, resolved, all_keys())


@given(kind=ATTENTION, rest=REST)
@settings(max_examples=100, deadline=None)
def test_no_option_of_the_kind_is_left_open(kind: dict[str, Any], rest: dict[str, Any]) -> None:
    config = config_of({"attention": kind, **rest})
    if config is None:
        return
    resolved = config.resolved().attention
    unmet = {it.option for it in CONDITIONS if not it.met(resolved.choices)}
    unmet |= {"layer"} if config.model.decoder == "rnn" else {"wiring", "input_feeding"}
    written = {name for name in AttentionConfig.model_fields if getattr(resolved, name) is not None}
    assert written == (resolved.row.options - unmet) | {"kind"}


@pytest.fixture
def run_file(tmp_path: Path) -> Path:
    path = tmp_path / "config.toml"
    path.write_text(load(None, ["attention.kind=local-p", "training.epochs=3"]).resolved().to_toml(), encoding="utf-8")
    return path


@dataclass(frozen=True)
class LaterNumbers(Numbers):
    """Defaults of a version to come."""

    radius: int = 33
    temperature: float = 0.5


def test_defaults_of_a_later_version_do_not_change_it(run_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "Numbers", LaterNumbers)
    assert load(None, ["attention.kind=local-p"]).attention.numbers.radius == 33
    before = load(run_file)
    assert (before.attention.numbers.radius, before.attention.numbers.temperature) == (10, 1.0)
    longer = load(run_file, ["training.epochs=9"], {"attention.kind": "local"})
    assert longer.attention == before.attention
    assert [one.key for one in changed_settings(before, longer, all_keys())] == ["training.epochs"]


def test_what_only_follows_is_no_change_of_its_own(run_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the setting that it follows from may change; what another version has otherwise is one."""
    plain, guided = load(run_file), load(run_file, ["training.guided_alignment=links"])
    others = [key for key in all_keys() if key != "training.guided_alignment"]
    assert changed_settings(plain, guided, others) == []
    monkeypatch.setattr(attention, "Numbers", LaterNumbers)
    anew = load(None, ["attention.kind=local-p", "training.epochs=3"])
    assert {one.key: (one.before, one.after) for one in changed_settings(plain, anew, others)} == {
        "attention.radius": (10, 33),
        "attention.temperature": (1.0, 0.5),
    }


@pytest.mark.parametrize("kind", [kind.name for kind in KINDS])
def test_another_kind_over_it_has_its_own_options(run_file: Path, kind: str) -> None:
    """The window, score or wiring that nobody set is not handed on."""
    other = load(run_file, [], {"attention.kind": kind})
    assert other.resolved() == load(None, ["training.epochs=3"], {"attention.kind": kind}).resolved()
    assert {one.key for one in changed_settings(load(run_file), other, all_keys())} == (
        set() if kind == "local-p" else {"attention.kind"}
    )


@pytest.mark.parametrize(
    ("encoder", "decoder"), [("transformer", "transformer"), ("rnn", "ssru"), ("transformer", "rnn")]
)
def test_other_layers_over_it_have_their_own_depth_and_options(run_file: Path, encoder: str, decoder: str) -> None:
    layers = {"model.encoder": encoder, "model.decoder": decoder}
    other = load(run_file, [], layers)
    anew = load(None, ["attention.kind=local-p", "training.epochs=3"], layers).resolved()
    assert other.resolved() == anew
    assert anew.model.decoder_layers == (1 if decoder == "rnn" else 4)
    assert (anew.attention.layer, anew.attention.wiring) == ((None, "after") if decoder == "rnn" else (3, None))
    run_file.write_text(anew.to_toml(), encoding="utf-8")
    assert load(run_file) == anew
    assert (
        load(run_file, [], {"model.encoder": "rnn", "model.decoder": "rnn"}).resolved().model
        == Config().resolved().model
    )


@pytest.mark.parametrize(
    ("override", "key", "value"),
    [
        ("attention.score=additive", "attention.size", 512),
        ("attention.normaliser=sparsemax", "attention.temperature", None),
        ("attention.window=global", "attention.radius", None),
        ("attention.wiring=before", "attention.input_feeding", None),
        ("subword.joint=false", "model.tying", "target"),
        ("objective.kind=cross-entropy", "model.tying", "all"),
    ],
)
def test_what_follows_from_a_change_follows_it(run_file: Path, override: str, key: str, value: object) -> None:
    section, _, name = key.partition(".")
    assert getattr(getattr(load(run_file, [override]).resolved(), section), name) == value


def test_the_size_of_a_score_goes_with_the_state(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(Config().resolved().to_toml(), encoding="utf-8")
    assert load(path).attention.size == 512
    smaller = load(path, ["model.hidden_size=64"])
    assert smaller.resolved().attention.size == 64
    assert build(smaller, 9, 9).parameter_count() == build(load(None, ["model.hidden_size=64"]), 9, 9).parameter_count()
    path.write_text(load(None, ["attention.size=96"]).resolved().to_toml(), encoding="utf-8")
    assert load(path, ["model.hidden_size=64"]).attention.size == 96


def test_what_was_set_is_not_given_up(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(load(None, ["attention.kind=local-p", "attention.radius=4"]).resolved().to_toml(), encoding="utf-8")
    with pytest.raises(ConfigError, match="radius belongs to local windows; luong-dot is global"):
        load(path, [], {"attention.kind": "luong-dot"})
    assert load(path, [], {"attention.kind": "local-m"}).attention.radius == 4


@pytest.mark.parametrize("radius", [4, 10])
def test_a_default_that_is_set_is_one_no_more(run_file: Path, radius: int) -> None:
    """Whether to another value or to its own: who changes other settings later does not lose it."""
    chosen = load(run_file, [f"attention.radius={radius}"])
    assert "attention.radius" not in chosen.defaults
    assert "attention.temperature" in chosen.defaults
    run_file.write_text(chosen.to_toml(), encoding="utf-8")
    assert load(run_file, [], {"attention.kind": "local-m"}).attention.radius == radius


def test_a_transformer_has_no_settings_of_rnns(run_file: Path, terminal: Terminal) -> None:
    both = ["--set", "model.encoder=transformer", "--set", "model.decoder=transformer"]
    shown = terminal.ok("config", "show", *both).out
    assert "# cell is not set" in shown
    assert "# bridge is not set" in shown
    layers = {"encoder": "transformer", "decoder": "transformer"}
    # As runs were written before.
    earlier = from_dict({"model": {**layers, "cell": "lstm", "bridge": "linear"}})
    plain = from_dict({"model": layers})
    assert earlier.resolved() == plain.resolved()
    assert earlier.resolved().to_toml() == plain.resolved().to_toml()
    assert not changed_settings(earlier, plain, all_keys())
    # Over a run of RNNs, whose file holds them.
    assert load(run_file, [word for word in both if word != "--set"]).resolved().model.cell is None
    assert load(run_file).model.cell == "lstm"


def test_no_setting_of_a_section_is_left_open() -> None:
    guided = load(None, ["training.guided_alignment=links", "training.guided_final_weight=0.25"]).resolved().training
    assert (guided.guided_weight, guided.guided_final_weight) == (guided.guidance.first, 0.25)
    rewarded = load(None, ["objective.kind=mrt", "objective.from_run=x"]).resolved().objective
    assert {name: getattr(rewarded, name) for name in rewarded.own} == {
        name: getattr(Rewarding(), name) for name in rewarded.own
    }
    assert load(None, []).resolved().data.corpus is not None


@pytest.mark.parametrize("written", ['"attention.size"', '[["attention.size"]]', '["attention.sise"]', "[1]", "{}"])
def test_a_list_of_defaults_that_is_none(tmp_path: Path, written: str) -> None:
    path = tmp_path / "config.toml"
    path.write_text(f"defaults = {written}\n[training]\nepochs = 3\n", encoding="utf-8")
    for overrides in ([], ["training.seed=4"]):
        with pytest.raises(
            ConfigError, match=re.escape(f"{path}: defaults ") + "(is no list|names .attention.sise., which)"
        ):
            load(path, overrides)


def test_it_is_no_section(run_file: Path) -> None:
    for path in (None, run_file):
        with pytest.raises(ConfigError, match="defaults is no list"):
            load(path, ["defaults.x=1"])


def test_the_defaults_that_descriptions_name_are_those_there_are() -> None:
    in_other_words = {"positions", "window"}
    for section, defaults in (
        (AttentionConfig, Numbers),
        (ObjectiveConfig, Rewarding),
        (ModelConfig, RecurrentNumbers),
        (ModelConfig, TransformerNumbers),
        (SelfAttentionConfig, SelfNumbers),
    ):
        told = set()
        for name, held in section.model_fields.items():
            said = re.search(r"\(default: ([\d.]+|[a-z]+)(?=[,)])", (held.description or "").replace("\n", " "))
            if said is not None and name in defaults.__dataclass_fields__:
                told.add(name)
                value = getattr(defaults(), name)
                assert said[1] == (value if isinstance(value, str) else f"{value:g}"), name
        assert told == defaults.__dataclass_fields__.keys() - in_other_words


# Runs.


def test_a_resumed_run_is_written_as_it_was(tmp_path: Path) -> None:
    """Also one that an earlier version began, whose file has no defaults."""
    corpus = TinyCorpus.write(tmp_path / "tiny", train=20, dev=3)
    config = corpus.config(training={"epochs": 1}, attention={"kind": "none"})
    run = Run(tmp_path / "run")
    list(experiment(config, run.directory, resume=False, overwrite=False))
    text, record = run.config.read_text(encoding="utf-8"), json.loads(run.info.read_text(encoding="utf-8"))
    assert tomllib.loads(text)["attention"] == {"kind": "none", "summary": "every-step"}
    assert record["format"] == FORMAT
    longer = text.replace("epochs = 1", "epochs = 2")
    list(experiment(load(run.config, ["training.epochs=2"]), run.directory, resume=True, overwrite=False))
    assert run.config.read_text(encoding="utf-8") == longer
    # As the first format had it.
    run.config.write_text(config.to_toml(), encoding="utf-8")
    run.info.write_text(json.dumps({key: value for key, value in record.items() if key != "format"}), encoding="utf-8")
    list(experiment(load(run.config, ["training.epochs=2"]), run.directory, resume=True, overwrite=False))
    assert run.config.read_text(encoding="utf-8") == longer
    changed = load(run.config, [], {"attention.kind": "bahdanau"})
    with pytest.raises(ConfigError, match=r"keeps its settings: attention.kind was none and is now bahdanau\.\s"):
        list(experiment(changed, run.directory, resume=True, overwrite=False))


@pytest.mark.parametrize("number", [FORMAT + 1, 99, "3", None, 2.5])
def test_a_run_of_a_later_version_says_so(trained_run: Run, tmp_path: Path, number: object) -> None:
    run = Run(tmp_path / "run")
    shutil.copytree(trained_run.directory, run.directory)
    record = json.loads(run.info.read_text(encoding="utf-8"))
    run.info.write_text(json.dumps(record | {"format": number}), encoding="utf-8")
    with pytest.raises(
        RunError, match=rf"a later version of seq2seq made it: it is of format {number}.*\nUpdate seq2seq"
    ):
        open_run(run.directory)


def test_each_command_says_so(trained_run: Run, tmp_path: Path, terminal: Terminal) -> None:
    run = Run(tmp_path / "run")
    shutil.copytree(trained_run.directory, run.directory)
    record = json.loads(run.info.read_text(encoding="utf-8"))
    run.info.write_text(json.dumps(record | {"format": FORMAT + 1}), encoding="utf-8")
    # That it has settings that are not known is not what is to be said.
    run.config.write_text(run.config.read_text(encoding="utf-8") + "\n[to_come]\nx = 1\n", encoding="utf-8")
    named = ("--run", run.directory)
    for command in (
        ("translate", *named), ("eval", run.directory), ("train", *named, "--resume"), ("plot", "ta", *named),
        ("train", "--from", run.directory, "--run", tmp_path / "new"), ("report", run.directory, "-o", tmp_path / "r.html"),
    ):  # fmt: skip
        said = terminal.refused(*command)
        assert f"it is of format {FORMAT + 1}" in said, command
        assert "to_come" not in said


def test_a_run_without_its_record_translates(trained_run: Run, tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    shutil.copytree(trained_run.directory, run.directory)
    for content in (None, b"{", b"[]"):
        run.info.unlink() if content is None else run.info.write_bytes(content)
        assert open_run(run.directory) == run
