"""The two clients, each in front of a Cerrojo in memory."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import httpx
import pytest
import trustme

from cerrojo_client import PASS, REFUSE, AsyncCerrojo, Cerrojo, CerrojoError, Kind, Verdict
from cerrojo_client.client import DEADLINE_SECONDS
from tests.unit.clients.python.fake import TOKEN, FakeCerrojo, answer_lost, error, unavailable

URL = "http://cerrojo.test:3000"


class Either(Protocol):
    """`Cerrojo`, and `AsyncCerrojo` as if it were one."""

    def login(self, user: str, check: Callable[[], bool], **options: Any) -> Verdict: ...
    def block(self, user: str, **options: Any) -> Verdict | None: ...
    def report(self, user: str, **options: Any) -> Verdict: ...


class Awaited:
    """An `AsyncCerrojo` whose calls are awaited at once."""

    def __init__(self, client: AsyncCerrojo) -> None:
        self._client = client

    def login(self, user: str, check: Callable[[], bool], **options: Any) -> Verdict:
        async def checked() -> bool:
            return check()

        return self._await(self._client.login(user, checked, **options))

    def block(self, user: str, **options: Any) -> Verdict | None:
        return self._await(self._client.block(user, **options))

    def report(self, user: str, **options: Any) -> Verdict:
        return self._await(self._client.report(user, **options))

    def _await(self, call: Awaitable[Any]) -> Any:
        async def awaited() -> Any:
            return await call

        return asyncio.run(awaited())


def make(kind: str, fake: FakeCerrojo, deadline: float) -> Either:
    """A client of this kind."""
    transport = httpx.MockTransport(fake)
    if kind == "Cerrojo":
        return Cerrojo(URL, TOKEN, deadline=deadline, transport=transport)
    return Awaited(AsyncCerrojo(URL, TOKEN, deadline=deadline, transport=transport))


@pytest.fixture(params=["Cerrojo", "AsyncCerrojo"])
def client(request: pytest.FixtureRequest, fake: FakeCerrojo) -> Either:
    """One that waits long."""
    return make(request.param, fake, 30.0)


@pytest.fixture(params=["Cerrojo", "AsyncCerrojo"])
def hasty(request: pytest.FixtureRequest, fake: FakeCerrojo) -> Either:
    """One whose Cerrojo is away, and which soon gives up."""
    fake.down = True
    return make(request.param, fake, 0.2)


def right() -> bool:
    """A check of a right password."""
    return True


def wrong() -> bool:
    """A check of a wrong one."""
    return False


def never() -> bool:
    """A check that must not happen."""
    raise AssertionError("the password was checked")


def test_five_wrong_ones_are_rejected_and_then_no_password_is_checked(client: Either):
    """Neither a right one."""
    verdicts = [client.login("ana", wrong, on_undecided=REFUSE) for _ in range(5)]
    assert [(v.kind, v.status, v.may_tell) for v in verdicts] == [(Kind.REJECTED, 401, True)] * 5
    verdict = client.login("ana", never, on_undecided=REFUSE)
    assert (verdict.kind, verdict.status, verdict.lets_in, verdict.may_tell) == (
        *(Kind.BLOCKED, 429),
        *(False, False),
    )
    assert verdict.headers == {"Retry-After": "1800"}


def test_a_right_one_is_let_in(client: Either, fake: FakeCerrojo):
    """And says from where it came."""
    verdict = client.login(
        "ana", right, on_undecided=REFUSE, source="192.0.2.1", user_agent="x" * 600
    )
    assert (verdict.kind, verdict.lets_in) == (Kind.ACCEPTED, True)
    assert fake.bodies == [
        {"user": "ana", "outcome": "right", "source": "192.0.2.1", "user_agent": "x" * 512}
    ]


@pytest.mark.parametrize("source", ["", "unix:", "fe80::1%eth0", "1.2.3.4:5678", "a\ud800"])
def test_a_source_that_is_no_address_is_left_out_and_told_once(
    client: Either, fake: FakeCerrojo, source: str, caplog: pytest.LogCaptureFixture
):
    """Cerrojo refuses an attempt with it, so nobody could log in."""
    for _ in range(2):
        assert client.login("ana", right, on_undecided=REFUSE, source=source).lets_in
    assert fake.bodies == [{"user": "ana", "outcome": "right"}] * 2
    [record] = caplog.records
    assert f"source is {source!r}, which is no IP address" in record.getMessage()


@pytest.mark.parametrize("source", ["2001:db8::7", "::ffff:192.0.2.1"])
def test_an_address_of_either_kind_is_sent(client: Either, fake: FakeCerrojo, source: str):
    """Cerrojo brings it into its one form."""
    client.login("ana", right, on_undecided=REFUSE, source=source)
    assert fake.bodies[0]["source"] == source


def test_a_right_one_behind_the_block_is_refused(client: Either, fake: FakeCerrojo):
    """The block came while the password was checked."""

    def checked() -> bool:
        fake.failures["ana"] = 5
        return True

    assert client.login("ana", checked, on_undecided=PASS).kind is Kind.BLOCKED


def test_a_lost_answer_is_asked_for_again_with_the_same_key(client: Either, fake: FakeCerrojo):
    """So the attempt counts once."""
    fake.trouble += [answer_lost(fake), unavailable]
    assert client.report("ana", right=False, on_undecided=REFUSE).kind is Kind.REJECTED
    assert len(fake.keys) == 3
    assert len(set(fake.keys)) == 1
    assert fake.failures["ana"] == 1


def test_two_calls_are_two_attempts(client: Either, fake: FakeCerrojo):
    """Each has a key of its own, unless the caller gives one."""
    for _ in range(2):
        client.report("ana", right=False, on_undecided=REFUSE)
        client.report("ben", right=False, on_undecided=REFUSE, key="the-same")
    assert (fake.failures["ana"], fake.failures["ben"]) == (2, 1)


@pytest.mark.parametrize("outcome", [True, False])
def test_what_undecided_means_is_the_caller_s_choice(hasty: Either, outcome: bool):
    """Refused, the answer does not depend on the password; passed, on nothing else."""
    refused = hasty.report("ana", right=outcome, on_undecided=REFUSE)
    assert (refused.kind, refused.status, refused.may_tell) == (Kind.UNDECIDED, 503, False)
    assert refused.headers == {"Retry-After": "1"}
    passed = hasty.report("ana", right=outcome, on_undecided=PASS)
    assert (passed.kind, passed.lets_in) == (Kind.UNDECIDED, outcome)
    assert passed.status == (200 if outcome else 401)


def test_no_hash_is_spent_where_nothing_can_be_decided(hasty: Either):
    """Unless undecided logins pass."""
    assert hasty.login("ana", never, on_undecided=REFUSE).status == 503
    assert hasty.login("ana", right, on_undecided=PASS).status == 200


def test_there_is_no_default_for_undecided(client: Either):
    """Whoever writes the call has to think of it."""
    with pytest.raises(TypeError, match="on_undecided"):
        client.report("ana", right=True)


@pytest.mark.parametrize("name", ["", ".", "..", "x" * 2000, "a\ud800na"])
def test_a_name_that_cannot_be_sent_is_refused_without_asking(
    client: Either, fake: FakeCerrojo, name: str
):
    """Nothing is counted for it, so no password may be checked for it."""
    verdict = client.login(name, never, on_undecided=PASS)
    assert (verdict.kind, verdict.status, verdict.may_tell) == (Kind.INVALID, 400, False)
    assert client.report(name, right=True, on_undecided=PASS).status == 400
    assert fake.requests == []


def test_a_name_that_cerrojo_refuses_is_refused(client: Either):
    """With its reason."""
    verdict = client.report("an", right=True, on_undecided=PASS)
    assert (verdict.lets_in, verdict.sentence) == (False, "The username is too short")


def test_a_name_stays_one_part_of_the_path(client: Either, fake: FakeCerrojo):
    """It may have any character."""
    assert client.block("a/../ñ?#%", on_undecided=REFUSE) is None
    assert fake.requests[0].url.raw_path == b"/attempts/a%2F..%2F%C3%B1%3F%23%25/block"


@pytest.mark.parametrize(
    "body",
    [
        {"verdict": "rejected"},  # of a right password
        {"verdict": "later"},
        {"verdict": "blocked"},  # without the seconds
        {},
    ],
)
def test_a_verdict_that_makes_no_sense_lets_nobody_in(
    client: Either, fake: FakeCerrojo, body: dict[str, str]
):
    """It is an error, and not a chance for PASS."""
    fake.trouble.append(lambda request: httpx.Response(200, json=body))
    with pytest.raises(CerrojoError, match="login port"):
        client.report("ana", right=True, on_undecided=PASS)


def test_accepted_is_no_answer_to_a_wrong_password(client: Either, fake: FakeCerrojo):
    """A verdict can only take away."""
    fake.trouble.append(lambda request: httpx.Response(200, json={"verdict": "accepted"}))
    with pytest.raises(CerrojoError):
        client.report("ana", right=False, on_undecided=PASS)


def test_a_revoked_token_lets_nobody_in(client: Either, fake: FakeCerrojo):
    """Not even where undecided logins pass: it is a mistake that somebody has to hear of."""
    fake.trouble += [error(401, "unauthorized")] * 2
    for check in (right, wrong):
        with pytest.raises(CerrojoError, match="unauthorized"):
            client.login("ana", check, on_undecided=PASS)


def test_what_the_check_raises_is_not_reported(client: Either, fake: FakeCerrojo):
    """Nobody knows what the password was."""
    with pytest.raises(ZeroDivisionError):
        client.login("ana", lambda: bool(1 / 0), on_undecided=PASS)
    assert fake.bodies == []


@pytest.mark.parametrize(
    "arguments",
    [
        *((URL, ""), (URL, "two words"), (URL, "a\nb"), (URL, "ñ")),
        *((url, TOKEN) for url in ("cerrojo:3000", "http://", "http:// x", "http://a:0")),
        *((url, TOKEN) for url in ("http://a:99999", "http://[::1", "http://u@a", "http://ñ")),
        *((URL + end, TOKEN) for end in (" ", "?x=1", "#", "\n")),
    ],
)
@pytest.mark.parametrize("kind", [Cerrojo, AsyncCerrojo])
def test_a_url_or_token_that_cannot_be_one_is_refused_at_the_start(
    kind: Callable[[str, str], object], arguments: tuple[str, str]
):
    """And not found out at the deadline of the first login."""
    with pytest.raises(ValueError, match=r"url|token"):
        kind(*arguments)


def test_a_key_that_cannot_be_sent_is_refused(client: Either):
    """As it is the caller's."""
    with pytest.raises(ValueError, match="key"):
        client.report("ana", right=True, on_undecided=PASS, key="a\nb")


