"""The token of a session: who makes one, and which is believed."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import KeySet, OKPKey

from gateway.errors import NoSessionError, UnavailableError
from gateway.session_keys import SETTING, drop_key, new_key
from gateway.sessions import LEEWAY_SECONDS, TOKEN_MAX, Sessions
from settings import Settings

NOW = 1_800_000_000
SECONDS = 900


class Clock:
    """A clock that is set."""

    now = float(NOW)

    def ms(self) -> int:
        """As the brokers show it."""
        return int(self.now * 1000)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with one key."""
    path = tmp_path_factory.mktemp("keys") / "keys.json"
    new_key(path)
    return path


@pytest.fixture
def clock() -> Clock:
    """That of the sessions."""
    return Clock()


def sessions_of(file: Path, clock: Clock, **settings: Any) -> Sessions:
    """The sessions with these settings."""
    return Sessions(Settings(session_keys_file=file, **settings), clock.ms)


@pytest.fixture
def sessions(file: Path, clock: Clock) -> Sessions:
    """With the default settings."""
    return sessions_of(file, clock)


def coded(part: object) -> bytes:
    """A part of a token."""
    data = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def signed(key: OKPKey, header: object, claims: object) -> bytes:
    """A token that this key signs, made by hand."""
    text = coded(header) + b"." + coded(claims)
    assert key.private_key is not None
    return text + b"." + coded(key.private_key.sign(text))  # type: ignore[call-arg, union-attr]


CLAIMS = {
    "iss": "cerrojo",
    "sub": "ana",
    "aud": "cerrojo",
    "iat": NOW,
    "nbf": NOW,
    "exp": NOW + SECONDS,
    "jti": "one",
    "ver": 7,
}


def test_a_session_is_known_again(sessions: Sessions, clock: Clock) -> None:
    """Its user, the account's version, and the time that is left."""
    token = sessions.begin(sessions.keys(), "änna@example.com", 1_790_000_000_123).encode()
    clock.now += 100
    assert sessions.session_of(token) == ("änna@example.com", 1_790_000_000_123, SECONDS - 100)


def test_a_session_ends_with_its_time(sessions: Sessions, clock: Clock) -> None:
    """At the second."""
    token = sessions.begin(sessions.keys(), "ana", 1).encode()
    clock.now += SECONDS - 0.001
    assert sessions.session_of(token).user == "ana"
    clock.now += 0.001
    with pytest.raises(NoSessionError, match="has ended"):
        sessions.session_of(token)


def test_gateways_whose_clocks_differ_a_little_agree(sessions: Sessions, clock: Clock) -> None:
    """A session that another one has just begun is one."""
    token = sessions.begin(sessions.keys(), "ana", 1).encode()
    clock.now -= LEEWAY_SECONDS
    assert sessions.session_of(token).user == "ana"
    clock.now -= 0.001
    with pytest.raises(NoSessionError, match="has not begun"):
        sessions.session_of(token)


def test_a_token_is_one_for_anybody_who_has_the_public_keys(sessions: Sessions) -> None:
    """By what a library makes of the JWK Set and of the RFC's claims."""
    token = sessions.begin(sessions.keys(), "ana", 7)
    public = KeySet.import_key_set(json.loads(sessions.keys().public))
    with pytest.warns(match="RFC 9864"):
        found = jwt.decode(token, public, algorithms=["EdDSA"])
    rules = jwt.JWTClaimsRegistry(
        now=lambda: NOW,
        iss={"essential": True, "value": "cerrojo"},
        aud={"essential": True, "value": "cerrojo"},
        exp={"essential": True},
    )
    rules.validate(found.claims)
    assert {**found.claims, "jti": "one"} == CLAIMS
    assert found.header == {"alg": "EdDSA", "typ": "JWT", "kid": sessions.keys().signing.kid}


def test_no_two_sessions_have_the_same_token(sessions: Sessions) -> None:
    """Though their user and their second may be the same."""
    assert len({sessions.begin(sessions.keys(), "ana", 1) for _ in range(10)}) == 10


def test_the_longest_name_has_a_token_that_a_browser_keeps(sessions: Sessions) -> None:
    """Four bytes for each character."""
    user = "\U00020000" * 254
    token = sessions.begin(sessions.keys(), user, 2**62).encode()
    assert len(token) < 2000 < TOKEN_MAX
    assert sessions.session_of(token).user == user


def header_of(key: OKPKey) -> dict[str, Any]:
    """The right one for this key."""
    return {"alg": "EdDSA", "typ": "JWT", "kid": key.kid}


