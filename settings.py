"""Every setting of Cerrojo, its default and its meaning, in one place.

A setting is an environment variable: ``CERROJO_`` and the field's name in
capitals, except the two that other tools know already, ``DATABASE_URL`` and
``KAFKA_BOOTSTRAP_SERVERS``. A secret one may be in a file instead, which the variable with
``_FILE`` at its end names; no error and no ``repr`` shows its value.
"""

from __future__ import annotations

import ipaddress
import math
import os
import re
import shlex
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_origin

import msgspec
from msgspec import Meta

Port = Annotated[int, Meta(ge=1, le=65535)]
Seconds = Annotated[float, Meta(gt=0, le=86_400)]

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

CENTURY_SECONDS = 36_500 * 86_400.0
"""Every longer time is to be given as 0, which is forever."""

SECRET = {"secret": True}
"""The mark of a setting that nobody may see."""

FILE = "_FILE"
"""The end of the variable that names the file of a secret setting."""

OF_MAKE_UP = "environment.json"
"""The file in ``data_dir`` with the variables of the `make up` that runs there, for `cerrojo`."""

OPERATOR_TOKEN = "operator.token"  # noqa: S105  # a name
"""And that with the token of its machine's operator."""


def usable_cores(cgroups: Path = Path("/sys/fs/cgroup"), own: str | None = None) -> int:
    """The processors that this process may use: fewer than the machine has in many containers.

    They are those that it may be scheduled on, and no more than the CPU limit of its cgroup or of
    one above it (version 2 of cgroups; a part of a processor counts as one). ``own`` is the content
    of /proc/self/cgroup.
    """
    if not hasattr(os, "sched_getaffinity"):  # not Linux
        return os.cpu_count() or 1
    cores = len(os.sched_getaffinity(0))
    try:
        own = Path("/proc/self/cgroup").read_text() if own is None else own
    except OSError:  # without /proc
        return cores
    found = re.search(r"^0::/(.*)$", own, re.MULTILINE)
    folder = cgroups / (found[1] if found else "")
    for group in (folder, *folder.parents):
        if not group.is_relative_to(cgroups):
            break
        try:
            quota, period = (group / "cpu.max").read_text().split()
        except (OSError, ValueError):  # the root has no limit, and no file
            continue
        if quota != "max":
            cores = min(cores, math.ceil(int(quota) / int(period)))
    return max(1, cores)


_CORES = usable_cores()

_HOST_NAME = re.compile(r"(?=.{1,253}$)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*")

_BY_BROKERS = 0
"""The replication before it follows from the brokers: 3 of three, else 1."""


_HOST = r"([^][/?@:,]*|\[[^]]*\])(:\d*)?"
_CONNECTION_STRING = re.compile(
    rf"""postgres(ql)?://
        (([^%/?@]|%[0-9A-Fa-f]{{2}})*@)?          # user and password
        {_HOST}(,{_HOST})*
        ([/?]([^%]|%[0-9A-Fa-f]{{2}})*)?          # name and options
    |   \s*\w+\s*=.*                              # or keywords and values
    """,
    re.VERBOSE | re.DOTALL,
)
"""What libpq can read; of anything else it shows a part, and with it the password."""


