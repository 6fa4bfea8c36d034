"""An interrupted translation of a file: how much of it is there, and whether it is the same translation that is asked
for now."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from seq2seq_cli.errors import DataError
from seq2seq_cli.files import parse_json, read_bytes
from seq2seq_cli.ranks import Ranks
from seq2seq_cli.runs import write_json

LARGEST_SIDECAR = 64 << 10
"""Most bytes of the file that holds a description."""


class Done(NamedTuple):
    """How many input ``lines`` are translated completely, and the ``size`` in bytes of their translations in the
    output."""

    lines: int
    size: int


@dataclass(frozen=True)
class Unfinished:
    """The translation into the file ``output``. ``description`` holds hashes of the model and the input, and every
    setting that the translations depend on. Until the translation is finished, the description lies in a file beside
    the output.

    ``group``: how many input lines are translated together. In bf16 a translation may depend on the lines beside it, so
    work is resumed at the end of a group. ``numbered``: whether output lines begin with the number of their input line,
    of which there may then be several.
    """

    output: Path
    description: dict[str, object]
    group: int
    numbered: bool

    @property
    def sidecar(self) -> Path:
        return self.output.with_name(f"{self.output.name}.unfinished.json")

    def start(self, ranks: Ranks, resume: bool) -> int:
        """How many lines are done already; all processes are told. None are, unless ``resume`` is set or this job has
        been restarted. Raises what ``go_on`` does."""
        done = Done(0, 0)
        if ranks.first:
            done = self.go_on() if resume or ranks.begun else self.begin()
            ranks.note_begun()
        return ranks.tell(done.lines)

    def begin(self) -> Done:
        """Empty the output, and write down the description of what it will hold."""
        # In this order: a new description beside old output would let the old output be continued.
        open(self.output, "wb").close()
        with suppress(OSError):  # a folder where only the output may be written: then it cannot be resumed
            write_json(self.sidecar, self.description)
        return Done(0, 0)

    def go_on(self) -> Done:
        """Cut the output back to its last whole group. Where no translation was begun, nothing is done yet.

        Raises DataError where the output belongs to another translation, or that cannot be known.
        """
        if not self.output.exists() or not self.output.stat().st_size:
            return self.begin()
        self._check()
        done = self._whole_groups()
        os.truncate(self.output, done.size)
        return done

    def finish(self) -> None:
        """Note that the output is whole."""
        self.sidecar.unlink(missing_ok=True)

    def _check(self) -> None:
        anew = "Leave out --resume to translate all of it anew."
        try:
            before = parse_json(read_bytes(self.sidecar, LARGEST_SIDECAR))
        except FileNotFoundError:
            what = "there is no unfinished translation here: it is whole, or was not begun by this command."
            raise DataError(what, str(self.output), anew) from None
        except (OSError, ValueError) as error:
            raise DataError(f"cannot be read: {error}", str(self.sidecar), anew) from None
        wanted = json.loads(json.dumps(self.description))
        changed = [name for name in wanted if not isinstance(before, dict) or before.get(name) != wanted[name]]
        if changed:
            what = f"was begun with another {', '.join(changed)}."
            raise DataError(what, str(self.output), f"Give it the same, or {anew[0].lower()}{anew[1:]}")

    def _whole_groups(self) -> Done:
        done, size, number = Done(0, 0), 0, 0
        with open(self.output, "rb") as file:
            for raw in file:
                if not raw.endswith(b"\n"):
                    break
                before, number = number, self._number(raw, number)
                if number != before and before % self.group == 0:
                    done = Done(before, size)
                size += len(raw)
        # Whether a numbered line has all of its translations is known only once the next one is there.
        return Done(number, size) if not self.numbered and number % self.group == 0 else done

    def _number(self, raw: bytes, before: int) -> int:
        """The number, from 1, of the input line whose translation this is."""
        if not self.numbered:
            return before + 1
        digits = raw.partition(b"\t")[0]
        for number in (before, before + 1):
            if digits == b"%d" % number:
                return number
        raise DataError(f"does not go on with a translation of line {before + 1}.", str(self.output))
