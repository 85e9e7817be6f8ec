"""The metrics say what happened, in Prometheus' own words."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from typing import NamedTuple
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families

from events.partitioner import partition_of
from tests.acceptance.system import PROJECT, Client, RunningSystem, run
from tests.harness.waiting import until
from version import COMMIT, VERSION

RIGHT = "a good password"
WRONG = "a wrong password"
USER = "distinctive-name"

HOST = "processes.host_metrics"
WHERE_SET = "cerrojo_certificate_end_timestamp_seconds"
"""The metric that is there only where a setting names a certificate."""
GATEWAY = (
    "gateway.metrics",
    "gateway.supervisor_metrics",
    "gateway.passwords.hash_metrics",
    "events.signature_metrics",
    HOST,
)
WORKERS = ("workers.metrics", "events.signature_metrics", HOST)

SUPERVISORS = ("cerrojo_lag", "cerrojo_next_offset")
"""The metrics of a partition that are there whether its worker lives or not."""

Labels = tuple[tuple[str, str], ...]


def series(name: str, **labels: str) -> tuple[str, Labels]:
    """A series' name and labels."""
    return name, tuple(sorted(labels.items()))


class Page(NamedTuple):
    """An exposition: the families' types and meanings, and the samples' values."""

    families: dict[str, tuple[str, str]]
    samples: dict[tuple[str, Labels], float]

    def value(self, name: str, **labels: str) -> float:
        """This sample; 0 where there is none yet."""
        return self.samples.get(series(name, **labels), 0.0)

    def total(self, name: str) -> float:
        """The samples of this name, added up."""
        return sum(value for (found, _), value in self.samples.items() if found == name)


def text(url: str) -> str:
    """The page as it is."""
    with urlopen(f"{url}/metrics", timeout=60) as response:  # noqa: S310  # http
        assert response.headers["Content-Type"].startswith("text/plain; version=")
        return str(response.read().decode())


def scrape(url: str) -> Page:
    """The page as Prometheus' parser understands it."""
    page = Page({}, {})
    for family in text_string_to_metric_families(text(url)):
        assert family.name not in page.families, f"{family.name} is there twice"
        page.families[family.name] = (family.type, family.documentation)
        for sample in family.samples:
            one = series(sample.name, **sample.labels)
            assert one not in page.samples, f"{one} is there twice"
            page.samples[one] = sample.value
    return page


def defined(modules: Iterable[str]) -> dict[str, tuple[str, str]]:
    """The metrics of these modules, seen by an interpreter of its own: some names are in both."""
    code = (
        "import importlib, json, sys\n"
        "from prometheus_client import REGISTRY, GC_COLLECTOR, PLATFORM_COLLECTOR,"
        " PROCESS_COLLECTOR\n"
        "for c in (GC_COLLECTOR, PLATFORM_COLLECTOR, PROCESS_COLLECTOR): REGISTRY.unregister(c)\n"
        "for module in sys.argv[1:]: importlib.import_module(module)\n"
        "print(json.dumps({f.name: (f.type, f.documentation) for f in REGISTRY.collect()}))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *modules], cwd=PROJECT, stdout=subprocess.PIPE, check=True
    )
    return {name: tuple(about) for name, about in json.loads(done.stdout).items()}


async def until_changed_by(
    url: str, before: Page, changes: Mapping[tuple[str, Labels], float]
) -> None:
    """Return when exactly this has been counted since; workers count after they answer."""

    async def look() -> dict[tuple[str, Labels], float]:
        now = scrape(url)
        return {one: now.samples.get(one, 0.0) for one in changes}

    expected = {one: before.samples.get(one, 0.0) + change for one, change in changes.items()}
    await until(look, lambda seen: seen == expected)


