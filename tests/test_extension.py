"""Attention kinds of installed packages: what they may do, and what is told where they are at fault."""

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from commands import Terminal
from corpora import TinyCorpus
from models import tiny_config

from seq2seq_cli import contract
from seq2seq_cli.config.loading import from_dict, load
from seq2seq_cli.config.whole import Config
from seq2seq_cli.errors import ConfigError, RunError
from seq2seq_cli.kinds.attentions import GROUP, KINDS, find, installed, kinds
from seq2seq_cli.kinds.installed import offers
from seq2seq_cli.model.attention.normalisers import Softmax
from seq2seq_cli.model.build import build
from seq2seq_cli.runs import ComparisonFiles, open_run, versions
from seq2seq_cli.training.comparison import planned_runs

SAMPLE = Path(__file__).parents[1] / "docs" / "extension"
ROW = """
from seq2seq_cli.kinds.attentions import Kind
KIND = Kind("{name}", {score}, "global", "after", "q . h", "A. Uthor 2020", {more})
"""


def install(site: Path, package: str, modules: Mapping[str, str], entries: Mapping[str, str]) -> None:
    """A package of these ``modules`` (name and source) with these entry points, into the folder ``site``, as pip would leave
    it there."""
    described = site / f"{package.replace('-', '_')}-1.2.dist-info"
    described.mkdir(parents=True)
    (described / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.2\n")
    points = "".join(f"{name} = {value}\n" for name, value in entries.items())
    (described / "entry_points.txt").write_text(f"[{GROUP}]\n{points}")
    for name, source in modules.items():
        (site / f"{name}.py").write_text(source)


def look_again() -> None:
    """Forget which packages there are."""
    offers.cache_clear()
    installed.cache_clear()


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that packages are installed into, for one test."""
    folder, before = tmp_path / "site", set(sys.modules)
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    look_again()
    yield folder
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(folder)):
            del sys.modules[name]
    look_again()


def row(name: str = "mine", score: str = '"dot"', more: str = "") -> str:
    """Source of a module with a row that makes one of the built-in mechanisms."""
    return ROW.format(name=name, score=score, more=more)


def add(site: Path, source: str, name: str = "mine", package: str = "seq2seq-mine", module: str = "mine_row") -> None:
    """A package that offers the KIND of a module of this ``source`` as ``name``."""
    install(site, package, {module: source}, {name: f"{module}:KIND"})
    look_again()


def problem_of(name: str = "mine") -> str:
    """What is told of a kind, in a line, while the built-in ones are as they were."""
    assert kinds() == KINDS
    assert build(tiny_config("luong-dot"), 9, 9) is not None
    with pytest.raises(ConfigError) as caught:
        from_dict({"attention": {"kind": name}}, "here")
    assert str(caught.value).startswith("here: attention.kind")
    return str(caught.value)


def test_without_packages_the_table_is_the_built_in_one(site: Path) -> None:
    assert kinds() == KINDS


def test_a_row_of_a_package_is_a_row_of_the_table(site: Path, terminal: Terminal) -> None:
    add(site, row(more='aliases=("my-own",), normaliser="sparsemax"'))
    found = find("my-own")
    assert (found.name, found.package, found.normaliser) == ("mine", "seq2seq-mine", "sparsemax")
    assert kinds() == (*KINDS, found)
    config = tiny_config("my-own", attention={"temperature": None})
    assert (config.attention.kind, config.attention.choices.score) == ("mine", "dot")
    assert build(config, 9, 9).parameter_count() == build(tiny_config("luong-dot"), 9, 9).parameter_count()
    assert "mine, my-own\tq . h\tafter\tA. Uthor 2020" in terminal.ok("attentions").out
    assert "package\tseq2seq-mine 1.2" in terminal.ok("attentions", "mine").out


def test_packages_are_loaded_for_what_is_not_built_in_alone(site: Path) -> None:
    add(site, "raise AssertionError('loaded')")
    for kind in KINDS:
        assert from_dict({"attention": {"kind": kind.name}}).attention.row == kind


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import no_such_module", "cannot be loaded: ModuleNotFoundError: No module named 'no_such_module' ("),
        ("raise SystemExit('bye')", "cannot be loaded: SystemExit: bye ("),
        ("KIMD = 1", "cannot be loaded: AttributeError"),
        ("KIND = 'mine'", "is no seq2seq_cli.kinds.attentions.Kind but a str"),
        (row("other"), 'that row is called "other"'),
        (row(more='aliases=("Has Space",)'), '"Has Space" cannot be a name'),
        (row(more='aliases=("all",)'), '"all" cannot be a name'),
        (row(score='"cosine"'), "its score is 'cosine', which is none of 'dot', 'general'"),
        (row(more='normaliser="hardmax"'), "its normaliser is 'hardmax'"),
        (
            row(more='aliases=("luong",)'),
            'offers an attention kind "luong", a name that seq2seq-cli itself uses as well',
        ),
    ],
)
def test_a_package_at_fault_is_named_and_others_go_on(site: Path, terminal: Terminal, source: str, said: str) -> None:
    add(site, source)
    told = problem_of()
    assert said in told
    assert "seq2seq-mine" in told
    answer = terminal.ok("attentions")
    assert len(answer.out.splitlines()) == len(KINDS)
    assert "warning: the package seq2seq-mine" in " ".join(answer.err.split())


def test_a_name_that_is_built_in_is_not_taken_by_a_package(site: Path, terminal: Terminal) -> None:
    add(site, row("luong-dot"), "luong-dot")
    assert "a name that seq2seq-cli itself uses as well" in terminal.refused("attentions", "luong-dot")
    assert find("luong-general").package is None
    assert kinds() == KINDS


def test_a_name_that_two_packages_give_is_neithers(site: Path) -> None:
    add(site, row())
    add(site, row(), package="seq2seq-theirs", module="their_row")
    assert "seq2seq-mine" in problem_of()
    assert "a name that seq2seq-theirs uses as well" in problem_of()


def test_an_alias_may_not_be_another_packages_name(site: Path) -> None:
    add(site, row())
    add(site, row("yours", more='aliases=("mine",)'), "yours", "seq2seq-yours", "your_row")
    assert find("mine").package == "seq2seq-mine"
    with pytest.raises(ConfigError, match="the package seq2seq-yours"):
        find("yours")


def config_of_a_mechanism(site: Path, source: str) -> Config:
    """Of a package whose mechanism is built as the ``source`` of its module says."""
    install(
        site,
        "seq2seq-mine",
        {"mine_row": row(more='module="mine_parts"'), "mine_parts": source},
        {"mine": "mine_row:KIND"},
    )
    look_again()
    return tiny_config("mine")


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("def build(parts):\n    raise ZeroDivisionError('of nought')", "ZeroDivisionError: of nought"),
        ("import no_such_module", "No module named 'no_such_module'"),
        ("", "has no attribute 'build'"),
        ("def build(parts):\n    return 7", "a int, which is no Attention: it is no torch.nn.Module"),
        (
            "import torch\ndef build(parts):\n    return torch.nn.Linear(2, 2)",
            "a Linear, which is no Attention: it has no bounded, context_size, initial_state, pick, prepare, projected, "
            "recurrent, static (see",
        ),
        (
            # As one was that an earlier version took for an attention, which knew nothing of projections.
            "from seq2seq_cli.model.attention.scored import ScoredAttention\n"
            "def build(parts):\n"
            "    whole = ScoredAttention(parts)\n"
            "    class Older(type(whole).__mro__[2]):\n"
            "        context_size, recurrent, static, bounded = whole.context_size, False, False, True\n"
            "        prepare, initial_state, pick = whole.prepare, whole.initial_state, whole.pick\n"
            "    return Older()",
            "a Older, which is no Attention: it has no projected (see model/types.py; a Mechanism has the defaults)",
        ),
    ],
)
def test_a_mechanism_that_cannot_be_built(site: Path, source: str, said: str) -> None:
    config = config_of_a_mechanism(site, source)
    with pytest.raises(ConfigError) as caught:
        build(config, 9, 9)
    assert "the package seq2seq-mine " in str(caught.value)
    assert said in str(caught.value)
    assert "Tell its author" in str(caught.value)


def test_a_users_mistake_that_a_package_finds_is_told_as_it_is(site: Path) -> None:
    source = "from seq2seq_cli.errors import ConfigError\ndef build(parts):\n    raise ConfigError('too small.')"
    config = config_of_a_mechanism(site, source)
    with pytest.raises(ConfigError, match=r"^too small\.$"):
        build(config, 9, 9)


OWN = """
from typing import Annotated
from pydantic import Field
from seq2seq_cli.config.sections import Section
class Settings(Section):
    depth: Annotated[int, Field(gt=0)] = 2
    '''How deep.'''
    name: str | None = None
    '''What for.'''
"""


class TestOwnSettings:
    @pytest.fixture(autouse=True)
    def package(self, site: Path) -> None:
        add(site, OWN + row(more="settings=Settings"))

    def test_defaults_are_written_out(self) -> None:
        config = from_dict({"attention": {"kind": "mine"}})
        assert config.attention.own == {"depth": 2}
        assert config.attention.own_settings.depth == 2

    @pytest.mark.parametrize("form", ["to_toml", "to_commented_toml"])
    def test_they_are_set_and_kept(self, tmp_path: Path, form: str) -> None:
        config = load(None, ["attention.kind=mine", "attention.own.depth=3", "attention.own.name=x"])
        assert (config.attention.own_settings.depth, config.attention.own_settings.name) == (3, "x")
        file = tmp_path / "config.toml"
        file.write_text(getattr(config, form)())
        assert load(file) == config
        assert load(file, ["attention.own.depth=4"]).attention.own == {"depth": 4, "name": "x"}

    @pytest.mark.parametrize(
        ("setting", "said"),
        [
            ("attention.own.depht=3", 'attention.own: depht is unknown. Did you mean "depth"?'),
            ("attention.own.depth=0", "attention.own: depth = 0: must be above 0"),
            ("attention.own.depth=two", "attention.own: depth = 'two': must be a whole number"),
            ("attention.own=3", "--set attention.own = 3: must be a section"),
            ("attention.heads=3", "heads is not an option of mine"),
        ],
    )
    def test_mistakes_are_told(self, setting: str, said: str) -> None:
        with pytest.raises(ConfigError) as caught:
            load(None, ["attention.kind=mine", setting])
        assert said in str(caught.value)

    def test_a_built_in_kind_has_none(self) -> None:
        with pytest.raises(ConfigError, match="bahdanau has no settings that only it has"):
            load(None, ["attention.own.depth=3"])

    def test_they_are_explained(self, terminal: Terminal) -> None:
        assert "  own.depth\tHow deep." in terminal.ok("attentions", "mine").out


@pytest.mark.parametrize("needed", ["none-such", "", 7])
def test_a_run_whose_package_is_missing(tmp_path: Path, needed: object) -> None:
    (tmp_path / "config.toml").write_text('attention.kind = "mine"\n')
    (tmp_path / "run.json").write_text(json.dumps({"packages": ["pytest", needed]}))
    with pytest.raises(RunError, match=f'this run needs the package "{needed}", which is not installed here'):
        open_run(tmp_path)


@pytest.mark.parametrize("record", [None, "{", "[]", '{"packages": 7}', '{"packages": ["pytest"]}'])
def test_a_run_that_names_no_package_that_is_missing(tmp_path: Path, record: str | None) -> None:
    (tmp_path / "config.toml").write_text("")
    if record is not None:
        (tmp_path / "run.json").write_text(record)
    assert open_run(tmp_path).directory == tmp_path


def test_versions_of_more_packages() -> None:
    assert set(versions("pytest")) - set(versions()) == {"pytest"}


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the package of docs/extension is installed into: its wheel, as pip would put it there."""
    folder = tmp_path_factory.mktemp("sample")
    program = f"from hatchling.build import build_wheel; print(build_wheel({str(folder)!r}))"
    made = subprocess.run([sys.executable, "-c", program], cwd=SAMPLE, capture_output=True, text=True, check=True)
    with zipfile.ZipFile(folder / made.stdout.split()[-1]) as wheel:
        wheel.extractall(folder / "site")
    return folder / "site"


COMMANDS = """
import sys
import pytest
from seq2seq_cli.cli.app import main

def seq2seq(*words):
    sys.argv = ["seq2seq", *words]
    try:
        main()
    except SystemExit as end:
        assert not end.code, words

seq2seq("train", "--config", "settings.toml", "--attention", "cosine", "--set", "attention.own.sharpness=5", "--run", "run")
seq2seq("translate", "text/test.xx", "-o", "translated", "--run", "run")
seq2seq("plot", "ta nu ki", "--run", "run", "-o", "picture.png")
seq2seq("report", "run", "-o", "page.html")
assert pytest.main(["-q", "-p", "no:cacheprovider", "-p", "no:xdist", "tests"]) == 0
"""


@pytest.mark.slow
def test_the_sample_package_trains_translates_draws_and_keeps_the_contract(
    sample: Path, terminal: Terminal, tmp_path: Path
) -> None:
    corpus = TinyCorpus.write(tmp_path / "text", train=60, dev=6, test=6)
    config = corpus.config(training={"epochs": 1}, model={"hidden_size": 16, "embedding_size": 16})
    (tmp_path / "settings.toml").write_text(config.to_toml())
    shutil.copytree(SAMPLE / "tests", tmp_path / "tests")
    shutil.copy(SAMPLE / "pyproject.toml", tmp_path)
    here = {**os.environ, "PYTHONPATH": str(sample)}
    done = subprocess.run([sys.executable, "-c", COMMANDS], cwd=tmp_path, env=here, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "cosine: 60 training pairs" in done.stderr
    assert re.search(r"\d\d+ passed", done.stdout)
    assert len((tmp_path / "translated").read_text().splitlines()) == 6
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")
    assert "cosine" in (tmp_path / "page.html").read_text()
    assert "[attention.own]\nsharpness = 5" in (tmp_path / "run" / "config.toml").read_text()
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["packages"] == ["seq2seq-cosine"]
    assert record["sittings"][0]["versions"]["seq2seq-cosine"] == "0.1.0"
    # Here, where it is not installed:
    said = terminal.refused("translate", tmp_path / "text" / "test.xx", "--run", tmp_path / "run")
    assert 'this run needs the package "seq2seq-cosine", which is not installed here' in said


def test_a_table_that_is_read_loads_no_torch(sample: Path) -> None:
    program = "import sys; from seq2seq_cli.kinds.attentions import find; find('cosine'); print('torch' in sys.modules)"
    here = {**os.environ, "PYTHONPATH": str(sample)}
    done = subprocess.run([sys.executable, "-c", program], env=here, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_all_kinds_are_compared(site: Path, tmp_path: Path) -> None:
    add(site, row())
    kinds_of = [planned.system for planned in planned_runs(None, "all", 1, ComparisonFiles(tmp_path), None, (), {})]
    assert kinds_of == [*(kind.name for kind in KINDS), "mine"]


def test_a_kind_without_weights_is_known_by_its_row(site: Path, tmp_path: Path, terminal: Terminal) -> None:
    add(
        site,
        row(
            score="None", more='module="none", own=frozenset({"summary"}), summary="every-step", attends=False'
        ).replace("after", "before"),
    )
    config = tiny_config("mine")
    assert not config.attention.row.attends
    assert build(config, 9, 9).parameter_count() == build(tiny_config("none"), 9, 9).parameter_count()
    said = terminal.ok("attentions", "mine").out
    assert "summary" in said
    assert "example" not in said


class TestContract:
    def test_it_has_every_check_for_every_wiring_between_all_layers(self) -> None:
        told = [str(promise) for promise in contract.promises("luong-dot")]
        # Three wirings by four recurrences and by a Transformer that an RNN reads; and four times between halves of layers.
        assert len(told) == len(set(told)) == (3 * 4 + 3 + 4) * 11 + 2
        assert len(contract.promises("none")) == (2 * 4 + 2 + 4) * 11
        assert len(contract.promises("luong-location")) == (3 * 4 + 3 + 4) * 11
        with pytest.raises(ConfigError, match="unknown"):
            contract.promises("zzz")

    @pytest.mark.parametrize("kind", ["bahdanau", "none", "local-p"])
    def test_built_in_kinds_keep_it(self, kind: str) -> None:
        for promise in contract.promises(kind):
            if any(chosen in str(promise) for chosen in ("lstm1", "window=", "transformer-ssru")):
                promise()

    def test_a_mechanism_at_fault_is_found(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Softmax, "forward", lambda self, energies_BTS, mask_BTS: energies_BTS.softmax(-1))
        broken = set()
        for promise in contract.promises("scaled-dot"):
            if "lstm1" in str(promise):
                try:
                    promise()
                except AssertionError:
                    broken.add(str(promise).partition(": ")[2])
        assert "padding_changes_nothing_whatever_it_holds" in broken
        assert "padding_gets_exactly_no_gradient" in broken
        assert "reordering_commutes_with_stepping" not in broken
