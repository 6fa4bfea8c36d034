"""Attention by the angle between query and key (Graves, Wayne & Danihelka 2014, 3.3.1), for seq2seq.

Nothing here loads torch: this module is read wherever the table of kinds is.
"""

from typing import Annotated

from pydantic import Field

from seq2seq_cli.config.sections import Section
from seq2seq_cli.kinds.attentions import Kind


class Settings(Section):
    """What only this kind has: a key of ``[attention.own]`` each, with its default and, below it, its meaning."""

    sharpness: Annotated[float, Field(gt=0, le=1000)] = 10.0
    """g before training, which goes on from it."""


KIND = Kind(
    "cosine",
    None,
    "global",
    "after",
    "g cos(h_t, W h_s)",
    "Graves, Wayne & Danihelka 2014, 3.3.1",
    module="seq2seq_cosine.attention",
    own=frozenset(),
    settings=Settings,
)
