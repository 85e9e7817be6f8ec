"""Passwords are changed, accounts disabled and deleted, and what was promised holds meanwhile."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest

from events.signatures import Opener
from gateway.postgres.accounts import GOOD_SECONDS
from oracle.verify import AUDIT_LOG, verify
from tests.acceptance.conftest import StartSystem
from tests.acceptance.system import CHEAPEST, Answer, Client, RunningSystem, run, statuses
from tests.harness import oracle
from tests.harness.evidence import gather
from tests.harness.operators import OPERATOR_TOKEN
from tests.harness.page import Page
from tests.harness.waiting import until

RIGHT = "a good password"
WRONG = "a wrong password"
NEW = "a new password"
GUESSES = 200


async def reset(client: Client, user: str, password: str = NEW) -> Answer:
    """An operator gives the account another password."""
    return await client.operator("PUT", f"/accounts/{quote(user)}/password", {"pass": password})


async def disable(client: Client, user: str, disabled: bool = True) -> None:
    """An operator disables or enables the account."""
    answer = await client.operator("PATCH", f"/accounts/{user}", {"disabled": disabled})
    assert (answer.status, answer.body) == (200, {"success": True})


def kinds(system: RunningSystem, user: str) -> list[tuple[str, bool | None, int]]:
    """The kinds, outcomes and decisions of the account's history, in their order."""
    rows = system.query(
        "SELECT kind, right_password, decision FROM audit WHERE username = %s"
        " ORDER BY appended_ms, log_offset",
        user,
    )
    return [(kind, right, decision) for kind, right, decision in rows]


def execute(system: RunningSystem, statements: str, *values: object) -> None:
    """Change the system's database, all at once."""
    with psycopg.connect(system.database_url) as connection:
        connection.execute(statements, values or None)


# ---- one's own password


def test_a_password_is_changed_by_the_old_one(system: RunningSystem):
    """200, and from then on only the new one is right; a wrong old one changes nothing."""

    async def scenario(client: Client) -> None:
        await client.register("changer", RIGHT)
        wrong = await client.change("changer", WRONG, NEW)
        assert (wrong.status, wrong.body["code"]) == (401, "wrong_password")
        assert (await client.login("changer", NEW)).status == 401
        changed = await client.change("changer", RIGHT, NEW)
        assert (changed.status, changed.body) == (200, {"success": True})
        assert (await client.login("changer", RIGHT)).status == 401
        assert (await client.login("changer", NEW)).status == 200

    run(system, scenario)
    assert kinds(system, "changer") == [
        ("registered", None, 1),
        *(("attempt", False, 1), ("attempt", False, 1), ("attempt", True, 0)),
        ("password", None, 1),
        *(("attempt", False, 1), ("attempt", True, 0)),
    ]


def test_old_passwords_and_logins_have_one_count(system: RunningSystem):
    """Three wrong ones here and two there are five; the right one is refused then."""

    async def scenario(client: Client) -> None:
        await client.register("counted", RIGHT)
        for _ in range(3):
            assert (await client.change("counted", WRONG, NEW)).status == 401
        for _ in range(2):
            assert (await client.login("counted", WRONG)).status == 401
        blocked = await client.change("counted", RIGHT, NEW)
        assert (blocked.status, blocked.body["code"]) == (429, "blocked")
        assert blocked.retry_after in range(1770, 1801)
        assert (await client.operator("GET", "/blocked/counted")).status == 200

    run(system, scenario)


def test_of_two_hundred_old_passwords_at_once_exactly_five_are_revealed(system: RunningSystem):
    """Half of them as logins: there is no second door."""

    async def scenario(client: Client) -> None:
        for number in range(3):
            user = f"changed{number}"
            answers = await asyncio.gather(
                *(
                    client.change(user, WRONG, NEW) if n % 2 else client.login(user, WRONG)
                    for n in range(GUESSES)
                )
            )
            assert statuses(answers) == {401: 5, 429: GUESSES - 5}

    run(system, scenario)


def test_of_two_changes_at_once_one_is_made(system: RunningSystem):
    """The other one's old password is no longer right when it would be stored."""

    async def scenario(client: Client) -> None:
        for number in range(5):
            user = f"twice{number}"
            await client.register(user, RIGHT)
            news = [f"{NEW} {n}" for n in range(2)]
            answers = await asyncio.gather(*(client.change(user, RIGHT, new) for new in news))
            assert statuses(answers) == {200: 1, 401: 1}
            for new, answer in zip(news, answers, strict=True):
                expected = 200 if answer.status == 200 else 401
                assert (await client.login(user, new)).status == expected

    run(system, scenario)


