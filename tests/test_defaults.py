"""Defaults stand in the configuration and nowhere below it."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from seq2seq_cli.config.loading import from_dict
from seq2seq_cli.config.whole import Config, all_keys, value_of
from seq2seq_cli.kinds.attentions import KINDS

PACKAGE = Path(__file__).parents[1] / "seq2seq_cli"
BELOW = ("data", "decoding", "evaluation", "model", "report", "serving", "training")
FILES = [path for room in BELOW for path in sorted((PACKAGE / room).rglob("*.py"))]
A_COMMANDS_OWN = {"device", "precision", "threads"}
"""Each command has its own default for these: only training's are in the configuration."""


OWNERS = {"config", "data", "model", "attention", "self_attention", "itself", "training", "objective", "settings"}
"""How sections are called where they are read."""


def resolved() -> Iterator[Config]:
    """Configurations that together have every setting that there is a default for."""
    links = {"training": {"guided_alignment": "links"}}
    for kind in KINDS:
        yield from_dict({"attention": {"kind": kind.name}, **(links if kind.attends else {})}).resolved()
    for values in (
        {"attention": {"normaliser": "top-k"}},
        {"attention": {"score": "location"}},
        {"attention": {"kind": "hierarchical", "split": "length"}},
        {"objective": {"kind": "mrt", "from_run": "x"}},
        {"model": {"encoder": "transformer"}},
        {
            "model": {"decoder": "transformer", "positions": "learned"},
            "self_attention": {"window": "local", "normaliser": "top-k"},
        },
    ):
        yield from_dict(values).resolved()


def defaults() -> dict[str, set[object]]:
    """What settings are where nobody sets them, by the settings' names."""
    found: dict[str, set[object]] = {}
    for config in resolved():
        for key in all_keys():
            value, name = value_of(config, key), key.partition(".")[2]
            if value is not None and not key.startswith("data.") and name not in A_COMMANDS_OWN:
                found.setdefault(name, set()).add(value)
    return found


DEFAULTS = defaults()
WORKED_OUT = {key.partition(".")[2] for config in resolved() for key in config.defaults}
"""Settings that come to something where nobody sets them, though they are None."""


def repeated(tree: ast.AST) -> Iterator[str]:
    """Parameters called as a setting is, whose default is that setting's."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            named = node.args.posonlyargs + node.args.args
            pairs = [*zip(reversed(named), reversed(node.args.defaults), strict=False)]
            pairs += [
                (name, value) for name, value in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True) if value
            ]
            for name, value in pairs:
                if isinstance(value, ast.Constant) and value.value in DEFAULTS.get(name.arg, ()):
                    yield f"{node.name}({name.arg}={value.value!r})"


def asked(node: ast.expr) -> bool:
    """Whether it reads such a setting."""
    if not isinstance(node, ast.Attribute) or node.attr not in WORKED_OUT:
        return False
    return ast.unparse(node.value).rpartition(".")[2] in OWNERS


def fallen_back(tree: ast.AST) -> Iterator[str]:
    """``config.radius or ...``, ``... if config.radius is None else ...``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.BoolOp) and isinstance(node.op, ast.Or) and any(map(asked, node.values[:-1])):
            yield ast.unparse(node)
        if isinstance(node, ast.IfExp) and isinstance(node.test, ast.Compare) and asked(node.test.left):
            yield ast.unparse(node)


def test_all_settings_with_a_default_are_known() -> None:
    assert {"temperature", "beam", "heads", "size", "dropout", "samples", "guided_weight"} <= DEFAULTS.keys()
    assert {"radius", "slots", "reward", "summary", "estimator", "positions", "feed_forward_size"} <= WORKED_OUT
    assert {10, 128, 512} <= DEFAULTS["radius"] | DEFAULTS["max_positions"] | DEFAULTS["size"]


@pytest.mark.parametrize(
    "program",
    ["def f(temperature: float = 1.0): ...", "def f(x, *, beam=5): ...", "config.radius or 3", "parts.config.slots or SLOTS",
     "5 if config.samples is None else config.samples"],
)  # fmt: skip
def test_a_repeated_default_is_found(program: str) -> None:
    tree = ast.parse(program)
    assert len([*repeated(tree), *fallen_back(tree)]) == 1


def test_no_default_is_repeated_below_the_configuration() -> None:
    found = {}
    for path in FILES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if again := [*repeated(tree), *fallen_back(tree)]:
            found[str(path.relative_to(PACKAGE))] = again
    assert found == {}
