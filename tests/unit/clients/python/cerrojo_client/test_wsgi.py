"""The middleware before a WSGI login."""

from __future__ import annotations

from collections.abc import Iterable
from io import BytesIO
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from flask import Flask
from werkzeug.test import Client, create_environ, run_wsgi_app
from werkzeug.wsgi import ClosingIterator

from cerrojo_client import REFUSE, Cerrojo
from cerrojo_client.login_form import LoginForm
from cerrojo_client.wsgi import CerrojoMiddleware
from tests.unit.clients.python.fake import PATHS, TOKEN, FakeCerrojo


class View:
    """Answers 302 with a cookie to the right password, 403 to none, and else 200."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.closed = 0

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        self.bodies.append(body)
        status = {b"=right": "302 Found", b"=": "403 Forbidden"}.get(
            body[body.rfind(b"=") :], "200 OK"
        )
        write = start_response(status, [("Set-Cookie", "session=1"), ("X-View", "own")])
        write(b"the ")
        return ClosingIterator([b"view's ", b"own"], self._close)

    def _close(self) -> None:
        self.closed += 1


@pytest.fixture
def view() -> View:
    """A new one."""
    return View()


@pytest.fixture
def client(fake: FakeCerrojo, view: View) -> Client:
    """A client of the view behind the middleware."""
    form = LoginForm(paths=["/app/login"], user_field="username", right={302}, no_outcome={403})
    cerrojo = Cerrojo("http://cerrojo", TOKEN, transport=httpx.MockTransport(fake))
    return Client(CerrojoMiddleware(view, cerrojo, form, on_undecided=REFUSE))


def log_in(client: Client, password: str) -> tuple[int, str, dict[str, str]]:
    """Status, body and headers."""
    data = {"username": "ana", "password": password}
    response = client.post("/login", base_url="http://site/app", data=data)
    return response.status_code, response.text, dict(response.headers)


def test_the_view_s_own_answers_pass(client: Client, fake: FakeCerrojo, view: View):
    """With its headers; the view reads the form as if nothing had."""
    assert log_in(client, "right")[:2] == (302, "the view's own")
    assert log_in(client, "guess")[:2] == (200, "the view's own")
    assert log_in(client, "guess")[2]["X-View"] == "own"
    assert [body["outcome"] for body in fake.bodies] == ["right", "wrong", "wrong"]
    assert view.bodies[0] == urlencode({"username": "ana", "password": "right"}).encode()
    assert view.closed == 3


def test_of_many_guesses_five_are_answered_by_the_view(client: Client, view: View):
    """From then on it is not even asked."""
    answers = [log_in(client, "guess") for _ in range(20)]
    assert [status for status, _, _ in answers] == [200] * 5 + [429] * 15
    assert len(view.bodies) == 5
    assert answers[-1][2]["Retry-After"] == "1800"


def test_a_session_behind_the_block_is_kept_back(fake: FakeCerrojo, view: View):
    """Its cookie is in the answer that nobody gets."""

    def blocked_meanwhile(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        fake.failures["ana"] = 5
        return view(environ, start_response)

    form = LoginForm(paths=["/login"], user_field="username", right={302})
    cerrojo = Cerrojo("http://cerrojo", TOKEN, transport=httpx.MockTransport(fake))
    client = Client(CerrojoMiddleware(blocked_meanwhile, cerrojo, form, on_undecided=REFUSE))
    response = client.post("/login", data={"username": "ana", "password": "right"})
    assert response.status_code == 429
    assert "Set-Cookie" not in response.headers


def test_what_says_nothing_about_the_password_is_not_counted(client: Client, fake: FakeCerrojo):
    """As a form without its CSRF token."""
    assert log_in(client, "")[0] == 403
    assert fake.bodies == []


def test_a_view_that_breaks_is_counted(fake: FakeCerrojo):
    """It may break for wrong passwords only; the server still hears of it."""

    def broken(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        raise ZeroDivisionError

    form = LoginForm(paths=["/app/login"], user_field="username", right={302})
    cerrojo = Cerrojo("http://cerrojo", TOKEN, transport=httpx.MockTransport(fake))
    client = Client(CerrojoMiddleware(broken, cerrojo, form, on_undecided=REFUSE))
    for _ in range(5):
        with pytest.raises(ZeroDivisionError):
            log_in(client, "guess")
    assert [body["outcome"] for body in fake.bodies] == ["wrong"] * 5
    assert log_in(client, "guess")[0] == 429


def test_a_view_s_error_behind_the_block_is_kept_back(fake: FakeCerrojo):
    """It would tell that the password is wrong."""

    def blocked_meanwhile(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        fake.failures["ana"] = 5
        raise ZeroDivisionError

    form = LoginForm(paths=["/app/login"], user_field="username", right={302})
    cerrojo = Cerrojo("http://cerrojo", TOKEN, transport=httpx.MockTransport(fake))
    client = Client(CerrojoMiddleware(blocked_meanwhile, cerrojo, form, on_undecided=REFUSE))
    assert log_in(client, "guess")[0] == 429


def test_other_requests_pass_untouched(client: Client, fake: FakeCerrojo):
    """Also the login's page itself."""
    assert client.get("/login", base_url="http://site/app").status_code == 200
    assert client.post("/other", base_url="http://site/app", data={}).status_code == 200
    assert fake.requests == []


