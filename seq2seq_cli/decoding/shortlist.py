"""The shortlist of a run: kept in its directory, made when it is first asked for."""

from __future__ import annotations

from contextlib import suppress

import torch

from seq2seq_cli.config.whole import Config
from seq2seq_cli.data.corpora import find_train
from seq2seq_cli.data.shortlist import Likeliest
from seq2seq_cli.data.subword import Subwords
from seq2seq_cli.errors import DamagedError, DataError, RunError
from seq2seq_cli.model.weights import read_tensors, save_weights
from seq2seq_cli.runs import Run


def shortlist_of(run: Run, config: Config, subwords: Subwords) -> Likeliest:
    """The target pieces that are likely for each source piece of ``run``, as its training text has them.

    Read from the run directory, or else learned from the training text and, where the directory can be written, kept
    there. Raises RunError where there is none and the training text is not here, or is another by now; DamagedError where
    the file is damaged.
    """
    if run.shortlist.is_file():
        return _read(run, subwords)
    made = _learned(run, config, subwords)
    with suppress(OSError):
        save_weights({name: torch.from_numpy(field) for name, field in made._asdict().items()}, run.shortlist)
    return made


def _read(run: Run, subwords: Subwords) -> Likeliest:
    hint = "Delete it: it is made again from the training text."
    try:
        tensors = read_tensors(run.shortlist)
    except DamagedError as problem:
        raise DamagedError(problem.what, problem.where, hint) from None
    read = Likeliest(*(tensors.get(name, torch.zeros(0)).numpy() for name in Likeliest._fields))
    if not read.fits(subwords):
        raise DamagedError("is not of this run's pieces.", str(run.shortlist), hint)
    return read


def _learned(run: Run, config: Config, subwords: Subwords) -> Likeliest:
    try:
        text = find_train(config.data)
        record = run.record()
        if text.digest() != record["data_sha256"]["train"]:
            raise DataError("it has changed since this run was trained.", text.where)
        return Likeliest.learned(text, int(record["pairs"]["train"]), subwords, config.data.max_length)
    except (DataError, OSError, ValueError, KeyError, TypeError) as problem:
        why = problem if isinstance(problem, DataError) else f"{run.info} does not say which text that was."
        raise RunError(
            f"has no shortlist yet, and it cannot be learned from the training text: {why}",
            str(run.directory),
            "Ask for it once where the training text is, which leaves it in the run directory; or do without a shortlist.",
        ) from None
