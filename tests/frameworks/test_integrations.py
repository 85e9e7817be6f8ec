"""Logins of others behind Cerrojo: each page of docs/ that says how, run as it stands there.

The frameworks are real, and so is Cerrojo.
"""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

import httpx
import pytest

from cerrojo_client import REFUSE, Cerrojo
from cerrojo_client.client import MOST_DEADLINE_SECONDS
from gateway.errors import UnauthorizedError
from gateway.tokens import Scope, ServiceTokens
from tests.acceptance.system import SERVICE_TOKEN, RunningSystem
from tests.harness.page import Page, make_venv
from tests.paths import PROJECT

GUESSES = 200
RIGHT = "correct horse"
PATIENCE_SECONDS = 120.0  # on a busy machine

LogIn = Callable[[httpx.AsyncClient, str, str], Awaitable[httpx.Response]]


@pytest.fixture
def environment(system: RunningSystem) -> dict[str, str]:
    """What integrate.md exports, of a system that has nothing against the pages' users."""
    with Cerrojo(system.login_url, SERVICE_TOKEN, deadline=MOST_DEADLINE_SECONDS) as client:
        for user in ("ana", "ben", "ben@example.com"):
            system.lift(user)
            assert client.report(user, right=True, on_undecided=REFUSE).lets_in
    return {"CERROJO_URL": system.login_url, "CERROJO_TOKEN": SERVICE_TOKEN}


def at_once(
    url: str, log_in: LogIn, user: str, passwords: Iterable[str], path: str = ""
) -> list[httpx.Response]:
    """A login with each of these, all at the same moment; the answers in this order."""

    async def logged_in() -> list[httpx.Response]:
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
        async with httpx.AsyncClient(
            base_url=url + path, limits=limits, timeout=PATIENCE_SECONDS
        ) as client:
            return await asyncio.gather(*(log_in(client, user, each) for each in passwords))

    return asyncio.run(logged_in())


def statuses(answers: Iterable[httpx.Response]) -> dict[int, int]:
    """How often each status was answered."""
    return dict(Counter(answer.status_code for answer in answers))


def assert_blocked(system: RunningSystem, user: str) -> None:
    """An operator sees it."""
    shown = httpx.get(f"{system.operator_url}/blocked/{user}", timeout=PATIENCE_SECONDS)
    assert shown.status_code == 200


async def form_login(client: httpx.AsyncClient, user: str, password: str) -> httpx.Response:
    """As most pages do it."""
    return await client.post("/login", data={"user": user, "password": password})


def test_the_token_of_the_page_is_one(tmp_path: Path):
    """Made, put into the file, and exported as the page says; and the client uses it."""
    make_venv(tmp_path)
    page = Page("integrate.md", tmp_path, {"PYTHONPATH": str(PROJECT)})
    page.run("cerrojo tokens")
    token = (tmp_path / "token").read_text().strip()
    tokens = ServiceTokens(tmp_path / "service-tokens")
    for scope in Scope:
        assert tokens.service_of(f"Bearer {token}".encode(), scope) == "shop"
    with pytest.raises(UnauthorizedError):
        tokens.service_of(b"Bearer another", Scope.BLOCK)
    page.run("export")
    page.write_files()
    (make_up,) = page.not_run()
    assert make_up.text == "CERROJO_SERVICE_TOKENS_FILE=$PWD/service-tokens make up\n"


