"""The dependency in FastAPI, and in Starlette without it."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import httpx
import pytest
from fastapi import Depends, FastAPI, Form
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from cerrojo_client import REFUSE, AsyncCerrojo
from cerrojo_client.starlette import CerrojoLogin, Login
from tests.unit.clients.python.fake import TOKEN, FakeCerrojo


def cerrojo_login(fake: FakeCerrojo) -> CerrojoLogin:
    """The dependency."""
    transport = httpx.MockTransport(fake)
    client = AsyncCerrojo("http://cerrojo", TOKEN, deadline=0.1, transport=transport)
    return CerrojoLogin(
        client,
        on_undecided=REFUSE,
        source=lambda request: request.client and request.client.host,
    )


def fastapi_app(fake: FakeCerrojo, threads: set[int]) -> FastAPI:
    """A login in FastAPI, whose checks note their threads."""
    app = FastAPI()
    cerrojo = Depends(cerrojo_login(fake))

    def check(password: str) -> bool:
        threads.add(threading.get_ident())
        return password == "right"

    async def log_in(user: str = Form(), password: str = Form(), login: Login = cerrojo) -> str:
        await login(user, lambda: check(password))
        return "welcome"

    log_in.__annotations__.update(user=str, password=str, login=Any)
    app.post("/login")(log_in)
    return app


def starlette_app(fake: FakeCerrojo, threads: set[int]) -> Starlette:
    """The same without FastAPI."""
    cerrojo = cerrojo_login(fake)

    async def log_in(request: Request) -> Response:
        form = await request.form()
        login = await cerrojo(request)
        await login(str(form["user"]), lambda: form["password"] == "right")
        return PlainTextResponse("welcome")

    return Starlette(routes=[Route("/login", log_in, methods=["POST"])])


@pytest.fixture(params=[fastapi_app, starlette_app])
def app(request: pytest.FixtureRequest, fake: FakeCerrojo) -> Any:
    """Each of the two."""
    return request.param(fake, set())


def post(app: Any, *passwords: str) -> list[httpx.Response]:
    """A login with each of these, at once."""

    async def posted() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://site") as client:
            return await asyncio.gather(
                *(client.post("/login", data={"user": "ana", "password": p}) for p in passwords)
            )

    return asyncio.run(posted())


def test_the_verdict_is_the_answer(app: Any, fake: FakeCerrojo):
    """Of FastAPI's error handling, or Starlette's."""
    assert [answer.status_code for answer in post(app, "right")] == [200]
    answers = post(app, *["guess"] * 20)
    assert sorted(answer.status_code for answer in answers) == [401] * 5 + [429] * 15
    (refused,) = post(app, "right")
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "1800")
    assert "Too many wrong passwords" in refused.text
    assert fake.bodies[0]["source"] == "127.0.0.1"
    assert str(fake.bodies[0]["user_agent"]).startswith("python-httpx/")


def test_undecided_is_503(app: Any, fake: FakeCerrojo):
    """With the time to wait."""
    fake.down = True
    (answer,) = post(app, "right")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")


def test_the_check_runs_in_a_thread(fake: FakeCerrojo):
    """A hash would stop the event loop."""
    threads: set[int] = set()
    post(fastapi_app(fake, threads), "right")
    assert threads
    assert threading.get_ident() not in threads
