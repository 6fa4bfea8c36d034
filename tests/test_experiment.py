"""A whole run: what it leaves behind, what it refuses, and which weights it keeps."""

import hashlib
import json
import math
import shutil
import signal
import threading
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest
import torch
from commands import Terminal
from corpora import TinyCorpus
from learners import CPU, Lesson, differing

from seq2seq_cli.config.loading import from_dict, load
from seq2seq_cli.config.sections import DecodingConfig
from seq2seq_cli.config.whole import Config
from seq2seq_cli.decoding.hypothesis import Hypothesis
from seq2seq_cli.decoding.sentences import Sentence
from seq2seq_cli.decoding.translator import Translator
from seq2seq_cli.device import choose_precision
from seq2seq_cli.errors import ConfigError, DataError, RunError
from seq2seq_cli.evaluation import metrics
from seq2seq_cli.evaluation.diagnostics import STAYS, Diagnostics, diagnose
from seq2seq_cli.evaluation.systems import Evaluation
from seq2seq_cli.model.products import CHOSEN
from seq2seq_cli.model.seq2seq import Seq2Seq
from seq2seq_cli.model.weights import read_weights, restore
from seq2seq_cli.report.pictures import Pictures, spread
from seq2seq_cli.runs import Run
from seq2seq_cli.signals import STOPPING
from seq2seq_cli.training import dev as dev_module
from seq2seq_cli.training import experiment as experiment_module
from seq2seq_cli.training import optim
from seq2seq_cli.training.checkpoint import average
from seq2seq_cli.training.dev import AtATime, dev_evaluator, dev_loss
from seq2seq_cli.training.experiment import Averaged, Begun, Happening, default_run, experiment
from seq2seq_cli.training.progress import Ended, Evaluated, Stepped


def run_all(config: Config, directory: Path, resume: bool = False, overwrite: bool = False) -> list[Happening]:
    return list(experiment(config, directory, resume, overwrite))


@pytest.fixture
def quick(tmp_path: Path) -> Config:
    """Four evaluations in as many steps, without attention, so that nothing is drawn."""
    corpus = TinyCorpus.write(tmp_path / "quick", train=20, dev=3, test=3)
    return corpus.config(training={"epochs": 4}, attention={"kind": "none"})


