"""Any request gets a documented status and a sentence, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import json
import random
import unicodedata
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

import pytest
from confluent_kafka import Message, Producer

from events.messages import VERDICT_PARTITIONS, Attempt, Unblock, encode, new_id
from events.partitioner import partition_of
from events.topics import ATTEMPTS
from tests.acceptance.raw import chunked, credentials, exchange, request
from tests.acceptance.system import (
    SERVICE_TOKEN,
    Answer,
    Client,
    RunningSystem,
    run,
    statuses,
)
from tests.harness.operators import OPERATOR

BODY_MAX = 16_384  # bytes, as documented
TEN_MEGABYTES = 10_000_000
SENDING = ("/login", "/register")
CHECKED_WHATEVER_ITS_LENGTH = {"a pass too short", "a pass too long", "a pass too long in bytes"}
"""Only where a password is set these are malformed."""

BAD_BODIES: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "not JSON"),
    "not JSON": (b"user=anna&pass=a+wrong+password", "not JSON"),
    "JSON and more": (credentials() + b"{}", "not JSON"),
    "NaN": (b'{"user": NaN, "pass": "a wrong password"}', "not JSON"),
    "UTF-16": (credentials().decode().encode("utf-16"), "not JSON in UTF-8"),
    "Latin-1": ('{"user": "änna", "pass": "a wrong password"}'.encode("latin-1"), "in UTF-8"),
    "an array": (b'["anna", "a wrong password"]', "must be an object"),
    "a string": (b'"anna"', "must be an object"),
    "a number": (b"5", "must be an object"),
    "null": (b"null", "must be an object"),
    "no fields": (b"{}", 'no "user"'),
    "no user": (b'{"pass": "a wrong password"}', 'no "user"'),
    "no pass": (b'{"user": "anna"}', 'no "pass"'),
    "another field": (credentials()[:-1] + b', "admin": true}', "field besides"),
    "user is a number": (credentials(5), "user must be a string"),
    "user is an array": (credentials(["anna"]), "user must be a string"),
    "user is null": (credentials(None), "user must be a string"),
    "pass is a boolean": (credentials(password=True), "pass must be a string"),
    "pass is an object": (credentials(password={}), "pass must be a string"),
    "pass is null": (credentials(password=None), "pass must be a string"),
    "an empty user": (credentials(""), "user is empty"),
    "an empty pass": (credentials(password=""), "pass is empty"),
    "a user of spaces": (credentials("   "), "user contains a space"),
    "a user too short": (credentials("an"), "user must have 3 to 254 characters"),
    "a user too long": (credentials("a" * 255), "user must have 3 to 254 characters"),
    "a user far too long": (credentials("ä" * 2000), "user must have 3 to 254 characters"),
    "a pass too short": (credentials(password="7 bytes"), "at least 8 characters"),
    "a pass too long": (credentials(password="a" * 1025), "at most 1024 bytes"),
    "a pass too long in bytes": (credentials(password="ä" * 513), "at most 1024 bytes"),
    "a line feed in user": (credentials("an\nna"), "user contains a control character"),
    "a bell in pass": (credentials(password="a \a password"), "pass contains a control character"),
    "a raw line feed": (credentials().replace(b"anna", b"an\nna"), "not JSON"),
    "NUL in user": (credentials("an\0na"), "user contains a control character"),
    "NUL in pass": (credentials(password="a \0 password"), "pass contains a control character"),
    "a raw NUL": (credentials().replace(b"anna", b"an\0na"), "not JSON"),
    "half a surrogate in user": (credentials("an\ud800na"), "not JSON"),
    "half a surrogate in pass": (credentials(password="a \udfff password"), "not JSON"),
    "half a surrogate in bytes": (credentials().replace(b"nn", b"\xed\xa0\x80"), "in UTF-8"),
    "an emoji in user": (credentials("an\N{GRINNING FACE}na"), "user contains a character that"),
    "markup in user": (credentials("<img src=x onerror=alert(1)>"), "user contains a space"),
    "deep nesting": (b"[" * BODY_MAX, "must be an object"),
    "deep nesting of user": (b'{"user":' * (BODY_MAX // 8), "user must be a string"),
    "deep nesting of a third": (
        b'{"user": "anna", "pass": "a wrong password", "x":' + b"[" * 16_000,
        "field besides",
    ),
}

COSTLY_PASSWORDS = {
    "Katakana middle dots": "\u30fb" * 4095 + "\u30ab",
    "Arabic digits": "\u0660" * 4096,
    "marks in the wrong order": "\u0344" * 2000 + "\u0f81" * 2000,
}
"""An algorithm of quadratic time takes up to seven seconds for one of these."""

NOT_ALLOWED = {
    "login": {
        ("GET", "/login"): "POST",
        ("PUT", "/register"): "POST",
        ("DELETE", "/login"): "POST",
        ("GET", "/attempts"): "POST",
        ("GET", "/password"): "POST",
        ("POST", "/attempts/anna/block"): "GET",
        ("POST", "/session"): "GET",
        ("GET", "/logout"): "POST",
        ("DELETE", "/.well-known/jwks.json"): "GET",
    },
    "operator": {
        ("POST", "/blocked"): "DELETE",
        ("PUT", "/blocked/anna"): "DELETE",
        ("DELETE", "/attempts"): "GET",
        ("GET", "/accounts"): "POST",
        ("POST", "/accounts/anna"): "PATCH",
        ("PUT", "/accounts/anna"): "DELETE",
        ("POST", "/metrics"): "GET",
        ("POST", "/"): "GET",
    },
}

UNKNOWN = {
    "login": [
        "/",
        "/logins",
        "/login/",
        "/session/",
        "/blocked",
        "/blocked/anna",
        "/accounts",
        "/metrics",
        "/openapi.json",
    ],
    "operator": ["/login", "/register", "/blocked/", "/static/", "/static/..%2fapp.py", "/nothing"],
}

BAD_QUERIES: dict[str, str] = {
    "/blocked?limit=0": "limit must be a number from 1 to 100000",
    "/blocked?limit=-1": "limit must be a number",
    "/blocked?limit=100001": "limit must be a number",
    "/blocked?limit=ten": "limit must be a number",
    "/blocked?limit=": "limit must be a number",
    "/blocked?limit=%D9%A3": "limit must be a number",  # an Arabic three
    "/blocked?limit=" + "9" * 4000: "limit must be a number",
    "/blocked?" + "a&" * 6600: "query must have at most 13000 bytes",
    "/blocked?after=an%00na": "after must have",
    "/blocked?after=" + "a" * 1017: "after must have",
    "/blocked?details=2": "details must be 1",
    "/blocked?text=anna": "text needs details=1",
    "/blocked?details=1&limit=1001": "limit must be a number from 1 to 1000",
    "/blocked?details=1&after=anna": "after must be what `next` of the page before said",
    "/blocked?details=1&since=yesterday": "since must be a time in ISO 8601",
    "/blocked?details=1&text=an%00na": "text must have",
    "/attempts?user=": "user is empty",
    "/attempts?source=localhost": "source must be an IP address",
    "/attempts?verdict=right": "verdict must be one of accepted, rejected, blocked",
    "/attempts?from=" + "9" * 4000: "from must be a time in ISO 8601",
    "/attempts?to=2026-11-28T09:30:00+01:00": "with + written as %2B",
    "/attempts?day=2026-11-31": "day must be a day in UTC",
    "/attempts?day=2026-11-28&to=2026-11-28": "Give either day, or from and to",
    "/attempts?after=k88AAAGdC-ZdAAER%00": "after must be what `next` of the page before said",
    "/policy/history?limit=0": "limit must be a number from 1 to 1000",
    "/attempts?user=an": "user must have 3 to 254 characters",
    "/attempts?user=an%00na": "user contains a control character",
    "/attempts?user=an%F0%9F%98%80na": "user contains a character",
    "/attempts?user=" + "%E3%83%BB" * 256: "user must have 3 to 254 characters",
    "/attacks?limit=1001": "limit must be a number from 1 to 1000",
    "/attempts?user=anna&limit=10001": "limit must be a number from 1 to 10000",
    "/attempts?user=" + "a" * 13_100: "query must have at most 13000 bytes",
    "/blocked/an": "user must have 3 to 254 characters",
    "/blocked/an%00na": "user contains a control character",
    "/blocked/an%F0%9F%98%80na": "user contains a character",
    "/blocked/an%20na": "user contains a space",
    "/blocked/%FF%FE%FD": "user contains a character",
    "/blocked/" + "a" * 3000: "user must have 3 to 254 characters",
    "/blocked/" + "%E3%83%BB" * 256: "user must have 3 to 254 characters",
}


CODES = {
    400: "invalid",
    401: "unauthorized",
    404: "not_found",
    405: "method_not_allowed",
    408: "too_slow",
    413: "too_large",
    415: "not_json",
    421: "foreign_host",
}
"""Of refusals of bad input, by status."""


@pytest.fixture
def nothing_kept(system: RunningSystem) -> Iterator[None]:
    """The requests of a test leave no record, account, count or quarantined bytes, and no error."""

    def kept() -> tuple[object, ...]:
        tables = ("audit", "quarantine", "accounts", "lock_states")
        rows = (system.query(f"SELECT count(*) FROM {table}")[0][0] for table in tables)
        errors = (system.folder / "gateway.log").read_text().count("level=error")
        return system.log_size(), *rows, errors

    before = kept()
    yield
    assert kept() == before


def assert_refused(answer: Answer, status: int, says: str) -> None:
    """The documented status, a sentence that says what is wrong, and its code."""
    assert answer.status == status, answer
    assert list(answer.body) == ["error", "code"]
    assert says in answer.body["error"]
    assert answer.body["code"] == CODES[status]
    assert answer.headers["Content-Type"] == "application/json"


SERVICE = {"Authorization": f"Bearer {SERVICE_TOKEN}"}


def attempted(**changes: object) -> bytes:
    """The body of a service's attempt, but for these members; None leaves one out."""
    body = {"user": "anna", "outcome": "wrong", **changes}
    return json.dumps({name: value for name, value in body.items() if value is not None}).encode()


