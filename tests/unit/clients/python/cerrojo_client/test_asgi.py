"""The middleware before an ASGI login."""

from __future__ import annotations

import asyncio
from urllib.parse import quote

import httpx
import pytest
from quart import Quart
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from cerrojo_client import PASS, REFUSE, AsyncCerrojo, OnUndecided
from cerrojo_client.asgi import CerrojoMiddleware
from cerrojo_client.asgi_request import App, Message, Receive, Send
from cerrojo_client.login_form import BODY_MAX, LoginForm
from tests.unit.clients.python.fake import PATHS, TOKEN, FakeCerrojo

FORM = LoginForm(paths=["/login"], user_field="username", right={204}, no_outcome={403})


class View:
    """Answers 204 with a cookie to the right password, 403 to none, and else 401."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    async def log_in(self, request: Request) -> Response:
        """As a view does."""
        form = await request.form()
        self.seen.append(str(form["password"]))
        status = {"right": 204, "": 403}.get(self.seen[-1], 401)
        return Response(status_code=status, headers={"Set-Cookie": "session=1"})


@pytest.fixture
def view() -> View:
    """A new one."""
    return View()


async def hello(request: Request) -> Response:
    """Another page."""
    return PlainTextResponse("hello")


def protected(fake: FakeCerrojo, view: View, on_undecided: OnUndecided = REFUSE) -> App:
    """The view behind the middleware."""
    routes = [Route("/login", view.log_in, methods=["POST"]), Route("/hello", hello)]
    transport = httpx.MockTransport(fake)
    cerrojo = AsyncCerrojo("http://cerrojo", TOKEN, deadline=5.0, transport=transport)
    return CerrojoMiddleware(Starlette(routes=routes), cerrojo, FORM, on_undecided=on_undecided)


def post(app: App, *passwords: str, data: str = "") -> list[httpx.Response]:
    """A login with each of these, at once."""

    async def posted() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://site") as client:
            return await asyncio.gather(
                *(
                    client.post("/login", data={"username": "ana", "password": password})
                    for password in passwords
                )
            )

    return asyncio.run(posted())


def test_the_view_s_own_answers_pass(fake: FakeCerrojo, view: View):
    """With its headers."""
    right, wrong = post(protected(fake, view), "right", "guess")
    assert (right.status_code, wrong.status_code) == (204, 401)
    assert right.headers["Set-Cookie"] == "session=1"
    assert sorted(str(body["outcome"]) for body in fake.bodies) == ["right", "wrong"]


def test_of_many_guesses_at_once_five_are_answered_by_the_view(fake: FakeCerrojo, view: View):
    """The others say the time to wait, and nothing of the view's."""
    answers = post(protected(fake, view), *["guess"] * 50)
    assert sorted(answer.status_code for answer in answers) == [401] * 5 + [429] * 45
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert refused.headers["Retry-After"] == "1800"
    assert "Set-Cookie" not in refused.headers


def test_a_session_behind_the_block_is_kept_back(fake: FakeCerrojo, view: View):
    """Its cookie is in the answer that nobody gets."""
    answers = post(protected(fake, view), *["guess"] * 10, "right")
    assert answers[-1].status_code == 429
    assert "Set-Cookie" not in answers[-1].headers


def test_what_says_nothing_about_the_password_is_not_counted(fake: FakeCerrojo, view: View):
    """As a form without its CSRF token."""
    assert [answer.status_code for answer in post(protected(fake, view), "")] == [403]
    assert fake.bodies == []


def test_a_view_that_breaks_is_counted(fake: FakeCerrojo):
    """It may break for wrong passwords only; the server still hears of it."""

    class Broken(View):
        async def log_in(self, request: Request) -> Response:
            raise ZeroDivisionError

    for _ in range(6):
        with pytest.raises(ZeroDivisionError):
            post(protected(fake, Broken()), "guess")
        if fake.failures["ana"] == 5:
            break
    assert len(fake.bodies) == 5
    assert [answer.status_code for answer in post(protected(fake, Broken()), "guess")] == [429]


def test_a_view_that_answers_nothing_is_counted(fake: FakeCerrojo):
    """Its server answers 500."""

    async def silent(scope: Message, receive: Receive, send: Send) -> None:
        await receive()

    transport = httpx.MockTransport(fake)
    cerrojo = AsyncCerrojo("http://cerrojo", TOKEN, deadline=5.0, transport=transport)
    with pytest.raises(AssertionError):  # of httpx, which stands for the server here
        post(CerrojoMiddleware(silent, cerrojo, FORM, on_undecided=REFUSE), "guess")
    assert len(fake.bodies) == 1


def test_undecided_passes_only_where_that_was_chosen(fake: FakeCerrojo, view: View):
    """And then the view alone decides."""
    fake.trouble = [lambda request: httpx.Response(503, headers={"Retry-After": "60"})] * 20
    answers = post(protected(fake, view, REFUSE), "right", "guess")
    assert [answer.status_code for answer in answers] == [503, 503]
    assert view.seen == []
    answers = post(protected(fake, view, PASS), "right", "guess")
    assert [answer.status_code for answer in answers] == [204, 401]


