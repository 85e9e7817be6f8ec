"""The parts of compose.yml that could rot without a word: settings, ports, health, files."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from gateway.passwords import argon2_build
from local import argon2
from local.postgres import OWNER
from settings import FIELDS, FILE, variable
from sql.roles import GATEWAY, OPERATOR, WORKERS
from tests.paths import PROJECT

COMPOSE: dict[str, Any] = yaml.safe_load((PROJECT / "compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: s for name, s in SERVICES.items() if s["image"] == "cerrojo"}
ONE_SHOT = {"migrations", "keys", "topics"}
LOAD = {name for name, s in SERVICES.items() if s["image"] == "cerrojo-load"}
FILES = {field.variable + FILE: field.variable for field in FIELDS.values() if field.secret}
"""The secret settings, by the variables that name their files."""
# These are of `make up`, or ports inside a container, where they need not be other ones.
OF_MAKE_UP = {"data_dir", "cache_dir", "kafka_port", "kafka_java_options", "brokers", "hosts"}
# Its Kafka asks for a password or a certificate, and for none of these.
OF_ANOTHER_KAFKA = {name for name in FIELDS if name.startswith("kafka_oauth_")} | {
    "kafka_key_password"
}
NOT_PASSED = OF_MAKE_UP | OF_ANOTHER_KAFKA | {"login_port", "operator_port", "workers_port"}
OF_GATEWAYS = {
    "service_tokens_file",
    "session_keys_file",
    "device_keys_file",
    "guess_keys_file",
    "pepper_file",
}
"""Files in a gateway's container alone: elsewhere `cerrojo doctor` would look in vain for them."""
BY_PASSWORD = {"kafka_sasl_mechanism", "kafka_sasl_username", "kafka_sasl_password"}
BY_CERTIFICATE = {"kafka_certificate_file", "kafka_key_file", "kafka_users_file"}
LACKING = {
    "gateway": BY_CERTIFICATE,
    "workers": BY_CERTIFICATE | OF_GATEWAYS | {"operator_database_url"},
    "migrations": BY_PASSWORD | OF_GATEWAYS | {"operator_database_url"},
    "topics": BY_PASSWORD | OF_GATEWAYS | {"operator_database_url"},
}
"""What only other parts have."""


def default(field: str) -> Any:
    """The default of a setting."""
    return FIELDS[field].default


def test_every_setting_reaches_the_containers() -> None:
    """A setting that is missing here would be ignored; one that is not a setting does nothing."""
    wanted = {variable(field) for field in FIELDS if field not in NOT_PASSED}
    assert set(OURS) == {"gateway", "workers", "migrations", "keys", "topics"}
    for name in set(OURS) - {"keys"}:
        lacking = {variable(field) for field in LACKING[name]}
        assert {FILES.get(text, text) for text in OURS[name]["environment"]} == wanted - lacking


def test_each_part_comes_to_postgres_by_its_role_with_a_password_of_its_own_volume() -> None:
    """The owner's is the steps', the superuser's nobody's, and none is known beforehand."""
    roles = {"gateway": GATEWAY, "workers": WORKERS, "migrations": OWNER, "topics": OWNER}
    for name, role in roles.items():
        url = SERVICES[name]["environment"]["DATABASE_URL"]
        assert url == f"postgresql://{role}@postgres:5432/cerrojo?passfile=/keys/postgres.pass"
    url = SERVICES["gateway"]["environment"]["CERROJO_OPERATOR_DATABASE_URL"]
    assert url.startswith(f"postgresql://{OPERATOR}@")
    volumes = {name: SERVICES[name]["volumes"] for name in roles}
    assert volumes == {
        "gateway": ["gateway-keys:/keys:ro"],
        "workers": ["keys:/keys:ro"],
        "migrations": ["step-keys:/keys:ro"],
        "topics": ["step-keys:/keys:ro"],
    }
    assert SERVICES["postgres"]["environment"] == {"POSTGRES_PASSWORD_FILE": "/keys/superuser"}


