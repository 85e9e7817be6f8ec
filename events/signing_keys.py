"""The keys that sign records. `cerrojo keys signing make FOLDER` makes all of them.

A key has a role, which says what it may sign, and each part of Cerrojo has a file with the keys of
the roles that it signs or checks by (:data:`ROLES_OF`). A signature is a MAC, so a part can sign by
whatever key it has; no part has one by which it could sign what another one decides, but the
operator port where it is given that of the policy (:data:`MAY_HAVE`).

The first key of a role signs, and all of them are checked by. So keys are replaced without a stop:
`new-key`, and when every host has those files, `sign-with`; when every host has these, `retire`. By
a retired key nothing is believed that the log got later. What it got before stays believed, as a
worker may read it again, until `drop-key` removes the key; the retention of `attempts` has to pass
before.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, NamedTuple, get_args

import msgspec
import structlog
from msgspec import Meta, Struct

from processes.new_file import beside
from settings import Settings, SettingsError, variable

logger = structlog.get_logger()

SETTING = variable("signing_keys")
COMMAND = "`cerrojo keys signing make`"

Role = Literal["gateway", "operator", "policy", "worker"]

Part = Literal["gateway", "operator", "workers"]

ROLES_OF: dict[Part, tuple[Role, ...]] = {
    "gateway": ("gateway", "worker"),
    "operator": ("gateway", "operator", "worker"),
    "workers": get_args(Role),
}
"""The roles of the keys in the file of each part: the login processes', the operator port's, and
that of the workers and their commands. Files are named so, with .json."""

MAY_HAVE: dict[Part, tuple[Role, ...]] = {"gateway": (), "operator": ("policy",), "workers": ()}
"""The roles besides, whose keys a part gets where somebody gives it them (:func:`grant`)."""

LOOK_SECONDS = 1.0
"""Between two looks at a file that nothing unknown asks for."""

OTHERS = 0o027
"""The bits of a mode by which others than its owner could write a file, or than its group read it.
Kubernetes lets a group read secrets."""


class Key(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A key, as it is in a file."""

    id: Annotated[str, Meta(pattern="^[0-9a-f]{8}$")]
    role: Role
    secret: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    until_ms: Annotated[int, Meta(ge=0)] = 0
    """The last append time of a record that is believed by this key; 0: it is not retired."""

    def __repr__(self) -> str:
        """All but the secret."""
        return f"Key({self.id!r}, {self.role!r})"


class _Content(Struct, forbid_unknown_fields=True):
    keys: list[Key]


class Keys(NamedTuple):
    """The keys of a file, as it is now."""

    by_id: dict[bytes, Key]
    signing: dict[Role, Key]


def parse(content: bytes) -> list[Key]:
    """The keys of a file. Raises ValueError with a sentence that has nothing of a key in it."""
    try:
        keys = msgspec.json.decode(content, type=_Content).keys
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise ValueError("it is no file of signing keys") from None
    if len({key.id for key in keys}) < len(keys):
        raise ValueError("two of its keys have the same id")
    return keys


class PartlyWrittenError(Exception):
    """Some files have a change and others have not; the message says which, and the way out."""


class KeyFile:
    """The keys of one part. The file is read again when it has changed."""

    def __init__(self, folder: Path, part: Part) -> None:
        """Raises SettingsError where the file cannot be used."""
        self.path = folder / f"{part}.json"
        self._roles = ROLES_OF[part]
        self._may_have = MAY_HAVE[part]
        self._seen: object = None
        self._said: str | None = None
        self._look_at = 0.0
        try:
            self._seen = self._version()
            self._keys = self._read()
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else error
            raise SettingsError(
                f"{SETTING} is {str(folder)!r}, and {self.path.name} in it cannot be used: {why}. "
                f"{COMMAND} makes it; it must be readable for Cerrojo, and for nobody else."
            ) from None

    def current(self) -> Keys:
        """The keys as of a second ago at most. A file that cannot be used changes nothing."""
        now = time.monotonic()
        if now >= self._look_at:
            self._look_at = now + LOOK_SECONDS
            self._look()
        return self._keys

    def find(self, key_id: bytes) -> Key | None:
        """The key with this id, also where the file has it since a moment ago."""
        found = self.current().by_id.get(key_id)
        if found is None:
            self._look()
            found = self._keys.by_id.get(key_id)
        return found

    def _look(self) -> None:
        try:
            version = self._version()
            if version != self._seen:
                self._keys = self._read()
                self._seen, self._said = version, None
        except (OSError, ValueError) as error:
            self._seen = None  # to be read again: chmod, which may mend it, changes no version
            why = error.strerror if isinstance(error, OSError) else str(error)
            if why != self._said:
                self._said = why
                logger.error(
                    f"A file of signing keys in {SETTING} cannot be used; those that it had stay "
                    "in force",
                    path=str(self.path),
                    reason=why,
                )

    def _version(self) -> object:
        stat = self.path.stat()
        return stat.st_mtime_ns, stat.st_size, stat.st_ino, stat.st_dev

    def _read(self) -> Keys:
        if self.path.stat().st_mode & OTHERS:
            raise ValueError("others could read or write it; chmod 600 it")
        keys = parse(self.path.read_bytes())
        signing: dict[Role, Key] = {}
        for key in keys:
            if key.role not in self._roles + self._may_have:
                raise ValueError(f"it has a key of the role {key.role}, which is not this part's")
            if not key.until_ms:
                signing.setdefault(key.role, key)
        if missing := [role for role in self._roles if role not in signing]:
            raise ValueError(f"it has no key of the role {missing[0]} that signs")
        return Keys({bytes.fromhex(key.id): key for key in keys}, signing)