class SettingsError(Exception):
    """A setting has a value that cannot be used; the message names it and the way out."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings, checked; :func:`load` gives those of the environment.

    Its making raises SettingsError.
    """

    # Where Kafka and Postgres are. Where one of these is not set, `make up` starts its own.
    database_url: Annotated[
        str | None, Meta(description="PostgreSQL connection string", extra=SECRET)
    ] = None
    operator_database_url: Annotated[
        str | None,
        Meta(
            description="connection string of the operator port's process; else that of the others",
            extra=SECRET,
        ),
    ] = None
    kafka_bootstrap_servers: Annotated[
        str | None, Meta(description="Kafka brokers, host:port,...")
    ] = None
    data_dir: Annotated[
        Path, Meta(description="everything that `make up` keeps: data, logs, downloads")
    ] = Path(".cerrojo")
    cache_dir: Annotated[
        Path | None,
        Meta(description="downloaded jars, for several systems; else in the data directory"),
    ] = None
    kafka_port: Annotated[
        int,
        Meta(
            ge=0,
            le=65535,
            description="port of the Kafka that `make up` starts; 0 picks a free one",
        ),
    ] = 0
    brokers: Annotated[
        int, Meta(ge=1, le=3, description="brokers of the Kafka that `make up` starts: 1 or 3")
    ] = 1
    kafka_java_options: Annotated[
        str,
        Meta(
            description="options of Java for the Kafka that `make up` starts, after its own, "
            "as -Xmx1g"
        ),
    ] = ""
    hosts: Annotated[
        int,
        Meta(ge=1, le=8, description="gateways and worker hosts of `make up`; ports go up by tens"),
    ] = 1

    # How a Kafka of others is reached that wants to know by whom.
    kafka_security_protocol: Annotated[
        Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"],
        Meta(description="whether Kafka is reached by TLS, and by SASL"),
    ] = "PLAINTEXT"
    kafka_sasl_mechanism: Annotated[
        Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] | None,
        Meta(description="how SASL proves to Kafka who this is"),
    ] = None
    kafka_sasl_username: Annotated[str | None, Meta(description="user for PLAIN and SCRAM")] = None
    kafka_sasl_password: Annotated[
        str | None, Meta(description="password for PLAIN and SCRAM", extra=SECRET)
    ] = None
    kafka_oauth_token_endpoint_url: Annotated[
        str | None, Meta(description="where OAUTHBEARER gets its tokens, by client credentials")
    ] = None
    kafka_oauth_client_id: Annotated[
        str | None, Meta(description="id of the client for OAUTHBEARER")
    ] = None
    kafka_oauth_client_secret: Annotated[
        str | None, Meta(description="secret of the client for OAUTHBEARER", extra=SECRET)
    ] = None
    kafka_oauth_scope: Annotated[
        str | None, Meta(description="scope of the tokens, if their issuer wants one")
    ] = None
    kafka_oauth_extensions: Annotated[
        str | None,
        Meta(description="SASL extensions for OAUTHBEARER, name=value,..., if Kafka wants them"),
    ] = None
    kafka_oauth_ca_file: Annotated[
        Path | None,
        Meta(description="CA of the tokens' issuer (PEM); else the system's"),
    ] = None
    kafka_ca_file: Annotated[
        Path | None, Meta(description="CA of the brokers' certificates (PEM); else the system's")
    ] = None
    kafka_certificate_file: Annotated[
        Path | None, Meta(description="certificate with which this is a client of Kafka (PEM)")
    ] = None
    kafka_key_file: Annotated[
        Path | None, Meta(description="private key of that certificate (PEM)")
    ] = None
    kafka_key_password: Annotated[
        str | None, Meta(description="password of that private key", extra=SECRET)
    ] = None
    kafka_users_file: Annotated[
        Path | None,
        Meta(
            description="file of the parts' users in Kafka, who get their passwords and rights by "
            "`python -m events`"
        ),
    ] = None

    # The topics.
    topic_prefix: Annotated[
        str,
        Meta(
            pattern="^[A-Za-z0-9._-]*$",
            max_length=200,
            description="before the names of all topics and groups; keeps two systems on one Kafka "
            "apart",
        ),
    ] = ""
    partitions: Annotated[
        int,
        Meta(
            ge=1, le=1024, description="partitions of `attempts` when it is first made, and workers"
        ),
    ] = max(2, _CORES)  # more workers than cores make smaller batches
    replication: Annotated[
        int,
        Meta(
            ge=1,
            le=9,
            description="replicas of each topic; "
            "with three or more, two must have what is answered",
        ),
    ] = _BY_BROKERS
    attempts_retention_hours: Annotated[
        int, Meta(ge=0, le=876_000, description="how long Kafka keeps `attempts`; 0 is forever")
    ] = 168
    news_retention_hours: Annotated[
        int,
        Meta(
            ge=0,
            le=876_000,
            description="how long Kafka keeps `verdicts`, `blocks` and `sources`; 0 is forever",
        ),
    ] = 1
    events_retention_hours: Annotated[
        int, Meta(ge=0, le=876_000, description="how long Kafka keeps `events`; 0 is forever")
    ] = 168

    # The signatures of records.
    signing_keys: Annotated[
        Path | None,
        Meta(
            description="folder with the files of keys that sign records; without it none is "
            "signed or checked"
        ),
    ] = None
    unsigned_until: Annotated[
        str,
        Meta(
            description="records that Kafka got before this moment need no signature, as "
            "2026-12-01T00:00Z; else all need one, where there are keys"
        ),
    ] = ""

    # The gateway.
    login_host: Annotated[str, Meta(description="address of the login port")] = "127.0.0.1"
    login_port: Annotated[
        Port, Meta(description="the login port, which clients and services use")
    ] = 3000
    operator_host: Annotated[str, Meta(description="address of the operator port")] = "127.0.0.1"
    operator_port: Annotated[
        Port, Meta(description="the operator port: the console, operators' requests and /metrics")
    ] = 5000
    operator_url: Annotated[
        str,
        Meta(
            description="where the command `cerrojo` finds an operator port, "
            "http://ops.example:5000; else on this machine"
        ),
    ] = ""
    operator_reads: Annotated[
        Literal["loopback", "token", "anyone"],
        Meta(
            description="who may read on the operator port without an operator's token: clients on "
            "loopback that no proxy names, nobody, or anyone that reaches it"
        ),
    ] = "loopback"
    operator_token_file: Annotated[
        Path | None,
        Meta(
            description="file of the operator's token with which the command `cerrojo` asks the "
            "operator port; else that of a `make up` that runs in the folder"
        ),
    ] = None
    allowed_hosts: Annotated[
        str,
        Meta(
            description="names in a Host header by which the operator port and the workers' may "
            "be asked, name,..."
        ),
    ] = ""
    trusted_proxies: Annotated[
        str,
        Meta(
            description="addresses and networks of the proxies before the login port that may say "
            "for whom they ask, 192.0.2.7,2001:db8::/64,..."
        ),
    ] = ""
    source_failures: Annotated[
        int,
        Meta(
            ge=0,
            le=10_000,
            description="accounts that may fail at one source within 15 minutes, besides as many "
            "as get in there; 0 is any number",
        ),
    ] = 20
    source_registrations: Annotated[
        int,
        Meta(
            ge=0,
            le=10_000,
            description="registrations from one source within 15 minutes; 0 is any number",
        ),
    ] = 20
    source_exempt: Annotated[
        str,
        Meta(description="addresses and networks that are no source of limits, 192.0.2.0/24,..."),
    ] = "127.0.0.0/8,::1,10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,169.254.0.0/16,fc00::/7,fe80::/10"
    source_ipv4_bits: Annotated[
        int, Meta(ge=8, le=32, description="bits of an IPv4 address that make one source")
    ] = 32
    source_ipv6_bits: Annotated[
        int, Meta(ge=16, le=128, description="bits of an IPv6 address that make one source")
    ] = 64
    attack_failures: Annotated[
        int,
        Meta(
            ge=0,
            le=10_000,
            description="accounts that may fail within 15 minutes at all sources together, besides "
            "as many as get in, before it is an attack; 0 is any number",
        ),
    ] = 500
    gateway_processes: Annotated[int, Meta(ge=1, le=64, description="login processes")] = 2
    deadline_seconds: Annotated[
        Seconds, Meta(description="a login is answered by then, if with 503")
    ] = 5.0
    hash_threads: Annotated[
        int,
        Meta(
            ge=1,
            le=256,
            description="passwords checked at the same time, in each of two hash processes",
        ),
    ] = min(256, _CORES)
    argon2_memory_kib: Annotated[
        int, Meta(ge=8, le=4_194_304, description="Argon2id memory, KiB")
    ] = 19_456
    argon2_time_cost: Annotated[int, Meta(ge=1, le=100, description="Argon2id passes")] = 2
    argon2_parallelism: Annotated[int, Meta(ge=1, le=64, description="Argon2id lanes")] = 1
    pepper_file: Annotated[
        Path | None,
        Meta(description="file of the keys that passwords are mixed with before they are hashed"),
    ] = None
    checks_per_user: Annotated[
        int,
        Meta(ge=1, le=100_000, description="checks of one account at the same time, per process"),
    ] = 1
    waiting_per_user: Annotated[
        int, Meta(ge=0, le=100_000, description="logins of one account that may wait, per process")
    ] = 500
    waiting: Annotated[
        int, Meta(ge=0, le=100_000, description="logins of all accounts that may wait, per process")
    ] = 2000
    database_connections: Annotated[
        int, Meta(ge=1, le=100, description="connections to Postgres, per gateway process")
    ] = 4
    registration: Annotated[
        Literal["on", "quiet", "off"],
        Meta(
            description="whether people make accounts by POST /register, or operators alone; quiet "
            "is on, and a name that is taken is answered like a new one"
        ),
    ] = "on"
    service_tokens_file: Annotated[
        Path | None,
        Meta(
            description="file of the tokens with which services may use /attempts on the login port"
        ),
    ] = None

    common_passwords: Annotated[
        str,
        Meta(
            description="passwords that nobody may set: builtin, off, or a file with one in each "
            "line"
        ),
    ] = "builtin"

    # Sessions.
    session_keys_file: Annotated[
        Path | None,
        Meta(description="file of the keys that sign sessions; a login gives none without it"),
    ] = None
    session_seconds: Annotated[
        int, Meta(ge=1, le=2_592_000, description="how long a session lasts")
    ] = 900
    session_issuer: Annotated[
        str, Meta(min_length=1, max_length=255, description="`iss` of a session's token")
    ] = "cerrojo"
    session_audience: Annotated[
        str, Meta(min_length=1, max_length=255, description="`aud` of a session's token")
    ] = "cerrojo"
    session_cookie: Annotated[
        Literal["secure", "plain"],
        Meta(description="a session's cookie: secure is over https only, plain over http, too"),
    ] = "secure"

    # What tells an account's owner from strangers.
    device_keys_file: Annotated[
        Path | None,
        Meta(
            description="file of the keys that sign device cookies; no device is known without it"
        ),
    ] = None
    device_days: Annotated[
        int, Meta(ge=1, le=365, description="how long a device is known after its last login")
    ] = 90
    device_cookie: Annotated[
        Literal["secure", "plain"],
        Meta(description="a device's cookie: secure is over https only, plain over http, too"),
    ] = "secure"
    guess_keys_file: Annotated[
        Path | None,
        Meta(
            description="file of the keys by which a wrong password is known again; the gateway "
            "replaces them"
        ),
    ] = None

    # The workers.
    workers_host: Annotated[str, Meta(description="address of the workers' /metrics")] = "127.0.0.1"
    workers_port: Annotated[Port, Meta(description="port of the workers' /metrics")] = 5001
    batch_size: Annotated[
        int, Meta(ge=1, le=10_000, description="attempts decided in one commit")
    ] = 500
    stuck_seconds: Annotated[
        Seconds,
        Meta(description="a worker that decides nothing for so long, with work to do, is replaced"),
    ] = 15.0
    audit_retention_days: Annotated[
        int,
        Meta(
            ge=0,
            le=36_500,
            description="how long decisions and the quarantine are kept; 0 is forever",
        ),
    ] = 90

    # The first policy. Once a partition has one, only `cerrojo policy` changes it.
    policy_threshold: Annotated[
        int, Meta(ge=1, le=100, description="wrong passwords that block")
    ] = 5
    policy_window_seconds: Annotated[
        Seconds, Meta(description="... when they fall within this time")
    ] = 900.0
    policy_block_seconds: Annotated[
        float,
        Meta(
            ge=0,
            le=CENTURY_SECONDS,
            description="length of the first block; 0 is until an operator lifts it",
        ),
    ] = 1800.0
    policy_block_max_seconds: Annotated[
        float, Meta(ge=0, le=CENTURY_SECONDS, description="blocks double up to this length")
    ] = 86_400.0
    policy_final_failures: Annotated[
        int,
        Meta(
            ge=0,
            le=1_000_000,
            description="wrong ones in a row that only an operator forgives; 0 is never",
        ),
    ] = 100
    policy_forget_days: Annotated[
        int,
        Meta(
            ge=0,
            le=36_500,
            description="days after the last wrong one when none counts; 0 is never",
        ),
    ] = 365
    policy_repeated_guesses: Annotated[
        Literal["count", "ignore"],
        Meta(
            description="whether a wrong password that counts already counts again when it is "
            "repeated; ignore needs the gateways' keys for guesses"
        ),
    ] = "count"
    policy_forget_each_days: Annotated[
        int,
        Meta(
            ge=0,
            le=36_500,
            description="... and sooner, after so many days for each wrong one in a row; "
            "0 is not sooner",
        ),
    ] = 4

    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="the least that is logged")
    ] = "info"
    log_format: Annotated[
        Literal["logfmt", "json"],
        Meta(description="how a line of the log is written: key=value, or an object of JSON"),
    ] = "logfmt"

    def __post_init__(self) -> None:
        """Refuse values out of their bounds, and such as cannot work together."""
        if self.replication == _BY_BROKERS:
            msgspec.structs.force_setattr(self, "replication", 3 if self.brokers == 3 else 1)
        wrong = []
        for field in FIELDS.values():
            value = getattr(self, field.name)
            try:
                msgspec.convert(value, field.type)
            except msgspec.ValidationError:
                wrong.append(field.refuse(value))
        memory, lanes = self.argon2_memory_kib, self.argon2_parallelism
        if self.brokers == 2:
            wrong.append(FIELDS["brokers"].refuse(2, "of two neither may die; set it to 1 or 3"))
        try:
            shlex.split(str(self.kafka_java_options))
        except ValueError:
            trouble = "a quotation in it has no end; close it, as in a shell"
            field = FIELDS["kafka_java_options"]
            wrong.append(field.refuse(self.kafka_java_options, trouble))
        if memory < 8 * lanes:
            trouble = f"Argon2 needs 8 KiB for each lane, and has {memory} KiB for {lanes}"
            wrong.append(FIELDS["argon2_parallelism"].refuse(lanes, trouble))
        wrong += [
            FIELDS["allowed_hosts"].refuse(
                self.allowed_hosts,
                f"{name!r} is no host's name; give names alone, as login.example.org, without "
                "scheme, port or *, and with commas between them",
            )
            for name in sorted(self.host_names)
            if not _HOST_NAME.fullmatch(name)
        ]
        for name in ("trusted_proxies", "source_exempt"):
            for text in _listed(getattr(self, name)):
                try:
                    _network(text)
                except ValueError as error:
                    wrong.append(
                        FIELDS[name].refuse(
                            getattr(self, name),
                            f"{error}; give addresses as 192.0.2.7 and networks as 192.0.2.0/24 or "
                            "2001:db8::/64, with commas between them",
                        )
                    )
        try:
            _moment_ms(self.unsigned_until)
        except ValueError:
            wrong.append(
                FIELDS["unsigned_until"].refuse(
                    self.unsigned_until,
                    "it must be a moment with its time zone, as 2026-12-01T00:00Z",
                )
            )
        if not wrong:  # else the values cannot be compared
            wrong += _kafka_contradictions(self)
        if wrong:
            raise SettingsError("\n".join(wrong))

    def __repr__(self) -> str:
        """Every setting that is not the default, and of a secret only that it is set."""
        return f"Settings({', '.join(f'{name}={value!r}' for name, value in self._shown())})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """The same, for rich."""
        return list(self._shown())

    def _shown(self) -> Iterator[tuple[str, object]]:
        for field in FIELDS.values():
            value = getattr(self, field.name)
            if value != field.default:
                yield field.name, "(secret)" if field.secret else value

    @property
    def host_names(self) -> frozenset[str]:
        """The names of ``allowed_hosts``, in small letters as a Host header is compared."""
        return frozenset(name.lower() for name in _listed(self.allowed_hosts))

    @property
    def proxy_networks(self) -> tuple[Network, ...]:
        """The networks of ``trusted_proxies``; that of an address has it alone."""
        return tuple(_network(text) for text in _listed(self.trusted_proxies))

    @property
    def unsigned_until_ms(self) -> int:
        """``unsigned_until`` in milliseconds since 1970; 0 where it is not set."""
        return _moment_ms(self.unsigned_until)

    @property
    def exempt_networks(self) -> tuple[Network, ...]:
        """The networks of ``source_exempt``; that of an address has it alone."""
        return tuple(_network(text) for text in _listed(self.source_exempt))

    def require_database(self) -> str:
        """The connection string, or :class:`SettingsError` where there is none."""
        if not self.database_url:
            raise SettingsError(
                "DATABASE_URL is not set. Set it to the PostgreSQL to use, as in "
                "postgresql://user:password@host/name, or let `make up` start one."
            )
        _check_connection_string("database_url", self.database_url)
        return self.database_url

    def operator_token(self) -> str:
        """That of the file that is named; empty where none is. Raises :class:`SettingsError`."""
        path = self.operator_token_file
        if path is None:
            return ""
        try:
            token = path.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is no text of a token"
            trouble = f"{why}; it must be a file with a token that `cerrojo operators add` printed"
            raise SettingsError(FIELDS["operator_token_file"].refuse(str(path), trouble)) from None
        if not token.isprintable():
            trouble = "it must have one line, with a token that `cerrojo operators add` printed"
            raise SettingsError(FIELDS["operator_token_file"].refuse(str(path), trouble))
        return token

    def of_operator_port(self) -> Settings:
        """The same for the process of the operator port, which has its own rights in Postgres.

        Raises :class:`SettingsError` where its connection string is none.
        """
        url = self.operator_database_url
        if not url:
            return self
        _check_connection_string("operator_database_url", url)
        return msgspec.structs.replace(self, database_url=url)

    def require_kafka(self) -> str:
        """The brokers, or :class:`SettingsError` where there are none."""
        if not self.kafka_bootstrap_servers:
            raise SettingsError(
                "KAFKA_BOOTSTRAP_SERVERS is not set. Set it to the brokers to use, as in "
                "localhost:9092, or let `make up` start one."
            )
        return self.kafka_bootstrap_servers

    def prefixed(self, name: str) -> str:
        """The name that this system's topic or group has in Kafka."""
        return self.topic_prefix + name


