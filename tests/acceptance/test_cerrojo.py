"""The command `cerrojo` against a running system."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from events.topics import TOPICS
from gateway.operators import digest_of
from local import tcp_ports
from tests.acceptance.system import Client, RunningSystem, run
from tests.harness.command import COMMAND, cerrojo, doctor, said
from tests.paths import PROJECT

RIGHT, WRONG = "the right password", "a wrong password"


def block(system: RunningSystem, user: str) -> None:
    """Register this account, and guess until it is blocked."""

    async def scenario(client: Client) -> None:
        await client.register(user, RIGHT)
        for _ in range(5):
            assert (await client.login(user, WRONG)).status == 401
        assert (await client.login(user, RIGHT)).status == 429

    run(system, scenario)


def log_in(system: RunningSystem, user: str, password: str = RIGHT) -> int:
    """The status, once the process has heard of what was lifted."""
    found = []

    async def scenario(client: Client) -> None:
        found.append((await client.login_once_heard(user, password)).status)

    run(system, scenario)
    return found[0]


def findings(done: subprocess.CompletedProcess[str]) -> dict[str, list[str]]:
    """What the doctor says, by state."""
    found: dict[str, list[str]] = {"ok": [], "warning": [], "failed": []}
    for finding in json.loads(done.stdout)["checks"]:
        found[finding["state"]].append(f"{finding['check']}: {finding['sentence']}")
    return found


def test_a_block_is_found_explained_and_lifted(system: RunningSystem):
    """And what was never blocked is said to be none."""
    block(system, "cli.ana")
    block(system, "cli.ben")
    names = said(system.env, "blocked")["blocked"]
    assert {"cli.ana", "cli.ben"} <= set(names)
    (found,) = said(system.env, "blocked", "I.AN", "--details")["blocked"]
    assert (found["user"], found["failures"]) == ("cli.ana", 5)
    assert found["why"] == "5 wrong passwords within 900 s"
    assert said(system.env, "blocked", "i.an", "--reason", "within 900") == {"blocked": [found]}
    assert said(system.env, "blocked", "cli.ana", "--since", found["since"]) == {"blocked": [found]}
    assert said(system.env, "blocked", "cli.ana", "--reason", "by hand") == {"blocked": []}
    assert said(system.env, "unblock", "cli.ana") == {"user": "cli.ana", "unblocked": True}
    assert log_in(system, "cli.ana") == 200
    assert said(system.env, "blocked", "cli.") == {"blocked": ["cli.ben"]}
    done = cerrojo(system.env, "unblock", "cli.ana")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "This account is not blocked.\n"


def test_several_blocks_are_lifted_by_a_list(system: RunningSystem, tmp_path: Path):
    """What is not blocked is named, and keeps none of the others waiting."""
    users = ["cli.list-one", "cli.list-two"]
    for user in users:
        block(system, user)
    listed = "\n".join(["cli.nobody", "x", *users, ""])  # and no name at all
    done = said(system.env, "unblock", "-", "--reason", "our own mistake", given=listed)
    assert done == {"unblocked": users, "not_blocked": ["cli.nobody", "x"]}
    assert not set(users) & set(said(system.env, "blocked")["blocked"])
    first, *_ = said(system.env, "attempts", "cli.list-two")["attempts"]
    assert (first["kind"], first["reason"]) == ("unblock", "our own mistake")
    assert said(system.env, "unblock", *users) == {"unblocked": [], "not_blocked": users}
    token = tmp_path / "token"
    token.write_text("nobodys\n")
    env = {**system.env, "CERROJO_OPERATOR_TOKEN_FILE": str(token)}
    stopped = cerrojo(env, "unblock", *users)
    assert (stopped.returncode, stopped.stdout) == (1, "")
    assert stopped.stderr.startswith(f"0 accounts are unblocked, and {users[0]} and those after it")
    refused = cerrojo(system.env, "unblock", *users, "--reason", "a" * 201)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.startswith("--reason must have at most 200 characters, and has 201")


def test_the_attempts_of_an_account_are_shown(system: RunningSystem):
    """Newest first, and as many as are asked for."""
    block(system, "cli.cleo")
    found = said(system.env, "attempts", "cli.cleo")["attempts"]
    assert said(system.env, "attempts", "cli.cleo", "--limit", "2")["attempts"] == found[:2]
    if found[0]["verdict"] == "blocked":  # by the log: its process had not heard of the block yet
        found.pop(0)
    assert [one["kind"] for one in found] == [*["attempt"] * 5, "registered"]
    assert {one["verdict"] for one in found[:5]} == {"rejected"}
    asked = ("--source", found[0]["source"], "--verdict", "rejected", "--from", found[-1]["at"])
    assert said(system.env, "attempts", *asked, "--to", "2100-01-01")["attempts"] == found[:5]
    assert said(system.env, "attempts", "cli.cleo", "--verdict", "late") == {"attempts": []}


@contextmanager
def following(system: RunningSystem, *words: str) -> Iterator[subprocess.Popen[str]]:
    """The command while it goes on; Ctrl-C ends it, without a word, as if all were well."""
    process = subprocess.Popen(
        [*COMMAND, "attempts", *words, "--follow"],
        cwd=PROJECT,
        env={**os.environ, **system.env},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=90)
        assert (process.returncode, errors) == (0, "")
    finally:
        process.kill()
        process.wait()


def next_of(process: subprocess.Popen[str], user: str = "") -> dict[str, Any]:
    """The next decision that it says; about this account, where one is named."""
    assert process.stdout is not None
    for line in process.stdout:
        found: dict[str, Any] = json.loads(line)
        if not user or found["user"] == user:
            return found
    raise AssertionError("it ended")


def test_attempts_are_followed_live(system: RunningSystem):
    """Those of one account by the operator port, after the ones before."""
    block(system, "cli.dora")
    with following(system, "cli.dora") as process:
        assert next_of(process)["kind"] == "registered"
        for _ in range(5):
            assert next_of(process)["outcome"] == "wrong"
        said(system.env, "unblock", "cli.dora")
        if (told := next_of(process))["verdict"] == "blocked":  # not heard of yet
            told = next_of(process)
        assert told["kind"] == "unblock"
        assert log_in(system, "cli.dora") == 200
        assert next_of(process)["outcome"] == "right"


def test_the_attempts_of_all_are_followed_live(system: RunningSystem):
    """By Postgres; what was before is not shown, and behind a block nothing is revealed."""
    block(system, "cli.eva")
    # Its first look has been answered.
    waiting = (
        "SELECT 1 FROM pg_stat_activity WHERE application_name = 'cerrojo attempts'"
        " AND state LIKE 'idle%%' AND query LIKE '%%FROM audit%%'"
    )
    with following(system) as process:
        while not system.query(waiting):
            assert process.poll() is None  # each look waits for the database's answer
        said(system.env, "unblock", "cli.eva")
        assert log_in(system, "cli.eva") == 200
        shown = [next_of(process, "cli.eva") for _ in range(2)]
    assert [one["kind"] for one in shown] == ["unblock", "attempt"]
    http = said(system.env, "attempts", "cli.eva", "--limit", "2")["attempts"]
    assert [{**one, "user": "cli.eva"} for one in reversed(http)] == shown


def test_accounts_are_made_and_changed_without_a_password_in_sight(system: RunningSystem):
    """It comes by stdin, and a deletion has to be meant."""
    assert said(system.env, "accounts", "create", "cli.fay", given=f"{RIGHT}\n")["success"]
    assert log_in(system, "cli.fay") == 200
    assert said(system.env, "accounts", "disable", "cli.fay")["success"]
    assert said(system.env, "accounts", "show", "cli.fay")["disabled"] is True
    assert log_in(system, "cli.fay") == 401
    assert said(system.env, "accounts", "enable", "cli.fay")["success"]
    assert said(system.env, "accounts", "reset", "cli.fay", given="another password\n")["success"]
    assert log_in(system, "cli.fay", "another password") == 200
    assert said(system.env, "accounts", "forget-devices", "cli.fay")["success"]
    done = cerrojo(system.env, "accounts", "delete", "cli.fay")
    assert done.returncode == 2
    assert "--yes" in done.stderr
    assert said(system.env, "accounts", "delete", "cli.fay", "--yes")["deleted"] is True
    done = cerrojo(system.env, "accounts", "show", "cli.fay")
    assert (done.returncode, done.stdout) == (1, "")


def test_partitions_attacks_and_the_rest_are_shown(system: RunningSystem):
    """Each as one document."""
    partitions = said(system.env, "partitions")["partitions"]
    assert [one["partition"] for one in partitions] == [0, 1]
    assert all(one["lag"] is not None and one["owner"] for one in partitions)
    assert said(system.env, "attacks")["attack"] is False
    shown = said(system.env, "policy")["policy"]
    assert shown["threshold"] == 5
    [first] = said(system.env, "policy", "history")["policies"]
    assert (first["policy"], first["changed"]) == (shown, [])
    assert said(system.env, "resize")["used"] == 2
    [(quarantined,)] = system.query("SELECT count(*) FROM quarantine WHERE replayed_at IS NULL")
    assert len(said(system.env, "quarantine")["quarantine"]) == quarantined


def on_a_terminal(system: RunningSystem, *words: str) -> str:
    """All that the command shows on a terminal, which hands it out in pieces."""
    leader, follower = pty.openpty()
    env = {**os.environ, **system.env, "COLUMNS": "200", "TERM": "dumb"}
    with subprocess.Popen([*COMMAND, *words], cwd=PROJECT, env=env, stdout=follower) as process:
        os.close(follower)
        shown = b""
        with suppress(OSError):  # as Linux says that the other end is closed
            while piece := os.read(leader, 65_536):
                shown += piece
    os.close(leader)
    assert process.returncode == 0
    return shown.decode()


def test_a_terminal_has_tables(system: RunningSystem):
    """Of words, and no JSON."""
    head, *rows = on_a_terminal(system, "partitions").splitlines()
    assert head.split()[:2] == ["partition", "lag"]
    first = [row[: len("partition")].strip() for row in rows]
    assert list(filter(None, first)) == ["0", "1"]


def test_the_doctor_finds_a_running_system_well(system: RunningSystem):
    """Every part of it."""
    done = doctor(system.env)
    found = findings(done)
    assert (done.returncode, found["failed"]) == (0, [])
    checks = {sentence.partition(":")[0] for sentence in found["ok"]}
    assert checks >= {
        *("settings", "signing keys", "files", "Kafka", "topics", "rights", "clock of Kafka"),
        *("Postgres", "migrations", "role", "partitions", "clock of Postgres"),
        *("gateway", "workers"),
    }


def test_the_doctor_says_which_topic_is_missing(system: RunningSystem):
    """With what makes it."""
    done = cerrojo({**system.env, "CERROJO_TOPIC_PREFIX": "other."}, "doctor")
    assert done.returncode == 1
    assert findings(done)["failed"] == [
        f"topics: The topic other.{topic} is missing. `python -m events` makes it."
        for topic in TOPICS
    ]


def test_the_doctor_says_that_postgres_is_away(system: RunningSystem):
    """And goes on with the rest; what it says has no password in it."""
    port = tcp_ports.choose("127.0.0.1")
    url = f"postgresql://cerrojo:a-secret@127.0.0.1:{port}/cerrojo"
    done = doctor({**system.env, "DATABASE_URL": url})
    assert done.returncode == 1
    (failure,) = findings(done)["failed"]
    assert failure.startswith("Postgres: Does not answer: ")
    assert "set DATABASE_URL to where it is" in failure
    assert "a-secret" not in done.stdout + done.stderr
    assert any(sentence.startswith("gateway: ") for sentence in findings(done)["ok"])


def test_a_gateway_that_is_away_is_said_with_the_way_out(system: RunningSystem):
    """By the setting's name."""
    port = tcp_ports.choose("127.0.0.1")
    url = f"http://127.0.0.1:{port}"
    done = cerrojo({**system.env, "CERROJO_OPERATOR_URL": url}, "blocked")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"Nothing answers at {url}: ")
    assert "set CERROJO_OPERATOR_URL" in done.stderr


