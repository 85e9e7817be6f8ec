"""`python -m bench.import_rate`: how many accounts a second are imported, and who can log in then.

It starts its own servers, writes a file of accounts whose hashes have all forms that an import
takes, imports it, imports it again as after an interruption, and exports it. The time is that of
the whole command, with its start. Then it starts the whole system on these accounts. One account of
each form has a password that is known: a wrong one is refused there, and the right one lets in
twice, as the hash is another one after the first time. Figures are of an otherwise quiet machine,
or of nothing.
"""

from __future__ import annotations

import argparse
import http.client
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psycopg

from bench.client import PASSWORD
from bench.errors import BenchError
from bench.foreign_hashes import Fields, another, one_of_each
from bench.machine import commit, describe
from bench.system import CACHE, HOST, PROJECT, Up, up
from gateway.passwords.hash_formats import form_of, present_form
from local.servers import Servers
from settings import Settings
from sql.migrate import migrate

LOOK_SECONDS = 0.02

DIFFERENT = 1_000
"""Hashes of each form; the names are all different."""


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.import_rate", description=__doc__)
    parser.add_argument("--accounts", type=int, default=1_000_000)
    count = parser.parse_args().accounts
    forms = one_of_each(PASSWORD)
    if count < len(forms):
        parser.error(f"--accounts is {count}: there are {len(forms)} forms; take as many at least")
    print(f"{describe()}, {commit()}")
    with tempfile.TemporaryDirectory(prefix="bench") as name:
        folder = Path(name)
        file, exported = folder / "accounts.ndjson", folder / "exported.csv"
        known = _write(file, count, forms)
        try:
            with Servers(folder / "data", CACHE) as servers:
                url = servers.database_url
                migrate(url)
                _run(url, "import", count, "import", str(file))
                _run(url, "the same again", count, "import", str(file))
                _run(url, "export", count, "export", str(exported))
                with psycopg.connect(url) as connection:
                    began = time.monotonic()
                    connection.execute("SELECT count_password_forms()")
                    print(f"counting their forms: {time.monotonic() - began:.2f} s")
            with up({}, folder / "data") as system:
                _log_in(system, known)
        except BenchError as error:
            sys.exit(str(error))
    print(f"of {count:,} accounts one of each of {len(known)} forms has logged in")
    return 0


def _write(file: Path, count: int, forms: dict[str, Fields]) -> dict[str, str]:
    """Accounts of all forms in turn; the names of those whose password is known, by their form."""
    others = [_rest(another(fields)) for _ in range(DIFFERENT) for fields in forms.values()]
    known = {number * count // len(forms): form for number, form in enumerate(forms)}
    with file.open("w") as out:
        for number in range(count):
            rest = _rest(forms[known[number]]) if number in known else others[number % len(others)]
            out.write(f'{{"user":"{_name(number)}",{rest}\n')
    return {form: _name(number) for number, form in known.items()}


def _rest(fields: Fields) -> str:
    return json.dumps(fields).removeprefix("{")


def _name(number: int) -> str:
    return f"person{number}@example.com"


def _run(url: str, what: str, count: int, *command: str) -> None:
    """Say how long it takes, and the most memory that it has."""
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "cerrojo", "accounts", *command],
        cwd=PROJECT,
        env={"DATABASE_URL": url},
        stdout=subprocess.DEVNULL,
    )
    most = 0
    while process.poll() is None:
        most = max(most, _most_memory(process.pid))
        time.sleep(LOOK_SECONDS)
    seconds = time.monotonic() - began
    if process.returncode:
        raise BenchError(f"cerrojo accounts {' '.join(command)} failed; see above.")
    print(
        f"{what}: {count:,} accounts in {seconds:.1f} s, {count / seconds:,.0f}/s, "
        f"{most / 1024:,.0f} MB"
    )


def _most_memory(pid: int) -> int:
    """KiB. The kernel's usage of a child, which `wait4` gives, begins with that of its parent."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:  # it has ended
        return 0
    found = re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)
    return int(found[1]) if found else 0


def _log_in(system: Up, known: dict[str, str]) -> None:
    """Log in to each of these, and say how long it takes. BenchError for an unexpected answer."""
    connection = http.client.HTTPConnection(HOST, system.login_port, timeout=30)
    for form, user in known.items():
        answers = [
            _login(connection, user, password)
            for password in (f"{PASSWORD}?", PASSWORD, PASSWORD, f"{PASSWORD}?")
        ]
        if [status for status, _ in answers] != [401, 200, 200, 401]:
            raise BenchError(
                f"{user}, whose hash was {form}, was to be refused, let in twice and refused: "
                f"{', '.join(str(status) for status, _ in answers)}"
            )
        wrong, first, second, _ = (f"{seconds * 1000:.0f} ms" for _, seconds in answers)
        print(f"{form}: refused in {wrong}, let in {first}, by the new hash {second}")
    with psycopg.connect(system.database_url) as database:
        rows = database.execute(
            "SELECT password_hash FROM accounts WHERE username = ANY(%s)", ([*known.values()],)
        ).fetchall()
    default = Settings()
    ours = present_form(
        default.argon2_memory_kib, default.argon2_time_cost, default.argon2_parallelism
    )
    if {form_of(hash_) for (hash_,) in rows} != {ours}:
        raise BenchError("A hash was not made anew at the login.")


def _login(connection: http.client.HTTPConnection, user: str, password: str) -> tuple[int, float]:
    """The status, and seconds."""
    body = json.dumps({"user": user, "pass": password})
    began = time.perf_counter()
    connection.request("POST", "/login", body, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    answer.read()
    return answer.status, time.perf_counter() - began


if __name__ == "__main__":
    sys.exit(main())
