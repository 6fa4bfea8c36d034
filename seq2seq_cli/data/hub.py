"""Sentence pairs from a dataset, on the Hugging Face hub or in a folder on this machine."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from seq2seq_cli.data.rows import Row, texts_of
from seq2seq_cli.errors import BrokenOffError, DataError, suggestion
from seq2seq_cli.files import parse_json, read_bytes

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict, IterableDataset


LARGEST_RECORD = 16 << 20
"""Most bytes of a JSON file in a saved dataset."""


@dataclass(frozen=True)
class DatasetRows:
    """The rows of one split of a dataset. ``src`` and ``tgt`` name columns as in `Table`."""

    where: str
    rows: Dataset | IterableDataset
    src: str
    tgt: str

    @property
    def files(self) -> list[Path]:
        return []

    def digest(self) -> str:
        digest = hashlib.sha256()
        for src, tgt in self.pairs():
            digest.update(f"{src}\n{tgt}\n".encode("utf-8", "surrogatepass"))
        return digest.hexdigest()

    def pairs(self) -> Iterator[tuple[str, str]]:
        number = 0
        for number, row in enumerate(self._rows(), start=1):
            yield texts_of(row, self.src, self.tgt, f"{self.where}: row {number}")
        if not number:
            raise DataError("there are no rows in this dataset.", self.where)

    def every_row(self) -> Iterator[Row]:
        """The rows with all of their columns, one a pair."""
        return ((f"{self.where}: row {number}", row) for number, row in enumerate(self._rows(), start=1))

    def _rows(self) -> Iterator[dict[str, object]]:
        number = 0
        try:
            for table in self.rows.with_format("arrow").iter(batch_size=1000):
                yield from table.to_pylist()
                number += len(table)
        except Exception as error:  # of the hub, the network or a file format, as in open_dataset
            what = f"the dataset could not be read further than row {number:,}: {_first_line(error)}."
            raise BrokenOffError(
                what, self.where, "Check the connection to the hub, or the disk, and try again."
            ) from error


class SplitName(NamedTuple):
    """The name of a split of a dataset. ``dataset``: a folder written by ``save_to_disk`` (which is never copied), a
    folder of data files, or a hub name; ``config``: which of its configurations, where it has several."""

    dataset: str
    config: str | None
    split: str

    def __str__(self) -> str:
        return f"{self.dataset} (split {self.split})"


def open_dataset(named: SplitName, src: str, tgt: str, hint: str, streaming: bool) -> DatasetRows:
    """The rows of the split ``named``. With ``streaming`` they are read as they come.

    Raises DataError with ``hint``, whatever the reason why it cannot be loaded.
    """
    import datasets

    name, config, split = named
    folder = Path(name)
    saved = any((folder / file).is_file() for file in ("state.json", "dataset_dict.json"))
    try:
        with _silent():
            found = _saved(folder) if saved else datasets.load_dataset(name, config, streaming=streaming)
    except DataError:
        raise
    except Exception as error:  # the hub, the network and every file format have errors of their own
        raise DataError(f"cannot be loaded as a dataset: {_first_line(error)}.", name, hint) from error
    if isinstance(found, datasets.Dataset):
        return DatasetRows(name, found, src, tgt)
    if split not in found:
        near = suggestion(split, found) or f"Name one of them: {name}:{next(iter(found), 'SPLIT')}"
        raise DataError(f'there is no split "{split}"; there are {", ".join(found)}.', name, near)
    return DatasetRows(str(named), found[split], src, tgt)


def _saved(folder: Path) -> Dataset | DatasetDict:
    """Read a folder written by ``save_to_disk``, but none of the files outside it that its records may name."""
    import datasets

    for record in folder.rglob("*.json"):
        stated = parse_json(read_bytes(record, LARGEST_RECORD))
        if isinstance(stated, dict):
            files = [file.get("filename") for file in stated.get("_data_files") or []]
            names = [*files, *(stated.get("splits") or [])] if record.name != "dataset_info.json" else []
            for name in map(str, names):
                if Path(name).name != name or name in ("", ".."):
                    raise DataError(f"names {name!r}, which is not in its folder.", str(record))
    return datasets.load_from_disk(str(folder))


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0].rstrip(".") or type(error).__name__


@contextmanager
def _silent() -> Iterator[None]:
    """While entered, the libraries show no progress bars and no log lines: output is the console's business."""
    from datasets.utils import disable_progress_bars, enable_progress_bars, is_progress_bar_enabled

    loggers = [logging.getLogger(name) for name in ("datasets", "huggingface_hub")]
    levels = [logger.level for logger in loggers]
    bars = is_progress_bar_enabled()
    disable_progress_bars()
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        if bars:
            enable_progress_bars()
