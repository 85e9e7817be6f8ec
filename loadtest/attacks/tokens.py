"""Attacks with tokens of services and of sessions that are none."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

from loadtest.attacks.attack import Attack, Outcome, System, UnmetError
from loadtest.attacks.guesses import RIGHT, WRONG, registered, told
from loadtest.attacks.wire import ask, log_in

TIMES = 6  # more than block
SHOWN = 4  # of what is wrong


async def of_services(system: System) -> Outcome:
    """Report wrong passwords of an account, and ask for its block, without a token for that."""
    if not system.block_token:
        raise UnmetError(
            "no service's token for blocks alone is known",
            "CERROJO_SERVICE_TOKENS_FILE and ATTACK_BLOCK_TOKEN, its token with the scope block",
        )
    user = system.user("reported")
    await registered(system, user)
    report = json.dumps({"user": user, "outcome": "wrong"}).encode()
    token = system.block_token
    statuses: Counter[int] = Counter()
    wrong = (
        *(None, "", "Bearer", "Bearer ", "Bearer wrong", f"Basic {token}", token),
        *(f"Bearer {token[:-1]}", f"Bearer {token}x", f"Bearer x {token}"),
        f"Bearer {hashlib.sha256(token.encode()).hexdigest()}",
    )
    expected = True
    for said in wrong:
        headers = {} if said is None else {"Authorization": said}
        asked = await ask(system.login, "GET", f"/attempts/{user}/block", headers=headers)
        statuses[asked.status] += 1
        for _ in range(TIMES):
            reported = await ask(system.login, "POST", "/attempts", report, headers=headers)
            statuses[reported.status] += 1
    expected &= set(statuses) == {401}
    own = {"Authorization": f"Bearer {token}"}
    for _ in range(TIMES):
        statuses[(await ask(system.login, "POST", "/attempts", report, headers=own)).status] += 1
    expected &= statuses[403] == TIMES
    control = (await ask(system.login, "GET", f"/attempts/{user}/block", headers=own)).status
    owner = (await log_in(system.login, user, RIGHT)).status
    happened = f"{told(statuses)}; its own request got {control}, the account's owner {owner}"
    return Outcome(statuses.total(), happened, expected and (control, owner) == (200, 200))


async def of_sessions(system: System) -> Outcome:
    """Come as somebody else by a token that was changed, or that another key or none signed."""
    user, other = system.user("in-session"), system.user("session-thief")
    await registered(system, user)
    await registered(system, other)
    token = str((await log_in(system.login, user, RIGHT)).json().get("token", ""))
    if not token:
        raise UnmetError("a login gives no session", "CERROJO_SESSION_KEYS_FILE")
    own = str((await log_in(system.login, other, RIGHT)).json()["token"])
    keys = await ask(system.login, "GET", "/.well-known/jwks.json")
    statuses: Counter[int] = Counter()
    broken = []
    for what, forged in forgeries(token, own, keys.json()["keys"][0]):
        for headers in ({"Authorization": f"Bearer {forged}"}, {"Cookie": _cookies(forged)}):
            answer = await ask(system.login, "GET", "/session", headers=headers)
            statuses[answer.status] += 1
            broken += [] if answer.status == 401 else [f"{what}: {answer.status}"]
    genuine = {"Authorization": f"Bearer {token}"}
    before = (await ask(system.login, "GET", "/session", headers=genuine)).status
    change = json.dumps({"user": user, "pass": RIGHT, "new": f"{WRONG} from now on"}).encode()
    changed = (await ask(system.login, "POST", "/password", change)).status
    after = (await ask(system.login, "GET", "/session", headers=genuine)).status
    if (before, changed, after) != (200, 200, 401):
        broken.append(f"the genuine one: {before}, after a change ({changed}) {after}")
    happened = f"{told(statuses)}; the genuine one {before}, after a new password {after}"
    if broken:
        happened += f"; of {len(broken)} that are wrong: {'; '.join(broken[:SHOWN])}"
    return Outcome(statuses.total(), happened, not broken)


def forgeries(token: str, own: str, key: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Tokens of somebody that has `own` and wants to be who has `token`, each with what it is.

    `key` is the public one of sessions, as a JWK.
    """
    header, payload, signature = token.split(".")
    said = _read(header)
    claims = _read(payload)
    own_signature = own.split(".")[2]
    for alg in ("none", "None", "NONE", "nOnE", ""):
        yield f"alg {alg!r}", f"{_written({**said, 'alg': alg})}.{payload}."
        yield f"alg {alg!r}, signed", f"{_written({**said, 'alg': alg})}.{payload}.{signature}"
    public = base64.urlsafe_b64decode(key["x"] + "==")
    for secret in (public, key["x"].encode(), json.dumps(key).encode(), b""):
        head = f"{_written({**said, 'alg': 'HS256'})}.{payload}"
        signed = hmac.digest(secret, head.encode(), "sha256")
        yield "HMAC with the public key", f"{head}.{_text(signed)}"
    kids: tuple[Any, ...] = ("", "x", "../../dev/null", [], {}, None, 0)
    for kid in kids:
        yield f"kid {kid!r}", f"{_written({**said, 'kid': kid})}.{payload}.{signature}"
    yield "a key of its own", f"{_written({**said, 'jwk': key})}.{payload}.{own_signature}"
    yield "no key's id", f"{_written({'alg': 'EdDSA'})}.{payload}.{signature}"
    yield "another header", f"{_text(b'[]')}.{payload}.{signature}"
    yield "no header", f".{payload}.{signature}"
    for change in ({"exp": claims["exp"] + 10**6}, {"sub": "x"}, {"ver": 0}, {"aud": "x"}):
        yield (
            f"another {next(iter(change))}",
            f"{header}.{_written({**claims, **change})}.{signature}",
        )
    yield "another's signature", f"{header}.{payload}.{own_signature}"
    yield "no signature", f"{header}.{payload}."
    yield "two parts", f"{header}.{payload}"
    yield "nulls for a signature", f"{header}.{payload}.{_text(bytes(64))}"
    yield "a long one", f"{header}.{payload}.{'A' * 6_000}"
    yield "a JWE", f"{header}.{payload}.{signature}.x.y"


def _cookies(token: str) -> str:
    return f"cerrojo={token}; __Host-cerrojo={token}"


def _read(part: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return found


def _written(part: dict[str, Any]) -> str:
    return _text(json.dumps(part).encode())


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


ATTACKS = (
    Attack("tokens of services", "401, without the scope 403, and nothing counts", of_services),
    Attack("forged sessions", "401 for each; a new password ends the genuine ones", of_sessions),
)