def key_file(settings: Settings, part: Part) -> KeyFile | None:
    """The keys of this part; None where the settings name none. Raises SettingsError."""
    return None if settings.signing_keys is None else KeyFile(settings.signing_keys, part)


def check_key_files(settings: Settings, *parts: Part) -> None:
    """Raise SettingsError where a file cannot be used; warn where the settings name none."""
    for part in parts:
        key_file(settings, part)
    if settings.signing_keys is None:
        logger.warning(
            f"{SETTING} is not set: records in Kafka are neither signed nor checked, and whoever "
            f"reaches it can lift blocks and change the policy. {COMMAND} makes keys"
        )


def make(folder: Path) -> None:
    """Make the files of all parts. Raises FileExistsError where one is there, and OSError."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for part in ROLES_OF:
        if (folder / f"{part}.json").exists():
            raise FileExistsError(17, f"{part}.json is there already")
    try:
        _write(folder, [_new(role) for role in get_args(Role)])
    except PartlyWrittenError as error:
        for part in ROLES_OF:  # or they would be there already the next time
            (folder / f"{part}.json").unlink(missing_ok=True)
        raise error.__cause__ or error from None


def grant(folder: Path, part: Part, role: Role) -> None:
    """Give this part the keys of a role that it may have. Raises OSError and ValueError."""
    assert role in MAY_HAVE[part]
    _write(folder, all_keys(folder), {part: (role,)})


def withdraw(folder: Path, part: Part) -> None:
    """Take the keys back that this part need not have. Raises OSError and ValueError."""
    _write(folder, all_keys(folder), {part: ()})


def new_key(folder: Path, role: Role) -> str:
    """Add a key that is only checked by for now; its id. Raises OSError and ValueError."""
    keys = all_keys(folder)
    key = _new(role)
    _write(folder, [*keys, key])
    return key.id


def sign_with(folder: Path, key_id: str) -> None:
    """Let the key with this id sign from now on. Raises OSError and ValueError."""
    keys = all_keys(folder)
    key = _take(keys, key_id)
    if key.until_ms:
        raise ValueError(f"{key_id} is retired")
    _write(folder, [key, *keys])


def retire(folder: Path, key_id: str, now_ms: int) -> None:
    """Believe nothing by this key that the log gets later, or got since it was retired.

    Raises OSError and ValueError.
    """
    keys = all_keys(folder)
    key = _take(keys, key_id)
    _write(folder, [*keys, msgspec.structs.replace(key, until_ms=key.until_ms or now_ms)])


def drop_key(folder: Path, key_id: str) -> None:
    """Believe nothing by this key, whenever the log got it. Raises OSError and ValueError."""
    keys = all_keys(folder)
    _take(keys, key_id)
    _write(folder, keys)


def _new(role: Role) -> Key:
    return Key(secrets.token_hex(4), role, secrets.token_hex(32))


def all_keys(folder: Path) -> list[Key]:
    """The keys of all files, which the workers' has. Raises OSError and ValueError."""
    return parse((folder / "workers.json").read_bytes())


def keys_of_files(folder: Path) -> dict[str, list[Key]]:
    """The keys of each file that is there, the fullest first. Raises OSError and ValueError."""
    names = [f"{part}.json" for part in reversed(ROLES_OF)]
    found = {
        name: parse((folder / name).read_bytes()) for name in names if (folder / name).exists()
    }
    if not found:
        raise ValueError(f"it has none of {', '.join(names)}")
    return found


def _take(keys: list[Key], key_id: str) -> Key:
    for number, key in enumerate(keys):
        if key.id == key_id:
            return keys.pop(number)
    raise ValueError(f"there is no key {key_id}")


def granted(folder: Path, part: Part) -> tuple[Role, ...]:
    """The roles whose keys this part has been given. Raises OSError and ValueError."""
    path = folder / f"{part}.json"
    if not MAY_HAVE[part] or not path.exists():
        return ()
    has = {key.role for key in parse(path.read_bytes())}
    return tuple(role for role in MAY_HAVE[part] if role in has)


def _write(
    folder: Path, keys: list[Key], grants: Mapping[Part, tuple[Role, ...]] | None = None
) -> None:
    """Replace each file at once, so that its part reads the former one or this one, whole.

    Raises OSError and ValueError where none is replaced, PartlyWrittenError where some are.

    A new file is for its owner alone; one that was there keeps its owner and its mode. A part that
    ``grants`` does not name keeps what it was given.
    """
    for role in get_args(Role):
        if not any(key.role == role and not key.until_ms for key in keys):
            raise ValueError(f"no key of the role {role} would sign; make a new one first")
    given = {part: granted(folder, part) for part in ROLES_OF} | dict(grants or {})
    made: dict[Path, Path] = {}
    replaced: list[str] = []
    try:
        for part, roles in ROLES_OF.items():  # all of them first, as the disk may be full
            path = (folder / f"{part}.json").resolve()
            content = _Content([key for key in keys if key.role in roles + given[part]])
            made[path] = beside(path, msgspec.json.format(msgspec.json.encode(content)) + b"\n")
        for path, new in made.items():
            new.replace(path)
            replaced.append(path.name)
    except BaseException as error:
        for new in made.values():
            new.unlink(missing_ok=True)
        if replaced and isinstance(error, OSError):
            raise PartlyWrittenError(
                f"In {folder} the change is in {' and '.join(replaced)}, and {path.name} cannot be "
                f"replaced: {error.strerror}. `cerrojo keys signing show` says what each file has"
            ) from error
        raise