class Field(NamedTuple):
    """What is known of a setting besides its value."""

    name: str
    type: Any
    default: Any
    meaning: str
    secret: bool = False

    @property
    def variable(self) -> str:
        """The environment variable that holds it."""
        if self.name in ("database_url", "kafka_bootstrap_servers"):
            return self.name.upper()
        return f"CERROJO_{self.name.upper()}"

    def refuse(self, value: object, trouble: str = "") -> str:
        """The sentence for a value that cannot be used, by default because of type or bounds."""
        trouble = trouble or f"it must be {_wanted(self.type)}"
        shown = "set" if self.secret else repr(value)
        return f"{self.variable} is {shown}: {trouble}. It means: {self.meaning}."


FIELDS = {
    field.name: Field(
        field.name,
        field.type,
        field.default,
        next(meta.description for meta in field.type.__metadata__ if meta.description),
        any(meta.extra == SECRET for meta in field.type.__metadata__),
    )
    for field in msgspec.structs.fields(Settings)
}
"""The settings by the names of their fields, in their order."""


def variable(field: str) -> str:
    """The environment variable that holds this field of :class:`Settings`."""
    return FIELDS[field].variable


def load(**given: Any) -> Settings:
    """The settings of the environment, but for those that are given.

    Raises :class:`SettingsError`, which names everything that is wrong.
    """
    values, wrong = dict(given), []
    for field in FIELDS.values():
        if field.name in given:
            continue
        try:
            text = _text(field)
        except SettingsError as error:
            wrong.append(str(error))
            continue
        if text is None:
            continue
        try:
            values[field.name] = msgspec.convert(text, field.type, strict=False, dec_hook=_path)
        except msgspec.ValidationError:
            wrong.append(field.refuse(text))
    try:
        settings = Settings(**values)
    except SettingsError as error:
        wrong.append(str(error))
    if wrong:
        raise SettingsError("\n".join(wrong))
    return settings


