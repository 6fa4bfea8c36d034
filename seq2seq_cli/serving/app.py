"""The web application: what can be requested, and that every request gets an answer."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from functools import partial
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI, Request, Response
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from seq2seq_cli.serving.body import read_json
from seq2seq_cli.serving.desk import Desk
from seq2seq_cli.serving.guard import HEADERS, Guard
from seq2seq_cli.serving.messages import Answer, Health, Question, Refusal, Runs
from seq2seq_cli.serving.page import TYPES, page_files
from seq2seq_cli.serving.refusals import RefusedError

REFUSED: dict[int | str, dict[str, Any]] = {
    400: {"model": Refusal, "description": "No JSON in UTF-8, or asked for by a name that is not this machine's"},
    408: {"model": Refusal, "description": "The request did not arrive in time"},
    413: {"model": Refusal, "description": "The request holds too many bytes"},
    415: {"model": Refusal, "description": "The request does not say that it is JSON"},
    422: {"model": Refusal, "description": "The request asks for what there is not, or for too much"},
    503: {"model": Refusal, "description": "Too many requests are waiting; see Retry-After"},
}
# FastAPI does not read the body (`read_json` does, within limits), so it must be told what the body holds.
QUESTION = {"required": True, "content": {"application/json": {"schema": Question.model_json_schema()}}}


def make_app(desk: Desk, only_local: bool = True) -> FastAPI:
    """The application that serves the runs of ``desk``. ``only_local``: see Guard."""
    # The documentation pages would load scripts from another server.
    app = FastAPI(title="seq2seq", version=version("seq2seq-cli"), docs_url=None, redoc_url=None)
    app.add_middleware(Guard, only_local=only_local)
    app.add_exception_handler(RefusedError, _refused)
    app.add_exception_handler(HTTPException, _no_such_thing)
    app.add_exception_handler(Exception, _bug)
    _add_interface(app, desk)
    _add_page(app)
    return app


def _add_interface(app: FastAPI, desk: Desk) -> None:
    @app.post("/translate", response_model=Answer, responses=REFUSED, openapi_extra={"requestBody": QUESTION})
    async def translate(request: Request) -> Response:
        """Translate sentences with each of the runs that are served, or with those named."""
        body = await read_json(request)
        try:
            question = Question.model_validate_json(body)
        except ValidationError as error:
            raise RefusedError.of_validation(error) from None
        return Response(await _while_there(request, desk.answer(question)), media_type="application/json")

    @app.get("/runs")
    async def runs() -> Runs:
        """What is served, and the limits of a request."""
        return desk.runs()

    @app.get("/health")
    async def health() -> Health:
        """That the server is alive."""
        return desk.health()


def _add_page(app: FastAPI) -> None:
    for name, text in page_files().items():
        path = "/" if name == "index.html" else f"/{name}"
        app.add_api_route(path, partial(_file, text, TYPES[name.rpartition(".")[2]]), include_in_schema=False)


async def _file(text: str, media_type: str) -> Response:
    return Response(text, media_type=media_type)


async def _while_there(request: Request, work: Coroutine[Any, Any, bytes]) -> bytes:
    """The result of ``work``, which is cancelled if the client goes away."""
    working, leaving = asyncio.ensure_future(work), asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise RefusedError(400, "the client has gone.")  # for nobody
    finally:
        working.cancel()
        leaving.cancel()


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _refused(request: Request, problem: Exception) -> Response:
    assert isinstance(problem, RefusedError)
    return problem.response()


async def _no_such_thing(request: Request, problem: Exception) -> Response:
    assert isinstance(problem, HTTPException)
    response = RefusedError(problem.status_code, f"{request.method} {request.url.path}: {problem.detail}.").response()
    response.headers.update(problem.headers or {})
    return response


async def _bug(request: Request, problem: Exception) -> Response:
    """An answer that hides what went wrong; the traceback goes to the server's own output."""
    response = RefusedError(500, "an error within the server; its output tells which.").response()
    response.headers.update(HEADERS)  # Starlette answers this one outside of every middleware
    return response
