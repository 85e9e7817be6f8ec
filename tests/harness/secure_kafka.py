"""A Kafka that wants to know who comes: a listener for each way to prove it, and who issues tokens.

Passwords, certificates and the tokens' key are made anew for each.
"""

from __future__ import annotations

import base64
import json
import secrets
import threading
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import trustme
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from local import tcp_ports
from local.kafka import HOST, Kafka
from local.progress import ProgressReporter
from local.system import Part, System
from settings import load
from tests.harness.waiting import wait_until

USER = "cerrojo"
"""Who may do everything, on each listener."""

LIMITED = "limited"
"""Who may do what was granted. It comes by SCRAM or a certificate."""

LISTENERS = {"PLAIN": "SASL_SSL", "SCRAM": "SASL_SSL", "OAUTH": "SASL_SSL", "MTLS": "SSL"}
"""The names of the listeners, and what they speak."""

_LOGIN = "org.apache.kafka.common.security"


class TokenIssuer:
    """Gives tokens for a client's id and secret, and the key by which they are known."""

    def __init__(self) -> None:
        self.secret = secrets.token_hex(16)
        self._key = rsa.generate_private_key(public_exponent=65_537, key_size=2048)
        self._server = ThreadingHTTPServer((HOST, 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, name="token issuer")

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://{HOST}:{self._server.server_port}"

    def start(self) -> None:
        """Begin to serve."""
        self._thread.start()

    def stop(self) -> None:
        """Serve no more."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _token(self, scope: str) -> str:
        now = int(time.time())
        claims = {"sub": USER, "aud": "kafka", "scope": scope, "iat": now, "exp": now + 3600}
        signed = f"{_json64({'alg': 'RS256', 'kid': 'one'})}.{_json64(claims)}"
        signature = self._key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{signed}.{_base64(signature)}"

    def _keys(self) -> dict[str, Any]:
        public = self._key.public_key().public_numbers()
        n, e = (_base64(v.to_bytes((v.bit_length() + 7) // 8, "big")) for v in (public.n, public.e))
        return {
            "keys": [{"kty": "RSA", "kid": "one", "alg": "RS256", "use": "sig", "n": n, "e": e}]
        }

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:  # the base class's name
                self._answer(200, issuer._keys())

            def do_POST(self) -> None:
                form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
                wanted = base64.b64encode(f"{USER}:{issuer.secret}".encode()).decode()
                if self.headers["Authorization"] != f"Basic {wanted}":
                    self._answer(401, {"error": "invalid_client"})
                    return
                token = issuer._token(form["scope"][0])
                answer = {"access_token": token, "token_type": "Bearer", "expires_in": 3600}
                self._answer(200, answer)

            def _answer(self, status: int, body: Mapping[str, Any]) -> None:
                text = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        return Handler


class SecureKafka(Kafka):
    """A node with all listeners. The one without a password is the tests' own, and may do all."""

    def __init__(self, folder: Path, cache_dir: Path) -> None:
        super().__init__(folder, cache_dir, java_options=load().kafka_java_options)
        self.password = secrets.token_hex(16)
        self.key_password = secrets.token_hex(16)
        self.issuer = TokenIssuer()
        self.certificates = folder / "certificates"
        self._folder = folder
        self._listener_ports = {name: tcp_ports.choose(HOST) for name in LISTENERS}
        self._system = System(folder / "run")
        self._up = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="secure kafka")

    def where(self, listener: str) -> str:
        """The address of this listener."""
        return f"{HOST}:{self._listener_ports[listener]}"

    def environment(self, listener: str, mechanism: str, user: str = USER) -> dict[str, str]:
        """The settings of a Cerrojo that comes by this listener and mechanism; "" for none."""
        given = {
            "security_protocol": LISTENERS[listener],
            "ca_file": str(self.certificates / "ca.pem"),
        }
        if listener == "MTLS":
            given |= {
                "certificate_file": str(self.certificates / f"{user}.pem"),
                "key_file": str(self.certificates / f"{user}.key"),
                "key_password": self.key_password,
            }
        elif listener == "OAUTH":
            given |= {
                "oauth_token_endpoint_url": f"{self.issuer.url}/token",
                "oauth_client_id": USER,
                "oauth_client_secret": self.issuer.secret,
                "oauth_scope": "kafka",
            }
        else:
            given |= {"sasl_username": user, "sasl_password": self.password}
        if mechanism:
            given["sasl_mechanism"] = mechanism
        kafka = {f"CERROJO_KAFKA_{name.upper()}": value for name, value in given.items()}
        return {"KAFKA_BOOTSTRAP_SERVERS": self.where(listener)} | kafka

    def grant(self, prefix: str, operations: Mapping[ResourceType, Iterable[AclOperation]]) -> None:
        """Let LIMITED do this with everything whose name begins so."""
        rules = [
            AclBinding(
                kind,
                prefix,
                ResourcePatternType.PREFIXED,
                f"User:{LIMITED}",
                "*",
                operation,
                AclPermissionType.ALLOW,
            )
            for kind, allowed in operations.items()
            for operation in allowed
        ]
        for future in self.admin.create_acls(rules).values():
            future.result()
        begins = AclBindingFilter(
            ResourceType.ANY,
            prefix,
            ResourcePatternType.PREFIXED,
            None,
            None,
            AclOperation.ANY,
            AclPermissionType.ANY,
        )
        # The controller knows of them a moment earlier.
        wait_until(lambda: {*rules} <= {*self.admin.describe_acls(begins).result()})

    def __enter__(self) -> SecureKafka:
        """Itself, when it answers and knows everybody."""
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it, and return when it is gone."""
        self._stop.set()
        if self._thread.ident:
            self._system.manager.wake()
            self._thread.join()
        self.issuer.stop()

    def _start(self) -> None:
        self.issuer.start()
        self._make_certificates()
        self.reserve_ports(taken=self._listener_ports.values())
        self.prepare(ProgressReporter())
        self._thread.start()
        self._up.wait()
        if self._system.failure:
            raise RuntimeError(self._system.failure)
        self.admin = AdminClient({"bootstrap.servers": self.address})
        for mechanism in (ScramMechanism.SCRAM_SHA_256, ScramMechanism.SCRAM_SHA_512):
            secret = ScramCredentialInfo(mechanism, 4096)
            changes = [
                UserScramCredentialUpsertion(user, secret, self.password.encode())
                for user in (USER, LIMITED)
            ]
            for future in self.admin.alter_user_scram_credentials(changes).values():
                future.result()
        wait_until(self._knows_everybody)

    def _knows_everybody(self) -> bool:
        found = self.admin.describe_user_scram_credentials()
        assert isinstance(found, Future)
        known = {user: len(by.scram_credential_infos) for user, by in found.result().items()}
        return known == {USER: 2, LIMITED: 2}  # mechanisms

    def _make_certificates(self) -> None:
        self.certificates.mkdir(parents=True)
        authority, strangers = trustme.CA(), trustme.CA()
        authority.cert_pem.write_to_path(self.certificates / "ca.pem")
        strangers.cert_pem.write_to_path(self.certificates / "other-ca.pem")
        broker = authority.issue_cert(HOST)
        chain = b"".join(pem.bytes() for pem in broker.cert_chain_pems)
        (self.certificates / "broker.pem").write_bytes(_pkcs8(broker) + chain)
        for user in (USER, LIMITED):
            client = authority.issue_cert(user, common_name=user)  # Java takes none without a name
            client.cert_chain_pems[0].write_to_path(self.certificates / f"{user}.pem")
            (self.certificates / f"{user}.key").write_bytes(_pkcs8(client, self.key_password))

    def _configuration(self, data: Path) -> str:
        _, controller = self.ports
        addresses = {"PLAINTEXT": self.address}
        addresses |= {name: self.where(name) for name in LISTENERS}
        listeners = ",".join(f"{name}://{where}" for name, where in addresses.items())
        speak = {"PLAINTEXT": "PLAINTEXT", "CONTROLLER": "PLAINTEXT"} | LISTENERS
        protocols = ",".join(f"{name}:{protocol}" for name, protocol in speak.items())
        users = " ".join(f'user_{user}="{self.password}"' for user in (USER, LIMITED))
        own = {
            "listeners": f"{listeners},CONTROLLER://{HOST}:{controller}",
            "advertised.listeners": listeners,
            "listener.security.protocol.map": protocols,
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": self.certificates / "broker.pem",
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": self.certificates / "ca.pem",
            "listener.name.mtls.ssl.client.auth": "required",
            "ssl.principal.mapping.rules": "RULE:^.*CN=([^,]*).*$/$1/",
            "listener.name.plain.sasl.enabled.mechanisms": "PLAIN",
            "listener.name.plain.plain.sasl.jaas.config": (
                f"{_LOGIN}.plain.PlainLoginModule required {users};"
            ),
            "listener.name.scram.sasl.enabled.mechanisms": "SCRAM-SHA-256,SCRAM-SHA-512",
            "listener.name.oauth.sasl.enabled.mechanisms": "OAUTHBEARER",
            "listener.name.oauth.oauthbearer.sasl.jaas.config": (
                f"{_LOGIN}.oauthbearer.OAuthBearerLoginModule required;"
            ),
            "listener.name.oauth.oauthbearer.sasl.server.callback.handler.class": (
                f"{_LOGIN}.oauthbearer.OAuthBearerValidatorCallbackHandler"
            ),
            "sasl.oauthbearer.jwks.endpoint.url": f"{self.issuer.url}/keys",
            "sasl.oauthbearer.expected.audience": "kafka",
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": f"User:ANONYMOUS;User:{USER}",
        }
        own |= {
            f"listener.name.scram.{mechanism}.sasl.jaas.config": (
                f"{_LOGIN}.scram.ScramLoginModule required;"
            )
            for mechanism in ("scram-sha-256", "scram-sha-512")
        }
        lines = super()._configuration(data)
        return lines + "".join(
            f"{name}={str(value).replace(chr(92), chr(92) * 2)}\n" for name, value in own.items()
        )

    def _java(self) -> list[str]:
        java, *options = super()._java()
        allowed = f"-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls={self.issuer.url}/keys"
        return [java, allowed, *options]

    def _run(self) -> None:
        system = self._system
        system.start([Part(self.spec())])
        while not system.stopped:
            system.step(1.0)
            if system.complete or system.failure:
                self._up.set()
            if self._stop.is_set():
                system.stop()
        system.manager.close()


def _pkcs8(certificate: trustme.LeafCert, password: str = "") -> bytes:
    """Its key in the form that Java reads."""
    key = serialization.load_pem_private_key(certificate.private_key_pem.bytes(), None)
    encryption: serialization.KeySerializationEncryption = (
        serialization.BestAvailableEncryption(password.encode())
        if password
        else serialization.NoEncryption()
    )
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
    )


def _json64(value: Mapping[str, Any]) -> str:
    return _base64(json.dumps(value).encode())


def _base64(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).decode().rstrip("=")
