"""Each line of a file is an account or a reason, whatever the file is like."""

from __future__ import annotations

import io
import json
import tracemalloc
from datetime import UTC, datetime

import pytest

from gateway.accounts.errors import AccountFileError
from gateway.accounts.records import LINE_MAX, BadLine, Format, Record, read
from gateway.passwords.hash_formats import parse
from gateway.passwords.precis import USER_MAX
from tests.harness.foreign_accounts import KEYCLOAK

HASH = "$2b$12$" + "." * 53
ARGON2 = "$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHRzYWx0$ZGlnZXN0ZGlnZXN0ZGlnZXN0ZGlnZXN0"
ARGON2_KEYCLOAK = KEYCLOAK["argon2"]


def records(data: bytes, format_: Format | None = None) -> list[Record | BadLine]:
    """What is read of this file."""
    return list(read(io.BytesIO(data), format_))


def reason(data: bytes) -> str:
    """Why the last line of this file is refused; the others are good."""
    *others, last = records(data)
    assert all(isinstance(other, Record) for other in others)
    assert isinstance(last, BadLine)
    return last.reason


def of_csv(*lines: str) -> bytes:
    """A CSV with these lines."""
    return "\n".join(("user,hash,disabled,registered_at", *lines)).encode()


def of_json(**fields: object) -> bytes:
    """One line."""
    return json.dumps(fields).encode()


AT = datetime(2024, 2, 29, 12, tzinfo=UTC)
ALL = Record(2, "ana", ARGON2, True, AT)


@pytest.mark.parametrize(
    "data",
    [
        of_csv(f'Ana,"{ARGON2}",true,2024-02-29T12:00:00Z'),
        of_csv(f'Ana,"{ARGON2}",1,2024-02-29T13:00:00+01:00'),
        f'registered_at,disabled,hash,user\n2024-02-29 12:00,t,"{ARGON2}","Ana"\r\n'.encode(),
        b"\n" + of_json(user="Ana", hash=ARGON2, disabled=True, registered_at="2024-02-29T12:00Z"),
        b"\xef\xbb\xbf" + of_csv(f'Ana,"{ARGON2}",YES,2024-02-29T12:00:00Z') + b"\r\n\r\n  \n",
    ],
)
def test_a_line_is_an_account(data: bytes) -> None:
    """Whatever the order of columns, line ends, a byte-order mark and empty lines."""
    assert records(data) == [ALL]


def test_the_optional_columns_may_be_missing_or_empty() -> None:
    """Then an account that is there stays disabled or not, and a new one is of now."""
    plain = Record(2, "ana", HASH, None, None)
    assert records(f"user,hash\nana,{HASH}".encode()) == [plain]
    assert records(of_csv(f"ana,{HASH},,")) == [plain]
    assert records(b"\n" + of_json(user="ana", hash=HASH)) == [plain]


def test_lines_have_the_numbers_that_an_editor_shows() -> None:
    """Empty ones count, and are nothing."""
    found = records(f"user,hash\n\nana,{HASH}\n\n\nx,{HASH}\nben,{HASH}\n".encode())
    assert [line.line for line in found] == [3, 6, 7]
    assert isinstance(found[1], BadLine)


@pytest.mark.parametrize("kind", KEYCLOAK)
def test_keycloak_has_a_hash_in_two_texts(kind: str) -> None:
    """In a CSV from its table, in JSON, and in its own export."""
    credential = KEYCLOAK[kind]
    data, secret = credential.credential_data, credential.secret_data
    quoted = [text.replace('"', '""') for text in (data, secret)]
    line = f'user,credentialData,secretData\nana,"{quoted[0]}","{quoted[1]}"\n'
    exported = {
        "id": "0",
        "username": "Ana",
        "enabled": False,
        "createdTimestamp": 1_709_208_000_000,
        "credentials": [
            {"type": "otp", "secretData": "{}", "credentialData": "{}"},
            {"type": "password", "secretData": secret, "credentialData": data},
        ],
    }
    (of_table,) = records(line.encode())
    (of_fields,) = records(of_json(user="ana", credentialData=data, secretData=secret))
    (of_export,) = records(json.dumps(exported).encode())
    assert isinstance(of_table, Record)
    assert parse(of_table.password_hash).stored == of_table.password_hash
    assert of_fields == of_table._replace(line=1)
    assert of_export == of_fields._replace(disabled=True, registered_at=AT)


