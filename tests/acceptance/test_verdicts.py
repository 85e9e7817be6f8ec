"""Verdicts for a login that checks its passwords itself, through the real system."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections import Counter
from collections.abc import AsyncIterator, Iterable

import pytest

from tests.acceptance.conftest import StartSystem
from tests.acceptance.system import (
    CHEAPEST,
    PROXY,
    Answer,
    Client,
    RunningSystem,
    connections,
    run,
    statuses,
    token_line,
)
from tests.harness.waiting import until

ACCOUNTS = 5
GUESSES = 200


def verdicts(answers: Iterable[Answer]) -> dict[str, int]:
    """How often each verdict was given, in answers that all gave one."""
    answers = list(answers)
    assert statuses(answers) == {200: len(answers)}
    return dict(Counter(answer.body["verdict"] for answer in answers))


def decided(system: RunningSystem, user: str) -> list[tuple[int, bool]]:
    """What was decided on an account's attempts, repetitions left out."""
    return system.query(
        "SELECT decision, right_password FROM audit WHERE username = %s AND decision < 3"
        " ORDER BY log_offset",
        user,
    )


def test_of_two_hundred_wrong_ones_at_once_exactly_five_are_rejected(system: RunningSystem):
    """The promise, for services: also those whose password was right are blocked behind them."""

    async def scenario(client: Client) -> None:
        for number in range(ACCOUNTS):
            user = f"serviced{number}"
            answers = await asyncio.gather(*(client.attempt(user, "wrong") for _ in range(GUESSES)))
            assert verdicts(answers) == {"rejected": 5, "blocked": GUESSES - 5}
            seconds = {a.body["retry_after"] for a in answers if a.body["verdict"] == "blocked"}
            assert seconds <= set(range(1770, 1801))
            assert verdicts([await client.attempt(user, "right")]) == {"blocked": 1}
            listed = await client.operator("GET", f"/blocked/{user}")
            assert listed.status == 200

    run(system, scenario)


def test_a_hundred_right_ones_at_once_are_all_accepted(system: RunningSystem):
    """Nobody is refused for logging in often."""

    async def scenario(client: Client) -> None:
        answers = await asyncio.gather(
            *(client.attempt("often-served", "right") for _ in range(100))
        )
        assert verdicts(answers) == {"accepted": 100}

    run(system, scenario)


async def at_once(client: Client, user: str, outcomes: Iterable[str], key: str) -> list[Answer]:
    """Attempts with this key at the same moment, on a connection each."""
    return await asyncio.gather(*(client.attempt(user, outcome, key=key) for outcome in outcomes))


@contextlib.asynccontextmanager
async def client_of(system: RunningSystem, process: int) -> AsyncIterator[Client]:
    """A client with one connection, to this login process: the other one could not accept it."""
    # Kept for as long as the gateway keeps it: a second one might be to the other process.
    async with connections(limit=1, keepalive_timeout=15.0) as session:
        client = Client(system, session)
        system.signal(f"gateway login {3 - process}", signal.SIGSTOP)
        try:
            await client.block_of("nobody")
        finally:
            system.signal(f"gateway login {3 - process}", signal.SIGCONT)
        yield client