def without_a_signature(key: OKPKey) -> bytes:
    """Of no algorithm."""
    return coded({**header_of(key), "alg": "none"}) + b"." + coded(CLAIMS) + b"."


def by_the_public_key(key: OKPKey, secret: bytes) -> bytes:
    """HS256, whose secret is what everybody may see."""
    text = coded({**header_of(key), "alg": "HS256"}) + b"." + coded(CLAIMS)
    return text + b"." + coded(hmac.digest(secret, text, hashlib.sha256))


def public_forms(key: OKPKey) -> list[bytes]:
    """What such a secret may be."""
    shown = key.as_dict(private=False)
    return [
        shown["x"].encode(),
        base64.urlsafe_b64decode(shown["x"] + "="),
        json.dumps(shown).encode(),
        OKPKey.import_key(key.public_key).as_pem(private=False),  # type: ignore[arg-type]
    ]


STRANGER = OKPKey.generate_key("Ed25519", {"kid": "stranger"})


def altered(key: OKPKey) -> bytes:
    """Another user with the signature of one that was right."""
    head, _, signature = signed(key, header_of(key), CLAIMS).split(b".")
    return b".".join((head, coded({**CLAIMS, "sub": "ben"}), signature))


def claims(**changes: object) -> Callable[[OKPKey], bytes]:
    """A token of the right key with other claims; None leaves one out."""
    said = {name: value for name, value in {**CLAIMS, **changes}.items() if value is not None}
    return lambda key: signed(key, header_of(key), said)


def header(**changes: object) -> Callable[[OKPKey], bytes]:
    """A token of the right key with another header; None leaves something out."""

    def make(key: OKPKey) -> bytes:
        said = {**header_of(key), **changes}
        return signed(key, {name: v for name, v in said.items() if v is not None}, CLAIMS)

    return make


FORGED: dict[str, Callable[[OKPKey], bytes]] = {
    "no algorithm": without_a_signature,
    "no algorithm, and a signature": header(alg="none"),
    "NONE": header(alg="NONE"),
    **{
        f"the public key as a secret {n}": lambda key, n=n: by_the_public_key(  # type: ignore[misc]
            key, public_forms(key)[n]
        )
        for n in range(4)
    },
    "another algorithm": header(alg="Ed25519"),
    "an algorithm for another key": header(alg="RS256"),
    "a list of algorithms": header(alg=["EdDSA"]),
    "a key that nobody knows": lambda _: signed(STRANGER, header_of(STRANGER), CLAIMS),
    "another key under a known id": lambda key: signed(STRANGER, header_of(key), CLAIMS),
    "another key, brought along": lambda key: signed(
        STRANGER, {**header_of(key), "jwk": STRANGER.as_dict(private=False)}, CLAIMS
    ),
    "another key's address": lambda key: signed(
        STRANGER, {**header_of(key), "jku": "https://example.com/jwks"}, CLAIMS
    ),
    "no key id": header(kid=None),
    "a list as key id": header(kid=["one"]),
    "another content": altered,
    "no signature": lambda key: signed(key, header_of(key), CLAIMS).rpartition(b".")[0] + b".",
    "half a signature": lambda key: signed(key, header_of(key), CLAIMS)[:-40],
    "two signatures": lambda key: signed(key, header_of(key), CLAIMS) + b".c2ln",
    "something critical": header(crit=["more"], more=1),
    "a content that is not encoded": header(crit=["b64"], b64=False),
    "another audience": claims(aud="elsewhere"),
    "several audiences": claims(aud=["cerrojo", "elsewhere"]),
    "no audience": claims(aud=None),
    "another issuer": claims(iss="elsewhere"),
    "no issuer": claims(iss=None),
    "ended": claims(exp=NOW),
    "no end": claims(exp=None),
    "an end that is no number": claims(exp="tomorrow"),
    "an end beyond numbers": lambda key: signed(
        key, header_of(key), json.dumps(CLAIMS).replace(str(NOW + SECONDS), "1e999").encode()
    ),
    "not begun": claims(nbf=NOW + 3600),
    "no begin": claims(nbf=None),
    "no user": claims(sub=None),
    "a user that is no text": claims(sub=5),
    "no version": claims(ver=None),
    "a version that is no number": claims(ver="7"),
    "claims that are no object": lambda key: signed(key, header_of(key), [CLAIMS]),
    "claims that are no JSON": lambda key: signed(key, header_of(key), b"{"),
    "claims that are no UTF-8": lambda key: signed(key, header_of(key), b'{"iss":"\xff"}'),
    "claims that are deep": lambda key: signed(key, header_of(key), b"[" * 2_000),
    "a header that is a list": lambda key: signed(key, ["alg", "kid"], CLAIMS),
    "a header that is nothing": lambda key: signed(key, None, CLAIMS),
    "a header that is no JSON": lambda key: signed(key, b"{", CLAIMS),
    "a header that is no UTF-8": lambda key: signed(key, b'{"alg":"\xff"}', CLAIMS),
    "a header that is deep": lambda key: signed(key, b'{"alg":' * 60, CLAIMS),
    "a long header": header(kid="k" * 2_000),
    "nothing": lambda _: b"",
    "dots": lambda _: b"..",
    "many dots": lambda _: b"." * 10_000_000,
    "one part": lambda _: b"eyJhbGciOiJFZERTQSJ9",
    "five parts": lambda _: b"eyJhbGciOiJkaXIifQ.a.b.c.d",
    "no base64": lambda _: b"\xff.\x00.\n",
    "a long token": claims(more="x" * TOKEN_MAX),
    "a very long one": lambda key: signed(key, header_of(key), CLAIMS) + b"A" * 10_000_000,
}


