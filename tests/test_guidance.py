"""Attention guided by word links: the loss, the links of pieces, what cannot be used, and whether it works."""

import json
import math
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import Terminal
from corpora import BACKWARDS, TinyCorpus, write_lines
from earlier import earlier_subword
from learners import CPU, Lesson, differing
from models import (
    Case,
    Sentences,
    assert_same,
    between,
    decode,
    in_turn,
    tiny_config,
    tiny_model,
    tiny_sentences,
    wiring_name,
    wirings,
)
from torch import Tensor

from seq2seq_cli.config.attention import AttentionConfig
from seq2seq_cli.config.loading import from_dict
from seq2seq_cli.config.sections import SubwordConfig, TrainingConfig
from seq2seq_cli.config.whole import Config
from seq2seq_cli.data.batching import load_batch
from seq2seq_cli.data.guidance import GuideFile, read_piece_links
from seq2seq_cli.data.links import Links
from seq2seq_cli.data.pairs import LineFiles, Lines
from seq2seq_cli.data.prepare import prepare
from seq2seq_cli.data.subword import Subword, Subwords, train_subword
from seq2seq_cli.decoding.translator import Translator
from seq2seq_cli.device import choose_precision
from seq2seq_cli.errors import ConfigError, DataError
from seq2seq_cli.evaluation.aligner import aligned
from seq2seq_cli.evaluation.gold import Agreement, Gold, agreement
from seq2seq_cli.evaluation.linking import pharaoh
from seq2seq_cli.kinds.attentions import find
from seq2seq_cli.model.criteria.guidance import FLOOR, guidance_loss
from seq2seq_cli.model.seq2seq import Seq2Seq
from seq2seq_cli.model.weights import read_weights
from seq2seq_cli.runs import Run
from seq2seq_cli.training.experiment import Begun, Happening, experiment
from seq2seq_cli.training.optim import guided_weight
from seq2seq_cli.training.progress import Interval, Intervals, Progress, Stepped

SPARSE = {"sparsemax", "entmax15", "top-k"}
"""Near the threshold where their weights come to be zero, differences are no gradients."""
GUIDED = [
    (kind, options)
    for kind, options in wirings()
    if find(kind).attends and not {find(kind).normaliser, options.get("normaliser")} & SPARSE
]

DIFFERENTIABLE = [(kind, options) for kind, options in GUIDED if kind != "hard" or "estimator" in options]
"""The gradient that passes straight through a choice is none."""


def test_the_loss_by_hand() -> None:
    weights_BTS = torch.tensor([[[0.5, 0.25, 0.25], [0.1, 0.1, 0.8], [0.0, 1.0, 0.0]]], requires_grad=True)
    guide_BTS = torch.tensor([[[0.5, 0.5, 0.0], [0.0, 0.0, 0.0], [0.0, 1.0, 0.0]]])
    loss = guidance_loss(weights_BTS, guide_BTS)
    # Half of ln 2 and half of ln 4; nothing of the row that is not guided; ln 1.
    assert float(loss.detach()) == pytest.approx(1.5 * math.log(2))
    loss.backward()
    assert weights_BTS.grad is not None
    # -g / a where something is asked for, nothing elsewhere.
    assert_same(weights_BTS.grad, torch.tensor([[[-1.0, -2.0, 0.0], [0.0, 0.0, 0.0], [0.0, -1.0, 0.0]]]))


@pytest.mark.parametrize("weight", [0.0, 1e-30, FLOOR / 2])
def test_where_nothing_is_seen_the_loss_is_finite_and_does_not_pull(weight: float) -> None:
    weights_BTS = torch.tensor([[[weight, 0.5]]], requires_grad=True)
    loss = guidance_loss(weights_BTS, torch.tensor([[[0.5, 0.5]]]))
    assert float(loss.detach()) == pytest.approx(-0.5 * math.log(FLOOR) + 0.5 * math.log(2))
    loss.backward()
    assert weights_BTS.grad is not None
    assert weights_BTS.grad.tolist() == [[[0, -1]]]


def test_gradients_of_the_smallest_weights_survive_float16s_loss_scale() -> None:
    energies_BTS = torch.tensor([[[-45.0, 0.0]]], requires_grad=True)
    (2.0**30 * guidance_loss(energies_BTS.softmax(-1), torch.tensor([[[1.0, 0.0]]]))).backward()
    assert energies_BTS.grad is not None
    torch.testing.assert_close(energies_BTS.grad / 2**30, torch.tensor([[[-1.0, 1.0]]]))