BAD_ATTEMPTS: dict[str, tuple[bytes, Mapping[str, str], int, str]] = {
    "not JSON": (b"user=anna&outcome=right", {}, 400, "not JSON"),
    "an array": (b'["anna", "right"]', {}, 400, "must be an object"),
    "no user": (attempted(user=None), {}, 400, 'no "user"'),
    "no outcome": (attempted(outcome=None), {}, 400, 'no "outcome"'),
    "another outcome": (attempted(outcome="maybe"), {}, 400, 'outcome must be "right" or "wrong"'),
    "a boolean outcome": (attempted(outcome=True), {}, 400, 'outcome must be "right" or "wrong"'),
    "another field": (attempted(password="secret"), {}, 400, "a field besides"),
    "a user too short": (attempted(user="an"), {}, 400, "user must have 3 to 254"),
    "NUL in user": (attempted(user="an\0na"), {}, 400, "a control character"),
    "no address": (attempted(source="localhost"), {}, 400, "source must be an IP address"),
    "an empty address": (attempted(source=""), {}, 400, "source must be an IP address"),
    "an address and a port": (attempted(source="192.0.2.7:80"), {}, 400, "an IP address"),
    "a network": (attempted(source="192.0.2.0/24"), {}, 400, "source must be an IP address"),
    "an address and more": (attempted(source="fe80::1%\0"), {}, 400, "must be an IP address"),
    "a number as address": (attempted(source=3221225991), {}, 400, "source must be a string"),
    "a user agent too long": (attempted(user_agent="a" * 513), {}, 400, "at most 512 characters"),
    "an empty key": (attempted(), {"Idempotency-Key": ""}, 400, "1 to 255 visible ASCII"),
    "a key too long": (attempted(), {"Idempotency-Key": "k" * 256}, 400, "1 to 255 visible ASCII"),
    "a key with a space": (attempted(), {"Idempotency-Key": "a key"}, 400, "1 to 255 visible"),
    "a key that is no ASCII": (attempted(), {"Idempotency-Key": "ké"}, 400, "1 to 255 visible"),
    "too large": (attempted() + b" " * BODY_MAX, {}, 413, "at most 16384 bytes"),
    "a form": (attempted(), {"Content-Type": "text/plain"}, 415, "must be application/json"),
    "no token": (attempted(), {"Authorization": ""}, 401, "Bearer, and a token"),
    "no bearer": (attempted(), {"Authorization": f"Basic {SERVICE_TOKEN}"}, 401, "Bearer, and a"),
    "a wrong token": (attempted(), {"Authorization": "Bearer of-nobody"}, 401, "none of a service"),
    "two tokens": (
        *(attempted(), {"Authorization": f"Bearer {SERVICE_TOKEN} {SERVICE_TOKEN}"}),
        *(401, "none of a service"),
    ),
}


