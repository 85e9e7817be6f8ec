"""The answer to a login when something beside it goes wrong."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from argon2 import PasswordHasher

from events.messages import Attempt, Decision, Outcome, Verdict
from gateway import metrics
from gateway.device_keys import new_key as new_device_key
from gateway.devices import Devices
from gateway.errors import BlockedError, UnavailableError
from gateway.guess_keys import Guesses
from gateway.guess_keys import make as make_guess_keys
from gateway.kafka.gathering import Gathering
from gateway.limits.source_limits import SourceLimits
from gateway.limits.source_view import SourceView
from gateway.passwords.hash_client import Checking
from gateway.passwords.hash_protocol import Lane
from gateway.passwords.hashing import Hasher
from gateway.postgres.accounts import Account
from gateway.session_keys import new_key
from gateway.sessions import Sessions
from gateway.sources import Sources
from gateway.web import password_check
from gateway.web.resources.login import answer_login
from gateway.web.responses import Answer
from settings import Settings

SOURCE = "198.51.100.7"
PASSWORD = "correct horse"
CHEAP = Settings(argon2_memory_kib=8, argon2_time_cost=1, hash_threads=1)
CURRENT = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)
OUTDATED = PasswordHasher(time_cost=2, memory_cost=16, parallelism=1).hash(PASSWORD)


DELETED = Account("", 0, disabled=False)

ATTACK = [Outcome(f"203.0.113.{number}", f"user{number}", failed=1) for number in range(60)]


class Request:
    """A login of ana's."""

    mimetype = "application/json"
    scope: Any

    async def whole_body(self) -> bytes:
        """The body."""
        return json.dumps({"user": "ana", "pass": PASSWORD}).encode()

    def gone(self) -> asyncio.Future[None]:
        """Never done."""
        return asyncio.get_running_loop().create_future()


class Log:
    """A log that believes what it is told."""

    def __init__(self) -> None:
        self.attempts: list[Attempt] = []

    async def reach(self, _user: str, _due: float) -> None:
        """There is a worker."""

    async def ask(self, user: str, due: float, request: Callable[..., Attempt]) -> Verdict:
        """The verdict that follows from the attempt alone."""
        attempt = request(b"0" * 16, 0, 4, 0)
        assert attempt.lists, "else each verdict is a record of its own"
        self.attempts.append(attempt)
        decision = Decision.ACCEPTED if attempt.right else Decision.REJECTED
        return Verdict(attempt.id, user, decision, 0)


def login(
    stored: str,
    write: Exception | None = None,
    *,
    known: bool = True,
    after: Account | Exception | None = None,
    after_renewal: bool = False,
    disabled: bool = False,
) -> tuple[int, list[Attempt]]:
    """The answer's status where this hash is stored, and what the log was told."""
    answer, attempts = answered(
        stored, write, known=known, after=after, after_renewal=after_renewal, disabled=disabled
    )
    return answer.status, attempts


