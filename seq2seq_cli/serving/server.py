"""The socket and the connections: uvicorn, with time limits for clients that are slow, on purpose or by accident."""

from __future__ import annotations

import asyncio
import errno
import signal
import socket
from ipaddress import ip_address
from types import FrameType

import h11
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from seq2seq_cli import signals
from seq2seq_cli.errors import UserError
from seq2seq_cli.serving.limits import (
    CONNECTIONS,
    IDLE_SECONDS,
    MAX_HEAD,
    READ_SECONDS,
    SHUTDOWN_SECONDS,
    WRITE_SECONDS,
)
from seq2seq_cli.serving.refusals import RefusedError


class Connection(H11Protocol):
    """uvicorn's connection with time limits. uvicorn would wait for ever for the rest of a request, and for a client to
    read its answer."""

    _deadline: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > CONNECTIONS:
            self._turn_away()
        else:
            self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self._deadline, self._unread):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._await_reader()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def _await_reader(self) -> None:
        self._unread = self.loop.call_later(WRITE_SECONDS, self._check_reader, self.transport.get_write_buffer_size())

    def _check_reader(self, before: int) -> None:
        """Close the connection if the client has read nothing: while writing is paused nothing is added, so what is
        left to send shrinks as long as the client reads."""
        if self.transport.get_write_buffer_size() < before:
            self._await_reader()
        else:
            self.transport.abort()

    def _watch(self) -> None:
        """Start the clock when a request is expected or arriving, stop it when the request is whole.

        The application has its own time limit for a body, and answers when it has passed, which is waited for. This limit
        also ends requests that the application has refused.
        """
        if self.conn.their_state not in (h11.IDLE, h11.SEND_BODY):
            if self._deadline is not None:
                self._deadline.cancel()
                self._deadline = None
        elif self._deadline is None:
            self._deadline = self.loop.call_later(2 * READ_SECONDS, self._end_waiting)

    def _end_waiting(self) -> None:
        """Close the connection, unless the application has yet to say what is wrong. On a machine that stood still, its
        limit may pass in the same moment."""
        if self.cycle and not self.cycle.response_complete:
            self._deadline = self.loop.call_later(READ_SECONDS, self._end_waiting)
        else:
            self.transport.abort()

    def _turn_away(self) -> None:
        answer = RefusedError(503, "too many connections are open. Try again soon.", limit=CONNECTIONS).response()
        headers = b"".join(b"%s: %s\r\n" % header for header in answer.raw_headers)
        self.transport.write(b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\n" + headers + b"\r\n")
        self.transport.write(bytes(answer.body))
        self.transport.close()


def open_socket(host: str, port: int) -> socket.socket:
    """A socket that listens on this address and port (0: any free one). Raises UserError where that is impossible."""
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server((str(address[0]), port), family=family, backlog=CONNECTIONS)
    except socket.gaierror as problem:
        raise UserError(f"{host}: {problem.strerror}.", "--host", "Use 127.0.0.1, this machine alone.") from None
    except OSError as problem:
        if problem.errno == errno.EADDRINUSE:
            raise UserError(f"port {port} is in use.", "--port", "Name another, or 0 for any free one.") from None
        raise UserError(f"{host}:{port} cannot be served: {problem.strerror}.", "--host, --port") from None


def is_loopback(listening: socket.socket) -> bool:
    """Whether only this machine can connect to the socket."""
    return ip_address(listening.getsockname()[0].partition("%")[0]).is_loopback


def url_of(listening: socket.socket) -> str:
    """The URL at which a browser finds the page."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def new_server(app: FastAPI) -> uvicorn.Server:
    """uvicorn for ``app``, with our limits. It logs nothing but errors of ours."""
    return uvicorn.Server(
        uvicorn.Config(
            app,
            http=Connection,
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="error",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=IDLE_SECONDS,
            timeout_graceful_shutdown=SHUTDOWN_SECONDS,
            h11_max_incomplete_event_size=MAX_HEAD,
        )
    )


def serve(app: FastAPI, listening: socket.socket) -> None:
    """Answer requests until a signal asks to end; requests under way are finished. Then raises KeyboardInterrupt,
    except after SIGTERM, by which services are stopped.

    Call it in the main thread, the one that receives signals.
    """
    server, heard = new_server(app), list[int]()

    def end(number: int, frame: FrameType | None) -> None:
        heard.append(number)
        server.should_exit = True

    # uvicorn answers SIGINT and SIGTERM itself, and raises them again when it has stopped.
    with signals.answered(end):
        server.run(sockets=[listening])
    if heard and heard[0] != signal.SIGTERM:
        raise signals.Stopped(heard[0])