@pytest.mark.usefixtures("nothing_kept")
@pytest.mark.parametrize("attempt", BAD_ATTEMPTS)
def test_an_attempt_that_is_none_is_refused(system: RunningSystem, attempt: str):
    """The documented status and code, and no trace of it. Whoever has no token hears of that."""
    body, headers, status, says = BAD_ATTEMPTS[attempt]
    data = request("POST", "/attempts", body, headers=SERVICE | headers)
    answer = exchange(system.login_url, data)
    assert_refused(answer, status, says)
    assert (answer.headers.get("WWW-Authenticate") == "Bearer") is (status == 401)
    if status == 401:
        for garbage in (b"", b"{"):
            data = request("POST", "/attempts", garbage, headers=SERVICE | headers)
            assert_refused(exchange(system.login_url, data), status, says)
        data = request("GET", "/attempts/anna/block", headers=SERVICE | headers)
        assert_refused(exchange(system.login_url, data), status, says)


@pytest.mark.usefixtures("nothing_kept")
def test_a_block_of_no_account_is_refused(system: RunningSystem):
    """400 where it can be no name, 404 where it is another path."""
    for path, status, says in (
        ("/attempts/an/block", 400, "user must have 3 to 254 characters"),
        ("/attempts/an%00na/block", 400, "a control character"),
        ("/attempts/anna", 404, "nothing at this path"),
        ("/attempts//block", 404, "nothing at this path"),
    ):
        data = request("GET", path, headers=SERVICE)
        assert_refused(exchange(system.login_url, data), status, says)