def answered(
    stored: str,
    write: Exception | None = None,
    *,
    known: bool = True,
    after: Account | Exception | None = None,
    after_renewal: bool = False,
    disabled: bool = False,
    sessions: Sessions | None = None,
    devices: Devices | None = None,
    guesses: Guesses | None = None,
    cookie: bytes = b"",
    blocked: bool = False,
    learned: int = 0,
    told: Sequence[Outcome] = (),
    lanes: list[Lane] | None = None,
    source: str = SOURCE,
    networks: list[str] | None = None,
) -> tuple[Answer, list[Attempt]]:
    """The answer where this hash is stored, and what the log was told.

    `write` is what becomes of each query; without one, it works. If the name is not `known`, the
    hash is its decoy. `after` is the account once the log has decided, or once its hash has been
    made anew `after_renewal`; without one, it is what it was. The blocklist has the account if it
    is `blocked`. While the password is checked, it is `learned` that so many accounts failed at the
    same source; this was `told` of sources before. `lanes` gets that of the check. The
    request comes from this `source`; `networks` gets those of its hashes.
    """

    hasher = Hasher(CHEAP)
    view = SourceView(20, 50)
    view.live = True
    view.read(told, 1)

    @asynccontextmanager
    async def turn(*_: object) -> AsyncIterator[bool]:
        yield True

    async def check(lane: Lane, _user: str, stored: str, password: str, *rest: Any) -> Checking:
        if lanes is not None:
            lanes.append(lane)
        if networks is not None:
            networks.append(rest[-1])
        view.read([Outcome(SOURCE, f"user{number}", failed=1) for number in range(learned)], 1)
        return Checking(hasher.verify(stored, password), hasher.is_outdated(stored))

    async def refuse_what_is_blocked(_user: str, _due: float) -> None:
        if blocked:
            raise BlockedError(60)

    renewed = []

    async def make(_lane: Lane, _user: str, password: str, *rest: Any) -> str:
        renewed.append(password)
        if networks is not None:
            networks.append(rest[-1])
        return hasher.hash(password)

    async def account(*_: object) -> Account | None:
        if not known:
            return None
        if after and (renewed if after_renewal else here.log.attempts):
            if isinstance(after, Exception):
                raise after
            return None if after == DELETED else after
        return Account(stored, 1, disabled=disabled)

    here: Any = None

    async def run(*_: object) -> None:
        if write:
            raise write

    async def scenario() -> tuple[Answer, list[Attempt]]:
        nonlocal here
        here = SimpleNamespace(
            settings=CHEAP,
            clock_ms=lambda: 0,
            refuse_what_is_blocked=refuse_what_is_blocked,
            seconds_to_begin=lambda due: 1.0,
            account_turns=SimpleNamespace(turn=turn),
            account_loader=SimpleNamespace(account=account, recent_account=account),
            hash_client=SimpleNamespace(
                check=check, make=make, begin_by=lambda due: due, crowded=lambda lane: False
            ),
            gathering=Gathering(CHEAP.deadline_seconds),
            decoys=SimpleNamespace(of=lambda user: stored),
            log=Log(),
            sources=Sources(Settings(trusted_proxies="192.0.2.1").proxy_networks),
            source_limits=SourceLimits(CHEAP, view, lambda _: None),
            database=SimpleNamespace(run=run),
            sessions=sessions,
            devices=devices,
            guesses=guesses,
        )
        request: Any = Request()
        headers = [(b"x-forwarded-for", source.encode()), (b"user-agent", b"curl")]
        if cookie:
            headers.append((b"cookie", cookie))
        request.scope = {"client": ("192.0.2.1", "4711"), "headers": headers}
        answer = await answer_login(here, request)
        return answer, here.log.attempts

    return asyncio.run(scenario())


@pytest.mark.parametrize(
    "write",
    [
        None,
        UnavailableError("away"),
        psycopg.errors.ReadOnlySqlTransaction("cannot execute UPDATE in a read-only transaction"),
        psycopg.errors.CheckViolation("it is not nice"),
        MemoryError(),
    ],
    ids=lambda write: type(write).__name__,
)
def test_what_becomes_of_a_hash_that_is_renewed_changes_no_answer(write: Exception | None) -> None:
    """The login is accepted before."""
    status, attempts = login(OUTDATED, write)
    assert status == 200
    assert [attempt.right for attempt in attempts] == [True]


def test_no_password_lets_an_unknown_name_in() -> None:
    """Whatever the hash that it was checked against says."""
    assert login(OUTDATED)[0] == 200
    status, attempts = login(OUTDATED, known=False)
    assert status == 401
    assert [attempt.right for attempt in attempts] == [False]


