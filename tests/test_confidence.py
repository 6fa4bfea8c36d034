"""How sure a translation is: words, chances that rise with what the model thinks, their error, and where they are kept."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import servers
from commands import Terminal
from corpora import TinyCorpus, write_lines
from hypothesis import given, settings
from hypothesis import strategies as st
from memories import quiet

from seq2seq_cli.data.corpora import open_text
from seq2seq_cli.decoding.confidence import LEAST, Calibration, Confidence, Judged, words_in
from seq2seq_cli.decoding.memorising import memorise, new_memory
from seq2seq_cli.decoding.recalling import open_memory
from seq2seq_cli.decoding.sentences import Details
from seq2seq_cli.decoding.translator import Translator
from seq2seq_cli.errors import DamagedError, DataError, RunError, UserError
from seq2seq_cli.evaluation.calibration import calibrate, judged
from seq2seq_cli.runs import Run
from seq2seq_cli.serving.models import load_runs


def thought(*log_probs: float, right: list[bool], lines: list[int] | None = None) -> Judged:
    size = len(log_probs)
    return Judged(np.array(log_probs), np.array(right, dtype=float), np.array(lines or range(size)))


@pytest.mark.parametrize(
    ("pieces", "words"),
    [
        (["▁the", "▁ca", "t", "."], ["the", "cat", "."]),
        (["▁", "cat", "▁(", "dog", ")"], ["cat", "(", "dog", ")"]),
        (["▁do", "n", "'", "t"], ["don", "'", "t"]),
        (["▁汽车", "站", "▁A1"], ["汽车", "站", "A1"]),
        (["▁e", "\u0301", "t", "<unk>"], ["e\u0301t", "⁇"]),
        ([], []),
    ],
)
def test_words_as_pieces_show_them(pieces: list[str], words: list[str]) -> None:
    found = words_in(pieces)
    assert [word.text for word in found] == words
    assert [number for word in found for number in word.pieces] == list(range(len(pieces)))


def test_words_are_right_as_often_as_a_reference_has_them() -> None:
    own = ["▁a", "▁b", "b", "▁a", "▁a"]
    found = Judged.of([np.log([0.5, 0.5, 0.5, 0.1, 0.2, 0.9])], [own], [(["▁a", "▁c"], ["▁a", "▁bb", "▁a"])])
    assert found.right_N.tolist() == [1, 1, 1, 0]
    assert np.exp(found.log_prob_N) == pytest.approx([0.5, 0.25, 0.1, 0.2])
    assert found.line_N.tolist() == [0, 0, 0, 0]


def test_chances_by_hand() -> None:
    """Fifty words of each log-probability; of them 10, 5, 20 and 49 are right. The first two are pooled: (11/52 + 6/52) / 2."""
    log_probs = [float(x) for x in (-4, -3, -2, -1) for _ in range(LEAST)]
    right = [number < count for count in (10, 5, 20, 49) for number in range(LEAST)]
    made = Calibration.fitted(thought(*log_probs, right=right), "w")
    assert made.log_probs == pytest.approx((-3.5, -2, -1))
    assert made.chances == pytest.approx((17 / 104, 21 / 52, 50 / 52))
    assert made.chance(np.array([-9, -1.5, 0])) == pytest.approx([17 / 104, 71 / 104, 50 / 52])
    rated = made.rated(["▁a", "b", "▁c"], np.log([0.5, 0.5, 1.0, 0.3]))
    assert [word.text for word in rated.words] == ["ab", "c"]
    assert rated.words[1].chance == pytest.approx(50 / 52)
    assert rated.line == pytest.approx((rated.words[0].chance + rated.words[1].chance) / 2)
    assert made.rated([], np.array([0.0])) == Confidence(0.0)


def test_the_error_by_hand() -> None:
    """Of ten words at a chance of 0.8 and ten at 0.2, six and two are right: 0.2 too much in half of the bins."""
    made = Calibration((-2.0, -1.0), (0.2, 0.8), "w", 9, 9)
    right = [True] * 6 + [False] * 4 + [True] * 2 + [False] * 8
    one_line_each = made.error(thought(*[-1.0] * 10, *[-2.0] * 10, right=right))
    assert one_line_each.right == pytest.approx(0.4)
    assert made.error(thought(*[-1.0] * 10, right=right[:10], lines=[0] * 10)).lines == pytest.approx(0.2)
    exact = made.error(thought(*[-1.0] * 10, right=[True] * 8 + [False] * 2, lines=[3] * 10))
    assert exact.lines == pytest.approx(0)


@given(st.lists(st.tuples(st.floats(-30, 0), st.booleans()), min_size=LEAST, max_size=400))
@settings(max_examples=40)
def test_what_is_likelier_is_never_less_sure(words: list[tuple[float, bool]]) -> None:
    judged = thought(*(word[0] for word in words), right=[word[1] for word in words])
    made = Calibration.fitted(judged, "w")
    chances = made.chance(np.linspace(-31, 0, 200))
    assert (np.diff(chances) >= -1e-12).all()
    assert 0 < chances[0] <= chances[-1] < 1
    # On what it was made from, it is right on the whole, but for the two words a step that are added.
    steps = max(1, len(words) // LEAST)
    assert abs(np.interp(judged.log_prob_N, made.log_probs, made.chances).mean() - judged.right_N.mean()) < 0.5
    assert len(made.chances) <= steps


def test_well_calibrated_words_have_little_error() -> None:
    rng = np.random.default_rng(1)
    log_probs = -rng.exponential(1.0, 20_000)
    right = rng.random(20_000) < np.exp(log_probs) ** 0.5  # surer than the model thinks
    half = slice(0, 10_000), slice(10_000, 20_000)
    first, second = (thought(*log_probs[part], right=list(right[part]), lines=list(range(10_000))) for part in half)
    error = Calibration.fitted(first, "w").error(second)
    assert error.words < 0.02
    as_thought = Calibration(tuple(np.log(np.linspace(0.001, 1, 99))), tuple(np.linspace(0.001, 1, 99)), "w", 1, 1)
    assert as_thought.error(second).words > 0.1


def test_too_few_words() -> None:
    with pytest.raises(DataError, match="3 words of translations are too few"):
        Calibration.fitted(thought(-1, -2, -3, right=[True] * 3), "w")


# A run.


@pytest.fixture(scope="module")
def run(trained_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A copy that is calibrated."""
    copy = Run(Path(shutil.copytree(trained_run.directory, tmp_path_factory.mktemp("sure") / "run")))
    translator = Translator.load(copy.directory, "cpu", "fp32")
    calibrate(copy, translator, translator.config.decoding)
    return copy