def test_kafka_has_no_listener_for_those_that_prove_nothing() -> None:
    """Each speaks TLS and asks for a password or a certificate."""
    text = (PROJECT / "deploy" / "kafka.properties").read_text()
    lines = (line.partition("=") for line in text.splitlines() if not line.startswith("#"))
    properties = {name: value for name, _, value in lines}
    spoken = dict(p.split(":") for p in properties["listener.security.protocol.map"].split(","))
    environment = SERVICES["kafka"]["environment"]
    assert {text.partition(":")[0] for text in environment["KAFKA_LISTENERS"].split(",")} == {
        *spoken
    }
    for name, protocol in spoken.items():
        if protocol == "SSL":
            assert properties[f"listener.name.{name.lower()}.ssl.client.auth"] == "required"
        else:
            assert protocol == "SASL_SSL"
    mounts = SERVICES["kafka"]["volumes"]
    assert "./deploy/kafka.properties:/mnt/shared/config/server.properties:ro" in mounts


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
    """A service that runs on is checked and started again; one that runs once must succeed."""
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


def image_health() -> str:
    """The program by which the image looks at its own health."""
    (command,) = re.findall(
        r"^HEALTHCHECK .*\\\n +CMD (.*)$", (PROJECT / "Dockerfile").read_text(), re.MULTILINE
    )
    *_, program = json.loads(command)
    return str(program)


def asked(program: str) -> str:
    """The port and the path that this health check asks."""
    (found,) = re.findall(r"127\.0\.0\.1', (\d+).*'GET', '(.*?)'", program)
    return "".join(found)


