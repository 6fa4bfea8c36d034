"""Exported runs: CTranslate2 and onnxruntime say what the model says, and the README.md beside them runs as it is written."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ctranslate2
import numpy as np
import pytest
import torch
from combinations import few_wirings
from commands import Terminal
from corpora import WORDS, sentences
from models import tiny_config, tiny_model, wiring_name

from seq2seq_cli.config.loading import from_dict
from seq2seq_cli.config.whole import Config
from seq2seq_cli.data.subword import BOS, EOS, PAD, Subwords, train_subword
from seq2seq_cli.decoding.translator import Translator
from seq2seq_cli.device import choose_search_precision
from seq2seq_cli.errors import RunError
from seq2seq_cli.export import ctranslate, folder, graphs, readme
from seq2seq_cli.kinds.attentions import KINDS
from seq2seq_cli.model import products
from seq2seq_cli.model.build import build
from seq2seq_cli.model.carry import leaves, with_leaves
from seq2seq_cli.model.maps import Pass
from seq2seq_cli.model.weights import save_weights, state_of
from seq2seq_cli.runs import Run

Sections = dict[str, dict[str, object]]
TRANSFORMER: dict[str, object] = {
    "encoder": "transformer",
    "decoder": "transformer",
    "encoder_layers": 2,
    "decoder_layers": 2,
    "feed_forward_size": 48,
}


def transformer(**sections: dict[str, object]) -> Sections:
    """A small Transformer with multi-head attention; ``sections`` are laid over it."""
    values: Sections = {
        "subword": {"vocab_size": 60},
        "model": {"embedding_size": 16, "hidden_size": 16, "dropout": 0.0, **TRANSFORMER},
        "attention": {"kind": "multi-head", "heads": 2},
        "self_attention": {"heads": 2},
    }
    return {name: values.get(name, {}) | sections.get(name, {}) for name in values | sections}


def drawn(config: Config) -> Translator:
    """A translator with weights drawn at random, such that translations of several lengths end by themselves."""
    text = sentences(300, 1)
    src = train_subword(text, config.subword)
    words = [WORDS.get(word, word) for line in text for word in line.split()]
    subwords = Subwords(src, src if config.subword.joint else train_subword(words, config.subword))
    torch.manual_seed(3)
    model = build(config, len(src), len(subwords.tgt)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
        model.readout.get_parameter("bias_V")[[PAD, BOS]] = -40  # as training would have it
        model.readout.get_parameter("bias_V")[EOS] += 5
    device = torch.device("cpu")
    return Translator(model, subwords, config, device, choose_search_precision("fp32", device))


def by_ctranslate2(place: Path, translator: Translator, lines: list[str], beam: int, longest: int) -> list[Any]:
    model = ctranslate2.Translator(str(place), compute_type="float32", inter_threads=1, intra_threads=1)
    src = translator.subwords.src
    found: list[Any] = model.translate_batch(
        [[src.name_within(number) for number in ids] for ids in src.encode(lines)],
        beam_size=beam,
        length_penalty=translator.config.decoding.length_penalty,
        min_decoding_length=0,
        max_decoding_length=longest,
        return_scores=True,
        return_attention=True,
    )
    return found


@pytest.mark.parametrize(
    "sections",
    [
        {},
        {
            "model": {"embedding_size": 10, "positions": "learned", "max_positions": 4},
            "decoding": {"length_penalty": 0.4},
        },
        {"model": {"positions": "rotary"}, "attention": {"temperature": 0.7}, "self_attention": {"temperature": 1.3}},
        {"subword": {"joint": False}, "model": {"tying": "none", "embedding_size": 12, "encoder_layers": 1}},
    ],
    ids=["plain", "embeddings of another size, learned positions", "rotary, temperatures", "nothing shared"],
)
def test_ctranslate2_finds_the_same_with_the_same_scores_and_looks_where_we_look(
    sections: Sections, tmp_path: Path
) -> None:
    translator = drawn(from_dict(transformer(**sections)))
    ctranslate.save(translator, tmp_path)
    lines, longest = sentences(60, 7), 30
    for beam in (1, 4):
        ours = translator.hypotheses(lines, {"beam": beam, "max_length": longest})
        theirs = by_ctranslate2(tmp_path, translator, lines, beam, longest)
        # At the limit we say </s> and count it, and CTranslate2 does not.
        ended = [
            (mine[0], other)
            for mine, other in zip(ours, theirs, strict=True)
            if max(map(len, (*(one.pieces for one in mine), *other.hypotheses))) < longest
        ]
        assert len(ended) > 15
        for mine, other in ended:
            assert mine.pieces == tuple(
                translator.subwords.tgt.pieces(translator.subwords.tgt.ids(other.hypotheses[0]))
            )
            assert other.scores[0] == pytest.approx(mine.score, abs=1e-5)
            if beam == 1:  # of a beam, CTranslate2's attention is not always that of the hypothesis
                assert mine.alignment is not None
                for weights_S, theirs_S in zip(mine.alignment.weights_TS, other.attention[0], strict=False):
                    np.testing.assert_allclose(theirs_S, weights_S[: len(theirs_S)], atol=1e-5)


def drawn_run(directory: Path, sections: Sections) -> Run:
    """A run directory with as much as a translation needs."""
    translator = drawn(from_dict(sections))
    run = Run(directory)
    run.directory.mkdir()
    run.config.write_text(translator.config.resolved().to_toml(), encoding="utf-8")
    translator.subwords.save(run)
    save_weights(state_of(translator.model), run.best)
    return run


def code_of(place: Path) -> str:
    """The Python in an export's README.md."""
    [code] = re.findall(r"```python\n(.*?)```", (place / readme.README).read_text(encoding="utf-8"), re.DOTALL)
    return str(code)