def test_threads_may_share_a_client(fake: FakeCerrojo):
    """As those of a server do."""
    client = Cerrojo(URL, TOKEN, transport=httpx.MockTransport(fake))
    kinds: list[Kind] = []

    def log_in() -> None:
        kinds.append(client.login("ana", right, on_undecided=REFUSE).kind)

    threads = [threading.Thread(target=log_in) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert kinds == [Kind.ACCEPTED] * 20


def test_a_client_is_closed_at_the_end_of_its_block(fake: FakeCerrojo):
    """With its connections."""
    closed: list[str] = []

    class Noted(httpx.MockTransport):
        def close(self) -> None:
            closed.append("Cerrojo")

        async def aclose(self) -> None:
            closed.append("AsyncCerrojo")

    async def used() -> None:
        async with AsyncCerrojo(URL, TOKEN, transport=Noted(fake)) as other:
            await other.block("ana", on_undecided=REFUSE)

    with Cerrojo(URL, TOKEN, transport=Noted(fake)) as client:
        client.block("ana", on_undecided=REFUSE)
    asyncio.run(used())
    assert closed == ["Cerrojo", "AsyncCerrojo"]


def test_no_name_is_logged(client: Either, caplog: pytest.LogCaptureFixture):
    """People type passwords into that field, and httpx would log each URL."""
    with caplog.at_level("INFO"):
        assert client.login("typed-by-mistake", wrong, on_undecided=REFUSE).status == 401
    assert caplog.text == ""


@pytest.mark.parametrize("deadline", [0.0, -1.0, 30.5, 600.0, float("nan"), float("inf")])
def test_a_deadline_is_no_longer_than_a_key_is_known(deadline: float):
    """Beyond it, a repeated attempt may count twice."""
    with pytest.raises(ValueError, match="deadline is"):
        Cerrojo(URL, TOKEN, deadline=deadline)


@pytest.mark.parametrize("kind", [Cerrojo, AsyncCerrojo])
def test_a_certificate_of_one_s_own_is_verified_by_its_file(
    kind: type[Cerrojo] | type[AsyncCerrojo], tmp_path: Path
):
    """And by no other."""
    authority, server = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(server)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))

    async def blocked(ca_file: str | None) -> int | None:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with suppress(asyncio.IncompleteReadError):  # who does not trust us says nothing
                await reader.readuntil(b"\r\n\r\n")
            writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 17\r\n\r\n{"blocked":false}')
            await writer.drain()
            writer.close()

        listening = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=server)
        port = listening.sockets[0].getsockname()[1]
        client = kind(f"https://localhost:{port}", TOKEN, deadline=1.0, ca_file=ca_file)
        if isinstance(client, AsyncCerrojo):
            verdict = await client.block("ana", on_undecided=REFUSE)
            await client.close()
        else:
            verdict = await asyncio.to_thread(client.block, "ana", on_undecided=REFUSE)
            client.close()
        listening.close()
        return verdict and verdict.status

    assert asyncio.run(blocked(str(tmp_path / "ca.pem"))) is None
    assert asyncio.run(blocked(None)) == 503


def test_a_framework_s_settings_make_a_client():
    """And one that is missing is named."""
    settings: dict[str, object] = {"CERROJO_URL": URL, "CERROJO_TOKEN": TOKEN}
    assert Cerrojo.configured(settings.get)._deadline == DEADLINE_SECONDS
    settings["CERROJO_DEADLINE_SECONDS"] = "3"
    assert Cerrojo.configured(settings.get)._deadline == 3.0
    with pytest.raises(FileNotFoundError):
        Cerrojo.configured({**settings, "CERROJO_CA_FILE": "no.pem"}.get)
    with pytest.raises(ValueError, match="url is ''"):
        Cerrojo.configured({}.get)