def test_the_log_probabilities_are_those_of_the_translation(run: Run) -> None:
    translator = Translator.load(run.directory, "cpu", "fp32")
    lines = ["ta nu ki", "", "po", "umgekehrt ta ze ze bi"]
    found = [one[0] for one in translator.hypotheses(lines)]
    for one, own in zip(
        found, translator.forced_decoder.piece_log_probs(translator.sentences(lines), found), strict=True
    ):
        assert len(own) == len(one.pieces) + 1
        if one.pieces:
            assert own.sum() == pytest.approx(one.log_prob, abs=1e-4)


def test_translations_tell_how_sure_they_are(run: Run) -> None:
    translator = Translator.load(run.directory, "cpu", "fp32")
    lines = ["ta nu ki", "", "po qqq"]
    found = translator.search(translator.sentences(lines, Details(confidence=True)))
    without = translator.search(translator.sentences(lines))
    for line, hypotheses, others in zip(lines, found, without, strict=True):
        for one, other in zip(hypotheses, others, strict=True):
            assert (one.text, one.score) == (other.text, other.score)
            assert other.confidence is None
            assert one.confidence is not None
            assert " ".join(word.text for word in one.confidence.words) == one.text
            assert one.confidence.line == (
                1.0 if not line else pytest.approx(np.mean([w.chance for w in one.confidence.words]))
            )


