"""The extension in a Flask application."""

from __future__ import annotations

import httpx
import pytest
from flask import Flask, request
from flask.testing import FlaskClient

from cerrojo_client import REFUSE, Cerrojo
from cerrojo_client.flask import CerrojoLogin
from tests.unit.clients.python.fake import TOKEN, FakeCerrojo


@pytest.fixture
def client(fake: FakeCerrojo) -> FlaskClient:
    """A client of an application with a login and a page."""
    app = Flask(__name__)
    app.config.update(CERROJO_URL="http://cerrojo", CERROJO_TOKEN=TOKEN)
    cerrojo = CerrojoLogin(app, on_undecided=REFUSE, source=lambda request: request.remote_addr)
    app.extensions["cerrojo"] = Cerrojo(
        "http://cerrojo", TOKEN, deadline=0.1, transport=httpx.MockTransport(fake)
    )

    @app.post("/login")
    def login() -> str:
        cerrojo.login(request.form["user"], lambda: request.form["pass"] == "right")
        return "welcome"

    @app.post("/page")
    def page() -> tuple[str, int]:
        verdict = cerrojo.verdict(request.form["user"], lambda: request.form["pass"] == "right")
        return f"<p>{verdict.sentence}</p>", verdict.status

    return app.test_client()


def test_the_verdict_is_the_answer(client: FlaskClient, fake: FakeCerrojo):
    """In a view that has no word about it."""
    assert client.post("/login", data={"user": "ana", "pass": "right"}).text == "welcome"
    guesses = [client.post("/login", data={"user": "ana", "pass": "guess"}) for _ in range(7)]
    assert [guess.status_code for guess in guesses] == [401] * 5 + [429] * 2
    assert guesses[-1].headers["Retry-After"] == "1800"
    assert client.post("/login", data={"user": "ana", "pass": "right"}).status_code == 429
    assert fake.bodies[0]["source"] == "127.0.0.1"
    assert str(fake.bodies[0]["user_agent"]).startswith("Werkzeug/")


def test_undecided_is_503(client: FlaskClient, fake: FakeCerrojo):
    """With the time to wait."""
    fake.down = True
    response = client.post("/login", data={"user": "ana", "pass": "right"})
    assert (response.status_code, response.headers["Retry-After"]) == (503, "1")


def test_a_page_of_one_s_own_has_the_verdict(client: FlaskClient):
    """Where an error page is not enough."""
    response = client.post("/page", data={"user": "ana", "pass": "guess"})
    assert (response.status_code, response.text) == (401, "<p>Wrong user name or password</p>")