def changed(old: object = "a wrong password", **more: object) -> bytes:
    """The body of a change of a password."""
    body = {"user": "anna", "pass": old, "new": "a good password", **more}
    return json.dumps(body).encode()


def port(system: RunningSystem, name: str) -> str:
    """The address of one of the two ports."""
    return {"login": system.login_url, "operator": system.operator_url}[name]


@pytest.mark.usefixtures("nothing_kept")
@pytest.mark.parametrize("body", BAD_BODIES)
def test_a_body_that_is_no_credentials_is_refused(system: RunningSystem, body: str):
    """400 and a sentence, and no trace of it."""
    data, says = BAD_BODIES[body]
    for path in SENDING:
        if path != "/login" or body not in CHECKED_WHATEVER_ITS_LENGTH:
            assert_refused(exchange(system.login_url, request("POST", path, data)), 400, says)
    by_operator = request("POST", "/accounts", data, headers=OPERATOR)
    assert_refused(exchange(system.operator_url, by_operator), 400, says)


def test_a_costly_password_keeps_nobody_waiting(system: RunningSystem):
    """400, and others log in meanwhile with the very processes that had these bodies."""
    bodies = [
        json.dumps({"user": "anna", "pass": password}, ensure_ascii=False).encode()
        for password in COSTLY_PASSWORDS.values()
    ]
    processes = system.pids("gateway login")
    assert processes
    attacks = [request("POST", path, body) for path in SENDING for body in bodies] * 4

    async def others(client: Client) -> None:
        logins = (client.login(f"other-{n}", "a wrong password") for n in range(20))
        assert statuses(await asyncio.gather(*logins)) == {401: 20}

    with ThreadPoolExecutor(len(attacks)) as threads:
        answers = threads.map(lambda data: exchange(system.login_url, data), attacks)
        run(system, others)
        for answer in answers:
            assert_refused(answer, 400, "at most 1")
    assert system.pids("gateway login") == processes