def test_a_form_that_cannot_be_read_is_refused_without_the_view(client: Client, view: View):
    """No password is checked for somebody who is not counted."""
    response = client.post(
        "/login",
        base_url="http://site/app",
        data="username=a&username=ana",
        content_type="application/x-www-form-urlencoded",
    )
    assert (response.status_code, response.text) == (400, "Send one username")
    assert view.bodies == []


def test_a_body_without_a_length_is_refused(client: Client, view: View):
    """It might hold another user than what the middleware reads."""
    environ = {
        "REQUEST_METHOD": "POST",
        "SCRIPT_NAME": "/app",
        "PATH_INFO": "/login",
        "CONTENT_TYPE": "application/x-www-form-urlencoded",
        "HTTP_TRANSFER_ENCODING": "chunked",
        "wsgi.input": BytesIO(b"username=ana"),
        "wsgi.input_terminated": True,
    }
    _, status, _ = run_wsgi_app(client.application, environ)
    assert status == "411 Length Required"
    assert view.bodies == []


def test_a_path_beyond_ascii_is_guarded(fake: FakeCerrojo, view: View):
    """A server gives its bytes as Latin-1 (PEP 3333)."""
    form = LoginForm(paths=["/iniciar-sesión"], user_field="username", right={302})
    cerrojo = Cerrojo("http://cerrojo", TOKEN, transport=httpx.MockTransport(fake))
    client = Client(CerrojoMiddleware(view, cerrojo, form, on_undecided=REFUSE))
    client.post("/iniciar-sesión", data={"username": "ana", "password": "guess"})
    assert [body["outcome"] for body in fake.bodies] == ["wrong"]


def test_a_body_that_was_cut_off_is_refused(client: Client, fake: FakeCerrojo, view: View):
    """What is left of it may be another name."""
    environ = {
        "REQUEST_METHOD": "POST",
        "SCRIPT_NAME": "/app",
        "PATH_INFO": "/login",
        "CONTENT_TYPE": "application/x-www-form-urlencoded",
        "CONTENT_LENGTH": "34",
        "wsgi.input": BytesIO(b"password=x&username=ana"),
    }
    _, status, _ = run_wsgi_app(client.application, environ)
    assert status == "400 Bad Request"
    assert (view.bodies, fake.requests) == ([], [])


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("mount", ["", "/app"])
def test_no_way_to_a_view_of_flask_passes_by(fake: FakeCerrojo, path: str, mount: str):
    """Whatever its router takes for the path of the login."""
    app, reached = Flask(__name__), []

    @app.post("/login")
    def log_in() -> str:
        reached.append(path)
        return "Wrong"

    form = LoginForm(paths=[f"{mount}/login"], user_field="username", right={302})
    cerrojo = Cerrojo("http://cerrojo", TOKEN, transport=httpx.MockTransport(fake))
    guarded = CerrojoMiddleware(app, cerrojo, form, on_undecided=REFUSE)
    environ = create_environ(method="POST", data={"username": "ana", "password": "guess"})
    environ |= {"SCRIPT_NAME": mount, "PATH_INFO": path.encode().decode("latin-1")}
    run_wsgi_app(guarded, environ)
    assert len(fake.bodies) >= len(reached)
    assert reached or path != "/login"
