"""A session after a login: by itself, and for pages behind a real nginx, as the document has it."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import shutil
import socket
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPResponse
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import requests
from joserfc import jws
from joserfc.jwk import KeySet
from playwright.async_api import Page as Tab
from playwright.async_api import Route, async_playwright, expect

from gateway.session_keys import drop_key, new_key
from gateway.sessions import Sessions
from gateway.web.json_body import BODY_MAX
from local import tcp_ports
from settings import Settings
from tests.acceptance.browsing import Visit
from tests.acceptance.raw import connect, exchange, request
from tests.acceptance.system import DEVICE_COOKIE, Client, RunningSystem, run
from tests.harness.browser import FLAGS, chromium
from tests.harness.page import PATIENCE_SECONDS, Page, make_venv
from tests.harness.waiting import NOT_HEARD
from tests.paths import PROJECT

RIGHT = "correct horse"
COOKIE = "__Host-cerrojo"
HOUR_MS = 3_600_000


def http(method: str, url: str, **options: Any) -> requests.Response:
    """A request on a connection of its own, to any process; again where it is `NOT_HEARD`."""
    while NOT_HEARD in (answer := requests.request(method, url, timeout=90, **options)).text:
        pass
    return answer


def register(system: RunningSystem, user: str) -> None:
    """An account that is there afterwards, if it was not."""
    body = {"user": user, "pass": RIGHT}
    assert http("POST", f"{system.login_url}/register", json=body).status_code in (201, 409)


def logged_in(url: str, user: str) -> requests.Response:
    """The answer to a login that was accepted."""
    answer = http("POST", f"{url}/login", json={"user": user, "pass": RIGHT})
    assert answer.status_code == 200, answer.text
    return answer


def token_of(system: RunningSystem, user: str) -> str:
    """A new session's."""
    register(system, user)
    return str(logged_in(system.login_url, user).json()["token"])


def shown(system: RunningSystem, token: str) -> requests.Response:
    """What the login port says of a token."""
    return http("GET", f"{system.login_url}/session", headers={"Authorization": f"Bearer {token}"})


def signed(file: Path, user: str, version: int, clock_ms: int) -> str:
    """A token as a gateway with these keys would give it at this time."""
    sessions = Sessions(Settings(session_keys_file=file), lambda: clock_ms)
    return sessions.begin(sessions.keys(), user, version)


def test_a_login_gives_a_session(system: RunningSystem):
    """Its answer has the token, its cookie, too; and both say whose it is until then."""
    user = "änna@example.com"
    register(system, user)
    answer = logged_in(system.login_url, user)
    said = answer.json()
    assert list(said) == ["success", "token", "expires_in"]
    assert (said["success"], said["expires_in"]) == (True, 900)
    assert answer.headers["Set-Cookie"].startswith(
        f"{COOKIE}={said['token']}; Max-Age=900; Path=/; HttpOnly; SameSite=Lax; Secure, "
    )
    by_program = {"Authorization": f"Bearer {said['token']}"}
    by_browser = {"Cookie": f"theme=dark; {COOKIE}={said['token']}"}
    for headers in (by_program, by_browser):
        found = http("GET", f"{system.login_url}/session", headers=headers)
        assert (found.status_code, found.json()["user"]) == (200, user)
        assert found.json()["expires_in"] in range(800, 901)
        assert found.headers["X-Cerrojo-User"] == "%C3%A4nna@example.com"
        assert found.headers["Cache-Control"] == "no-store"
        head = http("HEAD", f"{system.login_url}/session", headers=headers)
        assert (head.status_code, head.headers["X-Cerrojo-User"]) == (
            200,
            "%C3%A4nna@example.com",
        )
    out = http("POST", f"{system.login_url}/logout", headers=by_browser)
    assert (out.status_code, out.json()) == (200, {"success": True})
    assert out.headers["Set-Cookie"].startswith(f"{COOKIE}=; Max-Age=0; Path=/;")
    # A form on a page of another site gets nobody out.
    elsewhere = by_browser | {"Sec-Fetch-Site": "cross-site"}
    out = http("POST", f"{system.login_url}/logout", headers=elsewhere)
    assert (out.status_code, out.headers.get("Set-Cookie")) == (403, None)


