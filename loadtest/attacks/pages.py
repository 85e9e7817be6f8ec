"""Attacks by pages of others in an operator's browser, as the requests that the browser makes."""

from __future__ import annotations

from collections import Counter

from loadtest.attacks.attack import Attack, Outcome, System
from loadtest.attacks.wire import ask, credentials, log_in

ALLOWED, MISDIRECTED, FORBIDDEN = 200, 421, 403

NAMES = (
    *("evil.example", "evil.example:5000", "127.0.0.1.evil.example", "localhost.evil.example"),
    *("wpad", "gateway-of-somebody", "ai", "xlocalhost", "evil.example.", "[::1].evil.example"),
)
"""Names that others own on the Internet, or may answer for in a local network."""

DESTINATIONS = ("script", "style", "image", "iframe", "object", "embed", "empty", "audio")
PATHS = ("/", "/blocked", "/metrics", "/accounts/{}", "/blocked/{}", "/attempts?user={}")

NEEDED = ("cross-origin-resource-policy", "x-content-type-options", "x-frame-options")
"""Without which an answer could be embedded where a browser does not say which page asks."""


async def rebinding(system: System) -> Outcome:
    """Names of others that were made to lead to the operator port."""
    statuses: Counter[int] = Counter()
    for name in NAMES:
        for method, path in (("GET", "/"), ("GET", "/blocked"), ("DELETE", "/blocked/anna")):
            answer = await ask(system.operator, method, path, headers={"Host": name})
            statuses[answer.status] += 1
    return Outcome(statuses.total(), _told(statuses), set(statuses) <= {MISDIRECTED, 400})


async def probes(system: System) -> Outcome:
    """Addresses of the operator port as scripts, pictures and frames of a page elsewhere."""
    blocked = system.user("probed")
    for _ in range(8):
        await log_in(system.login, blocked, "a wrong password")
    statuses: Counter[int] = Counter()
    bare = 0
    for user in (blocked, system.user("nobody")):
        for path in PATHS:
            for destination in DESTINATIONS:
                headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": destination}
                answer = await ask(system.operator, "GET", path.format(user), headers=headers)
                statuses[answer.status] += 1
            # From an address that is not loopback, a browser says nothing of the page.
            answer = await ask(system.operator, "GET", path.format(user))
            bare += not set(NEEDED) <= set(answer.header_names)
    happened = f"{_told(statuses)}; {bare} answers could be embedded"
    return Outcome(statuses.total(), happened, set(statuses) == {FORBIDDEN} and not bare)


async def orders(system: System) -> Outcome:
    """Changes that a page elsewhere asks for: by forms, by requests, by links."""
    victim = system.user("ordered")
    await ask(system.login, "POST", "/register", credentials(victim, "a good password"))
    statuses: Counter[int] = Counter()
    for method, path, body in (
        ("DELETE", f"/accounts/{victim}", b""),
        ("PATCH", f"/accounts/{victim}", b'{"disabled": true}'),
        ("PUT", f"/accounts/{victim}/password", b'{"pass": "a good password of theirs"}'),
        ("POST", "/accounts", credentials(system.user("made"), "a good password")),
    ):
        for headers in (
            {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "empty"},
            {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Dest": "document"},
            {"Sec-Fetch-Site": "cross-site", "Content-Type": "text/plain"},
        ):
            statuses[(await ask(system.operator, method, path, body, headers=headers)).status] += 1
        asks = {"Origin": "http://evil.example", "Access-Control-Request-Method": method}
        answer = await ask(system.operator, "OPTIONS", path, headers=asks)
        allowed = [name for name in answer.header_names if name.startswith("access-control")]
        statuses[ALLOWED if allowed else FORBIDDEN] += 1  # a browser asks no further
    login = await log_in(system.login, victim, "a good password")
    happened = f"{_told(statuses)}; the account's owner then got {login.status}"
    return Outcome(statuses.total(), happened, set(statuses) == {FORBIDDEN} and login.status == 200)


def _told(statuses: Counter[int]) -> str:
    return ", ".join(f"{count:,} times {status}" for status, count in sorted(statuses.items()))


ATTACKS = (
    Attack("rebound names", "refused with 421, and nothing done", rebinding),
    Attack(
        "probes by pages elsewhere",
        "refused with 403 whoever is blocked; no answer can be embedded",
        probes,
    ),
    Attack("orders by pages elsewhere", "refused with 403, and nothing done", orders),
)
