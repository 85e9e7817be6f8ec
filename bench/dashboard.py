"""`python -m bench.dashboard`: whether every panel of the dashboard has data in a real Prometheus.

It starts a system and a Prometheus that scrapes it as often as `monitoring/prometheus.yml` says,
gives the system ordinary load for ten minutes, and asks Prometheus what each panel asks. With
`--prometheus URL` it asks that one, and starts nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import math
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlencode

from bench.errors import BenchError
from bench.system import HOST, PROJECT, SERVICE_TOKEN, Up, up
from local import tcp_ports
from settings import OPERATOR_TOKEN

MONITORING = PROJECT / "monitoring"

PAUSE_SECONDS = 0.2
"""Between two requests of the load."""

START_SECONDS = 30.0

INTERVAL = "20s"
"""What Grafana has for `$__rate_interval` at this scrape interval: four times as long."""


class Query(NamedTuple):
    """A query of a panel."""

    panel: str
    text: str


def queries(dashboard: str) -> list[Query]:
    """The queries of this dashboard's panels, as Prometheus takes them."""
    return [
        Query(panel["title"], target["expr"].replace("$__rate_interval", INTERVAL))
        for panel in json.loads(dashboard)["panels"]
        for target in panel.get("targets", [])
    ]


def values(answer: Mapping[str, object]) -> list[float]:
    """The values in Prometheus' answer to a query that are numbers."""
    found = answer["data"]["result"]  # type: ignore[index]
    numbers = [float(series["value"][1]) for series in found]
    return [number for number in numbers if not math.isnan(number)]


def main() -> int:
    """Look, print the panels without data, and say by the exit code whether there are none."""
    parser = argparse.ArgumentParser(prog="python -m bench.dashboard", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="of load before the look")
    parser.add_argument("--prometheus", metavar="URL", help="ask this one, and start nothing")
    arguments = parser.parse_args()
    try:
        if arguments.prometheus:
            return report(arguments.prometheus.rstrip("/"))
        with up({"CERROJO_REGISTRATION": "on"}) as system, prometheus(system) as url:
            load(system, 60 * arguments.minutes)
            return report(url)
    except BenchError as error:
        print(error, file=sys.stderr)
        return 2


def report(url: str) -> int:
    """Ask each panel's queries, and print which of them have no data; 1 if there is one."""
    asked = queries((MONITORING / "grafana" / "cerrojo.json").read_text())
    empty = [query for query in asked if not values(ask(url, query.text))]
    for query in empty:
        print(f"no data: {query.panel}: {query.text}")
    print(f"{len(asked) - len(empty)} of {len(asked)} queries of the dashboard have data.")
    return 1 if empty else 0


def ask(url: str, query: str) -> Mapping[str, object]:
    """Prometheus' answer. Raises BenchError where it has none."""
    address = f"{url}/api/v1/query?{urlencode({'query': query})}"
    try:
        with urllib.request.urlopen(address, timeout=10) as answer:  # noqa: S310  # http
            return dict(json.load(answer))
    except urllib.error.HTTPError as error:
        raise BenchError(f"Prometheus refuses {query!r}: {error.read().decode()}") from None
    except OSError as error:
        raise BenchError(f"No Prometheus answers at {url}: {error}") from None


@contextmanager
def prometheus(system: Up) -> Iterator[str]:
    """Run a Prometheus that scrapes this system by our rules, and give its address."""
    program = shutil.which("prometheus")
    if program is None:
        raise BenchError(
            "There is no `prometheus` on the PATH. On Debian: apt-get install prometheus"
        )
    port = tcp_ports.choose(HOST)
    with tempfile.TemporaryDirectory(prefix="bench") as folder:
        config = Path(folder, "prometheus.yml")
        # JSON is YAML.
        jobs = {"gateway": system.env["CERROJO_OPERATOR_PORT"]}
        jobs["workers"] = system.env["CERROJO_WORKERS_PORT"]
        config.write_text(
            json.dumps(
                {
                    "global": {"scrape_interval": "5s", "evaluation_interval": "5s"},
                    "rule_files": [str(MONITORING / "alerts.yml")],
                    "scrape_configs": [
                        {
                            "job_name": f"cerrojo-{name}",
                            "static_configs": [{"targets": [f"{HOST}:{port_}"]}],
                        }
                        for name, port_ in jobs.items()
                    ],
                }
            )
        )
        log = Path(folder, "log")
        with log.open("wb") as output:
            process = subprocess.Popen(
                [
                    program,
                    f"--config.file={config}",
                    f"--storage.tsdb.path={folder}/data",
                    f"--web.listen-address={HOST}:{port}",
                ],
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        url = f"http://{HOST}:{port}"
        try:
            due = time.monotonic() + START_SECONDS
            while not _answers(f"{url}/-/ready"):
                if process.poll() is not None or time.monotonic() > due:
                    raise BenchError(f"Prometheus did not start:\n{log.read_text()}")
                time.sleep(0.1)
            yield url
        finally:
            process.terminate()
            process.wait()


def load(system: Up, seconds: float) -> None:
    """Do now and then what people, services and operators do, for so long."""
    login, operator = (
        f"http://{HOST}:{port}" for port in (system.login_port, system.operator_port)
    )
    right, wrong = "a good password", "a wrong password"
    until = time.monotonic() + seconds
    for number in itertools.count():
        if time.monotonic() > until:
            return
        user = f"person-{number // 12}"
        step = number % 12
        if step == 0:
            _send("POST", f"{login}/register", {"user": user, "pass": right})
        elif step < 4:
            _send("POST", f"{login}/login", {"user": user, "pass": right})
        elif step < 9 and number // 12 % 5 == 0:  # one in five forgets, until it is blocked
            _send("POST", f"{login}/login", {"user": user, "pass": wrong})
        elif step == 9:
            token = Path(system.env["CERROJO_DATA_DIR"], OPERATOR_TOKEN).read_text().strip()
            _send("DELETE", f"{operator}/blocked/{user}", None, Authorization=f"Bearer {token}")
        elif step == 10:
            body = {"user": f"service-{number}", "outcome": "right"}
            _send("POST", f"{login}/attempts", body, Authorization=f"Bearer {SERVICE_TOKEN}")
        elif step == 11:
            _send("GET", f"{login}/session", None)
        time.sleep(PAUSE_SECONDS)


def _send(method: str, address: str, body: object, **headers: str) -> None:
    request = urllib.request.Request(  # noqa: S310  # http
        address,
        json.dumps(body).encode() if body is not None else None,
        {"Content-Type": "application/json", **headers},
        method=method,
    )
    with contextlib.suppress(urllib.error.HTTPError):  # a refusal is ordinary
        urllib.request.urlopen(request, timeout=20).close()  # noqa: S310


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=5) as answer:  # noqa: S310  # http
            return bool(answer.status == 200)
    except OSError:
        return False


if __name__ == "__main__":
    sys.exit(main())
