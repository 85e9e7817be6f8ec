"""Webhooks by the relay, to receivers that fail, are slow, and come back."""

from __future__ import annotations

import base64
import json
import re
import socket
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg
import pytest

from cerrojo.__main__ import application
from cerrojo.webhooks import SHOWN
from sql.roles import WORKERS
from tests.harness.command import cerrojo
from tests.harness.dribbler import dribbling
from tests.harness.receiver import Receiver
from tests.harness.waiting import wait_until
from tests.postgres import as_role
from tests.unit.workers.relay.test_documents import EXAMPLES
from workers.relay import delivery, event, ocsf, posting, webhooks
from workers.relay.delivery import Deliveries
from workers.relay.event import AnyEvent
from workers.relay.posting import signature

IDS = [each.id for each in EXAMPLES]
OF_SIEM = len([each for each in EXAMPLES if ocsf.encode(each)])
"""Those that a webhook of OCSF gets."""


@pytest.fixture
def connection(database: str) -> Iterator[psycopg.Connection[Any]]:
    """The owner's, as the command comes."""
    with psycopg.connect(database, autocommit=True) as connection:
        yield connection


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was in vain is posted again at once, and so are looks."""
    monkeypatch.setattr(delivery, "LONGEST_WAIT_SECONDS", 0.05)
    monkeypatch.setattr(delivery, "LOOK_SECONDS", 0.05)


@pytest.fixture
def deliveries(database: str) -> Iterator[Deliveries]:
    """By the workers' role, as the relay has them."""
    found = Deliveries(as_role(database, WORKERS))
    yield found
    found.close()


def happen(connection: psycopg.Connection[Any], *events: AnyEvent) -> None:
    """Let the relay commit these."""
    with connection.transaction():
        webhooks.enqueue(connection, webhooks.bodies(events or EXAMPLES))


def waiting(connection: psycopg.Connection[Any]) -> tuple[int, int]:
    """The events that wait, and the dead letters."""
    [one] = webhooks.listed(connection)
    return one.waiting, one.dead


def test_a_receiver_gets_everything_signed_and_in_order(
    connection: psycopg.Connection[Any], deliveries: Deliveries
):
    """From the moment on at which the webhook is added; and nothing is left."""
    with Receiver() as receiver:
        happen(connection)
        secret = webhooks.add(connection, "siem", receiver.url, "cerrojo")
        assert secret is not None
        assert webhooks.add(connection, "siem", receiver.url, "cerrojo") is None
        deliveries.look()
        happen(connection)
        deliveries.wake()
        wait_until(lambda: waiting(connection) == (0, 0))
        assert receiver.ids == IDS
        for headers, body in receiver.got:
            seconds = int(headers["webhook-timestamp"])
            assert headers["webhook-signature"] == signature(
                secret, headers["webhook-id"], seconds, body
            )
        assert [body for _, body in receiver.got] == [event.encode(each) for each in EXAMPLES]


@pytest.mark.parametrize("answer", [500, 503, 429])
def test_one_that_fails_gets_it_later_and_in_order(
    connection: psycopg.Connection[Any], deliveries: Deliveries, answer: int
):
    """Nothing overtakes what it did not take, and what waits is seen."""
    with Receiver() as receiver:
        receiver.answer = answer
        webhooks.add(connection, "siem", receiver.url, "cerrojo")
        deliveries.look()
        happen(connection)
        deliveries.wake()
        wait_until(lambda: receiver.asked > delivery.REFUSALS + 2)
        [one] = webhooks.listed(connection)
        assert (one.waiting, one.dead, one.failure) == (
            len(EXAMPLES),
            0,
            f"it answered {answer}",
        )
        receiver.answer = 204
        wait_until(lambda: waiting(connection) == (0, 0))
        assert receiver.ids == IDS


def test_nothing_is_lost_while_the_receiver_is_away(
    connection: psycopg.Connection[Any], deliveries: Deliveries, database: str
):
    """Nobody listens there; meanwhile the relay's process dies, too, and another one goes on."""
    receiver = Receiver()
    receiver.close()
    webhooks.add(connection, "siem", receiver.url, "cerrojo")
    deliveries.look()
    happen(connection)
    wait_until(lambda: "cannot be reached" in (webhooks.listed(connection)[0].failure or ""))
    deliveries.close()
    with ExitStack() as stack:
        next_ = Deliveries(as_role(database, WORKERS))
        stack.callback(next_.close)
        back = stack.enter_context(Receiver(receiver.port))
        next_.look()
        wait_until(lambda: waiting(connection) == (0, 0))
        assert back.ids == IDS