def test_a_password_is_checked_whatever_its_length(system: RunningSystem):
    """One that could not be set is wrong and counts, here as there, and may not be set."""

    async def scenario(client: Client) -> None:
        await client.register("lengths", RIGHT)
        for password in ("short", "x" * 1025):
            assert (await client.login("lengths", password)).status == 401
            assert (await client.change("lengths", password, NEW)).status == 401
            assert (await client.change("lengths", RIGHT, password)).status == 400
        assert (await client.login("lengths", "s")).status == 401
        assert (await client.login("lengths", RIGHT)).status == 429

    run(system, scenario)


@pytest.fixture
def freeze(system: RunningSystem) -> Iterator[Callable[[bool], None]]:
    """Makes the partitions' workers stand still, or go on."""
    frozen = False

    def set_frozen(now: bool) -> None:
        nonlocal frozen
        if frozen != now:
            system.signal("worker partition", signal.SIGSTOP if now else signal.SIGCONT)
            frozen = now

    yield set_frozen
    set_frozen(False)


@pytest.mark.parametrize("change", ["another password", "disabled", "deleted"])
def test_a_login_in_flight_does_not_outlive_a_change(
    system: RunningSystem, freeze: Callable[[bool], None], change: str
):
    """Its password was right and its verdict accepts, and still it gets in no more.

    The change is made in the database, as another gateway would make it, which could answer it
    before the workers go on.
    """
    user = f"in-flight-{change.split()[0]}"
    statement = {
        "another password": "UPDATE accounts SET version = version + 1 WHERE username = %s",
        "disabled": "UPDATE accounts SET disabled = true WHERE username = %s",
        "deleted": "DELETE FROM accounts WHERE username = %s",
    }[change]

    async def in_flight(client: Client) -> asyncio.Future[Answer]:
        while True:
            size = system.log_size()
            freeze(True)
            login = asyncio.ensure_future(client.login(user, RIGHT))
            await asyncio.to_thread(system.wait_for_log, size + 1, 5.0)
            if system.log_size() > size:
                assert not login.done()
                return login
            freeze(False)  # it was told that nobody can decide, as the machine stood still
            await login

    async def scenario(client: Client) -> None:
        await client.register(user, RIGHT)
        for changed in (False, True):
            login = await in_flight(client)
            if changed:
                execute(system, statement, user)
                await asyncio.sleep(GOOD_SECONDS)  # so long no gateway answers it
            freeze(False)
            answer = await login
            assert answer.status == (401 if changed else 200), answer
        assert answer.body == {"error": "Wrong password", "code": "wrong_password"}

    run(system, scenario)
    assert kinds(system, user)[-1] == ("attempt", True, 0)


# ---- operators


def test_an_operator_makes_an_account(system: RunningSystem):
    """With a clean slate, once, and whatever the name is: an address of 254 characters, slashes."""
    names = [f"{'a' * 64}@{'b' * 63}.{'c' * 63}.{'d' * 61}", "by/an/operator", "a/password", "añá"]
    names += ["slashed/devices", "slashed"]
    assert len(names[0]) == 254

    async def scenario(client: Client) -> None:
        for name in names:
            body = {"user": name, "pass": RIGHT}
            for _ in range(5):
                assert (await client.login(name, WRONG)).status == 401
            made = await client.operator("POST", "/accounts", body)
            assert (made.status, made.body) == (201, {"success": True})
            again = await client.operator("POST", "/accounts", body)
            assert (again.status, again.body["code"]) == (409, "name_taken")
            assert (await client.login_once_heard(name, RIGHT)).status == 200
            path = f"/accounts/{quote(name, safe='')}"
            shown = (await client.operator("GET", path)).body
            assert list(shown) == ["user", "registered", "disabled"]
            assert (shown["user"], shown["disabled"]) == (name, False)
            assert (await reset(client, name)).status == 200
            assert (await client.change(name, NEW, RIGHT)).status == 200
            assert (await client.attempt(name, "right")).body == {"verdict": "accepted"}
            assert (await client.block_of(name)).body == {"blocked": False}
            assert (await client.operator("DELETE", path)).body == {"deleted": True}
            assert (await client.operator("GET", path)).status == 404

    run(system, scenario)


def test_a_reset_lifts_what_stands_against_the_account(system: RunningSystem):
    """Its owner gets in with the new password, and the old one is wrong."""

    async def scenario(client: Client) -> None:
        await client.register("reset", RIGHT)
        for _ in range(5):
            assert (await client.login("reset", WRONG)).status == 401
        assert (await client.operator("GET", "/blocked/reset")).status == 200
        assert (await reset(client, "reset")).body == {"success": True}
        assert (await client.operator("GET", "/blocked/reset")).status == 404
        assert (await client.login_once_heard("reset", NEW)).status == 200
        assert (await client.login("reset", RIGHT)).status == 401

    run(system, scenario)
    assert ("password", None, 0) in kinds(system, "reset")  # it lifted a block


