"""What could rot in compose.yml without a word: settings, ports, health, and the files it names."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from settings import Settings, variable

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: s for name, s in SERVICES.items() if s["image"] == "cerrojo"}
ONE_SHOT = {"migrations", "topics"}
LOAD = {name for name, s in SERVICES.items() if s["image"] == "cerrojo-load"}
# These are of `make up`, or ports inside a container, where they need not be other ones.
OF_MAKE_UP = {"data_dir", "cache_dir", "kafka_port", "brokers", "hosts"}
NOT_PASSED = OF_MAKE_UP | {"login_port", "operator_port", "workers_port"}


def default(field: str) -> Any:
    """The default of a setting."""
    return Settings.model_fields[field].default


def test_every_setting_reaches_the_containers() -> None:
    """A setting that is missing here would be ignored; one that is not a setting does nothing."""
    wanted = {variable(field) for field in Settings.model_fields if field not in NOT_PASSED}
    assert set(OURS) == {"gateway", "workers", "migrations", "topics"}
    for service in OURS.values():
        assert set(service["environment"]) - {"PGPASSWORD"} == wanted


@pytest.mark.parametrize(("index", "field"), [(0, "login_port"), (1, "operator_port")])
def test_published_ports_are_the_settings_and_loopback_only(index: int, field: str) -> None:
    """The gateway listens on its default ports, and only this machine reaches them."""
    port = default(field)
    published = f"127.0.0.1:${{{variable(field)}:-{port}}}:{port}"
    assert SERVICES["gateway"]["ports"][index] == published


@pytest.mark.parametrize("name", SERVICES)
def test_nothing_is_published_beyond_loopback(name: str) -> None:
    """A port without an address would be open to the network, past any firewall."""
    for port in SERVICES[name].get("ports", []):
        assert port.startswith("127.0.0.1:")


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_has_a_health_check_or_is_waited_for(name: str) -> None:
    """What runs on is checked and started again; what runs once must have succeeded."""
    service = SERVICES[name]
    if name in LOAD:
        assert service["profiles"] == ["load"]
        assert "restart" not in service
    elif name in ONE_SHOT:
        assert "restart" not in service
        conditions = [s.get("depends_on", {}).get(name) for s in SERVICES.values()]
        assert {"condition": "service_completed_successfully"} in conditions
    else:
        assert service["restart"] == "unless-stopped"
        assert service["healthcheck"]["test"]


@pytest.mark.parametrize(
    ("name", "field"), [("gateway", "operator_port"), ("workers", "workers_port")]
)
def test_health_checks_and_prometheus_ask_the_right_port(name: str, field: str) -> None:
    """Both ask the port that the service listens on."""
    config = yaml.safe_load((ROOT / "monitoring" / "prometheus.yml").read_text())
    jobs = {job["job_name"]: job["dns_sd_configs"][0] for job in config["scrape_configs"]}
    assert f":{default(field)}/readyz" in SERVICES[name]["healthcheck"]["test"][-1]
    assert jobs[f"cerrojo-{name}"]["names"] == [name]
    assert jobs[f"cerrojo-{name}"]["port"] == default(field)


@pytest.mark.parametrize("name", SERVICES)
def test_every_file_that_is_mounted_exists(name: str) -> None:
    """Docker would make an empty folder in place of a file that is missing."""
    for mount in SERVICES[name].get("volumes", []):
        source = mount.split(":")[0]
        assert (ROOT / source).is_file() if source.startswith(".") else source in COMPOSE["volumes"]


def copied(dockerfile: str, ignore: str) -> list[str]:
    """What this Dockerfile copies, all of which is there and let through."""
    copies = [
        line.split()[1].rstrip("/")
        for line in (ROOT / dockerfile).read_text().splitlines()
        if line.startswith("COPY") and "--from" not in line
    ]
    let_through = (ROOT / ignore).read_text().splitlines()
    for path in copies:
        assert (ROOT / path).exists()
        assert f"!{path}" in let_through
    return copies


def test_the_image_holds_every_package_that_it_runs() -> None:
    """What the Dockerfile copies, .dockerignore lets through, and nothing is missing."""
    copies = copied("Dockerfile", ".dockerignore")
    for service in OURS.values():
        assert service["command"][2] in copies


def test_the_image_of_the_load_test_holds_it() -> None:
    """And its variables are those that the load test reads, its workers' master the other one."""
    service = SERVICES["load"]
    build = ROOT / service["build"]["context"] / service["build"]["dockerfile"]
    copies = copied(str(build), f"{build}.dockerignore")
    assert set(copies) == {"requirements/load.txt", "settings.py", "loadtest"}
    read = (ROOT / "loadtest" / "__main__.py").read_text()
    for name in LOAD:
        assert all(variable in read for variable in SERVICES[name]["environment"])
    assert SERVICES["load-worker"]["environment"]["MASTER"] in SERVICES


def test_the_load_test_is_locked_as_the_rest_is() -> None:
    """A version of its own would be one that nothing was tested with."""
    load, dev = ((ROOT / "requirements" / name).read_text() for name in ("load.txt", "dev.txt"))
    locked = set(re.findall(r"^\S+==\S+", load, re.MULTILINE))
    assert locked
    assert locked <= set(re.findall(r"^\S+==\S+", dev, re.MULTILINE))
