"""A whole run: what it leaves behind, what it refuses, and which weights it keeps."""

import hashlib
import json
from pathlib import Path

import pytest
import torch
from corpora import TinyCorpus
from learners import differing

from seq2seq_cli import config as configuration
from seq2seq_cli.config import Config, from_dict
from seq2seq_cli.errors import RunError
from seq2seq_cli.evaluation.systems import Evaluation
from seq2seq_cli.model.weights import read_weights
from seq2seq_cli.report.pictures import Pictures
from seq2seq_cli.runs import Run
from seq2seq_cli.training import experiment as module
from seq2seq_cli.training.checkpoint import average
from seq2seq_cli.training.experiment import Averaged, Begun, Happening, default_run, experiment
from seq2seq_cli.training.progress import Ended, Evaluated, Stepped


def run_all(config: Config, directory: Path, resume: bool = False, overwrite: bool = False) -> list[Happening]:
    return list(experiment(config, directory, resume, overwrite))


@pytest.fixture
def quick(tmp_path: Path) -> Config:
    """Four evaluations in as many steps, without attention, so that nothing is drawn."""
    corpus = TinyCorpus.write(tmp_path / "quick", train=20, dev=3, test=3)
    return corpus.config(training={"epochs": 4}, attention={"kind": "none"})


def test_the_configuration_is_kept_whole(trained_run: Run, tiny_corpus: TinyCorpus) -> None:
    assert configuration.load(trained_run.config) == tiny_corpus.config(training={"epochs": 25})


def test_run_json_says_how_the_run_was_made(trained_run: Run, tiny_corpus: TinyCorpus) -> None:
    info = json.loads(trained_run.info.read_text(encoding="utf-8"))
    assert (info["seed"], info["src"], info["tgt"]) == (1, "xx", "yy")
    assert info["pairs"] == {"train": 300, "dev": 24}
    assert info["parameters"] == sum(tensor.numel() for tensor in read_weights(trained_run.best).values())
    assert info["versions"]["torch"] == torch.__version__
    assert "sacrebleu" in info["versions"]
    assert info["machine"]["precision"] == "fp32"
    assert info["machine"]["threads"] == 1
    dev = b"".join((tiny_corpus.folder / f"dev.{side}").read_bytes() for side in ("xx", "yy"))
    assert info["data_sha256"]["dev"] == hashlib.sha256(dev).hexdigest()


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

    log = trained_run.log.read_text(encoding="utf-8")
    assert log.count("dev BLEU") == len(evaluations)
    assert f"dev BLEU {best[-1]:.2f}" in log
    assert log.splitlines()[-1].split(" ", 2)[2].startswith(f"training ended after {records[-1]['step']} steps")


def test_checkpoints_translations_scores_and_pictures_are_there(trained_run: Run) -> None:
    evaluations = trained_run.metrics.read_text(encoding="utf-8").count('"evaluation"')
    kept = {trained_run.kept(number) for number in range(evaluations - 3, evaluations + 1)}
    assert set(trained_run.checkpoints.iterdir()) == {trained_run.best, trained_run.last, *kept}
    (decoded,) = trained_run.decodes.iterdir()
    assert len(decoded.read_text(encoding="utf-8").splitlines()) == 24
    scores = json.loads(trained_run.evaluation.read_text(encoding="utf-8"))
    assert scores["bleu"] > 5
    assert "tok:13a" in scores["signature"]["bleu"]
    assert scores["sentences"] == 24
    pictures = sorted(path.name for path in trained_run.plots.iterdir())
    assert len(pictures) == 12
    assert all(Path(name).suffix in (".png", ".json") for name in pictures)


def test_what_happens_in_which_order(quick: Config, tmp_path: Path) -> None:
    events = run_all(quick, tmp_path / "run")
    assert isinstance(events[0], Begun)
    assert (events[0].train_pairs, events[0].dev_pairs, events[0].resumed_at) == (20, 3, 0)
    assert events[0].precision == "fp32 (as asked)"
    assert events[0].device == "cpu"
    assert [type(event) for event in events[1:]] == 4 * [Stepped, Evaluated] + [Ended, Averaged, Evaluation]


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
    monkeypatch.setattr(module, "bleu", lambda hypotheses, references: next(found))
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


def test_without_averaging_no_weights_are_kept_for_it(quick: Config, tmp_path: Path) -> None:
    config = quick.model_copy(update={"training": quick.training.model_copy(update={"average": 1})})
    run = Run(tmp_path / "run")
    assert not any(isinstance(event, Averaged) for event in run_all(config, run.directory))
    assert set(run.checkpoints.iterdir()) == {run.best, run.last}


def test_a_run_goes_where_corpus_and_kind_say(quick: Config) -> None:
    assert default_run(quick).name.endswith("xx-yy-none")
    assert default_run(from_dict({})) == Path("runs/tatoeba-de-en-bahdanau")


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

    config = tiny_corpus.config(training={"epochs": 2, "tensorboard": True})
    plain = tiny_corpus.config(training={"epochs": 2})
    run_all(config, tmp_path / "shown")
    run_all(plain, tmp_path / "plain")
    seen = EventAccumulator(str(Run(tmp_path / "shown").tensorboard)).Reload()
    assert {"dev/bleu", "dev/loss", "train/loss", "train/tokens_per_second"} <= set(seen.Tags()["scalars"])
    pictures = seen.Tags()["images"]
    assert len(pictures) == 3
    assert all([picture.step for picture in seen.Images(name)] for name in pictures)
    assert all(len(seen.Images(name)) == 2 for name in pictures)
    # To be watched changes nothing.
    shown, unseen = (read_weights(Run(tmp_path / name).best) for name in ("shown", "plain"))
    assert differing(shown, unseen) == []
