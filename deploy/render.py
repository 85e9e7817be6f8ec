"""`make chart`: let Helm check the chart, and write what it makes of the example.

`make test` needs no Helm: it looks at deploy/example.yaml, and at the sum of what that was made of.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent
CHART = FOLDER / "cerrojo"
VALUES = FOLDER / "example-values.yaml"
EXAMPLE = FOLDER / "example.yaml"
KUBERNETES = "1.30"  # the oldest that the chart allows


def sources() -> str:
    """The SHA-256 sum of all that the example is made of, in hex."""
    files = [VALUES, *(path for path in CHART.rglob("*") if path.is_file())]
    sums = {
        str(path.relative_to(FOLDER)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }
    return hashlib.sha256(
        "".join(f"{sums[name]} {name}\n" for name in sorted(sums)).encode()
    ).hexdigest()


def head() -> str:
    """The first line of the example."""
    return f"# Made by `make chart` of the chart and deploy/example-values.yaml: {sources()}\n"


def main() -> int:
    """Lint, render and write; the exit code."""
    helm = shutil.which(os.environ.get("HELM", "helm"))
    if helm is None:
        print(
            "There is no helm. Install it, or build it by `go install "
            "helm.sh/helm/v3/cmd/helm@latest`, and name it: make chart HELM=...",
            file=sys.stderr,
        )
        return 2
    # A Helm of `go install` takes itself for one of a Kubernetes of long ago.
    given = ["--values", VALUES, "--kube-version", KUBERNETES]
    try:
        subprocess.run([helm, "lint", "--strict", CHART, *given], check=True)
        command = [helm, "template", "cerrojo", CHART, "--namespace", "logins", *given]
        made = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    except subprocess.CalledProcessError as error:
        return error.returncode
    EXAMPLE.write_text(head() + made)
    print(f"Wrote {EXAMPLE.relative_to(FOLDER.parent)}; its tests are of `make test`.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
