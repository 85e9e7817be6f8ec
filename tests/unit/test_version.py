"""The version is in one place, and each command says it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib

import pytest

from tests.paths import PROJECT
from version import VERSION


def said(module: str, **environment: str) -> str:
    """What the module prints for `--version`."""
    command = [sys.executable, "-m", module, "--version"]
    env = {**os.environ, "CERROJO_COMMIT": "", **environment}
    done = subprocess.run(command, cwd=PROJECT, env=env, capture_output=True, text=True, check=True)
    return done.stdout


@pytest.mark.parametrize("module", ["gateway", "workers"])
def test_each_command_says_its_version(module: str) -> None:
    """Also where no setting is there, and with the commit where the image was given one."""
    assert said(module, DATABASE_URL="") == f"Cerrojo {VERSION} (commit unknown)\n"
    assert said(module, CERROJO_COMMIT="c4c6138") == f"Cerrojo {VERSION} (commit c4c6138)\n"


def test_what_cannot_read_it_has_the_same_one() -> None:
    """A released image must not call itself by the last one's number."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    assert project["dynamic"] == ["version"]
    image = (PROJECT / "Dockerfile").read_text()
    assert re.findall(r'image\.version="(.*)"', image) == [VERSION]
    chart = (PROJECT / "deploy" / "cerrojo" / "Chart.yaml").read_text()
    assert re.findall(r'^(?:appV|v)ersion: "?([^"\n]*)', chart, re.MULTILINE) == [VERSION] * 2
