"""`make sbom`: lists of what the image and a checkout are made of, as CycloneDX has them.

Each is what the locks name, with their hashes, so it needs no network, no image and no environment
that is installed. Packages for other systems and Pythons are in it as the locks have them.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from local import jars
from version import VERSION

ROOT = Path(__file__).parents[1]
INTO = ROOT / "sbom"
SPECIFICATION = SchemaVersion.V1_6

Json = dict[str, Any]


class NotValidError(Exception):
    """What was made is no CycloneDX; the message says where."""


def image() -> Json:
    """Of the image: the packages of Python in it, and the image that it is built on."""
    bom = _of_requirements("runtime.txt")
    bom["metadata"]["component"]["type"] = "container"
    _add(bom, _base())
    return bom


def checkout() -> Json:
    """Of a checkout that `make` has prepared: also what tests it, and the jars of its Kafka."""
    bom = _of_requirements("dev.txt")
    for jar in jars.locked():
        _add(bom, _of_jar(jar))
    return bom


def check(bom: Json) -> Json:
    """The same. Raises NotValidError if it is not as CycloneDX' schema wants it."""
    trouble = JsonStrictValidator(SPECIFICATION).validate_str(json.dumps(bom))
    if trouble is not None:
        raise NotValidError(repr(trouble))
    return bom


def _of_requirements(lock: str) -> Json:
    """The packages of this file in requirements/."""
    done = subprocess.run(
        [
            # It warns that a lock does not say which package needs which.
            *(sys.executable, "-W", "ignore::UserWarning", "-m", "cyclonedx_py", "requirements"),
            *("--pyproject", str(ROOT / "pyproject.toml")),
            *("--spec-version", SPECIFICATION.to_version(), "--output-reproducible"),
            "--no-validate",  # `check` does it, once all is in it
            str(ROOT / "requirements" / lock),
        ],
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(f"cyclonedx_py failed:\n{done.stderr}")
    bom: Json = json.loads(done.stdout)
    bom["metadata"]["component"]["version"] = VERSION
    return bom


def _add(bom: Json, component: Json) -> None:
    bom["components"].append(component)
    bom["dependencies"].append({"ref": component["bom-ref"]})


def _of_jar(jar: jars.Jar) -> Json:
    purl = f"pkg:maven/{jar.group}/{jar.artifact}@{jar.version}?type=jar"
    return {
        **{"type": "library", "bom-ref": purl, "purl": purl},
        **{"group": jar.group, "name": jar.artifact, "version": jar.version},
        "hashes": [{"alg": "SHA-256", "content": jar.sha256}],
    }


def _base() -> Json:
    """The image of others that ours is built on."""
    text = (ROOT / "Dockerfile").read_text()
    found = re.search(r"^ARG PYTHON=(.+):(.+)@sha256:(.+)$", text, re.MULTILINE)
    assert found, "the Dockerfile names it by its digest"
    name, tag, digest = found.groups()
    purl = f"pkg:docker/{name}@sha256%3A{digest}?tag={tag}"
    return {
        **{"type": "container", "bom-ref": purl, "purl": purl},
        **{"name": name, "version": tag},
        "hashes": [{"alg": "SHA-256", "content": digest}],
    }


def main() -> int:
    """Write both; 0."""
    INTO.mkdir(exist_ok=True)
    for name, make in (("image", image), ("checkout", checkout)):
        bom = check(make())
        path = INTO / f"{name}.cdx.json"
        path.write_text(json.dumps(bom, indent=2) + "\n")
        print(f"Wrote {path.relative_to(ROOT)}: {len(bom['components'])} components.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