def test_a_disabled_account_is_one_with_a_wrong_password(system: RunningSystem):
    """In body, in count and in the log; and it is what it was when it is enabled again."""

    async def scenario(client: Client) -> None:
        await client.register("disabled", RIGHT)
        wrong = await client.login("disabled", WRONG)
        await disable(client, "disabled")
        await disable(client, "disabled")
        assert (await client.operator("GET", "/accounts/disabled")).body["disabled"] is True
        refused = await client.login("disabled", RIGHT)
        assert (refused.status, refused.body) == (401, wrong.body)
        assert (await client.change("disabled", RIGHT, NEW)).status == 401
        await disable(client, "disabled", False)
        assert (await client.login("disabled", RIGHT)).status == 200
        await disable(client, "disabled")
        for _ in range(5):
            assert (await client.login("disabled", RIGHT)).status == 401
        assert (await client.login("disabled", RIGHT)).status == 429

    run(system, scenario)


def test_commands_are_counted(system: RunningSystem):
    """By what was done, once each."""

    def counted() -> dict[str, float]:
        names = ("create", "reset", "disable", "enable", "delete")
        series = {name: f'cerrojo_account_commands_total{{kind="{name}"}}' for name in names}
        series["changed"] = 'cerrojo_password_changes_total{result="changed"}'
        series["wrong"] = 'cerrojo_password_changes_total{result="wrong"}'
        found = system.metrics()
        return {name: found[one] for name, one in series.items()}

    async def scenario(client: Client) -> None:
        await client.operator("POST", "/accounts", {"user": "number", "pass": RIGHT})
        await client.change("number", WRONG, NEW)
        await client.change("number", RIGHT, NEW)
        await reset(client, "number")
        await disable(client, "number")
        await disable(client, "number", False)
        await client.operator("DELETE", "/accounts/number")

    before = counted()
    run(system, scenario)
    assert counted() == {name: value + 1 for name, value in before.items()}


# ---- deletion


def traces(system: RunningSystem, user: str) -> dict[str, int]:
    """How often each table has the name, as whatever type."""
    tables = ("accounts", "lock_states", "audit", "erasures", "quarantine", "partition_progress")
    return {
        table: system.query(
            f"SELECT count(*) FROM {table} AS one WHERE one::text LIKE '%%' || %s || '%%'", user
        )[0][0]
        for table in tables
    }


def test_nothing_is_kept_of_a_deleted_account(system: RunningSystem):
    """No hash, no lock state, no history, no block in any gateway; and its name can be had anew."""
    user = "deleted@example.com"

    async def scenario(client: Client) -> None:
        await client.register(user, RIGHT)
        await client.attempt(user, "right", source="192.0.2.77", user_agent="her browser")
        for _ in range(5):
            assert (await client.login(user, WRONG)).status == 401
        assert (await client.login(user, RIGHT)).status == 429
        assert {n for n, count in traces(system, user).items() if count} == {
            *("accounts", "lock_states", "audit")
        }
        deleted = await client.operator("DELETE", f"/accounts/{user}")
        assert (deleted.status, deleted.body) == (200, {"deleted": True})
        assert set(traces(system, user).values()) == {0}
        assert system.query("SELECT FROM audit WHERE source = '192.0.2.77'") == []
        attempts = await client.operator("GET", f"/attempts?user={user}")
        assert attempts.body == {"attempts": [], "next": None}
        assert (await client.operator("GET", f"/accounts/{user}")).status == 404
        assert (await client.operator("GET", f"/blocked/{user}")).status == 404
        again = await client.operator("DELETE", f"/accounts/{user}")
        assert (again.status, again.body) == (200, {"deleted": False})
        assert set(traces(system, user).values()) == {0}
        # An unknown name, as any other: five guesses, of which its next owner knows nothing.
        assert (await client.login_once_heard(user, RIGHT)).status == 401
        await client.register(user, NEW)
        assert (await client.login(user, NEW)).status == 200

    run(system, scenario)


def test_a_name_that_only_services_know_is_deleted_too(system: RunningSystem):
    """There is no account of it, and what was kept of it goes."""

    async def scenario(client: Client) -> None:
        await client.attempt("of-a-service", "wrong", source="192.0.2.78")
        assert traces(system, "of-a-service")["audit"] == 1
        answer = await client.operator("DELETE", "/accounts/of-a-service")
        assert (answer.status, answer.body) == (200, {"deleted": False})
        assert set(traces(system, "of-a-service").values()) == {0}

    run(system, scenario)