def test_a_program_trains_in_a_few_words(quick: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever its thread; unnamed, the run goes where the command would put it, and a name may be a string."""
    monkeypatch.chdir(tmp_path)
    trainer = threading.Thread(target=lambda: list(experiment(quick)))
    trainer.start()
    trainer.join()
    assert Run(default_run(quick)).evaluation.is_file()
    *_, resumed = (
        event for event in experiment(quick, str(default_run(quick)), resume=True) if isinstance(event, Begun)
    )
    assert resumed.resumed_at == 4


def test_the_configuration_is_kept_whole(trained_run: Run, tiny_corpus: TinyCorpus) -> None:
    kept = tiny_corpus.config(training={"epochs": 25}).resolved()
    assert load(trained_run.config) == kept
    assert load(trained_run.config).defaults == kept.defaults
    assert load(trained_run.config).attention.wiring == "before"


def test_run_json_says_how_the_run_was_made(trained_run: Run, tiny_corpus: TinyCorpus) -> None:
    info = json.loads(trained_run.info.read_text(encoding="utf-8"))
    assert (info["seed"], info["src"], info["tgt"]) == (1, "xx", "yy")
    assert info["pairs"] == {"train": 300, "dev": 24}
    assert info["parameters"] == sum(tensor.numel() for tensor in read_weights(trained_run.best).values())
    (sitting,) = info["sittings"]
    assert sitting["versions"]["torch"] == torch.__version__
    assert "sacrebleu" in sitting["versions"]
    assert sitting["machine"]["precision"] == "fp32"
    assert sitting["machine"]["threads"] == 1
    dev = b"".join((tiny_corpus.folder / f"dev.{side}").read_bytes() for side in ("xx", "yy"))
    assert info["data_sha256"]["dev"] == hashlib.sha256(dev).hexdigest()


def test_text_without_spaces_is_scored_by_its_own_tokens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On dev and on test alike, whatever the language is called, and it is said."""
    corpus = TinyCorpus.write(tmp_path / "corpus", train=20, dev=3, test=3)
    for path in corpus.folder.glob("*.yy"):
        words = path.read_text(encoding="utf-8").split(" ")
        path.write_text("".join(words).translate(str.maketrans("larosemud", "我们以后再谈吧河边")), encoding="utf-8")
    config = corpus.config(training={"epochs": 1}, attention={"kind": "none"})
    with_bleu: list[str] = []
    plain = metrics.bleu

    def noted(hypotheses: list[str], references: list[str], tokenizer: str) -> float:
        with_bleu.append(tokenizer)
        return plain(hypotheses, references, tokenizer)

    monkeypatch.setattr(dev_module, "bleu", noted)
    run = Run(tmp_path / "run")
    happened = run_all(config, run.directory)
    [begun] = [event for event in happened if isinstance(event, Begun)]
    assert "BLEU counts the tokens of sacreBLEU's zh, as the references are Chinese." in begun.notes
    assert set(with_bleu) == {"zh"}
    signature = json.loads(run.evaluation.read_text(encoding="utf-8"))["signature"]
    assert "tok:zh|" in signature["bleu"]
    assert "tok:zh+tercom|" in signature["ter"]


def test_metrics_and_log_tell_the_training(trained_run: Run) -> None:
    records = [json.loads(line) for line in trained_run.metrics.read_text(encoding="utf-8").splitlines()]
    evaluations = [record for record in records if record["event"] == "evaluation"]
    intervals = [record for record in records if record["event"] == "train"]
    assert [record["number"] for record in evaluations] == list(range(1, len(evaluations) + 1))
    assert [record["step"] for record in records] == sorted(record["step"] for record in records)
    assert [record["seconds"] for record in records] == sorted(record["seconds"] for record in records)
    assert intervals[-1]["loss"] < intervals[0]["loss"]
    assert evaluations[-1]["loss"] < evaluations[0]["loss"]
    best = [record["bleu"] for record in evaluations if record["best"]]
    assert best == sorted(best)
    assert best[-1] == max(record["bleu"] for record in evaluations)

    # Attention forms as the language is learned; half of its sentences are translated backwards.
    measured = [record["attention"] for record in evaluations if "attention" in record]
    first, last = measured[0], measured[-1]
    assert first.keys() == {field.name for field in fields(Diagnostics)}
    assert last["entropy_bits"] < first["entropy_bits"]
    assert last["moving_share"] > STAYS

    log = trained_run.log.read_text(encoding="utf-8")
    assert log.count("dev BLEU") == len(evaluations)
    assert log.count("; attention ") == log.count(" attention: ") == len(measured)
    assert Diagnostics(**last).verdict in log
    assert Diagnostics(**last).figures in log
    assert f"dev BLEU {best[-1]:.2f}" in log
    assert log.splitlines()[-1].split(" ", 2)[2].startswith(f"training ended after {records[-1]['step']} steps")


def test_checkpoints_translations_scores_and_pictures_are_there(trained_run: Run) -> None:
    evaluations = trained_run.metrics.read_text(encoding="utf-8").count('"evaluation"')
    kept = {trained_run.kept(number) for number in range(evaluations - 3, evaluations + 1)}
    assert set(trained_run.checkpoints.iterdir()) == {
        trained_run.best,
        trained_run.last,
        trained_run.previous,
        *kept,
    }
    scores = json.loads(trained_run.evaluation.read_text(encoding="utf-8"))
    (decoded,) = trained_run.decodes.glob(f"{scores['test_sha256'][:8]}-*.txt")
    assert len(decoded.read_text(encoding="utf-8").splitlines()) == 24
    assert scores["bleu"] > 5
    assert "tok:13a" in scores["signature"]["bleu"]
    assert scores["sentences"] == 24
    assert scores["diagnostics"]["sentences"] == 24
    pictures = sorted(path.name for path in trained_run.plots.iterdir())
    assert len(pictures) == 2
    assert all(Path(name).suffix in (".png", ".json") for name in pictures)


def test_what_happens_in_which_order(quick: Config, tmp_path: Path) -> None:
    events = run_all(quick, tmp_path / "run")
    assert isinstance(events[0], Begun)
    assert (events[0].train_pairs, events[0].dev_pairs, events[0].resumed_at) == (20, 3, 0)
    assert events[0].precision == f"fp32 (as asked), {CHOSEN}"
    assert events[0].device == "cpu"
    assert [type(event) for event in events[1:]] == 4 * [Stepped, Evaluated] + [Ended, Averaged, Evaluation]


def test_without_attention_none_is_told_of(quick: Config, tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    evaluations = [event for event in run_all(quick, run.directory) if isinstance(event, Evaluated)]
    assert all("attention" not in str(event) for event in evaluations)
    for path in (run.metrics, run.log):
        assert "attention" not in path.read_text(encoding="utf-8")
    assert json.loads(run.evaluation.read_text(encoding="utf-8"))["diagnostics"] is None


def test_attention_is_measured_in_some_of_the_translations_that_are_scored(
    tiny_corpus: TinyCorpus, trained_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lesson = Lesson.prepare(tiny_corpus.config(), tmp_path / "cache")
    learner, lines = lesson.learner(), lesson.prepared.dev_lines.src
    restore(learner.model, read_weights(trained_run.best), "best")
    learner.model.eval()
    translator = Translator(learner.model, lesson.prepared.subwords, lesson.config, CPU, learner.precision)
    chosen = spread([i for i, line in enumerate(lines) if line.strip()], 2)
    found = translator.hypotheses(lines, lesson.config.decoding.with_beam(1))
    searches: list[list[str]] = []

    def search(
        self: Translator, searched: list[Sentence], decoding: DecodingConfig, **_: object
    ) -> list[list[Hypothesis]]:
        assert decoding.beam == 1 < lesson.config.decoding.beam
        searches.append([sentence.line for sentence in searched])
        return found

    monkeypatch.setattr(dev_module, "DIAGNOSED", 2)
    monkeypatch.setattr(Translator, "search", search)
    scores = dev_evaluator(lesson.sitting(learner))(learner.model)
    assert scores.attention == diagnose(found[i][0].alignment for i in chosen)
    assert scores.attention is not None
    assert scores.attention.sentences == 2
    assert searches == [lines]


def test_a_resumed_run_records_the_attention_of_an_uninterrupted_one(tmp_path: Path) -> None:
    corpus = TinyCorpus.write(tmp_path / "quick", train=20, dev=3, test=3)
    once, more = (
        # Each translation is long enough to have somewhere to look.
        corpus.config(
            training={"epochs": epochs, "schedule": "constant"}, data={"test": None}, decoding={"min_length": 3}
        )
        for epochs in (1, 2)
    )
    whole, resumed = Run(tmp_path / "whole"), Run(tmp_path / "resumed")
    run_all(more, whole.directory)
    run_all(once, resumed.directory)
    run_all(more, resumed.directory, resume=True)
    recorded = [
        [
            record["attention"]
            for record in map(json.loads, run.metrics.read_text(encoding="utf-8").splitlines())
            if record["event"] == "evaluation"
        ]
        for run in (whole, resumed)
    ]
    assert recorded[0] == recorded[1]
    assert len(recorded[0]) == 2


def test_pictures_come_last_where_there_is_attention(tmp_path: Path) -> None:
    corpus = TinyCorpus.write(tmp_path / "quick", train=20, dev=3, test=3)
    config = corpus.config(training={"epochs": 1}, data={"test": None}, attention={"kind": "luong-dot"})
    *_, ended, pictures = run_all(config, tmp_path / "run")
    assert isinstance(ended, Ended)  # one evaluation: nothing to average; no test set: nothing to test
    assert isinstance(pictures, Pictures)
    assert all(path.is_file() for path in pictures.paths)
    assert pictures.paths


@pytest.mark.parametrize(("of_the_mean", "kept"), [(25.0, True), (20.0, False), (19.0, False)])
def test_the_mean_of_the_last_weights_is_kept_where_dev_agrees(
    of_the_mean: float, kept: bool, quick: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = iter([5.0, 20.0, 15.0, 18.0, of_the_mean])
    monkeypatch.setattr(dev_module, "bleu", lambda hypotheses, references, tokenizer: next(found))
    run, config = (
        Run(tmp_path / "run"),
        quick.model_copy(update={"training": quick.training.model_copy(update={"average": 3})}),
    )
    single: list[dict[str, torch.Tensor]] = []
    for event in experiment(config, run.directory, resume=False, overwrite=False):
        if isinstance(event, Evaluated):
            single.append(read_weights(run.kept(event.number)))
        if isinstance(event, Averaged):
            assert (event.checkpoints, event.kept, event.scores.bleu) == (3, kept, of_the_mean)
    mean = {name: (single[1][name] + single[2][name] + single[3][name]) / 3 for name in single[0]}
    best = read_weights(run.best)
    if kept:
        for name, tensor in best.items():
            torch.testing.assert_close(tensor, mean[name], msg=name)
    else:
        assert differing(best, single[1]) == []
    assert not run.kept(1).exists()
    assert differing(average([run.kept(4)]), single[3]) == []


def test_the_mean_is_judged_without_dropout(quick: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    training: list[bool] = []

    def judge(model: Seq2Seq, *_: object) -> float:
        training.append(model.training)
        return 1.0

    monkeypatch.setattr(dev_module, "dev_loss", judge)
    assert any(isinstance(event, Averaged) for event in run_all(quick, tmp_path / "run"))
    assert training == [False] * 5


def test_dev_loss_is_the_forced_scores_a_token_however_it_is_batched(quick: Config, tmp_path: Path) -> None:
    smoothed = quick.model_copy(update={"training": quick.training.model_copy(update={"label_smoothing": 0.5})})
    lesson = Lesson.prepare(smoothed, tmp_path / "cache")
    learner = lesson.learner()
    learner.model.eval()
    dev, lines = lesson.prepared.dev, lesson.prepared.dev_lines
    translator = Translator(learner.model, lesson.prepared.subwords, quick, CPU, choose_precision("fp32", CPU))
    scored = translator.score(lines.src, lines.tgt)
    expected = -sum(one.log_prob for one in scored) / sum(len(one.pieces) + 1 for one in scored)
    for batch_tokens in (1, 10**6):
        at_a_time = AtATime(batch_tokens, 10**6)
        loss = dev_loss(learner.model, dev, range(len(dev)), at_a_time, learner, lambda done, total: None)
        assert loss == pytest.approx(expected, rel=1e-5)


def test_without_averaging_no_weights_are_kept_for_it(quick: Config, tmp_path: Path) -> None:
    config = quick.model_copy(update={"training": quick.training.model_copy(update={"average": 1})})
    run = Run(tmp_path / "run")
    assert not any(isinstance(event, Averaged) for event in run_all(config, run.directory))
    assert set(run.checkpoints.iterdir()) == {run.best, run.last, run.previous}


def test_a_run_goes_where_corpus_and_kind_say(quick: Config) -> None:
    assert default_run(quick).name.endswith("xx-yy-none")
    assert default_run(from_dict({})) == Path("runs/tatoeba-de-en-bahdanau")
    assert default_run(from_dict({"attention": {"kind": "luong"}})) == Path("runs/tatoeba-de-en-luong-general")


def test_a_run_directory_is_not_written_over_unasked(quick: Config, trained_run: Run, tmp_path: Path) -> None:
    before = trained_run.best.read_bytes()
    with pytest.raises(RunError, match=r"exists already.*\nUse --resume.*--overwrite.*--run"):
        run_all(quick, trained_run.directory)
    assert trained_run.best.read_bytes() == before
    mine = tmp_path / "letters"
    mine.mkdir()
    (mine / "to-my-aunt.txt").write_text("Dear aunt")
    with pytest.raises(RunError, match="not a run directory, so it is not overwritten"):
        run_all(quick, mine, overwrite=True)
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="not a run directory, so it is not overwritten"):
        run_all(quick, tmp_path / "file", overwrite=True)
    assert (mine / "to-my-aunt.txt").read_text() == "Dear aunt"


def test_overwriting_starts_from_nothing(quick: Config, tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    run_all(quick, run.directory)
    first = read_weights(run.best)
    run.plots.mkdir(exist_ok=True)
    (run.plots / "old.png").touch()
    begun = run_all(quick, run.directory, overwrite=True)[0]
    assert isinstance(begun, Begun)
    assert begun.resumed_at == 0
    assert not (run.plots / "old.png").exists()
    assert differing(read_weights(run.best), first) == []  # the same seed
    assert run.metrics.read_text(encoding="utf-8").count('"evaluation"') == 4


def test_there_is_nothing_to_resume(quick: Config, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no run to resume here"):
        run_all(quick, tmp_path / "run", resume=True)


def test_a_run_is_resumed_by_another_name_of_its_kind(terminal: Terminal, tmp_path: Path) -> None:
    corpus = TinyCorpus.write(tmp_path / "tiny", train=20, dev=3, test=3)
    settings, run = corpus.config(training={"epochs": 1}, attention={"kind": "luong-general"}), tmp_path / "run"
    next(experiment(settings, run, resume=False, overwrite=False))
    terminal.ok("train", "--attention", "luong", "--run", run, "--resume")
    assert load(Run(run).config).attention.kind == "luong-general"


def test_a_run_cut_off_before_its_first_checkpoint_begins_again(quick: Config, tmp_path: Path) -> None:
    whole, cut_off = Run(tmp_path / "whole"), Run(tmp_path / "cut")
    run_all(quick, whole.directory)
    begun = next(experiment(quick, cut_off.directory, resume=False, overwrite=False))
    assert isinstance(begun, Begun)
    assert not cut_off.last.exists()
    run_all(quick, cut_off.directory, resume=True)
    assert differing(read_weights(cut_off.best), read_weights(whole.best)) == []


def test_tensorboard_shows_attention_as_it_forms(tiny_corpus: TinyCorpus, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    config, plain = (
        # Each translation is long enough to have somewhere to look.
        tiny_corpus.config(training={"epochs": 2, "tensorboard": shown}, decoding={"min_length": 3})
        for shown in (True, False)
    )
    run_all(config, tmp_path / "shown")
    run_all(plain, tmp_path / "plain")
    seen = EventAccumulator(str(Run(tmp_path / "shown").tensorboard)).Reload()
    scalars = {"dev/bleu", "dev/loss", "train/loss", "train/tokens_per_second", "attention/entropy_bits"}
    assert scalars <= set(seen.Tags()["scalars"])
    assert "attention/sentences" not in seen.Tags()["scalars"]
    records = map(json.loads, Run(tmp_path / "shown").metrics.read_text(encoding="utf-8").splitlines())
    moving = [record["attention"]["moving_share"] for record in records if record["event"] == "evaluation"]
    assert [one.value for one in seen.Scalars("attention/moving_share")] == pytest.approx(moving)
    (text,) = seen.Tensors("config/text_summary")
    assert text.step == 0
    assert config.resolved().to_toml() in text.tensor_proto.string_val[0].decode()
    pictures = seen.Tags()["images"]
    assert len(pictures) == 3
    assert all([picture.step for picture in seen.Images(name)] for name in pictures)
    assert all(len(seen.Images(name)) == 2 for name in pictures)
    # To be watched changes nothing.
    shown, unseen = (read_weights(Run(tmp_path / name).best) for name in ("shown", "plain"))
    assert differing(shown, unseen) == []


def test_a_resumed_run_keeps_its_settings_and_its_text(tmp_path: Path) -> None:
    corpus = TinyCorpus.write(tmp_path / "quick", train=20, dev=3, test=3)
    first, longer, other = (
        corpus.config(training={"epochs": epochs, "learning_rate": rate}, attention={"kind": "none"})
        for epochs, rate in ((1, 0.01), (2, 0.01), (1, 0.02))
    )
    run = Run(tmp_path / "run")
    run_all(first, run.directory)
    with pytest.raises(ConfigError, match=r"training\.learning_rate was 0\.01 and is now 0\.02"):
        run_all(other, run.directory, resume=True)
    ended = next(event for event in run_all(longer, run.directory, resume=True) if isinstance(event, Ended))
    assert ended.reason == "2 epochs done"
    assert len(json.loads(run.info.read_text(encoding="utf-8"))["sittings"]) == 2

    with open(corpus.folder / "train.xx", "a", encoding="utf-8") as file:
        file.write("ta\n")
    with open(corpus.folder / "train.yy", "a", encoding="utf-8") as file:
        file.write("la\n")
    with pytest.raises(DataError, match="the train text has changed since this run began"):
        run_all(longer, run.directory, resume=True)


def notes_of_resuming(before: Config, after: Config, folder: Path) -> list[str]:
    """What is said where a run made with ``before`` is gone on with."""
    run = Run(folder / "resumed")
    first = run_all(before, run.directory)
    begun = next(experiment(after, run.directory, resume=True, overwrite=False))
    assert isinstance(first[0], Begun)
    assert isinstance(begun, Begun)
    return [note for note in begun.notes if note not in first[0].notes]


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ({"epochs": 2}, {"epochs": 4}, "goes from 1.0e-04 to 5.0e-03 at once"),
        ({"epochs": 2}, {"epochs": 2, "max_minutes": 600}, None),
        ({"epochs": 2}, {"epochs": 2}, None),
        ({"epochs": 2, "schedule": "constant"}, {"epochs": 4, "schedule": "constant"}, None),
        ({"epochs": 2, "schedule": "inverse-sqrt"}, {"epochs": 4, "schedule": "inverse-sqrt"}, None),
        ({"epochs": 1, "patience": 1}, {"epochs": 1, "patience": 2}, None),
    ],
)  # fmt: skip
def test_a_rate_that_jumps_where_a_training_is_made_longer_is_said(
    before: dict[str, object], after: dict[str, object], said: str | None, tmp_path: Path
) -> None:
    corpus = TinyCorpus.write(tmp_path / "quick", train=20, dev=3, test=3)
    one, other = (
        corpus.config(training={"learning_rate": 0.01, "warmup_steps": 0, **values}, attention={"kind": "none"})
        for values in (before, after)
    )
    notes = notes_of_resuming(one, other, tmp_path)
    if said is None:
        assert notes == []
    else:
        [note] = notes
        assert said in note
        assert "a warm restart. The best weights so far are kept until dev finds better ones." in note
        assert f"seq2seq train --from {tmp_path / 'resumed'} " in note


def test_a_training_that_is_made_shorter_says_that_its_rate_falls_at_once(tmp_path: Path) -> None:
    corpus = TinyCorpus.write(tmp_path / "quick", train=60, dev=3, test=3)
    long, short = (
        corpus.config(training={"epochs": epochs, "batch_tokens": 100, "warmup_steps": 0}, attention={"kind": "none"})
        for epochs in (10, 2)
    )
    run = Run(tmp_path / "run")
    events = experiment(long, run.directory, resume=False, overwrite=False)
    while not isinstance(next(events), Evaluated):  # the first epoch is done
        pass
    next(events)
    del events
    begun = next(experiment(short, run.directory, resume=True, overwrite=False))
    assert isinstance(begun, Begun)
    [note] = [note for note in begun.notes if "learning rate" in note]
    rate = 0.01 * (0.01 + 0.99 * (1 + math.cos(math.pi / 10)) / 2)
    assert f"goes from {rate:.1e} to 5.1e-03 at once" in note or f"goes from {rate:.1e} to 5.0e-03 at once" in note
    assert "warm restart" not in note


def test_a_run_that_is_gone_on_with_in_another_way_says_so(quick: Config, tmp_path: Path) -> None:
    training = quick.training.model_copy(update={"precision": "bf16"})
    [note] = notes_of_resuming(quick, quick.model_copy(update={"training": training}), tmp_path)
    assert note.startswith("precision bf16 (before: fp32): the weights will not be, bit for bit, those of a training")


@pytest.fixture
def listening() -> Iterator[None]:
    """SIGINT as on a terminal, wherever the tests run."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_an_ignored_sigint_stays_ignored(quick: Config, tmp_path: Path, listening: None) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    events = experiment(quick, tmp_path / "run", resume=False, overwrite=False)
    next(events), next(events)
    signal.raise_signal(signal.SIGINT)
    assert any(isinstance(event, Ended) for event in events)


def test_a_first_sigint_saves_and_a_second_one_ends_at_once(quick: Config, tmp_path: Path, listening: None) -> None:
    whole, stopped = Run(tmp_path / "whole"), Run(tmp_path / "stopped")
    run_all(quick, whole.directory)
    events = experiment(quick, stopped.directory, resume=False, overwrite=False)
    assert isinstance(next(events), Begun)
    assert isinstance(next(events), Stepped)
    assert not stopped.last.exists()
    signal.raise_signal(signal.SIGINT)  # only noted
    with pytest.raises(KeyboardInterrupt):
        next(events)
    assert stopped.last.is_file()
    run_all(quick, stopped.directory, resume=True)
    assert differing(read_weights(stopped.best), read_weights(whole.best)) == []

    events = experiment(quick, tmp_path / "twice", resume=False, overwrite=False)
    next(events), next(events)
    signal.raise_signal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_what_fails_before_training_leaves_no_directory(quick: Config, tmp_path: Path) -> None:
    impossible = quick.model_copy(update={"training": quick.training.model_copy(update={"device": "nowhere"})})
    with pytest.raises(ConfigError, match='"nowhere" is unknown'):
        run_all(impossible, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("evaluation", [2, 4])
def test_a_signal_cuts_an_evaluation_short(
    evaluation: int, quick: Config, tmp_path: Path, listening: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, stopped = Run(tmp_path / "whole"), Run(tmp_path / "stopped")
    run_all(quick, whole.directory)
    scored: list[int] = []
    plain = metrics.bleu

    def interrupted(hypotheses: list[str], references: list[str], tokenizer: str) -> float:
        scored.append(len(hypotheses))
        if len(scored) == evaluation:
            signal.raise_signal(signal.SIGINT)
            raise AssertionError("the evaluation went on")
        return plain(hypotheses, references, tokenizer)

    with monkeypatch.context() as patch:
        patch.setattr(dev_module, "bleu", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run_all(quick, stopped.directory)
    saved = torch.load(stopped.last, weights_only=True)["progress"]
    assert (saved["step"], saved["evaluated_step"]) == (
        evaluation,
        evaluation - 1,
    )  # the step is kept, and the look at dev is made up for
    run_all(quick, stopped.directory, resume=True)
    for path in (whole.best, *whole.all_kept()):
        assert differing(read_weights(stopped.checkpoints / path.name), read_weights(path)) == []


def test_a_second_signal_amid_an_update_saves_nothing_half_done(
    quick: Config, tmp_path: Path, listening: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, stopped = Run(tmp_path / "whole"), Run(tmp_path / "stopped")
    run_all(quick, whole.directory)
    plain = optim.step

    def twice(*arguments: object, **named: object) -> float:
        norm = plain(*arguments, **named)  # type: ignore[arg-type]
        if stopped.last.exists():
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
        return norm

    with monkeypatch.context() as patch:
        patch.setattr(optim, "step", twice)
        with pytest.raises(KeyboardInterrupt):
            run_all(quick, stopped.directory)
    assert torch.load(stopped.last, weights_only=True)["progress"]["step"] == 1
    run_all(quick, stopped.directory, resume=True)
    assert differing(read_weights(stopped.best), read_weights(whole.best)) == []


@pytest.mark.parametrize("number", STOPPING, ids=lambda number: number.name)
def test_a_signal_before_training_says_that_nothing_is_lost(
    number: signal.Signals,
    quick: Config,
    tmp_path: Path,
    listening: None,
    monkeypatch: pytest.MonkeyPatch,
    terminal: Terminal,
) -> None:
    settings = tmp_path / "quick.toml"
    settings.write_text(quick.to_toml(), encoding="utf-8")

    def interrupted(*_: object) -> None:
        signal.raise_signal(number)

    monkeypatch.setattr(experiment_module, "prepared_text", interrupted)
    answer = terminal.run("train", "--config", settings, "--run", tmp_path / "run")
    assert answer.status == 128 + number
    assert "Stopped before training began. Give the same command again to go on." in answer.err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_stopped_amid_its_averaging_window_a_run_ends_with_the_same_mean(precision: str, tmp_path: Path) -> None:
    corpus = TinyCorpus.write(tmp_path / "quick", train=40, dev=3, test=3)
    training = {"epochs": 3, "batch_tokens": 100, "evaluate_every": 2, "average": 3, "precision": precision}
    config = corpus.config(training={**training, "save_minutes": 1e-6}, attention={"kind": "none"})
    whole = Run(tmp_path / "whole")
    told = []
    for event in experiment(config, whole.directory, resume=False, overwrite=False):
        told.append(event)  # what a kill would leave just now:
        shutil.copytree(whole.directory, tmp_path / f"stopped-{len(told)}")
    (averaged,) = (event for event in told if isinstance(event, Averaged))
    for stop in range(len(told) - 9, len(told) - 2):
        run = Run(tmp_path / f"stopped-{stop}")
        rest = run_all(config, run.directory, resume=True)
        assert [event for event in rest if isinstance(event, Averaged)] == [averaged], told[stop - 1]
        for path in (whole.best, *whole.all_kept()):
            assert differing(read_weights(run.checkpoints / path.name), read_weights(path)) == [], told[stop - 1]
