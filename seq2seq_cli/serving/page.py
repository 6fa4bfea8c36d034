"""The page: files of this package and of `report`, by name, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files

from seq2seq_cli.report.assets import asset

TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
OWN = ("index.html", "serve.css", "serve.js", "icon.svg")
SHARED = ("page.css", "alignment.js", "theme.js")


def page_files() -> Mapping[str, str]:
    """The text of each file by its name."""
    folder = files("seq2seq_cli.serving") / "page"
    own = {name: (folder / name).read_text(encoding="utf-8") for name in OWN}
    return own | {name: asset(name) for name in SHARED}
