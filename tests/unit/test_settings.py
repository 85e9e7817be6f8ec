"""Settings are documented, and a value that cannot be used is refused by name."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict

import settings
from settings import FIELDS, Field, Settings, SettingsError
from tests.paths import PROJECT

SETTINGS_PAGE = PROJECT / "docs" / "settings.md"


def table() -> str:
    """The table of settings, made from the settings."""
    lines = ["| variable | default | meaning |", "|---|---|---|"]
    for name, field in FIELDS.items():
        default = "" if field.default is None else field.default
        if name == "hash_threads":
            default = "the cores"
        elif name == "partitions":
            default = "the cores, and at least 2"
        elif name == "replication":
            default = "1, and 3 where `CERROJO_BROKERS` is 3"
        lines.append(f"| `{field.variable}` | {default} | {field.meaning} |")
    return "\n".join(lines)


def test_the_page_has_every_setting_as_it_is():
    """Name, default and meaning; the assertion shows the table to paste."""
    text = SETTINGS_PAGE.read_text()
    _, _, rest = text.partition("<!-- settings: a test compares this table with settings.py -->\n")
    documented, _, _ = rest.partition("\n<!-- /settings -->")
    assert documented == table(), "\n" + table()


@pytest.mark.parametrize(
    ("variable", "value", "wanted"),
    [
        ("CERROJO_LOGIN_PORT", "99999", "a whole number from 1 to 65535"),
        ("CERROJO_PARTITIONS", "many", "a whole number from 1 to 1024"),
        ("CERROJO_REPLICATION", "0", "a whole number from 1 to 9"),
        ("CERROJO_DEADLINE_SECONDS", "0", "a number above 0, at most 86400"),
        ("CERROJO_STUCK_SECONDS", "nan", "a number above 0, at most 86400"),
        ("CERROJO_POLICY_BLOCK_SECONDS", "inf", "a number from 0 to 3153600000"),
        ("CERROJO_SESSION_SECONDS", "0", "a whole number from 1 to 2592000"),
        ("CERROJO_SESSION_ISSUER", "", "a text of 1 to 255 characters"),
        ("CERROJO_SESSION_COOKIE", "no", "one of secure, plain"),
        ("CERROJO_LOG_LEVEL", "loud", "one of debug, info, warning, error"),
        ("CERROJO_POLICY_THRESHOLD", "", "a whole number from 1 to 100"),
    ],
)
def test_a_bad_value_is_refused_with_its_name_and_its_meaning(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, wanted: str
):
    """The sentence has the variable, what it holds, what it may be, and what it is for."""
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError) as caught:
        settings.load()
    message = str(caught.value)
    assert message.startswith(f"{variable} is {value!r}: it must be {wanted}. It means: ")


def test_lanes_without_memory_are_refused(monkeypatch: pytest.MonkeyPatch):
    """Argon2 would refuse them only at the first password."""
    monkeypatch.setenv("CERROJO_ARGON2_MEMORY_KIB", "8")
    monkeypatch.setenv("CERROJO_ARGON2_PARALLELISM", "2")
    with pytest.raises(SettingsError, match=r"PARALLELISM is 2: .* 8 KiB for 2"):
        settings.load()


@pytest.mark.parametrize("name", ["https://a.example", "a.example:443", "*.example", "a..b", "a b"])
def test_what_is_no_host_s_name_is_refused(name: str) -> None:
    """It would never be equal to a Host header, and nobody would see why."""
    with pytest.raises(SettingsError, match=r"CERROJO_ALLOWED_HOSTS is .* is no host's name") as e:
        Settings(allowed_hosts=f"good.example.org, {name}")
    assert repr(name) in str(e.value)


def test_allowed_hosts_are_names_between_commas() -> None:
    """Space and empty places mean nothing, and a name is the same in capitals."""
    assert Settings().host_names == frozenset()
    assert Settings(allowed_hosts=" A.example, ,b.example,").host_names == {
        "a.example",
        "b.example",
    }


@pytest.mark.parametrize(
    ("proxy", "trouble"),
    [
        ("proxy.example.org", "does not appear to be an IPv4 or IPv6 network"),
        ("10.0.0.1/8", "has host bits set"),
        ("192.0.2.7:80", "does not appear to be"),
        ("fe80::1%eth0", "has a zone"),
        ("::ffff:10.0.0.0/104", "is one of IPv4, and has to be written so"),
    ],
)
def test_what_is_no_proxy_s_address_is_refused(proxy: str, trouble: str) -> None:
    """It would never be a peer's address, or be more of them than was meant."""
    with pytest.raises(SettingsError, match=r"CERROJO_TRUSTED_PROXIES is .* give addresses") as e:
        Settings(trusted_proxies=f"192.0.2.7, {proxy}")
    assert trouble in str(e.value)