def test_an_attempt_with_a_key_counts_once_whichever_process_gets_it(system: RunningSystem):
    """All have its verdict, also those of the fifth, which the block stands behind."""

    async def scenario(_: Client) -> None:
        async with client_of(system, 1) as one, client_of(system, 2) as other:

            async def by_both(user: str, outcome: str, key: str) -> list[Answer]:
                asked = (client.attempt(user, outcome, key=key) for client in (one, other))
                return await asyncio.gather(*asked)

            for number in range(ACCOUNTS):
                user = f"keyed{number}"
                for nth in range(5):
                    answers = await by_both(user, "wrong", f"{user}-{nth}")
                    assert verdicts(answers) == {"rejected": 2}
                    assert decided(system, user) == [(1, False)] * (nth + 1)
                for nth in range(5):  # and once more, when each process knows of the block
                    answers = await by_both(user, "wrong", f"{user}-{nth}")
                    assert verdicts(answers) == {"rejected": 2}
                assert verdicts(await by_both(user, "wrong", "another")) == {"blocked": 2}
                assert decided(system, user)[:5] == [(1, False)] * 5
                user = f"right-{user}"
                assert verdicts(await by_both(user, "right", "mine")) == {"accepted": 2}
                assert decided(system, user) == [(0, True)]

    run(system, scenario)
    repetitions = system.query(
        "SELECT count(*) FROM audit WHERE username ~ 'keyed' AND decision = 4"
    )
    assert repetitions[0][0], "the log had no attempt twice, so this showed nothing"


def test_an_attempt_whose_key_comes_many_times_at_once_counts_once(system: RunningSystem):
    """Also within a process."""

    async def scenario(client: Client) -> None:
        for nth in range(5):
            answers = await at_once(client, "keyed-often", ["wrong"] * 10, str(nth))
            assert verdicts(answers) == {"rejected": 10}
            assert decided(system, "keyed-often") == [(1, False)] * (nth + 1)

    run(system, scenario)


def test_a_key_is_of_one_account_and_one_service(system: RunningSystem):
    """The same key for another account is another attempt."""

    async def scenario(client: Client) -> None:
        for user in ("key-owner", "key-sharer"):
            assert verdicts([await client.attempt(user, "wrong", key="k")]) == {"rejected": 1}
            assert decided(system, user) == [(1, False)]

    run(system, scenario)


def test_a_key_that_is_used_for_another_attempt_is_refused(system: RunningSystem):
    """409, and nothing of the second one is in the log's decisions."""

    async def scenario(client: Client) -> None:
        user = "key-reuser"
        said = {"source": "192.0.2.7", "user_agent": "curl"}
        assert verdicts([await client.attempt(user, "wrong", key="k", **said)]) == {"rejected": 1}
        for others in ({"outcome": "right"}, {"source": "192.0.2.8"}, {"user_agent": None}):
            more = {"outcome": "wrong", **said, **others}
            answer = await client.attempt(user, key="k", **more)  # type: ignore[arg-type]
            assert (answer.status, answer.body["code"]) == (409, "key_reused")
        again = await client.attempt(user.upper(), "wrong", key="k", **said)
        assert verdicts([again]) == {"rejected": 1}
        assert decided(system, user) == [(1, False)]
        for number in range(ACCOUNTS):
            user = f"key-mixer{number}"
            outcomes = ["right", "wrong"] * 6
            answers = await at_once(client, user, outcomes, "k")
            [(decision, right)] = decided(system, user)
            assert decision == (0 if right else 1)
            for outcome, answer in zip(outcomes, answers, strict=True):
                if (outcome == "right") == right:
                    assert verdicts([answer]) == {"accepted" if right else "rejected": 1}
                else:
                    assert (answer.status, answer.body["code"]) == (409, "key_reused")

    run(system, scenario)


def test_a_token_that_is_taken_from_the_file_is_revoked_at_once(system: RunningSystem):
    """And one that is put into it is let in."""
    text = system.tokens_file.read_text()

    async def scenario(client: Client) -> None:
        assert (await client.attempt("revoked", "right")).status == 200
        system.tokens_file.write_text(f"# {text}")
        for answer in await asyncio.gather(*(client.attempt("revoked", "right") for _ in range(8))):
            assert (answer.status, answer.body["code"]) == (401, "unauthorized")
        assert (await client.block_of("revoked")).status == 401
        system.tokens_file.unlink()
        answer = await client.attempt("revoked", "right")
        assert (answer.status, answer.body["verdict"]) == (503, "undecided")
        assert answer.body["code"] == "unavailable"
        system.tokens_file.write_text(text)
        assert (await client.attempt("revoked", "right")).status == 200

    try:
        run(system, scenario)
    finally:
        system.tokens_file.write_text(text)


