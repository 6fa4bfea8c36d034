"""``seq2seq attentions``: the table of kinds."""

from __future__ import annotations

import sys


def attentions() -> None:
    """List the attention kinds: name, formula, wiring and paper.

    Example:

        seq2seq attentions
    """
    from rich.table import Table

    from seq2seq_cli import console
    from seq2seq_cli.kinds import KINDS

    rows = [(", ".join((kind.name, *kind.aliases)), kind.formula, kind.wiring, kind.paper) for kind in KINDS]
    if not sys.stdout.isatty():
        for row in rows:
            console.result("\t".join(row))
        return
    table = Table("kind", "formula", "context enters the RNN step", "paper")
    for row in rows:
        table.add_row(*row)
    console.out().print(table, markup=False)
