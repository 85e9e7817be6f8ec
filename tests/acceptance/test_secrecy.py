"""A password is nowhere afterwards, nor is the pepper anywhere but in its file."""

from __future__ import annotations

import base64
import json
import os
import re
import secrets
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO
from urllib.request import urlopen

import psycopg
import pytest

from events.signing_keys import parse
from events.topics import ATTEMPTS, VERDICTS
from local.servers import Servers
from tests.acceptance.raw import credentials, exchange, request
from tests.acceptance.system import PEPPER, SERVICE_TOKEN, Client, RunningSystem, run
from tests.harness.operators import OPERATOR_TOKEN

USER = "known-by-name"


def base64_forms(secret: bytes) -> Iterator[bytes]:
    """The part of it that base64 always shows, whatever stands before and after it."""
    for before in range(3):
        text = base64.b64encode(b"\0" * before + secret)
        first = -(-before * 8 // 6)
        yield text[first : (before + len(secret)) * 8 // 6]


def forms(secret: str) -> set[bytes]:
    """How a text may be written down."""
    plain = secret.encode()
    escaped = "".join(f"\\u{ord(character):04x}" for character in secret).encode()
    return {
        plain,
        secret.upper().encode(),
        secret.encode("utf-16-le"),
        secret.encode("utf-16-be"),
        plain.hex().encode(),
        plain.hex().upper().encode(),
        plain.hex(" ").encode(),
        escaped,
        escaped.replace(b"\\", b"\\\\"),
        "".join(f"%{byte:02x}" for byte in plain).encode(),
        "".join(f"\\x{byte:02x}" for byte in plain).encode(),
        *base64_forms(plain),
    }


def stretches(file: BinaryIO) -> Iterator[tuple[int, int]]:
    """The parts of a file that hold data: Kafka's indices are large and mostly holes."""
    end = 0
    while True:
        try:
            start = os.lseek(file.fileno(), end, os.SEEK_DATA)
            end = os.lseek(file.fileno(), start, os.SEEK_HOLE)
        except OSError:  # no more data, or a pipe
            return
        yield start, end


def contains(path: Path, wanted: Iterable[bytes]) -> bool:
    """Whether one of these is in this file."""
    wanted = set(wanted)
    try:
        with path.open("rb") as file:
            parts = (os.pread(file.fileno(), end - start, start) for start, end in stretches(file))
            return any(form in part for part in parts for form in wanted)
    except FileNotFoundError:  # a server has removed it meanwhile
        return False


def found(folder: Path, secret: str, *more: bytes) -> set[Path]:
    """The files in this folder that have it in them, in any form, or one of the others."""
    wanted = {*forms(secret), *more}
    # A folder that a server removes meanwhile, as Kafka's of a topic, is passed over.
    files = [Path(at, name) for at, _, names in os.walk(folder) for name in names]
    return {path.relative_to(folder) for path in files if path.is_file() and contains(path, wanted)}


def test_the_search_knows_a_text_in_every_form(tmp_path: Path):
    """Otherwise finding nothing would mean nothing."""
    secret = secrets.token_urlsafe(12)
    for number, form in enumerate(forms(secret)):
        (tmp_path / str(number)).write_bytes(b"\0" * 9999 + form + b"\n")
    for number in range(3):
        text = base64.b64encode(os.urandom(number) + json.dumps({"pass": secret}).encode())
        (tmp_path / f"base64 {number}").write_bytes(text)
    (tmp_path / "without").write_bytes(secret.encode()[:-1])
    everything = {path.relative_to(tmp_path) for path in tmp_path.iterdir()}
    assert found(tmp_path, secret) == everything - {Path("without")}


@pytest.fixture(scope="module")
def canary(system: RunningSystem) -> str:
    """A text that was in every password that this system was sent, in good ones and in bad."""
    secret = f"canary{secrets.token_hex(10)}"
    right, wrong = f"right {secret} one", f"wrong {secret} one"

    async def well_formed(client: Client) -> None:
        await client.register(USER, right)
        assert (await client.post("/register", {"user": USER, "pass": wrong})).status == 409
        assert (await client.login(USER, right)).status == 200
        assert (await client.login("nobody-of-this-name", wrong)).status == 401
        assert (await client.login(f"{USER}2", f"\N{GRINNING FACE} {secret}")).status == 401
        for status in [401] * 5 + [429] * 2:
            assert (await client.login(USER, wrong)).status == status
        assert (await client.login(USER, right)).status == 429
        assert (await client.change(USER, wrong, right)).status == 429
        other = {"user": f"{USER}3", "pass": right}
        assert (await client.operator("POST", "/accounts", other)).status == 201
        assert (await client.operator("POST", "/accounts", other)).status == 409
        assert (await client.change(f"{USER}3", wrong, right)).status == 401
        assert (await client.change(f"{USER}3", right, f"new {secret} one")).status == 200
        path = f"/accounts/{USER}3/password"
        assert (await client.operator("PUT", path, {"pass": right})).status == 200
        assert (await client.operator("PUT", path, {"pass": right, "x": 1})).status == 400
        assert (await client.change(f"{USER}3", right, f"{secret}\0")).status == 400
        nobody = f"/accounts/{USER}4/password"
        assert (await client.operator("PUT", nobody, {"pass": right})).status == 404

    run(system, well_formed)
    bad_bodies = (
        right.encode(),
        credentials(USER, right)[:-1],
        credentials(USER, right)[:-1] + b', "more": 1}',
        credentials(USER, f"{secret}\0"),
        credentials(USER, f"{secret}\ud800"),
        credentials(USER, [right]),
        credentials(USER, right * 500),
        credentials(right, right),
        credentials("", right),
    )
    for path in ("/login", "/register"):
        for body in bad_bodies:
            assert exchange(system.login_url, request("POST", path, body)).status in (400, 413)
        body = credentials(USER, right)
        for data, status in (
            (request("POST", path, body, "text/plain"), 415),
            (request("PUT", path, body), 405),
            (request("POST", f"{path}/{secret}", body), 404),
        ):
            assert exchange(system.login_url, data).status == status
    # A service's token is as secret; here it is one that has expired, or is for somewhere else.
    data = request("POST", "/attempts", b"{}", headers={"Authorization": f"Bearer {secret}"})
    assert exchange(system.login_url, data).status == 401
    unfinished = request("POST", "/login", body[:-1], headers={"Content-Length": "9999"})
    assert exchange(system.login_url, unfinished).status == 408
    return secret


def test_no_secret_is_in_any_file(system: RunningSystem, servers: Servers, canary: str):
    """Not in Kafka's, not in Postgres', not in a log; the username, found there, shows the way."""
    with psycopg.connect(servers.database_url, autocommit=True) as connection:
        # A checkpoint, by one who may not ask for it: copying a database takes one.
        connection.execute("CREATE DATABASE checkpoint STRATEGY file_copy")
        connection.execute("DROP DATABASE checkpoint")
    names = found(servers.data_dir, USER)
    assert {path.parts[-2].rpartition("-")[0] for path in names if path.parts[0] == "kafka"} >= {
        ATTEMPTS,
        VERDICTS,
    }
    assert any(path.parts[:2] == ("postgres", "base") for path in names)
    assert any(path.parts[:2] == ("postgres", "pg_wal") for path in names)
    assert found(servers.data_dir, canary) == set()
    assert system.logs()
    assert found(system.folder, canary) == set()
    signing = [key.secret for key in parse((system.signing_keys / "workers.json").read_bytes())]
    signing_bytes = [bytes.fromhex(secret) for secret in signing]
    for folder in (servers.data_dir, system.folder):
        assert found(folder, signing[0], *map(str.encode, signing), *signing_bytes) == set()
    key = bytes.fromhex(PEPPER)
    assert found(servers.data_dir, PEPPER, key) == set()
    for folder in (servers.data_dir, system.folder):
        assert found(folder, OPERATOR_TOKEN) == set()
    assert found(system.folder, PEPPER, key) == {system.peppers_file.relative_to(system.folder)}


def test_no_secret_is_in_a_title_or_an_environment(system: RunningSystem, canary: str):
    """Every user of a machine may see the titles of its processes, and its tools keep them."""
    processes = [Path(f"/proc/{pid}") for pid in system.pids("")]
    assert len(processes) > 6
    secrets = [*forms(canary), *forms(PEPPER), *forms(SERVICE_TOKEN), *forms(OPERATOR_TOKEN)]
    for process in processes:
        shown = b"".join((process / name).read_bytes() for name in ("cmdline", "environ"))
        assert b"cerrojo: " in shown
        assert not any(secret in shown for secret in secrets)


@pytest.mark.parametrize("title", ["gateway login", "gateway operator", "gateway hash"])
def test_what_sees_passwords_dumps_no_core(system: RunningSystem, title: str):
    """A crash would write them to a disk, or send them to somebody who collects crashes."""
    for pid in system.pids(title):
        limits = Path(f"/proc/{pid}/limits").read_text()
        assert re.search(r"^Max core file size +0 +0 ", limits, re.MULTILINE)
    assert system.pids(title)


def test_no_password_is_in_a_page_of_metrics(system: RunningSystem, canary: str):
    """Nor in what the operators' resources say."""
    pages = (
        f"{system.workers_url}/metrics",
        f"{system.operator_url}/metrics",
        f"{system.operator_url}/blocked",
        f"{system.operator_url}/blocked/{USER}",
        f"{system.operator_url}/attempts?user={USER}",
    )
    for page in pages:
        with urlopen(page) as response:  # noqa: S310  # http
            text = response.read()
        assert text
        assert not any(form in text for form in forms(canary)), page
