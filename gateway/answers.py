"""Responses in JSON."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from quart import Response

from gateway.errors import ApiError

_encode = msgspec.json.Encoder().encode

_HEADERS = {"Content-Type": "application/json", "Cache-Control": "no-store"}


def encode(body: object) -> bytes:
    """The JSON text of this object; for answers that are always the same, made once."""
    return _encode(body)


def answer(status: int, body: bytes, headers: Mapping[str, str] | None = None) -> Response:
    """A response with this JSON text as its body."""
    return Response(body, status, {**_HEADERS, **headers} if headers else _HEADERS)


def refusal(why: ApiError) -> Response:
    """A response that says why a request was not granted."""
    return error(why.status, str(why), why.headers)


def error(status: int, sentence: str, headers: Mapping[str, str] | None = None) -> Response:
    """A response that says what is wrong."""
    return answer(status, _encode({"error": sentence}), headers)