def test_what_is_done_is_counted(system: RunningSystem):
    """Every login, registration and decision is counted once, under its own outcome."""
    system.wait_for_all_counted()
    gateway, workers = scrape(system.operator_url), scrape(system.workers_url)

    async def scenario(client: Client) -> None:
        await client.register(USER, RIGHT)
        assert (await client.post("/register", {"user": USER, "pass": RIGHT})).status == 409
        answers = [await client.login(USER, p) for p in [RIGHT] * 3 + [WRONG] * 5 + [RIGHT] * 2]
        token = answers[0].body["token"]
        assert (await client.post("/login", {"user": ""})).status == 400
        assert (await client.post("/register", {"user": ""})).status == 400
        assert (await client.operator("DELETE", f"/blocked/{USER}")).status == 200
        # By the one process that has all of these requests; it counts no such question.
        await until(lambda: client.block_of(USER), lambda answer: answer.body == {"blocked": False})
        for outcome, status in [("right", 200)] * 2 + [("wrong", 200), ("neither", 400)]:
            assert (await client.attempt(USER, outcome)).status == status
        for given, status in [(token, 200), (token, 200), ("nonsense", 401)]:
            assert (await client.session(given)).status == status
        # What was asked for again, as its process had not heard of a worker, is counted each time.
        again = {
            what: scrape(system.operator_url).value(what, result="unavailable")
            - gateway.value(what, result="unavailable")
            for what in ("cerrojo_logins_total", "cerrojo_registrations_total")
        }
        await until_changed_by(
            system.operator_url,
            gateway,
            {
                series("cerrojo_logins_total", result="accepted"): 3,
                series("cerrojo_logins_total", result="wrong"): 5,
                series("cerrojo_logins_total", result="blocked"): 2,
                series("cerrojo_logins_total", result="invalid"): 1,
                series("cerrojo_registrations_total", result="created"): 1,
                series("cerrojo_registrations_total", result="taken"): 1,
                series("cerrojo_registrations_total", result="invalid"): 1,
                series("cerrojo_login_seconds_count"): 11 + again["cerrojo_logins_total"],
                series("cerrojo_session_checks_total", result="accepted"): 2,
                series("cerrojo_session_checks_total", result="no_session"): 1,
                series("cerrojo_service_attempts_total", result="accepted"): 2,
                series("cerrojo_service_attempts_total", result="rejected"): 1,
                series("cerrojo_service_attempts_total", result="invalid"): 1,
            },
        )
        # The last two may have been refused by the blocklist, or by the log.
        [(extra,)] = system.query(
            "SELECT count(*) FROM audit WHERE username = %s AND decision = 2", USER
        )
        assert extra in (0, 1, 2)
        hashes = "cerrojo_hash_seconds_count"
        made = scrape(system.operator_url).value(hashes) - gateway.value(hashes)
        assert 10 + extra <= made <= 10 + extra + sum(again.values())
        await until_changed_by(
            system.workers_url,
            workers,
            {
                series("cerrojo_attempts_total", outcome="right", verdict="accepted"): 5,
                series("cerrojo_attempts_total", outcome="wrong", verdict="rejected"): 6,
                series("cerrojo_attempts_total", outcome="right", verdict="blocked"): extra,
                series("cerrojo_commands_total", kind="registered"): 1,
                series("cerrojo_commands_total", kind="unblock"): 1,
                series("cerrojo_blocks_total"): 1,
                series("cerrojo_batch_size_sum"): 13 + extra,
            },
        )

    run(system, scenario)


def test_no_username_is_in_a_metric(system: RunningSystem):
    """Nor a password: after logins of a distinctive user both pages know nothing of it."""

    async def scenario(client: Client) -> None:
        for password in (RIGHT, WRONG):
            await client.login(USER, password)

    run(system, scenario)
    for url in (system.operator_url, system.workers_url):
        page = text(url)
        for secret in (USER, RIGHT, WRONG, "distinctive"):
            assert secret not in page


def test_a_killed_worker_leaves_no_stale_series(system: RunningSystem):
    """Its gauges are gone or its successor's at once, and its counters go on."""
    user = "decided-by-two"
    partition = str(partition_of(user, system.partitions))
    restarts = series("cerrojo_process_restarts_total", role="worker")
    lag = series("cerrojo_lag", partition=partition)

    async def look() -> Page:
        return scrape(system.workers_url)

    async def scenario(client: Client) -> None:
        await client.register(user, RIGHT)
        assert (await client.login(user, RIGHT)).status == 200
        await asyncio.to_thread(system.wait_for_all_counted)
        before = await until(look, lambda page: lag in page.samples)
        gauges = {one for one in before.samples if one[1] == (("partition", partition),)}
        gauges -= {series(name, partition=partition) for name in SUPERVISORS}
        assert series("cerrojo_generation", partition=partition) in gauges
        system.kill(f"worker partition {partition}")
        # A standby is there so soon that nobody may see the moment without gauges.
        dead = await until(
            look,
            lambda page: (
                page.samples.get(restarts, 0) > before.samples.get(restarts, 0)
                or not gauges & page.samples.keys()
            ),
        )
        assert dead.total("cerrojo_attempts_total") == before.total("cerrojo_attempts_total")
        await until(lambda: client.login(user, RIGHT), lambda answer: answer.status == 200)
        back = await until(look, lambda page: gauges <= page.samples.keys())
        assert back.samples[restarts] == before.samples.get(restarts, 0) + 1
        assert back.samples.keys() - {restarts} == before.samples.keys() - {restarts}
        await until_changed_by(
            system.workers_url,
            before,
            {series("cerrojo_attempts_total", outcome="right", verdict="accepted"): 1},
        )

    run(system, scenario)


