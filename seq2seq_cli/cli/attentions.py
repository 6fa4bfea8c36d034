"""``seq2seq attentions``: the table of kinds, and each of them explained."""

from __future__ import annotations

import sys
from importlib.metadata import version
from typing import TYPE_CHECKING, Annotated

import typer

from seq2seq_cli.cli import checks

if TYPE_CHECKING:
    from seq2seq_cli.kinds.attentions import Kind


def attentions(
    kind: Annotated[str | None, typer.Argument(help="One of them, to be explained; default: list them all.")] = None,
) -> None:
    """List the attention kinds: name, formula, wiring, paper and cost; or explain one, with its options and an example.

    Examples:

        seq2seq attentions

        seq2seq attentions hard
    """
    from seq2seq_cli.kinds.attentions import find

    if kind is None:
        _list_all()
    else:
        _explain(find(kind, "KIND"))


def _list_all() -> None:
    from rich.table import Column, Table
    from rich.text import Text

    from seq2seq_cli import console
    from seq2seq_cli.kinds.attentions import RESERVED, kinds

    checks.warn_of_packages(RESERVED)
    rows = [(", ".join(kind.names), kind.formula, kind.wiring, kind.paper, kind.cost) for kind in kinds()]
    if not sys.stdout.isatty():
        for row in rows:
            console.result("\t".join(row))
        return
    table = Table(Column("kind", no_wrap=True))
    for head in ("formula", "context enters the RNN step", "paper", "costs a step"):
        table.add_column(head, min_width=16 if head != "context enters the RNN step" else None)
    for row in rows:
        table.add_row(*map(Text, row))
    console.table(table)


def _explain(kind: Kind) -> None:
    from seq2seq_cli import console
    from seq2seq_cli.config.attention import AttentionConfig

    console.facts(
        [
            ("kind", ", ".join(kind.names)),
            ("formula", kind.formula),
            ("paper", kind.paper),
            ("costs a step", kind.cost),
            ("context enters", f"{kind.wiring} the RNN step"),
            ("file", kind.import_path.replace(".", "/") + ".py"),
            *([] if kind.package is None else [("package", f"{kind.package} {version(kind.package)}")]),
        ]
    )
    console.result("\noptions, as --set attention.NAME=VALUE:")
    fields = {name: field for name, field in AttentionConfig.model_fields.items() if name in kind.options}
    if kind.settings is not None:
        fields |= {f"own.{name}": field for name, field in kind.settings.model_fields.items()}
    console.facts([(f"  {name}", " ".join((field.description or "").split())) for name, field in fields.items()])
    if not kind.attends:
        return
    from seq2seq_cli.report.example import example
    from seq2seq_cli.report.terminal import terminal_heatmap

    # A window that is as wide as the sentence would show nothing.
    radius = {} if kind.window == "global" else {"radius": 2}
    chosen = ", radius 2" if radius else ""
    console.result(
        f"\nexample (weights in percent; a small one that has just learned this sentence by itself{chosen}):"
    )
    alignment = example(AttentionConfig.model_validate({"kind": kind.name, **radius}))
    console.out().print(terminal_heatmap(alignment, merge=False))