@pytest.mark.usefixtures("nothing_kept")
@pytest.mark.parametrize("name", ["login", "operator"])
def test_a_head_that_is_too_large_is_refused(system: RunningSystem, name: str):
    """431 before the application sees them; up to that limit they do not matter."""
    for length, status in ((15_000, 200), (20_000, 431)):
        for data in (
            request("GET", "/healthz", headers={"X-Long": "a" * length}),
            request("GET", "/healthz?" + "a" * length),
        ):
            assert exchange(port(system, name), data).status == status


@pytest.mark.usefixtures("nothing_kept")
@pytest.mark.parametrize("path", SENDING)
@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"", {"Content-Length": str(TEN_MEGABYTES)}),
        (credentials() + b" " * TEN_MEGABYTES, {}),
        (chunked(credentials() + b" " * TEN_MEGABYTES), {"Transfer-Encoding": "chunked"}),
        (credentials() + b" " * BODY_MAX, {}),
    ],
    ids=["10 MB announced", "10 MB sent", "10 MB in chunks", "just too much"],
)
def test_a_body_that_is_too_large_is_refused(
    system: RunningSystem, path: str, body: bytes, headers: dict[str, str]
):
    """413, without waiting for the rest of it."""
    answer = exchange(system.login_url, request("POST", path, body, headers=headers))
    assert_refused(answer, 413, "at most 16384 bytes")


@pytest.mark.usefixtures("nothing_kept")
def test_a_body_that_does_not_come_is_not_waited_for(system: RunningSystem):
    """408 for one that stops in the middle, whether or not its length is known."""
    half = credentials()[:-10]
    unfinished = chunked(half).removesuffix(b"0\r\n\r\n")
    slow = [request("POST", path, half, headers={"Content-Length": "500"}) for path in SENDING]
    slow.append(request("POST", "/login", unfinished, headers={"Transfer-Encoding": "chunked"}))
    with ThreadPoolExecutor() as threads:
        for answer in threads.map(lambda data: exchange(system.login_url, data), slow):
            assert_refused(answer, 408, "must arrive within 3 seconds")


@pytest.mark.usefixtures("nothing_kept")
def test_chunks_that_are_none_are_refused(system: RunningSystem):
    """400 for a body whose chunked form is broken, at its start or later."""
    later = chunked(credentials()[:-10]).removesuffix(b"0\r\n\r\n") + b"what?\r\n"
    for broken in (b"what?\r\n" + credentials(), later):
        data = request("POST", "/login", broken, headers={"Transfer-Encoding": "chunked"})
        assert_refused(exchange(system.login_url, data), 400, "not JSON")


@pytest.mark.usefixtures("nothing_kept")
@pytest.mark.parametrize("path", SENDING)
@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", None])
def test_what_does_not_say_that_it_is_json_is_refused(
    system: RunningSystem, path: str, content_type: str | None
):
    """415, though it looks like JSON: a form on a web page cannot send application/json."""
    data = request("POST", path, credentials(), content_type)
    assert_refused(exchange(system.login_url, data), 415, "must be application/json")


@pytest.mark.usefixtures("nothing_kept")
@pytest.mark.parametrize("name", ["login", "operator"])
def test_a_wrong_method_is_refused(system: RunningSystem, name: str):
    """405, and `Allow` has the right one."""
    for (method, path), right in NOT_ALLOWED[name].items():
        answer = exchange(port(system, name), request(method, path, credentials()))
        assert_refused(answer, 405, "no such method")
        assert right in answer.headers["Allow"].split(", ")


@pytest.mark.usefixtures("nothing_kept")
@pytest.mark.parametrize("name", ["login", "operator"])
def test_an_unknown_path_is_refused(system: RunningSystem, name: str):
    """404; each port knows nothing of the other's paths."""
    for path in UNKNOWN[name]:
        for method in ("GET", "POST"):
            answer = exchange(port(system, name), request(method, path, credentials()))
            assert_refused(answer, 404, "nothing at this path")