def test_a_killed_gateway_process_leaves_no_stale_series(system: RunningSystem):
    """Its gauges vanish with it, and its counters go on when it has a successor."""
    restarts = series("cerrojo_process_restarts_total", role="login")
    connections = "cerrojo_pool_connections"  # four of each process

    async def look() -> Page:
        return scrape(system.operator_url)

    async def scenario(client: Client) -> None:
        assert (await client.login("nobody-there", WRONG)).status == 401
        before = await until(look, lambda page: page.total(connections) == 12)
        system.kill("gateway login 1")
        # The next one may be there before anybody has seen the moment without it.
        await until(
            look,
            lambda page: (
                page.samples.get(restarts, 0) > before.samples.get(restarts, 0)
                or page.total(connections) == 8
            ),
        )
        back = await until(look, lambda page: page.total(connections) == 12)
        assert back.samples[restarts] == before.samples.get(restarts, 0) + 1
        assert back.samples.keys() - {restarts} == before.samples.keys() - {restarts}
        for name in ("cerrojo_logins_total", "cerrojo_login_seconds_count"):
            assert back.total(name) == before.total(name)

    run(system, scenario)


@pytest.mark.parametrize("side", ["gateway", "workers"])
def test_every_metric_is_there_under_its_name_and_meaning(system: RunningSystem, side: str):
    """All that are defined and no others, in Prometheus' naming conventions."""
    url = {"gateway": system.operator_url, "workers": system.workers_url}[side]
    wanted = defined(GATEWAY if side == "gateway" else WORKERS)
    del wanted[WHERE_SET]

    async def look() -> dict[str, tuple[str, str]]:
        return scrape(url).families

    async def scenario(client: Client) -> None:
        assert await until(look, lambda found: set(found) == set(wanted))

    run(system, scenario)
    page = scrape(url)
    for name, (kind, meaning) in page.families.items():
        assert wanted[name][0] == kind
        assert re.fullmatch(r"cerrojo(_[a-z]+)+", name)
        assert not re.search(r"_(total|count|sum|bucket|ms|milliseconds|minutes)$", name)
        assert len(meaning) > 10
        own = {sample for sample, _ in page.samples if sample.startswith(name)}
        if name.endswith("_info"):
            assert {value for (found, _), value in page.samples.items() if found == name} == {1}
        if kind == "counter":
            assert f"{name}_total" in own
        if kind == "histogram":
            assert name.endswith(("_seconds", "_size"))
            assert {f"{name}_{part}" for part in ("bucket", "sum", "count")} <= own
    labels = {label for _, labels in page.samples for label, _ in labels}
    small = {"result", "topic", "role", "state", "le", "outcome", "verdict", "kind", "partition"}
    assert labels <= small | {"build", "version", "commit", "folder", "reason"}


@pytest.mark.parametrize("side", ["gateway", "workers"])
def test_each_page_says_its_version(system: RunningSystem, side: str):
    """One series for each host, so that a dashboard shows an update that stopped half way."""
    page = scrape(system.operator_url if side == "gateway" else system.workers_url)
    found = {one: value for one, value in page.samples.items() if one[0] == "cerrojo_build_info"}
    assert found == {series("cerrojo_build_info", version=VERSION, commit=COMMIT): 1.0}


def test_the_page_says_which_build_hashes(system: RunningSystem):
    """The fastest one that this machine has, and no other: a slower one costs twice the cores."""
    code = "from gateway.passwords.argon2_build import use_fastest; print(*use_fastest())"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True, check=True)
    build, version = done.stdout.split()
    info = "cerrojo_hash_build_info"
    wanted = {series(info, build=build, version=version): 1.0}

    async def look() -> dict[tuple[str, Labels], float]:
        samples = scrape(system.operator_url).samples
        return {one: value for one, value in samples.items() if one[0] == info}

    async def scenario(client: Client) -> None:
        assert await until(look, lambda found: found == wanted)

    run(system, scenario)