def test_anybody_can_verify_it(system: RunningSystem):
    """By the published keys, which may be kept for a while."""
    token = token_of(system, "verified-elsewhere")
    answer = http("GET", f"{system.login_url}/.well-known/jwks.json")
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Cache-Control"] == "public, max-age=300"
    keys = KeySet.import_key_set(answer.json())
    with pytest.warns(match="RFC 9864"):
        found = jws.deserialize_compact(token, keys, algorithms=["EdDSA"])
    claims = json.loads(found.payload)
    ((version,),) = system.query(
        "SELECT version FROM accounts WHERE username = 'verified-elsewhere'"
    )
    assert claims["exp"] - claims["iat"] == 900
    assert abs(claims["iat"] - time.time()) < 60
    assert {name: claims[name] for name in ("iss", "sub", "aud", "ver")} == {
        "iss": "cerrojo",
        "sub": "verified-elsewhere",
        "aud": "cerrojo",
        "ver": version,
    }


def test_a_refused_login_gives_no_session(system: RunningSystem):
    """Neither a token nor a cookie."""
    register(system, "not-let-in")
    body = {"user": "not-let-in", "pass": "a wrong password"}
    for status in (401, 401, 401, 401, 401, 429):
        answer = http("POST", f"{system.login_url}/login", json=body)
        assert answer.status_code == status
        assert "Set-Cookie" not in answer.headers
        assert "token" not in answer.json()


