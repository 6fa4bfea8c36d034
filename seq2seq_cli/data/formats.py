"""The table of file formats that hold both languages, with what reads them."""

from __future__ import annotations

from pathlib import PurePath
from typing import NamedTuple

from seq2seq_cli.data.readers.bilingual import read_xml
from seq2seq_cli.data.readers.columnar import read_parquet
from seq2seq_cli.data.readers.delimited import read_bars, read_csv, read_tsv
from seq2seq_cli.data.readers.gettext import read_po
from seq2seq_cli.data.readers.json_rows import read_json
from seq2seq_cli.data.rows import Reader
from seq2seq_cli.data.text import TextFile


class Format(NamedTuple):
    """``read`` yields rows. The cells of a row are named by columns, as asked for; or, where the format ``translates``,
    by language codes, some of which a row may lack. ``several``: whether a cell may be a list of references."""

    read: Reader
    translates: bool = False
    gzipped: bool = True
    several: bool = False


FORMATS = {
    ".tsv": Format(read_tsv),
    ".tab": Format(read_tsv),
    ".csv": Format(read_csv),
    ".jsonl": Format(read_json),
    ".ndjson": Format(read_json),
    ".json": Format(read_json),
    ".parquet": Format(read_parquet, gzipped=False),
    ".tmx": Format(read_xml, translates=True),
    ".xlf": Format(read_xml, translates=True),
    ".xliff": Format(read_xml, translates=True),
    ".xml": Format(read_xml, translates=True, several=True),
    ".po": Format(read_po, translates=True),
}
"""By the lower-case suffix of the file's name."""

TABS, BARS = Format(read_tsv), Format(read_bars)
"""Formats of files whose names do not say it."""

SEGMENTED = (".sgm", ".sgml", ".xml")
"""Suffixes of files of one language whose text stands in ``<seg>``."""

_AS_TABLE = "Save it as .csv, or as .tsv without quotes."
_AS_TEXT = "Save it as plain text, a sentence a line, in one file a language."
_UNPACK = "Unpack it and name what it holds; .gz and .zip are read as they are."
REFUSED = {
    **dict.fromkeys((".xlsx", ".xls", ".ods", ".numbers"), _AS_TABLE),
    **dict.fromkeys((".docx", ".doc", ".odt", ".rtf", ".pdf", ".html", ".htm", ".epub", ".srt"), _AS_TEXT),
    **dict.fromkeys((".bz2", ".xz", ".zst", ".tar", ".tgz", ".7z", ".rar", ".lz4"), _UNPACK),
    ".mo": "Name the .po file that it was made from, or make one: msgunfmt FILE.mo -o FILE.po",
    ".pot": "It holds no translations: name the .po file of the language.",
    ".sgm": "It holds one language: name the files of both, source first.",
    ".sgml": "It holds one language: name the files of both, source first.",
    ".arrow": "Name the folder that the dataset was saved to.",
    ".ids": "It holds numbers, and no text.",
}
"""What to do first with files that cannot be read as text, by the suffix of their names."""


def suffix_of(path: TextFile) -> str:
    """The suffix of a file's name that says its format, in lower case, without ``.gz``."""
    name = PurePath(path.name)
    return PurePath(name.stem).suffix.lower() if name.suffix.lower() == ".gz" else name.suffix.lower()


def format_of(path: TextFile) -> Format | None:
    """The format according to the file's name; None for a file of one language, or of lines."""
    found = FORMATS.get(suffix_of(path))
    packed = path.name.lower().endswith(".gz")
    return None if found is None or (packed and not found.gzipped) else found
