"""Whoever is woken by an alert finds what to do, and what stands there works."""

from __future__ import annotations

import importlib.util
import re
import shlex
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from cerrojo.__main__ import application
from tests.paths import PROJECT
from tests.unit.gateway.web.test_openapi import API

PAGE = (PROJECT / "docs" / "runbook.md").read_text()
ALERTS = (PROJECT / "monitoring" / "alerts.yml").read_text()
SCHEMA = (PROJECT / "sql" / "schema.sql").read_text()
MAKEFILE = (PROJECT / "Makefile").read_text()

NAMES = re.findall(r"- alert: (\w+)", ALERTS)

COMMANDS = sorted(
    {
        line.strip()
        for block in re.findall(r"```\n(.*?)```", PAGE, re.DOTALL)
        for line in block.splitlines()
        if line.strip()
    }
    | {
        found
        for found in re.findall(r"`([^`\n]+)`", PAGE)
        if re.match(r"(cerrojo|python|make|curl) ", found)
    }
)

OF_THE_SYSTEM = {"chronyc", "date", "df", "dmesg", "openssl", "ps", "ss"}
"""Programs of others, with options that Debian's man pages have."""


def test_each_alert_has_its_part_and_links_to_it() -> None:
    """By its name, in the order of the alerts; and no part is of an alert that is gone."""
    assert re.findall(r"^## (\w+)$", PAGE, re.MULTILINE) == NAMES
    links = re.findall(r'runbook_url: "\{\{ \$externalLabels\.runbook \}\}#(\w+)"', ALERTS)
    assert links == [name.lower() for name in NAMES]  # as GitHub makes anchors of headings


def test_the_links_lead_to_the_page() -> None:
    """Prometheus' configuration says where it is; an alert without that has half an address."""
    text = (PROJECT / "monitoring" / "prometheus.yml").read_text()
    assert "external_labels: {runbook: docs/runbook.md}" in text


def test_kubectl_reaches_the_namespace_and_the_logs_of_all_pods() -> None:
    """A log of one pod, which kubectl chooses, seldom is that of the pod with the trouble."""
    deploy = (PROJECT / "docs" / "deploy.md").read_text()
    [namespace] = set(re.findall(r"kubectl create namespace (\w+)", deploy))
    chosen = f"kubectl config set-context --current --namespace {namespace}"
    assert PAGE.index(chosen) < PAGE.index("kubectl exec")
    example = (PROJECT / "deploy" / "example.yaml").read_text()
    found = re.findall(r"`kubectl logs ([^`]+)`", PAGE)
    for command in found:
        of_all = re.fullmatch(r"-l (\S+)=(\w+) --prefix --tail 50", command)
        assert of_all
        assert f"{of_all[1]}: {of_all[2]}\n" in example
    assert len(found) == 2


@pytest.fixture(autouse=True)
def logs_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command configures the logs of its process, which is this one."""
    monkeypatch.setattr("cerrojo.__main__.configure", lambda *_: None)


def help_of(module: str, subcommands: list[str]) -> str:
    """What it says of itself, which it must. `cerrojo` in this process: a start takes a second."""
    if module == "cerrojo":
        result = CliRunner().invoke(application(), [*subcommands, "--help"], prog_name=module)
        assert result.exit_code == 0, result.output
        return result.output
    shown = [sys.executable, "-m", module, *subcommands, "--help"]
    done = subprocess.run(shown, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_exists(command: str) -> None:
    """At three in the morning nobody wants to read that there is no such option."""
    program, *words = shlex.split(command)
    if program in ("python", "cerrojo"):
        flag, module, *rest = words if program == "python" else ["-m", program, *words]
        assert flag == "-m"
        assert importlib.util.find_spec(module) is not None
        if rest:
            subcommands = [word for word in rest if word.islower() and not word.startswith("-")]
            shown = help_of(module, subcommands)
            assert all(word in shown for word in rest if word.startswith("--"))
    elif program == "curl":
        (address,) = (word for word in words if word.startswith("localhost:"))
        method = words[words.index("-X") + 1] if "-X" in words else "GET"
        found = re.fullmatch(r"localhost:(\d+)(/[a-z]+)(/NAME)?(\?user=NAME)?", address)
        assert found is not None
        asked = f"{method} {found[2]}{'/{user}' if found[3] else ''}"
        if found[1] == "5000":
            assert API[asked] == "5100"  # the operator port of that list
        else:
            assert (found[1], asked) in {("5001", "GET /healthz"), ("5001", "GET /readyz")}
    elif program == "psql":
        for table in re.findall(r"FROM (\w+)", words[-1]):
            assert table in ("now", "pg_class", "pg_stat_activity") or (
                f"CREATE TABLE public.{table} (" in SCHEMA
            )
    elif program == "make":
        assert re.search(rf"^{words[0]}:", MAKEFILE, re.MULTILINE)
    else:
        assert program in OF_THE_SYSTEM
