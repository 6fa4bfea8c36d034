"""``seq2seq align`` from end to end, on an invented language."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from commands import Terminal
from corpora import BACKWARDS, TinyCorpus, sentences, translation, write_lines

from seq2seq_cli.data.links import Links
from seq2seq_cli.evaluation.aligner import CHUNK, weights_file
from seq2seq_cli.evaluation.alignment import Grid
from seq2seq_cli.evaluation.linking import strongest_links, transposed
from seq2seq_cli.runs import Run
from seq2seq_cli.training.experiment import experiment

ODD = [
    "ta nu ki", "", "   ", "\0", "ta\0nu ki", "ta\u2028nu", "\u200b ta \ufeff", "ta  \t nu ", "日本語 ta", "Ω ΨΨ Ω", "x" * 50,
    "e\u0301 ta", "▁ ta ▁", "</s> <unk>",
]  # fmt: skip


def trained(directory: Path, corpus: TinyCorpus, **sections: dict[str, object]) -> Run:
    config = corpus.config(training={"epochs": 1}, **sections)
    for _ in experiment(config, directory, resume=False, overwrite=False):
        pass
    return Run(directory)


@pytest.fixture(scope="module")
def reverse_run(tiny_corpus: TinyCorpus, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """From yy to xx, with a local window; barely trained."""
    attention: dict[str, object] = {"kind": "local-p"}
    directory = tmp_path_factory.mktemp("runs") / "reverse"
    return trained(directory, tiny_corpus, data={"src": "yy", "tgt": "xx"}, attention=attention)


@pytest.fixture
def pair(tmp_path: Path) -> list[object]:
    """Options that name a text and its translation."""
    lines = sentences(12, seed=21)
    write_lines(tmp_path / "text.xx", lines)
    write_lines(tmp_path / "text.yy", [translation(line) for line in lines])
    return ["--source", tmp_path / "text.xx", "--target", tmp_path / "text.yy"]


def links_of(lines: str) -> list[Links]:
    assert lines.endswith("\n")
    pairs = [[link.split("-") for link in line.split()] for line in lines[:-1].split("\n")]
    return [frozenset((int(i), int(j)) for i, j in links) for links in pairs]


def true_links(source: str) -> str:
    """The links by which the language was made; the word that reverses has none."""
    words = source.split()
    last = len(words) - 1
    return " ".join(f"{last - j if words[0] == BACKWARDS else j}-{j}" for j in range(len(translation(source).split())))


def test_links_of_every_pair_in_order(terminal: Terminal, trained_run: Run, pair: list[object], tmp_path: Path) -> None:
    run = ["--run", trained_run.directory]
    printed = terminal.ok("align", *run, *pair)
    assert printed.err == "aligning 12 pairs ...\n"
    out, soft = tmp_path / "out.pharaoh", tmp_path / "out.npz"
    written = terminal.ok("align", *run, *pair, "-o", out, "--soft", soft)
    assert (written.out, out.read_text()) == ("", printed.out)
    assert f"written to {out}\nwritten to {soft}\n" in written.err
    sources, targets = (Path(str(path)).read_text().splitlines() for path in pair[1::2])
    with np.load(soft) as arrays:
        assert set(arrays) == {f"weights_{n}" for n in range(12)}
        for n, links in enumerate(links_of(printed.out)):
            weights_TS = arrays[f"weights_{n}"]
            assert weights_TS.dtype == np.float32
            assert weights_TS.shape == (len(targets[n].split()) + 1, len(sources[n].split()) + 1)
            np.testing.assert_allclose(weights_TS.sum(1), 1, atol=1e-5)
            assert links == strongest_links(weights_TS)
            assert sorted(j for _, j in links) == list(range(len(targets[n].split())))


def test_it_has_learned_to_align(terminal: Terminal, trained_run: Run, pair: list[object], tmp_path: Path) -> None:
    gold = tmp_path / "gold"
    write_lines(gold, [true_links(line) for line in (tmp_path / "text.xx").read_text().splitlines()])
    learned = figures(terminal.ok("align", "--run", trained_run.directory, *pair, "--gold", gold).out)
    # Chance would be right at one word in four or so.
    assert float(learned["precision"][0]) > 0.5


def figures(out: str) -> dict[str, list[str]]:
    return {name: rest for name, *rest in (line.split("\t") for line in out.splitlines())}


def test_gold_links(terminal: Terminal, trained_run: Run, tmp_path: Path) -> None:
    write_lines(tmp_path / "xx", ["ta nu ki", "po"])
    write_lines(tmp_path / "yy", ["la ro se", ""])
    words = ["align", "--run", trained_run.directory, "--source", tmp_path / "xx", "--target", tmp_path / "yy"]
    first, second = links_of(terminal.ok(*words).out)
    assert (len(first), second) == (3, frozenset())
    (a, _), (b, _), (c, _) = sorted(first, key=lambda link: link[1])
    # Of three links found, one is sure and one possible; of two sure ones, one was found.
    wrong = (c + 1) % 3
    write_lines(tmp_path / "gold", [f"{a}-0 {b}?1 {wrong}-2", ""])
    scored = terminal.ok(*words, "--gold", tmp_path / "gold")
    assert figures(scored.out) == {
        "alignment error rate": ["0.4000", "1 - (1 + 2) / (3 + 2)"],
        "precision": ["0.6667", "2 of 3 links are sure or possible"],
        "recall": ["0.5000", "1 of 2 sure links were found"],
    }
    write_lines(tmp_path / "gold", [f"{a}-0 {b}-1 {c}-2", ""])
    itself = terminal.ok(*words, "--gold", tmp_path / "gold", "-o", tmp_path / "out")
    assert [values[0] for values in figures(itself.out).values()] == ["0.0000", "1.0000", "1.0000"]
    assert links_of((tmp_path / "out").read_text()) == [first, second]
    write_lines(tmp_path / "yy", ["", ""])
    write_lines(tmp_path / "gold", ["", ""])
    nothing = terminal.ok(*words, "--gold", tmp_path / "gold")
    assert [values[0] for values in figures(nothing.out).values()] == ["none", "none", "none"]


def test_both_directions(terminal: Terminal, trained_run: Run, reverse_run: Run, pair: list[object]) -> None:
    words = ["align", "--run", trained_run.directory, *pair]
    turned = ["align", "--run", reverse_run.directory, "--source", pair[3], "--target", pair[1]]
    forward = links_of(terminal.ok(*words).out)
    backward = [transposed(links) for links in links_of(terminal.ok(*turned).out)]
    both = [*words, "--reverse-run", reverse_run.directory]
    few, all_, grown = (
        links_of(terminal.ok(*both, "--symmetrize", method).out)
        for method in ("intersection", "union", "grow-diag-final-and")
    )
    assert few == [a & b for a, b in zip(forward, backward, strict=True)]
    assert all_ == [a | b for a, b in zip(forward, backward, strict=True)]
    assert all(a <= b <= c for a, b, c in zip(few, grown, all_, strict=True))
    assert links_of(terminal.ok(*both).out) == grown
    assert few != grown != all_


def test_odd_lines_keep_their_words_and_their_order(
    terminal: Terminal, trained_run: Run, reverse_run: Run, tmp_path: Path
) -> None:
    pairs = [pair for line in ODD for pair in ((line, line), (line, "ta nu ki"), ("ta nu ki", line))]
    write_lines(tmp_path / "xx", [source for source, _ in pairs])
    write_lines(tmp_path / "yy", [target for _, target in pairs])
    words = ["--source", tmp_path / "xx", "--target", tmp_path / "yy", "--soft", tmp_path / "npz"]
    both = ["--reverse-run", reverse_run.directory, "--symmetrize", "union"]
    forward = links_of(terminal.ok("align", "--run", trained_run.directory, *words).out)
    union = links_of(terminal.ok("align", "--run", trained_run.directory, *both, *words).out)
    assert len(forward) == len(union) == len(pairs)
    with np.load(tmp_path / "npz") as arrays:
        for n, (source, target) in enumerate(pairs):
            sizes = (len(source.split()), len(target.split()))
            assert all(i < sizes[0] and j < sizes[1] for i, j in union[n])
            assert arrays[f"weights_{n}"].shape == (sizes[1] + 1, sizes[0] + 1)
    by_pair = dict(zip(pairs, forward, strict=True))
    assert by_pair["ta nu ki", "\0"] == by_pair["", "ta nu ki"] == by_pair["\0", "ta nu ki"] == frozenset()
    assert {i for i, _ in by_pair["\u200b ta \ufeff", "ta nu ki"]} == {1}
    assert {j for _, j in by_pair["ta nu ki", "\u200b ta \ufeff"]} == {1}
    # Alone or among others, a line has the same links.
    write_lines(tmp_path / "xx", ["ta  \t nu "])
    write_lines(tmp_path / "yy", ["ta nu ki"])
    alone = links_of(terminal.ok("align", "--run", trained_run.directory, *words).out)
    assert alone == [by_pair["ta  \t nu ", "ta nu ki"]]


def test_more_pairs_than_are_held_at_once(terminal: Terminal, trained_run: Run, tmp_path: Path) -> None:
    write_lines(tmp_path / "xx", ["ta nu"] * CHUNK + ["ki"])
    write_lines(tmp_path / "yy", ["la ro"] * CHUNK + ["se"])
    words = ["--run", trained_run.directory, "--source", tmp_path / "xx", "--target", tmp_path / "yy"]
    links = links_of(terminal.ok("align", *words).out)
    assert (len(links), len(set(links[:-1])), *links[-1]) == (CHUNK + 1, 1, (0, 0))


def test_centres_of_a_local_window(terminal: Terminal, reverse_run: Run, pair: list[object], tmp_path: Path) -> None:
    soft = tmp_path / "out.npz"
    terminal.ok("align", "--run", reverse_run.directory, *pair, "--soft", soft)
    with np.load(soft) as arrays:
        assert len(arrays) == 2 * 12
        for n in range(12):
            rows, columns = arrays[f"weights_{n}"].shape
            centres = arrays[f"centres_{n}"]
            assert centres.shape == (rows,)
            assert np.all((centres >= 0) & (centres <= columns - 1))


def test_a_weights_file_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    grid = Grid(("a", "</s>"), ("</s>",), np.ones((1, 2), np.float32))

    def interrupted() -> None:
        with weights_file(tmp_path / "x.npz") as add:
            add(0, grid)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []


def test_mistakes_are_explained(terminal: Terminal, trained_run: Run, pair: list[object], tmp_path: Path) -> None:
    words = ["align", "--run", trained_run.directory, *pair]
    assert "--symmetrize needs --reverse-run" in terminal.refused(*words, "--symmetrize", "union")
    wrong = ["--reverse-run", trained_run.directory]
    assert '"grow" is unknown. Known: intersection' in terminal.refused(*words, *wrong, "--symmetrize", "grow")
    said = terminal.refused(*words, *wrong)
    assert f"this run translates xx to yy, but {trained_run.directory} xx to yy. Languages are compared by name" in said
    assert "--src yy --tgt xx" in said
    assert "nowhere: there is no such run directory" in terminal.refused(*words, "--reverse-run", "nowhere")
    assert "nowhere: there is no such run directory" in terminal.refused("align", "--run", "nowhere", *pair)
    gold = tmp_path / "gold"
    assert "gold: cannot be read" in terminal.refused(*words, "--gold", gold)
    write_lines(gold, ["0-0"])
    assert "gold: 1 line of links for 12 sentence pairs" in terminal.refused(*words, "--gold", gold)
    write_lines(gold, ["", "0-99", *[""] * 10])
    assert f"{gold}:2: the link 0-99 is outside this pair" in terminal.refused(*words, "--gold", gold)
    write_lines(gold, ["1;1", *[""] * 11])
    assert f"{gold}:1: '1;1' is no link" in terminal.refused(*words, "--gold", gold)
    assert f"{tmp_path}/no/x: its folder does not exist" in terminal.refused(*words, "-o", tmp_path / "no" / "x")
    assert f"{gold}/x.npz: its folder does not exist" in terminal.refused(*words, "--soft", gold / "x.npz")
    assert "x: -o and --soft would both write it" in terminal.refused(*words, "-o", "x", "--soft", "./x")
    assert "int8 is for searching" in terminal.refused(*words, "--precision", "int8")
    before = (tmp_path / "text.xx").read_text()
    for option in ("-o", "--soft"):
        assert "text.xx: is both input and output" in terminal.refused(*words, option, pair[1])
    assert (tmp_path / "text.xx").read_text() == before
    write_lines(tmp_path / "text.yy", ["la"])
    assert re.search("12 lines in one file but 1 in the other. They look shifted", terminal.refused(*words))
    assert "needs" not in terminal.refused("align", "--run", trained_run.directory)


def test_runs_that_cannot_align(
    terminal: Terminal, tiny_corpus: TinyCorpus, reverse_run: Run, pair: list[object], tmp_path: Path
) -> None:
    attention: dict[str, object] = {"kind": "none"}
    blind = trained(tmp_path / "blind", tiny_corpus, attention=attention)
    for words in (["align", *pair], ["plot", "ta"]):
        said = terminal.refused(*words, "--run", blind.directory)
        assert f"{blind.directory}: attention kind none gives no weights. Train a run with attention" in said
    unnamed = Run(tmp_path / "unnamed")
    shutil.copytree(reverse_run.directory, unnamed.directory)
    turned = ["align", "--run", reverse_run.directory, "--source", pair[3], "--target", pair[1]]
    assert "attention kind none" in terminal.refused(*turned, "--reverse-run", blind.directory)
    words = ["align", "--run", unnamed.directory, "--source", pair[3], "--target", pair[1]]
    for broken in ("{", "[]", "{}"):
        unnamed.info.write_text(broken)
        said = terminal.refused(*words, "--reverse-run", blind.directory)
        assert f"{unnamed.info}: cannot be read, so this run's languages are not known" in said
    terminal.ok(*words)