@pytest.mark.usefixtures("nothing_kept")
@pytest.mark.parametrize("query", BAD_QUERIES, ids=lambda query: query[:40])
def test_a_bad_parameter_is_refused(system: RunningSystem, query: str):
    """400, and the sentence names the parameter."""
    assert_refused(exchange(system.operator_url, request("GET", query)), 400, BAD_QUERIES[query])
    if query.startswith("/blocked/"):
        account = query.replace("/blocked/", "/accounts/")
        for method, path, body in (
            ("DELETE", query, b""),
            ("GET", account, b""),
            ("DELETE", account, b""),
            ("PATCH", account, b'{"disabled": true}'),
            ("PUT", f"{account}/password", b'{"pass": "a good password"}'),
        ):
            answer = exchange(system.operator_url, request(method, path, body, headers=OPERATOR))
            assert_refused(answer, 400, BAD_QUERIES[query])


BAD_CHANGES: dict[str, tuple[str, bytes, str]] = {
    "no new one": ("/password", credentials(), 'no "new"'),
    "a new one too short": ("/password", changed(new="short"), "new must have at least 8"),
    "a new one too long": ("/password", changed(new="a" * 1025), "at most 1024 bytes"),
    "NUL in the new one": ("/password", changed(new="a \0 password"), "new contains a control"),
    "NUL in the old one": ("/password", changed(old="a \0 password"), "pass contains a control"),
    "an old one far too long": ("/password", changed(old="a" * 1537), "at most 1536 characters"),
    "an empty old one": ("/password", changed(old=""), "pass is empty"),
    "a number": ("/password", changed(new=12345678), "new must be a string"),
    "a field more": ("/password", changed(admin=True), "a field besides"),
}


@pytest.mark.usefixtures("nothing_kept")
@pytest.mark.parametrize("change", BAD_CHANGES)
def test_a_change_of_a_password_that_is_none_is_refused(system: RunningSystem, change: str):
    """400, and no attempt is counted for it."""
    path, body, says = BAD_CHANGES[change]
    assert_refused(exchange(system.login_url, request("POST", path, body)), 400, says)


BAD_COMMANDS = {
    "no password": ("PUT", "/accounts/anna/password", b"{}", 400, 'no "pass"'),
    "one too short": ("PUT", "/accounts/anna/password", b'{"pass": "short"}', 400, "at least 8"),
    "a user in the body": ("PUT", "/accounts/anna/password", credentials(), 400, "besides"),
    "a password of nobody": (
        *("PUT", "/accounts/nobody/password", b'{"pass": "a good password"}'),
        *(404, "no account of this name"),
    ),
    "no word": ("PATCH", "/accounts/anna", b"{}", 400, 'no "disabled"'),
    "a number": ("PATCH", "/accounts/anna", b'{"disabled": 1}', 400, "true or false"),
    "disabling nobody": ("PATCH", "/accounts/nobody", b'{"disabled": true}', 404, "no account"),
    "showing nobody": ("GET", "/accounts/nobody", b"", 404, "no account of this name"),
}


@pytest.mark.usefixtures("nothing_kept")
@pytest.mark.parametrize("command", BAD_COMMANDS)
def test_a_command_about_an_account_that_is_none_is_refused(system: RunningSystem, command: str):
    """The documented status and code, and nothing is done."""
    method, path, body, status, says = BAD_COMMANDS[command]
    data = request(method, path, body, headers=OPERATOR)
    assert_refused(exchange(system.operator_url, data), status, says)


@pytest.mark.usefixtures("nothing_kept")
@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/accounts"), ("PUT", "/accounts/anna/password"), ("PATCH", "/accounts/anna")],
)
def test_no_page_on_the_web_changes_an_account(system: RunningSystem, method: str, path: str):
    """A form is refused for its type, a name that leads here for the Host, a page elsewhere for
    want of an answer to its question whether it may."""
    data = request(method, path, credentials(), "text/plain", OPERATOR)
    assert_refused(exchange(system.operator_url, data), 415, "must be application/json")
    foreign = request(method, path, credentials(), headers={"Host": "evil.example"})
    assert_refused(exchange(system.operator_url, foreign), 421, "names somebody else")
    asks = {"Origin": "http://evil.example", "Access-Control-Request-Method": method}
    answer = exchange(system.operator_url, request("OPTIONS", path, headers=asks))
    assert not [name for name in answer.headers if name.lower().startswith("access-control")]


