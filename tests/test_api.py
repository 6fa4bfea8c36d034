"""What programs use: `seq2seq_cli.train`, `evaluate`, `Translator`, and the page about them."""

import re
from pathlib import Path

import pytest
from corpora import TinyCorpus

import seq2seq_cli
from seq2seq_cli import Begun, Evaluation, UserError, evaluate, train
from seq2seq_cli.config.whole import Config
from seq2seq_cli.errors import ConfigError, RunError
from seq2seq_cli.evaluation.systems import Terms, compare_runs
from seq2seq_cli.runs import Run

PAGE = Path(__file__).parents[1] / "docs" / "python.md"


@pytest.fixture(scope="module")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of one epoch."""
    folder = tmp_path_factory.mktemp("small")
    corpus = TinyCorpus.write(folder / "text", train=60, dev=6, test=6)
    for _ in train(corpus.config(training={"epochs": 1}), folder / "run"):
        pass
    return Run(folder / "run")


def test_every_name_is_there_and_typed() -> None:
    for name in seq2seq_cli.__all__:
        assert getattr(seq2seq_cli, name).__name__ == name
    assert (Path(seq2seq_cli.__file__).parent / "py.typed").is_file()
    with pytest.raises(AttributeError, match="no attribute 'translate'"):
        seq2seq_cli.translate  # noqa: B018


def test_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    text = TinyCorpus.write(tmp_path / "text", train=60, dev=6, test=6)
    for path in text.folder.iterdir():
        path.rename(path.with_suffix({".xx": ".de", ".yy": ".en"}[path.suffix]))
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert len(blocks) == 5
    known: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), known)
    said = capsys.readouterr().out
    assert re.search(r"epoch 2: dev BLEU \d+\.\d\d, dev loss", said)
    assert re.search(r"test BLEU \d", said)
    assert "there is no such run directory" in said


def test_settings_in_every_form(tiny_corpus: TinyCorpus, tmp_path: Path) -> None:
    few: dict[str, dict[str, object]] = {"training": {"epochs": 1}, "model": {"hidden_size": 8, "embedding_size": 8}}
    config = tiny_corpus.config(**few)
    (tmp_path / "settings.toml").write_text(config.to_toml())
    values = tiny_corpus.settings(**few)
    values["data"] |= {split: tiny_corpus.folder / split for split in ("train", "dev", "test")}
    runs = []
    forms: list[Config | dict[str, dict[str, object]] | str | Path] = [
        config,
        values,
        tmp_path / "settings.toml",
        str(tmp_path / "settings.toml"),
    ]
    for number, settings in enumerate(forms):
        run = Run(tmp_path / f"{number}")
        begun = next(event for event in train(settings, run.directory) if isinstance(event, Begun))
        assert begun.run.directory == run.directory
        runs.append(run.config.read_text())
    assert set(runs) == {config.resolved().to_toml()}


def test_nothing_begins_before_it_is_asked_for(tmp_path: Path) -> None:
    events = train({"training": {"epochs": -1}}, tmp_path / "run")
    with pytest.raises(ConfigError, match="epochs"):
        next(events)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"epochs": 3}, "settings: epochs is unknown"),
        ({"modle": {"cell": "gru"}}, "settings: modle is unknown"),
        ({"model": {"layers": 2}}, "settings: model.layers is unknown"),
        ({"training": {"epochs": 0}}, "settings: training.epochs = 0: must be above 0"),
        ({"objective": {"kind": "scst"}}, "name a trained run as from_run"),
    ],
)
def test_settings_of_no_form(settings: dict[str, dict[str, object]], said: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(said)):
        next(train(settings))


def test_a_file_of_settings_is_not_for_a_resumed_run(small_run: Run) -> None:
    with pytest.raises(ConfigError, match="keeps its settings"):
        next(train("settings.toml", small_run.directory, resume=True))


def test_an_evaluation_is_that_of_the_command(small_run: Run, tiny_corpus: TinyCorpus) -> None:
    form = str(tiny_corpus.folder / "dev")
    found = evaluate(small_run.directory, form, decoding={"beam": 2}, tokenizer="char")
    [other] = compare_runs([small_run], Terms(form, decoding={"beam": 2}, tokenizer="char")).evaluations
    assert isinstance(found, Evaluation)
    assert found.hypotheses == other.hypotheses
    assert found.scores == other.scores
    assert found.decoding.beam == 2


def test_what_cannot_be_evaluated(small_run: Run, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no such run directory"):
        evaluate(tmp_path / "none")
    with pytest.raises(UserError, match="Did you mean"):
        evaluate(small_run.directory, tokenizer="chr")
