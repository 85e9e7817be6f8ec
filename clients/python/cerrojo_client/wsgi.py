"""Middleware for a WSGI login that cannot be changed."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing, nullcontext
from functools import partial
from http import HTTPStatus
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from cerrojo_client import Cerrojo, OnUndecided
from cerrojo_client.login_form import LoginForm, Settled
from cerrojo_client.wsgi_request import path, user_of


class CerrojoMiddleware:
    """Holds the view's answer back until Cerrojo has decided."""

    def __init__(
        self, app: WSGIApplication, client: Cerrojo, form: LoginForm, *, on_undecided: OnUndecided
    ) -> None:
        self._app, self._form = app, form
        self._login = partial(client.login, on_undecided=on_undecided)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """The view's answer, or the refusal in its place."""
        if not self._form.concerns(environ["REQUEST_METHOD"], path(environ)):
            return self._app(environ, start_response)
        answer: list[Any] = []
        errors: list[Exception] = []

        def check() -> bool:
            try:
                answer[:] = _answer(self._app, environ)
            except Exception as error:  # it may break for wrong passwords only
                errors.append(error)
            return not errors and self._form.is_right(int(answer[0][:3]))

        try:
            user, agent = user_of(environ, self._form), environ.get("HTTP_USER_AGENT")
            verdict = self._login(user, check, user_agent=agent)
        except Settled as settled:
            verdict = settled.verdict
        if not verdict.may_tell:
            number, headers, body = self._form.refusal(verdict)
            answer = [f"{number} {HTTPStatus(number).phrase}", headers, body]
        elif errors:
            raise errors[0]  # the server answers, and logs it
        start_response(answer[0], answer[1])
        return [answer[2]]


def _answer(app: WSGIApplication, environ: WSGIEnvironment) -> tuple[str, Any, bytes]:
    """The view's status, headers and body."""
    started: list[Any] = []
    chunks: list[bytes] = []

    def start_response(status: str, headers: Any, exc_info: Any = None) -> Any:
        started[:] = status, headers
        return chunks.append

    parts: Any = app(environ, start_response)
    with closing(parts) if hasattr(parts, "close") else nullcontext():
        chunks.extend(parts)
    return started[0], started[1], b"".join(chunks)
