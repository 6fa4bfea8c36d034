"""What applies to every request and every response."""

from __future__ import annotations

from ipaddress import ip_address

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from seq2seq_cli.serving.refusals import RefusedError

HEADERS = {
    # Nothing is loaded from elsewhere, nothing in a text is run, nobody may frame the page.
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
}


class Guard:
    """Adds the security headers to every response. If ``only_local``, refuses requests by any name that is not this
    machine's: a page elsewhere can let its own name lead here (DNS rebinding), and would then pass for our page."""

    def __init__(self, app: ASGIApp, only_local: bool) -> None:
        self.app = app
        self.only_local = only_local

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        if scope["type"] == "http" and self.only_local:
            hosts = Headers(scope=scope).getlist("host")
            if len(hosts) != 1 or not is_local(hosts[0]):
                response = RefusedError(400, "ask for localhost, or for the address.", "Host").response()
                await response(scope, receive, send_guarded)
                return
        await self.app(scope, receive, send_guarded)


def is_local(host: str) -> bool:
    """Whether a Host header (``localhost:8000``, ``127.0.0.1``, ``[::1]:8000``) is a name by which this machine calls
    itself."""
    name, colon, port = host.rpartition(":")
    if not colon or host.endswith("]"):
        name, port = host, ""
    if port and not (port.isascii() and port.isdigit()):
        return False
    if name.lower() == "localhost":
        return True
    try:
        return ip_address(name.removeprefix("[").removesuffix("]")).is_loopback
    except ValueError:
        return False
