"""Models that read the sentences before, from their training in two stages to the lines of a file."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from browser import Watched
from commands import Terminal
from corpora import TinyCorpus, write_lines
from learners import Lesson, differing, weights
from pronouns import Stories

from seq2seq_cli.config.loading import Given
from seq2seq_cli.config.whole import Config
from seq2seq_cli.data.batching import load_batch
from seq2seq_cli.data.corpora import find_test
from seq2seq_cli.data.documents import lines_of
from seq2seq_cli.decoding import files
from seq2seq_cli.decoding.every_line import best_of_each
from seq2seq_cli.decoding.hypothesis import Alignment, Role
from seq2seq_cli.decoding.in_document import last_of
from seq2seq_cli.decoding.translator import Translator
from seq2seq_cli.decoding.wanted import Wanted
from seq2seq_cli.errors import ConfigError
from seq2seq_cli.evaluation.contexts import before_each_line
from seq2seq_cli.model.hierarchical_context import is_of_context
from seq2seq_cli.model.weights import read_weights, restore
from seq2seq_cli.ranks import ALONE
from seq2seq_cli.runs import Run
from seq2seq_cli.training.checkpoint import load_last, save_last
from seq2seq_cli.training.dev import dev_evaluator
from seq2seq_cli.training.experiment import experiment
from seq2seq_cli.training.progress import Evaluated, Progress, Stepped
from seq2seq_cli.training.start import restore_start, with_start

TEST = Stories.drawn(40, 3)
HAN: dict[str, object] = {"heads": 2, "feed_forward_size": 32}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The text."""
    made = tmp_path_factory.mktemp("stories")
    for split, stories in (("train", Stories.drawn(160, 1)), ("dev", Stories.drawn(10, 2)), ("test", TEST)):
        stories.write(made, split)
    return made


def settings(folder: Path, **sections: dict[str, object]) -> dict[str, dict[str, object]]:
    """A sentence model that is trained in a second or two; ``sections`` are laid over it."""
    values = TinyCorpus(folder).settings(
        subword={"type": "word"}, training={"epochs": 8, "batch_tokens": 150}, decoding={"beam": 2}
    )
    return values | {name: values.get(name, {}) | section for name, section in sections.items()}


def trained(values: dict[str, dict[str, object]], directory: Path) -> Run:
    for _ in experiment(with_start(Given(values, None, {})), directory):
        pass
    return Run(directory)