def run_code(place: Path, code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], cwd=place, capture_output=True, text=True, check=True)
    return done.stdout


@pytest.mark.parametrize(
    ("form", "decoding"),
    [
        ("ctranslate2", {}),
        ("ctranslate2", {"max_length": 12, "length_penalty": 0.3, "beam": 2}),
        ("onnx", {}),
        ("onnx", {"min_length": 3, "max_length": 12}),
    ],
    ids=["ctranslate2", "ctranslate2 otherwise", "onnx", "onnx otherwise"],
)
def test_the_readme_translates_as_it_is_written(
    form: str, decoding: dict[str, object], terminal: Terminal, tmp_path: Path
) -> None:
    run = drawn_run(tmp_path / "run", transformer(decoding=decoding))
    place = tmp_path / "exported"
    answer = terminal.ok("export", "--run", run.directory, "--format", form, "-o", place)
    assert str(place / "README.md") in answer.err
    translator = Translator.load(run.directory, "cpu", "fp32")
    for line in (readme.ELSE, sentences(1, 5)[0]):
        [wanted] = translator.translate([line], {"beam": 1} if form == "onnx" else None)
        code = code_of(place).replace(readme.ELSE, line if line == readme.ELSE else f"  {line}\u00a0")
        said = run_code(place, code)
        assert said == f"{wanted}\n"


@pytest.mark.parametrize(
    ("sections", "reasons"),
    [
        (
            {"model": {"encoder": "rnn", "decoder": "rnn"}, "attention": {"kind": "local-p"}},
            [
                'model.encoder = "rnn"',
                'model.decoder = "rnn"',
                'attention.kind = "local-p"',
                'attention.window = "local-p"',
            ],
        ),
        (
            {"model": {**TRANSFORMER, "decoder": "ssru"}, "attention": {"kind": "none"}},
            ['"ssru"', 'attention.kind = "none"'],
        ),
        (transformer(attention={"heads": 4}), ["attention.heads = 4 and self_attention.heads = 2"]),
        (
            transformer(attention={"window": "local-m", "normaliser": "entmax15"}),
            ["attention.window", "attention.normaliser"],
        ),
        (
            transformer(self_attention={"window": "local", "radius": 3, "normaliser": "top-k"}),
            ["self_attention.window", "self_attention.normaliser"],
        ),
    ],
    ids=["RNNs", "SSRU", "heads", "attention", "self-attention"],
)
def test_what_ctranslate2_cannot_hold_is_refused_with_every_reason(sections: Sections, reasons: list[str]) -> None:
    found = ctranslate.refusals(from_dict(sections))
    assert len(found) == len(reasons)
    for reason, said in zip(reasons, found, strict=True):
        assert reason in said