@pytest.mark.parametrize("name", FORGED)
def test_any_other_token_is_refused(sessions: Sessions, name: str) -> None:
    """And the right one that it was made of is not."""
    key = sessions.keys().signing
    assert sessions.session_of(signed(key, header_of(key), CLAIMS)).user == "ana"
    with pytest.raises(NoSessionError):
        sessions.session_of(FORGED[name](key))


@given(
    st.one_of(
        st.binary(max_size=300),
        st.tuples(
            st.recursive(
                st.none() | st.booleans() | st.integers() | st.text(),
                lambda inner: (
                    st.lists(inner)
                    | st.dictionaries(
                        st.sampled_from(["alg", "kid", "b64", "crit", "x5c", "typ"]), inner
                    )
                ),
            ),
            st.binary(max_size=50),
            st.binary(max_size=70),
        ).map(lambda parts: b".".join(map(coded, parts))),
    )
)
def test_whatever_is_sent_is_no_session_and_no_error(file: Path, token: bytes) -> None:
    """A library's exception that nobody expected would be a 500."""
    with pytest.raises(NoSessionError):
        sessions_of(file, Clock()).session_of(token)


def test_issuer_and_audience_are_settings(file: Path, clock: Clock, sessions: Sessions) -> None:
    """A token for one is none for another."""
    other = sessions_of(
        file, clock, session_issuer="https://login.example", session_audience="wiki"
    )
    token = other.begin(other.keys(), "ana", 1).encode()
    assert other.session_of(token).user == "ana"
    for changed in ({"session_issuer": "https://login.example"}, {"session_audience": "wiki"}):
        with pytest.raises(NoSessionError, match="somewhere else"):
            sessions_of(file, clock, **changed).session_of(token)  # type: ignore[arg-type]


def test_a_key_is_replaced_without_a_logout(tmp_path: Path, clock: Clock) -> None:
    """In a gateway that runs; only dropping the former key ends what that has signed."""
    file = tmp_path / "keys.json"
    former = str(new_key(file).signing.kid)
    sessions = sessions_of(file, clock)
    before = sessions.begin(sessions.keys(), "ana", 1).encode()
    assert sessions.session_of(before)
    new_key(file)
    after = sessions.begin(sessions.keys(), "ana", 1).encode()
    assert json.loads(base64.urlsafe_b64decode(after.partition(b".")[0] + b"==="))["kid"] != former
    assert [sessions.session_of(token).user for token in (before, after)] == ["ana", "ana"]
    drop_key(file, former)
    with pytest.raises(NoSessionError):
        sessions.session_of(before)
    assert sessions.session_of(after).user == "ana"


def test_without_usable_keys_nothing_is_signed_or_believed(
    tmp_path: Path, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    """Until they are back. The log names the setting, and nothing of a key."""
    file = tmp_path / "keys.json"
    new_key(file)
    sessions = sessions_of(file, clock)
    token = sessions.begin(sessions.keys(), "ana", 1).encode()
    good = file.read_text()
    secret = json.loads(good)["keys"][0]["d"]
    for content in (None, "", good[:-20], good.replace("Ed25519", "P-256")):
        file.unlink(missing_ok=True)
        if content is not None:
            file.write_text(content)
        for _ in range(2):
            with pytest.raises(UnavailableError):
                sessions.keys()
            with pytest.raises(UnavailableError):
                sessions.session_of(token)
    said = capsys.readouterr().out
    assert SETTING in said
    assert secret not in said
    file.write_text(good)
    assert sessions.session_of(token).user == "ana"