def test_a_run_keeps_its_calibration(run: Run, trained_run: Run, tmp_path: Path) -> None:
    made = Calibration.load(run.calibration)
    made.save(tmp_path / "c.json")
    assert Calibration.load(tmp_path / "c.json") == made
    with pytest.raises(RunError, match=r"is not calibrated yet.*\n.*seq2seq eval .* --calibrate"):
        _ = Translator.load(trained_run.directory).calibration
    other = Run(Path(shutil.copytree(run.directory, tmp_path / "other")))
    other.best.write_bytes(other.best.read_bytes() + b" ")
    from seq2seq_cli.decoding.confidence import calibration_of, is_calibrated

    with pytest.raises(RunError, match="has been trained further"):
        calibration_of(other)
    assert is_calibrated(run)
    assert not is_calibrated(other)


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"format": 1}', '{"format": 1, "log_probs": [], "chances": [], "weights": "", "words": 1, "lines": 1}',
     '{"format": 1, "log_probs": [1, 0], "chances": [0.1, 0.2], "weights": "", "words": 1, "lines": 1}',
     '{"format": 1, "log_probs": [0, 1], "chances": [0.1, 1.2], "weights": "", "words": 1, "lines": 1}',
     '{"format": 1, "log_probs": [0, null], "chances": [0.1, 0.2], "weights": "", "words": 1, "lines": 1}'],
)  # fmt: skip
def test_a_damaged_calibration_is_told(content: str, tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text(content)
    with pytest.raises(DamagedError, match="calibration"):
        Calibration.load(tmp_path / "c.json")
    (tmp_path / "c.json").write_text('{"format": 99}')
    with pytest.raises(RunError, match="a later version"):
        Calibration.load(tmp_path / "c.json")


def test_the_commands(terminal: Terminal, trained_run: Run, tmp_path: Path) -> None:
    run = Run(Path(shutil.copytree(trained_run.directory, tmp_path / "run")))
    words = ["translate", "--run", run.directory, "--confidence"]
    assert "seq2seq eval" in terminal.refused(*words, stdin=b"ta\n")
    said = terminal.ok("eval", run.directory, "--calibrate", "--json", tmp_path / "e.json").err
    assert "confidence: expected calibration error" in said.replace("\n", " ")
    (told,) = json.loads((tmp_path / "e.json").read_text())
    assert set(told["calibration"]) == {"words", "lines", "right"}
    plain = terminal.ok("translate", "--run", run.directory, stdin=b"ta nu\n\nki\n").out.splitlines()
    sure = [line.split("\t") for line in terminal.ok(*words, stdin=b"ta nu\n\nki\n").out.splitlines()]
    assert [text for _, text in sure] == plain
    assert all(0 <= float(number) <= 1 for number, _ in sure)
    assert sure[1] == ["1.000", ""]
    numbered = terminal.ok(*words, "--nbest", 2, "--pieces", stdin=b"ta nu\n").out.splitlines()
    assert [len(line.split("\t")) for line in numbered] == [4, 4]
    drawn = terminal.ok(*words, "--sample", stdin=b"ta nu\n").out
    assert 0 <= float(drawn.split("\t")[0]) <= 1
    too_long = terminal.ok(*words, "--beam", 1, stdin=b"ta " * 2100 + b"\n").out
    assert too_long == "0.000\t\n"
    told = terminal.ok(*words, "--format", "json", "--beam", 1, stdin=b"ta nu\n\n" + b"ta " * 2100 + b"\n").out
    lines = [json.loads(line)["translations"][0] for line in told.splitlines()]
    assert [line["confidence"]["line"] for line in lines[1:]] == [1.0, 0.0]
    assert " ".join(word["text"] for word in lines[0]["confidence"]["words"]) == lines[0]["text"]
    assert all(0 <= word["chance"] <= 1 for word in lines[0]["confidence"]["words"])
    alone = terminal.ok("translate", "--run", run.directory, "--format", "json", stdin=b"ta\n").out
    assert "confidence" not in json.loads(alone)["translations"][0]
    assert "--memory is not for --confidence" in terminal.refused(*words, "--memory", tmp_path, stdin=b"ta\n")
    write_lines(tmp_path / "in", ["ta"])
    terminal.ok(*words, tmp_path / "in", "-o", tmp_path / "out")
    assert "\t" in (tmp_path / "out").read_text()


def test_a_model_of_no_run_does_not_know(run: Run) -> None:
    from dataclasses import replace

    with pytest.raises(UserError, match="of no run"):
        _ = replace(Translator.load(run.directory), run=None).calibration


def test_what_was_learned_without_a_memory_does_not_hold_with_one(
    run: Run, tiny_corpus: TinyCorpus, tmp_path: Path
) -> None:
    translator = Translator.load(run.directory, "cpu", "fp32")
    text = open_text(str(tiny_corpus.folder / "dev"), "train", "xx", "yy")
    memorise(translator, text, tmp_path / "m", new_memory(translator, run, tmp_path / "m", "float16"), quiet)
    remembering = translator.remembering(open_memory(run, tmp_path / "m", translator.device))
    with pytest.raises(UserError, match="has been learned without a memory"):
        remembering.search(remembering.sentences(["ta nu"], Details(confidence=True)))
    (alone,), (served,) = (load_runs([run.directory], "cpu", "fp32", memories) for memories in ([], [tmp_path / "m"]))
    assert (alone.calibrated, served.calibrated) == (True, False)


def test_the_error_is_told_on_other_lines(run: Run) -> None:
    from seq2seq_cli.data.corpora import find_dev
    from seq2seq_cli.data.pairs import Lines

    translator = Translator.load(run.directory, "cpu", "fp32")
    lines = Lines.read(find_dev(translator.config.data))
    words = judged(
        translator, lines, translator.sentences(lines.src), [one[0] for one in translator.hypotheses(lines.src)]
    )
    assert translator.calibration.words == len(words.log_prob_N)
    assert translator.calibration.error(words).right == pytest.approx(words.right_N.mean())


def test_the_server_tells(run: Run, trained_run: Run) -> None:
    served = load_runs([run.directory, trained_run.directory], "cpu", "fp32")
    with servers.running(served) as server:
        question = {"sentences": ["ta nu"], "confidence": True}
        first, second = servers.ask(server.address, question=question).body["answers"]
        (told,) = first["sentences"][0]["translations"]
        assert set(told["confidence"]) == {"line", "words"}
        assert " ".join(word["text"] for word in told["confidence"]["words"]) == told["text"]
        assert "confidence" not in second["sentences"][0]["translations"][0]
        described = servers.ask(server.address, "/runs").body["runs"]
        assert [one["calibrated"] for one in described] == [True, False]