def test_trusted_proxies_are_addresses_and_networks_between_commas() -> None:
    """None at first: then no header counts."""
    assert Settings().proxy_networks == ()
    trusted = Settings(trusted_proxies=" 192.0.2.7, ,10.0.0.0/8,2001:DB8::/64,")
    assert [str(network) for network in trusted.proxy_networks] == [
        *("192.0.2.7/32", "10.0.0.0/8", "2001:db8::/64"),
    ]


ALL = len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("own", "limits", "cores"),
    [
        ("0::/", {"": "max 100000"}, ALL),
        ("0::/", {"": "100000 100000"}, 1),
        ("0::/", {"": "20000 100000"}, 1),
        ("0::/", {"": f"{ALL * 100_000 - 50_000} 100000"}, ALL),
        ("0::/", {"": f"{ALL * 100_000 + 50_000} 100000"}, ALL),
        ("0::/pod/container", {"pod": "50000 50000", "pod/container": "max 100000"}, 1),
        ("0::/pod/container", {"pod": "max 100000", "pod/container": "50000 50000"}, 1),
        ("0::/pod/container", {"other": "50000 50000"}, ALL),
        ("1:cpu:/a\n0::/b", {"b": "100000 100000"}, 1),
        ("1:cpu:/a", {"a": "100000 100000"}, ALL),
        ("", {"": "nonsense"}, ALL),
    ],
)
def test_a_container_s_limit_counts_as_processors(
    tmp_path: Path, own: str, limits: dict[str, str], cores: int
) -> None:
    """Else a container of two processors hashes for all of its machine's, each slower."""
    for group, limit in limits.items():
        (tmp_path / group).mkdir(parents=True, exist_ok=True)
        (tmp_path / group / "cpu.max").write_text(f"{limit}\n")
    assert settings.usable_cores(tmp_path, own) == cores


def test_a_process_on_fewer_processors_has_no_more() -> None:
    """As one whose container is bound to some."""
    command = "import os, settings; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))});"
    command += "print(settings.usable_cores())"
    done = subprocess.run(
        [sys.executable, "-c", command], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "1\n"


def test_two_brokers_are_refused() -> None:
    """Neither could die."""
    with pytest.raises(SettingsError, match=r"CERROJO_BROKERS is 2: .* 1 or 3"):
        Settings(brokers=2)


def test_options_of_java_that_cannot_be_told_apart_are_refused() -> None:
    """They are quoted as in a shell, where a folder has a space in its name."""
    assert Settings(kafka_java_options="-Da='b c'")
    with pytest.raises(SettingsError, match=r"CERROJO_KAFKA_JAVA_OPTIONS is .* has no end; close"):
        Settings(kafka_java_options="-Da='b c")


def test_what_a_program_gives_is_checked_like_the_environment() -> None:
    """A value of a wrong type, or out of its bounds, is found where it is given."""
    with pytest.raises(SettingsError, match="CERROJO_DATA_DIR is 'here': it must be a path"):
        Settings(data_dir="here")  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="CERROJO_BATCH_SIZE is 0: "):
        settings.load(batch_size=0)


