"""The file of the keys that sign sessions."""

from __future__ import annotations

import json
import os
import re
import stat
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from gateway.session_keys import drop_key, new_key, parse, sign_with


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where it is to be."""
    return tmp_path / "keys.json"


def ids(file: Path) -> list[str]:
    """The ids in the file, in its order."""
    return [key["kid"] for key in json.loads(file.read_text())["keys"]]


def private(kid: str | None = "one") -> dict[str, Any]:
    """A key as the file has it."""
    key = OKPKey.generate_key("Ed25519").as_dict(private=True)
    return {**key, "kid": kid} if kid is not None else key


def test_a_new_key_signs_and_the_former_ones_verify(file: Path) -> None:
    """So nobody is logged out; with `last` it waits until every gateway knows it."""
    (first,) = new_key(file).verifying
    keys = new_key(file)
    second = keys.signing.kid
    assert second
    assert list(keys.verifying) == ids(file) == [second, first]
    keys = new_key(file, last=True)
    *_, third = keys.verifying
    assert (keys.signing.kid, ids(file)) == (second, [second, first, third])
    assert sign_with(file, third).signing.kid == third
    assert ids(file) == [third, second, first]
    assert list(drop_key(file, second).verifying) == ids(file) == [third, first]
    assert len({first, second, third}) == 3


def test_an_id_is_no_option_of_a_command(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One in 64 would begin like one, and `sign-with` and `drop-key` take it as an argument."""
    made = [OKPKey.import_key({**private("a good one")})]
    while not str(made[-1].kid).startswith("-"):
        made.append(OKPKey.generate_key("Ed25519", auto_kid=True))
    monkeypatch.setattr(OKPKey, "generate_key", lambda *_, **__: made.pop())
    new_key(file)
    assert not ids(file)[0].startswith("-")


def test_the_file_is_for_its_owner_alone(file: Path) -> None:
    """Until somebody decides otherwise; and no half-written one is left."""
    new_key(file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    file.chmod(0o640)
    new_key(file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    link = file.with_name("link")
    link.symlink_to(file)
    new_key(link)
    assert link.is_symlink()
    assert len(ids(file)) == 3
    assert sorted(os.listdir(file.parent)) == ["keys.json", "link"]


def test_what_everybody_may_see_is_no_private_half(file: Path) -> None:
    """Of any key, and in the members that the RFCs name."""
    new_key(file)
    keys = new_key(file)
    shown = json.loads(keys.public)["keys"]
    assert [set(key) for key in shown] == [{"kty", "crv", "x", "kid", "use", "alg"}] * 2
    assert [key["kid"] for key in shown] == ids(file)
    assert {(key["kty"], key["crv"], key["use"], key["alg"]) for key in shown} == {
        ("OKP", "Ed25519", "sig", "EdDSA")
    }
    for secret in json.loads(file.read_text())["keys"]:
        assert secret["d"] not in keys.public.decode()


def test_the_public_half_is_that_of_the_private_one() -> None:
    """Whatever stands beside it: else the world would verify by somebody else's key."""
    mine = private()
    keys = parse(json.dumps({"keys": [{**mine, "x": private()["x"]}]}).encode())
    assert json.loads(keys.public)["keys"][0]["x"] == mine["x"]


def test_a_former_key_may_stand_there_without_its_private_half() -> None:
    """It only verifies; the first one has to sign."""
    former = OKPKey.generate_key("Ed25519", private=False).as_dict() | {"kid": "former"}
    assert list(parse(json.dumps({"keys": [private(), former]}).encode()).verifying) == [
        "one",
        "former",
    ]
    with pytest.raises(ValueError, match="first key, which signs, has no private half"):
        parse(json.dumps({"keys": [former, private()]}).encode())


BAD: dict[str, tuple[Any, str]] = {
    "no keys": ({"keys": []}, "it has no key"),
    "a key alone": (private(), "no JWK Set"),
    "a list": ([private()], "no JWK Set"),
    "a key that is none": ({"keys": ["secret"]}, "no JWK Set"),
    "no id": ({"keys": [private(None)]}, 'key 1 has no "kid"'),
    "an empty id": ({"keys": [private("")]}, 'key 1 has no "kid"'),
    "an id twice": ({"keys": [private(), private()]}, "key 2 has .* that of another one"),
    "a number as id": ({"keys": [private() | {"kid": 5}]}, "key 1 is no Ed25519 key"),
    "RSA": (
        {"keys": [RSAKey.generate_key(2048).as_dict(private=True)]},
        "key 1 is no Ed25519 key",
    ),
    "a secret for HS256": (
        {"keys": [private(), OctKey.generate_key(256).as_dict(private=True)]},
        "key 2 is no Ed25519 key",
    ),
    "ES256": ({"keys": [ECKey.generate_key().as_dict(private=True)]}, "key 1 is no Ed25519 key"),
    "X25519": (
        {"keys": [OKPKey.generate_key("X25519").as_dict(private=True)]},
        "key 1 is no Ed25519 key",
    ),
    "Ed448": (
        {"keys": [OKPKey.generate_key("Ed448").as_dict(private=True)]},
        "key 1 is no Ed25519 key",
    ),
    "a short key": ({"keys": [private() | {"d": "c2VjcmV0"}]}, "key 1 is no Ed25519 key"),
    "a key of no base64": ({"keys": [private() | {"d": "sécret"}]}, "key 1 is no Ed25519 key"),
    "a key of no text": ({"keys": [private() | {"d": 5}]}, "key 1 is no Ed25519 key"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_file_with_anything_else_is_refused_whole(name: str) -> None:
    """A key that is passed over would let another one sign. The sentence has nothing of it."""
    content, says = BAD[name]
    with pytest.raises(ValueError, match=says) as caught:
        parse(json.dumps(content).encode())
    text = str(caught.value)
    assert not [
        secret for secret in re.findall(r'"[dk]": "(.+?)"', json.dumps(content)) if secret in text
    ]
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize("content", [b"", b"\xff", b"{", b"[" * 100_000, b"-----BEGIN PRIVATE"])
def test_a_file_of_another_form_is_refused(content: bytes) -> None:
    """One that is half written, too."""
    with pytest.raises(ValueError, match="no JWK Set"):
        parse(content)