def test_the_end_waits_for_a_statement_under_way(
    connection: psycopg.Connection[Any], deliveries: Deliveries
):
    """A connection that is closed beside it goes on in freed memory, or in the next connection."""
    webhooks.add(connection, "siem", "http://127.0.0.1:9/", "cerrojo")
    closing = threading.Thread(target=deliveries.close)
    with connection.transaction():
        connection.execute("LOCK TABLE webhook_deliveries IN ACCESS EXCLUSIVE MODE")
        deliveries.look()
        wait_until(
            lambda: (
                connection.execute(
                    "SELECT 1 FROM pg_locks WHERE NOT granted AND database ="
                    " (SELECT oid FROM pg_database WHERE datname = current_database())"
                ).fetchone()
                is not None
            )
        )
        closing.start()
        closing.join(0.3)
        assert closing.is_alive()
    closing.join()


def test_a_slow_one_is_not_waited_for_by_others(
    connection: psycopg.Connection[Any], deliveries: Deliveries, monkeypatch: pytest.MonkeyPatch
):
    """Each receiver has a thread of its own."""
    monkeypatch.setattr(posting, "TIMEOUT_SECONDS", 600.0)
    with Receiver() as slow, Receiver() as quick:
        slow.speaks.clear()
        webhooks.add(connection, "slow", slow.url, "cerrojo")
        deliveries.look()
        happen(connection)
        wait_until(lambda: slow.asked == 1)
        webhooks.add(connection, "quick", quick.url, "cerrojo")
        deliveries.look()
        happen(connection)
        wait_until(lambda: quick.ids == IDS)
        assert (slow.asked, slow.ids) == (1, [])
        slow.speaks.set()
        wait_until(lambda: slow.ids == 2 * IDS)


def test_one_that_says_nothing_is_posted_to_again(
    connection: psycopg.Connection[Any], deliveries: Deliveries, monkeypatch: pytest.MonkeyPatch
):
    """After a time, as it may have forgotten that it was asked."""
    monkeypatch.setattr(posting, "TIMEOUT_SECONDS", 0.2)
    with Receiver() as receiver:
        receiver.speaks.clear()
        webhooks.add(connection, "siem", receiver.url, "cerrojo")
        deliveries.look()
        happen(connection, EXAMPLES[0])
        wait_until(lambda: receiver.asked > 1)
        [one] = webhooks.listed(connection)
        assert one.failure == "it cannot be reached: timed out"
        receiver.speaks.set()
        wait_until(lambda: waiting(connection) == (0, 0))
        assert {*receiver.ids} == {IDS[0]}