def _text(field: Field) -> str | None:
    """What the environment has for it, itself or in a file; None where it has nothing.

    An empty text is nothing where the setting has no default, and for a path: that would be the
    folder that this runs in.
    """
    text = os.environ.get(field.variable)
    if not text and isinstance(field.default, Path | NoneType):
        text = None
    name = field.variable + FILE
    path = os.environ.get(name) if field.secret else None
    if not path:
        return text
    if text is not None:
        raise SettingsError(f"{name} and {field.variable} are both set. Unset one of them.")
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text in UTF-8"
        raise SettingsError(
            f"{name} is {path!r}, and this file cannot be read: {why}. Set it to a file that has "
            f"the {field.meaning}."
        ) from None
    text = text.removesuffix("\n").removesuffix("\r")
    if not text:
        raise SettingsError(
            f"{name} is {path!r}, and this file is empty. Put the {field.meaning} into it."
        )
    return text


def _check_connection_string(field: str, value: str) -> None:
    if not _CONNECTION_STRING.fullmatch(value):
        raise SettingsError(
            f"{variable(field)} is set and is no connection string of PostgreSQL. It is not shown, "
            "as it may have a password. Set it as in postgresql://user:password@host/name. In "
            "a password write %40 for @, %2F for /, %3A for : and %25 for %."
        )