def guide(sentences: Sentences) -> Tensor:
    """Up to three source positions for each target step, and none for some."""
    generator = torch.Generator().manual_seed(3)
    shape = (*sentences.reads_BT.shape, sentences.src_BS.shape[1])
    linked_BTS = (torch.rand(shape, generator=generator) < 0.4) & sentences.mask_BS[:, None]
    linked_BTS[:, 2] = False
    return linked_BTS / linked_BTS.sum(-1, keepdim=True).clamp(min=1)


def losses(model: Seq2Seq, sentences: Sentences) -> Tensor:
    """The guidance alone, and with the cross-entropy."""
    real_BT = torch.ones_like(sentences.reads_BT, dtype=torch.bool)
    loss = model.loss(sentences.batch(sentences.reads_BT.flip(1), real_BT, guide(sentences)), 0.1)
    assert loss.guidance is not None
    return torch.stack([loss.guidance, loss.smoothed + 0.3 * loss.guidance])


def moved(model: Seq2Seq, directions: dict[str, Tensor], size: float) -> None:
    """Every parameter, so far in its direction."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name in directions:
                parameter.add_(size * directions[name])


def slopes(model: Seq2Seq, sentences: Sentences, directions: dict[str, Tensor]) -> Tensor:
    """Of the losses, by two differences."""
    moved(model, directions, 1e-6)
    above = losses(model, sentences).detach()
    moved(model, directions, -2e-6)
    below = losses(model, sentences).detach()
    moved(model, directions, 1e-6)
    return (above - below) / 2e-6


def assert_gradients_are_differences(model: Seq2Seq, sentences: Sentences) -> None:
    """In a random direction of all parameters together, and in a second one. Where they are not, of which parameters is said."""
    generator = torch.Generator().manual_seed(4)
    parameters = dict(model.named_parameters())
    gradients = [
        torch.autograd.grad(losses(model, sentences)[which], list(parameters.values()), allow_unused=True)
        for which in (0, 1)
    ]

    def along(directions: dict[str, Tensor]) -> list[float]:
        return [
            sum(
                float((gradient * directions[name]).sum())
                for name, gradient in zip(parameters, parts, strict=True)
                if gradient is not None and name in directions
            )
            for parts in gradients
        ]

    def is_so(directions: dict[str, Tensor]) -> bool:
        return along(directions) == pytest.approx(slopes(model, sentences, directions).tolist(), rel=1e-5, abs=1e-6)

    for _ in range(2):
        directions = {
            name: torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
            for name, parameter in parameters.items()
        }
        if not is_so(directions):
            wrong = [name for name in directions if not is_so({name: directions[name]})]
            pytest.fail(f"the gradients of {', '.join(wrong) or 'all together'} are not the slopes of the losses")


@pytest.mark.parametrize("normaliser", sorted(SPARSE))
def test_exact_zeros_are_guided_without_infinities(normaliser: str) -> None:
    options: dict[str, object] = {"top_k": 1} if normaliser == "top-k" else {}
    model = tiny_model(tiny_config("luong-general", attention={"normaliser": normaliser, **options}))
    with torch.no_grad():
        dict(model.named_parameters())["decoder.layers.0.attention.score.key.weight"].mul_(20)
    sentences = tiny_sentences()
    weights_BTS = decode(model, sentences).shown.weights_BTS
    assert ((weights_BTS == 0) & (guide(sentences) > 0)).any()
    loss = losses(model, sentences)[1]
    assert loss.isfinite()
    loss.backward()
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in model.parameters())


BETWEEN = [
    case
    for case in between(every=False)
    if find(case.kind).attends and find(case.kind).normaliser not in SPARSE and case.kind != "hard"
]
"""With Transformer layers."""


@pytest.mark.parametrize("case", [*in_turn(DIFFERENTIABLE), *BETWEEN], ids=lambda case: case.name)
def test_gradients_reach_every_parameter(case: Case) -> None:
    assert_gradients_are_differences(tiny_model(case.config), tiny_sentences())


@pytest.mark.parametrize("kind", ["local-m", "local-p"])
def test_gradients_where_the_window_is_picked_out_of_a_long_source(kind: str) -> None:
    model = tiny_model(tiny_config(kind, attention={"radius": 1}))
    assert_gradients_are_differences(model, tiny_sentences((13, 5, 12)))


@pytest.mark.parametrize(("kind", "options"), GUIDED, ids=[wiring_name(case) for case in GUIDED])
def test_the_models_loss_is_that_of_its_weights(kind: str, options: dict[str, object]) -> None:
    """Written out in plain Python."""
    model, sentences = tiny_model(tiny_config(kind, attention=options)), tiny_sentences()
    with torch.no_grad():
        weights, wanted = decode(model, sentences).shown.soft_BTS.tolist(), guide(sentences).tolist()
        found = losses(model, sentences)[0]
    expected = 0.0
    for rows, guides in zip(chain(*weights), chain(*wanted), strict=True):
        expected -= sum(g * math.log(max(a, 1e-20)) for a, g in zip(rows, guides, strict=True))
    assert float(found) == pytest.approx(expected)


def test_a_step_along_the_guidance_moves_the_centre_of_a_predicted_window() -> None:
    """local-p learns p_t from the links: the Gaussian is part of the weights."""
    model = tiny_model(tiny_config("local-p", attention={"radius": 3}))
    sentences = tiny_sentences((7,), steps=4)
    guide_BTS = torch.zeros(1, 4, 7)
    guide_BTS[:, :, 2] = 1
    position = dict(model.named_parameters())["decoder.layers.0.attention.window.position.weight"]
    before = decode(model, sentences).shown.centre_BT
    (gradient,) = torch.autograd.grad(guidance_loss(decode(model, sentences).shown.weights_BTS, guide_BTS), [position])
    with torch.no_grad():
        position.sub_(0.01 * gradient / gradient.norm())
    after = decode(model, sentences).shown.centre_BT
    assert before is not None
    assert after is not None
    seen = (before - 2).abs() <= 3
    assert seen.any()
    assert ((after - 2).abs() - (before - 2).abs())[seen].sum() < 0


PIECES = train_subword(["ta nu", "ki po", "tanu kipo"] * 3, SubwordConfig(type="char", vocab_size=20))
"""One piece a letter, and one for the space before a word: "ta nu" is ▁ t a ▁ n u."""


def pieces_linked(
    folder: Path, pairs: list[tuple[str, str]], links: list[str], subword: Subword
) -> list[list[list[float]]]:
    """Of each pair: where each target piece is to look, ``</s>`` the last in both directions."""
    sides = zip(*pairs, strict=True)
    for path, lines in zip((folder / "text.xx", folder / "text.yy", folder / "links"), (*sides, links), strict=True):
        write_lines(path, list(lines))
    text = LineFiles(folder / "text.xx", folder / "text.yy")
    found = read_piece_links(
        GuideFile(folder / "links", None), text, Subwords(subword, subword), lambda done, total: None
    )
    shapes = [[len(subword.encode([line])[0]) + 1 for line in pair] for pair in pairs]
    made = [found.shares(np.array([n]), steps, positions)[0] for n, (positions, steps) in enumerate(shapes)]
    assert found.guided.tolist() == [int(share.any(-1).sum()) for share in made]
    return [share.tolist() for share in made]


def test_pieces_of_linked_words_by_hand(tmp_path: Path) -> None:
    a, b, half, no = ([x, x, x, y, y, y, y, 0] for x, y in ((1 / 3, 0), (0, 1 / 4), (1 / 7, 1 / 7), (0, 0)))
    # Source ▁ta ▁nuu, of three and four pieces; target ▁k ▁po ▁i, of two, three and two.
    (one, two, three, four) = pieces_linked(
        tmp_path,
        [("ta nuu", "k po i")] * 4,
        ["0-1 1-0", "0-0 1-0 1-2", "", "0-0 0-0"],
        PIECES,
    )
    assert np.allclose(one, [b] * 2 + [a] * 3 + [no] * 3)
    assert np.allclose(two, [half] * 2 + [no] * 3 + [b] * 2 + [no])
    assert not np.any(three)
    assert np.allclose(four, [a] * 2 + [no] * 6)  # twice the same link is one


def test_words_are_those_of_the_line_as_it_is_given(tmp_path: Path) -> None:
    """A zero-width space ends no word, and a word of nothing else has no piece."""
    pairs = [("ta\u200bnu ki", "  po \u3000 nu"), ("ta \u200b nu", "po po")]
    joined, empty = pieces_linked(tmp_path, pairs, ["0-1", "1-0 2-1"], PIECES)
    assert np.allclose(joined, [[0] * 9] * 3 + [[1 / 5] * 5 + [0] * 4] * 3 + [[0] * 9])
    assert np.allclose(empty, [[0] * 7] * 3 + [[0] * 3 + [1 / 3] * 3 + [0]] * 3 + [[0] * 7])


def test_an_unknown_piece_belongs_to_all_words_in_it(tmp_path: Path) -> None:
    """▁ΩΩ▁ΨΨ is one, and the word between them, of which nothing is seen, is not in it."""
    whole_words = earlier_subword(["ta nu", "ki po"] * 3, "word", 8)
    assert whole_words.written_pieces("ta ΩΩ \u200b ΨΨ") == ["▁ta", "▁ΩΩ▁ΨΨ"]
    pairs = [("ta ΩΩ \u200b ΨΨ", "ki po nu")]
    (shares,) = pieces_linked(tmp_path, pairs, ["1-0 2-1 3-2"], whole_words)
    assert shares == [[0, 1, 0], [0, 0, 0], [0, 1, 0], [0, 0, 0]]
    (shares,) = pieces_linked(tmp_path, [pairs[0][::-1]], ["0-1 1-2"], whole_words)
    assert shares == [[0, 0, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]


def test_left_out_pairs_take_their_links_along(tmp_path: Path) -> None:
    """Every pair links its last word to the first one, and the two in the middle are not trained on."""
    sources, targets = ["ta nu", "", "ta " * 9, "ki po nu"], ["la ro", "mu", "la " * 9, "se mu ro"]
    for split in ("train", "dev"):
        write_lines(tmp_path / f"{split}.xx", sources)
        write_lines(tmp_path / f"{split}.yy", targets)
    write_lines(tmp_path / "links", ["0-1", "", "0-8", "0-2"])
    values = {name: str(tmp_path / name) for name in ("train", "dev")} | {"src": "xx", "tgt": "yy", "max_length": 16}
    config = from_dict({"data": values, "subword": {"type": "char", "vocab_size": 30}})
    prepared = prepare(config.data, config.subword, links=GuideFile(tmp_path / "links", None))
    [pairs] = prepared.train.parts()
    assert pairs.numbers.tolist() == [0, 3]
    assert any("guided at 40% of the target pieces" in note for note in prepared.notes)  # 6 of 15
    batch = load_batch(pairs, np.array([1, 0]))
    assert batch.guided_tokens == 6
    assert batch.guide_BTS is not None
    assert batch.guide_BTS.shape == (*batch.target.says_BT.shape, batch.text.ids_BL.shape[1])
    first = [1 / 3] * 3
    expected = torch.zeros_like(batch.guide_BTS)
    expected[0, 6:9, :3] = expected[1, 3:6, :3] = torch.tensor(first)
    assert_same(batch.guide_BTS, expected)
    assert load_batch(prepared.dev, np.array([0])).guide_BTS is None


def right_links(source: str) -> Links:
    """Of the invented language; that a sentence is reversed is said by a word that is linked to nothing."""
    words = source.split()
    if words[0] != BACKWARDS:
        return frozenset((i, i) for i in range(len(words)))
    return frozenset((i, len(words) - 1 - i) for i in range(1, len(words)))


@pytest.fixture(scope="module")
def links(tiny_corpus: TinyCorpus, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("links") / "train.pharaoh"
    sources = (tiny_corpus.folder / "train.xx").read_text(encoding="utf-8").splitlines()
    write_lines(path, [pharaoh(right_links(source)) for source in sources])
    return path


def guided(corpus: TinyCorpus, links: Path, **training: object) -> Config:
    settings = corpus.settings()
    settings["training"] |= {"guided_alignment": str(links), **training}
    return from_dict(settings)


def alignment_error(config: Config, links: Path | None) -> float:
    """Of the dev links, after training."""
    prepared = prepare(config.data, config.subword, links=None if links is None else GuideFile(links, None))
    lesson = Lesson(config, prepared)
    learner = lesson.learner()
    for _ in lesson.train(learner, Progress()):
        pass
    learner.model.eval()
    translator = Translator(learner.model, prepared.subwords, config, CPU, choose_precision("fp32", CPU))
    lines: Lines = prepared.dev_lines
    gold = (Gold(links, links) for links in map(right_links, lines.src))
    found = (pair.links for pair in aligned(lines, translator, None, "", posterior=True))
    rate = sum(map(agreement, found, gold), Agreement()).error_rate
    assert rate is not None
    return rate


@pytest.mark.parametrize(
    "attention",
    [
        pytest.param(AttentionConfig(kind="bahdanau"), marks=pytest.mark.slow),
        AttentionConfig(kind="local-p", input_feeding=False),
    ],
    ids=lambda attention: attention.kind,
)
def test_guided_attention_finds_the_words_sooner(
    attention: AttentionConfig, tiny_corpus: TinyCorpus, links: Path, tmp_path: Path
) -> None:
    config = guided(tiny_corpus, links, epochs=8, guided_weight=2.0).model_copy(update={"attention": attention})
    with_links, without = (alignment_error(config, given) for given in (links, None))
    assert with_links < 0.5 * without


def run_all(config: Config, directory: Path, resume: bool = False) -> list[Happening]:
    return list(experiment(config, directory, resume, overwrite=False))


def test_a_resumed_run_is_guided_as_before(tiny_corpus: TinyCorpus, links: Path, tmp_path: Path) -> None:
    decay: dict[str, object] = {"guided_weight": 0.8, "guided_final_weight": 0.1, "save_minutes": 1e-9, "epochs": 2}
    config = guided(tiny_corpus, links, **decay)
    whole, cut_off = Run(tmp_path / "whole"), Run(tmp_path / "cut-off")
    run_all(config, whole.directory)
    events: Iterator[Happening] = experiment(config, cut_off.directory, resume=False, overwrite=False)
    for event in events:
        if isinstance(event, Stepped) and event.step == 5:
            break
    events.close()  # type: ignore[attr-defined]
    moved = tmp_path / "moved"
    moved.write_bytes(links.read_bytes())
    rest = run_all(guided(tiny_corpus, moved, **decay), cut_off.directory, resume=True)
    assert isinstance(rest[0], Begun)
    assert rest[0].resumed_at >= 4
    assert differing(read_weights(cut_off.best), read_weights(whole.best)) == []
    # Not the same as without decay.
    run_all(guided(tiny_corpus, links, epochs=2, guided_weight=0.8), tmp_path / "even")
    assert differing(read_weights(Run(tmp_path / "even").best), read_weights(whole.best)) != []

    moved.write_bytes(links.read_bytes().replace(b"0-0", b"", 1))
    with pytest.raises(
        DataError, match=r"the links file of training\.guided_alignment has changed since this run began"
    ):
        run_all(guided(tiny_corpus, moved, **decay), cut_off.directory, resume=True)
    run_all(tiny_corpus.config(training={"epochs": 1}), tmp_path / "plain")
    with pytest.raises(DataError, match="has changed since this run began"):
        run_all(guided(tiny_corpus, links, epochs=2), tmp_path / "plain", resume=True)


def test_the_record_has_the_guidance_beside_the_loss(tiny_corpus: TinyCorpus, links: Path, tmp_path: Path) -> None:
    run, plain = Run(tmp_path / "run"), Run(tmp_path / "plain")
    # A guidance that weighs next to nothing: the loss on record is that of an unguided training.
    run_all(guided(tiny_corpus, links, epochs=1, guided_weight=1e-9), run.directory)
    run_all(tiny_corpus.config(training={"epochs": 1}), plain.directory)
    (ours, theirs) = (json.loads(r.metrics.read_text(encoding="utf-8").splitlines()[0]) for r in (run, plain))
    assert ours["loss"] == pytest.approx(theirs["loss"], rel=1e-4)
    assert 0 < ours["guidance"] < 3
    assert "guidance" not in theirs
    assert f"guidance {ours['guidance']:.3f}, rate" in run.log.read_text(encoding="utf-8")
    assert "guidance" not in plain.log.read_text(encoding="utf-8")
    hashes = json.loads(run.info.read_text(encoding="utf-8"))["data_sha256"]
    assert hashes.keys() == {"train", "dev", "test", "links"}


def test_intervals_are_means_over_guided_tokens() -> None:
    intervals = Intervals(3)
    steps = [(10, 2.0, 4), (10, None, 0), (10, 0.5, 12)]
    made = [
        intervals.add(Stepped(0, number, 1.0, tokens, 0.1, 1.0, 1.0, 0.0, guidance, linked))
        for number, (tokens, guidance, linked) in enumerate(steps)
    ]
    assert isinstance(made[2], Interval)
    assert made[2].guidance == pytest.approx((2 * 4 + 0.5 * 12) / 16)


def test_the_weight_goes_down_in_a_straight_line() -> None:
    def weights(**settings: float) -> list[float]:
        config = TrainingConfig(guided_alignment="links", **settings)  # type: ignore[arg-type]
        return [guided_weight(config, share) for share in (0.0, 0.5, 1.0)]

    assert weights() == [0.5, 0.5, 0.5]
    assert weights(guided_weight=2.0) == [2, 2, 2]
    assert weights(guided_weight=2.0, guided_final_weight=0.0) == [2, 1, 0]
    assert weights(guided_final_weight=1.5) == [0.5, 1, 1.5]


@pytest.mark.parametrize(
    ("training", "kind", "said"),
    [
        ({"guided_weight": 0.1}, "bahdanau", "guided_weight given without guided_alignment"),
        ({"guided_final_weight": 0.1}, "bahdanau", "guided_final_weight given without guided_alignment"),
        ({"guided_alignment": "x", "guided_weight": 0.0}, "bahdanau", "training.guided_weight = 0.0"),
        ({"guided_alignment": "x", "guided_final_weight": -1.0}, "bahdanau", "training.guided_final_weight = -1.0"),
        ({"guided_alignment": "x"}, "none", 'attention.kind "none" has no weights'),
    ],
)
def test_settings_that_do_not_fit(training: dict[str, object], kind: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        from_dict({"training": training, "attention": {"kind": kind}})


@pytest.mark.parametrize(
    ("line", "text", "said"),
    [
        (3, "0-0 1:1", "links:3: '1:1' is no link. Write i-j, source word first; "),
        (3, "0;0", "links:3: '0;0' is no link."),
        (7, "0-99", "links:7: the link 0-99 is outside this pair of"),
        (7, "99-0", "links:7: the link 99-0 is outside this pair of"),
        (1, "0-0\n0-0", "links: 301 lines of links for 300 sentence pairs."),
    ],
)
def test_links_that_cannot_be_used(
    terminal: Terminal, tiny_corpus: TinyCorpus, links: Path, tmp_path: Path, line: int, text: str, said: str
) -> None:
    lines = links.read_text(encoding="utf-8").splitlines()
    lines[line - 1] = text
    write_lines(tmp_path / "links", lines)
    config = tmp_path / "config.toml"
    config.write_text(tiny_corpus.config().to_toml(), encoding="utf-8")
    words = ("train", "--config", config, "--run", tmp_path / "run", "--guided-alignment", tmp_path / "links")
    assert said in terminal.refused(*words)
    assert not (tmp_path / "run").exists()


def test_a_missing_file_and_one_without_links(terminal: Terminal, tiny_corpus: TinyCorpus, tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text(tiny_corpus.config().to_toml(), encoding="utf-8")
    words = ("train", "--config", config, "--run", tmp_path / "run", "--guided-alignment", tmp_path / "links")
    assert "links: cannot be read: No such file" in terminal.refused(*words)
    write_lines(tmp_path / "links", [""] * 300)
    assert "links: no word of the pairs that are trained on is linked." in terminal.refused(*words)
    assert 'attention.kind "none" has no weights' in terminal.refused(*words, "--attention", "none")
    assert not (tmp_path / "run").exists()


def test_from_the_command_line(terminal: Terminal, tiny_corpus: TinyCorpus, links: Path, tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text(tiny_corpus.config(data={"test": None}).to_toml(), encoding="utf-8")
    told = terminal.ok(
        *("train", "--config", config, "--run", tmp_path / "run", "--epochs", 1),
        *("--guided-alignment", links, "--set", "training.guided_weight=0.3"),
    ).err
    assert "Attention is guided at" in told.replace("\n", " ")


def test_links_of_a_table(tiny_corpus: TinyCorpus, links: Path, tmp_path: Path) -> None:
    """By the order of its rows."""
    sides = ((tiny_corpus.folder / f"train.{side}").read_text(encoding="utf-8").splitlines() for side in ("xx", "yy"))
    write_lines(tmp_path / "train.tsv", ["xx\tyy", *("\t".join(pair) for pair in zip(*sides, strict=True))])
    files = tiny_corpus.config()
    table = files.data.model_copy(update={"train": str(tmp_path / "train.tsv")})
    one, other = (prepare(data, files.subword, links=GuideFile(links, None)).train for data in (files.data, table))
    rows = np.arange(20)
    ours, theirs = (load_batch(next(text.parts()), rows).guide_BTS for text in (one, other))
    assert ours is not None
    assert theirs is not None
    assert torch.equal(ours, theirs)