def test_a_deletion_waits_for_nobody_who_has_the_account_locked(system: RunningSystem):
    """Its partition goes on, and the deletion comes to its end when the lock does."""

    async def scenario(client: Client) -> None:
        await client.register("locked-row", RIGHT)
        with psycopg.connect(system.database_url) as other:
            other.execute("SELECT FROM accounts WHERE username = 'locked-row' FOR UPDATE")
            deletion = asyncio.ensure_future(client.operator("DELETE", "/accounts/locked-row"))
            await until(
                lambda: asyncio.to_thread(traces, system, "locked-row"),
                lambda found: found["audit"] == 0,
            )
            assert not deletion.done()
            assert traces(system, "locked-row")["accounts"] == 1
        answer = await deletion
        assert (answer.status, answer.body) == (200, {"deleted": True})
        assert set(traces(system, "locked-row").values()) == {0}

    run(system, scenario)


# ---- systems of their own


@pytest.fixture(scope="module")
def own_system(start_system: StartSystem) -> RunningSystem:
    """A system in which nothing else has happened yet."""
    return start_system(CHEAPEST)


def test_nobody_registers_where_registration_is_off(start_system: StartSystem):
    """403 and a code; operators make the accounts."""
    system = start_system({**CHEAPEST, "CERROJO_REGISTRATION": "off"})

    async def scenario(client: Client) -> None:
        refused = await client.post("/register", {"user": "uninvited", "pass": RIGHT})
        assert (refused.status, refused.body["code"]) == (403, "registration_off")
        assert "register here" in refused.body["error"]
        assert system.query("SELECT FROM accounts") == []
        made = await client.operator("POST", "/accounts", {"user": "invited", "pass": RIGHT})
        assert made.status == 201
        assert (await client.login("invited", RIGHT)).status == 200

    run(system, scenario)
    assert system.metrics()['cerrojo_registrations_total{result="off"}'] == 1


def test_a_deletion_holds_for_a_database_that_went_back(own_system: RunningSystem):
    """The log deletes again what the database had again; an account made since stays.

    The account, its lock state and its history come back with a copy from before, as they do by a
    backup or a copy that lagged. The oracle agrees with everything that is there afterwards.
    """
    system = own_system
    copied = ("accounts", "lock_states", "audit", "audit_seals", "partition_progress", "quarantine")

    async def before(client: Client) -> None:
        await client.register("gone-again", RIGHT)
        await client.register("made-anew", RIGHT)
        for _ in range(3):
            await client.login("gone-again", WRONG)

    async def after(client: Client) -> None:
        for user in ("gone-again", "made-anew"):
            answer = await client.operator("DELETE", f"/accounts/{user}")
            assert answer.body == {"deleted": True}
        await client.register("made-anew", NEW)

    run(system, before)
    for table in copied:
        execute(system, f"CREATE TABLE old_{table} AS TABLE {table}")
    run(system, after)
    assert traces(system, "gone-again")["audit"] == 0
    [(anew,)] = system.query("SELECT accounts::text FROM accounts")
    system.signal("workers", signal.SIGSTOP)  # they would start them again at once
    system.kill("worker partition")
    for table in copied:
        execute(system, f"DELETE FROM {table}; INSERT INTO {table} TABLE old_{table}")
    # Of a backup of the accounts that is younger than that of the rest, the new one is there, too.
    execute(system, "DELETE FROM accounts WHERE username = 'made-anew'")
    execute(system, "INSERT INTO accounts SELECT (%s::accounts).*", anew)
    assert traces(system, "gone-again")["accounts"] == 1
    system.signal("workers", signal.SIGCONT)
    system.wait_for_all_decided()  # the last news of those that were killed say so already
    evidence = gather(system.env["KAFKA_BOOTSTRAP_SERVERS"], system.database_url, None, False)
    assert oracle.differences(evidence) == []
    assert verify(system.database_url, Opener(None, AUDIT_LOG)).differences == []
    found = traces(system, "gone-again")
    assert set(found.values()) == {0}, found
    assert system.query("SELECT username FROM accounts") == [("made-anew",)]

    async def in_the_end(client: Client) -> None:
        assert (await client.login_once_heard("made-anew", NEW)).status == 200

    run(system, in_the_end)


def test_the_page_runs_as_it_stands_there(tmp_path: Path, own_system: RunningSystem):
    """Every block of docs/accounts.md, in its order, with the answers that it shows."""
    page = Page(
        "accounts.md",
        tmp_path,
        {
            "CERROJO_URL": own_system.login_url,
            "CERROJO_OPERATOR_URL": own_system.operator_url,
            "CERROJO_OPERATOR_TOKEN": OPERATOR_TOKEN,
        },
    )
    while left := page.not_run():
        page.run(left[0].text)
