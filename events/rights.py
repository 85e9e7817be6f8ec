"""Which part of Cerrojo may do what in Kafka, as `python -m events` has Kafka's ACLs say it.

Where records are signed, an ACL adds that a part cannot even write what nobody would believe, nor
read what is not for it. The commands have a user of their own, who is a person's.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialAlteration,
    UserScramCredentialUpsertion,
)

from events.clients import UNJOINED_GROUP, WORKERS_GROUP
from events.topics import ADMIN_TIMEOUT_SECONDS, ATTEMPTS, BLOCKS, EVENTS, SOURCES, VERDICTS
from settings import SettingsError, variable

Part = Literal["gateway", "workers", "commands"]

_ALTER, _READ, _WRITE = AclOperation.ALTER, AclOperation.READ, AclOperation.WRITE
_DESCRIBE, _DESCRIBE_CONFIGS = AclOperation.DESCRIBE, AclOperation.DESCRIBE_CONFIGS

_TOPICS: dict[Part, dict[str, tuple[AclOperation, ...]]] = {
    "gateway": {
        ATTEMPTS: (_WRITE,),
        VERDICTS: (_READ,),
        BLOCKS: (_READ,),
        SOURCES: (_READ, _WRITE),
    },
    # A partition's owner puts the policies and layouts that it proposes into the log.
    "workers": {
        ATTEMPTS: (_READ, _WRITE),
        VERDICTS: (_WRITE,),
        BLOCKS: (_WRITE,),
        EVENTS: (_WRITE,),
    },
    # A policy and what is replayed are written, `resize` adds partitions, `doctor` looks.
    "commands": {
        ATTEMPTS: (_WRITE, _ALTER, _DESCRIBE_CONFIGS),
        VERDICTS: (_READ, _DESCRIBE_CONFIGS),
        BLOCKS: (_READ, _DESCRIBE_CONFIGS),
        SOURCES: (_DESCRIBE, _DESCRIBE_CONFIGS),
        EVENTS: (_DESCRIBE, _DESCRIBE_CONFIGS),
    },
}

_GROUPS: dict[Part, tuple[str, ...]] = {
    "gateway": (UNJOINED_GROUP,),
    "workers": (UNJOINED_GROUP, WORKERS_GROUP),
    "commands": (UNJOINED_GROUP,),
}

SCRAM_ITERATIONS = 4096
"""The least that Kafka takes. The passwords are to be random, which more would not help."""


class User(NamedTuple):
    """A user of Kafka's, as a part comes in by it."""

    part: Part
    name: str
    password: str | None
    """For SCRAM-SHA-512; None: Kafka knows the user by other means, as a certificate."""


def read_users(path: Path) -> list[User]:
    """The users of a file with lines of a part, a name, and a password where there is one.

    Raises SettingsError, without a password.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text in UTF-8"
        raise SettingsError(
            f"{variable('kafka_users_file')} is '{path}', and this file cannot be read: {why}."
        ) from None
    users = []
    for number, line in enumerate(lines, start=1):
        if not (words := line.split()):
            continue
        if len(words) not in (2, 3) or words[0] not in get_args(Part):
            raise SettingsError(
                f"{variable('kafka_users_file')} is '{path}', and its line {number} is not a part "
                f"({', '.join(get_args(Part))}), a user's name, and a password where Kafka is to "
                "know the user by one."
            )
        part: Part = words[0]  # type: ignore[assignment]  # it is one of them
        users.append(User(part, words[1], words[2] if len(words) == 3 else None))
    return users


def let_in(admin: AdminClient, users: Sequence[User], prefix: str = "") -> None:
    """Give the users their passwords and their rights. What is so already stays.

    The names of topics and groups begin with `prefix`. Raises ``KafkaException``, as where this
    client may not do that, or Kafka has no ACLs.
    """
    scram = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, SCRAM_ITERATIONS)
    changes: list[UserScramCredentialAlteration] = [
        UserScramCredentialUpsertion(user.name, scram, user.password.encode())
        for user in users
        if user.password
    ]
    # Each once, as a user may be that of several parts.
    wanted = dict.fromkeys(rule for user in users for rule in _rules(user, prefix))
    rules = admin.create_acls([*wanted])
    passwords = admin.alter_user_scram_credentials(changes) if changes else {}
    for future in (*rules.values(), *passwords.values()):
        future.result(ADMIN_TIMEOUT_SECONDS)


def topics_of(part: Part, prefix: str = "") -> dict[str, tuple[AclOperation, ...]]:
    """What this part may do with the topics, by their names."""
    return {prefix + topic: operations for topic, operations in _TOPICS[part].items()}


def groups_of(part: Part, prefix: str = "") -> list[str]:
    """The names of the groups that this part may READ."""
    return [prefix + group for group in _GROUPS[part]]


def _rules(user: User, prefix: str) -> list[AclBinding]:
    rights = [
        (ResourceType.TOPIC, topic, operation)
        for topic, operations in topics_of(user.part, prefix).items()
        for operation in operations
    ]
    rights += [(ResourceType.GROUP, group, _READ) for group in groups_of(user.part, prefix)]
    return [
        AclBinding(
            kind,
            name,
            ResourcePatternType.LITERAL,
            f"User:{user.name}",
            "*",
            operation,
            AclPermissionType.ALLOW,
        )
        for kind, name, operation in rights
    ]