def test_a_name_is_one_account_in_whatever_form_it_is_written(system: RunningSystem):
    """Composed, decomposed, full-width, in upper case: one account, one count, listed once."""
    name = "ångström-user"
    decomposed = unicodedata.normalize("NFD", name)
    forms = [
        name,
        decomposed,
        name.upper(),
        decomposed.upper(),
        "".join(chr(ord(c) + 0xFEE0) if "a" <= c <= "z" else c for c in name),  # full-width
        name.replace("å", "\N{ANGSTROM SIGN}"),
    ]
    assert len(set(forms)) == 6

    async def scenario(client: Client) -> None:
        await client.register(forms[1], "a good password")
        for form in forms:
            assert (await client.login(form, "a good password")).status == 200
            body = {"user": form, "pass": "a good password"}
            assert (await client.post("/register", body)).status == 409
        for form in forms[:5]:
            assert (await client.login(form, "a wrong password")).status == 401
        for form in forms:
            assert (await client.login(form, "a good password")).status == 429
            shown = await client.operator("GET", f"/blocked/{quote(form)}")
            assert shown.body["user"] == name
        listed = (await client.operator("GET", "/blocked")).body["users-blocked"]
        assert [user for user in listed if user.endswith("user")] == [name]

    run(system, scenario)
    assert system.query("SELECT username FROM accounts WHERE username ~ 'user$'") == [(name,)]


def test_a_message_that_cannot_be_read_is_put_aside(system: RunningSystem, kafka: str):
    """It is quarantined with position, bytes and reason; the partition goes on after it."""
    user = "after-nonsense"
    partition = partition_of(user, system.partitions)
    right = encode(Attempt(new_id(), 0, user, True))
    signed = {
        right[:-1]: "",
        right + b"\0": "",
        encode(Attempt(new_id(), 0, "", True)): "length >= 1",
        encode(
            Attempt(new_id(), 0, random.Random(1).randbytes(4_000).hex(), True)
        ): "length <= 256",
        encode(Attempt(new_id(), VERDICT_PARTITIONS, user, True)): "<= 15",
        encode(Attempt(b"short", 0, user, True)): "length >= 16",
        json.dumps({"user": user, "right": True}).encode(): "may not sign such a message",
        encode(Unblock(new_id(), 0, user)): "may not sign such a message",
    }
    nonsense = {system.signed(body, partition, user): why for body, why in signed.items()}
    nonsense |= {
        b"\xc1 nothing": "cut off",
        right: "it has no signature",
        system.signed(right, partition, "another"): "altered or moved",
    }
    offsets: dict[bytes | None, int | None] = {}

    def delivered(error: object, message: Message) -> None:
        assert error is None
        offsets[message.value()] = message.offset()

    producer = Producer({"bootstrap.servers": kafka})
    for value in (*nonsense, None):
        producer.produce(ATTEMPTS, value, user.encode(), partition, on_delivery=delivered)
    assert producer.flush(10) == 0

    async def scenario(client: Client) -> None:
        # Its verdict comes after all that was written before it.
        assert (await client.login(user, "a wrong password")).status == 401

    run(system, scenario)
    rows = system.query(
        "SELECT partition, generation, log_offset, key, value, reason FROM quarantine"
        " WHERE key = %s",
        user.encode(),
    )
    assert {row[:5] for row in rows} == {
        (partition, 1, offset, user.encode(), value) for value, offset in offsets.items()
    }
    reasons = {value: reason for *_, value, reason in rows}
    assert reasons[None] == "it has no signature"
    for value, says in nonsense.items():
        assert reasons[value]
        assert says in reasons[value]
    assert system.query("SELECT in_a_row FROM lock_states WHERE username = %s", user) == [(1,)]
