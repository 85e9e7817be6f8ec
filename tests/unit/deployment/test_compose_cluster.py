"""compose.cluster.yml agrees with compose.yml, with itself, and with the proxy's configuration."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from deploy.compose_secrets import HOSTS
from gateway.sources import Sources
from local.parts import most_connections
from settings import Settings
from tests.paths import PROJECT

BROKERS = ["kafka-1", "kafka-2", "kafka-3"]


class Loader(yaml.SafeLoader):  # type: ignore[misc]
    """Reads what Compose adds to YAML as what it stands before."""


Loader.add_constructor("!reset", lambda loader, node: None)
Loader.add_constructor("!override", lambda loader, node: loader.construct_mapping(node, deep=True))

ONE: dict[str, Any] = yaml.safe_load((PROJECT / "compose.yml").read_text())
# A loader of SafeLoader's kind.
CLUSTER: dict[str, Any] = yaml.load((PROJECT / "compose.cluster.yml").read_text(), Loader)  # noqa: S506
SERVICES: dict[str, dict[str, Any]] = CLUSTER["services"]
PROXY = (PROJECT / "proxy" / "haproxy.cfg").read_text()


def test_every_service_of_one_host_is_there():
    """A service that compose.yml gains is missing in no cluster."""
    extended = {
        service["extends"]["service"] for name, service in SERVICES.items() if name != "proxy"
    }
    assert extended == set(ONE["services"])


def test_the_brokers_know_each_other_and_all_know_them():
    """Each has a number, a name and a volume of its own, and stands in every list."""
    voters = ",".join(f"{n}@{name}:9093" for n, name in enumerate(BROKERS, start=1))
    for number, name in enumerate(BROKERS, start=1):
        environment = SERVICES[name]["environment"]
        assert environment["KAFKA_NODE_ID"] == str(number)
        listeners = f"CLIENTS://{name}:9092,BROKERS://{name}:9094"
        assert environment["KAFKA_ADVERTISED_LISTENERS"] == listeners
        assert name in HOSTS, "its certificate lacks its name"
        assert environment["KAFKA_CONTROLLER_QUORUM_VOTERS"] == voters
        assert SERVICES[name]["volumes"] == [f"{name}:/var/lib/kafka/data"]
        assert SERVICES["topics"]["depends_on"][name] == {"condition": "service_healthy"}
    ports = {"migrations": 9094, "topics": 9094, "workers": 9092, "gateway": 9092}
    for name, port in ports.items():
        assert ONE["services"][name]["environment"]["KAFKA_BOOTSTRAP_SERVERS"] == f"kafka:{port}"
        servers = ",".join(f"{broker}:{port}" for broker in BROKERS)
        assert SERVICES[name]["environment"]["KAFKA_BOOTSTRAP_SERVERS"] == servers


def test_everything_that_kafka_keeps_is_on_three_brokers():
    """No topic of its own is left with the one replica that compose.yml gives it."""
    alone = {
        key
        for key, value in ONE["services"]["kafka"]["environment"].items()
        if "REPLICATION_FACTOR" in key or ("MIN_ISR" in key and value == "1")
    }
    for name in BROKERS:
        for key in alone:
            assert SERVICES[name]["environment"][key] == ("2" if "MIN_ISR" in key else "3")
        assert SERVICES[name]["environment"]["KAFKA_MIN_INSYNC_REPLICAS"] == "2"
    assert SERVICES["topics"]["environment"]["CERROJO_REPLICATION"].endswith(":-3}")


def test_two_of_each_and_only_the_proxy_is_reached():
    """Two gateways cannot publish one port, so the proxy does, with the same ones."""
    assert SERVICES["gateway"]["scale"] == SERVICES["workers"]["scale"] == 2
    assert SERVICES["gateway"]["ports"] is None
    assert SERVICES["proxy"]["ports"] == ONE["services"]["gateway"]["ports"]
    for name in ("load", "load-worker"):
        assert SERVICES[name]["environment"]["LOGIN_URL"] == "http://proxy:3000"


def test_postgres_has_connections_for_as_many_gateways_as_are_said():
    """Else a worker that starts again finds none, and the logins of its partition get 503."""
    text = (PROJECT / "compose.cluster.yml").read_text()
    assert "More gateways (up to eight)" in text
    *_, option = ONE["services"]["postgres"]["command"]
    name, _, connections = option.partition("=")
    assert name == "max_connections"
    assert int(connections) >= most_connections(Settings(hosts=8))


def test_no_login_is_sent_twice():
    """A gateway that died may have written the attempt already."""
    assert re.findall(r"^ *retry-on (.*)$", PROXY, re.MULTILINE) == ["conn-failure"]


def test_the_proxy_says_for_whom_it_asks_and_is_believed():
    """Else all logins come from the proxy, or from where a client says."""
    login = PROXY.partition("\nfrontend login\n")[2].partition("\n\n")[0]
    assert "http-request del-header Forwarded\n" in login
    assert "http-request set-header X-Forwarded-For %[src]\n" in login
    variable = SERVICES["gateway"]["environment"]["CERROJO_TRUSTED_PROXIES"]
    trusted = variable.removeprefix("${CERROJO_TRUSTED_PROXIES:-").removesuffix("}")
    sources = Sources(Settings(trusted_proxies=trusted).proxy_networks)
    for proxy in ("172.18.0.5", "172.31.0.2", "192.168.16.3"):  # of Docker's own pools
        assert sources.of(proxy, [(b"x-forwarded-for", b"198.51.100.7")]).address == "198.51.100.7"


@pytest.mark.parametrize("name", SERVICES)
def test_every_file_that_is_mounted_exists(name: str):
    """Docker would make an empty folder in place of a file that is missing."""
    for mount in SERVICES[name].get("volumes", []):
        source = mount.split(":")[0]
        assert (
            (PROJECT / source).is_file() if source.startswith(".") else source in CLUSTER["volumes"]
        )
