"""Forged tokens are such that a verifier that is careless somewhere takes one."""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import OKPKey

from gateway.errors import NoSessionError
from gateway.session_keys import new_key
from gateway.sessions import Sessions
from loadtest.attacks.tokens import forgeries, of_services
from settings import Settings
from tests.unit.loadtest.attacks.fake import FakePort, Reply, attacked

NOW_MS = 1_800_000_000_000


@pytest.fixture
def sessions(tmp_path: Path) -> Sessions:
    """Those of a gateway."""
    new_key(tmp_path / "keys")
    return Sessions(Settings(session_keys_file=tmp_path / "keys"), lambda: NOW_MS)


def forged(sessions: Sessions) -> list[tuple[str, str]]:
    """All forgeries of a session of ana by somebody that has one of bob."""
    token, own = (sessions.begin(sessions.keys(), user, 1) for user in ("ana", "bob"))
    (key,) = json.loads(sessions.keys().public)["keys"]
    return list(forgeries(token, own, key))


def test_none_is_a_session(sessions: Sessions) -> None:
    """Whatever is wrong with it, it is one answer and no failure."""
    for what, token in forged(sessions):
        with pytest.raises(NoSessionError):
            pytest.fail(f"{what}: {sessions.session_of(token.encode())}")


def _part(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def believes_none(token: str, _: OKPKey) -> bool:
    """As libraries did that let the token choose."""
    return bool(json.loads(_part(token.split(".")[0]))["alg"].lower() == "none")


def takes_the_public_key_for_a_secret(token: str, key: OKPKey) -> bool:
    """The same, with a key that everybody has."""
    signed, _, signature = token.rpartition(".")
    secret = _part(str(key.as_dict(private=False)["x"]))
    return hmac.digest(secret, signed.encode(), "sha256") == _part(signature)


def checks_no_signature(token: str, _: OKPKey) -> bool:
    """Reads it only."""
    return bool(json.loads(_part(token.split(".")[1]))["sub"] == "ana")


@pytest.mark.parametrize(
    "mutant", [believes_none, takes_the_public_key_for_a_secret, checks_no_signature]
)
def test_one_of_them_is_taken_by_a_careless_verifier(
    sessions: Sessions, mutant: Callable[[str, OKPKey], bool]
) -> None:
    """Each of these was a real one's fault."""
    key: Any = sessions.keys().signing

    def takes(token: str) -> bool:
        try:
            return mutant(token, key)
        except (ValueError, KeyError, TypeError, AttributeError):
            return False

    assert any(takes(token) for _, token in forged(sessions))


BLOCKS = "a-token-for-blocks"


class Services(FakePort):
    """Takes reports of services, of those with the right token and scope."""

    def __init__(self, *, scopes: bool = True, whole: bool = True) -> None:
        """`scopes`: whether a token is for some things only; `whole`: not for its beginning."""
        super().__init__()
        self.scopes, self.whole = scopes, whole

    def reply(self, path: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """The answer."""
        if not path.startswith("/attempts"):
            return super().reply(path, headers, body)
        said = headers.get("authorization", "").removeprefix("Bearer ")
        if said != BLOCKS and (self.whole or len(said) < 9 or not BLOCKS.startswith(said)):
            return 401, {}, {}
        if headers["authorization"] == said:
            return 401, {}, {}
        if path == "/attempts" and self.scopes:
            return 403, {}, {}
        if path == "/attempts":
            self.wrong[json.loads(body)["user"]] += 1
        return 200, {}, {}


@pytest.mark.parametrize(
    ("fake", "held"),
    [(Services(), True), (Services(scopes=False), False), (Services(whole=False), False)],
    ids=["right", "any scope", "a part of it"],
)
def test_a_token_that_does_more_than_it_may_is_a_broken_promise(fake: Services, held: bool) -> None:
    """A report counts, and six of them shut the owner out."""
    outcome = attacked(fake, of_services, BLOCKS)
    assert outcome.held is held, outcome.happened