@pytest.mark.parametrize(
    ("scheme", "said", "again"),
    [
        ("http", b"", b"H"),
        ("http", b"HTTP/1.1 200 O", b"K"),
        ("http", b"HTTP/1.1 200 OK\r\nServer: ", b"x"),
        ("http", b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        ("https", b"\x16\x03\x03\x40\x00", b"\x02"),
        ("https by a proxy", b"HTTP/1.1 200 O", b"K"),
    ],
    ids=["nothing", "status", "headers", "interim answers", "handshake", "proxy"],
)
def test_one_that_dribbles_is_given_up(
    connection: psycopg.Connection[Any],
    deliveries: Deliveries,
    monkeypatch: pytest.MonkeyPatch,
    scheme: str,
    said: bytes,
    again: bytes,
):
    """Each of its bytes comes in time, and its answer never does; what waits for it ends, too."""
    monkeypatch.setattr(posting, "TIMEOUT_SECONDS", 0.3)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with dribbling(said, again) as dribbler:
        url = f"{scheme}://127.0.0.1:{dribbler.port}/"
        if "proxy" in scheme:
            url = "https://siem.example/"
            monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{dribbler.port}")
            monkeypatch.setattr(posting, "_opener", posting._made_opener())
        webhooks.add(connection, "siem", url, "cerrojo")
        deliveries.look()
        happen(connection, EXAMPLES[0])
        wait_until(lambda: dribbler.asked > 2)
        [one] = webhooks.listed(connection)
        assert one.waiting == 1
        assert re.fullmatch(r"it cannot be reached: .*timed out", one.failure or "")
        webhooks.remove(connection, "siem")
        deliveries.look()
        wait_until(lambda: not threads("post to"))


def threads(begin: str) -> list[str]:
    """Those whose names begin so: "post to" those that post, or end what was given up."""
    return [each.name for each in threading.enumerate() if each.name.startswith(begin)]


def test_a_name_that_is_looked_up_for_long_is_given_up(
    connection: psycopg.Connection[Any], deliveries: Deliveries, monkeypatch: pytest.MonkeyPatch
):
    """And when its address comes at last, nothing is posted there: its turn is over."""
    monkeypatch.setattr(posting, "TIMEOUT_SECONDS", 0.2)
    found, lookups, getaddrinfo = threading.Event(), [], socket.getaddrinfo

    def slow(host: Any, *more: Any, **named: Any) -> Any:
        if host != "localhost":
            return getaddrinfo(host, *more, **named)
        lookups.append(host)
        found.wait()
        return getaddrinfo("127.0.0.1", *more, **named)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    with Receiver() as receiver:
        webhooks.add(connection, "siem", f"http://localhost:{receiver.port}/", "cerrojo")
        deliveries.look()
        happen(connection, EXAMPLES[0])
        wait_until(lambda: len(lookups) > 1)
        [one] = webhooks.listed(connection)
        assert one.waiting == 1
        assert re.fullmatch(r"it cannot be reached: .*timed out", one.failure or "")
        webhooks.remove(connection, "siem")
        deliveries.look()
        wait_until(lambda: not threads("webhook"))  # the last try is given up, too
        found.set()
        wait_until(lambda: not threads("post to"))
        assert receiver.asked == 0


def test_the_status_is_the_answer(connection: psycopg.Connection[Any], deliveries: Deliveries):
    """What comes after it, if it does, is not waited for."""
    with Receiver() as receiver:
        receiver.stalls = True
        webhooks.add(connection, "siem", receiver.url, "cerrojo")
        deliveries.look()
        happen(connection)
        wait_until(lambda: waiting(connection) == (0, 0))
        assert receiver.ids == IDS


def test_http_goes_by_no_proxy(
    connection: psycopg.Connection[Any], deliveries: Deliveries, monkeypatch: pytest.MonkeyPatch
):
    """It would have names and addresses in clear; https goes by one, as it can read nothing."""
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with Receiver() as proxy, Receiver() as receiver:
        for name in ("http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setattr(posting, "_opener", posting._made_opener())
        webhooks.add(connection, "clear", receiver.url, "cerrojo")
        webhooks.add(connection, "siem", "https://siem.example/", "cerrojo")
        deliveries.look()
        happen(connection, EXAMPLES[0])

        def failure() -> str:
            return str({each.name: each.failure for each in webhooks.listed(connection)}["siem"])

        wait_until(lambda: receiver.ids == [IDS[0]] and "Tunnel connection failed" in failure())
        assert proxy.asked == 0


def test_what_is_refused_becomes_a_dead_letter_that_can_be_sent_again(
    connection: psycopg.Connection[Any], deliveries: Deliveries
):
    """The next events go on; afterwards the dead ones come before what still waits."""
    with Receiver() as receiver:
        receiver.answer = 400
        webhooks.add(connection, "siem", receiver.url, "cerrojo")
        deliveries.look()
        happen(connection, *EXAMPLES[:2])
        wait_until(lambda: waiting(connection) == (0, 2))
        receiver.answer = 200
        happen(connection, EXAMPLES[2])
        wait_until(lambda: receiver.ids == [IDS[2]])
        dead = webhooks.dead_letters(connection, 10)
        assert [letter.event_id for letter in dead] == IDS[:2]
        assert {(letter.tries, letter.failure) for letter in dead} == {
            (delivery.REFUSALS, "it answered 400")
        }
        assert webhooks.resend(connection, "siem", [dead[1].number]) == 1
        wait_until(lambda: receiver.ids == [IDS[2], IDS[1]])
        assert webhooks.resend(connection, "siem", None) == 1
        wait_until(lambda: receiver.ids == [IDS[2], IDS[1], IDS[0]])
        wait_until(lambda: waiting(connection) == (0, 0))


def test_one_that_was_away_for_long_may_refuse_as_often_as_any_other(
    connection: psycopg.Connection[Any], deliveries: Deliveries
):
    """As while it starts again: only its refusals are counted for that."""
    with Receiver() as receiver:
        receiver.answer = 500
        webhooks.add(connection, "siem", receiver.url, "cerrojo")
        deliveries.look()
        happen(connection, EXAMPLES[0])
        wait_until(lambda: receiver.asked > delivery.REFUSALS)
        receiver.answer = 404
        wait_until(lambda: waiting(connection) == (0, 1))
        assert receiver.refused == delivery.REFUSALS
        webhooks.resend(connection, "siem", None)
        wait_until(lambda: receiver.refused == 2 * delivery.REFUSALS)
        wait_until(lambda: waiting(connection) == (0, 1))


def test_one_that_fails_for_too_long_is_given_up(
    connection: psycopg.Connection[Any], deliveries: Deliveries, monkeypatch: pytest.MonkeyPatch
):
    """Else nothing after it would ever be posted."""
    monkeypatch.setattr(delivery, "GIVE_UP_SECONDS", 0.2)
    with Receiver() as receiver:
        receiver.answer = 500
        webhooks.add(connection, "siem", receiver.url, "cerrojo")
        deliveries.look()
        happen(connection, EXAMPLES[0])
        wait_until(lambda: waiting(connection) == (0, 1))


def test_one_that_speaks_no_http_is_waited_for_alone(
    connection: psycopg.Connection[Any], deliveries: Deliveries
):
    """Such as TLS, by bytes that Postgres takes in no text."""
    with Receiver() as odd, Receiver() as receiver:
        odd.raw = b"\x15\x03\x03\x00\x02\x02\x16"
        webhooks.add(connection, "odd", odd.url, "cerrojo")
        webhooks.add(connection, "siem", receiver.url, "cerrojo")
        deliveries.look()
        happen(connection)
        wait_until(lambda: receiver.ids == IDS and odd.asked > 1)
        deliveries.look()
        found = {each.name: each.failure for each in webhooks.listed(connection)}
        assert found == {"odd": "it cannot be reached: " + "?" * 7, "siem": None}
        odd.raw = None
        wait_until(lambda: odd.ids == IDS)


@pytest.mark.parametrize("url", ["https://127.0.0.1/ñ", "https://siem..example/"])
def test_a_url_that_nothing_can_be_posted_to_is_told(
    connection: psycopg.Connection[Any], deliveries: Deliveries, url: str
):
    """As one that cannot be reached, should it ever be taken."""
    webhooks.add(connection, "siem", url, "cerrojo")
    deliveries.look()
    happen(connection, EXAMPLES[0])
    wait_until(lambda: "cannot be reached" in (webhooks.listed(connection)[0].failure or ""))
    deliveries.look()


def test_what_ends_a_courier_is_raised(
    connection: psycopg.Connection[Any], deliveries: Deliveries, monkeypatch: pytest.MonkeyPatch
):
    """Else its events would wait for ever, and nobody would know."""

    def fail(*_: object) -> None:
        raise LookupError("something that nobody thought of")

    monkeypatch.setattr(delivery, "post", fail)
    webhooks.add(connection, "siem", "https://siem.example/", "cerrojo")
    happen(connection, EXAMPLES[0])

    def raised() -> bool:
        try:
            deliveries.look()
        except LookupError:
            return True
        return False

    wait_until(raised)


def test_a_redirect_is_not_followed(connection: psycopg.Connection[Any], deliveries: Deliveries):
    """It would lead to an address that nobody allowed."""
    with Receiver() as receiver, Receiver() as elsewhere:
        receiver.answer, receiver.location = 307, elsewhere.url
        webhooks.add(connection, "siem", receiver.url, "cerrojo")
        deliveries.look()
        happen(connection, EXAMPLES[0])
        wait_until(lambda: waiting(connection) == (0, 1))
        receiver.answer = 302
        webhooks.resend(connection, "siem", None)
        wait_until(lambda: waiting(connection) == (0, 1))
        receiver.location = "http://["
        webhooks.resend(connection, "siem", None)
        wait_until(lambda: waiting(connection) == (0, 1))
        assert elsewhere.asked == 0


def test_a_webhook_of_ocsf_gets_what_is_of_authentication(
    connection: psycopg.Connection[Any], deliveries: Deliveries
):
    """In the form of its class; a change of the policy is none."""
    with Receiver() as receiver:
        webhooks.add(connection, "siem", receiver.url, "ocsf")
        deliveries.look()
        happen(connection)
        wait_until(lambda: waiting(connection) == (0, 0))
        assert {body["class_uid"] for body in receiver.bodies} == {3002}
        assert receiver.ids == [id_ for id_ in IDS if not id_.startswith(("policy", "attack"))]


def test_looks_do_not_wait_for_couriers(
    connection: psycopg.Connection[Any], database: str, monkeypatch: pytest.MonkeyPatch
):
    """Else the relay would lose the lead, as its session must not be silent for a second."""
    monkeypatch.setattr(delivery, "STATEMENT_MS", 60_000)
    waits = (
        "SELECT 1 FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock' AND query ~ '^DELETE'"
    )
    with Receiver() as receiver, ExitStack() as stack:
        deliveries = Deliveries(as_role(database, WORKERS))
        stack.callback(deliveries.close)
        webhooks.add(connection, "siem", receiver.url, "cerrojo")
        happen(connection, EXAMPLES[0])
        with psycopg.connect(database) as other:
            other.execute("SELECT 1 FROM webhook_deliveries FOR UPDATE")
            deliveries.look()
            wait_until(lambda: connection.execute(waits).fetchone() is not None)
            deliveries.look()
            assert connection.execute(waits).fetchone() is not None
        wait_until(lambda: waiting(connection) == (0, 0))


def test_what_is_removed_with_a_webhook_is_found_by_an_index(
    connection: psycopg.Connection[Any],
):
    """Dead letters, too; all events of all others may wait there."""
    connection.execute("SET enable_seqscan = off")
    plan = connection.execute("EXPLAIN DELETE FROM webhook_deliveries WHERE webhook = 'siem'")
    assert "webhook_deliveries_webhook" in str(plan.fetchall())


def test_the_relay_goes_on_while_a_webhook_with_much_that_waits_is_removed(
    connection: psycopg.Connection[Any], database: str, monkeypatch: pytest.MonkeyPatch
):
    """A million of its events go in many seconds; events could not be noted for as long."""
    monkeypatch.setattr(webhooks, "REMOVED_ROWS", 2, raising=False)
    webhooks.add(connection, "siem", "https://siem.example/", "cerrojo")
    happen(connection)
    with (
        ThreadPoolExecutor(1) as other,
        psycopg.connect(database, autocommit=True) as removing,
        psycopg.connect(database) as slow,
    ):
        slow.execute("SELECT 1 FROM webhook_deliveries FOR UPDATE")
        removed = other.submit(webhooks.remove, removing, "siem")
        wait_until(
            lambda: (
                removed.done()
                or connection.execute(
                    "SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = %s",
                    (removing.info.backend_pid,),
                ).fetchone()
                == (True,)
            )
        )
        connection.execute("SET lock_timeout = '1s'")
        happen(connection)
        slow.rollback()
        assert removed.result()
    assert connection.execute("SELECT count(*) FROM webhook_deliveries").fetchone() == (0,)
    assert webhooks.listed(connection) == []


def test_a_webhook_that_is_removed_gets_nothing_more(
    connection: psycopg.Connection[Any], deliveries: Deliveries
):
    """Its events are dropped with it; and one that has its name then is another one."""
    with Receiver() as receiver, Receiver() as other:
        receiver.answer = 500
        webhooks.add(connection, "siem", receiver.url, "cerrojo")
        deliveries.look()
        happen(connection, EXAMPLES[0])
        wait_until(lambda: receiver.asked > 0)
        assert webhooks.remove(connection, "siem")
        assert not webhooks.remove(connection, "siem")
        assert connection.execute("SELECT count(*) FROM webhook_deliveries").fetchone() == (0,)
        receiver.answer = 200
        webhooks.add(connection, "siem", other.url, "cerrojo")
        deliveries.look()
        happen(connection, *EXAMPLES[1:])
        wait_until(lambda: waiting(connection) == (0, 0))
        assert other.ids == IDS[1:]
        assert not {*receiver.ids} & {*IDS[1:]}


@pytest.mark.parametrize(
    ("words", "table"),
    [
        (("webhooks", "add", "siem", "https://siem.example/hook"), "webhooks"),
        (("operators", "add", "olga"), "operator_tokens"),
    ],
)
def test_what_cannot_be_shown_is_not_made(
    database: str, monkeypatch: pytest.MonkeyPatch, capsys, words: tuple[str, ...], table: str
):
    """A secret is shown once: one that is lost would be in the way, or end one that is in use."""
    monkeypatch.setenv("DATABASE_URL", database)
    monkeypatch.setattr("cerrojo.__main__.configure", lambda _: None)
    with Path("/dev/full").open("w") as full, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", full)
        with pytest.raises(SystemExit) as end:
            application(words[0])(words)
    assert end.value.code == 1
    assert "stdout cannot be written: No space left" in capsys.readouterr().err
    with psycopg.connect(database) as connection:
        assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)


def test_the_command_adds_lists_resends_and_removes(
    database: str, connection: psycopg.Connection[Any]
):
    """The secret is shown once; what is wrong is a sentence and an exit code."""

    def run(*words: str) -> tuple[int, str, str]:
        done = cerrojo({"DATABASE_URL": database}, "webhooks", *words)
        return done.returncode, done.stdout, done.stderr

    code, secret, said = run("add", "siem", "https://siem.example/hook", "--format", "ocsf")
    assert code == 0
    assert "shown only now" in said
    [(kept,)] = connection.execute("SELECT secret FROM webhooks").fetchall()
    assert base64.b64decode(secret.strip().removeprefix("whsec_")) == kept
    assert run("add", "siem", "https://siem.example/hook")[0] == 1
    assert run("add", "other", "http://siem.example/hook")[0] == 2
    assert run("add", "other", "https://siem.example/", "--format", "xml")[0] == 2
    happen(connection)
    connection.execute("UPDATE webhook_deliveries SET dead_at = now(), failure = 'it answered 400'")
    code, listed, _ = run()
    [one] = json.loads(listed)["webhooks"]
    assert (one["name"], one["format"], one["waiting"], one["dead"]) == (
        *("siem", "ocsf", 0),
        OF_SIEM,
    )
    assert "secret" not in one
    _, dead, _ = run("dead")
    assert len(json.loads(dead)["dead"]) == OF_SIEM
    number = json.loads(dead)["dead"][0]["number"]
    assert json.loads(run("resend", "siem", str(number))[1]) == {"name": "siem", "resent": 1}
    dropped = json.loads(dead)["dead"][1]["number"]
    assert json.loads(run("drop", "siem", str(dropped))[1]) == {"name": "siem", "dropped": 1}
    assert json.loads(run("resend", "siem")[1])["resent"] == OF_SIEM - 2
    assert waiting(connection) == (OF_SIEM - 1, 0)
    connection.execute(
        "UPDATE webhook_deliveries SET dead_at = now() WHERE number <> %s", (number,)
    )
    assert json.loads(run("drop", "siem")[1])["dropped"] == OF_SIEM - 2
    assert waiting(connection) == (1, 0)
    assert run("resend", "nobody")[0] == run("drop", "nobody")[0] == 1
    assert run("remove", "siem")[0] == 0
    assert run("remove", "siem")[0] == 1


def test_more_dead_letters_than_are_listed_are_told(
    database: str, connection: psycopg.Connection[Any]
):
    """A list that ends without a word would be taken for the whole."""

    def dead() -> tuple[int, str]:
        done = cerrojo({"DATABASE_URL": database}, "webhooks", "dead")
        return len(json.loads(done.stdout)["dead"]), done.stderr

    webhooks.add(connection, "siem", "https://siem.example/", "cerrojo")
    one = (
        "INSERT INTO webhook_deliveries (webhook, event_id, body, dead_at, failure)"
        " SELECT 'siem', n, '', now(), 'it answered 400' FROM generate_series(1, %s) n"
    )
    connection.execute(one, (SHOWN,))
    assert dead() == (SHOWN, "")
    connection.execute(one, (1,))
    shown, said = dead()
    assert shown == SHOWN
    assert "more" in said
