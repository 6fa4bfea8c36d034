"""``seq2seq serve``: trained runs as a local web page and for programs."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seq2seq_cli.cli import options, quick

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

    from seq2seq_cli.serving.models import Served


def serve(
    more_runs: Annotated[
        list[Path] | None, typer.Argument(metavar="[RUN]...", help="Run directories; default: the newest.")
    ] = None,
    runs: Annotated[list[Path] | None, typer.Option("--run", help="The same; repeatable.")] = None,
    host: Annotated[
        str, typer.Option(help="Address to listen on; another than this machine's own lets others in.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0: any that is free.")] = 8000,
    queue: Annotated[
        int | None, typer.Option(min=1, help="Requests that may wait; one more is told to come back. Default: 512.")
    ] = None,
    glossary: options.GlossaryFile = None,
    device: options.Device = "auto",
    precision: options.SearchPrecision = "auto",
    threads: options.Threads = None,
    *,
    recall: options.Memories,
) -> None:
    """Serve a page that translates and shows where the model looked, several runs side by side; for programs,
    POST /translate (described by /openapi.json).

    Translations are those of `seq2seq translate` with the same precision. There is no authentication.

    Examples:

        seq2seq serve --run runs/x

        seq2seq serve runs/x runs/y --port 8080

        curl http://127.0.0.1:8000/translate -H 'Content-Type: application/json' -d '{"sentences": ["Guten Tag!"]}'
    """
    given = recall.given(recall.memory)
    _require_web()
    quick.load_torch()
    from seq2seq_cli import console
    from seq2seq_cli.data.glossary import Glossary
    from seq2seq_cli.device import set_threads
    from seq2seq_cli.serving import server
    from seq2seq_cli.serving.app import make_app
    from seq2seq_cli.serving.desk import Desk
    from seq2seq_cli.serving.limits import QUEUE
    from seq2seq_cli.serving.models import load_runs
    from seq2seq_cli.serving.worker import Worker

    # First of all, so that a port in use is known before models are loaded.
    with server.open_socket(host, port) as listening:
        set_threads(threads)
        named = [*(runs or ()), *(more_runs or ())]
        terms = None if glossary is None else Glossary.read(glossary)
        served = load_runs(named, device, precision, recall.memory or (), given, terms)
        worker = Worker({each.name: each.translator for each in served})
        try:
            only_local = server.is_loopback(listening)
            app = make_app(Desk(served, worker, queue or QUEUE), only_local)
            _announce(served, listening)
            if not only_local:
                console.warn("whoever reaches this address can use it: there is no authentication.")
            server.serve(app, listening)
        finally:
            worker.close()


def _require_web() -> None:
    from seq2seq_cli.errors import UserError

    missing = [name for name in ("fastapi", "uvicorn") if find_spec(name) is None]
    if missing:
        hint = "Install them with `pip install fastapi uvicorn`."
        raise UserError(f"packages that are not installed: {', '.join(missing)}.", "seq2seq serve", hint)


def _announce(served: Sequence[Served], listening: socket.socket) -> None:
    from seq2seq_cli import console
    from seq2seq_cli.serving.server import url_of

    for each in served:
        languages = f"{each.src} to {each.tgt}, " if each.src else ""
        translator = each.translator
        console.notice(
            f"{each.name}: {languages}{translator.config.system}, {translator.device}, "
            f"{translator.precision.name} ({translator.precision.reason})"
        )
        for remark in translator.glossary_remarks:
            console.warn(f"{each.name}: {remark}")
        if each.memory is not None:
            console.notice(f"{each.name}, memory {each.memory}")
    console.notice(f"{url_of(listening)} (Ctrl-C ends it)")
