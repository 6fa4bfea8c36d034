"""Blocks of options: a command that names a record has the record's options, in its place."""

import inspect
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated

import pytest
import typer
from commands import Terminal
from typer.testing import CliRunner

from seq2seq_cli.cli import options
from seq2seq_cli.cli.app import COMMANDS
from seq2seq_cli.cli.blocks import with_blocks


@dataclass(frozen=True)
class Room:
    width: Annotated[int | None, typer.Option(min=1)] = None
    doors: Annotated[list[str] | None, typer.Option("--door")] = None
    light: Annotated[str, typer.Option()] = "sun"


@pytest.mark.parametrize(
    ("words", "room"),
    [
        ([], Room(None, None)),
        (["--width", "3"], Room(3)),
        (["--door", "a", "--door", "b"], Room(None, ["a", "b"])),
        (["--light", "lamp"], Room(None, None, "lamp")),
    ],
)
def test_a_command_gets_the_record_that_its_options_fill(words: list[str], room: Room) -> None:
    got = list[tuple[str, Room, bool]]()

    def build(
        name: Annotated[str, typer.Argument()],
        *,
        room: Room,
        loud: Annotated[bool, typer.Option("--loud")] = False,
    ) -> None:
        got.append((name, room, loud))

    command = with_blocks(build)
    assert list(inspect.signature(command).parameters) == ["name", "width", "doors", "light", "loud"]
    house = typer.Typer()
    house.command()(command)
    assert CliRunner().invoke(house, ["kitchen", *words, "--loud"]).exit_code == 0
    assert got == [("kitchen", room, True)]


@pytest.mark.parametrize("block", [options.Texts, options.Settings, options.Training])
def test_train_and_compare_take_a_block_alike(block: type) -> None:
    commands = {name: with_blocks(command) for name, command in COMMANDS.items() if name in ("train", "compare")}
    names = {field.name for field in fields(block)}
    one, other = (
        {name: it for name, it in inspect.signature(command).parameters.items() if name in names}
        for command in commands.values()
    )
    assert one.keys() == names
    assert one == other


def test_a_path_in_a_block_may_begin_with_the_home_folder(
    terminal: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "mine.toml").write_text("[training]\nepochs = 0\n", encoding="utf-8")
    assert "training.epochs" in terminal.refused("prepare", "--config=~/mine.toml")
