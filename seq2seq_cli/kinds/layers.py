"""What a recurrent layer can be: its cell, and where its attention's context enters."""

from typing import Literal

Cell = Literal["lstm", "gru"]
Wiring = Literal["before", "after"]
"""Before the RNN reads (Bahdanau), or after it has read (Luong)."""