def test_a_token_does_what_its_scopes_say(system: RunningSystem):
    """One that only asks can block nobody, one that only reports cannot look people up."""
    text = system.tokens_file.read_text()
    lines = [token_line(scope, f"for-{scope}", scope) for scope in ("block", "attempts")]

    async def scenario(client: Client) -> None:
        system.tokens_file.write_text(text + "".join(lines))
        for _ in range(6):
            refused = await client.attempt("scoped", "wrong", token="for-block")
            assert (refused.status, refused.body["code"]) == (403, "insufficient_scope")
            assert 'scope="attempts"' in refused.headers["WWW-Authenticate"]
        assert (await client.block_of("scoped", "for-block")).body == {"blocked": False}
        refused = await client.block_of("scoped", "for-attempts")
        assert (refused.status, refused.body["code"]) == (403, "insufficient_scope")
        assert 'scope="block"' in refused.headers["WWW-Authenticate"]
        assert verdicts([await client.attempt("scoped", "wrong", token="for-attempts")]) == {
            "rejected": 1
        }
        assert decided(system, "scoped") == [(1, False)]

    try:
        run(system, scenario)
    finally:
        system.tokens_file.write_text(text)


def test_the_block_of_an_account_is_told_without_an_attempt(system: RunningSystem):
    """So that no hash need be spent; a name may have a slash in it."""

    async def scenario(client: Client) -> None:
        for user in ("asked-about", "asked/about/block"):

            async def told(user: str = user) -> Answer:
                return await client.block_of(user)

            answer = await until(told, lambda answer: answer.status != 503)
            assert answer[:2] == (200, {"blocked": False})
            for _ in range(5):
                assert verdicts([await client.attempt(user, "wrong")]) == {"rejected": 1}
            answer = await until(told, lambda answer: answer.body.get("blocked"))
            assert answer.body["retry_after"] in range(1770, 1801)
            assert (await client.block_of(user.upper())).body["blocked"]
            assert len(decided(system, user)) == 5

    run(system, scenario)


def test_where_an_attempt_came_from_is_shown_to_operators(system: RunningSystem):
    """In one form, and as a person may look at it."""

    async def scenario(client: Client) -> None:
        user = "traced"
        for source, agent in (
            ("2001:DB8:0::7", "Mozilla/5.0 (X11) \N{GRINNING FACE}"),
            ("::ffff:192.0.2.7", "with\0\x1b[31m"),
            (None, "a" * 512),
        ):
            more = {"source": source, "user_agent": agent}
            assert verdicts([await client.attempt(user, "right", **more)]) == {"accepted": 1}
        listed = (await client.operator("GET", f"/attempts?user={user}")).body["attempts"]
        assert [(row["source"], row["user_agent"]) for row in listed] == [
            (None, "a" * 512),
            ("192.0.2.7", "with\ufffd\ufffd[31m"),
            ("2001:db8::7", "Mozilla/5.0 (X11) \N{GRINNING FACE}"),
        ]

    run(system, scenario)


def test_only_a_trusted_proxy_says_from_where_a_login_comes(system: RunningSystem):
    """A stranger that writes the same headers is known by its own address, and still counts."""
    made_up, real, user = "203.0.113.9", "198.51.100.7", "seen"
    headers = [
        ("X-Forwarded-For", made_up),
        ("X-Forwarded-For", f"::ffff:{real}"),
        ("Forwarded", f'for={made_up}, for="[::FFFF:{real}]:4711";proto=https'),
        ("User-Agent", f"\N{GRINNING FACE}{'a' * 600}"),
    ]

    async def scenario(stranger: Client) -> None:
        body = {"user": user, "pass": "a wrong password"}
        assert (await stranger.post("/login", body, headers)).status == 401
        async with connections(local_addr=(PROXY, 0)) as session:
            proxy = Client(system, session)
            assert (await proxy.post("/login", body, headers)).status == 401
            assert (await proxy.post("/login", body, [("User-Agent", "b")])).status == 401
            change = {**body, "new": "another wrong password"}
            assert (await proxy.post("/password", change, headers)).status == 401
        listed = (await stranger.operator("GET", f"/attempts?user={user}")).body["attempts"]
        agent = f"\N{GRINNING FACE}{'a' * 511}"
        assert [(row["source"], row["user_agent"]) for row in listed] == [
            (real, agent),
            (PROXY, "b"),
            (real, agent),
            ("127.0.0.1", agent),
        ]

    run(system, scenario)


