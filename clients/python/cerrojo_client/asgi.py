"""Middleware for an ASGI login that cannot be changed."""

from __future__ import annotations

from functools import partial

from cerrojo_client import AsyncCerrojo, OnUndecided
from cerrojo_client.asgi_request import App, Message, Receive, Send, again, header, read_body
from cerrojo_client.login_form import LoginForm, Settled


class CerrojoMiddleware:
    """Holds the view's answer back until Cerrojo has decided."""

    def __init__(
        self, app: App, client: AsyncCerrojo, form: LoginForm, *, on_undecided: OnUndecided
    ) -> None:
        self._app, self._form = app, form
        self._login = partial(client.login, on_undecided=on_undecided)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Send the view's answer, or the refusal in its place."""
        if scope["type"] != "http" or not self._form.concerns(scope["method"], scope["path"]):
            await self._app(scope, receive, send)
            return
        answer: list[Message] = []
        errors: list[Exception] = []

        async def keep(message: Message) -> None:
            answer.append(message)

        async def check() -> bool:
            try:
                await self._app(scope, again(body, receive), keep)
            except Exception as error:  # Starlette raises after it has answered 500
                errors.append(error)
            return not errors and self._form.is_right(_status(answer))

        try:
            body = await read_body(receive)
            query = scope["query_string"].decode("latin-1")
            user = self._form.user(header(scope, b"content-type"), query, body)
            verdict = await self._login(user, check, user_agent=header(scope, b"user-agent"))
        except Settled as settled:
            verdict = settled.verdict
        if not verdict.may_tell:
            status, pairs, content = self._form.refusal(verdict)
            headers = [(name.lower().encode(), value.encode()) for name, value in pairs]
            start = {"type": "http.response.start", "status": status, "headers": headers}
            answer = [start, {"type": "http.response.body", "body": content}]
        for message in answer:
            await send(message)
        if errors:
            raise errors[0]  # for the server's log


def _status(answer: list[Message]) -> int:
    """Other messages may come before the start. Where there is none, the server answers 500."""
    return next((int(m["status"]) for m in answer if m["type"] == "http.response.start"), 500)
