"""The scripts and style sheets of the pages: files of this package, in ``page/``."""

from importlib.resources import files


def asset(name: str) -> str:
    """The text of a file in ``page/``, such as ``alignment.js``."""
    return (files("seq2seq_cli.report") / "page" / name).read_text(encoding="utf-8")