def test_what_is_given_goes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a program can say one thing itself, and leave the others to its user."""
    monkeypatch.setenv("CERROJO_BROKERS", "no number")
    monkeypatch.setenv("CERROJO_DATA_DIR", "there")
    loaded = settings.load(brokers=3)
    assert (loaded.brokers, loaded.replication, str(loaded.data_dir)) == (3, 3, "there")


def test_all_bad_values_are_said_at_once(monkeypatch: pytest.MonkeyPatch):
    """Nobody has to start four times to learn of four mistakes."""
    monkeypatch.setenv("CERROJO_LOGIN_PORT", "x")
    monkeypatch.setenv("CERROJO_OPERATOR_PORT", "y")
    monkeypatch.setenv("CERROJO_BROKERS", "2")
    with pytest.raises(SettingsError) as caught:
        settings.load()
    assert len(str(caught.value).splitlines()) == 3


SASL = {
    "CERROJO_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
    "CERROJO_KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
    "CERROJO_KAFKA_SASL_USERNAME": "cerrojo",
    "CERROJO_KAFKA_SASL_PASSWORD": "secret-word",
}
OAUTH = {
    "CERROJO_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
    "CERROJO_KAFKA_SASL_MECHANISM": "OAUTHBEARER",
    "CERROJO_KAFKA_OAUTH_TOKEN_ENDPOINT_URL": "https://there/token",
    "CERROJO_KAFKA_OAUTH_CLIENT_ID": "cerrojo",
    "CERROJO_KAFKA_OAUTH_CLIENT_SECRET": "secret-word",
}
CERTIFICATE = {
    "CERROJO_KAFKA_SECURITY_PROTOCOL": "SSL",
    "CERROJO_KAFKA_CERTIFICATE_FILE": "there.pem",
    "CERROJO_KAFKA_KEY_FILE": "key.pem",
}
ONE = {"CERROJO_KAFKA_SECURITY_PROTOCOL": "SSL"}


def put(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    """Set these."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("variables", [ONE, SASL, OAUTH, CERTIFICATE])
def test_each_way_to_reach_kafka_can_be_said(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    """And with any of its variables missing it is refused by the name of one."""
    put(monkeypatch, variables)
    settings.load()
    for name in variables if len(variables) > 1 else ():
        monkeypatch.delenv(name)
        with pytest.raises(SettingsError, match="CERROJO_KAFKA_") as caught:
            settings.load()
        assert "secret-word" not in str(caught.value)
        monkeypatch.setenv(name, variables[name])


@pytest.mark.parametrize(
    ("variables", "more", "wanted"),
    [
        ({}, ("SASL_MECHANISM", "PLAIN"), "SASL_MECHANISM is set, .*PROTOCOL is PLAINTEXT"),
        ({}, ("SASL_PASSWORD", "secret-word"), "SASL_PASSWORD is set, .*MECHANISM is not set"),
        ({}, ("CA_FILE", "ca.pem"), "CA_FILE is set, and .*PROTOCOL is PLAINTEXT. Set that to SSL"),
        (
            SASL,
            ("OAUTH_SCOPE", "kafka"),
            "SCOPE is set, and .*MECHANISM is SCRAM-SHA-512. Set that",
        ),
        (
            OAUTH,
            ("SASL_PASSWORD", "secret-word"),
            "SASL_PASSWORD is set, .*MECHANISM is OAUTHBEARER",
        ),
        (ONE, ("KEY_PASSWORD", "secret-word"), "KEY_PASSWORD is set, and .*KEY_FILE is not set"),
    ],
)
def test_what_does_not_go_together_is_refused(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], more: tuple[str, str], wanted: str
) -> None:
    """With both names, and never with a secret."""
    put(monkeypatch, variables)
    monkeypatch.setenv(f"CERROJO_KAFKA_{more[0]}", more[1])
    with pytest.raises(SettingsError, match=wanted) as caught:
        settings.load()
    assert "secret-word" not in str(caught.value)


@pytest.mark.parametrize("prefix", ["two words", "ä", "a" * 201])
def test_a_prefix_that_kafka_would_refuse_is_refused(prefix: str) -> None:
    """Before anything is made with it."""
    with pytest.raises(SettingsError, match=r"TOPIC_PREFIX is .*: it must be at most 200 of the"):
        Settings(topic_prefix=prefix)


def test_an_empty_path_or_text_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """`CERROJO_DATA_DIR= make up` does not make the checkout the data directory, for git to add."""
    empty = [field for field in FIELDS.values() if field.default is None]
    assert {"database_url", "pepper_file", "kafka_sasl_mechanism"} <= {f.name for f in empty}
    for field in FIELDS.values():
        monkeypatch.delenv(field.variable, raising=False)  # as other tests have their own
    for field in (*empty, FIELDS["data_dir"]):
        monkeypatch.setenv(field.variable, "")
        monkeypatch.setenv(f"{field.variable}_FILE", "")
    assert settings.load() == Settings()


SECRETS = [field for field in FIELDS.values() if field.secret]


@pytest.mark.parametrize("field", SECRETS, ids=[field.name for field in SECRETS])
def test_a_secret_may_be_in_a_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, field: Field
) -> None:
    """With or without a line's end; of several, one belongs to it. A value beside it is refused."""
    path = tmp_path / "secret"
    monkeypatch.delenv(field.variable, raising=False)
    monkeypatch.setenv(f"{field.variable}_FILE", str(path))
    for text, value in (("word", "word"), ("word\n", "word"), ("a b\r\n", "a b"), ("w\n\n", "w\n")):
        path.write_bytes(text.encode())
        assert settings._text(field) == value
    monkeypatch.setenv(field.variable, "word")
    with pytest.raises(SettingsError, match=f"{field.variable}_FILE and {field.variable} are both"):
        settings.load()


