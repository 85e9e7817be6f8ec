"""Whatever is sent gets a documented status and a sentence, and leaves nothing behind."""

from __future__ import annotations

import json
import random
import unicodedata
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

import pytest
from confluent_kafka import Message, Producer

from events.messages import VERDICT_PARTITIONS, Attempt, encode, new_id
from events.topics import ATTEMPTS, partition_of
from tests.acceptance.raw import chunked, credentials, exchange, request
from tests.acceptance.system import Answer, Client, RunningSystem, run

BODY_MAX = 16_384  # bytes, as documented
TEN_MEGABYTES = 10_000_000
SENDING = ("/login", "/register")

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
    "a user too short": (credentials("an"), "user must have 3 to 64 characters"),
    "a user too long": (credentials("a" * 65), "user must have 3 to 64 characters"),
    "a user far too long": (credentials("ä" * 2000), "user must have 3 to 64 characters"),
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

NOT_ALLOWED = {
    "login": {
        ("GET", "/login"): "POST",
        ("PUT", "/register"): "POST",
        ("DELETE", "/login"): "POST",
    },
    "operator": {
        ("POST", "/blocked"): "GET",
        ("PUT", "/blocked/anna"): "DELETE",
        ("DELETE", "/attempts"): "GET",
        ("POST", "/metrics"): "GET",
        ("POST", "/"): "GET",
    },
}

UNKNOWN = {
    "login": ["/", "/logins", "/login/", "/blocked", "/blocked/anna", "/metrics", "/openapi.json"],
    "operator": ["/login", "/register", "/blocked/", "/static/", "/static/..%2fapp.py", "/nothing"],
}

BAD_QUERIES: dict[str, str] = {
    "/blocked?limit=0": "limit must be a number from 1 to 100000",
    "/blocked?limit=-1": "limit must be a number",
    "/blocked?limit=100001": "limit must be a number",
    "/blocked?limit=ten": "limit must be a number",
    "/blocked?limit=": "limit must be a number",
    "/blocked?limit=%D9%A3": "limit must be a number",  # an Arabic three
    "/blocked?limit=" + "9" * 5000: "limit must be a number",
    "/blocked?after=an%00na": "after must have",
    "/blocked?after=" + "a" * 257: "after must have",
    "/attempts": "user is empty",
    "/attempts?user=": "user is empty",
    "/attempts?user=an": "user must have 3 to 64 characters",
    "/attempts?user=an%00na": "user contains a control character",
    "/attempts?user=an%F0%9F%98%80na": "user contains a character",
    "/attempts?user=anna&limit=10001": "limit must be a number from 1 to 10000",
    "/blocked/an": "user must have 3 to 64 characters",
    "/blocked/an%00na": "user contains a control character",
    "/blocked/an%F0%9F%98%80na": "user contains a character",
    "/blocked/an%20na": "user contains a space",
    "/blocked/%FF%FE%FD": "user contains a character",
    "/blocked/" + "a" * 3000: "user must have 3 to 64 characters",
}


@pytest.fixture
def nothing_kept(system: RunningSystem) -> Iterator[None]:
    """What a test sends leaves no record, account, count or quarantined bytes, and no error."""

    def kept() -> tuple[object, ...]:
        tables = ("audit", "quarantine", "accounts", "lock_states")
        rows = (system.query(f"SELECT count(*) FROM {table}")[0][0] for table in tables)
        return system.log_size(), *rows, system.logs().count("level=error")

    before = kept()
    yield
    assert kept() == before


def assert_refused(answer: Answer, status: int, says: str) -> None:
    """The documented status, and a sentence that says what is wrong."""
    assert answer.status == status, answer
    assert list(answer.body) == ["error"]
    assert says in answer.body["error"]
    assert answer.headers["Content-Type"] == "application/json"


def port(system: RunningSystem, name: str) -> str:
    """The address of one of the two ports."""
    return {"login": system.login_url, "operator": system.operator_url}[name]


@pytest.mark.usefixtures("nothing_kept")
@pytest.mark.parametrize("body", BAD_BODIES)
def test_a_body_that_is_no_credentials_is_refused(system: RunningSystem, body: str):
    """400 and a sentence, and no trace of it."""
    data, says = BAD_BODIES[body]
    for path in SENDING:
        assert_refused(exchange(system.login_url, request("POST", path, data)), 400, says)


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
        answer = exchange(system.operator_url, request("DELETE", query))
        assert_refused(answer, 400, BAD_QUERIES[query])


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
    partition = partition_of(user, 4)
    right = encode(Attempt(new_id(), 0, user, True))
    nonsense = {
        b"\xc1 nothing": "",
        right[:-1]: "",
        right + b"\0": "",
        encode(Attempt(new_id(), 0, "", True)): "the user has 0 characters",
        encode(
            Attempt(new_id(), 0, random.Random(1).randbytes(4_000).hex(), True)
        ): "user has 8000",
        encode(Attempt(new_id(), VERDICT_PARTITIONS, user, True)): "no reply partition",
        encode(Attempt(b"short", 0, user, True)): "5 bytes instead of 16",
        json.dumps({"user": user, "right": True}).encode(): "",
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
    assert reasons[None] == "the record has no value"
    for value, says in nonsense.items():
        assert reasons[value]
        assert says in reasons[value]
    assert system.query("SELECT in_a_row FROM lock_states WHERE username = %s", user) == [(1,)]
