"""The client is installed by pip, and needs nothing of the project."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.paths import PROJECT

IMPORTS = "import cerrojo_client; print(cerrojo_client.__file__, *cerrojo_client.__all__)"


def run(*command: str, **env: str) -> str:
    """The output of a program that must succeed."""
    done = subprocess.run(
        command, env={**os.environ, **env}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_pip_installs_it(tmp_path: Path):
    """With its types and its licence; its one dependency is httpx."""
    source = str(PROJECT / "clients" / "python")
    offline = ("--no-index", "--no-build-isolation", "--no-deps", "--target", str(tmp_path))
    run(sys.executable, "-m", "pip", "install", *offline, source)
    (installed,) = tmp_path.glob("cerrojo_client-*.dist-info")
    metadata = (installed / "METADATA").read_text()
    assert [line for line in metadata.splitlines() if line.startswith("Requires-Dist")] == [
        "Requires-Dist: httpx>=0.27"
    ]
    assert (tmp_path / "cerrojo_client" / "py.typed").exists()
    assert (installed / "licenses" / "LICENSE").exists()
    where = run(sys.executable, "-P", "-c", IMPORTS, PYTHONPATH=str(tmp_path)).split()
    assert where[0].startswith(str(tmp_path))
