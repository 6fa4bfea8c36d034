"""The rules of the house: who imports whom, what is never loaded for nothing, and what the text may not say."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
from commands import Terminal

from seq2seq_cli.cli import quick
from seq2seq_cli.runs import Run

PACKAGE = Path(__file__).parents[1] / "seq2seq_cli"
FLOORS = (
    ("errors", "wording"),
    ("complaints", "files", "kinds"),
    ("config", "cores", "processor", "ranks", "runs", "seal", "signals", "waiting"),
    ("inputs", "siblings"),
    ("device",),
    ("data", "model"),
    ("neighbours",),
    ("contract", "decoding"),
    ("evaluation",),
    ("export", "report"),
    ("serving", "training"),
    ("api",),
    ("console", "cli", "__main__", "__init__"),
)
"""A room may use those on lower floors, and itself."""
HEAVY = {"torch", "datasets", "pyarrow", "matplotlib", "sentencepiece", "sacrebleu", "numpy", "altair"}


def floor_of(room: str) -> int:
    return next(number for number, rooms in enumerate(FLOORS) if room in rooms)


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    """Every module that a file imports, anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def our_rooms(path: Path) -> set[str]:
    ours = (name.split(".") for name in imported(path) if name.startswith("seq2seq_cli."))
    return {parts[1] for parts in ours}


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_down_the_house(path: Path) -> None:
    room = room_of(path)
    for other in our_rooms(path) - {room}:
        assert floor_of(other) < floor_of(room) or room in ("cli", "__main__", "__init__"), f"{room} uses {other}"


def test_no_files_import_each_other_in_a_circle() -> None:
    files = {".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts): path for path in modules()}
    # Of what a file imports, ``a.b.c`` may be the file a/b/c.py, or the name c in a/b.py.
    uses = {
        name: {it if it in files else it.rpartition(".")[0] for it in imported(path)} for name, path in files.items()
    }
    order = list(TopologicalSorter({name: used & files.keys() for name, used in uses.items()}).static_order())
    assert set(order) == files.keys()


def test_what_is_said_of_translations_has_one_place_each() -> None:
    rooms = [{path.stem for path in (PACKAGE / room).glob("[!_]*.py")} for room in ("data", "evaluation", "report")]
    assert sum(map(len, rooms)) == len(set().union(*rooms))


def test_every_room_has_its_floor() -> None:
    assert {room_of(path) for path in modules()} == {room for rooms in FLOORS for room in rooms}


def test_settings_and_tables_load_without_torch() -> None:
    rooms = {"errors", "files", "kinds", "config", "runs"}
    light = [path for path in modules() if room_of(path) in rooms]
    assert {room_of(path) for path in light} == rooms
    for path in light:
        assert not {name.split(".")[0] for name in imported(path)} & HEAVY, path


def printing_calls(path: Path) -> list[str]:
    calls = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
    return [name for call in calls if (name := ast.unparse(call.func)) in ("print", "sys.exit", "exit", "quit")]


def test_nothing_below_the_command_line_prints_or_exits() -> None:
    for path in modules():
        if floor_of(room_of(path)) < floor_of("cli"):
            assert printing_calls(path) == [], path


def test_functions_fit_a_screen() -> None:
    for path in modules():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef):
                first = node.body[1] if ast.get_docstring(node) and len(node.body) > 1 else node.body[0]
                assert (node.end_lineno or 0) - first.lineno < 60, f"{path}: {node.name}"


def after(arguments: list[str], told: str) -> str:
    """What the expression ``told`` comes to when a command has run, in a process of its own."""
    program = f"""
import gc, sys
from seq2seq_cli.cli.app import main
sys.argv = ["seq2seq", *{arguments!r}]
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
print({told})
"""
    done = subprocess.run([sys.executable, "-c", program], input="ta\n", capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[-1]


def loaded(packages: set[str], arguments: list[str]) -> str:
    """Which of these packages a command loads."""
    return after(arguments, f"sorted({packages!r} & set(sys.modules))")


def test_training_leaves_what_draws_alone_until_it_draws() -> None:
    """28 MiB, which would come on top of the most memory that a training takes."""
    program = "import sys, seq2seq_cli.training.experiment; print('matplotlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments", [["--help"], ["train", "--help"], ["--version"], ["attentions"], ["config", "show"]]
)
def test_light_commands_leave_heavy_packages_alone(arguments: list[str]) -> None:
    assert loaded(HEAVY, arguments) == "[]"


UNNEEDED = {
    "torch._dynamo",
    "sympy",
    "pyarrow",
    "datasets",
    "sacrebleu",
    "matplotlib",
    "altair",
    "seq2seq_cli.neighbours",
}
"""What no search needs: torch's compiler, which takes longer to load than a line takes to translate; and what only training
texts, scores, pictures and memories need."""


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        ["translate"],
        ["plot", "ta"],
        ["score", "{text}", "{text}"],
        ["align", "--source", "{text}", "--target", "{text}"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_search_leaves_what_it_does_not_need_alone(trained_run: Run, tmp_path: Path, arguments: list[str]) -> None:
    text = tmp_path / "text"
    text.write_text("ta\n", encoding="utf-8")
    given = [argument.format(text=text) for argument in arguments]
    assert loaded({"torch"} | UNNEEDED, [*given, "--run", str(trained_run.directory)]) == "['torch']"


@pytest.mark.slow
def test_what_torch_has_loaded_is_hidden_from_the_collector_which_works_again(trained_run: Run) -> None:
    told = "gc.isenabled() and gc.get_freeze_count() > 100_000"
    assert after(["translate", "--run", str(trained_run.directory)], told) == "True"


def test_a_run_that_is_not_there_is_told_before_torch_is_loaded(
    terminal: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = tmp_path / "text"
    text.write_text("ta\n", encoding="utf-8")
    monkeypatch.setattr(quick, "load_torch", lambda: pytest.fail("loaded"))
    for arguments in (
        ["translate"],
        ["plot", "ta"],
        ["score", text, text],
        ["align", "--source", text, "--target", text],
    ):
        assert "there is no such run directory" in terminal.refused(*arguments, "--run", tmp_path / "none")
