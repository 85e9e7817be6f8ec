"""What Helm makes of the chart: valid, safe, and in agreement with what the pods run.

By the example that `make chart` wrote, so that no test needs Helm.
"""

from __future__ import annotations

import importlib.util
import math
import re
from collections.abc import Iterator
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

import kubernetes_validate
import pytest
import yaml  # type: ignore[import-untyped]

import settings
from gateway.launch import drain_seconds
from gateway.web.resources import RESOURCES
from settings import FIELDS, Settings
from tests.paths import PROJECT
from workers.supervisor.supervisor import DRAIN_SECONDS

DEPLOY = PROJECT / "deploy"
EXAMPLE = (DEPLOY / "example.yaml").read_text()
MANIFESTS: list[dict[str, Any]] = [one for one in yaml.safe_load_all(EXAMPLE) if one]
VALUES: dict[str, Any] = yaml.safe_load((DEPLOY / "cerrojo" / "values.yaml").read_text())
GIVEN: dict[str, Any] = yaml.safe_load((DEPLOY / "example-values.yaml").read_text())
SETTINGS = {field.variable: field for field in FIELDS.values()}
OF_PROMETHEUS = "ServiceMonitor"


def render() -> ModuleType:
    """The program of `make chart`, which is in no package."""
    spec = importlib.util.spec_from_file_location("render", DEPLOY / "render.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def named(kind: str, name: str) -> dict[str, Any]:
    """The manifest of this kind whose name ends so."""
    [found] = [m for m in MANIFESTS if m["kind"] == kind and m["metadata"]["name"].endswith(name)]
    return found


def pods() -> Iterator[dict[str, Any]]:
    """The specification of each kind of pod."""
    for manifest in MANIFESTS:
        if manifest["kind"] in ("Deployment", "Job"):
            yield manifest["spec"]["template"]["spec"]


def containers() -> Iterator[dict[str, Any]]:
    """All containers of all pods."""
    for pod in pods():
        yield from (*pod.get("initContainers", ()), *pod["containers"])


def container(name: str) -> dict[str, Any]:
    """The one of this name."""
    [found] = [one for one in containers() if one["name"] == name]
    return found


def environment(name: str) -> dict[str, str]:
    """The variables of a container that have a value in the manifest."""
    return {one["name"]: one["value"] for one in container(name)["env"] if "value" in one}


def test_the_example_is_of_today_s_chart() -> None:
    """Else everything below is about another chart: run `make chart`."""
    assert EXAMPLE.startswith(render().head())


@pytest.mark.parametrize("version", ["1.30", "1.37"])
@pytest.mark.parametrize("number", range(len(MANIFESTS)))
def test_kubernetes_knows_every_field(number: int, version: str) -> None:
    """By its schemas, the oldest version that the chart allows and the newest: no field is lost."""
    manifest = MANIFESTS[number]
    if manifest["kind"] != OF_PROMETHEUS:
        kubernetes_validate.validate(manifest, version, strict=True)


def test_everything_that_was_asked_for_is_there() -> None:
    """Of each kind as many as it should be, and no other."""
    kinds = [manifest["kind"] for manifest in MANIFESTS]
    assert {kind: kinds.count(kind) for kind in kinds} == {
        "Deployment": 2,
        "Job": 1,
        "Service": 3,
        "PodDisruptionBudget": 2,
        "HorizontalPodAutoscaler": 1,
        "NetworkPolicy": 2,
        OF_PROMETHEUS: 2,
    }


def test_each_container_runs_what_the_image_has() -> None:
    """As compose.yml does."""
    compose = yaml.safe_load((PROJECT / "compose.yml").read_text())["services"]
    for name in ("gateway", "workers", "migrations", "topics"):
        assert container(name)["args"] == compose[name]["command"]


def test_nothing_may_more_than_it_needs() -> None:
    """No root, no capability, no account of the cluster, and no writable file but in memory.

    A gateway replaces its guess keys.
    """
    user = re.findall(r"^USER (\d+)$", (PROJECT / "Dockerfile").read_text(), re.MULTILINE)
    for pod in pods():
        assert pod["automountServiceAccountToken"] is False
        security = pod["securityContext"]
        assert security["runAsNonRoot"] is True
        assert [str(security["runAsUser"])] == user
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    for one in containers():
        assert one["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        writable = [m["mountPath"] for m in one["volumeMounts"] if not m.get("readOnly")]
        keys = ["/var/lib/cerrojo/guess-keys"] if one["name"] == "gateway" else []
        assert writable == ["/tmp", *keys]  # noqa: S108  # of the container
        assert {"cpu", "memory"} <= one["resources"]["requests"].keys()
        assert "memory" in one["resources"]["limits"]


def test_no_service_is_taken_for_a_setting() -> None:
    """Kubernetes would set CERROJO_LOGIN_PORT to tcp://... for a Service named cerrojo-login."""
    assert all(pod["enableServiceLinks"] is False for pod in pods())


def test_every_variable_is_a_setting() -> None:
    """In the chart, its values and the example; and its value is one that the setting takes."""
    text = "".join(
        path.read_text()
        for path in [DEPLOY / "example-values.yaml", *(DEPLOY / "cerrojo").rglob("*.*")]
    )
    assert set(re.findall(r"\bCERROJO_\w+", text)) <= SETTINGS.keys()
    for name in ("gateway", "workers", "migrations", "topics"):
        given = {key: value for key, value in environment(name).items() if key in SETTINGS}
        assert given
        with pytest.MonkeyPatch.context() as patch:
            for key, value in given.items():
                patch.setenv(key, value)
            settings.load()


@pytest.mark.parametrize(
    ("name", "port", "field"),
    [
        ("gateway", "login", "login_port"),
        ("gateway", "operator", "operator_port"),
        ("workers", "metrics", "workers_port"),
    ],
)
def test_the_ports_are_those_that_are_listened_on(name: str, port: str, field: str) -> None:
    """On what the values say, by a Service of its own, and through the network's policy."""
    number = FIELDS[field].default
    assert {"name": port, "containerPort": number} in container(name)["ports"]
    assert environment(name)[FIELDS[field].variable] == str(number)
    host = environment(name)[FIELDS[field.replace("_port", "_host")].variable]
    assert host == GIVEN["listenHost"] != VALUES["listenHost"]
    service = named("Service", f"-{'workers' if port == 'metrics' else port}")
    assert [p["targetPort"] for p in service["spec"]["ports"]] == [port]
    rules = named("NetworkPolicy", f"-{name}")["spec"]["ingress"]
    [rule] = [rule for rule in rules if rule["ports"] == [{"port": number}]]
    assert ("from" in rule) == (port != "login"), "the operator port has no login of its own"


def test_each_part_has_its_own_secret_and_no_other() -> None:
    """By which it comes to Postgres and Kafka with its own rights."""
    secrets = {name: container(name)["envFrom"] for name in ("gateway", "workers", "topics")}
    assert secrets == {
        "gateway": [{"secretRef": {"name": "cerrojo-gateway"}}],
        "workers": [{"secretRef": {"name": "cerrojo-workers"}}],
        "topics": [{"secretRef": {"name": "cerrojo-migrations"}}],
    }
    assert container("migrations")["envFrom"] == secrets["topics"]


def test_only_the_job_has_the_passwords_of_all_users() -> None:
    """Of Kafka's; the parts have their own, in their Secrets."""
    variable = FIELDS["kafka_users_file"].variable
    holders = {
        pod["containers"][0]["name"]
        for pod in pods()
        if "kafka-users" in {volume["name"] for volume in pod["volumes"]}
    }
    assert holders == {"topics"}
    path = environment("topics")[variable]
    assert any(path.startswith(f"{m['mountPath']}/") for m in container("topics")["volumeMounts"])


def test_only_gateways_have_the_keys_of_gateways() -> None:
    """Somebody that takes over a worker, or the Job, could make cookies and sessions with them."""
    fields = ("service_tokens_file", "session_keys_file", "device_keys_file", "guess_keys_file")
    for field in fields:
        path = environment("gateway")[FIELDS[field].variable]
        folder = path.rpartition("/")[0]
        holders = {
            one["name"]
            for one in containers()
            if folder in {mount["mountPath"] for mount in one["volumeMounts"]}
        }
        assert holders == {"gateway"}, field


def test_the_narrower_value_holds_and_is_written_whole() -> None:
    """Though it is 0, which Helm's own merging passes over, or so large that Helm says 1e+06."""
    name = "CERROJO_POLICY_FINAL_FAILURES"
    assert environment("gateway")[name] == "0"
    assert environment("workers")[name] == "1000000"


def test_the_operator_port_answers_to_its_service() -> None:
    """By the names that nobody outside of the cluster can own, and by those of the values."""
    names = Settings(allowed_hosts=environment("gateway")["CERROJO_ALLOWED_HOSTS"]).host_names
    own = f"{named('Service', '-operator')['metadata']['name']}.logins.svc"
    assert names == {own, f"{own}.cluster.local", "ops.example.org"}


def test_the_doctor_in_a_workers_pod_reaches_the_gateways() -> None:
    """By their Service, whose name they answer to, and through their network's policy."""
    said = environment("workers")["CERROJO_OPERATOR_URL"]
    url = urlsplit(Settings(operator_url=said).operator_url)
    service = named("Service", "-operator")
    assert url.hostname == f"{service['metadata']['name']}.logins.svc"
    assert url.port in [port["port"] for port in service["spec"]["ports"]]
    allowed = Settings(allowed_hosts=environment("gateway")["CERROJO_ALLOWED_HOSTS"]).host_names
    assert url.hostname in allowed
    rules = named("NetworkPolicy", "-gateway")["spec"]["ingress"]
    [rule] = [rule for rule in rules if rule["ports"] == [{"port": 5000}]]
    labels = named("Deployment", "-workers")["spec"]["selector"]["matchLabels"]
    assert {"podSelector": {"matchLabels": labels}} in rule["from"]


def test_the_notes_lead_to_the_pages_that_say_it() -> None:
    """The order of an update, and with which rights `cerrojo policy` works."""
    notes = (DEPLOY / "cerrojo" / "templates" / "NOTES.txt").read_text()
    values = (DEPLOY / "cerrojo" / "values.yaml").read_text()
    for text in (notes, values):
        assert re.search(r"(update|order)[^.]*docs/upgrade\.md|docs/upgrade\.md[^.]*order", text)
    runbook = (PROJECT / "docs" / "runbook.md").read_text()
    assert "docs/rights.md" in notes
    assert re.search(r"Secret for each part.*`resize`.*rights\.md#in-kafka", runbook, re.DOTALL)


def test_the_probes_ask_what_is_there() -> None:
    """A path that the port does not have would keep the pod from ever being ready."""
    paths = {
        (port, path)
        for resource in RESOURCES
        for port in resource.ports
        for path in {
            "alive": ["/healthz"],
            "started": ["/startz"],
            "ready": ["/readyz"],
        }.get(resource.blueprint.name, [])
    } | {("metrics", "/healthz"), ("metrics", "/readyz")}
    for name in ("gateway", "workers"):
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            asked = container(name)[probe]["httpGet"]
            assert (asked["port"], asked["path"]) in paths
            assert container(name)[probe]["timeoutSeconds"] > 2  # /readyz takes so long for itself


def test_a_gateway_starts_while_a_partition_has_no_worker() -> None:
    """/readyz says 503 then, and each new gateway would be killed, again and again."""
    probe = container("gateway")["startupProbe"]["httpGet"]
    assert probe == {"path": "/startz", "port": "login"}


def test_workers_that_decide_are_not_killed_for_a_partition_that_does_not_come_up() -> None:
    """They start all the same; that they are not ready keeps an update from going on."""
    probes = {
        name: container("workers")[f"{name}Probe"]["httpGet"]["path"]
        for name in ("startup", "readiness", "liveness")
    }
    assert probes == {"startup": "/healthz", "readiness": "/readyz", "liveness": "/healthz"}


@pytest.mark.parametrize("name", ["gateway", "workers"])
def test_an_outage_kills_no_pod_that_starts(name: str) -> None:
    """A new start would be no better, and Kubernetes would wait up to five minutes before it."""
    probe = container(name)["startupProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] == 86_400


def test_pods_have_the_time_that_they_take_to_end() -> None:
    """Killed earlier, a gateway breaks the connections of logins that it has accepted."""
    gateway, workers = (named("Deployment", f"-{name}") for name in ("gateway", "workers"))
    pre_stop = container("gateway")["lifecycle"]["preStop"]["sleep"]["seconds"]
    deadline = float(environment("gateway")["CERROJO_DEADLINE_SECONDS"])
    grace = gateway["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    assert grace >= math.ceil(pre_stop + drain_seconds(deadline))
    grace = workers["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    assert grace > 2 * DRAIN_SECONDS  # a handover to other hosts goes before it


def test_an_update_adds_a_pod_before_it_takes_one() -> None:
    """So that a gateway answers, and a worker host's successor is there for the handover."""
    for name in ("gateway", "workers"):
        strategy = named("Deployment", f"-{name}")["spec"]["strategy"]
        assert strategy == {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}


def test_a_gateway_hashes_for_the_processors_that_it_has() -> None:
    """Its CPU limit is what settings.usable_cores reads; whole, so that none is used in part."""
    resources = container("gateway")["resources"]
    assert resources["limits"]["cpu"] == resources["requests"]["cpu"]
    assert float(resources["limits"]["cpu"]).is_integer()


def test_the_defaults_of_the_values_are_those_of_the_settings() -> None:
    """Where a value stands for a setting."""
    assert VALUES["deadlineSeconds"] == FIELDS["deadline_seconds"].default
    assert VALUES["gateway"]["processes"] == FIELDS["gateway_processes"].default


def test_the_jobs_of_prometheus_have_the_names_that_the_alerts_know() -> None:
    """An alert for the absence of a job would fire for ever otherwise."""
    alerts = (PROJECT / "monitoring" / "alerts.yml").read_text()
    known = set(re.findall(r'job="([\w-]+)"', alerts))
    jobs = set()
    for name in ("gateway", "workers"):
        monitor = named(OF_PROMETHEUS, f"-{name}")["spec"]
        [endpoint] = monitor["endpoints"]
        [labelling] = endpoint["relabelings"]
        jobs.add(labelling["replacement"])
        wanted = monitor["selector"]["matchLabels"].items()
        [service] = [
            m
            for m in MANIFESTS
            if m["kind"] == "Service" and wanted <= m["metadata"]["labels"].items()
        ]
        assert [p["name"] for p in service["spec"]["ports"]] == [endpoint["port"]]
    assert jobs == known & jobs == {"cerrojo-gateway", "cerrojo-workers"}
