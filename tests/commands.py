"""Commands as a user gives them, run within the test's own process."""

import io
import re
import sys
from typing import NamedTuple

import pytest

from seq2seq_cli.cli.app import main


class Answer(NamedTuple):
    """Exit status, standard output and standard error."""

    status: int
    out: str
    err: str


class Terminal:
    """Runs commands; nobody watches, as in a pipe."""

    def __init__(self, patch: pytest.MonkeyPatch, capture: pytest.CaptureFixture[str]) -> None:
        self.patch, self.capture = patch, capture

    def run(self, *arguments: object, stdin: bytes = b"") -> Answer:
        """``seq2seq ARGUMENTS``. An error that is no UserError is raised, as it is a bug."""
        self.patch.setattr(sys, "argv", ["seq2seq", *map(str, arguments)])
        self.patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8"))
        self.capture.readouterr()
        try:
            main()
            status = 0
        except SystemExit as end:
            status = int(end.code or 0)
        return Answer(status, *self.capture.readouterr())

    def ok(self, *arguments: object, stdin: bytes = b"") -> Answer:
        """The same, and it must go well."""
        answer = self.run(*arguments, stdin=stdin)
        assert answer.status == 0, answer.err
        return answer

    def refused(self, *arguments: object, stdin: bytes = b"") -> str:
        """What standard error says of a command that must end with status 2; line breaks are blanks."""
        answer = self.run(*arguments, stdin=stdin)
        assert answer.status == 2, answer
        assert "Traceback" not in answer.err
        return re.sub(r"\s+", " ", answer.err)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Terminal:
    return Terminal(monkeypatch, capsys)
