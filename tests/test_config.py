"""Settings: where they come from, which wins, and what is said of wrong ones."""

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seq2seq_cli.config.attention import AttentionConfig
from seq2seq_cli.config.loading import from_dict, load
from seq2seq_cli.config.whole import Config, all_keys
from seq2seq_cli.errors import ConfigError
from seq2seq_cli.model.build import build

PRESETS = Path(__file__).parents[1] / "configs"


def problem_of(*overrides: str, path: Path | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        load(path, overrides)
    return str(caught.value)


def test_flags_win_over_set_over_file_over_defaults(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("[training]\nepochs = 2\nseed = 2\npatience = 2\n")
    settings = load(path, ["training.seed=3", "training.patience=3"], {"training.patience": 4, "training.epochs": None})
    training = settings.training
    assert (training.epochs, training.seed, training.patience) == (2, 3, 4)
    assert training.average == Config().training.average


@pytest.mark.parametrize(
    ("override", "key", "value"),
    [
        ("data.corpus=bible-es-en", "corpus", "bible-es-en"),
        ('data.corpus="bible-es-en"', "corpus", "bible-es-en"),
        (" data.max_length = 7 ", "max_length", 7),
    ],
)
def test_set_needs_no_quotes(override: str, key: str, value: object) -> None:
    assert getattr(load(None, [override]).data, key) == value


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_text('[model]\nhiden_size = 3\ndropout = 1.5\n[atention]\nkind = "none"\n')
    said = problem_of("training.epochs=0", path=path)
    assert len(said.splitlines()) == 4
    assert f'{path}: model.hiden_size is unknown. Did you mean "model.hidden_size"?' in said
    assert f'{path}: atention is unknown. Did you mean "attention"?' in said
    assert f"{path}: model.dropout = 1.5: must be below 1." in said
    assert "training.epochs = 0: must be above 0." in said


WRONG = {
    "training.epochs=0": "training.epochs = 0: must be above 0.",
    "decoding.beam=-1": "decoding.beam = -1: must be",
    "data.dev=x": "dev given without train",
    "evaluation.tokeniser=13a": "evaluation.tokeniser is unknown.",
}
CLASHING = {
    ("model.tying=all", "subword.joint=false"): 'model.tying = "all" needs one vocabulary',
    ("self_attention.heads=3",): "self_attention.heads: there is no self-attention where",
    ("attention.layer=2",): "attention.layer belongs to Transformer decoders",
}


@given(st.sets(st.sampled_from(sorted(WRONG))), st.sets(st.sampled_from(sorted(CLASHING))))
def test_what_does_not_go_together_is_told_beside_what_is_wrong_elsewhere(
    wrong: set[str], clashing: set[tuple[str, ...]]
) -> None:
    overrides = [*wrong, *(word for words in clashing for word in words)]
    if not overrides:
        return
    with pytest.raises(ConfigError) as caught:
        load(None, overrides)
    told = [*(WRONG[word] for word in wrong), *(CLASHING[words] for words in clashing)]
    assert all(str(caught.value).count(what) == 1 for what in told)
    assert len(str(caught.value).splitlines()) == len(wrong) + bool(clashing)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["attention.kind=luongg"], 'attention kind "luongg" is unknown. Did you mean "luong"?'),
        (["attention.kind=luong-dot", "attention.radius=3"], "radius belongs to local windows; luong-dot is global"),
        (["attention.kind=none", "attention.score=dot"], "score is not an option of none"),
        (["attention.input_feeding=true"], 'input_feeding belongs to the wiring "after"'),
        (["attention.kind=luong-general", "attention.size=3"], "size belongs to the additive score"),
        (["attention.max_positions=9"], "max_positions belongs to the location score"),
        (
            ["attention.normaliser=sparsemax", "attention.temperature=2"],
            "temperature belongs to the normalisers softmax",
        ),
        (["attention.top_k=3"], "top_k belongs to the normaliser top-k; this one is softmax"),
        (["attention.kind=hierarchical", "attention.segment_length=3"], 'segment_length belongs to split = "length"'),
        (["model.tying=all", "subword.joint=false"], 'model.tying = "all" needs one vocabulary'),
        (["data.dev=x"], "dev given without train"),
        (["data.train=x", "data.src=de"], "so dev and tgt must be given as well"),
        (["data.train=x", "data.dev=x", "data.src=de", "data.tgt=de"], 'src and tgt are both "de"'),
        (["model.hidden_size=7"], "multiple of 2"),
        (["training.precision=fp8"], "'auto', 'fp32', 'bf16' or 'fp16'"),
        (["training.seed=1.5"], "must be a whole number"),
        (["epochs=3"], '"epochs" is not of the form section.key. Did you mean "training.epochs"?'),
        (["training.epochs"], 'has no "="'),
    ],
)
def test_what_makes_no_sense_is_refused(overrides: list[str], said: str) -> None:
    assert said in problem_of(*overrides).replace("\n", " ")


def test_a_file_that_is_none(tmp_path: Path) -> None:
    assert "no such configuration file" in problem_of(path=tmp_path / "none.toml")
    for number, content in enumerate((b"a = [", b"\xff\xff", b"\xff\xfea", b"lr: 1e-3")):
        path = tmp_path / f"{number}.toml"
        path.write_bytes(content)
        assert "not readable as TOML" in problem_of(path=path)
    (tmp_path / "folder.toml").mkdir()
    assert "not readable" in problem_of(path=tmp_path / "folder.toml")


def test_written_and_read_it_is_the_same() -> None:
    settings = load(None, ["attention.kind=local-p", "attention.radius=3", "training.max_minutes=1.5"])
    for text in (settings.to_toml(), settings.to_commented_toml()):
        assert from_dict(tomllib.loads(text)) == settings


def test_every_setting_says_what_it_means() -> None:
    text = Config().to_commented_toml()
    assert len(all_keys()) > 40
    for key in all_keys():
        section, name = key.split(".")
        field = getattr(Config(), section).__class__.model_fields[name]
        assert field.description, key
        assert field.description.splitlines()[0] in text


def test_the_presets_are_right_and_differ() -> None:
    presets = {path.stem: load(path) for path in PRESETS.glob("*.toml")}
    assert set(presets) == {"base", "small", "low-resource", "long-sentences", "large", "transformer", "hybrid"}
    assert presets["base"].resolved() == Config().resolved()
    assert len({settings.to_toml() for settings in presets.values()}) == len(presets)
    sizes = {
        name: build(settings, settings.subword.vocab_size, settings.subword.vocab_size).parameter_count()
        for name, settings in presets.items()
    }
    assert sizes["small"] < sizes["base"] / 3 < sizes["large"] / 12


@pytest.mark.parametrize("preset", sorted(PRESETS.glob("*.toml")), ids=lambda path: path.stem)
def test_every_choice_in_a_preset_is_explained(preset: Path) -> None:
    text = preset.read_text(encoding="utf-8")
    assert text.startswith("# ")
    settings = [line for line in text.splitlines() if "=" in line and not line.startswith("#")]
    explained = [line for line in settings if "#" in line]
    assert len(explained) >= len(settings) / 2


def test_nothing_can_be_changed_afterwards() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Config().training.epochs = 3


def test_a_kind_has_one_name_whatever_it_is_called() -> None:
    assert from_dict({"attention": {"kind": "luong"}}) == from_dict({"attention": {"kind": "luong-general"}})
    assert AttentionConfig(kind="local").kind == "local-p"