def test_a_login_of_one_s_own_with_the_client(
    tmp_path: Path, system: RunningSystem, environment: dict[str, str]
):
    """The function of integrate.md, called as a login would."""
    page = Page("integrate.md", tmp_path, environment)
    page.write_files()
    script = (
        "from own_login import log_in\n"
        "for password in ['correct horse', *['guess'] * 6, 'correct horse']:\n"
        "    print(log_in('ana', password, '192.0.2.1'))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=page.env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = re.sub(r"\d+ seconds", "N seconds", done.stdout).splitlines()
    assert lines == [
        "Welcome, ana",
        *["401: Wrong user name or password"] * 5,
        *["429: Too many wrong passwords; try again in N seconds"] * 2,
    ]
    sources = system.query("SELECT DISTINCT source FROM audit WHERE source IS NOT NULL")
    assert sources == [("192.0.2.1",)]


def test_any_language_over_http(tmp_path: Path, system: RunningSystem, environment: dict[str, str]):
    """The four requests, with the answers that the page shows."""
    page = Page("integrate-http.md", tmp_path, environment)
    page.run("/block")
    page.run("6f1b0c5e")
    page.run("6f1b0c5e")
    page.run("90e2d7aa")
    assert page.not_run() == []
    counted = system.query(
        "SELECT count(*) FROM audit WHERE username = 'ana' AND user_agent = 'curl'"
    )
    assert counted == [(1,)]


MEASURED = """
from shop.settings import *

AUTHENTICATION_BACKENDS = ["shop.backends.ShopBackend"]
PASSWORD_HASHERS = ["measured.Quick"]
DATABASES["default"]["OPTIONS"] = {
    "timeout": 60,  # a hundred logins write at once
    "transaction_mode": "IMMEDIATE",
    "init_command": "PRAGMA journal_mode=WAL",
}


def __getattr__(name):
    if name != "Quick":
        raise AttributeError(name)
    from django.contrib.auth.hashers import PBKDF2PasswordHasher

    return type("Quick", (PBKDF2PasswordHasher,), {"iterations": 20_000})
"""
"""The page's settings, with a hash that two hundred guesses can have in a test's time."""


async def django_login(client: httpx.AsyncClient, user: str, password: str) -> httpx.Response:
    """Through Django's own page, with its CSRF token, as a browser has it."""
    page = await client.get("/admin/login/")
    token = page.cookies["csrftoken"]
    return await client.post(
        "/admin/login/?next=/admin/",
        data={"username": user, "password": password, "csrfmiddlewaretoken": token},
        headers={"Cookie": f"csrftoken={token}"},
    )


@pytest.fixture(scope="module")
def django_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for one project, as making it takes its time."""
    return tmp_path_factory.mktemp("django")


def test_a_django_project_as_its_page_makes_it(
    django_project: Path, system: RunningSystem, environment: dict[str, str]
):
    """Five times Django's own page says that the password is wrong; then nothing is said of it."""
    page = Page("integrate-django.md", django_project, environment)
    page.run("startproject")
    page.write_files()
    page.run("migrate")
    with page.serve("runserver") as url:
        (right,) = at_once(url, django_login, "ana", [RIGHT])
        assert (right.status_code, right.headers["Location"]) == (302, "/admin/")
        assert "sessionid" in right.cookies
        guesses = [at_once(url, django_login, "ana", ["guess"])[0] for _ in range(6)]
        assert [guess.status_code for guess in guesses] == [200] * 5 + [429]
        assert "Please enter the correct username" in guesses[0].text
        assert guesses[5].text.startswith("Too many wrong passwords")
        assert int(guesses[5].headers["Retry-After"]) in range(1770, 1801)
        (late,) = at_once(url, django_login, "ana", [RIGHT])
        assert (late.status_code, "sessionid" in late.cookies) == (429, False)
    assert_blocked(system, "ana")
    assert page.not_run() == []


def test_of_two_hundred_guesses_at_once_django_reveals_exactly_five(
    django_project: Path, system: RunningSystem, environment: dict[str, str]
):
    """At its real login view, in a real server; and of a hundred right ones it refuses none."""
    page = Page("integrate-django.md", django_project, environment)
    page.env |= {"DJANGO_SETTINGS_MODULE": "measured"}
    (django_project / "measured.py").write_text(MEASURED)
    done = subprocess.run(
        [sys.executable, "manage.py", "shell", "-c", ACCOUNTS],
        cwd=django_project,
        env=page.env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    server = (
        f"granian --interface wsgi --port {page.port} --blocking-threads 200 shop.wsgi:application"
    )
    with page.serving(server) as url:
        answers = at_once(url, django_login, "guessed", ["guess"] * (GUESSES - 1) + [RIGHT])
        *guesses, right = answers
        if right.status_code == 302:  # it stood before the block, and cleared the count
            assert statuses(guesses)[200] in range(5, 10)
        else:
            assert statuses(answers) == {200: 5, 429: GUESSES - 5}
        answers = at_once(url, django_login, "guessed-more", ["guess"] * GUESSES)
        assert statuses(answers) == {200: 5, 429: GUESSES - 5}
        assert_blocked(system, "guessed-more")
        assert statuses(at_once(url, django_login, "often-in-django", [RIGHT] * 100)) == {302: 100}


ACCOUNTS = """
from django.contrib.auth.models import User
for name in ("guessed", "guessed-more", "often-in-django"):
    User.objects.create_superuser(name, password="correct horse")
"""


def assert_five(url: str, log_in: LogIn, user: str, wrong: int) -> None:
    """A hundred right ones at once, then two hundred guesses, then a right one behind the block."""
    right = at_once(url, log_in, user, [RIGHT] * 100)
    assert all(answer.is_success or answer.is_redirect for answer in right), statuses(right)
    guesses = at_once(url, log_in, user, ["guess"] * GUESSES)
    assert statuses(guesses) == {wrong: 5, 429: GUESSES - 5}
    (late,) = at_once(url, log_in, user, [RIGHT])
    assert late.status_code == 429
    assert int(late.headers["Retry-After"]) in range(1770, 1801)


def test_fastapi_as_its_page_makes_it(
    tmp_path: Path, system: RunningSystem, environment: dict[str, str]
):
    """With FastAPI and without."""
    page = Page("integrate-fastapi.md", tmp_path, environment)
    page.run("pip install")
    page.write_files()
    with page.serve("granian") as url:
        page.run("correct horse")
        page.run("guess")
        assert_five(url, form_login, "ana", 401)
        assert statuses(at_once(url, form_login, "x", ["guess"])) == {400: 1}
    assert_blocked(system, "ana")
    assert page.not_run() == []
    with page.serving(f"granian --interface asgi --port {page.port} plain_shop:app") as url:
        assert_five(url, form_login, "ben", 401)


def test_flask_as_its_page_makes_it(
    tmp_path: Path, system: RunningSystem, environment: dict[str, str]
):
    """In its own server."""
    page = Page("integrate-flask.md", tmp_path, environment)
    page.run("pip install")
    page.write_files()
    with page.serve("flask --app") as url:
        page.run("correct horse")
        assert_five(url, form_login, "ana", 401)
    assert_blocked(system, "ana")
    assert page.not_run() == []


def test_logins_that_cannot_be_changed(
    tmp_path: Path, system: RunningSystem, environment: dict[str, str]
):
    """WSGI with a form, ASGI with JSON."""

    async def old_form(client: httpx.AsyncClient, user: str, password: str) -> httpx.Response:
        return await client.post("/login", data={"username": user, "password": password})

    async def old_json(client: httpx.AsyncClient, user: str, password: str) -> httpx.Response:
        return await client.post("/api/login", json={"email": user, "password": password})

    page = Page("integrate-middleware.md", tmp_path, environment)
    page.run("pip install")
    page.write_files()
    with page.serve("granian") as url:
        page.run("guess")
        assert_five(url, old_form, "ana", 200)
    assert_blocked(system, "ana")
    assert page.not_run() == []
    with page.serving(f"granian --interface asgi --port {page.port} guarded_api:app") as url:
        assert_five(url, old_json, "ben@example.com", 401)
        refused = httpx.post(
            f"{url}/api/login",
            content=b"{",
            headers={"Content-Type": "text/a"},
            timeout=PATIENCE_SECONDS,
        )
        assert refused.status_code == 415
        assert json.loads(refused.content) == {"error": "Send application/json in UTF-8"}
