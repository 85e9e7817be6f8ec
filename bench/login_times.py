"""`python -m bench.login_times`: whether the time of a wrong password tells accounts from others.

It starts its own system and imports accounts with several forms of hashes. Then it guesses once at
each of a thousand accounts and at as many unknown names, in turn, by one connection, and compares
the times by their ranks: the share of pairs in which the account's is longer (0.5 where nothing is
told), and how often chance alone would make such a difference (Mann and Whitney's test). Beside it
stands what it would be if all unknown names had today's form: that has to be told, or the test has
no teeth. In the same way it compares the accounts of each form with unknown names that seem to have
it, accounts whose stored hash is bad with such as have today's form, and refusals of accounts that
are blocked with those of unknown names.

All of that is done twice: on a quiet system, and while `--load` clients log in to other accounts.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import itertools
import json
import math
import random
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from statistics import median

import psycopg

from bench.accounts import real_hash
from bench.errors import BenchError
from bench.machine import commit, describe
from bench.system import HOST, Up, up
from gateway.accounts import importing
from gateway.accounts.records import Record
from gateway.decoy_loader import LOAD_SECONDS
from gateway.passwords.decoys import Decoys
from gateway.passwords.hash_formats import decoy, form_of, present_form
from gateway.postgres.password_forms import select_decoy_key, select_password_forms
from settings import Settings

TODAYS = "today's"
SHARES = {
    TODAYS: 0.4,
    "$argon2id$v=19$m=8192,t=1,p=1$": 0.2,  # of older settings
    "$pbkdf2-sha256$i=60000,l=32$": 0.15,
    "$2b$08$": 0.15,
    "$scrypt$ln=12,r=8,p=1$": 0.1,
}
"""The forms, and the share of the accounts that have each. None costs much more than today's, as a
thousand are measured."""

CHANCE = 0.001
"""Rarer differences are taken for one: there are sixteen comparisons."""

WRONG, BLOCKED = 401, 429
PASSWORD = "the right password"  # noqa: S105  # nobody's

Times = tuple[list[float], list[float]]


def main() -> int:
    """Measure and print; 1 where the times tell accounts from other names."""
    parser = argparse.ArgumentParser(prog="python -m bench.login_times", description=__doc__)
    parser.add_argument(
        "--names", type=int, default=1_000, help="accounts in each comparison, and other names"
    )
    parser.add_argument("--load", type=int, default=4, help="clients beside; 0: only quiet")
    options = parser.parse_args()
    print(f"{describe()}, {commit()}")
    told = False
    try:
        for clients in dict.fromkeys((0, options.load)):
            with up({}) as system:
                accounts = _import(system, options.names)
                with _load(system, clients):
                    print(f"\nbeside {clients} clients:")
                    told |= _report(system, accounts, options.names)
    except BenchError as error:
        sys.exit(str(error))
    return int(told)


def _report(system: Up, accounts: dict[str, list[str]], count: int) -> bool:
    """Measure and print once; whether something was told, or could not have been."""
    guesses = Guesses(system)
    forms = {user: form for form, users in accounts.items() for user in users}
    users = random.sample(list(forms), count)
    known, unknown = guesses.in_turn(users, [f"nobody-{number}" for number in range(count)])
    told = _say("accounts against unknown names", known, unknown)
    todays = [seconds for user, seconds in zip(users, known, strict=True) if forms[user] == TODAYS]
    others = asyncio.run(_unknown(system, count))
    for form in SHARES:
        told |= _say(
            f"{form} against unknown names that seem to have it",
            *guesses.in_turn(random.sample(accounts[form], count), others[form]),
        )
    told |= _say("bad hashes against today's", *guesses.in_turn(*_with_bad_hashes(system, count)))
    told |= _say("blocked accounts against unknown names", *guesses.behind_blocks(users[0], count))
    if not _say("if those had today's form", known, todays):
        print("The forms themselves could not be told: measure more names.")
        return True
    return told


def _say(what: str, ones: Sequence[float], others: Sequence[float]) -> bool:
    """Print the comparison; whether the one can be told from the other."""
    share, chance = compare(ones, others)
    apart = (median(ones) - median(others)) * 1000
    print(
        f"{what}: {len(ones):,} and {len(others):,}, median {median(ones) * 1000:.1f} ms, "
        f"{apart:+.2f} ms apart, longer in {share:.3f} of pairs, by chance in {chance:.2g}"
    )
    return chance < CHANCE


@contextmanager
def _load(system: Up, clients: int) -> Iterator[None]:
    """So many clients that log in, each to an account of its own, one login after the other."""
    enough = threading.Event()

    def log_in(number: int) -> None:
        connection = http.client.HTTPConnection(HOST, system.login_port, timeout=30)
        body = json.dumps({"user": f"beside-{number}", "pass": PASSWORD})
        for path in itertools.chain(["/register"], itertools.repeat("/login")):
            if enough.is_set():
                break
            connection.request("POST", path, body, {"Content-Type": "application/json"})
            connection.getresponse().read()

    threads = [threading.Thread(target=log_in, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        enough.set()
        for thread in threads:
            thread.join()


def _import(system: Up, count: int) -> dict[str, list[str]]:
    """Make accounts, of which so many at least have each form; their names by their forms."""
    total = round(count / min(SHARES.values()))
    stored = {form: real_hash() if form == TODAYS else decoy(form) for form in SHARES}
    forms = [form for form, share in SHARES.items() for _ in range(round(total * share))]
    random.shuffle(forms)
    accounts: dict[str, list[str]] = defaultdict(list)
    for number, form in enumerate(forms):
        accounts[form].append(f"known-{number}")
    records = (
        Record(number, f"known-{number}", stored[form], False, None)
        for number, form in enumerate(forms)
    )
    with psycopg.connect(system.database_url, autocommit=True) as connection:
        importing.write(connection, records, lambda _: None, replace=False)
    time.sleep(2 * LOAD_SECONDS)  # each login process has looked by then
    return accounts


async def _unknown(system: Up, count: int) -> dict[str, list[str]]:
    """So many names that are no accounts, for each form that they seem to have."""
    default = Settings()
    present = present_form(
        default.argon2_memory_kib, default.argon2_time_cost, default.argon2_parallelism
    )
    async with await psycopg.AsyncConnection.connect(system.database_url) as connection:
        key, known = await select_decoy_key(connection), await select_password_forms(connection)
    decoys = Decoys(key, known, present)
    found: dict[str, list[str]] = {form: [] for form in SHARES}
    for number in itertools.count():
        if all(len(names) >= count for names in found.values()):
            return {form: names[:count] for form, names in found.items()}
        stored = decoys.of(f"other-{number}")
        found[TODAYS if stored is None else form_of(stored)].append(f"other-{number}")
    raise AssertionError("there is always another name")


def _with_bad_hashes(system: Up, count: int) -> tuple[list[str], list[str]]:
    """New accounts whose stored hash is none, and as many with one of today's form."""
    bad, good = ([f"{kind}-{number}" for number in range(count)] for kind in ("bad", "good"))
    todays = real_hash()
    rows = [*((user, "no hash") for user in bad), *((user, todays) for user in good)]
    with (
        psycopg.connect(system.database_url, autocommit=True) as connection,
        connection.cursor() as cursor,
    ):
        cursor.executemany("INSERT INTO accounts VALUES (%s, %s)", rows)
    return bad, good