SECONDS = 1.5


@pytest.fixture(scope="module")
def impatient(start_system: StartSystem) -> RunningSystem:
    """A system with a short deadline, on which an operator alone lifts a block."""
    return start_system(
        {
            **CHEAPEST,
            "CERROJO_DEADLINE_SECONDS": str(SECONDS),
            "CERROJO_POLICY_BLOCK_SECONDS": "0",
        }
    )


@pytest.mark.parametrize(
    ("outcome", "verdict"), [("wrong", (1, "rejected")), ("right", (0, "accepted"))]
)
def test_an_attempt_is_asked_for_again_after_a_503(
    impatient: RunningSystem, outcome: str, verdict: tuple[int, str]
):
    """Undecided, as the caller hears; the log decides it once, and with its key that is heard."""
    user, (decision, said) = f"asked-again-{outcome}", verdict

    async def scenario(client: Client) -> None:
        impatient.wait_for_all_ready()
        impatient.signal("worker partition", signal.SIGSTOP)
        try:
            answer = await client.attempt(user, outcome, key="k")
        finally:
            impatient.signal("worker partition", signal.SIGCONT)
        assert answer.status == 503
        assert answer.retry_after == 1
        assert list(answer.body) == ["verdict", "error", "code"]
        assert answer.body["verdict"] == "undecided"
        assert answer.body["code"] in ("unavailable", "overloaded")  # the deadline is short

        async def again() -> Answer:
            return await client.attempt(user, outcome, key="k")

        answer = await until(again, lambda answer: answer.status != 503)
        assert answer[:2] == (200, {"verdict": said})
        assert decided(impatient, user) == [(decision, outcome == "right")]

    run(impatient, scenario, patient=False)


def test_a_block_that_only_an_operator_lifts_has_no_end(impatient: RunningSystem):
    """`retry_after` is null, in both answers."""

    async def scenario(client: Client) -> None:
        impatient.wait_for_all_ready()
        for number in range(5):  # asked for again, as the deadline is short on a busy machine

            async def guess(key: str = f"for-good-{number}") -> Answer:
                return await client.attempt("for-good", "wrong", key=key)

            answer = await until(guess, lambda answer: answer.status != 503)
            assert answer.body["verdict"] == "rejected"
        answer = await until(
            lambda: client.attempt("for-good", "right", key="for-good-right"),
            lambda answer: answer.status != 503,
        )
        assert answer[:2] == (200, {"verdict": "blocked", "retry_after": None})
        answer = await until(
            lambda: client.block_of("for-good"), lambda answer: answer.body.get("blocked")
        )
        assert answer.body == {"blocked": True, "retry_after": None}

    run(impatient, scenario)


def test_without_workers_nobody_says_that_there_is_no_block(impatient: RunningSystem):
    """Neither port of call knows then: 503, and the caller decides what that means."""

    async def scenario(client: Client) -> None:
        impatient.wait_for_all_ready()
        impatient.signal("worker partition", signal.SIGSTOP)
        try:
            answer = await until(
                lambda: client.block_of("nobody-knows"), lambda answer: answer.status == 503
            )
            assert answer.body["verdict"] == "undecided"
            assert answer.retry_after == 1
        finally:
            impatient.signal("worker partition", signal.SIGCONT)

    run(impatient, scenario, patient=False)
