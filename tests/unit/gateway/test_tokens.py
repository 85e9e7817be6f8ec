"""Who may ask for verdicts."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from gateway import tokens
from gateway.errors import (
    InsufficientScopeError,
    NotEnabledError,
    UnauthorizedError,
    UnavailableError,
)
from gateway.tokens import SETTING, Scope, ServiceToken, ServiceTokens, parse
from gateway.web.errors import headers_of


def line(name: str, token: str, scopes: str = "attempts,block") -> str:
    """The line of a token."""
    return f"{name} {hashlib.sha256(token.encode()).hexdigest()} {scopes}".rstrip() + "\n"


ONLY_BLOCK = frozenset({Scope.BLOCK})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file with two tokens."""
    path = tmp_path / "tokens"
    path.write_text("# services\n\n" + line("shop", "one") + line("MAIL", "two"))
    return path


def test_a_token_is_of_a_service(file: Path) -> None:
    """Whose name it gives; the scheme is written as anybody likes."""
    services = ServiceTokens(file)
    assert services.service_of(b"Bearer one", Scope.ATTEMPTS) == "shop"
    assert services.service_of(b"bearer  two ", Scope.ATTEMPTS) == "MAIL"


@pytest.mark.parametrize(
    "header",
    [None, b"", b"Bearer", b"Bearer ", b"one", b"Basic one", b"Bearer on", b"Bearer One",
     b"Bearer one two", b"Bearer \xff", b"Bearer shop",
     b"Bearer " + hashlib.sha256(b"one").hexdigest().encode()],
)  # fmt: skip
def test_anything_else_is_refused(file: Path, header: bytes | None) -> None:
    """Also a name, and the hash that the file has."""
    with pytest.raises(UnauthorizedError):
        ServiceTokens(file).service_of(header, Scope.ATTEMPTS)


def test_without_a_file_nobody_may_ask_and_is_told_the_way() -> None:
    """The sentence has the setting and the command."""
    with pytest.raises(NotEnabledError, match=f"Set {SETTING} .*cerrojo tokens new"):
        ServiceTokens(None).service_of(b"Bearer one", Scope.ATTEMPTS)


def test_a_change_of_the_file_counts_at_once(file: Path) -> None:
    """Deleting a line revokes; a file that is away, or no file, lets nobody in until it is back."""
    services = ServiceTokens(file)
    assert services.service_of(b"Bearer one", Scope.ATTEMPTS)
    file.write_text(line("mail", "two"))
    with pytest.raises(UnauthorizedError):
        services.service_of(b"Bearer one", Scope.ATTEMPTS)
    assert services.service_of(b"Bearer two", Scope.ATTEMPTS)
    kept = file.rename(file.with_suffix(".away"))
    for _ in range(2):
        with pytest.raises(UnavailableError):
            services.service_of(b"Bearer two", Scope.ATTEMPTS)
    file.mkdir()
    with pytest.raises(UnavailableError):
        services.service_of(b"Bearer two", Scope.ATTEMPTS)
    file.rmdir()
    kept.rename(file)
    assert services.service_of(b"Bearer two", Scope.ATTEMPTS)


def test_an_unchanged_file_is_not_read_again(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is looked at for each request."""
    services = ServiceTokens(file)
    services.service_of(b"Bearer one", Scope.ATTEMPTS)
    monkeypatch.setattr(Path, "read_bytes", None)
    assert services.service_of(b"Bearer one", Scope.ATTEMPTS)


def test_a_bad_line_spoils_no_other(capsys: pytest.CaptureFixture[str]) -> None:
    """It is said by its number, without what stands in it: that may be a token."""
    hash_ = "ab" * 32
    text = (
        f"secret\nshop {hash_} block  # the shop's\nshop {hash_}0 block\nmail x{hash_} block\n"
        f"mail {hash_} blocks\nmail {hash_} block,\nmail {hash_} block attempts\n"
    )
    assert parse(text.encode()) == [ServiceToken("shop", bytes.fromhex(hash_), ONLY_BLOCK)]
    said = capsys.readouterr().out
    numbers = range(1, 8)
    assert [n for n in numbers if f"line={n}" in said] == [1, 3, 4, 5, 6, 7]
    assert "secret" not in said
    assert SETTING in said


@pytest.mark.parametrize(
    ("scopes", "block", "attempts"),
    [("block", True, False), ("attempts", False, True), ("block,attempts", True, True)],
)
def test_a_token_is_for_its_scopes_only(
    tmp_path: Path, scopes: str, block: bool, attempts: bool
) -> None:
    """A service that only asks who is blocked can block nobody; the answer says what lacks."""
    path = tmp_path / "tokens"
    path.write_text(line("shop", "one", scopes))
    services = ServiceTokens(path)
    for scope, granted in ((Scope.BLOCK, block), (Scope.ATTEMPTS, attempts)):
        if granted:
            assert services.service_of(b"Bearer one", scope) == "shop"
            continue
        with pytest.raises(InsufficientScopeError, match=f'"{scope}".*{SETTING}') as refused:
            services.service_of(b"Bearer one", scope)
        challenge = f'Bearer error="insufficient_scope", scope="{scope}"'
        assert headers_of(refused.value) == {"www_authenticate": challenge}


def test_a_line_without_scopes_has_all_and_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As before there were scopes; the warning says which line, and comes once for each reading."""
    path = tmp_path / "tokens"
    path.write_text(line("mail", "two", "block") + line("shop", "one", "").upper())
    services = ServiceTokens(path)
    for scope in Scope:
        assert services.service_of(b"Bearer one", scope) == "SHOP"
    said = capsys.readouterr().out
    assert said.count("has no scopes") == 1
    assert "line=2" in said
    assert "service=SHOP" in said


def test_a_new_token_is_let_in_by_its_line(tmp_path: Path) -> None:
    """For its scopes alone, and another one each time."""
    made = [tokens.new_token("shop", [Scope.ATTEMPTS]) for _ in range(2)]
    assert made[0].token != made[1].token
    assert len(made[0].token) >= 43
    assert made[0].token not in made[0].line
    (tmp_path / "tokens").write_text(made[0].line)
    services = ServiceTokens(tmp_path / "tokens")
    authorization = f"Bearer {made[0].token}".encode()
    assert services.service_of(authorization, Scope.ATTEMPTS) == "shop"
    with pytest.raises(InsufficientScopeError):
        services.service_of(authorization, Scope.BLOCK)


@pytest.mark.parametrize("name", ["", "two words", "a#b", "ä", "a" * 65])
def test_a_name_that_the_file_cannot_hold_is_refused(name: str) -> None:
    """With what it may be."""
    with pytest.raises(ValueError, match="1 to 64 visible ASCII characters"):
        tokens.new_token(name, [Scope.BLOCK])