def test_operators_have_names_roles_and_an_end(system: RunningSystem, tmp_path: Path):
    """A token does what its role may, until it is revoked: with the very next request."""
    block(system, "cli.hal")
    made = cerrojo(system.env, "operators", "add", "Ana", "--role", "operate", "--days", "2")
    assert made.returncode == 0
    assert "shown only now" in made.stderr
    token = tmp_path / "token"
    token.write_text(made.stdout)
    env = {**system.env, "CERROJO_OPERATOR_TOKEN_FILE": str(token)}
    listed = {one["name"]: one for one in said(system.env, "operators")["operators"]}
    assert (listed["Ana"]["role"], listed["Ana"]["valid"], listed["Ana"]["revoked"]) == (
        *("operate", True, False),
    )
    stored = system.query("SELECT digest FROM operator_tokens WHERE name = 'Ana'")
    assert stored == [(digest_of(made.stdout.strip().encode()),)]
    assert said(env, "unblock", "cli.hal")["unblocked"] is True
    more = cerrojo(env, "accounts", "delete", "cli.hal", "--yes")
    assert (more.returncode, more.stdout) == (1, "")
    assert "Ana has the role operate, and this needs administer" in more.stderr
    again = cerrojo(system.env, "operators", "add", "Ana")
    assert again.returncode == 1
    assert "Ana has a valid token. Give --replace" in again.stderr
    assert said(system.env, "operators", "revoke", "Ana") == {"name": "Ana", "revoked": True}
    refused = cerrojo(env, "unblock", "cli.hal")
    assert refused.returncode == 1
    assert "it has expired or is revoked" in refused.stderr
    assert said(env, "blocked", "cli.hal") == {"blocked": []}  # from loopback
    assert cerrojo(system.env, "operators", "revoke", "nobody").returncode == 1
    bad = cerrojo(system.env, "operators", "add", "a\nb")
    assert (bad.returncode, bad.stdout) == (2, "")


def test_without_a_token_nothing_is_changed(system: RunningSystem):
    """And it is said how one is given; only where nobody has one, how one is made."""
    env = {name: value for name, value in system.env.items() if "OPERATOR_TOKEN" not in name}
    refused = cerrojo(env, "unblock", "cli.ina")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "CERROJO_OPERATOR_TOKEN_FILE" in refused.stderr
    missing = cerrojo({**env, "CERROJO_OPERATOR_TOKEN_FILE": "/nowhere"}, "unblock", "cli.ina")
    assert missing.returncode == 1
    assert "CERROJO_OPERATOR_TOKEN_FILE is '/nowhere'" in missing.stderr


def test_nothing_of_it_reaches_a_terminal_as_a_command(system: RunningSystem):
    """A user agent is chosen by who guesses."""
    agent = "\x1b]0;owned\x07"

    async def scenario(client: Client) -> None:
        answer = await client.attempt("cli.gil", "wrong", user_agent=agent)
        assert answer.status == 200, answer

    run(system, scenario)
    shown = on_a_terminal(system, "attempts", "cli.gil")
    assert "\x1b" not in shown
    assert "owned" in shown
