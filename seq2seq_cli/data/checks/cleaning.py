"""Writing a cleaned copy of a text that was checked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from seq2seq_cli.data.checks.corpus import PAGE, Checked, Report, check
from seq2seq_cli.data.checks.flaws import FLAGS, REMOVED, REPAIRED, SOURCE, TARGET, Flaw
from seq2seq_cli.data.checks.quoting import unquoted
from seq2seq_cli.data.checks.reading import Reading
from seq2seq_cli.data.checks.realigning import Realigned
from seq2seq_cli.data.checks.repair import repaired
from seq2seq_cli.data.pairs import ParallelText
from seq2seq_cli.errors import DataError
from seq2seq_cli.files import expanded
from seq2seq_cli.runs import written_whole


class _NothingLeftError(Exception):
    """No pair is worth keeping, so there will be no copy."""


class Copy(NamedTuple):
    """The two files of a cleaned copy."""

    src: Path
    tgt: Path

    @classmethod
    def at(cls, prefix: str, languages: tuple[str, str]) -> Copy:
        src, tgt = (Path(f"{expanded(prefix)}.{language}") for language in languages)
        return cls(src, tgt)


@dataclass(frozen=True)
class Cleaned:
    """What was done. ``removed``: pairs left out, each counted once, by its first reason. ``repaired``: pairs that were
    kept and repaired, counted once for each reason. ``unpaired``: lines without a partner, which are left out.
    ``written``: pairs of the copy (0: there are no files). ``realigned``: how lines were paired anew before that, if
    they were."""

    removed: dict[Flaw, int]
    repaired: dict[Flaw, int]
    unpaired: int
    written: int
    realigned: Realigned | None


def check_copy(copy: Copy, texts: list[ParallelText], overwrite: bool) -> None:
    """To be called before any work is done. Raises DataError where a file of the copy is a file of the ``texts``,
    exists and may not be overwritten, or has no folder."""
    inputs = [path for text in texts for path in text.files]
    for path in copy:
        if path.exists() and any(path.samefile(given) for given in inputs):
            raise DataError(
                "is the text itself, which is never written to.", str(path), "Name another copy with --fix."
            )
        if path.is_dir():
            raise DataError("is a folder.", str(path), "Name another copy with --fix.")
        if path.exists() and not overwrite:
            raise DataError("exists already.", str(path), "Name another copy with --fix, or use --overwrite.")
        if not path.absolute().parent.is_dir():
            raise DataError("its folder does not exist.", str(path), "Make it first, or name another copy with --fix.")


def write_copy(
    checked: Checked, languages: tuple[str, str], test: ParallelText | None, copy: Copy, progress: Report
) -> Cleaned:
    """Write the pairs worth keeping, repaired, line by line into two files, each whole or not at all. Lines that did
    not stand beside their translations are paired anew. Call it only where the text is ``mendable``. Raises DataError
    where the copy cannot be written, or the text has changed since it was checked."""
    realigned = checked.realigned
    if realigned is None:
        return _write(checked, copy, progress)
    # The findings are about the wrong pairs of lines: the right pairs must be checked themselves.
    with check(realigned.text, languages, test, progress) as again:
        cleaned = _write(again, copy, progress)
    return replace(cleaned, unpaired=sum(realigned.left_out), realigned=realigned)


def _write(checked: Checked, copy: Copy, progress: Report) -> Cleaned:
    removed: Counter[Flaw] = Counter()
    mended: Counter[Flaw] = Counter()
    written = 0
    try:
        with ExitStack() as stack:
            paths = [stack.enter_context(written_whole(path)) for path in copy]
            files = [stack.enter_context(open(path, "w", encoding="utf-8", newline="\n")) for path in paths]
            pairs = Reading(checked.text).pairs()
            for row, (pair, flags) in enumerate(zip(pairs, _flags(checked), strict=True), start=1):
                if flags & REMOVED:
                    removed[_first(flags & REMOVED)] += 1
                else:
                    mended.update(kind for kind in Flaw if flags & REPAIRED & kind.bits)
                    for file, line in zip(files, _mended(pair, flags), strict=True):
                        file.write(f"{line}\n")
                    written += 1
                if row % PAGE == 0:
                    progress("writing", row, checked.pairs)
            for file in files:
                file.close()  # before the files take their names
            if not written:
                raise _NothingLeftError
    except _NothingLeftError:
        pass
    except ValueError:
        raise DataError("has changed since it was checked.", checked.where, "Start again.") from None
    except OSError as error:
        raise DataError(f"cannot be written: {error.strerror}.", str(copy.src.parent)) from None
    for done in checked.conversions:
        mended.update({kind: lines for kind, lines in done.lines.items() if lines})
    return Cleaned(dict(sorted(removed.items())), dict(sorted(mended.items())), checked.unpaired, written, None)


def _mended(pair: tuple[str, str], flags: int) -> tuple[str, str]:
    """The pair as it stands in the copy."""
    if not flags & REPAIRED:
        return pair
    src, tgt = reversed(pair) if flags & Flaw.SWAPPED.bits else pair
    return (
        repaired(unquoted(src, every=bool(flags & Flaw.QUOTED.bit(SOURCE)))),
        repaired(unquoted(tgt, every=bool(flags & Flaw.QUOTED.bit(TARGET)))),
    )


def _flags(checked: Checked) -> Iterator[int]:
    for begin in range(0, checked.pairs, PAGE):
        yield from np.fromfile(checked.flags, dtype=FLAGS, count=PAGE, offset=begin * FLAGS.itemsize).tolist()


def _first(flags: int) -> Flaw:
    return next(kind for kind in Flaw if flags & kind.bits)
