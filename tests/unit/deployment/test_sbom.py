"""The lists of what the image and a checkout are made of have all of it, and are CycloneDX."""

from __future__ import annotations

import re
from typing import Any

import pytest

from deploy import sbom
from local import jars
from tests.paths import PROJECT

REQUIREMENTS = PROJECT / "requirements"


def locked(lock: str) -> dict[str, set[str]]:
    """The hashes of each package of this file, by its purl."""
    packages = re.findall(r"^([^\s=]+)==(\S+)(.*?)(?=^\S|\Z)", lock, re.MULTILINE | re.DOTALL)
    return {
        f"pkg:pypi/{name}@{version}": set(re.findall(r"sha256:(\w{64})", rest))
        for name, version, rest in packages
    }


def listed(bom: sbom.Json, kind: str) -> dict[str, set[str]]:
    """The hashes of each component of this kind of purl, by its purl."""
    return {
        component["purl"]: {given["content"] for given in hashes(component)}
        for component in bom["components"]
        if component["purl"].startswith(f"pkg:{kind}/")
    }


def hashes(component: dict[str, Any]) -> list[dict[str, str]]:
    """Of the component itself, or of the files that it may be."""
    references = component.get("externalReferences", [])
    return [given for one in (component, *references) for given in one.get("hashes", [])]


def test_the_image_s_list_has_what_is_installed_there() -> None:
    """Each package of the lock with its hashes, and the image below by its digest."""
    bom = sbom.check(sbom.image())
    assert listed(bom, "pypi") == locked((REQUIREMENTS / "runtime.txt").read_text())
    [digests] = listed(bom, "docker").values()
    assert digests
    assert all(f"@sha256:{one}\n" in (PROJECT / "Dockerfile").read_text() for one in digests)


def test_a_checkout_s_list_has_what_make_installs_and_downloads() -> None:
    """Each package, and each of Kafka's jars with the sum that its download is compared with."""
    bom = sbom.check(sbom.checkout())
    assert listed(bom, "pypi") == locked((REQUIREMENTS / "dev.txt").read_text())
    assert set().union(*listed(bom, "maven").values()) == {jar.sha256 for jar in jars.locked()}


def test_a_list_that_is_none_is_not_written() -> None:
    """CycloneDX' own schema decides."""
    component = {"type": "library", "name": "something"}
    bom = {"bomFormat": "CycloneDX", "specVersion": "1.6", "components": [component]}
    assert sbom.check(bom) is bom
    component["type"] = "something"
    with pytest.raises(sbom.NotValidError):
        sbom.check(bom)


@pytest.mark.parametrize("lock", sorted(path.name for path in REQUIREMENTS.glob("*.txt")))
def test_every_locked_package_has_hashes(lock: str) -> None:
    """pip refuses anything else then, whoever serves it."""
    packages = locked((REQUIREMENTS / lock).read_text())
    assert len(packages) > 5
    assert all(packages.values())


@pytest.mark.parametrize(
    "file", ["Makefile", "Dockerfile", "loadtest/Dockerfile", "docs/deploy.md"]
)
def test_wheels_only_are_installed(file: str) -> None:
    """A source would run its setup, and what that fetches has no hash."""
    commands = re.findall(r"pip install(?:[^\n]*\\\n)*[^\n]*", (PROJECT / file).read_text())
    assert commands
    for command in commands:
        assert "--require-hashes" in command
        assert "--only-binary=:all:" in command
