"""The bound that .ci/run holds the tests to."""

import json
from pathlib import Path

import pytest
from branches import LEAST, ROOMS, main


def report(folder: Path, taken: dict[str, int], there_are: int = 1000) -> str:
    """As coverage.py writes it, two files a room."""
    halves = {
        f"seq2seq_cli/{room}/{half}/x.py": {"covered_branches": count // 2, "num_branches": there_are // 2}
        for room, count in taken.items()
        for half in ("a", "b")
    }
    path = folder / "coverage.json"
    path.write_text(json.dumps({"files": {name: {"summary": counts} for name, counts in halves.items()}}))
    return str(path)


def test_as_many_as_are_wanted_pass(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(report(tmp_path, dict.fromkeys(ROOMS, int(10 * LEAST)))) == 0
    assert "training/     95.0% of 1000 branches, 50 not taken" in capsys.readouterr().out


@pytest.mark.parametrize("room", ROOMS)
def test_fewer_in_any_room_fail(room: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    counts = dict.fromkeys(ROOMS, 1000) | {room: int(10 * LEAST) - 2}
    assert main(report(tmp_path, counts)) == 1
    assert f"Fewer than 95% in {room}." in capsys.readouterr().out


def test_a_room_that_was_not_looked_at_fails(tmp_path: Path) -> None:
    assert main(report(tmp_path, dict.fromkeys(ROOMS[1:], 1000))) == 1