def test_a_bad_hash_is_a_wrong_attempt_and_is_said(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise guesses at it would not count, and nobody would know why its owner fails."""
    monkeypatch.setattr(password_check, "SAID_AFTER_SECONDS", 0.0)
    before = metrics.BAD_HASHES._value.get()
    status, attempts = login("$argon2id$v=19$m=8,t=1,p=1$half")
    assert status == 401
    assert [(a.right, a.source, a.user_agent) for a in attempts] == [
        (False, "198.51.100.7", "curl")
    ]
    assert metrics.BAD_HASHES._value.get() == before + 1
    said = capsys.readouterr().out
    assert "error" in said
    assert "ana" in said
    assert "half" not in said
    assert PASSWORD not in said


def test_a_bad_hash_is_not_said_before_the_answer(capsys: pytest.CaptureFixture[str]) -> None:
    """The line takes time, and would tell which accounts have one."""
    assert login("$argon2id$v=19$m=8,t=1,p=1$half")[0] == 401
    assert capsys.readouterr().out == ""


def test_without_a_key_for_sessions_the_answer_is_as_it_ever_was() -> None:
    """Byte for byte, and without a cookie."""
    answer, _ = answered(OUTDATED)
    assert (answer.status, answer.body) == (200, b'{"success":true}')
    assert {name for name, _ in answer.headers} == {
        *(b"content-type", b"cache-control", b"content-length"),
        *(b"x-content-type-options", b"cross-origin-resource-policy"),
    }


def test_a_login_makes_a_device_which_a_block_of_strangers_does_not_refuse(tmp_path: Path) -> None:
    """The body is as it ever was, and the log is told which device it is."""
    new_device_key(tmp_path / "keys")
    settings = Settings(device_keys_file=tmp_path / "keys")
    devices = Devices(settings, lambda: 1_800_000_000_000)
    answer, attempts = answered(CURRENT, devices=devices)
    assert (answer.status, answer.body) == (200, b'{"success":true}')
    assert [attempt.device for attempt in attempts] == [None]
    (given,) = [value for name, value in answer.headers if name == b"set-cookie"]
    cookie, *attributes = given.split(b"; ")
    name, _, entry = cookie.partition(b"=")
    assert name == b"__Host-cerrojo-device"
    assert attributes == [
        b"Max-Age=7776000",
        *b"Path=/;HttpOnly;SameSite=Strict;Secure".split(b";"),
    ]
    known = devices.known("ana", entry)
    assert known
    answer, attempts = answered(CURRENT, devices=devices, cookie=cookie, blocked=True)
    assert answer.status == 200
    assert [attempt.device for attempt in attempts] == [known.id]
    devices.note_refusal(known.id, 1_800_000_060_000)
    refused, attempts = answered(CURRENT, devices=devices, cookie=cookie)
    assert (refused.status, attempts) == (429, [])
    (another,) = [value for name, value in answer.headers if name == b"set-cookie"]
    assert another.split(b"; ")[0] != cookie


def test_an_owner_whose_device_is_not_known_any_more_is_refused_like_a_stranger(
    tmp_path: Path,
) -> None:
    """Without a hash: of a former version, of another account, and without keys."""
    file = tmp_path / "keys"
    new_device_key(file)
    devices = Devices(Settings(device_keys_file=file), lambda: 1_800_000_000_000)
    for user, version in (("ana", 2), ("bob", 1)):
        entry = devices.after_login(user, version, None)
        cookie = f"__Host-cerrojo-device={entry}".encode()
        answer, attempts = answered(CURRENT, devices=devices, cookie=cookie, blocked=True)
        assert (answer.status, attempts) == (429, [])
        answer, attempts = answered(CURRENT, devices=devices, cookie=cookie)
        assert (answer.status, [attempt.device for attempt in attempts]) == (200, [None])
    cookie = f"__Host-cerrojo-device={devices.after_login('ana', 1, None)}".encode()
    file.unlink()
    answer, attempts = answered(CURRENT, devices=devices, cookie=cookie)
    assert (answer.status, [attempt.device for attempt in attempts]) == (200, [None])
    assert b"set-cookie" not in dict(answer.headers)


def test_while_an_attack_lasts_strangers_are_hashed_after_everybody_else(tmp_path: Path) -> None:
    """A botnet's guess is told from no person's login, but a device's, or where somebody got in."""
    new_device_key(tmp_path / "keys")
    devices = Devices(Settings(device_keys_file=tmp_path / "keys"), lambda: 1_800_000_000_000)
    cookie = f"__Host-cerrojo-device={devices.after_login('ana', 1, None)}".encode()
    known = Outcome(SOURCE, "bob", succeeded=True)
    lanes: list[Lane] = []
    for told, sent in (((), b""), (ATTACK, b""), ([*ATTACK, known], b""), (ATTACK, cookie)):
        answer, _ = answered(CURRENT, devices=devices, told=told, cookie=sent, lanes=lanes)
        assert answer.status == 200
    assert lanes == [Lane.FOREGROUND, Lane.BACKGROUND, Lane.FOREGROUND, Lane.FOREGROUND]


def test_a_network_of_ipv6_has_its_turns_as_one_source() -> None:
    """Or a host would have a turn for each of its addresses. The audit has the address itself."""
    networks: list[str] = []
    for address in ("2001:db8:1:2::7", "fd00:1:2:3::7"):
        answer, attempts = answered(OUTDATED, source=address, networks=networks)
        assert (answer.status, [attempt.source for attempt in attempts]) == (200, [address])
    assert networks == ["2001:db8:1:2::/64"] * 2 + ["fd00:1:2:3::/64"] * 2


def test_a_guess_is_told_of_a_wrong_password_only(tmp_path: Path) -> None:
    """Of a right one nothing leaves the gateway; without keys of neither."""
    make_guess_keys(tmp_path / "keys", 900, 1_800_000_000)
    guesses = Guesses(tmp_path / "keys", *[lambda: 1_800_000_000_000] * 2)
    _, attempts = answered(CURRENT, guesses=guesses)
    assert [attempt.guess for attempt in attempts] == [None]
    _, attempts = answered(CURRENT, guesses=guesses, disabled=True)
    assert [attempt.guess for attempt in attempts] == [guesses.of("ana", PASSWORD)]
    _, attempts = answered(CURRENT, disabled=True)
    assert [attempt.guess for attempt in attempts] == [None]


def test_without_a_usable_key_no_attempt_is_made(tmp_path: Path) -> None:
    """503 before the log is asked: an accepted login without the session would be half of one."""
    file = tmp_path / "keys.json"
    sessions = Sessions(Settings(session_keys_file=file), lambda: 1_800_000_000_000)
    answer, attempts = answered(OUTDATED, sessions=sessions)
    assert (answer.status, attempts) == (503, [])
    new_key(file)
    answer, attempts = answered(OUTDATED, sessions=sessions)
    assert (answer.status, len(attempts)) == (200, 1)
    said = json.loads(answer.body)
    found = sessions.session_of(said["token"].encode())
    assert (found.user, found.version, said["expires_in"]) == ("ana", 1, 900)


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        (Account("another hash of it", 1, disabled=False), 200),
        (Account("another hash", 2, disabled=False), 401),
        (Account("another hash", 0, disabled=False), 401),
        (Account("the same", 1, disabled=True), 401),
        (DELETED, 401),
        (UnavailableError("away"), 503),
    ],
)
def test_an_accepted_login_that_took_long_looks_once_more_at_its_account(
    after: Account | Exception, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have been changed, and that be answered, while the log decided."""
    monkeypatch.setattr(password_check, "GOOD_SECONDS", 0.0)
    status, attempts = login(CURRENT, after=after)
    assert status == expected
    assert [attempt.right for attempt in attempts] == [True]


def test_an_accepted_login_relies_on_what_it_has_just_read() -> None:
    """A change that it does not see is not answered yet, so the login was before it."""
    assert login(CURRENT, after=UnavailableError("away"))[0] == 200


def test_a_change_while_its_hash_is_renewed_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """That can take most of the deadline, and the change may be answered meanwhile."""
    monkeypatch.setattr(password_check, "GOOD_SECONDS", 0.0)
    changed = Account("another hash", 2, disabled=False)
    assert login(OUTDATED, after=changed, after_renewal=True)[0] == 401
    assert login(CURRENT, after=changed, after_renewal=True)[0] == 200  # it is not renewed


def test_a_disabled_account_has_no_right_password() -> None:
    """The attempt counts as a wrong one, and its answer is that of one."""
    status, attempts = login(CURRENT, disabled=True)
    assert status == 401
    assert [attempt.right for attempt in attempts] == [False]


@pytest.mark.parametrize("stored", [CURRENT, CURRENT[:-1]], ids=["right", "bad"])
def test_guesses_of_others_that_are_learned_of_meanwhile_refuse_before_the_log(
    stored: str,
) -> None:
    """A burst of guesses from one source is not let through because all were checked at once.

    Right or wrong, nothing is revealed, and so nothing counts for the account.
    """
    answer, attempts = answered(stored, learned=41)
    assert (answer.status, attempts) == (429, [])
    assert json.loads(answer.body)["code"] == "source_refused"
    assert dict(answer.headers)[b"retry-after"].isdigit()
    assert answered(CURRENT, learned=20)[0].status == 200
