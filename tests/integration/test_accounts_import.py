"""Accounts that come and go as files, by the real command and a real Postgres."""

from __future__ import annotations

import asyncio
import csv
import os
import signal
import stat
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest

from gateway.accounts import importing
from gateway.accounts.records import Record
from gateway.decoy_loader import DecoyLoader
from gateway.errors import UnavailableError
from gateway.passwords.hash_formats import decoy, form_of, parse, present_form
from gateway.postgres.accounts import GOOD_SECONDS
from gateway.postgres.database import Database
from settings import Settings
from tests.harness.command import COMMAND
from tests.harness.foreign_accounts import one_of_each
from tests.paths import PROJECT

ACCOUNTS = (*COMMAND, "accounts")

PBKDF2, BCRYPT = "$pbkdf2-sha256$i=1000000,l=32$", "$2b$12$"
PRESENT = present_form(19_456, 2, 1)
HASH, OTHER = decoy(BCRYPT), decoy(BCRYPT)


def run(
    database: str, *arguments: str, given: bytes = b""
) -> tuple[int, str, subprocess.CompletedProcess[bytes]]:
    """The exit code of the command, its last line, and all of it."""
    done = subprocess.run(
        [*ACCOUNTS, *arguments],
        cwd=PROJECT,
        env={**os.environ, "DATABASE_URL": database},
        input=given,
        capture_output=True,
        check=False,
    )
    sys.stderr.write(done.stderr.decode())  # pytest shows it where a test fails
    return done.returncode, (done.stdout.decode() or "\n").splitlines()[-1], done


def said(made: int = 0, replaced: int = 0, same: int = 0, kept: int = 0, refused: int = 0) -> str:
    """The line at the end of an import."""
    return (
        f'{{"created":{made},"replaced":{replaced},"same":{same},"kept":{kept},'
        f'"refused":{refused}}}'
    )


def query(database: str, text: str) -> list[tuple[Any, ...]]:
    """The rows of this query."""
    with psycopg.connect(database) as connection:
        return connection.execute(text).fetchall()


def stored(database: str) -> dict[str, str]:
    """The hash of each account."""
    return dict(query(database, "SELECT username, password_hash FROM accounts"))


def counted(database: str) -> dict[str, int]:
    """The accounts of each form, as decoys go by them."""
    return dict(query(database, "SELECT form, accounts FROM password_forms WHERE accounts > 0"))


def lines(*accounts: tuple[str, str]) -> bytes:
    """A CSV."""
    return "\n".join(("user,hash", *(f'{user},"{hash_}"' for user, hash_ in accounts))).encode()


