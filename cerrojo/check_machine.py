"""This machine as `cerrojo doctor` sees it: the files of settings, the disks, the ports."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from cerrojo.findings import Findings, failed, ok, warning
from cerrojo.ports import Port, operator_port, workers_port
from events.signing_keys import ROLES_OF, KeyFile
from gateway import device_keys, guess_keys, session_keys, tokens
from gateway.passwords import pepper
from settings import Settings, SettingsError, variable
from workers.commands.errors import CommandError

FILLING, FULL = 0.15, 0.05
"""Shares of a disk that are free, as in monitoring/alerts.yml."""

_READERS: dict[str, Callable[[Path], object]] = {
    "service_tokens_file": lambda path: tokens.parse(path.read_bytes()),
    "session_keys_file": lambda path: session_keys.parse(path.read_bytes()),
    "device_keys_file": lambda path: device_keys.parse(path.read_bytes()),
    "guess_keys_file": lambda path: guess_keys.parse(path.read_bytes()),
    "pepper_file": pepper.load,
    "operator_token_file": lambda path: path.read_bytes(),
}
"""By its setting, what reads a file of the gateways, or of the commands, as they do."""


def check_files(settings: Settings) -> Findings:
    """The keys that sign records, and the files of the gateways."""
    yield from _signing_keys(settings.signing_keys)
    for field, read in _READERS.items():
        path = getattr(settings, field)
        if path is None:
            continue
        name = variable(field)
        try:
            read(path)
        except SettingsError as error:
            yield failed("files", str(error))
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else error
            yield failed(
                "files", f"{name} is {str(path)!r}, which cannot be used: {why}. Repair it."
            )
        else:
            yield ok("files", f"{name} can be read.")


def _signing_keys(folder: Path | None) -> Findings:
    name = variable("signing_keys")
    if folder is None:
        yield warning(
            "signing keys",
            f"{name} is not set: records in Kafka are neither signed nor checked. `cerrojo keys "
            "signing make` makes keys.",
        )
        return
    here = [part for part in ROLES_OF if (folder / f"{part}.json").exists()]
    if not here:
        yield failed(
            "signing keys",
            f"{name} is {str(folder)!r}, which has no file of keys. `cerrojo keys signing make` "
            "makes them, once for all hosts.",
        )
    for part in here:
        try:
            KeyFile(folder, part)
        except SettingsError as error:
            yield failed("signing keys", str(error))
        else:
            yield ok("signing keys", f"{part}.json can be used.")


def check_disks(settings: Settings) -> Findings:
    """Each disk that a folder of the settings, or the temporary one, is on."""
    folders = [settings.data_dir, settings.signing_keys, Path(tempfile.gettempdir())]
    if settings.guess_keys_file:
        folders.append(settings.guess_keys_file.parent)
    seen = set()
    for folder in folders:
        if folder is None or not folder.is_dir() or (disk := folder.stat().st_dev) in seen:
            continue
        seen.add(disk)
        usage = shutil.disk_usage(folder)
        share = usage.free / usage.total if usage.total else 0.0
        said = f"{share:.0%} of the disk with {folder} is free ({usage.free / 1e9:.1f} GB)."
        if share >= FILLING:
            yield ok("disk", said)
        else:
            state = failed if share < FULL else warning
            yield state("disk", f"{said} Make it larger, or remove something.")


def check_hosts(settings: Settings) -> Findings:
    """What the gateway and the workers say of themselves."""
    try:
        yield from _ready("gateway", operator_port(settings))
    except (CommandError, SettingsError) as error:
        yield failed("gateway", str(error))
    try:
        yield from _ready("workers", workers_port(settings))
    except CommandError as error:
        yield warning("workers", str(error))


def _ready(name: str, port: Port) -> Findings:
    status, body = port.request("GET", "/readyz")
    if not isinstance(body, dict):
        yield failed(name, f"{port.url} answered {status}, and no JSON: is that the {name}?")
        return
    if status == 200:
        yield ok(name, f"{port.url} is ready.")
        return
    parts = body.get("parts", {}).items()
    wrong = "; ".join(f"{part}: {said}" for part, said in parts if said != "ok")
    reason = wrong or body.get("error") or f"it answered {status}"
    yield failed(name, f"{port.url} is not ready: {reason}.")