def test_what_is_in_the_way_is_said_and_nothing_is_written(
    terminal: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full, file, new = tmp_path / "full", tmp_path / "file", tmp_path / "new"
    run = drawn_run(tmp_path / "run", {"subword": {"vocab_size": 60}, "model": {"embedding_size": 6, "hidden_size": 8}})
    full.mkdir()
    for path in (full / "kept", file):
        path.write_text("kept", encoding="utf-8")
    command = ("export", "--run", run.directory, "-o")
    assert 'the format "onx" is unknown. Did you mean "onnx"?' in terminal.refused(*command, new, "--format", "onx")
    assert "is not empty" in terminal.refused(*command, full, "--format", "onnx")
    assert "is a file" in terminal.refused(*command, file, "--format", "onnx")
    assert "the folder above it does not exist" in terminal.refused(*command, new / "new", "--format", "onnx")
    said = terminal.refused(*command, new, "--format", "ctranslate2")
    assert 'model.encoder = "rnn"' in said
    assert "`--format onnx` takes every model" in said
    monkeypatch.setattr(folder, "find_spec", lambda name: None)
    assert "pip install onnx onnxruntime" in terminal.refused(*command, new, "--format", "onnx")
    assert {path.name for path in tmp_path.iterdir()} == {"run", "full", "file"}
    assert [path.name for path in full.iterdir()] == ["kept"]


def mixed_cases() -> Iterator[Any]:
    """Every kind, with encoders and decoders, positions, windows and normalisers in turn; and few wirings of RNNs in which any
    two choices meet. Of them all but seven are slow."""
    pairs = [(encoder, decoder) for decoder in ("transformer", "ssru", "rnn") for encoder in ("transformer", "rnn")]
    inward: tuple[dict[str, object], ...] = (
        {},
        {"window": "local", "radius": 1},
        {"normaliser": "sparsemax"},
        {"normaliser": "top-k", "top_k": 2},
    )
    for turn, kind in enumerate(sorted(KINDS, key=lambda kind: kind.name != "multi-head")):
        encoder, decoder = pairs[turn % len(pairs)]
        model: dict[str, object] = {"encoder": encoder, "decoder": decoder}
        sections: Sections = {"model": model, "attention": {"heads": 2} if kind.name == "multi-head" else {}}
        if encoder != "rnn" or decoder != "rnn":
            model |= {"feed_forward_size": 12, "positions": ("sinusoidal", "learned")[turn % 2]}
            model |= {"encoder_layers": 2, "decoder_layers": 2}
        if "transformer" in (encoder, decoder):
            sections["self_attention"] = {"heads": 2, **inward[turn % len(inward)]}
            model["positions"] = ("sinusoidal", "learned", "rotary")[turn % 3]
        slow = [pytest.mark.slow] if turn >= len(pairs) else []
        yield pytest.param(kind.name, sections, id=f"{encoder} {decoder} {kind.name}", marks=slow)
    for kind_name, options in few_wirings():
        case = {"attention": options, "model": {"cell": "gru", "encoder_layers": 2}}
        yield pytest.param(kind_name, case, id=wiring_name((kind_name, options)), marks=[pytest.mark.slow])


@pytest.mark.parametrize(("kind", "sections"), list(mixed_cases()))
def test_graphs_say_what_the_model_says(kind: str, sections: Sections) -> None:
    model = tiny_model(tiny_config(kind, **sections), dtype=torch.float32)
    runner = graphs.Runner(*(graph.SerializeToString() for graph in graphs.graphs(model)))
    # Other numbers of sentences and positions than in the graphs' making, a padded one, and a single piece.
    for size, positions, padding in ((4, 31, 9), (1, 1, 0)):
        with torch.no_grad():
            given = graphs.example(model, size, positions, 0, padding)
            step, state, token_B = graphs.OneStep(model), given.state, given.token_B
            memory = runner.begin(given.source_BS.numpy(), given.mask_BS.numpy())
            for number in range(4):
                logits_BV, weights_BS, *after = step(*given[:2], token_B, torch.tensor(number), *state)
                said = runner.step(memory, token_B.numpy(), number)
                np.testing.assert_allclose(said["logits"], logits_BV.numpy(), atol=1e-4)
                assert ("weights" in said) == bool(weights_BS.numel())
                if "weights" in said:
                    np.testing.assert_allclose(said["weights"], weights_BS.numpy(), atol=1e-4)
                state, token_B = tuple(after[: len(state)]), logits_BV.argmax(-1)


def test_graphs_that_say_something_else_are_refused(tmp_path: Path) -> None:
    config = from_dict({"subword": {"vocab_size": 60}, "model": {"embedding_size": 6, "hidden_size": 8}})
    translator = drawn(config)
    made = graphs.graphs(translator.model)
    graphs.check(translator, made)
    with torch.no_grad():
        translator.model.readout.get_parameter("bias_V")[7] += 1
    with pytest.raises(RunError, match='with its attention "bahdanau": its logits would be others'):
        graphs.check(translator, made)


class Bessel(torch.nn.Module):
    """Something that ONNX does not have."""

    def forward(self, features_NF: torch.Tensor, run: Pass) -> torch.Tensor:
        waves_NF: torch.Tensor = torch.special.bessel_j0(features_NF[:, :8])
        return waves_NF


def test_what_a_graph_cannot_hold_is_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    translator = drawn(from_dict({"subword": {"vocab_size": 60}, "model": {"embedding_size": 8, "hidden_size": 8}}))
    translator.model.readout.hidden = Bessel()
    with pytest.raises(RunError, match=r"a graph cannot hold this model, .*: .*bessel_j0"):
        graphs.save(translator, tmp_path)
    assert capfd.readouterr() == ("", "")
    assert not list(tmp_path.iterdir())


def test_an_export_leaves_nothing_behind() -> None:
    apply, chosen = torch.autograd.Function.__dict__["apply"], products.CHOSEN
    model = tiny_model(tiny_config("bahdanau"), dtype=torch.float32)
    before = graphs.example(model, 2, 5, 2).state
    graphs.graphs(model)
    assert torch.autograd.Function.__dict__["apply"] is apply
    assert products.CHOSEN is chosen
    for one, other in zip(before, graphs.example(model, 2, 5, 2).state, strict=True):
        assert torch.equal(one, other)


def test_leaves_of_a_carry_and_back() -> None:
    model = tiny_model(tiny_config("memory", model={"decoder_layers": 2}))
    carry = model.start(graphs.inputs_of(graphs.example(model, 2, 5, 1)), model.new_pass()).state.carries
    tensors = leaves(carry)
    again = with_leaves(carry, iter([tensor + 1 for tensor in tensors]))
    assert type(again[0]) is type(carry[0])
    assert all(torch.equal(one + 1, other) for one, other in zip(tensors, leaves(again), strict=True))
