"""The backend in Django, by its own `authenticate`, with accounts in SQLite."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import django
import httpx
import pytest
from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse

from cerrojo_client import Cerrojo, CerrojoError
from tests.unit.clients.python.fake import TOKEN, FakeCerrojo, error

HERE = "tests.unit.clients.python.cerrojo_client.test_django"

checked: list[str] = []
"""The names whose password was checked, by either backend."""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Django, set up once in this process, with an account ana and one that is not active."""
    database: Path = tmp_path_factory.mktemp("django") / "db.sqlite3"
    settings.configure(
        INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes"],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": database}},
        AUTHENTICATION_BACKENDS=["cerrojo_client.django.CerrojoBackend", f"{HERE}.LaterBackend"],
        PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
        CERROJO_URL="http://cerrojo",
        CERROJO_TOKEN=TOKEN,
        CERROJO_ON_UNDECIDED="refuse",
    )
    django.setup()
    from django.contrib.auth.models import User
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    User.objects.create_user("ana", password="right")
    User.objects.create_user("gone", password="right", is_active=False)


class LaterBackend:
    """Would let anybody in."""

    def authenticate(self, request: Any, username: str, password: str) -> Any:
        """Must not be asked."""
        raise AssertionError("a later backend was asked")


@pytest.fixture
def backend(project: None, fake: FakeCerrojo, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The module, whose client talks to the fake, and whose checks are noted."""
    from django.contrib.auth.backends import ModelBackend
    from django.db import connections

    import cerrojo_client.django as module

    def noted(self: Any, request: Any, username: Any = None, password: Any = None) -> Any:
        checked.append(username)
        return plain(self, request, username, password)

    plain = ModelBackend.authenticate
    monkeypatch.setattr(ModelBackend, "authenticate", noted)
    transport = httpx.MockTransport(fake)
    client = Cerrojo("http://cerrojo", TOKEN, deadline=0.1, transport=transport)
    monkeypatch.setattr(module, "client", lambda: client)
    checked.clear()
    yield module
    connections.close_all()


def authenticate(password: str, user: str = "ana", request: HttpRequest | None = None) -> Any:
    """Django's own, as all its views call it."""
    from django.contrib.auth import authenticate

    return authenticate(request, username=user, password=password)


def test_five_are_checked_and_then_none(backend: Any, fake: FakeCerrojo):
    """Not even a right one, and no later backend is asked about any."""
    assert authenticate("right").get_username() == "ana"
    assert [authenticate("guess") for _ in range(10)] == [None] * 10
    assert authenticate("right") is None
    assert len(checked) == 6
    assert [body["outcome"] for body in fake.bodies] == ["right", *["wrong"] * 5]


def test_a_right_one_behind_the_block_is_refused(
    backend: Any, fake: FakeCerrojo, monkeypatch: pytest.MonkeyPatch
):
    """The block came while the password was checked."""

    def checked_late(*arguments: Any, **options: Any) -> Any:
        fake.failures["ana"] = 5
        return noted(*arguments, **options)

    from django.contrib.auth.backends import ModelBackend

    noted = ModelBackend.authenticate
    monkeypatch.setattr(ModelBackend, "authenticate", checked_late)
    assert authenticate("right") is None
    assert checked == ["ana"]


def test_the_asynchronous_way_is_no_way_around(backend: Any, fake: FakeCerrojo):
    """Django's ModelBackend has one of its own, which would check the password by itself."""
    from django.contrib.auth import aauthenticate

    async def guessed() -> list[Any]:
        return [await aauthenticate(None, username="ana", password="guess") for _ in range(7)]

    assert asyncio.run(guessed()) == [None] * 7
    assert len(fake.bodies) == 5
    assert fake.failures["ana"] == 5


@pytest.mark.parametrize("broken", ["the client", "the check"])
@pytest.mark.parametrize("asynchronous", [False, True])
def test_no_report_of_an_error_has_the_password(
    backend: Any,
    fake: FakeCerrojo,
    monkeypatch: pytest.MonkeyPatch,
    broken: str,
    asynchronous: bool,
):
    """It has the variables of each frame, and goes to administrators and services."""
    from django.contrib.auth import aauthenticate
    from django.contrib.auth.backends import ModelBackend
    from django.views.debug import ExceptionReporter

    def fail(self: Any, request: Any, username: str, password: str) -> Any:
        raise CerrojoError(500, "broken", "for a test")

    if broken == "the client":
        fake.trouble.append(error(401, "unauthorized"))
    else:
        monkeypatch.setattr(ModelBackend, "authenticate", fail)

    async def guess() -> Any:
        return await aauthenticate(None, username="ana", password="typed-password")

    with pytest.raises(CerrojoError) as raised:
        asyncio.run(guess()) if asynchronous else authenticate("typed-password")
    reporter = ExceptionReporter(None, raised.type, raised.value, raised.tb)
    frames = [
        f for f in reporter.get_traceback_frames() if "python/cerrojo_client" in f["filename"]
    ]
    frames = [f for f in frames if "/tests/" not in f["filename"]]
    assert len(frames) > 2
    assert not [f["function"] for f in frames if "typed-password" in str(f["vars"])]


def test_a_name_is_counted_as_the_account_has_it(
    backend: Any, fake: FakeCerrojo, monkeypatch: pytest.MonkeyPatch
):
    """Some databases find ana by other spellings, and each would have five guesses."""
    from django.contrib.auth.models import User

    manager = type(User._default_manager)
    plain = manager.get_by_natural_key
    monkeypatch.setattr(
        manager, "get_by_natural_key", lambda self, name: plain(self, name.replace("á", "a"))
    )
    for name in ("ana", "aná", "ána"):
        authenticate("guess", name)
    assert fake.failures == {"ana": 3}


@pytest.mark.parametrize("user", ["nobody-has-it", "gone"])
def test_an_account_that_cannot_log_in_is_counted_like_others(
    backend: Any, fake: FakeCerrojo, user: str
):
    """Nothing tells it apart."""
    assert authenticate("right", user) is None
    assert fake.failures == {user: 1}


def test_credentials_of_another_kind_are_another_backend_s(backend: Any, fake: FakeCerrojo):
    """There is no password in them to count."""
    assert backend.CerrojoBackend().authenticate(None, token="abc") is None
    assert fake.requests == []


def test_a_backend_that_refuses_by_raising_has_refused(backend: Any, fake: FakeCerrojo):
    """It counts."""

    class Refusing:
        def authenticate(self, request: Any, username: str, password: str) -> Any:
            raise PermissionDenied

    class Mine(backend.CerrojoMixin, Refusing):  # type: ignore[misc,name-defined]
        pass

    with pytest.raises(PermissionDenied):
        Mine().authenticate(None, "ana", "right")
    assert fake.failures == {"ana": 1}


def test_who_listens_for_failed_logins_hears_of_them(backend: Any, fake: FakeCerrojo):
    """Also of those that are refused unseen."""
    from django.contrib.auth.signals import user_login_failed

    heard: list[str] = []

    def listen(sender: Any, credentials: dict[str, str], **more: Any) -> None:
        heard.append(credentials["username"])

    user_login_failed.connect(listen)
    try:
        for _ in range(7):
            authenticate("guess")
    finally:
        user_login_failed.disconnect(listen)
    assert heard == ["ana"] * 7


@pytest.mark.parametrize(
    ("failures", "down", "status", "retry_after"),
    [(0, False, 200, None), (5, False, 429, "1800"), (0, True, 503, "1")],
)
def test_the_middleware_says_what_the_page_would_not(
    backend: Any,
    fake: FakeCerrojo,
    failures: int,
    down: bool,
    status: int,
    retry_after: str | None,
):
    """The page's own answer stands where it may tell."""
    from cerrojo_client.django_middleware import cerrojo_middleware

    def view(request: HttpRequest) -> HttpResponse:
        wrapped = type("Request", (), {"_request": request, "META": request.META})()  # as DRF's
        return HttpResponse(f"the page: {authenticate('guess', request=wrapped)}")

    fake.failures["ana"] = failures
    fake.down = down
    response = cerrojo_middleware(view)(HttpRequest())
    assert (response.status_code, response.headers.get("Retry-After")) == (status, retry_after)
    assert (b"the page" in response.content) == (status == 200)


def test_a_login_after_a_refused_one_is_answered_by_its_page(backend: Any, fake: FakeCerrojo):
    """As in a view that tries two names."""
    from cerrojo_client.django_middleware import cerrojo_middleware

    def view(request: HttpRequest) -> HttpResponse:
        fake.failures["ben"] = 5
        authenticate("guess", "ben", request)
        return HttpResponse(authenticate("right", "ana", request).get_username())

    assert cerrojo_middleware(view)(HttpRequest()).content == b"ana"