def test_other_requests_pass_untouched(fake: FakeCerrojo, view: View):
    """Also what is no HTTP, as the server's start."""
    started: list[str] = []

    async def app(scope: Message, receive: object, send: object) -> None:
        started.append(scope["type"])

    async def get() -> httpx.Response:
        transport = httpx.ASGITransport(protected(fake, view))
        async with httpx.AsyncClient(transport=transport, base_url="http://site") as client:
            return await client.get("/hello")

    assert asyncio.run(get()).text == "hello"
    cerrojo = AsyncCerrojo("http://cerrojo", TOKEN)
    middleware = CerrojoMiddleware(app, cerrojo, FORM, on_undecided=REFUSE)
    asyncio.run(middleware({"type": "lifespan"}, None, None))  # type: ignore[arg-type]
    assert started == ["lifespan"]
    assert fake.requests == []


@pytest.mark.parametrize(
    ("types", "chunks", "status"),
    [
        ([b"application/x-www-form-urlencoded"], [b"user", b"name=", b"ana&password=right"], 204),
        ([b"application/x-www-form-urlencoded"] * 2, [b"username=ana&password=right"], 415),
        ([], [b"username=ana&password=right"], 415),
        ([b"application/x-www-form-urlencoded"], [b"x" * BODY_MAX, b"x", b"x"], 413),
    ],
)
def test_a_body_is_read_in_its_chunks_and_within_bounds(
    fake: FakeCerrojo, view: View, types: list[bytes], chunks: list[bytes], status: int
):
    """As a server gives it."""
    scope = {
        **{"type": "http", "method": "POST", "path": "/login", "query_string": b""},
        "headers": [(b"content-type", value) for value in types],
    }
    messages = [{"type": "http.request", "body": c, "more_body": True} for c in chunks]
    messages[-1]["more_body"] = status == 413
    sent: list[Message] = []

    async def receive() -> Message:
        return messages.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(protected(fake, view)(scope, receive, send))
    assert sent[0]["status"] == status
    assert (view.seen == ["right"]) == (status == 204)


def sent_by(app: App, messages: list[Message]) -> list[Message]:
    """What the server gets to send, where it has received these."""
    scope = {
        **{"type": "http", "method": "POST", "path": "/login", "query_string": b""},
        "headers": [(b"content-type", b"application/x-www-form-urlencoded")],
    }
    sent: list[Message] = []

    async def receive() -> Message:
        return messages.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    return sent


def test_a_body_that_was_cut_off_is_refused(fake: FakeCerrojo, view: View):
    """What is left of it may be another name."""
    sent = sent_by(
        protected(fake, view),
        [
            {"type": "http.request", "body": b"password=x&username=ana", "more_body": True},
            {"type": "http.disconnect"},
        ],
    )
    assert sent[0]["status"] == 400
    assert (view.seen, fake.requests) == ([], [])


def test_other_messages_may_come_before_the_answer(fake: FakeCerrojo):
    """As Starlette sends one before a page from a template, to its own test client."""

    async def page(_scope: Message, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.debug", "info": {}})
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    cerrojo = AsyncCerrojo("http://cerrojo", TOKEN, transport=httpx.MockTransport(fake))
    sent = sent_by(
        CerrojoMiddleware(page, cerrojo, FORM, on_undecided=REFUSE),
        [{"type": "http.request", "body": b"username=ana&password=right"}],
    )
    assert [message["type"] for message in sent][1:] == [
        "http.response.start",
        "http.response.body",
    ]
    assert [body["outcome"] for body in fake.bodies] == ["right"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("framework", ["Starlette", "Quart"])
def test_no_way_to_a_view_passes_by(fake: FakeCerrojo, path: str, framework: str):
    """Whatever a framework's router takes for the path of the login."""
    reached = []

    async def log_in(_: object = None) -> Response:
        reached.append(path)
        return Response(status_code=401)

    async def log_in_to_quart() -> tuple[str, int]:
        await log_in()
        return "", 401

    app: App
    if framework == "Starlette":
        app = Starlette(routes=[Route("/login", log_in, methods=["POST"])])
    else:
        quart = Quart(__name__)
        quart.post("/login")(log_in_to_quart)
        app = quart  # type: ignore[assignment]
    cerrojo = AsyncCerrojo("http://cerrojo", TOKEN, transport=httpx.MockTransport(fake))
    guarded = CerrojoMiddleware(app, cerrojo, FORM, on_undecided=REFUSE)
    body = b"username=ana&password=guess"
    scope: Message = {
        **{"type": "http", "method": "POST", "path": path, "raw_path": quote(path).encode()},
        **{"root_path": "", "query_string": b"", "scheme": "http", "http_version": "1.1"},
        **{"client": ("192.0.2.7", 4711), "server": ("127.0.0.1", 80)},
        "headers": [
            (b"host", b"site"),
            (b"content-type", b"application/x-www-form-urlencoded"),
            (b"content-length", b"%d" % len(body)),
        ],
    }

    messages = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def receive() -> Message:
        for message in messages:
            return message
        return await asyncio.Future()  # the client waits

    async def send(message: Message) -> None:
        pass

    asyncio.run(guarded(scope, receive, send))
    assert len(fake.bodies) >= len(reached)
    assert reached or path != "/login"
