"""Rows of a .parquet file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from seq2seq_cli.data.rows import Asked, Row
from seq2seq_cli.data.text import TextFile
from seq2seq_cli.errors import DataError

BATCH = 64
"""How many rows are in memory at a time: there is no limit to the length of a row."""


def read_parquet(file: TextFile, asked: Asked) -> Iterator[Row]:
    """Each row by its columns."""
    import pyarrow
    from pyarrow import parquet

    if not isinstance(file, Path):
        raise DataError("a .parquet file is not read within an archive.", str(file), "Unpack it.")
    try:
        with parquet.ParquetFile(file, buffer_size=1 << 20) as opened:
            rows = (row for batch in opened.iter_batches(BATCH) for row in batch.to_pylist())
            for number, row in enumerate(rows, start=1):
                yield f"{file}: row {number}", row
    except (pyarrow.ArrowException, OSError, MemoryError, ValueError) as error:
        raise DataError(f"not readable as Parquet: {error}", str(file)) from None
