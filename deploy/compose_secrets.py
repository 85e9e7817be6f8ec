"""Makes the secrets of compose.yml, once: each part finds its own in its volume, and no others.

The service `keys` runs it, where the volumes are folders beside each other. What is there stays.
"""

from __future__ import annotations

import os
import secrets
import shutil
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from events import signing_keys

OWNER = "cerrojo"
ROLES = {"gateway-keys": ("cerrojo_gateway", "cerrojo_operator"), "keys": ("cerrojo_workers",)}
"""The roles in Postgres, by the volumes of the parts that come as them."""

KAFKA_PARTS = {"gateway": "gateway-keys", "workers": "keys"}
"""The parts with a user in Kafka, by their names there, and their volumes."""

BROKERS, ADMINISTRATOR = "brokers", "cerrojo"
"""Those that Kafka knows by a certificate, as deploy/kafka.properties says."""

HOSTS = ("kafka", "kafka-1", "kafka-2", "kafka-3", "localhost")
"""The brokers' names, also in compose.cluster.yml."""

YEARS = 10
"""So long the certificates hold. They are made anew where the volume kafka-keys is removed."""

OPEN = 0o644
"""For a volume that only the server of another user has, which could not read it otherwise."""


def make(volumes: Path) -> None:
    """Make what is missing. Raises OSError."""
    workers, gateway, steps = (volumes / name for name in ("keys", "gateway-keys", "step-keys"))
    if not (workers / "workers.json").exists():
        signing_keys.make(workers)
    for name in ("gateway.json", "operator.json"):
        shutil.copy(workers / name, gateway)
    shutil.copy(workers / "workers.json", steps)
    _make_postgres(volumes)
    _make_kafka_users(volumes)
    if not (volumes / "kafka-keys" / "ca.pem").exists():
        _make_certificates(volumes)


def _make_postgres(volumes: Path) -> None:
    """A file with the password of each role for the server, and a password file for each part."""
    server = volumes / "postgres-keys"
    _keep_or_make(server / "superuser", OPEN)
    for name, roles in (*ROLES.items(), ("step-keys", (OWNER,))):
        words = {role: _keep_or_make(server / role, OPEN) for role in roles}
        lines = (f"*:*:*:{role}:{word}\n" for role, word in words.items())
        _write(volumes / name / "postgres.pass", "".join(lines), 0o600)


def _make_kafka_users(volumes: Path) -> None:
    """A password for each part, and a file of all for the step that tells Kafka."""
    lines = [
        f"{part} cerrojo_{part} {_keep_or_make(volumes / name / 'kafka.password', 0o600)}\n"
        for part, name in KAFKA_PARTS.items()
    ]
    _write(volumes / "step-keys" / "kafka-users", "".join(lines), 0o600)


def _make_certificates(volumes: Path) -> None:
    """Of the brokers, and of the administrator, by a CA whose key is not kept."""
    key, name = _new_key(), _name("Cerrojo's CA")
    ca = (
        _certificate(name, name, key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    hosts = x509.SubjectAlternativeName([x509.DNSName(host) for host in HOSTS])
    broker_key, administrator_key = _new_key(), _new_key()
    broker = _certificate(_name(BROKERS), name, broker_key).add_extension(hosts, critical=False)
    administrator = _certificate(_name(ADMINISTRATOR), name, administrator_key)
    server, steps = volumes / "kafka-keys", volumes / "step-keys"
    _write(server / "broker.pem", _pem(broker_key) + _pem(broker.sign(key, hashes.SHA256())), OPEN)
    _write(steps / "kafka.key", _pem(administrator_key), 0o600)
    _write(steps / "kafka.pem", _pem(administrator.sign(key, hashes.SHA256())), 0o600)
    for part in ("keys", "gateway-keys", "step-keys"):
        _write(volumes / part / "ca.pem", _pem(ca), 0o600)
    _write(server / "ca.pem", _pem(ca), OPEN)  # last: it says that all of it is there


def _certificate(
    of: x509.Name, by: x509.Name, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(of)
        .issuer_name(by)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=YEARS * 365))
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _pem(thing: x509.Certificate | ec.EllipticCurvePrivateKey) -> str:
    """In the forms that Java and OpenSSL read."""
    if isinstance(thing, x509.Certificate):
        return thing.public_bytes(serialization.Encoding.PEM).decode()
    return thing.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


def _keep_or_make(path: Path, mode: int) -> str:
    """The password that is in this file; a new one where it is not there."""
    if not path.exists():
        _write(path, secrets.token_hex(24), mode)
    return path.read_text()


def _write(path: Path, text: str, mode: int) -> None:
    """Write it whole or not at all."""
    new = path.with_name(f".{path.name}")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as file:
        os.fchmod(file.fileno(), mode)  # whatever the umask
        file.write(text)
    new.replace(path)


if __name__ == "__main__":
    make(Path(sys.argv[1]))
