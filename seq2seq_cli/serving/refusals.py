"""Requests that are not answered as asked: why, with which status."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import ValidationError
from starlette.responses import JSONResponse

from seq2seq_cli.data.text import shorten
from seq2seq_cli.serving.limits import RETRY_SECONDS
from seq2seq_cli.serving.messages import Refusal

SHOWN = 5
"""Problems named of one request; it may have thousands."""


class RefusedError(Exception):
    """A request that is refused: an HTTP status and what the client is told."""

    def __init__(self, status: int, error: str, where: str | None = None, limit: int | None = None) -> None:
        super().__init__(error)
        self.status = status
        self.refusal = Refusal(error=error, where=where, limit=limit)

    def response(self) -> JSONResponse:
        """The answer that says so."""
        headers = {"retry-after": str(RETRY_SECONDS)} if self.status == 503 else None
        return JSONResponse(self.refusal.model_dump(exclude_none=True), self.status, headers)

    @classmethod
    def of_validation(cls, error: ValidationError) -> RefusedError:
        """What pydantic found: 400 where it is no JSON, 422 where it is the wrong one."""
        details = error.errors(include_url=False, include_input=False)
        if details[0]["type"] == "json_invalid":
            return cls(400, f"this is not JSON in UTF-8: {details[0]['ctx']['error']}.")
        told = [f"{_place(detail['loc'])}: {detail['msg']}." for detail in details[:SHOWN]]
        more = [f"{len(details) - SHOWN} more."] if len(details) > SHOWN else []
        context = details[0].get("ctx", {})
        limit = context.get("max_length", context.get("le"))
        return cls(422, " ".join([*told, *more]), _place(details[0]["loc"]), limit)


def _place(location: Sequence[int | str]) -> str:
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    text = "".join(parts).removeprefix(".") or "the request"
    return text if len(text) <= 60 and text.isprintable() else shorten(text)