def test_a_user_may_be_called_username() -> None:
    """As an export has it; Keycloak's has a field of that name."""
    assert records(of_json(user="username", hash=HASH)) == [Record(1, "username", HASH, None, None)]


BAD = {
    "a space": (of_csv(f"ana b,{HASH},,"), "user contains a space."),
    "a short name": (of_csv(f"an,{HASH},,"), "user must have 3 to"),
    "a long name": (of_csv(f"{'a' * (USER_MAX + 1)},{HASH},,"), f"to {USER_MAX} characters."),
    "no name": (of_csv(f",{HASH},,"), "user is empty."),
    "a NUL": (of_csv(f"a\0na,{HASH},,"), "The line has a NUL in it."),
    "no UTF-8": (of_csv("ana,") + b"\xff,,", "Byte 5 of the line is not UTF-8."),
    "an unknown hash": (of_csv("ana,5f4dcc3b5aa765d61d8327deb882cf99,,"), "The hash has no form"),
    "a costly hash": (of_csv(f"ana,{HASH.replace('12', '31')},,"), "31 bcrypt cost; 4 to 13"),
    "no password": (of_csv("ana,!abc,,"), "The hash is Django's mark of an account without"),
    "commas": (of_csv(f"ana,{ARGON2},,"), "6 columns, and the first line 4; a hash with commas"),
    "too few": (of_csv("ana"), "1 columns, and the first line 4"),
    "an open quote": (of_csv(f'ana,"{HASH},,'), "The line is no CSV: unexpected end"),
    "disabled": (of_csv(f"ana,{HASH},maybe,"), "disabled must be true or false."),
    "no time": (of_csv(f"ana,{HASH},,yesterday"), "registered_at must be a time as in"),
    "before time": (of_csv(f"ana,{HASH},,1066-10-14"), "registered_at is before 1970"),
    "a long line": (of_csv("a" * LINE_MAX + f",{HASH},,"), "The line has more than 65,536 bytes."),
    "no JSON": (b'{"user": "ana"', "The line is no account in JSON: Input data was truncated"),
    "a number": (of_json(user=1, hash=HASH), "Expected `str`, got `int` - at `$.user`"),
    "another field": (of_json(user="ana", hash=HASH, admin=True), "unknown field `admin`"),
    "no hash": (of_json(user="ana"), "The line has no hash."),
    "half of Keycloak's": (of_json(user="ana", secretData="{}"), "The line has no hash."),
    "deep": (
        b'{"username":"ana","attributes":' + b"[" * 60_000,
        "The line is no account in JSON: it is nested too deeply.",
    ),
    "no credentials": (of_json(username="ana", credentials=[]), "The user has no password."),
    "a far time": (
        of_json(
            username="ana",
            createdTimestamp=10**18,
            credentials=[{"type": "password"}],
        ),
        "createdTimestamp is no time",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_line_has_its_reason(kind: str) -> None:
    """In a sentence, which shows nothing of a hash."""
    data, expected = BAD[kind]
    said = reason(data)
    assert expected in said
    assert said.endswith(".")
    assert "5f4d" not in said


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"algorithm": "md5"}, "an algorithm of Keycloak's that is not known"),
        ({"hashIterations": "five"}, "not Keycloak's"),
        ({"hashIterations": 10**30}, "passes of Argon2; 1 to 262,144"),
        ({"hashIterations": 100_000}, "Argon2's memory times passes; 1 to 262,144"),
        ({"additionalParameters": {}}, "not all that Argon2 needs"),
        ({"additionalParameters": {"type": []}}, "not all that Argon2 needs"),
    ],
)
def test_a_credential_of_keycloak_may_be_bad(changes: dict[str, object], expected: str) -> None:
    """With another algorithm, without a part, or with costs beyond the bounds."""
    data = json.dumps({**json.loads(ARGON2_KEYCLOAK.credential_data), **changes})
    secret = ARGON2_KEYCLOAK.secret_data
    assert expected in reason(of_json(user="ana", credentialData=data, secretData=secret))