CHANGES = {
    "another version": "UPDATE accounts SET version = version + 1 WHERE username = %s RETURNING 1",
    "disabled": "UPDATE accounts SET disabled = true WHERE username = %s RETURNING 1",
    "deleted": "DELETE FROM accounts WHERE username = %s RETURNING 1",
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_of_the_account_ends_its_sessions(system: RunningSystem, change: str):
    """All of them, at once, on every process."""
    user = f"changed-{change.replace(' ', '-')}"
    tokens = [token_of(system, user) for _ in range(2)]
    assert [shown(system, token).status_code for token in tokens] == [200, 200]
    assert system.query(CHANGES[change], user) == [(1,)]
    for _ in range(8):  # whichever process it is
        for token in tokens:
            refused = shown(system, token)
            assert (refused.status_code, refused.json()["code"]) == (401, "no_session")


def test_a_block_ends_no_session(system: RunningSystem):
    """Others' guesses must not log anybody out."""
    token = token_of(system, "guessed-at-in-a-session")

    async def scenario(client: Client) -> None:
        for status in [401] * 5 + [429]:
            assert (
                await client.login("guessed-at-in-a-session", "a wrong password")
            ).status == status

    run(system, scenario)
    assert shown(system, token).status_code == 200


def test_a_key_is_replaced_without_a_logout(system: RunningSystem):
    """In processes that run; dropping the former key ends what that has signed."""
    before = token_of(system, "outlives-a-key")
    keys = new_key(system.session_keys_file)
    _, former = keys.verifying
    after = token_of(system, "outlives-a-key")
    for _ in range(8):  # whichever process it is
        assert [shown(system, token).status_code for token in (before, after)] == [200, 200]
    drop_key(system.session_keys_file, former)
    for _ in range(8):
        assert [shown(system, token).status_code for token in (before, after)] == [401, 200]


def forged(system: RunningSystem, folder: Path) -> dict[str, str]:
    """Tokens for an account that is there, each wrong in its way."""
    right = token_of(system, "wanted")
    ((version,),) = system.query("SELECT version FROM accounts WHERE username = 'wanted'")
    now_ms = int(time.time() * 1000)
    other = folder / "other-keys.json"
    new_key(other)
    head, claims, signature = right.split(".")
    none = base64.urlsafe_b64encode(b'{"alg":"none"}').decode().rstrip("=")
    return {
        "wrong": "nonsense",
        "altered": ".".join((head, claims, signature[:-8] + "AAAAAAAA")),
        "of another key": signed(other, "wanted", version, now_ms),
        "ended": signed(system.session_keys_file, "wanted", version, now_ms - HOUR_MS),
        "not begun": signed(system.session_keys_file, "wanted", version, now_ms + HOUR_MS),
        "of a former version": signed(system.session_keys_file, "wanted", version - 1, now_ms),
        "of nobody": signed(system.session_keys_file, "nobody-there", version, now_ms),
        "alg none": f"{none}.{claims}.",
        "huge": f"{head}.{claims * 20}.{signature}",
    }


def test_any_other_token_is_refused(system: RunningSystem, tmp_path: Path):
    """401 with its code, and what to show instead; one for that account and time is let in."""
    for name, token in forged(system, tmp_path).items():
        refused = shown(system, token)
        assert (refused.status_code, refused.json()["code"]) == (401, "no_session"), name
        assert refused.headers["WWW-Authenticate"] == "Bearer"
        assert "X-Cerrojo-User" not in refused.headers
    ((version,),) = system.query("SELECT version FROM accounts WHERE username = 'wanted'")
    now_ms = int(time.time() * 1000)
    right = signed(system.session_keys_file, "wanted", version, now_ms)
    assert shown(system, right).json()["user"] == "wanted"


def test_a_request_for_a_session_may_have_a_body(system: RunningSystem):
    """A proxy may send that of the page's request along; the connection is good afterwards.

    Also where the body comes late. One that is as long as nobody's that is looked at is refused.
    """
    token = token_of(system, "with-a-body")
    headers = {"Authorization": f"Bearer {token}"}
    with closing(connect(system.login_url)) as connection:
        for size in (10, BODY_MAX, 0):
            data = request("GET", "/session", b"x" * size, headers=headers)
            connection.sendall(data[: len(data) - size])
            connection.sendall(data[len(data) - size :])
            answer = HTTPResponse(connection)
            answer.begin()
            assert (answer.status, json.loads(answer.read())["user"]) == (200, "with-a-body")
    too_long = request("GET", "/session", b"x" * (BODY_MAX + 1), headers=headers)
    assert exchange(system.login_url, too_long).status == 413


@pytest.fixture(scope="module")
def site(system: RunningSystem, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """The document, whose nginx and page run, and whose user has an account."""
    assert shutil.which("nginx", path="/usr/sbin:/usr/bin"), (
        "There is no nginx; install one, as with `apt install nginx-light`, to test what the "
        "document says of it."
    )
    folder = tmp_path_factory.mktemp("site")
    behind = str(tcp_ports.choose("127.0.0.1"))
    login = str(urlsplit(system.login_url).port)
    replace = {"8001": behind, "3000": login}
    if os.geteuid() == 0:  # else its workers may not read what is only root's
        replace["daemon off;"] = "daemon off; user root;"
    page = Page("integrate-session.md", folder, {}, replace)
    assert_blocks_say(page, "CERROJO_SESSION_KEYS_FILE=$PWD/session-keys.json make up")
    page.write_files()
    if system.query("SELECT 1 FROM accounts WHERE username = 'ana'") == []:
        page.run("/register")
    system.lift("ana")
    with page.serve("nginx -e"):
        until = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                socket.create_connection(("127.0.0.1", int(behind)), 1.0).close()
                break
            except OSError:
                assert time.monotonic() < until, (folder / "server.log").read_text()
        yield page


def assert_blocks_say(page: Page, *commands: str) -> None:
    """These are there for a reader, and do what the running system has been started with."""
    for command in commands:
        (block,) = [block for block in page.not_run() if block.text == f"{command}\n"]
        page.not_run().remove(block)


def test_the_page_behind_nginx_as_the_document_makes_it(site: Page):
    """Each of its commands, in its order, with the output that it shows."""
    site.run("refused.html")
    assert "<form method" in (site.folder / "refused.html").read_text()
    assert "This page is for ana" in site.run("-b cookies http")
    site.run("Bearer $TOKEN")
    site.run("/logout")
    # What is for other servers than nginx, and the key, which another test makes.
    assert {block.language for block in site.not_run()} == {"sh", "caddyfile", "yaml"}


def test_an_impatient_person_is_sent_one_login(system: RunningSystem, site: Page, visit: Visit):
    """However often they press Enter: each would count, and five wrong ones lock them out."""

    async def scenario(_client: Client, tab: Tab) -> None:
        asked: asyncio.Queue[Route] = asyncio.Queue()
        await tab.route(
            "**/login.html",
            lambda route: route.fulfill(path=site.folder / "login.html", content_type="text/html"),
        )
        await tab.route("**/login", asked.put)
        await tab.goto(f"{system.operator_url}/login.html")
        await tab.locator("[name=user]").fill("ana")
        await tab.locator("[name=pass]").fill(RIGHT)
        await tab.keyboard.press("Enter")
        first = await asyncio.wait_for(asked.get(), 90)
        await expect(tab.locator("button")).to_be_disabled()
        await tab.keyboard.press("Enter")
        await first.fulfill(body="of nginx")
        await expect(tab.locator("button")).to_be_enabled()
        assert asked.empty()

    visit(system, scenario)


def test_the_key_of_the_document_is_one(tmp_path: Path):
    """Made as it says."""
    make_venv(tmp_path)
    page = Page("integrate-session.md", tmp_path, {"PYTHONPATH": str(PROJECT)})
    page.run("new-key session-keys.json")
    sessions = Sessions(Settings(session_keys_file=tmp_path / "session-keys.json"), lambda: 0)
    assert sessions.session_of(sessions.begin(sessions.keys(), "ana", 1).encode()).user == "ana"


def test_nothing_else_opens_the_page(system: RunningSystem, site: Page, tmp_path: Path):
    """Neither as a program's token nor as a browser's, whatever else the request says."""
    tokens = {**forged(system, tmp_path), "none": "", "the user's name": "ana"}
    for name, token in tokens.items():
        for headers in (
            {"Authorization": f"Bearer {token}".strip()},
            {"Cookie": f"{COOKIE}={token}"},
            {"Cookie": f"{COOKIE}={token}", "X-Cerrojo-User": "ana", "X_Cerrojo_User": "ana"},
        ):
            for method, path in (("GET", "/"), ("POST", "/a/b?c"), ("GET", "/session/")):
                refused = http(method, f"{site.url}{path}", headers=headers)
                assert refused.status_code == 401, (name, headers)
                assert "This page is for" not in refused.text
    # A request cannot ask nginx' own questions itself, and gets no other file.
    for path in ("/session", "/login.html", "/nginx.conf", "/site.conf"):
        answer = http("GET", f"{site.url}{path}")
        assert answer.status_code in (401, 404)
        assert "auth_request" not in answer.text


def test_a_client_cannot_choose_its_name(system: RunningSystem, site: Page):
    """The header that the page reads is the gateway's, with and without a session."""
    token = token_of(system, "änna@example.com")
    headers = {"Authorization": f"Bearer {token}", "X-Cerrojo-User": "ana", "X_Cerrojo_User": "ana"}
    assert http("GET", site.url, headers=headers).text == "This page is for änna@example.com\n"


def test_through_nginx_five_mean_five_and_a_hundred_get_in(system: RunningSystem, site: Page):
    """Guesses at once, and right ones at once."""

    async def at_once(user: str, passwords: list[str]) -> list[httpx.Response]:
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
        async with httpx.AsyncClient(base_url=site.url, limits=limits, timeout=90) as client:

            async def log_in(password: str) -> httpx.Response:
                body = {"user": user, "pass": password}
                while NOT_HEARD in (answer := await client.post("/login", json=body)).text:
                    pass
                return answer

            return await asyncio.gather(*map(log_in, passwords))

    for user in ("guessed-through-nginx", "often-through-nginx"):
        register(system, user)
    guesses = asyncio.run(at_once("guessed-through-nginx", ["a wrong password"] * 200))
    assert Counter(answer.status_code for answer in guesses) == {401: 5, 429: 195}
    right = asyncio.run(at_once("often-through-nginx", [RIGHT] * 100))
    assert Counter(answer.status_code for answer in right) == {200: 100}
    assert len({answer.json()["token"] for answer in right}) == 100


def test_a_person_logs_in_with_a_browser(system: RunningSystem, site: Page):
    """The login stands where the page would, says what is wrong, and then gives way to it."""
    register(system, "with-a-browser")

    async def scenario() -> None:
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
            tab = await browser.new_page()
            await tab.goto(f"{site.url}/deep/page?of=mine")
            await tab.get_by_label("Name").fill("with-a-browser")
            await tab.get_by_label("Password").fill("a wrong password")
            await tab.get_by_role("button").click()
            said = tab.locator("output")
            await expect(said).to_have_text("Wrong password")
            away = "<html><h1>502 Bad Gateway</h1></html>"  # nginx', where the gateway is away
            await tab.route("**/login", lambda route: route.fulfill(status=502, body=away))
            await tab.get_by_role("button").click()
            await expect(said).to_have_text("The login does not answer. Try again in a moment.")
            await tab.unroute("**/login")
            await tab.get_by_label("Password").fill(RIGHT)
            await tab.get_by_role("button").click()
            await expect(tab.get_by_text("This page is for with-a-browser")).to_be_visible()
            assert tab.url == f"{site.url}/deep/page?of=mine"
            cookies: list[Any] = await tab.context.cookies()
            kept = {each["name"]: each["httpOnly"] for each in cookies}
            assert kept == {COOKIE: True, DEVICE_COOKIE: True}
            await tab.evaluate("fetch('/logout', {method: 'POST'})")
            await tab.reload()
            await expect(tab.get_by_label("Name")).to_be_visible()
            await browser.close()

    asyncio.run(scenario())


def test_no_token_is_written_down(system: RunningSystem):
    """Nor a key: neither in a log nor in a page of metrics, accepted or refused."""
    token = token_of(system, "kept-secret")
    keys = json.loads(system.session_keys_file.read_text())["keys"]
    wrong = signed(system.session_keys_file, "kept-secret", 1, 0)
    for sent in (token, wrong, token[:-5]):
        shown(system, sent)
    text = system.logs() + http("GET", f"{system.operator_url}/metrics").text
    assert text
    for secret in (*(key["d"] for key in keys), token.split(".")[2], wrong.split(".")[2]):
        assert secret[:-8] not in text
