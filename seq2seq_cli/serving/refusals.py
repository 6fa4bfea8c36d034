"""Requests that are refused: why, and with which HTTP status."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import ValidationError
from starlette.responses import JSONResponse

from seq2seq_cli.data.text import shorten
from seq2seq_cli.serving.limits import RETRY_SECONDS
from seq2seq_cli.serving.messages import Refusal

SHOWN = 5
"""How many problems of a request are named; it may have thousands."""


class RefusedError(Exception):
    """A refused request: an HTTP status, and what the client is told."""

    def __init__(self, status: int, error: str, where: str | None = None, limit: int | None = None) -> None:
        super().__init__(error)
        self.status = status
        self.refusal = Refusal(error=error, where=where, limit=limit)

    def response(self) -> JSONResponse:
        """The HTTP response of the refusal."""
        headers = {"retry-after": str(RETRY_SECONDS)} if self.status == 503 else None
        return JSONResponse(self.refusal.model_dump(exclude_none=True), self.status, headers)

    @classmethod
    def of_validation(cls, error: ValidationError) -> RefusedError:
        """From an error of pydantic: status 400 where the body is not JSON, 422 where it is the wrong JSON."""
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