@pytest.mark.parametrize("secret", ["", "[]", '{"value":"x","salt":"AAAA"}', '{"value":"AAAA"}'])
def test_a_secret_of_keycloak_may_be_bad(secret: str) -> None:
    """And is not shown."""
    data = ARGON2_KEYCLOAK.credential_data
    said = reason(of_json(user="ana", credentialData=data, secretData=secret))
    assert said == "credentialData or secretData is not Keycloak's."


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("user,hash\nana,x\n".encode("utf-16"), "UTF-16"),
        (b"ana," + HASH.encode(), "must name the columns"),
        (b"user;hash\n", "separated by commas"),
        (b"user,hash,dissabled\n", "a column 'dissabled'; there are user, hash, disabled"),
        (b"user,hash,hash\n", "a column twice"),
        (b"user,hash,secretData,credentialData\n", "must name the columns"),
        (b"\xff\xff\n", "no header"),
        (b"\0" * 100_000, "must name the columns"),
    ],
)
def test_a_file_that_is_none_is_refused_as_a_whole(data: bytes, expected: str) -> None:
    """Before anything of it is written, with the way out."""
    with pytest.raises(AccountFileError, match=expected):
        records(data)


def test_an_empty_file_has_no_accounts() -> None:
    """Nor has one with a header only."""
    assert records(b"") == records(b"\n \n") == records(b"user,hash\n") == []


def test_a_bad_line_leaves_the_next_one_whole() -> None:
    """Also one that is far too long, or has an open quote."""
    lines = [f'ben,"{HASH}', "x" * (3 * LINE_MAX + 5), f"ana,{HASH}"]
    *bad, good = records("\n".join(("user,hash", *lines)).encode())
    assert good == Record(4, "ana", HASH, None, None)
    assert all(isinstance(line, BadLine) for line in bad)


def test_the_name_of_a_bad_line_is_kept_for_the_report() -> None:
    """As the line has it, and nothing else of it."""
    assert records(of_csv(f"Ana B,{HASH},,")) == [BadLine(2, "Ana B", "user contains a space.")]
    assert records(of_csv("Ana,secret,,")) == [
        BadLine(2, "Ana", "The hash has no form that is known.")
    ]


def test_memory_is_for_one_line(tmp_path: object) -> None:
    """However many there are, and however long one is."""

    class Endless(io.RawIOBase):
        """A file of 50 MB: many lines, and one line of all the rest."""

        def __init__(self) -> None:
            self.left = 50_000_000

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: object) -> int:
            view = memoryview(buffer)  # type: ignore[arg-type]
            size = min(len(view), self.left)
            part = (b"user,hash\n" if self.left == 50_000_000 else b"") + (
                f"ana,{HASH}\n".encode() * 200 if self.left > 49_000_000 else b"x" * 8192
            )
            view[: min(size, len(part))] = part[:size]
            self.left -= min(size, len(part))
            return min(size, len(part))

    tracemalloc.start()
    count = sum(1 for _ in read(io.BufferedReader(Endless()), None))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count > 10_000
    assert peak < 1_000_000


def test_a_hash_keeps_its_pepper() -> None:
    """What a system has exported it takes back; the hash below the pepper has bounds as ever."""
    [record] = records(of_json(user="ana", hash=f"$pepper$2026{ARGON2}"))
    assert isinstance(record, Record)
    assert record.password_hash == f"$pepper$2026{ARGON2}"
    assert "none of Argon2" in reason(of_json(user="ana", hash=f"$pepper$2026{HASH}"))
    dear = ARGON2.replace("m=64", "m=9999999")
    assert "memory" in reason(of_json(user="ana", hash=f"$pepper$2026{dear}"))