class Guesses:
    """Wrong passwords by one connection, and what each of them took."""

    def __init__(self, system: Up) -> None:
        self._connection = http.client.HTTPConnection(HOST, system.login_port, timeout=30)
        for number in range(20):  # warm
            self._seconds(f"warm-{number}", WRONG)

    def in_turn(self, ones: Sequence[str], others: Sequence[str], status: int = WRONG) -> Times:
        """The seconds of a guess at each: one of the ones and one of the others in turn."""
        times: Times = ([], [])
        for pair in zip(ones, others, strict=True):
            for user, seconds in zip(pair, times, strict=True):
                seconds.append(self._seconds(user, status))
        return times

    def behind_blocks(self, user: str, count: int) -> Times:
        """The seconds of a refusal, of this account and of a name that is none."""
        nobody = "a-blocked-name"
        for one in (user, nobody):
            while self._guess(one)[0] != BLOCKED:
                pass
        return self.in_turn([user] * count, [nobody] * count, BLOCKED)

    def _seconds(self, user: str, status: int) -> float:
        found, seconds = self._guess(user)
        if found != status:
            raise BenchError(f"A guess at {user} was answered with {found}.")
        return seconds

    def _guess(self, user: str) -> tuple[int, float]:
        body = json.dumps({"user": user, "pass": "a wrong password"})
        began = time.perf_counter()
        self._connection.request("POST", "/login", body, {"Content-Type": "application/json"})
        answer = self._connection.getresponse()
        answer.read()
        return answer.status, time.perf_counter() - began


def compare(ones: Sequence[float], others: Sequence[float]) -> tuple[float, float]:
    """The share of pairs in which the one is greater, and how often chance alone gives as much."""
    ranked = sorted([(value, 1) for value in ones] + [(value, 0) for value in others])
    ranks = sum(rank for rank, (_, mine) in enumerate(ranked, start=1) if mine)
    pairs = len(ones) * len(others)
    greater = ranks - len(ones) * (len(ones) + 1) / 2
    spread = math.sqrt(pairs * (len(ones) + len(others) + 1) / 12)
    return greater / pairs, math.erfc(abs(greater - pairs / 2) / spread / math.sqrt(2))


if __name__ == "__main__":
    sys.exit(main())
