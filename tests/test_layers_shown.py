"""Layers and heads from end to end: ``plot``, ``align`` and ``eval`` of a run with Transformer layers."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import Terminal
from corpora import sentences, translation, write_lines
from models import tiny_config, tiny_model, tiny_sentences

from seq2seq_cli.cli import opening
from seq2seq_cli.decoding import translator as translator_file
from seq2seq_cli.decoding.forced_decoding import Scoring
from seq2seq_cli.decoding.sentences import Details
from seq2seq_cli.decoding.translator import Translator
from seq2seq_cli.evaluation.alignment import by_words
from seq2seq_cli.model.seq2seq import Seq2Seq
from seq2seq_cli.model.weights import load_best
from seq2seq_cli.runs import Run

LINE = "umgekehrt ta nu ki"


@pytest.fixture
def run(transformer_run: Run) -> list[object]:
    return ["--run", transformer_run.directory]


def test_a_picture_shows_the_layer_and_head_that_are_named(
    terminal: Terminal, transformer_run: Run, run: list[object], tmp_path: Path
) -> None:
    translator = Translator.load(transformer_run.directory, "cpu", "fp32")
    (found,) = translator.search(translator.sentences([LINE], Details(best=1, attentions=True)))[0]
    attentions = found.attentions
    assert attentions is not None
    wanted = {
        (): (found.alignment, found.text),
        ("--layer", 2): (attentions.cross[1].mean, f"{found.text} (layer 2 of 2, mean of 2 heads)"),
        ("--head", 1): (attentions.cross[0].heads[0], f"{found.text} (layer 1 of 2, head 1 of 2)"),
        ("--self",): (attentions.itself[1].mean, f"{LINE} (self-attention, layer 2 of 2, mean of 2 heads)"),
        ("--self", "--layer", 1, "--head", 2): (
            attentions.itself[0].heads[1], f"{LINE} (self-attention, layer 1 of 2, head 2 of 2)",
        ),
        ("--masked-self",): (
            attentions.masked[1].mean, f"{found.text} (masked self-attention, layer 2 of 2, mean of 2 heads)",
        ),
        ("--masked-self", "--layer", 1, "--head", 2): (
            attentions.masked[0].heads[1], f"{found.text} (masked self-attention, layer 1 of 2, head 2 of 2)",
        ),
    }  # fmt: skip
    for number, (words, (alignment, title)) in enumerate(wanted.items()):
        picture = tmp_path / f"{number}.png"
        assert title in " ".join(terminal.ok("plot", *run, LINE, *words, "-o", picture).err.split())
        assert picture.read_bytes().startswith(b"\x89PNG")
        record = json.loads(picture.with_suffix(".json").read_text(encoding="utf-8"))
        assert alignment is not None
        assert record["title"] == title
        np.testing.assert_allclose(record["weights"], alignment.weights_TS, atol=1e-6)
        printed = terminal.ok("plot", *run, LINE, *words).out
        grid = by_words(alignment)
        visible = np.ones_like(grid.weights_TS[0], bool) if grid.seen_TS is None else grid.seen_TS[0]
        percent = [round(100 * float(weight)) for weight in grid.weights_TS[0][visible]]
        row = re.split(r"\s+", printed.splitlines()[2].strip())[1:]
        assert [0 if cell == "·" else int(cell) for cell in row] == percent


def test_given_translations_are_shown_by_layer_as_well(
    terminal: Terminal, run: list[object], transformer_run: Run, tmp_path: Path
) -> None:
    words = ["plot", *run, LINE, "--target", "la q se", "--layer", 2, "--pieces", "-o", tmp_path / "a.svg"]
    assert "se (layer 2 of 2, mean of 2 heads)" in terminal.ok(*words).err
    record = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))
    # "q" is in no vocabulary; it is spelled as in the line.
    assert "q" in "".join(record["target"])
    np.testing.assert_allclose(np.array(record["weights"]).sum(1), 1, atol=1e-5)
    words = ["plot", *run, LINE, "--target", "la q se", "--masked-self", "--head", 1, "-o", tmp_path / "b.svg"]
    assert "se (masked self-attention, layer 2 of 2, head 1 of 2)" in terminal.ok(*words).err
    within = json.loads((tmp_path / "b.json").read_text(encoding="utf-8"))
    assert within["source"] == within["target"] == ["<s>", *record["target"][:-1]]
    weights = np.array(within["weights"])
    np.testing.assert_allclose(weights.sum(1), 1, atol=1e-5)
    assert not np.triu(weights, 1).any()
    assert "target so far: looks" in (tmp_path / "b.svg").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--layer", 3], "--layer: there is no layer 3: this model's decoder has 2 layers. Name one from 1"),
        (["--self", "--layer", 3], "--layer: there is no layer 3: this model's encoder has 2 layers."),
        (["--head", 3], "--head: there is no head 3: this model's attention has 2 heads. Name one from 1 to 2"),
        (["--self", "--target", "la"], "--target would change nothing with --self"),
        (["--self", "--beam", 2], "--beam would change nothing with --self"),
        (["--self", "--masked-self"], "--masked-self shows the translation, --self the source: name one of them"),
        (["--masked-self", "--layer", 3], "--layer: there is no layer 3: this model's decoder has 2 layers."),
    ],
)
def test_what_would_show_nothing_is_refused(
    terminal: Terminal, run: list[object], words: list[object], said: str
) -> None:
    assert said in terminal.refused("plot", *run, "ta", *words)


def test_an_rnn_has_neither(terminal: Terminal, trained_run: Run, tmp_path: Path) -> None:
    run = ["--run", trained_run.directory]
    assert "encoder is an RNN, which has no self-attention. Leave out --self" in terminal.refused(
        "plot", *run, "ta", "--self"
    )
    assert "decoder is an RNN, which has no self-attention. Leave out --masked-self" in terminal.refused(
        "plot", *run, "ta", "--masked-self"
    )
    assert "decoder is an RNN, which attends in one layer only" in terminal.refused("plot", *run, "ta", "--layer", 1)
    write_lines(tmp_path / "a", ["ta"])
    words = ["align", *run, "--source", tmp_path / "a", "--target", tmp_path / "a", "--layer", 1]
    assert "decoder is an RNN, which attends in one layer only. Leave out --layer" in terminal.refused(*words)


def test_words_are_linked_by_the_layer_that_is_named(terminal: Terminal, transformer_run: Run, tmp_path: Path) -> None:
    lines = sentences(12, seed=21)
    write_lines(tmp_path / "text.xx", lines)
    write_lines(tmp_path / "text.yy", [translation(line) for line in lines])
    text = ["--source", tmp_path / "text.xx", "--target", tmp_path / "text.yy"]
    other = Run(Path(shutil.copytree(transformer_run.directory, tmp_path / "other")))
    changed = other.config.read_text(encoding="utf-8").replace("layer = 1", "layer = 2")
    other.config.write_text(changed, encoding="utf-8")
    for how in ("--posterior", "--attention"):
        first, second, set_so = (
            terminal.ok("align", "--run", directory, *text, how, *layer).out
            for directory, layer in (
                (transformer_run.directory, []),
                (transformer_run.directory, ["--layer", 2]),
                (other.directory, []),
            )
        )
        assert second == set_so != first
    # Weights themselves: the layer's own, word by word.
    soft = tmp_path / "soft.npz"
    terminal.ok("align", "--run", transformer_run.directory, *text, "--attention", "--layer", 2, "--soft", soft)
    translator = Translator.load(transformer_run.directory, "cpu", "fp32")
    scored = translator.score(lines[:1], [translation(lines[0])])
    (seen,) = translator.forced_decoder.looked_into(translator.sentences(lines[:1]), scored)
    assert seen.attentions is not None
    with np.load(soft) as arrays:
        np.testing.assert_allclose(arrays["weights_0"], by_words(seen.attentions.cross[1].mean).weights_TS, atol=1e-6)
    said = terminal.refused("align", "--run", transformer_run.directory, *text, "--layer", 3)
    assert "--layer: there is no layer 3: this model's decoder has 2 layers. Name one from 1" in said


def test_the_error_rate_is_told_of_each_layer(
    terminal: Terminal, transformer_run: Run, trained_run: Run, tmp_path: Path
) -> None:
    lines = sentences(12, seed=22)
    write_lines(tmp_path / "text.xx", lines)
    write_lines(tmp_path / "text.yy", [translation(line) for line in lines])
    write_lines(
        tmp_path / "gold", [" ".join(f"{i}-{i}" for i in range(len(translation(line).split()))) for line in lines]
    )
    text = ["--source", tmp_path / "text.xx", "--target", tmp_path / "text.yy", "--gold", tmp_path / "gold"]
    run = ["--run", transformer_run.directory]

    def rate(*words: object) -> str:
        found = re.search(r"alignment error rate\t([\d.]+)", terminal.ok("align", *run, *text, *words).out)
        assert found is not None
        return found[1]

    answer = terminal.ok("align", *run, *text, "--by-layer").out
    told = re.findall(r"^layer (\d)\terror rate ([\d.]+), precision [\d.]+, recall [\d.]+(.*)$", answer, re.MULTILINE)
    assert told == [("1", rate(), " (attention.layer)"), ("2", rate("--layer", 2), "")]
    assert told[0][1] != told[1][1]
    other = ["align", "--run", trained_run.directory, *text, "--by-layer"]
    assert "--by-layer: this model attends to the source in one layer only" in terminal.refused(*other)
    assert "--by-layer needs --gold" in terminal.refused("align", *run, *text[:4], "--by-layer")
    assert "--by-layer is about all layers" in terminal.refused("align", *run, *text, "--by-layer", "--layer", 2)


@pytest.mark.parametrize("posterior", [False, True])
def test_one_reading_aligns_by_every_layer(transformer_run: Run, posterior: bool) -> None:
    sources, targets = ["ta nu ki", "ge"], ["la q se", "la"]
    layered = Translator.load(transformer_run.directory, "cpu", "fp32").score(
        sources, targets, Scoring(posterior=posterior, by_layer=True)
    )
    for number in (1, 2):
        alone = opening.load_attending(transformer_run, "cpu", "fp32", number)
        for one, other in zip(layered, alone.score(sources, targets, Scoring(posterior=posterior)), strict=True):
            assert one.attentions is not None
            assert other.alignment is not None
            seen = one.attentions.cross[number - 1].mean
            np.testing.assert_allclose(seen.weights_TS, other.alignment.weights_TS, atol=1e-6)
            assert seen.target_pieces == other.alignment.target_pieces  # with "q", which no vocabulary holds
    assert layered[0].alignment is not None
    shown = layered[0].attentions.cross[0].mean  # type: ignore[union-attr]
    assert (shown.weights_TS == layered[0].alignment.weights_TS).all()


def test_weights_are_read_once_for_all_layers(
    terminal: Terminal, transformer_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Run] = []

    def counted(model: Seq2Seq, run: Run) -> None:
        read.append(run)
        load_best(model, run)

    monkeypatch.setattr(translator_file, "load_best", counted)
    for name, line in (("a", "ta"), ("b", "la"), ("gold", "0-0")):
        write_lines(tmp_path / name, [line])
    text = ["--source", tmp_path / "a", "--target", tmp_path / "b", "--gold", tmp_path / "gold"]
    terminal.ok("align", "--run", transformer_run.directory, *text, "--by-layer")
    assert len(read) == 1


@pytest.mark.parametrize("shown", [1, 2])
def test_guidance_is_of_the_layer_that_is_shown(shown: int) -> None:
    layers: dict[str, object] = {"encoder": "transformer", "decoder": "transformer", "decoder_layers": 2,
                                 "encoder_layers": 1, "feed_forward_size": 12}  # fmt: skip
    config = tiny_config(
        "multi-head", model=layers, attention={"heads": 2, "layer": shown}, self_attention={"heads": 2}
    )
    model, given = tiny_model(config), tiny_sentences()
    rows, steps = given.reads_BT.shape
    guide_BTS = torch.zeros(rows, steps, given.src_BS.shape[1], dtype=torch.float64)
    guide_BTS[:, :, 0] = 1
    batch = given.batch(given.reads_BT, torch.ones(rows, steps, dtype=torch.bool), guide_BTS)
    guidance = model.loss(batch, 0.0).guidance
    assert guidance is not None
    guidance.backward()
    guided = [name for name, parameter in model.decoder.layers.named_parameters() if parameter.grad is not None]
    # What stands above the attention that is guided learns nothing by it.
    assert {name.partition(".")[0] for name in guided} == {str(number) for number in range(shown)}
    assert any(name.startswith(f"{shown - 1}.attention.") for name in guided)
    assert not any(name.startswith(f"{shown - 1}.feed_forward.") for name in guided)
