"""Responses in JSON; errors also as problem details (RFC 9457), for who asks for them."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import NamedTuple, Protocol
from urllib.parse import urlencode

import msgspec
from hypercorn.typing import ASGISendCallable
from quart import Response

from gateway import request_ids
from gateway.errors import OverloadedError, RequestError, UnavailableError
from gateway.web.errors import headers_of, refusal_of

_encode = msgspec.json.Encoder().encode

HEADERS = {
    "Content-Type": "application/json",
    "Cache-Control": "no-store",
    # A page elsewhere that names an answer as its script or picture learns nothing from it.
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
}
AS_IT_COMES = HEADERS | {"X-Accel-Buffering": "no"}
"""Of an answer that is read while it goes on: nginx would gather some pages of it first."""
_RAW_HEADERS = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]


EVENTS = "text/event-stream"
NDJSON = "application/x-ndjson"
"""Of an answer that is a line of JSON for each of many things."""

PROBLEM = "application/problem+json"
"""What a client accepts that wants problem details (RFC 9457)."""

_PROBLEM = PROBLEM.encode()


class Asked(Protocol):
    """The part of a request that is needed here."""

    @property
    def path(self) -> str: ...
    @property
    def args(self) -> Mapping[str, str]: ...


class Answer(NamedTuple):
    """An answer without Quart."""

    status: int
    body: bytes
    headers: list[tuple[bytes, bytes]]


def encode(body: object) -> bytes:
    """The JSON text of this object. An answer that never changes is encoded once."""
    return _encode(body)


def answer(status: int, body: bytes, headers: Mapping[str, str] | None = None) -> Response:
    """A response with this JSON text as its body."""
    return Response(body, status, {**HEADERS, **headers} if headers else HEADERS)


def next_page(request: Asked, cursor: str | None) -> dict[str, str]:
    """The header with the address of the next page of the list that was asked for."""
    if cursor is None:
        return {}
    asked = {name: value for name, value in request.args.items() if name != "after"}
    return {"Link": f'<{request.path}?{urlencode({**asked, "after": cursor})}>; rel="next"'}


def refusal(why: RequestError) -> Response:
    """The response to a request that was not granted."""
    return response(plain_refusal(why))


def error(
    status: int, sentence: str, code: str, headers: Mapping[str, str] | None = None
) -> Response:
    """A response with an error's sentence and code."""
    return answer(status, _encode({"error": sentence, "code": code}), headers)


def response(plain: Answer) -> Response:
    """The same for Quart."""
    return Response(
        plain.body,
        plain.status,
        {name.decode().title(): value.decode() for name, value in plain.headers},
    )


def plain(status: int, body: bytes, **headers: str) -> Answer:
    """An answer with this JSON text; `retry_after="1"` is a header."""
    length = (b"content-length", str(len(body)).encode())
    further = [(k.replace("_", "-").encode(), value.encode()) for k, value in headers.items()]
    return Answer(status, body, [*_RAW_HEADERS, length, *further])


def with_cookie(answer: Answer, cookie: str) -> Answer:
    """The same answer, with one more cookie to set."""
    return answer._replace(headers=[*answer.headers, (b"set-cookie", cookie.encode())])


def plain_error(status: int, sentence: str, code: str, **headers: str) -> Answer:
    """An answer with an error's sentence and code."""
    return plain(status, _encode({"error": sentence, "code": code}), **headers)


def plain_refusal(why: RequestError) -> Answer:
    """The answer to a request that was not granted."""
    refusal = refusal_of(why)
    return plain_error(refusal.status, str(why), refusal.code, **headers_of(why))


def undecided(why: UnavailableError) -> Answer:
    """The answer to a service where nothing was decided, as far as anybody knows."""
    refusal = refusal_of(why)
    code = "overloaded" if isinstance(why, OverloadedError) else "unavailable"
    body = {"verdict": "undecided", "error": str(why), "code": code}
    return plain(refusal.status, _encode(body), **headers_of(why))


def problem(answer: Answer, accept: bytes | None) -> Answer:
    """The same answer; an error with the members of RFC 9457, too, where the client accepts it.

    The type is that of all problems that are known by their status: a program goes by the code.
    """
    if answer.status < 400 or accept is None or _PROBLEM not in accept.lower():
        return answer
    found = msgspec.json.decode(answer.body)
    if "error" not in found:
        return answer
    body = _encode(problem_details(answer.status, found))
    changed = {b"content-type": _PROBLEM, b"content-length": str(len(body)).encode()}
    headers = [(name, changed.get(name, value)) for name, value in answer.headers]
    return Answer(answer.status, body, headers)


async def tell_problem(response: Response, accept: str) -> None:
    """The same for Quart."""
    body = await response.get_data(as_text=False)
    told = problem(Answer(response.status_code, body, []), accept.encode("utf-8", "replace"))
    if told.body is not body:
        response.set_data(told.body)
        response.headers["Content-Type"] = PROBLEM


def problem_details(status: int, error: Mapping[str, object]) -> dict[str, object]:
    """The body of an error with the members of RFC 9457."""
    title = HTTPStatus(status).phrase
    return {
        **{"type": "about:blank", "title": title, "status": status, "detail": error["error"]},
        **error,
    }


def with_request_id(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """These headers, and `X-Request-ID` of the request that is answered here."""
    request = request_ids.current()
    return [*headers, (b"x-request-id", request.value.hex().encode())] if request else headers


async def send(answer: Answer, send: ASGISendCallable) -> None:
    """Send an answer."""
    headers = with_request_id(answer.headers)
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body, "more_body": False})
