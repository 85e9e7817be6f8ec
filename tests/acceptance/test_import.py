"""Accounts of other systems log in here, by the hashes that they came with."""

from __future__ import annotations

import psycopg
import pytest

from gateway.accounts import importing, keycloak
from gateway.accounts.records import Record
from gateway.passwords.hash_formats import form_of, parse
from gateway.passwords.precis import PASSWORD_MIN
from tests.acceptance.system import Client, RunningSystem, run
from tests.harness.foreign_accounts import KEYCLOAK, one_of_each


def foreign() -> dict[str, tuple[str, str]]:
    """A hash of each system and each form, as it is stored, and its password, by a name."""
    stored = {
        kind: (parse(given).stored, password) for kind, (given, password) in one_of_each().items()
    }
    for kind, found in KEYCLOAK.items():
        hash_ = keycloak.stored("ana", found.credential_data, found.secret_data)
        stored[f"keycloak {kind}"] = hash_, found.password
    return {
        f"from.{kind.replace(' ', '.')}": (hash_, password)
        for kind, (hash_, password) in stored.items()
        if len(password) >= PASSWORD_MIN
    }


@pytest.fixture(scope="module")
def imported(system: RunningSystem) -> dict[str, tuple[str, str]]:
    """They are accounts."""
    accounts = foreign()
    with psycopg.connect(system.database_url, autocommit=True) as connection:
        records = [
            Record(line, user.replace("'", ""), hash_, False, None)
            for line, (user, (hash_, _)) in enumerate(accounts.items())
        ]
        counts = importing.write(connection, records, lambda _: None, replace=False)
    assert counts.created == len(accounts) >= 15
    return {user.replace("'", ""): each for user, each in accounts.items()}


def test_one_of_each_form_logs_in_and_is_renewed(
    system: RunningSystem, imported: dict[str, tuple[str, str]]
):
    """By the password that was right elsewhere; and the next time its hash is Argon2's."""

    async def scenario(client: Client) -> None:
        for user, (_, password) in imported.items():
            assert (await client.login(user, f"{password}?")).status == 401, user
            assert (await client.login(user, password)).status == 200, user
            assert (await client.login(user, password)).status == 200, user
            assert (await client.login(user, f"{password}?")).status == 401, user

    run(system, scenario)
    stored = dict(
        system.query("SELECT username, password_hash FROM accounts WHERE username LIKE 'from.%%'")
    )
    assert stored.keys() == imported.keys()
    assert {form_of(hash_) for hash_ in stored.values()} == {
        "$pepper$tests$argon2id$v=19$m=8,t=1,p=1$"
    }


def test_a_common_password_is_not_set_and_still_lets_in(
    system: RunningSystem, imported: dict[str, tuple[str, str]]
):
    """A list keeps nobody out that is an account already."""
    user = next(user for user, (_, password) in imported.items() if password == "password")

    async def scenario(client: Client) -> None:
        assert (await client.login(user, "password")).status == 200
        for password in ("iloveyou", "ILoveYou", "a rare one"):
            body = {"user": "common.ana", "pass": password}
            refused = await client.post("/register", body)
            if password == "a rare one":
                assert refused.status == 201
                continue
            assert (refused.status, refused.body["code"]) == (400, "common_password")
            assert password not in refused.body["error"]
        named = await client.post("/register", {"user": "common.name", "pass": "Common.Name"})
        assert (named.status, named.body["code"]) == (400, "common_password")

    run(system, scenario)
    counted = 'cerrojo_registrations_total{result="common_password"}'
    assert system.metrics()[counted] >= 3


def test_an_unknown_name_is_answered_as_an_account(system: RunningSystem, imported: object):
    """In body and status, whatever its decoy is."""

    async def scenario(client: Client) -> None:
        answers = [await client.login(f"nobody.{n}", "not a password") for n in range(40)]
        assert {(answer.status, answer.body["code"]) for answer in answers} == {
            (401, "wrong_password")
        }

    run(system, scenario)