def _kafka_contradictions(settings: Settings) -> list[str]:
    """A sentence for each setting of Kafka's clients that does not go with the others."""
    wrong: list[str] = []

    def refuse(trouble: str, *fields: str) -> None:
        wrong.extend(
            f"{variable(field)} is set, and {trouble}."
            for field in fields
            if getattr(settings, field)
        )

    def require(trouble: str, *fields: str) -> None:
        wrong.extend(
            f"{variable(field)} is not set, and {trouble}."
            for field in fields
            if not getattr(settings, field)
        )

    def is_(field: str) -> str:
        return f"{variable(field)} is {getattr(settings, field) or 'not'}"

    password = ("kafka_sasl_username", "kafka_sasl_password")
    oauth = ("kafka_oauth_token_endpoint_url", "kafka_oauth_client_id", "kafka_oauth_client_secret")
    more_oauth = ("kafka_oauth_scope", "kafka_oauth_extensions", "kafka_oauth_ca_file")
    tls = ("kafka_ca_file", "kafka_certificate_file", "kafka_key_file", "kafka_key_password")

    protocol, mechanism = is_("kafka_security_protocol"), is_("kafka_sasl_mechanism")
    if settings.kafka_security_protocol.startswith("SASL_"):
        require(f"{protocol}. Set it to the brokers' mechanism", "kafka_sasl_mechanism")
    else:
        refuse(f"{protocol}. Set that to SASL_SSL, or unset this", "kafka_sasl_mechanism")
    if settings.kafka_sasl_mechanism is None:
        refuse(f"{mechanism} set", *password, *oauth, *more_oauth)
    elif settings.kafka_sasl_mechanism == "OAUTHBEARER":
        refuse(f"{mechanism}, which has no use for it. Unset it", *password)
        require(f"{mechanism}, which needs it", *oauth)
    else:
        require(f"{mechanism}, which needs it", *password)
        refuse(f"{mechanism}. Set that to OAUTHBEARER, or unset this", *oauth, *more_oauth)
    if settings.kafka_security_protocol.endswith("SSL"):
        if settings.kafka_certificate_file or settings.kafka_key_file:
            require(
                "of a certificate and its key each needs the other",
                *("kafka_certificate_file", "kafka_key_file"),
            )
        else:
            refuse(f"{is_('kafka_key_file')} set", "kafka_key_password")
    else:
        refuse(f"{protocol}. Set that to SSL or SASL_SSL, or unset this", *tls)
    return wrong


