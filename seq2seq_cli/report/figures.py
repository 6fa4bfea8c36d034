"""Saving pictures: which formats there are, at which resolution, and never half a file."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from matplotlib.figure import Figure

from seq2seq_cli.errors import UserError
from seq2seq_cli.runs import written_whole

FORMATS = (".png", ".svg", ".pdf")
DPI, MOST_PIXELS = 150, 10_000


def require_format(path: Path) -> None:
    """Raises UserError for a suffix other than .png, .svg and .pdf."""
    if path.suffix.lower() not in FORMATS:
        raise UserError("pictures are written as .png, .svg or .pdf.", str(path), "End its name in one of these.")


def save_figure(figure: Figure, path: Path) -> None:
    """Save ``figure`` to ``path``, whole or not at all, in the format of its suffix. Raises UserError as
    ``require_format`` does, and where the file cannot be written."""
    require_format(path)
    try:
        with written_whole(path) as temporary:
            render(figure, temporary, path.suffix[1:].lower())
    except OSError as problem:
        raise UserError(f"cannot be written: {problem.strerror}.", str(path)) from None


def render(figure: Figure, target: Path | BinaryIO, form: str) -> None:
    """Draw ``figure``, with everything that lies outside its axes."""
    dpi = min(DPI, MOST_PIXELS / max(figure.get_size_inches()))
    figure.savefig(target, format=form, dpi=dpi, bbox_inches="tight", pad_inches=0.15)