@pytest.mark.slow
def test_some_thousand_accounts_come_and_go(database: str, tmp_path: Path):
    """In several transactions; what is exported is imported as the same, in both formats."""
    count = 2 * importing.CHUNK_LINES + 345
    forms = [PBKDF2, BCRYPT, "$argon2id$v=19$m=64,t=1,p=1$"]
    hashes = [decoy(form) for form in forms]
    file = tmp_path / "accounts.csv"
    with file.open("w") as out:
        writer = csv.writer(out)
        writer.writerow(("user", "hash", "disabled", "registered_at"))
        for number in range(count):
            writer.writerow(
                (f"Person{number}", hashes[number % 3], number % 7 == 0, "2024-02-29T12:00:00Z")
            )
    code, line, _ = run(database, "import", str(file))
    assert (code, line) == (0, said(made=count))
    assert Counter(map(form_of, stored(database).values())) == counted(database)
    assert query(
        database,
        "SELECT count(*) FILTER (WHERE disabled), min(registered_at)::text, max(version) > 0"
        "  FROM accounts",
    ) == [(-(-count // 7), "2024-02-29 12:00:00+00", True)]
    for name in ("exported.csv", "exported.ndjson"):
        exported = tmp_path / name
        code, _, done = run(database, "export", str(exported))
        assert (code, done.stderr.decode()) == (0, f"{count:,} accounts were written.\n")
        assert stat.S_IMODE(exported.stat().st_mode) == 0o600
        assert run(database, "import", str(exported))[:2] == (0, said(same=count))
        with psycopg.connect(database) as connection:
            connection.execute("DELETE FROM accounts WHERE username > 'person5'")
        code, line, _ = run(database, "import", str(exported))
        assert code == 0
        assert len(stored(database)) == count
    with psycopg.connect(database) as connection:
        connection.execute("SELECT count_password_forms()")
    assert Counter(map(form_of, stored(database).values())) == counted(database)


def test_the_forms_are_the_same_to_python_and_to_sql(database: str):
    """The one chooses decoys by what the other has counted."""
    hashes = [parse(given).stored for given, _ in one_of_each().values()]
    hashes += ["", "nonsense", "$", "a$b", "$2"]
    with psycopg.connect(database) as connection:
        for text in hashes:
            row = connection.execute("SELECT password_form(%s)", (text,)).fetchone()
            assert row == (form_of(text),)


def test_an_account_that_is_there_is_kept(database: str, tmp_path: Path):
    """And listed, but where it is the same; of lines with one name the first one counts."""
    assert run(database, "import", "-", given=lines(("ana", HASH)))[:2] == (0, said(made=1))
    report = tmp_path / "report.csv"
    given = lines(
        *(("ana", HASH), ("Ana", OTHER), ("ben", OTHER), ("BEN", OTHER), ("ben", HASH), ("x", HASH))
    )
    code, line, _ = run(database, "import", "-", "--report", str(report), given=given)
    assert (code, line) == (3, said(made=1, same=2, kept=2, refused=1))
    assert stored(database) == {"ana": HASH, "ben": OTHER}
    with report.open() as file:
        rows = list(csv.reader(file))
    assert [row[:2] for row in rows] == [["line", "user"], ["3", "ana"], ["6", "ben"], ["7", "x"]]
    assert rows[1][2] == importing.THERE
    assert "--replace" in rows[1][2]
    assert stat.S_IMODE(report.stat().st_mode) == 0o600
    assert HASH not in report.read_text()
    assert counted(database) == {BCRYPT: 2}


def test_what_is_kept_is_no_failure(database: str):
    """An import that runs every night finds passwords that were changed here."""
    run(database, "import", "-", given=lines(("ana", HASH)))
    code, line, done = run(database, "import", "-", given=lines(("ana", OTHER)))
    assert (code, line) == (0, said(kept=1))
    assert done.stderr.decode() == f"line 2: 'ana': {importing.THERE}\n"


def test_replacing_is_a_change_of_the_password(database: str):
    """So that what was given out by the old one ends. The last line of a name counts."""
    new = decoy(PBKDF2)
    given = lines(("ana", HASH), ("ben", HASH), ("cleo", HASH))
    run(database, "import", "-", given=given)
    versions = "SELECT username, version, registered_at FROM accounts ORDER BY username"
    before = query(database, versions)
    given = lines(("ana", OTHER), ("ben", HASH), ("ana", new), ("dora", OTHER), ("dora", new))
    code, line, _ = run(database, "import", "-", "--replace", given=given)
    assert (code, line) == (0, said(made=1, replaced=3, same=1))
    assert stored(database) == {"ana": new, "ben": HASH, "cleo": HASH, "dora": new}
    after = query(database, versions)
    assert after[0][1] > before[0][1]
    assert after[0][2] == before[0][2]
    assert after[1:3] == before[1:]
    assert counted(database) == {PBKDF2: 2, BCRYPT: 2}


def test_replacing_enables_nobody_in_passing(database: str):
    """Only a line that says so does; one without the field changes the password alone."""
    disabled = "SELECT username, disabled FROM accounts ORDER BY username"
    given = f"user,hash,disabled\nana,{HASH},true\nben,{HASH},true\ncleo,{HASH},true\n".encode()
    run(database, "import", "-", given=given)
    given = lines(("ana", OTHER), ("ben", HASH), ("dora", HASH))
    code, line, _ = run(database, "import", "-", "--replace", given=given)
    assert (code, line) == (0, said(made=1, replaced=1, same=1))
    now = [("ana", True), ("ben", True), ("cleo", True), ("dora", False)]
    assert query(database, disabled) == now
    assert stored(database)["ana"] == OTHER
    given = f"user,hash,disabled\nana,{OTHER},\nben,{HASH},false\n".encode()
    code, line, _ = run(database, "import", "-", "--replace", given=given)
    assert (code, line) == (0, said(replaced=1, same=1))
    assert query(database, disabled) == [now[0], ("ben", False), *now[2:]]


@pytest.mark.parametrize("fails", [False, True])
def test_replacing_ends_when_no_login_relies_on_what_it_had_read_before(database: str, fails: bool):
    """Also where it fails on the way: what was replaced by then is in force."""
    committed = 0.0

    def after_chunk(_: importing.Counts) -> None:
        nonlocal committed
        committed = time.monotonic()
        if fails:
            raise psycopg.OperationalError("the connection is lost")

    run(database, "import", "-", given=lines(("ana", HASH)))
    with psycopg.connect(database, autocommit=True) as connection:
        with suppress(psycopg.OperationalError):
            importing.write(
                connection,
                records(["ana"], OTHER),
                lambda _: None,
                replace=True,
                after_chunk=after_chunk,
            )
        assert time.monotonic() - committed > GOOD_SECONDS
    assert stored(database) == {"ana": OTHER}


def test_who_is_disabled_during_an_import_stays_so(database: str):
    """It waits for the change, and goes by what it finds then."""
    waiting = (
        "SELECT 1 FROM pg_stat_activity"
        " WHERE wait_event_type = 'Lock' AND datname = current_database()"
    )

    def import_() -> importing.Counts:
        with psycopg.connect(database, autocommit=True) as connection:
            given = [Record(2, "ana", OTHER, None, None)]
            return importing.write(connection, given, lambda _: None, replace=True)

    run(database, "import", "-", given=lines(("ana", HASH)))
    with psycopg.connect(database) as disabling, ThreadPoolExecutor(1) as threads:
        disabling.execute("UPDATE accounts SET disabled = true")
        replacing = threads.submit(import_)
        while not query(database, waiting):
            assert not replacing.done()  # each look waits for the database's answer
        disabling.commit()
        assert replacing.result() == importing.Counts(replaced=1)
    assert query(database, "SELECT password_hash, disabled FROM accounts") == [(OTHER, True)]


@pytest.mark.slow
def test_an_export_by_costly_settings_comes_back(database: str, monkeypatch: pytest.MonkeyPatch):
    """Hashes by today's settings are not bound to what others may cost."""
    own = decoy(present_form(262_144, 4, 1))
    assert run(database, "import", "-", given=lines(("ana", own)))[0] == 3
    monkeypatch.setenv("CERROJO_ARGON2_MEMORY_KIB", "262144")
    monkeypatch.setenv("CERROJO_ARGON2_TIME_COST", "4")
    for format_ in ("csv", "ndjson"):
        run(database, "import", "-", given=lines(("ana", own)))
        _, _, done = run(database, "export", "-", "--format", format_)
        with psycopg.connect(database) as connection:
            connection.execute("DELETE FROM accounts")
        code, line, _ = run(database, "import", "-", given=done.stdout)
        assert (code, line) == (0, said(made=1))
        assert stored(database) == {"ana": own}


def test_bad_lines_lose_nothing(database: str):
    """Each is said with its number, and the others are accounts."""
    given = b"\xef\xbb\xbfuser,hash\r\n\r\n" + b"\r\n".join(
        [
            b"ana," + HASH.encode(),
            b"a\0na," + HASH.encode(),
            b"\xff\xfe," + HASH.encode(),
            b"ben,correct horse",
            b"ben," + HASH.replace("12", "31").encode(),
            b"cleo," + HASH.encode(),
        ]
    )
    code, line, done = run(database, "import", "-", given=given)
    assert (code, line) == (3, said(made=2, refused=4))
    assert [text.split(":")[0] for text in done.stderr.decode().splitlines()] == [
        f"line {number}" for number in range(4, 8)
    ]
    assert "correct horse" not in done.stderr.decode()
    assert set(stored(database)) == {"ana", "cleo"}


@pytest.mark.parametrize(
    ("arguments", "given", "expected"),
    [
        (["-"], b"name,password\nana,x\n", "The first line must name the columns"),
        (["/nowhere/at/all"], b"", "/nowhere/at/all: No such file or directory"),
        (["/"], b"", "/: Is a directory"),
    ],
)
def test_a_file_that_cannot_be_used_changes_nothing(
    database: str, arguments: list[str], given: bytes, expected: str
):
    """The error says what is wrong with it."""
    code, _, done = run(database, "import", *arguments, given=given)
    assert code == 1
    assert expected in done.stderr.decode()
    assert stored(database) == {}


def test_twenty_bad_lines_are_shown_and_no_more(database: str):
    """A terminal is no place for a million of them."""
    given = lines(*((f"a {number}", HASH) for number in range(100)))
    code, line, done = run(database, "import", "-", given=given)
    assert (code, line) == (3, said(refused=100))
    assert done.stderr.decode().count("\n") == 21
    assert "--report" in done.stderr.decode().splitlines()[-1]


def test_an_import_that_was_killed_is_run_again(database: str, tmp_path: Path):
    """What it has written stays; the same command goes on, and all accounts are there once."""
    file = tmp_path / "accounts.ndjson"
    count = 3 * importing.CHUNK_LINES
    with file.open("w") as out:
        out.writelines(f'{{"user":"person{number}","hash":"{HASH}"}}\n' for number in range(count))
    reading, writing = os.pipe()
    killed = subprocess.Popen(
        [*ACCOUNTS, "import", "-"],
        cwd=PROJECT,
        env={**os.environ, "DATABASE_URL": database},
        stdin=reading,
    )
    os.close(reading)
    with os.fdopen(writing, "wb") as pipe, file.open("rb") as given:
        for _ in range(importing.CHUNK_LINES + 1000):
            pipe.write(given.readline())
        pipe.flush()
        while not stored(database):  # each look waits for the database's answer
            assert killed.poll() is None
        killed.send_signal(signal.SIGKILL)
        killed.wait()
    assert len(stored(database)) == importing.CHUNK_LINES
    left = count - importing.CHUNK_LINES
    assert run(database, "import", str(file))[:2] == (
        0,
        said(made=left, same=importing.CHUNK_LINES),
    )
    assert counted(database) == {BCRYPT: count}


def test_a_database_that_goes_away_says_the_way_on(database: str):
    """With the code for it."""
    code, _, done = run(
        "postgresql://127.0.0.1:9/nobody", "import", "-", given=lines(("ana", HASH))
    )
    assert code == 1
    assert "Run the same command again" in done.stderr.decode()
    assert database not in done.stderr.decode()


@pytest.mark.parametrize("command", ["import", "export"])
def test_a_schema_of_old_is_to_be_brought_up_to_date(
    database_url: str, command: str, tmp_path: Path
):
    """The same command again would fail again."""
    file = tmp_path / "accounts.csv"
    file.write_bytes(lines(("ana", HASH)))
    code, _, done = run(database_url, command, str(file))
    assert code == 1
    assert "`python -m sql`" in done.stderr.decode()
    assert "again" not in done.stderr.decode()


@pytest.mark.parametrize("command", ["import", "export"])
def test_a_role_without_rights_is_named(database: str, command: str, tmp_path: Path):
    """So is what it lacks."""
    with psycopg.connect(database) as connection:
        role = connection.info.user
        # The owner has the rights of the parts, too.
        connection.execute(
            "REVOKE ALL ON accounts"
            " FROM current_user, cerrojo_gateway, cerrojo_operator, cerrojo_workers"
        )
    file = tmp_path / "accounts.csv"
    file.write_bytes(lines(("ana", HASH)))
    code, _, done = run(database, command, str(file))
    assert code == 1
    assert f"the role {role!r} lacks a right: permission denied" in done.stderr.decode()
    assert "again" not in done.stderr.decode()


@pytest.mark.parametrize("how", ["Ctrl-C", "the database"])
def test_an_export_that_fails_leaves_nothing(database: str, tmp_path: Path, how: str):
    """Half a file of hashes would be forgotten there; and it does not go on where it stopped."""
    waiting = (
        "SELECT pid FROM pg_stat_activity"
        " WHERE wait_event_type = 'Lock' AND datname = current_database()"
    )
    with psycopg.connect(database) as locking:
        locking.execute("LOCK TABLE accounts")
        export = subprocess.Popen(
            [*ACCOUNTS, "export", str(tmp_path / "out.csv")],
            cwd=PROJECT,
            env={**os.environ, "DATABASE_URL": database},
            stderr=subprocess.PIPE,
        )
        while not (found := query(database, waiting)):
            assert export.poll() is None  # each look waits for the database's answer
        assert [path.name for path in tmp_path.iterdir()] == ["out.csv.part"]
        if how == "Ctrl-C":
            export.send_signal(signal.SIGINT)
        else:
            query(database, f"SELECT pg_terminate_backend({found[0][0]})")
        _, errors = export.communicate()
    assert export.returncode == 1
    assert list(tmp_path.iterdir()) == []
    assert "goes on" not in errors.decode()


def records(users: Iterable[str], hash_: str) -> list[Record]:
    """Accounts with this hash."""
    return [Record(number, user, hash_, False, None) for number, user in enumerate(users, 2)]


def test_two_imports_at_once_make_each_account_once(database: str):
    """They wait for each other and for registrations, and neither fails."""
    users = [f"person{number}" for number in range(100)]
    with psycopg.connect(database) as registering:
        registering.execute("INSERT INTO accounts VALUES ('person50', 'of a registration')")
        refused: list[Any] = []

        def import_(order: list[str], hash_: str) -> importing.Counts:
            with psycopg.connect(database, autocommit=True) as connection:
                return importing.write(
                    connection, records(order, hash_), refused.append, replace=False
                )

        waiting = (
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )
        with ThreadPoolExecutor(2) as threads:
            imports = [
                threads.submit(import_, users, HASH),
                threads.submit(import_, users[::-1], OTHER),
            ]
            while query(database, waiting) != [(2,)]:
                pass  # each look waits for the database's answer
            registering.commit()
            counts = [each.result() for each in imports]
    assert sum(each.created for each in counts) == 99
    assert sum(each.kept for each in counts) == len(refused) == 101
    assert stored(database)["person50"] == "of a registration"


def test_unknown_names_get_the_accounts_forms(database: str):
    """Soon after an import; by one key for all processes."""

    async def scenario() -> None:
        calls = Database(Settings(database_url=database))
        loaders = [DecoyLoader(calls, PRESENT, 30.0) for _ in range(2)]
        with pytest.raises(UnavailableError):
            loaders[0].of("nobody")
        await calls.open()
        try:
            for loader in loaders:
                loader.start()
                await loader.loaded()
            names = [f"nobody{number}" for number in range(500)]
            found = [[loader.of(name) for name in names] for loader in loaders]
            one, other = (
                [form_of(hash_) if hash_ else PRESENT for hash_ in each] for each in found
            )
            assert one == other
            forms = Counter(one)
            assert 200 < forms[PBKDF2] < 300
            assert forms[PBKDF2] + forms[PRESENT] == 500
        finally:
            for loader in loaders:
                await loader.close()
            await calls.close()

    with psycopg.connect(database, autocommit=True) as connection:
        for form, users in ((PBKDF2, "abc"), (PRESENT, "def")):
            importing.write(
                connection,
                records((f"known-{user}" for user in users), decoy(form)),
                lambda _: None,
                replace=False,
            )
    asyncio.run(scenario())
    assert query(database, "SELECT settled FROM password_forms") == [(0.5,), (0.5,)]
    assert query(database, "SELECT length(key) FROM decoy_key") == [(32,)]