@pytest.mark.parametrize("status", [200, 503])
def test_health_checks_ask_no_proxy(status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Docker puts a proxy of its configuration into all containers."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    programs = {SERVICES[name]["healthcheck"]["test"][-1] for name in ("gateway", "workers")}
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        for program in [*programs, image_health()]:
            here = re.sub(r"\b500[01]\b", str(server.server_port), program)
            done = subprocess.run([sys.executable, "-c", here], check=False)
            assert (done.returncode == 0) == (status == 200)
        server.shutdown()


@pytest.mark.parametrize(
    ("name", "field"), [("gateway", "operator_port"), ("workers", "workers_port")]
)
def test_health_checks_and_prometheus_ask_the_right_port(name: str, field: str) -> None:
    """Both ask the port that the service listens on."""
    config = yaml.safe_load((PROJECT / "monitoring" / "prometheus.yml").read_text())
    jobs = {job["job_name"]: job["dns_sd_configs"][0] for job in config["scrape_configs"]}
    assert asked(SERVICES[name]["healthcheck"]["test"][-1]) == f"{default(field)}/readyz"
    assert jobs[f"cerrojo-{name}"]["names"] == [name]
    assert jobs[f"cerrojo-{name}"]["port"] == default(field)


@pytest.mark.parametrize("name", SERVICES)
def test_every_file_that_is_mounted_exists(name: str) -> None:
    """Docker would make an empty folder in place of a file that is missing."""
    for mount in SERVICES[name].get("volumes", []):
        source = mount.split(":")[0]
        assert (
            (PROJECT / source).is_file() if source.startswith(".") else source in COMPOSE["volumes"]
        )


WITHOUT_DIGEST = {
    "prom/prometheus:v3.16.0": "its digest could not be looked up where it was chosen"
}
DOCKERFILES = ("Dockerfile", "loadtest/Dockerfile")
DIGEST = re.compile(r"[\w./-]+:[\w.-]+@sha256:[0-9a-f]{64}")


def images_of_others() -> set[str]:
    """What both compose files run that is not built here."""
    text = "".join((PROJECT / name).read_text() for name in ("compose.yml", "compose.cluster.yml"))
    return set(re.findall(r"^ +image: (\S+)$", text, re.MULTILINE)) - {"cerrojo", "cerrojo-load"}


def test_an_image_of_others_is_always_the_same_one() -> None:
    """Whoever can move a tag could otherwise change what runs here tomorrow."""
    assert len(images_of_others()) > 3
    assert {i for i in images_of_others() if not DIGEST.fullmatch(i)} == WITHOUT_DIGEST.keys()


def test_the_images_are_made_of_one_python() -> None:
    """Always the same one, and all of their stages of it."""
    bases = set()
    for name in DOCKERFILES:
        text = (PROJECT / name).read_text()
        bases |= set(re.findall(r"^ARG PYTHON=(\S+)$", text, re.MULTILINE))
        stages = {line.split()[1] for line in text.splitlines() if line.startswith("FROM ")}
        assert stages <= {"$PYTHON", "build"}
    [base] = bases
    assert DIGEST.fullmatch(base)


def test_the_image_says_its_ports_and_its_health() -> None:
    """The ports of the settings, and the gateway's health, which is what it runs by itself."""
    text = (PROJECT / "Dockerfile").read_text()
    ports = [default(field) for field in ("login_port", "operator_port", "workers_port")]
    assert f"\nEXPOSE {' '.join(map(str, ports))}\n" in text
    assert asked(image_health()) == f"{default('operator_port')}/healthz"


@pytest.mark.parametrize("name", DOCKERFILES)
def test_the_image_s_user_can_read_what_was_copied(name: str) -> None:
    """A checkout under umask 077 is for its owner alone, and COPY keeps that."""
    text = (PROJECT / name).read_text()
    *_, after = text.partition("\nUSER ")[0].rpartition("\nCOPY ")
    assert "\nRUN chmod -R a+rX ." in after


def copied(dockerfile: str, ignore: str) -> list[str]:
    """The paths that this Dockerfile copies, all of which are there and let through."""
    copies = [
        path.rstrip("/")
        for line in (PROJECT / dockerfile).read_text().splitlines()
        if line.startswith("COPY") and "--from" not in line
        for path in line.split()[1:-1]
    ]
    let_through = (PROJECT / ignore).read_text().splitlines()
    for path in copies:
        assert (PROJECT / path).exists()
        assert {f"!{path}", f"!{path.partition('/')[0]}"} & set(let_through)
    return copies


def test_the_image_holds_every_package_that_it_runs() -> None:
    """The .dockerignore lets through all that the Dockerfile copies, and nothing is missing."""
    copies = copied("Dockerfile", ".dockerignore")
    for service in OURS.values():
        assert service["command"][2].replace(".", "/") in {
            path.removesuffix(".py") for path in copies
        }


def test_the_image_holds_a_build_of_argon2_for_each_level() -> None:
    """The stage that makes it finds its files where it looks for them."""
    copies = copied("Dockerfile", ".dockerignore")
    sources = {Path(module.__file__).relative_to(PROJECT) for module in (argon2, argon2_build)}
    locks = {(argon2.REQUIREMENTS / name).relative_to(PROJECT) for name in argon2.LOCKS}
    assert {str(path) for path in sources | locks} <= set(copies)
    *_, stage, image = (PROJECT / "Dockerfile").read_text().split("\nFROM ")
    assert f"-m {argon2.__name__} {' '.join(argon2_build.LEVELS)}\n" in stage
    folder = argon2_build.BUILDS.relative_to(sys.prefix).parent
    assert f"COPY --from=argon2 /venv/{folder} /venv/{folder}\n" in image


def test_the_image_of_the_load_test_holds_it() -> None:
    """And its variables are those that the load test reads, its workers' master the other one."""
    service = SERVICES["load"]
    build = PROJECT / service["build"]["context"] / service["build"]["dockerfile"]
    copies = copied(str(build), f"{build}.dockerignore")
    assert set(copies) == {"requirements/load.txt", "settings.py", "loadtest"}
    read = (PROJECT / "loadtest" / "__main__.py").read_text()
    for name in LOAD:
        assert all(variable in read for variable in SERVICES[name]["environment"])
    assert SERVICES["load-worker"]["environment"]["MASTER"] in SERVICES


def test_the_load_test_is_locked_as_the_rest_is() -> None:
    """A version of its own would be one that nothing was tested with."""
    load, dev = ((PROJECT / "requirements" / name).read_text() for name in ("load.txt", "dev.txt"))
    locked = set(re.findall(r"^\S+==\S+", load, re.MULTILINE))
    assert locked
    assert locked <= set(re.findall(r"^\S+==\S+", dev, re.MULTILINE))