def _listed(text: str) -> list[str]:
    return [part for place in text.split(",") if (part := place.strip())]


def _network(text: str) -> Network:
    """This network; ValueError with the trouble, in a sentence without its end."""
    network = ipaddress.ip_network(text)
    if isinstance(network, ipaddress.IPv6Network):
        if "%" in text:
            raise ValueError(f"{text!r} has a zone, which no address has here")
        if network.network_address.ipv4_mapped:
            raise ValueError(f"{text!r} is one of IPv4, and has to be written so")
    return network


def _moment_ms(text: str) -> int:
    if not text:
        return 0
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError
    return round(moment.timestamp() * 1000)


def _path(wanted: type, text: Any) -> Any:
    return wanted(text)


def _wanted(kind: Any) -> str:
    of, *metas = get_args(kind)
    if NoneType in get_args(of):
        of = next(each for each in get_args(of) if each is not NoneType)
    if get_origin(of) is Literal:
        return f"one of {', '.join(get_args(of))}"
    noun = {int: "a whole number", float: "a number", str: "a text"}.get(of, "a path")
    bounds = {
        name: bound
        for meta in metas
        for name in ("ge", "gt", "le")
        if (bound := getattr(meta, name)) is not None
    }
    longest = max((meta.max_length or 0 for meta in metas), default=0)
    if any(meta.pattern for meta in metas):
        return f"at most {longest} of the characters A-Z, a-z, 0-9, '.', '_' and '-'"
    if "ge" in bounds:
        return f"{noun} from {bounds['ge']:.16g} to {bounds['le']:.16g}"
    if "gt" in bounds:
        return f"{noun} above {bounds['gt']:.16g}, at most {bounds['le']:.16g}"
    return f"{noun} of 1 to {longest} characters" if longest else noun
