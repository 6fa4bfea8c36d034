"""The table of kinds, and what a configuration makes of a model. (That a kind is what its paper says: test_decoder_oracle.)"""

from pathlib import Path

import pytest
import torch
from models import VOCABULARY, layer_of, tiny_config, vocabulary_of

from seq2seq_cli.config.model import ModelConfig
from seq2seq_cli.config.whole import Config
from seq2seq_cli.errors import ConfigError
from seq2seq_cli.kinds.attentions import KINDS, Kind, find, names
from seq2seq_cli.model.attention.scored import ScoredAttention
from seq2seq_cli.model.build import build, build_attention
from seq2seq_cli.model.seq2seq import Seq2Seq


def model_of(config: Config) -> Seq2Seq:
    return build(config, VOCABULARY, VOCABULARY)


def test_names_are_of_one_row_each() -> None:
    assert len(set(names())) == len(names())
    for kind in KINDS:
        assert {find(name) for name in (kind.name, *kind.aliases)} == {kind}


def test_aliases_are_resolved() -> None:
    assert [find(name).name for name in ("luong", "bahdanau", "local")] == [
        "luong-general",
        "bahdanau",
        "local-p",
    ]


def test_an_unknown_kind_is_an_error_with_the_nearest_name() -> None:
    with pytest.raises(ConfigError) as caught:
        find("luong-genral", "here")
    assert str(caught.value) == 'here: attention kind "luong-genral" is unknown.\nDid you mean "luong-general"?'


def test_an_unknown_kind_unlike_any_other_lists_them_all() -> None:
    with pytest.raises(ConfigError) as caught:
        find("zzz")
    assert caught.value.hint is not None
    assert all(kind.name in caught.value.hint for kind in KINDS)


def test_options_reach_their_parts() -> None:
    def parts(kind: str, **options: object) -> ScoredAttention:
        attention = build_attention(tiny_config(kind, attention=options).attention, 8, 8)
        assert isinstance(attention, ScoredAttention)
        return attention

    for kind in ("local-m", "local-p"):
        assert parts(kind).window.radius == 10
        assert parts(kind, radius=3).window.radius == 3
    assert parts("bahdanau").score.get_parameter("query.weight").shape == (8, 8)
    assert parts("bahdanau", size=5).score.get_parameter("query.weight").shape == (5, 8)
    assert parts("channel").score.get_parameter("query.weight").shape == (128, 8)  # its own, whatever the state's
    assert len(parts("luong-location").score.get_parameter("position.weight")) == 128
    assert len(parts("luong-location", max_positions=9).score.get_parameter("position.weight")) == 9


def test_steps_are_taken_one_by_one_only_where_they_must() -> None:
    def stepwise(kind: str, **options: object) -> bool:
        return bool(layer_of(model_of(tiny_config(kind, attention=options))).recurrence.stepwise)

    assert stepwise("bahdanau")
    assert stepwise("luong-dot")
    assert not stepwise("luong-dot", input_feeding=False)
    assert not stepwise("none")
    assert not stepwise("none", summary="start")


@pytest.mark.parametrize(
    ("tying", "joint", "resolved"),
    [
        ("auto", True, "all"),
        ("auto", False, "target"),
        ("all", True, "all"),
        ("target", True, "target"),
        ("none", False, "none"),
    ],
)
def test_what_is_tied(tying: str, joint: bool, resolved: str) -> None:
    config = tiny_config("bahdanau", model={"tying": tying}, subword={"joint": joint})
    assert config.model.tied(joint) == resolved
    model = model_of(config)
    source, target = model.source_embedding.weight, model.target_embedding.weight
    assert (source is target) == (resolved == "all")
    assert (vocabulary_of(model).embedding.weight is target) == (resolved != "none")


def test_a_shared_matrix_counts_once() -> None:
    counts = [
        model_of(tiny_config("bahdanau", model={"tying": tying, "hidden_size": 6})).parameter_count()
        for tying in ("all", "target", "none")
    ]
    assert [count - counts[0] for count in counts] == [0, VOCABULARY * 6, 2 * VOCABULARY * 6]


@pytest.mark.parametrize(("size", "bound"), [(12, 0.5), (48, 0.25), (400, 0.1)])
def test_what_a_model_starts_from(size: int, bound: float) -> None:
    """Bounds by the number of inputs alone, whatever the number of outputs."""
    torch.manual_seed(0)
    sizes = {"embedding_size": size, "hidden_size": size, "tying": "none"}
    shapes = set()
    for name, parameter in model_of(tiny_config("luong-general", model=sizes)).named_parameters():
        if parameter.dim() == 1:
            assert not parameter.any(), name
            continue
        outputs, inputs = parameter.shape
        shapes.add((outputs / size, inputs / size))
        largest = bound if inputs == size else max(0.1, (3 / inputs) ** 0.5)
        assert 0.9 * largest < parameter.detach().abs().max() <= largest, name
        assert parameter.detach().std() == pytest.approx(largest / 3**0.5, rel=0.2), name
    assert {(4, 1), (4, 2), (1, 1), (1, 2)} <= shapes


def test_auto_is_the_only_tying_that_looks_at_the_vocabulary() -> None:
    for tying in ("all", "target", "none"):
        model = ModelConfig.model_validate({"tying": tying})
        assert {model.tied(joint) for joint in (True, False)} == {tying}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_the_gallery_has_the_formula_and_the_paper_of_every_kind(kind: Kind) -> None:
    gallery = (Path(__file__).parents[1] / "docs" / "attention.md").read_text(encoding="utf-8")
    section = " ".join(gallery.partition(f"\n## `{kind.name}`\n")[2].partition("\n## ")[0].split())
    for said in (kind.formula, kind.paper, kind.cost):
        assert " ".join(said.split()) in section, f"section {kind.name} of docs/attention.md"