@pytest.mark.parametrize(
    ("content", "wanted"),
    [(None, "No such file"), (b"\n", "is empty"), (b"\xff", "no text in UTF-8")],
)
def test_a_file_without_a_secret_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes | None, wanted: str
) -> None:
    """By the name of the variable, and the path."""
    path = tmp_path / "secret"
    if content is not None:
        path.write_bytes(content)
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.setenv("DATABASE_URL_FILE", str(path))
    with pytest.raises(SettingsError, match=f"DATABASE_URL_FILE is '{path}'.*{wanted}"):
        settings.load()


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://cerrojo@/cerrojo?host=%2Ftmp%2Fx&passfile=%2Ftmp%2Fy",
        "postgresql://cerrojo:secret-word@there:5432/cerrojo",
        "postgres://one:5432,two/cerrojo?target_session_attrs=read-write",
        "postgresql://cerrojo:p%40ss@[::1]:5432/cerrojo",
        "postgresql:///cerrojo",
        "postgresql://",
        "host=there user=cerrojo password='p@ss % word'",
    ],
)
def test_each_form_of_a_connection_string_is_taken(url: str) -> None:
    """As libpq takes it."""
    conninfo_to_dict(url)
    assert Settings(database_url=url).require_database() == url


@pytest.mark.parametrize(
    "url",
    [
        "postgresql//cerrojo:secret-word@there/cerrojo",
        "postgresql://cerrojo:secret-word%@there/cerrojo",
        "postgresql://cerrojo:secret/word@there/cerrojo",
        "secret-word",
    ],
)
def test_what_is_no_connection_string_is_not_shown(url: str) -> None:
    """libpq would say: missing "=" after "postgresql//cerrojo:secret-word@..."."""
    with pytest.raises(SettingsError, match="DATABASE_URL is set and is no") as caught:
        Settings(database_url=url).require_database()
    assert not re.search("secret|there", str(caught.value))


def test_nothing_shows_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the settings, as a traceback has them, nor the sentence about one that is wrong."""
    put(monkeypatch, SASL)
    monkeypatch.setenv("DATABASE_URL", "postgresql://cerrojo:secret-word@there/cerrojo")
    loaded = settings.load()
    shown = f"{loaded!r} {loaded} {loaded.__rich_repr__()}"
    assert "secret-word" not in shown
    assert "kafka_sasl_username='cerrojo'" in shown
    for field in SECRETS:
        assert "secret-word" not in field.refuse("secret-word")


@pytest.mark.parametrize(
    ("require", "variable"),
    [
        (Settings.require_database, "DATABASE_URL"),
        (Settings.require_kafka, "KAFKA_BOOTSTRAP_SERVERS"),
    ],
)
def test_what_is_needed_and_not_set_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, require, variable: str
):
    """With an example, and the way that needs none."""
    monkeypatch.delenv(variable, raising=False)
    with pytest.raises(SettingsError, match=f"{variable} is not set.*make up"):
        require(settings.load())


def test_the_page_names_every_setting_once_only():
    """A table that was pasted twice is out of date in one place."""
    for field in FIELDS.values():
        assert SETTINGS_PAGE.read_text().count(f"| `{field.variable}` |") == 1


def test_three_brokers_have_replicas_and_one_has_none() -> None:
    """The default fits; a number that does not is refused before anything is made."""
    assert (Settings().replication, Settings(brokers=3).replication) == (1, 3)
    assert Settings(brokers=3, replication=1).replication == 1


def test_the_moment_until_which_records_need_no_signature_has_a_time_zone() -> None:
    """Hosts in two zones would else decide otherwise."""
    assert Settings().unsigned_until_ms == 0
    assert Settings(unsigned_until="1970-01-01T01:00+01:00").unsigned_until_ms == 0
    assert Settings(unsigned_until="1970-01-01T00:00:01Z").unsigned_until_ms == 1_000
    for wrong in ("tomorrow", "2026-12-01T00:00", "1795491529733"):
        with pytest.raises(SettingsError, match=r"CERROJO_UNSIGNED_UNTIL is .* time zone"):
            Settings(unsigned_until=wrong)