@pytest.fixture(scope="module")
def sentences_run(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The first stage: a model that knows sentences alone."""
    return trained(settings(folder), tmp_path_factory.mktemp("runs") / "sentences")


def second_stage(folder: Path, start: Run, context: str, directory: Path, **training: object) -> Run:
    """A model that looks back, from the one that knows sentences alone."""
    own = {} if context == "concatenation" else {"context": HAN}
    sections: dict[str, dict[str, object]] = {
        "objective": {"from_run": str(start.directory)},
        "model": {"context": context},
        "training": {"learning_rate": 0.01, **training},
        **own,
    }
    values = settings(folder, **sections)
    del values["decoding"]
    return trained(values, directory)


@pytest.fixture(scope="module")
def run(folder: Path, sentences_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The second stage, whose encoder looks back."""
    return second_stage(folder, sentences_run, "han-encoder", tmp_path_factory.mktemp("runs") / "han", epochs=14)


@pytest.fixture(
    scope="module", params=[pytest.param("han-decoder", marks=pytest.mark.slow), "han-both", "concatenation"]
)
def other_run(
    request: pytest.FixtureRequest, folder: Path, sentences_run: Run, tmp_path_factory: pytest.TempPathFactory
) -> Run:
    """Others, which have hardly been trained."""
    return second_stage(folder, sentences_run, request.param, tmp_path_factory.mktemp("runs") / "other", epochs=1)


def translations(run: Run, control: str = "real") -> list[str]:
    """Of the test text."""
    translator = Translator.load(run.directory, "cpu", "fp32")
    config = translator.config
    text = find_test(config.data)
    assert text is not None
    lines = lines_of(text, config.data, config.reads_before)
    before = before_each_line(lines, config.reads_before, control)  # type: ignore[arg-type]
    return [one.text for one in best_of_each(translator, lines.src, before=before).hypotheses]


def test_a_pronoun_needs_the_sentence_before_the_last(sentences_run: Run, run: Run) -> None:
    assert 0.3 < TEST.right(translations(sentences_run)) < 0.7
    assert TEST.right(translations(run)) > 0.95
    assert 0.3 < TEST.right(translations(run, "shuffled")) < 0.7
    assert 0.3 < TEST.right(translations(run, "none")) < 0.7


def test_the_second_stage_begins_with_the_first(folder: Path, sentences_run: Run, run: Run, other_run: Run) -> None:
    """Its weights, and new ones for what looks back, which the run that it started from need not be there for."""
    first = read_weights(sentences_run.best)
    for later in (run, other_run):
        lesson = Lesson.prepare(Config.model_validate(_plain(later)), folder)
        model = lesson.learner().model
        drawn = {name: value.detach().clone() for name, value in model.named_parameters()}
        whole = restore_start(model, later)
        now = dict(model.named_parameters())
        assert whole == (now.keys() == first.keys())
        for name, value in now.items():
            assert torch.equal(value, drawn[name] if is_of_context(name) else first[name])


def _plain(run: Run) -> dict[str, object]:
    import tomllib

    values = tomllib.loads(run.config.read_text())
    values.pop("defaults", None)
    return values


def test_what_a_second_stage_may_change(folder: Path, run: Run, sentences_run: Run) -> None:
    def config(start: Run, **sections: dict[str, object]) -> Config:
        values = {"objective": {"from_run": str(start.directory)}, **sections}
        return with_start(Given(values, None, {}))

    both = config(run, model={"context": "han-both"}, context={"sentences": 1})
    assert both.context.numbers.heads == HAN["heads"]
    assert config(sentences_run, model={"context": "han-both"}).context.numbers.heads == 8
    for start, sections, said in (
        (run, {"model": {"context": "none"}}, "model.context is han-encoder there and none here"),
        (run, {"model": {"context": "han-decoder"}}, "model.context is han-encoder there and han-decoder here"),
        (run, {"context": {"heads": 4}}, "context.heads is 2 there and 4 here"),
    ):
        with pytest.raises(ConfigError, match=said):
            config(start, **sections)


@pytest.mark.parametrize("context", ["han-both", "concatenation"])
def test_going_on_is_never_having_stopped(context: str, folder: Path, tmp_path: Path) -> None:
    """With documents, from every second step, bit for bit."""
    han = {"context": HAN} if context.startswith("han") else {}
    short: dict[str, object] = {"epochs": 1, "batch_tokens": 500}
    values = settings(folder, model={"context": context, "dropout": 0.3}, training=short, **han)
    lesson = Lesson.prepare(with_start(Given(values, None, {})), tmp_path / "cache")
    assert lesson.prepared.train.neighbours is not None
    learner, progress, saved = lesson.learner(), Progress(), list[Path]()
    for event in lesson.train(learner, progress):
        if isinstance(event, Stepped) and event.step % 2:
            saved.append(tmp_path / f"{event.step}.pt")
            save_last(learner, progress, saved[-1])
    assert len(saved) >= 2
    for path in saved:
        resumed = lesson.learner(seed=7)
        assert list(lesson.train(resumed, load_last(resumed, path)))
        assert differing(weights(resumed), weights(learner)) == []


def in_file(run: Run, lines: list[str], place: Path, terminal: Terminal, *words: str) -> list[str]:
    write_lines(place / "in.txt", lines)
    output = place / "out.txt"
    terminal.ok("translate", place / "in.txt", "-o", output, "--run", run.directory, "--precision", "fp32", *words)
    return output.read_text().splitlines()


def parted(stories: Stories) -> list[str]:
    """The lines of its documents, with a blank one between them."""
    return [
        line for place, line in enumerate(stories.src) for line in (["", line] if place and not place % 3 else [line])
    ]


def test_a_file_gives_as_many_lines_with_its_documents(run: Run, tmp_path: Path, terminal: Terminal) -> None:
    lines = parted(TEST)
    found = in_file(run, lines, tmp_path, terminal)
    assert [bool(line) for line in found] == [bool(line) for line in lines]
    assert [line for line in found if line] == translations(run)
    assert found == Translator.load(run.directory, "cpu", "fp32").translate(lines, document=True)


def test_a_text_without_a_line_before_is_translated_as_sentences_are(
    run: Run, other_run: Run, tmp_path: Path, terminal: Terminal
) -> None:
    lines = TEST.src[:9]
    alone = in_file(run, [part for line in lines for part in (line, "")], tmp_path, terminal)[::2]
    assert alone == Translator.load(run.directory, "cpu", "fp32").translate(lines)
    assert in_file(run, lines, tmp_path, terminal) != alone  # one document
    found = in_file(other_run, parted(TEST)[:11], tmp_path, terminal)
    assert [bool(line) for line in found] == [True, True, True, False] * 2 + [True] * 3


def in_whole_and_in_groups(
    run: Run, place: Path, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> tuple[list[str], list[str]]:
    """A file of several documents, translated at once and four lines at a time; and each line by itself as it comes is as if all
    were one group."""
    lines = parted(TEST)[:23]
    whole = in_file(run, lines, place, terminal)
    monkeypatch.setattr("seq2seq_cli.decoding.stream.WAITING", 4)
    in_groups = in_file(run, lines, place, terminal)
    translator = Translator.load(run.directory, "cpu", "fp32")
    text = files.TextTranslation(translator, Wanted(translator.config.decoding), lambda _: None, ALONE)
    resumed = [answered.text for answered in text.in_groups(lines, 8)]
    assert "".join(resumed).splitlines() == in_groups[8:]

    def gathered(lines: Iterator[str]) -> Iterator[list[str]]:
        return ([line] for line in lines)

    monkeypatch.setattr(files, "gather_ready", gathered)
    one_by_one = terminal.ok("translate", place / "in.txt", "--run", run.directory, "--precision", "fp32")
    assert one_by_one.out.splitlines() == whole
    return whole, in_groups


def test_groups_of_lines_know_the_lines_before_them(
    run: Run, tmp_path: Path, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, in_groups = in_whole_and_in_groups(run, tmp_path, terminal, monkeypatch)
    assert in_groups == whole


def test_groups_of_lines_know_the_translations_before_them(
    other_run: Run, tmp_path: Path, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As far as these can be told from the lines just before a group."""
    whole, in_groups = in_whole_and_in_groups(other_run, tmp_path, terminal, monkeypatch)
    assert [bool(line) for line in in_groups] == [bool(line) for line in whole]


def test_given_translations_are_scored_with_those_before(other_run: Run) -> None:
    """As the search scored its own."""
    translator = Translator.load(other_run.directory, "cpu", "fp32")
    config = translator.config
    text = find_test(config.data)
    assert text is not None
    lines = lines_of(text, config.data, config.reads_before)
    found = best_of_each(translator, lines.src[:9], before=before_each_line(lines, config.reads_before), rows=range(9))
    ids = [translator.subwords.tgt.ids(list(one.pieces)) for one in found.hypotheses]
    scored = translator.score_pieces(lines.src[:9], ids, previous=lines.previous)
    for one, other in zip(scored, found.hypotheses, strict=True):
        assert one.log_prob == pytest.approx(other.log_prob, abs=1e-4)
    alone = translator.score_pieces(lines.src[:9], ids)
    assert any(abs(one.log_prob - other.log_prob) > 1e-3 for one, other in zip(scored, alone, strict=True))
    for one in scored:
        assert one.alignment is not None
        assert one.alignment.weights_TS.shape == (len(one.pieces) + 1, len(one.alignment.source_pieces))


def test_controls_are_tested_against_the_real_context(run: Run, tmp_path: Path, terminal: Terminal) -> None:
    table = tmp_path / "table.json"
    terminal.ok("eval", run.directory, "--context", "shuffled", "--context", "none", "--json", table)
    records = json.loads(table.read_text())
    assert [record["context"] for record in records] == ["real", "shuffled", "none"]
    assert records[0]["p_against_first"] is None
    assert records[1]["p_against_first"]["chrf"] < 0.05
    assert records[0]["chrf"] > records[1]["chrf"] + 1
    said = terminal.refused("eval", run.directory, "--context", "shufled")
    assert 'there is no context "shufled"' in said
    assert 'Did you mean "shuffled"?' in said


def test_each_run_is_tested_against_its_own_real_context(
    sentences_run: Run, run: Run, tmp_path: Path, terminal: Terminal
) -> None:
    """Also where another run comes first, which all are tested against."""
    told, table = tmp_path / "table.json", tmp_path / "table.tex"
    answer = terminal.ok(
        "eval", sentences_run.directory, run.directory, "--context", "shuffled", "--json", told, "--latex", table
    )
    _, real, shuffled = json.loads(told.read_text())
    assert "p_against_real" not in real
    assert shuffled["p_against_real"]["chrf"] < 0.05
    line = f"{run.directory.name}, context shuffled: p of the difference to its real context: BLEU"
    assert line in answer.err.replace("\n", " ")
    assert line in table.read_text()
    answer = terminal.ok("eval", run.directory, "--context", "shuffled", "--json", told)
    assert json.loads(told.read_text())[1]["p_against_real"] == json.loads(told.read_text())[1]["p_against_first"]
    assert "to its real context" not in answer.err  # the table has it


def test_a_memory_beside_the_sentences_before(run: Run, folder: Path, tmp_path: Path, terminal: Terminal) -> None:
    memory, table = tmp_path / "tales", tmp_path / "table.json"
    terminal.ok("memory", "build", "--run", run.directory, "--train", folder / "train", "-o", memory)
    told = terminal.ok("eval", run.directory, "--memory", memory, "--context", "shuffled", "--json", table)
    records = json.loads(table.read_text())
    assert [(record["context"], "memory" in record) for record in records] == [
        ("real", False),
        ("shuffled", False),
        ("real", True),
        ("shuffled", True),
    ]
    said = f"{told.err} {told.out}".replace("\n", " ")
    for ending in ("", ", context shuffled", " + tales", " + tales, context shuffled"):
        assert f"{run.directory}{ending}: attention" in said
    assert records[2]["chrf"] > records[3]["chrf"]


def test_controls_are_refused_for_models_that_do_not_look_back(sentences_run: Run, terminal: Terminal) -> None:
    assert "no run here reads the sentences before" in terminal.refused(
        "eval", sentences_run.directory, "--context", "none"
    )


def test_other_documents_stand_in_for_the_real_ones(run: Run) -> None:
    config = Translator.load(run.directory, "cpu", "fp32").config
    text = find_test(config.data)
    assert text is not None
    lines = lines_of(text, config.data, config.reads_before)
    real, shuffled = (before_each_line(lines, config.reads_before, one) for one in ("real", "shuffled"))
    assert real is not None
    assert shuffled is not None
    for row, (own, others) in enumerate(zip(real, shuffled, strict=True)):
        assert len(own) == len(others)
        assert all(other // 3 != row // 3 for other in others)
        assert [other % 3 for other in others] == [one % 3 for one in own]


def test_guidance_moves_with_the_source(folder: Path, tmp_path: Path) -> None:
    links = tmp_path / "links"
    write_lines(links, ["0-0"] * 480)
    values = settings(folder, model={"context": "concatenation"}, training={"guided_alignment": str(links)})
    from seq2seq_cli.training.sitting import prepared_text

    prepared = prepared_text(with_start(Given(values, None, {})), 1)
    split = prepared.train.load([0])
    batch = load_batch(split, torch.arange(6).numpy())
    assert batch.guide_BTS is not None
    for row, guide_TS in enumerate(batch.guide_BTS):
        length = int(batch.text.mask_BL[row].sum())
        own = replace(split, neighbours=None)
        size = int(load_batch(own, torch.tensor([row]).numpy()).text.mask_BL.sum())
        assert guide_TS[0].nonzero().flatten().tolist() == [length - size]
        assert guide_TS[0].sum() == 1


def by_sentence(alignment: Alignment) -> tuple[np.ndarray, list[np.ndarray], np.ndarray]:
    """From what is shown of both levels: the sentences' weights T x K, those of each one's words, and what was kept."""
    names, weights = alignment.source_pieces, alignment.weights_TS
    starts = [place for place, name in enumerate(names) if name.startswith("▁[")]
    assert [names[place] for place in starts] == [
        *(f"▁[-{number}]" for number in range(len(starts) - 1, 0, -1)),
        "▁[kept]",
    ]
    words = [weights[:, begin + 1 : end] for begin, end in pairwise(starts)]
    return weights[:, starts[:-1]], words, weights[:, -1]


def test_both_levels_are_shown(run: Run, other_run: Run, tmp_path: Path, terminal: Terminal) -> None:
    before = tmp_path / "before.txt"
    write_lines(before, ["mutt", "", *TEST.src[:2]])
    for each in (run, other_run):
        translator = Translator.load(each.directory, "cpu", "fp32")
        found = last_of(translator, ["mutt", "", *TEST.src[:3]], translator.config.decoding)
        assert found.attentions is not None
        context = translator.config.model.context
        assert [one.role for one in found.attentions.back] == {
            "han-both": [Role.ITSELF, Role.CROSS],
            "han-encoder": [Role.ITSELF],
        }.get(context, [Role.CROSS])
        for picture in found.attentions.back:
            sentences_TK, words, kept_T = by_sentence(picture)
            assert sentences_TK.shape == (len(picture.target_pieces), 2)
            whole_T = sentences_TK.sum(1) + (kept_T if context == "concatenation" else 0)
            assert whole_T == pytest.approx(1, abs=1e-5)
            for own_TS in words:
                assert own_TS.sum(1) == pytest.approx(1, abs=1e-5)
            assert ((kept_T > 0) & (kept_T < 1)).all()
        output = tmp_path / f"{context}.png"
        terminal.ok("plot", TEST.src[2], "--document", before, "-o", output, "--run", each.directory)
        sides = ("-encoder", "-decoder") if context == "han-both" else ("",)
        for side in sides:
            assert output.with_stem(output.stem + side).is_file()
            told = json.loads(output.with_stem(output.stem + side).with_suffix(".json").read_text())
            assert told["source"][0] == "▁[-2]"
    shown = terminal.ok("plot", TEST.src[2], "--document", before, "--run", run.directory, "--target", "er tef").out
    assert "[-2]" in shown
    assert "[kept]" in shown


def test_where_the_gender_is_told_is_where_the_model_looks(run: Run) -> None:
    """The noun has more weight than any word of the sentence between, in all of twenty documents but a few."""
    translator = Translator.load(run.directory, "cpu", "fp32")
    right = 0
    for number in range(20):
        found = last_of(translator, TEST.src[3 * number : 3 * number + 3], translator.config.decoding)
        assert found.attentions is not None
        sentences_TK, (first, between), _ = by_sentence(found.attentions.back[0])
        mean_of = [(sentences_TK[:, [place]] * own).mean(0) for place, own in enumerate((first, between))]
        right += mean_of[0][0] > mean_of[1].max()
    assert right > 10


def test_what_has_nothing_before_it_shows_nothing(
    run: Run, sentences_run: Run, tmp_path: Path, terminal: Terminal
) -> None:
    write_lines(tmp_path / "before.txt", ["mutt", ""])
    said = terminal.refused("plot", "ono", "--document", tmp_path / "before.txt", "--run", run.directory)
    assert "nothing to look back at" in said
    said = terminal.refused("plot", "ono", "--document", tmp_path / "before.txt", "--run", sentences_run.directory)
    assert "this model does not read the sentences before" in said
    said = terminal.refused("plot", "ono", "--document", tmp_path / "before.txt", "--head", 1, "--run", run.directory)
    assert "would change nothing with --document" in said


def test_runs_that_look_back_are_not_exported(run: Run, tmp_path: Path, terminal: Terminal) -> None:
    said = terminal.refused("export", "--format", "onnx", "--run", run.directory, "-o", tmp_path / "exported")
    assert "reads the sentences before, and no format has a place for them" in said


def test_pairs_are_scored_and_aligned_with_those_before(other_run: Run, tmp_path: Path, terminal: Terminal) -> None:
    """Blank lines part documents; without them it is one, and other numbers."""
    lines, said = parted(TEST)[:11], in_file(other_run, parted(TEST)[:11], tmp_path, terminal)
    write_lines(tmp_path / "said.txt", said)
    scored = terminal.ok(
        "score", tmp_path / "in.txt", tmp_path / "said.txt", "--run", other_run.directory
    ).out.splitlines()
    assert len(scored) == len(lines)
    linked = terminal.ok(
        "align", "--source", tmp_path / "in.txt", "--target", tmp_path / "said.txt", "--run", other_run.directory
    ).out.splitlines()
    assert len(linked) == len(lines)
    write_lines(tmp_path / "in.txt", [line or "paq" for line in lines])
    write_lines(tmp_path / "said.txt", [line or "wen" for line in said])
    as_one = terminal.ok(
        "score", tmp_path / "in.txt", tmp_path / "said.txt", "--run", other_run.directory
    ).out.splitlines()
    assert scored[:3] == as_one[:3]
    assert scored[4:7] != as_one[4:7]


@pytest.mark.slow
@pytest.mark.parametrize("context", ["han-both", "concatenation"])
def test_two_processes_share_documents(context: str, folder: Path, tmp_path: Path) -> None:
    """Each translates whole documents of dev where the decoder looks back; the scores are those of one process."""
    han = {"context": HAN} if context.startswith("han") else {}
    shared: dict[str, object] = {"epochs": 1, "batch_tokens": 500, "accumulate": 2, "processes": 2, "threads": 2}
    values = settings(folder, model={"context": context}, training=shared, **han)
    config = with_start(Given(values, None, {}))
    events = list(experiment(config, tmp_path / "run"))
    [told] = [event for event in events if isinstance(event, Evaluated)]
    lesson = Lesson.prepare(config, tmp_path / "cache")
    learner = lesson.learner()
    restore(learner.model, read_weights(Run(tmp_path / "run").best), "best")
    scores = dev_evaluator(lesson.sitting(learner))(learner.model.eval())
    assert scores.loss == pytest.approx(told.loss, abs=1e-5)
    assert scores.bleu == pytest.approx(told.bleu, abs=1e-6)


@pytest.mark.slow
def test_the_page_of_a_report_shows_the_sentences_before(
    run: Run, tmp_path: Path, terminal: Terminal, visit: Callable[..., Watched]
) -> None:
    terminal.ok("report", run.directory, "-o", tmp_path / "report.html")
    watched = visit((tmp_path / "report.html").as_uri())
    page = watched.page
    seen = page.locator("caption", has_text="as the encoder saw them")
    for line, shown in ((3, 1), (1, 0)):
        page.fill("#number", str(line))
        page.keyboard.press("Enter")
        page.locator(f"text=line {line} of the test set").wait_for()
        if shown:
            seen.wait_for()
        assert seen.count() == shown
    assert watched.complaints == []
